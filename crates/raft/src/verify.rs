//! Verifying what a control node keeps: each record's checksum, the chain of hashes from the history's start to the last event,
//! each checkpoint and the snapshot against that chain, the log, the vote, the mark of what is durable; and a replay of the
//! history to the state, whose hash must be that of every state on the way. Nothing is changed.
//!
//! Reading order: [`folder`] (a node that is stopped) · [`running`] (one that runs) · `log` · `files` · `history`.

mod files;
mod history;
mod log;

use std::io;
use std::sync::Arc;

use trireme_state::{FeatureLevel, Position, State, StateHash};

use crate::agreement;
use crate::error::Error;
use crate::identity::{Folder, Identity};
use crate::level;
use crate::log::mark::Mark;
use crate::machine::View;
use crate::network::fence;
use crate::storage::{Files, Kv, Storage};

/// Problems that are told at most; a broken part has many.
const PROBLEMS: usize = 20;
const REJOIN: &str = "stop this node, let it leave (`trireme server leave`), remove its data folder and join it anew; if no \
                      other node is sound, restore a backup";
/// Tries at a part that changes under the reader.
const TRIES: usize = 5;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In which part: database, log, mark, history, checkpoint, snapshot or state.
    pub part: &'static str,
    /// Where in it, such as `event 17`.
    pub place: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub advice: &'static str,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}: {}", self.part, self.place, self.reason)
    }
}

/// What verifying came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose data they are.
    pub identity: Identity,
    /// The state's place in the history.
    pub position: Position,
    /// The state's hash.
    pub state_hash: Option<StateHash>,
    /// What was checked, a line each.
    pub checked: Vec<String>,
    /// What is wrong. None: all is well.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Nothing was looked at yet.
    pub(crate) fn new(identity: Identity) -> Self {
        let (position, state_hash) = (Position::default(), None);
        Self { identity, position, state_hash, checked: Vec::new(), problems: Vec::new() }
    }

    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn checked(&mut self, what: impl Into<String>) {
        self.checked.push(what.into());
    }

    pub(crate) fn problem(
        &mut self,
        part: &'static str,
        place: impl Into<String>,
        reason: impl std::fmt::Display,
    ) {
        if self.problems.len() < PROBLEMS {
            let (place, reason) = (place.into(), reason.to_string());
            self.problems.push(Problem { part, place, reason, advice: REJOIN });
        }
    }
}

/// What is looked at, and how fast: `pace` is told the bytes that were read, and may take its time. False: give up.
struct Subject<'a> {
    identity: Identity,
    kv: &'a dyn Kv,
    snapshots: &'a dyn Files,
    checkpoints: &'a dyn Files,
    pace: &'a mut dyn FnMut(usize) -> bool,
}

impl Subject<'_> {
    fn pace(&mut self, bytes: usize) -> io::Result<()> {
        if (self.pace)(bytes) { Ok(()) } else { Err(io::Error::new(io::ErrorKind::Interrupted, "given up")) }
    }
}

/// The state that a node has applied, or would apply at its start.
#[derive(Debug, Clone, Default)]
struct Tip {
    state: State,
    /// Where entries of the log end in the history, up to and beyond the state: what the records must lead to.
    marks: Vec<Position>,
    /// How far the log goes.
    last: Position,
    /// The history must reach so far.
    least: Position,
}

/// Verifies the folder of a node that is stopped. It is opened to be read only; nobody else may have it open.
///
/// # Errors
/// It holds no node, or cannot be read. What is damaged is not an error: it is in the report.
pub fn folder(folder: &Folder) -> Result<Report, Error> {
    let identity = match folder.identity() {
        Ok(found) => found.ok_or_else(|| Error::NotInitialised { path: folder.path().to_owned() })?,
        Err(error) => return damaged(nobody(), error),
    };
    match folder.look(identity) {
        Ok(storage) => {
            let report = stored(identity, &storage);
            storage.kv.close();
            report
        }
        Err(error) => damaged(identity, error),
    }
}

fn nobody() -> Identity {
    Identity { cluster: trireme_types::ClusterUuid::from_bits(0), incarnation: 0, node_id: 0 }
}

/// What cannot even be opened is a finding; what cannot be reached is not.
fn damaged(identity: Identity, error: Error) -> Result<Report, Error> {
    let mut report = Report::new(identity);
    match error {
        Error::Damaged { path, reason } => report.problem("database", path.display().to_string(), reason),
        Error::WrongData { ref path, .. } => report.problem("database", path.display().to_string(), &error),
        other => return Err(other),
    }
    Ok(report)
}

fn stored(identity: Identity, storage: &Storage) -> Result<Report, Error> {
    let mut report = Report::new(identity);
    let mut subject = Subject {
        identity,
        kv: &*storage.kv,
        snapshots: &*storage.files,
        checkpoints: &*storage.checkpoints,
        pace: &mut |_| true,
    };
    refusals(&subject, &mut report)?;
    let snapshot = files::snapshot(&mut subject, &mut report);
    let entries = log::check(&mut subject, &mut report);
    if let Some(entries) = &entries {
        match Mark::open(Arc::clone(&storage.mark)) {
            Ok(mark) => match mark.check(entries.durable) {
                Ok(()) => report.checked("the mark of what is durable: the log and the vote reach it"),
                Err(error) => report.problem("mark", "durable", error),
            },
            Err(error) => report.problem("mark", "durable", error),
        }
    }
    let tip = match (snapshot, entries) {
        (Some(snapshot), Some(entries)) => log::tip(&mut subject, snapshot, &entries, &mut report),
        _ => None,
    };
    finish(&mut subject, tip, &mut report)?;
    Ok(report)
}

/// What a node would refuse to start with.
fn refusals(subject: &Subject<'_>, report: &mut Report) -> Result<(), Error> {
    let refusals = [
        level::check_storage(subject.kv, FeatureLevel::LATEST),
        agreement::check_storage(subject.kv),
        fence::check_storage(subject.kv, subject.identity),
    ];
    for refused in refusals {
        match refused {
            Ok(()) => {}
            Err(Error::Storage(error)) if error.kind() != io::ErrorKind::InvalidData => {
                return Err(Error::Storage(error));
            }
            Err(Error::Storage(error)) => report.problem("database", "raft_meta", error),
            Err(error @ Error::FeatureLevel { .. }) => return Err(error),
            Err(error) => report.problem("state", "this node", error),
        }
    }
    Ok(())
}

fn finish(subject: &mut Subject<'_>, tip: Option<Tip>, report: &mut Report) -> Result<(), Error> {
    if let Some(tip) = &tip {
        report.position = tip.state.position();
    }
    let checkpoints = files::checkpoints(subject, report);
    history::check(subject, tip.as_ref(), &checkpoints, report).map_err(Error::Storage)
}

/// Verifies what a running node keeps, against the state that it has applied. It blocks; `pace` is told what was read and
/// says whether to go on. What the node deletes meanwhile is looked at again.
///
/// # Errors
/// Storage that fails, or `pace` gave up.
pub(crate) fn running(
    identity: Identity,
    storage: &Parts,
    view: &dyn Fn() -> Arc<View>,
    pace: &mut dyn FnMut(usize) -> bool,
) -> Result<Report, Error> {
    let mut tries = 0;
    loop {
        let before = moving(&*storage.kv).map_err(Error::Storage)?;
        let applied = view();
        let mut report = Report::new(identity);
        let mut subject = Subject {
            identity,
            kv: &*storage.kv,
            snapshots: &*storage.snapshots,
            checkpoints: &*storage.checkpoints,
            pace: &mut *pace,
        };
        let _content = files::snapshot(&mut subject, &mut report);
        let _entries = log::check(&mut subject, &mut report);
        let state = State::clone(&applied.state);
        let last = state.position();
        let tip = Tip { state, marks: Vec::new(), last, least: last };
        finish(&mut subject, Some(tip), &mut report)?;
        tries += 1;
        let moved = moving(&*storage.kv).map_err(Error::Storage)? != before;
        if report.is_sound() || !moved || tries >= TRIES {
            return Ok(report);
        }
    }
}

/// What is deleted while a node runs: the log before a snapshot, the history before a checkpoint.
fn moving(kv: &dyn Kv) -> io::Result<Vec<Option<bytes::Bytes>>> {
    use crate::log::keys;
    let keys = [keys::PURGED, keys::HISTORY_EXTENT];
    keys.into_iter().map(|key| kv.get(crate::storage::Family::Meta, key)).collect()
}

/// A running node's storage.
#[derive(Clone)]
pub(crate) struct Parts {
    pub kv: Arc<dyn Kv>,
    pub snapshots: Arc<dyn Files>,
    pub checkpoints: Arc<dyn Files>,
}
