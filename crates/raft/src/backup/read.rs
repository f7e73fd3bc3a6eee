//! Reading a backup: each frame, the hash of all, the state's own hash, the history's chain and its replay to the state.
//! What passes is whole, and says one thing.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use prost::Message;
use trireme_rpc::log;
use trireme_rpc::log::HistoryRecord;
use trireme_state::hash::state_hash;
use trireme_state::{FeatureLevel, Position, State, codec};

use super::Summary;
use super::frame::{Frames, What};
use crate::error::{Error, corrupt};
use crate::history::replay;
use crate::snapshot::file::check_hash;

/// What takes the parts of a backup as they are read. They are checked one by one; the whole is known to be sound only at
/// the end.
pub(crate) trait Sink {
    /// Before everything else.
    fn begin(&mut self, summary: &Summary) -> io::Result<()>;
    /// The state, and the state at the history's start if it is another one.
    fn states(&mut self, state: &State, checkpoint: Option<&State>) -> io::Result<()>;
    /// Some records, in order.
    fn records(&mut self, records: Vec<HistoryRecord>) -> io::Result<()>;
}

/// Takes nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn begin(&mut self, _: &Summary) -> io::Result<()> {
        Ok(())
    }

    fn states(&mut self, _: &State, _: Option<&State>) -> io::Result<()> {
        Ok(())
    }

    fn records(&mut self, _: Vec<HistoryRecord>) -> io::Result<()> {
        Ok(())
    }
}

/// Checks a whole backup, and gives what it says of itself. It needs no cluster and no node.
///
/// # Errors
/// A file that is no backup, is damaged, cut short, or of a later format; one that cannot be read.
pub fn check(path: &Path) -> Result<Summary, Error> {
    read(path, &mut Nowhere)
}

/// Reads a whole backup into `sink`.
pub(crate) fn read(path: &Path, sink: &mut dyn Sink) -> Result<Summary, Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => Error::Backup { path: path.to_owned(), reason: error.to_string() },
        _ => Error::Folder { path: path.to_owned(), source: error },
    };
    let file = File::open(path).map_err(failed)?;
    Reading::of(file, sink).map_err(failed)
}

struct Reading<'a> {
    frames: Frames<BufReader<File>>,
    summary: Summary,
    sink: &'a mut dyn Sink,
}

impl<'a> Reading<'a> {
    fn of(file: File, sink: &'a mut dyn Sink) -> io::Result<Summary> {
        let mut frames = Frames::open(BufReader::with_capacity(1 << 20, file))?;
        let (What::Header, header, _) = frames.next()? else {
            return Err(corrupt("it does not begin with its header"));
        };
        let summary = Summary::from_wire(log::BackupHeader::decode(header).map_err(corrupt)?)?;
        if summary.level > FeatureLevel::LATEST {
            return Err(corrupt(Error::FeatureLevel {
                cluster: summary.level,
                supported: FeatureLevel::LATEST,
            }));
        }
        sink.begin(&summary)?;
        Self { frames, summary, sink }.rest()
    }

    fn rest(mut self) -> io::Result<Summary> {
        let state = self.state(What::State, self.summary.state_length)?;
        if state.position() != self.summary.position || state.level() != self.summary.level {
            return Err(corrupt("its state is not the one that its header names"));
        }
        check_hash(&state, self.summary.state_hash)?;
        let start = self.summary.history_start;
        let checkpoint = match self.summary.checkpoint_length {
            0 => None,
            length => Some(self.state(What::Checkpoint, length)?),
        };
        if checkpoint.as_ref().is_some_and(|state| state.position() != start) {
            return Err(corrupt("its checkpoint is not at the start of its history"));
        }
        let base = checkpoint.clone().or_else(|| (start == Position::default()).then(State::new));
        let base = base.or_else(|| (start == state.position()).then(|| state.clone()));
        let base = base.ok_or_else(|| corrupt("its history has nothing to be replayed from"))?;
        self.sink.states(&state, checkpoint.as_ref())?;
        self.replay(base, &state)?;
        self.frames.ended()?;
        Ok(self.summary)
    }

    fn state(&mut self, expected: What, length: u64) -> io::Result<State> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let (what, content, _) = self.frames.next()?;
            if what != expected {
                return Err(corrupt("its parts are not in their order"));
            }
            bytes.extend_from_slice(&content);
        }
        if bytes.len() as u64 != length {
            return Err(corrupt("a state in it is longer than its header says"));
        }
        codec::decode_snapshot(&bytes).map_err(corrupt)
    }

    /// The records, up to and with the end.
    fn replay(&mut self, mut replayed: State, state: &State) -> io::Result<()> {
        let mut count = 0u64;
        loop {
            let (what, content, before) = self.frames.next()?;
            match what {
                What::Records => {
                    let part = log::BackupRecords::decode(content).map_err(corrupt)?;
                    count = count.saturating_add(part.records.len() as u64);
                    for record in &part.records {
                        replay::apply(&mut replayed, record)?;
                    }
                    self.sink.records(part.records)?;
                }
                What::End => {
                    let end = log::BackupEnd::decode(content).map_err(corrupt)?;
                    if end.sha256 != before[..] {
                        return Err(corrupt("its hash is not that of its content"));
                    }
                    break;
                }
                _ => return Err(corrupt("its parts are not in their order")),
            }
        }
        if count != self.summary.records || replayed.position() != state.position() {
            return Err(corrupt(format!("its history leads to event {}", replayed.position().sequence)));
        }
        let found = state_hash(&replayed);
        if found != self.summary.state_hash {
            let expected = self.summary.state_hash;
            return Err(corrupt(format!(
                "a replay of its history comes to hash {found}, its state has {expected}"
            )));
        }
        Ok(())
    }
}
