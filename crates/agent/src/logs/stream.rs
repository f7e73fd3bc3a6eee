//! One stream: its folder with a file that names it, and its segments. At most so many bytes; the oldest segment goes first.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trireme_rpc::logs::Record;

use super::Limits;
use super::segment::{Segment, Summary};

/// A stream's full name. Names may have any signs: folders are named by their hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamName {
    /// The region of its group; empty for containers' output that no group asked for, which only goes off the node.
    pub region: String,
    /// Its group.
    pub group: String,
    /// Its own name.
    pub stream: String,
}

/// What the file that names a stream says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct About {
    name: StreamName,
    created_at: u64,
}

const ABOUT: &str = "stream.json";

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: StreamName,
    pub(super) created_at: u64,
    folder: PathBuf,
    /// The oldest first; the last is written.
    pub(super) segments: VecDeque<Segment>,
    /// Written since it was synced.
    pub(super) dirty: bool,
    /// Up to which record it was shipped off the node, when that is to be done.
    pub(super) shipped: Option<u64>,
}

/// What was given up for lack of room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Freed {
    pub(super) bytes: u64,
    /// Records that were not shipped.
    pub(super) unshipped: u64,
}

impl Stream {
    pub(super) fn create(folder: PathBuf, name: StreamName, now: u64) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let about = About { name: name.clone(), created_at: now };
        // Never half a name: a folder without one is none.
        let temporary = folder.join("stream.new");
        std::fs::write(&temporary, serde_json::to_vec(&about)?)?;
        std::fs::rename(&temporary, folder.join(ABOUT))?;
        Ok(Self { name, created_at: now, folder, segments: VecDeque::new(), dirty: false, shipped: None })
    }

    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let about: About = serde_json::from_slice(&std::fs::read(folder.join(ABOUT))?)?;
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let newest = numbers.last().copied();
        let segments = numbers.iter().map(|number| Segment::open(folder, *number, Some(*number) == newest));
        Ok(Self {
            name: about.name,
            created_at: about.created_at,
            folder: folder.to_owned(),
            segments: segments.collect::<io::Result<_>>()?,
            dirty: false,
            shipped: None,
        })
    }

    /// Adds records, and gives the bytes that they take and what had to go for them.
    pub(super) fn append(&mut self, records: &[Record], limits: &Limits) -> io::Result<(u64, Freed)> {
        let full = |segment: &Segment| segment.summary.bytes >= limits.segment;
        if self.segments.back().is_none_or(full) {
            let next = self.segments.back().map_or(1, |last| last.number + 1);
            if let Some(last) = self.segments.back() {
                last.seal()?;
            }
            self.segments.push_back(Segment::new(&self.folder, next));
        }
        let Some(last) = self.segments.back_mut() else { return Ok((0, Freed::default())) };
        let before = last.summary.bytes;
        last.append(records)?;
        let added = last.summary.bytes - before;
        self.dirty = true;
        let mut freed = Freed::default();
        while self.bytes() > limits.stream
            && let Some(gone) = self.drop_oldest()?
        {
            freed.bytes += gone.bytes;
            freed.unshipped += gone.unshipped;
        }
        Ok((added, freed))
    }

    /// Gives up the oldest segment, unless it is the only one: by what is in that, a container's lines are known again.
    pub(super) fn drop_oldest(&mut self) -> io::Result<Option<Freed>> {
        if self.segments.len() < 2 {
            return Ok(None);
        }
        let Some(oldest) = self.segments.pop_front() else { return Ok(None) };
        oldest.remove()?;
        let summary = &oldest.summary;
        let shipped = self.shipped.is_none_or(|shipped| shipped >= summary.last_number);
        let unshipped = if shipped { 0 } else { summary.records };
        Ok(Some(Freed { bytes: summary.bytes, unshipped }))
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(last) = self.segments.back() {
            last.sync()?;
            std::fs::File::open(&self.folder)?.sync_all()?;
        }
        self.dirty = false;
        Ok(())
    }

    pub(super) fn delete(&self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.folder)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.summary.bytes).sum()
    }

    fn summaries(&self) -> impl Iterator<Item = &Summary> {
        self.segments.iter().map(|segment| &segment.summary).filter(|summary| summary.records > 0)
    }

    pub(super) fn last_number(&self) -> u64 {
        self.summaries().map(|summary| summary.last_number).max().unwrap_or(0)
    }

    pub(super) fn last_ingested(&self) -> u64 {
        self.summaries().map(|summary| summary.last_ingested).max().unwrap_or(0)
    }

    /// When it was last written to, or made.
    pub(super) fn touched(&self) -> u64 {
        self.last_ingested().max(self.created_at)
    }

    pub(super) fn about(&self) -> trireme_rpc::logs::Stream {
        trireme_rpc::logs::Stream {
            name: self.name.stream.clone(),
            created_at: self.created_at,
            first_event: self.summaries().map(|summary| summary.first_at).min().unwrap_or(0),
            last_event: self.summaries().map(|summary| summary.last_at).max().unwrap_or(0),
            last_ingested: self.last_ingested(),
            bytes: self.bytes(),
        }
    }
}
