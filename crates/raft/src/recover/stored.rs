//! What is stored on a node that does not run: looked at before a recovery, and rewritten by it.

use std::io;
use std::sync::Arc;

use openraft::EntryPayload;
use prost::Message;
use trireme_rpc::log;
use trireme_state::Position;
use trireme_types::ClusterUuid;

use super::Outlook;
use crate::backup::restore::alone;
use crate::checkpoint::Checkpoints;
use crate::config::{LeaderId, LogEntry, LogId, StoredMembership, Vote};
use crate::error::corrupt;
use crate::history::{Extent, History, position_from_wire, position_to_wire, put_extent};
use crate::identity::Identity;
use crate::log::keys;
use crate::membership::Member;
use crate::snapshot::file::Header;
use crate::storage::{Blob, Family, Kv, Op, Storage};
use crate::wire;

/// What is there.
pub(super) struct Found {
    /// The last entry of the log, purged or not.
    log_end: Option<LogId>,
    /// The last entry in the snapshot.
    snapshot: Option<LogId>,
    /// The last entry that is known to be committed.
    pub committed: Option<LogId>,
    /// The newest.
    pub membership: StoredMembership,
}

impl Found {
    /// The last entry that this node has, in its log or in its snapshot.
    pub(super) fn last(&self) -> Option<LogId> {
        self.log_end.max(self.snapshot)
    }

    /// Power failed when a snapshot was installed, and before the log was purged up to it. The rest of the log leads nowhere.
    fn snapshot_is_ahead(&self) -> bool {
        self.snapshot > self.log_end
    }
}

fn newest_snapshot(storage: &Storage) -> io::Result<Option<Blob>> {
    storage.files.list()?.pop().map(|name| storage.files.open(&name)).transpose()
}

fn log_id(kv: &dyn Kv, key: &[u8]) -> io::Result<Option<LogId>> {
    let Some(bytes) = kv.get(Family::Meta, key)? else { return Ok(None) };
    wire::log_id_from_wire(log::LogId::decode(bytes).map_err(corrupt)?).map(Some)
}

/// Looks at log and snapshot.
pub(super) fn inspect(storage: &Storage, cluster: ClusterUuid) -> io::Result<Found> {
    let (purged, committed) = (log_id(&*storage.kv, keys::PURGED)?, log_id(&*storage.kv, keys::COMMITTED)?);
    let (mut snapshot, mut in_snapshot) = (None, StoredMembership::default());
    if let Some(blob) = newest_snapshot(storage)? {
        let meta = Header::read(cluster, &blob)?.meta()?;
        (snapshot, in_snapshot) = (meta.last_log_id, meta.last_membership);
    }
    let (mut log_end, mut membership) = (purged, in_snapshot.clone());
    let from = purged.map_or(0, |id| id.index.saturating_add(1));
    storage.kv.scan(Family::Log, &keys::number(from), &keys::end(), &mut |_, value| {
        let entry = wire::entry_from_wire(log::LogEntry::decode(value).map_err(corrupt)?)?;
        if let EntryPayload::Membership(found) = &entry.payload {
            membership = StoredMembership::new(Some(entry.log_id), found.clone());
        }
        log_end = Some(entry.log_id);
        Ok(true)
    })?;
    let committed = committed.max(purged).max(snapshot);
    let mut found = Found { log_end, snapshot, committed, membership };
    if found.snapshot_is_ahead() {
        found.membership = in_snapshot;
    }
    Ok(found)
}

/// What a node was before a recovery was begun on it.
pub(super) struct Before {
    pub last: Option<LogId>,
    pub committed: Option<LogId>,
    pub position: Position,
    pub membership: StoredMembership,
}

impl Before {
    fn put(&self) -> Op {
        let message = log::RecoveryBegun {
            last: self.last.map(wire::log_id_to_wire),
            committed: self.committed.map(wire::log_id_to_wire),
            position: Some(position_to_wire(self.position)),
            membership: Some(wire::stored_to_wire(&self.membership)),
        };
        put(Family::Meta, keys::RECOVERY_BEGUN.to_vec(), message.encode_to_vec())
    }

    /// As [`rewrite`] wrote it down.
    pub(super) fn read(kv: &dyn Kv) -> io::Result<Self> {
        let bytes = kv.get(Family::Meta, keys::RECOVERY_BEGUN)?;
        let bytes = bytes.ok_or_else(|| corrupt("a recovery was begun, but not what was there before it"))?;
        let message = log::RecoveryBegun::decode(bytes).map_err(corrupt)?;
        let position = message.position.ok_or_else(|| corrupt("a place is missing"))?;
        Ok(Self {
            last: wire::some_log_id(message.last)?,
            committed: wire::some_log_id(message.committed)?,
            position: position_from_wire(&position)?,
            membership: wire::stored_from_wire(message.membership)?,
        })
    }
}

fn put(family: Family, key: Vec<u8>, value: Vec<u8>) -> Op {
    Op::Put(family, key, value.into())
}

/// One write: whose data they are, what they were, a membership behind the log in which this node is alone, and a vote for itself.
pub(super) fn rewrite(storage: &Storage, next: Identity, from: &Outlook, member: &Member) -> io::Result<()> {
    let found = inspect(storage, next.cluster)?;
    let vote = match storage.kv.get(Family::Meta, keys::VOTE)? {
        None => None,
        Some(bytes) => {
            let vote = log::Vote::decode(bytes).map_err(corrupt)?;
            Some(wire::vote_from_wire(Some(vote))?)
        }
    };
    let last = found.last();
    let terms = [vote.map(|vote| vote.leader_id.term), last.map(|id| id.leader_id.term)];
    let term = terms.into_iter().flatten().max().unwrap_or(0).saturating_add(1);
    let leader_id = LeaderId { term, node_id: next.node_id };
    let index = last.map_or(0, |id| id.index.saturating_add(1));
    let payload = EntryPayload::Membership(alone(next.node_id, member)?);
    let entry = LogEntry { log_id: LogId { leader_id, index }, payload };
    let vote = Vote { leader_id, committed: true };
    let mut ops = match found.snapshot {
        Some(covered) if found.snapshot_is_ahead() => purge(covered),
        _ => Vec::new(),
    };
    ops.extend([
        put(Family::Meta, keys::IDENTITY.to_vec(), next.to_text().into_bytes()),
        put(Family::Meta, keys::VOTE.to_vec(), wire::vote_to_wire(&vote).encode_to_vec()),
        put(Family::Log, keys::number(index), wire::entry_to_wire(&entry).encode_to_vec()),
    ]);
    let (committed, membership) = (found.committed, found.membership);
    ops.push(Before { last, committed, position: from.position, membership }.put());
    ops.extend(without_gap(storage, next)?);
    storage.kv.write(ops)?;
    storage.kv.sync()
}

/// The log is gone up to the snapshot's end.
fn purge(covered: LogId) -> Vec<Op> {
    let id = wire::log_id_to_wire(covered).encode_to_vec();
    vec![
        Op::DeleteRange(Family::Log, keys::number(0), keys::end()),
        put(Family::Meta, keys::PURGED.to_vec(), id.clone()),
        put(Family::Meta, keys::COMMITTED.to_vec(), id),
    ]
}

/// What a snapshot jumped over was on the other nodes only: the history begins behind it from now on.
fn without_gap(storage: &Storage, identity: Identity) -> io::Result<Vec<Op>> {
    let history = History::open(Arc::clone(&storage.kv))?;
    let snapshot = newest_snapshot(storage)?;
    if let Some(snapshot) = &snapshot {
        // It may have been installed, and the jump not written down yet.
        history.jump(Header::read(identity.cluster, snapshot)?.position()?)?;
    }
    let Some((_, to)) = history.extent().gap else { return Ok(Vec::new()) };
    let checkpoints = Checkpoints::open(Arc::clone(&storage.checkpoints), identity.cluster)?;
    let mut start = to;
    if checkpoints.newest_sound(to.sequence, to.sequence)?.is_none() {
        let snapshot = snapshot.ok_or_else(|| corrupt("there is no snapshot behind the gap"))?;
        start = Header::read(identity.cluster, &snapshot)?.position()?;
        checkpoints.copy(start, &snapshot)?;
    }
    let end = keys::number(start.sequence.get().saturating_add(1));
    Ok(vec![Op::DeleteRange(Family::History, keys::number(0), end), put_extent(Extent { start, gap: None })])
}
