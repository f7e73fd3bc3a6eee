//! The log: each entry is readable, under its own index, without holes, in the order of its terms; the vote is at least as
//! high. From a snapshot and the entries behind it comes the state that the node would start with.

use std::io;

use openraft::EntryPayload;
use prost::Message;
use trireme_rpc::log as wire_log;
use trireme_state::{Applied, State, apply_entry};

use super::files::Base;
use super::{Report, Subject, Tip};
use crate::config::{LogEntry, LogId, Vote};
use crate::error::corrupt;
use crate::log::keys;
use crate::log::mark::Durable;
use crate::storage::Family;
use crate::wire;

/// Entries that are read at once.
const READ: usize = 256;

/// What is in the log.
pub(super) struct Entries {
    pub durable: Durable,
    /// The last entry that is known to be committed.
    pub committed: Option<LogId>,
}

fn stored<T>(
    subject: &Subject<'_>,
    key: &[u8],
    read: impl FnOnce(bytes::Bytes) -> io::Result<T>,
) -> io::Result<Option<T>> {
    subject.kv.get(Family::Meta, key)?.map(read).transpose()
}

fn log_id(bytes: bytes::Bytes) -> io::Result<LogId> {
    wire::log_id_from_wire(wire_log::LogId::decode(bytes).map_err(corrupt)?)
}

fn vote(bytes: bytes::Bytes) -> io::Result<Vote> {
    wire::vote_from_wire(Some(wire_log::Vote::decode(bytes).map_err(corrupt)?))
}

/// The next entries from `from` on, with the indexes under which they lie, and their bytes.
pub(super) fn read(subject: &Subject<'_>, from: u64) -> io::Result<(Vec<LogEntry>, usize)> {
    let (mut found, mut bytes) = (Vec::new(), 0usize);
    subject.kv.scan(Family::Log, &keys::number(from), &keys::end(), &mut |key, value| {
        bytes = bytes.saturating_add(value.len());
        let at = keys::to_number(key).ok_or_else(|| corrupt("an entry lies under no index"))?;
        let failed = |error: io::Error| corrupt(format!("entry {at}: {error}"));
        let entry = wire_log::LogEntry::decode(value).map_err(corrupt).and_then(wire::entry_from_wire);
        let entry = entry.map_err(failed)?;
        if entry.log_id.index != at {
            return Err(corrupt(format!("entry {} lies under index {at}", entry.log_id.index)));
        }
        if let EntryPayload::Normal(batch) = &entry.payload {
            batch.entries().map_err(failed)?;
        }
        found.push(entry);
        Ok(found.len() < READ)
    })?;
    Ok((found, bytes))
}

/// Checks the log and the vote. `None` when there is nothing to go on from.
pub(super) fn check(subject: &mut Subject<'_>, report: &mut Report) -> Option<Entries> {
    match look(subject, report) {
        Ok(entries) => Some(entries),
        Err(error) => {
            report.problem("log", "raft_meta", error);
            None
        }
    }
}

fn look(subject: &mut Subject<'_>, report: &mut Report) -> io::Result<Entries> {
    let vote = stored(subject, keys::VOTE, vote)?;
    let committed = stored(subject, keys::COMMITTED, log_id)?;
    let purged = stored(subject, keys::PURGED, log_id)?;
    let (mut last, mut count) = (purged, 0u64);
    loop {
        let from = last.map_or(0, |id| id.index.saturating_add(1));
        let (entries, bytes) = match read(subject, from) {
            Ok(found) => found,
            Err(error) => {
                report.problem("log", format!("behind entry {}", show(last)), error);
                break;
            }
        };
        let end = entries.len() < READ;
        for entry in entries {
            let expected = last.map_or(0, |id| id.index.saturating_add(1));
            if entry.log_id.index != expected {
                let reason = format!("there is a hole before entry {}", entry.log_id.index);
                report.problem("log", format!("entry {expected}"), reason);
            }
            if last.is_some_and(|last| entry.log_id.leader_id < last.leader_id) {
                let place = format!("entry {}", entry.log_id.index);
                report.problem("log", place, "it is of an older term than the one before it");
            }
            last = Some(entry.log_id);
            count = count.saturating_add(1);
        }
        subject.pace(bytes)?;
        if end {
            break;
        }
    }
    let term = last.map(|id| id.leader_id.term);
    if term > vote.map(|vote| vote.leader_id.term) {
        report.problem("log", "vote", format!("it is older than the last entry, {}", show(last)));
    }
    report.checked(format!(
        "log: {count} entries, purged up to {}, the last is {}",
        show(purged),
        show(last)
    ));
    Ok(Entries { durable: Durable { vote, last, purged }, committed })
}

fn show(id: Option<LogId>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

/// The state that the node would start with, and where the log behind it leads.
pub(super) fn tip(
    subject: &mut Subject<'_>,
    base: Base,
    entries: &Entries,
    report: &mut Report,
) -> Option<Tip> {
    if base.last < entries.durable.purged {
        let reason = format!(
            "it covers {}, and the log before {} is gone",
            show(base.last),
            show(entries.durable.purged)
        );
        report.problem("snapshot", "its end", reason);
        return None;
    }
    let least = base.state.position();
    match follow(subject, base, entries) {
        Ok((state, marks, last)) => Some(Tip { state, marks, last, least }),
        Err(error) => {
            report.problem("log", "behind the snapshot", error);
            None
        }
    }
}

type Followed = (State, Vec<trireme_state::Position>, trireme_state::Position);

fn follow(subject: &mut Subject<'_>, base: Base, entries: &Entries) -> io::Result<Followed> {
    let mut ahead = base.state;
    let mut state = ahead.clone();
    let mut marks = vec![ahead.position()];
    let mut next = base.last.map_or(0, |id| id.index.saturating_add(1));
    loop {
        let (found, bytes) = read(subject, next)?;
        if found.is_empty() {
            return Ok((state, marks, ahead.position()));
        }
        for entry in found {
            if let EntryPayload::Normal(batch) = &entry.payload {
                for one in batch.entries()?.iter() {
                    if apply_entry(&mut ahead, one) == Applied::Applied {
                        marks.push(ahead.position());
                    }
                }
            }
            if entries.committed.is_some_and(|committed| entry.log_id <= committed) {
                state = ahead.clone();
            }
            next = entry.log_id.index.saturating_add(1);
        }
        subject.pace(bytes)?;
    }
}
