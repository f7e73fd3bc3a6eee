//! Reading records in their order: by time, then by number. A segment is read only if something in it may belong to the answer.

use std::io;

use trireme_rpc::logs::{Place, Record};
use trireme_types::LogPattern;

use super::segment::Segment;

/// What each event counts beside its message (logs API: PutLogEvents).
pub const EVENT_OVERHEAD: u64 = 26;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// From this time, in milliseconds.
    pub start: u64,
    /// To this time, but without it.
    pub end: Option<u64>,
    /// After this place.
    pub after: Option<(u64, u64)>,
    /// Before this place.
    pub before: Option<(u64, u64)>,
    /// What got here before is not there.
    pub ingested_from: u64,
    /// The last ones, in place of the first.
    pub newest: bool,
    /// At most so many.
    pub limit: usize,
    /// At most so many bytes, but one at least.
    pub bytes: u64,
    /// Only these.
    pub pattern: LogPattern,
}

/// A record's place in the order.
pub fn place(record: &Record) -> (u64, u64) {
    (record.at, record.number)
}

/// A place as it is sent.
pub fn of_wire(place: Option<&Place>) -> Option<(u64, u64)> {
    place.map(|place| (place.at, place.number))
}

impl Span {
    fn holds(&self, record: &Record) -> bool {
        let place = place(record);
        record.at >= self.start
            && self.end.is_none_or(|end| record.at < end)
            && self.after.is_none_or(|after| place > after)
            && self.before.is_none_or(|before| place < before)
            && record.ingested_at >= self.ingested_from
            && self.pattern.matches(&record.message)
    }

    fn may_hold(&self, segment: &Segment) -> bool {
        let known = &segment.summary;
        known.records > 0
            && known.last_at >= self.start
            && self.end.is_none_or(|end| known.first_at < end)
            && self.after.is_none_or(|after| known.last_at >= after.0)
            && self.before.is_none_or(|before| known.first_at <= before.0)
            && known.last_ingested >= self.ingested_from
    }
}

/// Records of several streams in one order, no more of them than were asked for.
#[derive(Debug)]
pub struct Merge<'a> {
    span: &'a Span,
    /// With the stream that each belongs to.
    found: Vec<(usize, Record)>,
    more: bool,
}

impl<'a> Merge<'a> {
    /// Nothing yet.
    pub fn new(span: &'a Span) -> Self {
        Self { span, found: Vec::new(), more: false }
    }

    /// Whether nothing at this time or further from the end that was asked for can belong to the answer.
    fn is_beyond(&self, segment: &Segment) -> bool {
        self.more
            && match (self.span.newest, self.found.first(), self.found.last()) {
                (false, _, Some((_, last))) => segment.summary.first_at > last.at,
                (true, Some((_, first)), _) => segment.summary.last_at < first.at,
                _ => false,
            }
    }

    /// Adds what one stream has.
    pub(super) fn add(&mut self, stream: usize, segments: &[Segment]) -> io::Result<()> {
        let mut segments: Vec<&Segment> =
            segments.iter().filter(|segment| self.span.may_hold(segment)).collect();
        segments.sort_by_key(|segment| segment.summary.first_at);
        if self.span.newest {
            segments.sort_by_key(|segment| std::cmp::Reverse(segment.summary.last_at));
        }
        for segment in segments {
            if self.is_beyond(segment) {
                continue;
            }
            let (span, found) = (self.span, &mut self.found);
            segment.read(|record, _| {
                if span.holds(&record) {
                    found.push((stream, record));
                }
                true
            })?;
            self.cut();
        }
        Ok(())
    }

    /// Keeps what fits into the answer.
    fn cut(&mut self) {
        self.found.sort_by_key(|(_, record)| place(record));
        let mut bytes = 0;
        let mut fits = |record: &Record| {
            bytes += record.message.len() as u64 + EVENT_OVERHEAD;
            bytes <= self.span.bytes
        };
        let kept = if self.span.newest {
            self.found.iter().rev().take(self.span.limit).take_while(|(_, one)| fits(one)).count()
        } else {
            self.found.iter().take(self.span.limit).take_while(|(_, one)| fits(one)).count()
        };
        let kept = kept.max(1);
        if kept < self.found.len() {
            self.more = true;
            if self.span.newest {
                self.found.drain(..self.found.len() - kept);
            } else {
                self.found.truncate(kept);
            }
        }
    }

    /// All of it, in order, and whether there is more.
    pub fn finish(self) -> (Vec<(usize, Record)>, bool) {
        (self.found, self.more)
    }
}
