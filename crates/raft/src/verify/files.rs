//! The files: Raft's snapshot, and the checkpoints of the history.

use std::io;

use trireme_state::{Position, State, StateHash};

use super::{Report, Subject};
use crate::config::LogId;
use crate::snapshot::file::{self, Content};
use crate::storage::Files;

/// What the snapshot holds; the beginning when there is none.
pub(super) struct Base {
    pub last: Option<LogId>,
    pub state: State,
}

/// A sound checkpoint.
pub(super) struct Checkpoint {
    pub name: String,
    pub position: Position,
    pub hash: StateHash,
}

fn read(subject: &mut Subject<'_>, files: Which, name: &str) -> io::Result<(Content, StateHash)> {
    let source: &dyn Files = match files {
        Which::Snapshots => subject.snapshots,
        Which::Checkpoints => subject.checkpoints,
    };
    let blob = source.open(name)?;
    let content = file::read(subject.identity.cluster, &blob)?;
    subject.pace(usize::try_from(blob.length()).unwrap_or(usize::MAX))?;
    let hash = trireme_state::hash::state_hash(&content.state);
    Ok((content, hash))
}

#[derive(Clone, Copy)]
enum Which {
    Snapshots,
    Checkpoints,
}

/// Checks the newest snapshot. `None` when it is damaged.
pub(super) fn snapshot(subject: &mut Subject<'_>, report: &mut Report) -> Option<Base> {
    let names = match subject.snapshots.list() {
        Ok(names) => names,
        Err(error) => {
            report.problem("snapshot", "snapshots", error);
            return None;
        }
    };
    let Some(name) = names.last() else {
        report.checked("snapshot: none yet");
        return Some(Base { last: None, state: State::new() });
    };
    match read(subject, Which::Snapshots, name) {
        Ok((content, hash)) => {
            let position = content.state.position().sequence;
            report.checked(format!("snapshot: event {position}, state hash {hash}"));
            Some(Base { last: content.meta.last_log_id, state: content.state })
        }
        // The node has replaced it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            report.problem("snapshot", name.clone(), error);
            None
        }
    }
}

/// Checks every checkpoint, and gives those that are sound, the oldest first.
pub(super) fn checkpoints(subject: &mut Subject<'_>, report: &mut Report) -> Vec<Checkpoint> {
    let names = match subject.checkpoints.list() {
        Ok(names) => names,
        Err(error) => {
            report.problem("checkpoint", "checkpoints", error);
            return Vec::new();
        }
    };
    let mut sound = Vec::new();
    for name in names {
        match read(subject, Which::Checkpoints, &name) {
            Ok((content, hash)) => {
                sound.push(Checkpoint { name, position: content.state.position(), hash });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => report.problem("checkpoint", name, error),
        }
    }
    report.checked(format!("checkpoints: {} sound", sound.len()));
    sound
}

/// The state of a checkpoint.
pub(super) fn load(subject: &mut Subject<'_>, checkpoint: &Checkpoint) -> io::Result<State> {
    read(subject, Which::Checkpoints, &checkpoint.name).map(|(content, _)| content.state)
}
