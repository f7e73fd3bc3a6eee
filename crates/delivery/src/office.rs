//! One leadership: reads the history for the targets, hands them what they are to be told, and writes down how far they have come.
//!
//! One reader serves all targets that stand where it is or a little further. A target whose queue is full stays behind with a reader of its own, and so
//! catches up later; one that is far before a reader does not wait for it. What a rule wants is looked up in the state as of each event: a rule that has changed since judges only what happened since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use trireme_ecs_api::eventbridge::{Emitted, Pattern};
use trireme_state::command::{DeliveryCommand, Mark, ScheduleCommand};
use trireme_state::object::DeliveryKey;
use trireme_state::store::{Committed, ProposeError};
use trireme_state::{Actor, Command, Proposal, State};
use trireme_types::{RequestId, Sequence};

use crate::lane::{Job, Lane, QUEUE, Report};
use crate::past::Gone;
use crate::reader::{Reader, Told};
use crate::{Parts, metrics};

/// How often it is written down how far targets have come.
const SAVED: Duration = Duration::from_secs(1);
/// What was read without anything to tell is written down when it is so much, or a quarter of the history: or a new leader reads all of it again.
const UNSAVED: u64 = 10_000;
/// Targets of one command.
const MARKS: usize = 200;
/// Changes are gathered for so long.
const GATHERED: Duration = Duration::from_millis(20);
/// When what cannot be read now is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// Readers beside the foremost one. Where there is none, one is made from the history again.
const READERS: usize = 32;
/// Patterns that are kept as they were parsed.
const PATTERNS: usize = 10_000;
/// Who stands so far before a reader does not wait for it: it gets one of its own, as long as there are few.
const FAR: u64 = 8_192;

pub(crate) async fn serve(parts: Arc<Parts>) {
    let mut views = parts.store.watch();
    let mut office = Office {
        parts,
        lanes: BTreeMap::new(),
        patterns: Patterns::default(),
        readers: BTreeMap::new(),
        wake: Arc::default(),
        saved: Instant::now(),
        opening: None,
        resting: BTreeMap::new(),
    };
    loop {
        let view = office.parts.store.view();
        office.follow(&view);
        let more = office.read(&view).await;
        if office.saved.elapsed() >= SAVED {
            office.save().await;
        }
        if more {
            tokio::task::yield_now().await;
            continue;
        }
        let wake = office.wake.clone();
        tokio::select! {
            () = wake.notified() => {}
            next = views.next() => if next.is_none() { return },
            () = tokio::time::sleep(SAVED), if !office.lanes.is_empty() => {}
        }
        tokio::time::sleep(GATHERED).await;
    }
}

/// Patterns by their text; what cannot be parsed means nothing.
#[derive(Default)]
struct Patterns(BTreeMap<String, Option<Pattern>>);

impl Patterns {
    fn mean(&mut self, text: &str, event: &Emitted) -> bool {
        if !self.0.contains_key(text) {
            if self.0.len() >= PATTERNS {
                self.0.clear();
            }
            let parsed = Pattern::parse(text).inspect_err(|reason| {
                tracing::error!(pattern = text, %reason, "a rule's pattern cannot be read: it means nothing");
            });
            self.0.insert(text.to_owned(), parsed.ok());
        }
        let pattern = self.0.get(text).and_then(Option::as_ref);
        pattern.is_some_and(|pattern| pattern.matches(&event.event))
    }
}

type Opening = AbortOnDropHandle<Result<Reader, Gone>>;

struct Office {
    parts: Arc<Parts>,
    lanes: BTreeMap<DeliveryKey, Lane>,
    patterns: Patterns,
    /// By where they stand.
    readers: BTreeMap<Sequence, Reader>,
    wake: Arc<Notify>,
    saved: Instant,
    /// A reader that is made from the history: that takes a while, and nobody waits for it.
    opening: Option<(Sequence, Opening)>,
    /// Places that could not be read: not before then.
    resting: BTreeMap<Sequence, Instant>,
}

impl Office {
    /// Takes up targets that are new, and drops those that are gone.
    fn follow(&mut self, view: &State) {
        self.lanes.retain(|key, _| view.delivery(key).is_some());
        for (key, delivery) in view.deliveries() {
            // One that stands further than it was read for is a new one of the same name.
            if self.lanes.get(key).is_none_or(|lane| lane.at < delivery.seen || lane.has_ended()) {
                let lane = Lane::begin(&self.parts, key.clone(), delivery.seen, &self.wake);
                self.lanes.insert(key.clone(), lane);
            }
        }
        metrics::targets(self.lanes.len());
    }

    /// Where a lane is read for: at the foremost reader that has not passed it.
    fn reader_of(&self, lane: &Lane) -> Option<Sequence> {
        self.readers.range(..=lane.at).next_back().map(|(at, _)| *at)
    }

    /// Reads on for all that have room. Whether there may be more at once.
    async fn read(&mut self, view: &State) -> bool {
        let head = view.position().sequence;
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        self.open(view).await;
        let served: BTreeSet<Sequence> =
            self.lanes.values().filter_map(|lane| self.reader_of(lane)).collect();
        self.readers.retain(|at, _| served.contains(at));
        let mut more = false;
        for at in served.into_iter().filter(|at| *at < head) {
            if self.resting.contains_key(&at) {
                continue;
            }
            match self.read_at(at, head).await {
                Ok(again) => more |= again,
                Err(gone) => self.cannot_read(at, gone),
            }
            tokio::task::yield_now().await;
        }
        more
    }

    /// Makes a reader for those who have none, or only one that is far behind: one at a time, the foremost first.
    async fn open(&mut self, view: &State) {
        if let Some((at, opening)) = self.opening.take() {
            if !opening.is_finished() {
                self.opening = Some((at, opening));
                return;
            }
            match opening.await {
                Ok(Ok(reader)) => {
                    self.readers.insert(at, reader);
                }
                Ok(Err(gone)) => self.cannot_read(at, gone),
                Err(error) => self.cannot_read(at, Gone::Unavailable(error.to_string())),
            }
        }
        let head = view.position().sequence;
        let unread = |lane: &&Lane| {
            let far = |reader: Sequence| {
                lane.at.get().saturating_sub(reader.get()) > FAR && self.readers.len() < READERS
            };
            let waits = lane.at < head && lane.room() >= QUEUE / 2 && !self.resting.contains_key(&lane.at);
            waits && self.reader_of(lane).is_none_or(far)
        };
        let places: BTreeSet<Sequence> = self.lanes.values().filter(unread).map(|lane| lane.at).collect();
        let Some(foremost) = places.last() else { return };
        // One serves all that stand not far from each other.
        let near = places.iter().find(|at| foremost.get().saturating_sub(at.get()) <= FAR);
        let at = *near.unwrap_or(foremost);
        let (parts, wake, view) = (self.parts.clone(), self.wake.clone(), view.clone());
        let opening = tokio::spawn(async move {
            let opened = Reader::open(&*parts.past, at, &view).await;
            wake.notify_one();
            opened
        });
        self.opening = Some((at, AbortOnDropHandle::new(opening)));
    }

    /// One reader goes on. Those who stand where it is and have no room stay behind. Whether it may go on at once.
    async fn read_at(&mut self, at: Sequence, head: Sequence) -> Result<bool, Gone> {
        let mine: BTreeSet<DeliveryKey> = self
            .lanes
            .iter()
            .filter(|(_, lane)| self.reader_of(lane) == Some(at))
            .map(|(key, _)| key.clone())
            .collect();
        let Some(mut reader) = self.readers.remove(&at) else { return Ok(false) };
        let (mut going, mut left): (Vec<_>, usize) = (Vec::new(), 0);
        for (key, lane) in self.lanes.iter_mut().filter(|(key, _)| mine.contains(*key)) {
            match lane.at == at && lane.room() < QUEUE / 2 {
                true => left = left.saturating_add(1),
                false => going.push((key, lane)),
            }
        }
        if left > 0 {
            self.readers.insert(at, reader.clone());
        }
        if going.is_empty() {
            return Ok(false);
        }
        let (past, patterns) = (self.parts.past.clone(), &mut self.patterns);
        let done = reader.read(&*past, head, |told| tell(patterns, &mut going, told)).await;
        let to = reader.at();
        self.readers.insert(to, reader);
        while self.readers.len() > READERS.saturating_mul(2) {
            self.readers.pop_first();
        }
        done?;
        Ok(at < to && to < head)
    }

    fn cannot_read(&mut self, at: Sequence, gone: Gone) {
        match gone {
            Gone::Trimmed { first } => self.missed(at, first),
            Gone::Unavailable(reason) => {
                tracing::warn!(%at, %reason, "events cannot be delivered now");
                self.resting.insert(at, Instant::now() + AGAIN);
            }
        }
    }

    /// What is kept no longer cannot be told.
    fn missed(&mut self, at: Sequence, first: Sequence) {
        let to = Sequence::new(first.get().saturating_sub(1)).max(at.next());
        self.readers.remove(&at);
        for (key, lane) in self.lanes.iter_mut().filter(|(_, lane)| (at..to).contains(&lane.at)) {
            let from = lane.at.next();
            let error = format!("events {from} to {to} are no longer in the history and were not delivered");
            tracing::warn!(rule = key.rule.name, target = key.target, %error, "events are missed");
            metrics::missed(to.get().saturating_sub(lane.at.get()));
            lane.note(error);
            lane.at = to;
        }
    }

    /// Writes down how far targets have come.
    async fn save(&mut self) {
        self.saved = Instant::now();
        let view = self.parts.store.view();
        // What is written down is read too: with many targets that must not be reason enough to write again.
        let own = u64::try_from(self.lanes.len()).unwrap_or(u64::MAX).saturating_mul(4);
        let unsaved = UNSAVED.max(own).min(view.retention().events / 4);
        let mut marks = Vec::new();
        for (key, lane) in &self.lanes {
            let Some(delivery) = view.delivery(key) else { continue };
            let report = lane.report();
            let behind = report.settled.get().saturating_sub(delivery.seen.get());
            let far = behind >= unsaved || behind > 0 && delivery.seen <= view.trimmed();
            if report.settled < delivery.seen || !(far || report.has_news(delivery.seen)) {
                continue;
            }
            let from = (delivery.seen, delivery.part);
            let mark = Mark {
                key: key.clone(),
                from,
                to: from.max((report.settled, 0)),
                delivered: report.progress.delivered,
                dropped: report.progress.dropped,
                error: report.progress.error.clone(),
            };
            marks.push((mark, report));
        }
        for some in marks.chunks(MARKS) {
            self.advance(some).await;
        }
    }

    async fn advance(&self, marks: &[(Mark, Report)]) {
        let all = marks.iter().map(|(mark, _)| mark.clone()).collect();
        if let Err(error) = propose(&self.parts, DeliveryCommand::Advance(all)).await {
            tracing::info!(%error, "how far targets have come could not be written down");
            return;
        }
        let view = self.parts.store.view();
        for (mark, report) in marks {
            // One that another change came before was left out: it is written down the next time.
            let written = view.delivery(&mark.key).is_some_and(|now| (now.seen, now.part) == mark.to);
            if let Some(lane) = self.lanes.get(&mark.key).filter(|_| written) {
                lane.reported(&report.progress);
            }
        }
    }
}

/// Hands each target that stands before an event of the history what it comes to for it: all of them, or none if one has no room.
fn tell(patterns: &mut Patterns, lanes: &mut [(&DeliveryKey, &mut Lane)], told: &Told<'_>) -> bool {
    // Most of what happens comes to nothing.
    if told.events.is_empty() {
        lanes.iter_mut().for_each(|(_, lane)| lane.at = lane.at.max(told.sequence));
        return true;
    }
    if lanes.iter().any(|(_, lane)| lane.at < told.sequence && lane.room() == 0) {
        return false;
    }
    for (key, lane) in lanes.iter_mut().filter(|(_, lane)| lane.at < told.sequence) {
        lane.at = told.sequence;
        let rule = told.state.rule(&key.rule);
        let target = rule.and_then(|rule| Some((rule, rule.target(&key.target)?)));
        let Some((rule, target)) = target.filter(|(rule, target)| rule.delivers_to(target)) else { continue };
        let means = |event: &&Emitted| match (&event.only, &rule.spec.pattern) {
            // Tasks that start at times are a firing's.
            (Some(only), _) => *only == key.rule && target.call().is_some(),
            (None, Some(pattern)) => event.scope == key.rule.scope && patterns.mean(pattern, event),
            (None, None) => false,
        };
        let events: Vec<_> = told.events.iter().filter(means).map(|event| event.event.clone()).collect();
        if !events.is_empty() {
            lane.take(Job { sequence: told.sequence, at: told.at, events });
        }
    }
    true
}

/// Has a command done.
pub(crate) async fn propose(parts: &Parts, command: DeliveryCommand) -> Result<Committed, ProposeError> {
    let proposal = Proposal {
        actor: Actor::Controller("delivery".to_owned()),
        request_id: RequestId::from_bits(rand::random()),
        key: None,
        command: Command::Schedule(Box::new(ScheduleCommand::Deliver(command))),
    };
    parts.store.propose(proposal).await
}
