//! Recovery from a lost quorum: the log of one node that is left becomes the cluster's, under the next incarnation. What only
//! the others had is lost, and the history says so. The others are fenced: they answer nothing and are answered nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::EntryPayload;
use prost::Message;
use trireme_rpc::control;
use trireme_rpc::control::control_client::ControlClient;
use trireme_state::object::RestoreSource;
use trireme_state::store::Store;
use trireme_state::{Actor, Command, Position, Proposal};
use trireme_types::{RequestId, Sequence};

use crate::backup::restore::alone;
use crate::checkpoint::Checkpoints;
use crate::config::{LeaderId, LogEntry, LogId, Settings, StoredMembership, Vote};
use crate::error::{Error, corrupt};
use crate::history::{Extent, History, put_extent};
use crate::identity::{Folder, Identity, owner};
use crate::log::keys;
use crate::membership::Member;
use crate::network::peers::{Connect, TcpConnect};
use crate::node::{Node, World};
use crate::snapshot::file;
use crate::storage::{Family, Op, Storage};
use crate::store::within;
use crate::verify::{self, Report};
use crate::vitals::is_of;
use crate::wire;

/// For another member to say that it lives.
const ANSWER: Duration = Duration::from_secs(1);

/// What is in the folder of a node that does not run.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// Which node of which cluster.
    pub identity: Identity,
    /// The last entry of its log.
    pub last: Option<LogId>,
    /// The last entry that it knows to be committed.
    pub committed: Option<LogId>,
    /// Where its state is in the history, as far as it is known to be committed.
    pub position: Position,
    /// Who is a member, and whether it votes.
    pub members: Vec<(u64, Member, bool)>,
    /// What verifying it came to.
    pub report: Report,
    /// A recovery to this incarnation was begun here, and not ended.
    pub begun: Option<u64>,
}

impl Outlook {
    /// Entries behind the last that is known to be committed. They are kept: any of them may have been acknowledged.
    pub fn uncommitted(&self) -> u64 {
        let index = |id: Option<LogId>| id.map_or(0, |id| id.index);
        index(self.last).saturating_sub(index(self.committed))
    }

    /// The log index after which acknowledged writes may be lost.
    pub fn last_index(&self) -> u64 {
        self.last.map_or(0, |id| id.index)
    }

    fn quorum(&self) -> usize {
        self.members.iter().filter(|(.., votes)| *votes).count() / 2 + 1
    }
}

/// What came of a recovery.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The node, in the new incarnation.
    pub identity: Identity,
    /// What it was made from.
    pub from: Outlook,
    /// Members of the earlier incarnation that still answer. They are fenced once they hear of the new one.
    pub alive: Vec<u64>,
}

/// Looks at the folder of a node that does not run. Nothing is changed.
///
/// # Errors
/// It holds no node, or cannot be read.
pub fn look(folder: &Folder) -> Result<Outlook, Error> {
    let identity = folder.require_identity()?;
    let begun = begun(folder, identity)?;
    let inside = begun.map_or(identity, |incarnation| Identity { incarnation, ..identity });
    let report = match begun {
        None => verify::folder(folder)?,
        Some(_) => Report::new(identity),
    };
    let mut outlook = Outlook {
        identity,
        last: None,
        committed: None,
        position: report.position,
        members: Vec::new(),
        report,
        begun,
    };
    if outlook.report.is_sound() {
        let storage = folder.look(inside)?;
        let found = inspect(&storage, identity);
        storage.kv.close();
        let (last, committed, membership) = found.map_err(Error::Storage)?;
        (outlook.last, outlook.committed) = (last, committed);
        outlook.members = members(&membership);
    }
    Ok(outlook)
}

/// The incarnation of a recovery that was cut short: the database is of it, the identity file is not yet.
fn begun(folder: &Folder, identity: Identity) -> Result<Option<u64>, Error> {
    let next = Identity { incarnation: identity.incarnation.saturating_add(1), ..identity };
    match folder.look(next) {
        Ok(storage) => {
            let found = owner(&*storage.kv)?;
            storage.kv.close();
            Ok(found.map(|found| found.incarnation))
        }
        // It is as it should be, or verifying tells what is wrong.
        Err(Error::WrongData { .. } | Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn members(membership: &StoredMembership) -> Vec<(u64, Member, bool)> {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    membership.nodes().map(|(id, member)| (*id, member.clone(), voters.contains(id))).collect()
}

type Found = (Option<LogId>, Option<LogId>, StoredMembership);

/// The last entry, the last that is known to be committed, and the newest membership.
fn inspect(storage: &Storage, identity: Identity) -> std::io::Result<Found> {
    let id = |key: &[u8]| -> std::io::Result<Option<LogId>> {
        let Some(bytes) = storage.kv.get(Family::Meta, key)? else { return Ok(None) };
        wire::log_id_from_wire(trireme_rpc::log::LogId::decode(bytes).map_err(corrupt)?).map(Some)
    };
    let (purged, committed) = (id(keys::PURGED)?, id(keys::COMMITTED)?);
    let mut membership = StoredMembership::default();
    if let Some(name) = storage.files.list()?.pop() {
        membership =
            file::Header::read(identity.cluster, &storage.files.open(&name)?)?.meta()?.last_membership;
    }
    let mut last = purged;
    let from = purged.map_or(0, |id| id.index.saturating_add(1));
    storage.kv.scan(Family::Log, &keys::number(from), &keys::end(), &mut |_, value| {
        let entry = trireme_rpc::log::LogEntry::decode(value).map_err(corrupt)?;
        let entry = wire::entry_from_wire(entry)?;
        if let EntryPayload::Membership(found) = &entry.payload {
            membership = StoredMembership::new(Some(entry.log_id), found.clone());
        }
        last = Some(entry.log_id);
        Ok(true)
    })?;
    Ok((last, committed.max(purged), membership))
}

/// Makes the node of `folder` the only voter of its cluster's next incarnation. It must not run, and nobody else may be left
/// to make a quorum.
///
/// # Errors
/// A quorum of the members answers; the folder is damaged, or in use; storage that fails.
pub async fn force(folder: &Folder, settings: &Settings) -> Result<Recovered, Error> {
    let from = look(folder)?;
    if let Some(problem) = from.report.problems.first() {
        let reason = format!(
            "this node's data are damaged ({problem}); recover from another node, or restore a backup"
        );
        return Err(Error::Refused { reason });
    }
    let (identity, own) = (from.identity, from.identity.node_id);
    let member = from.members.iter().find(|(id, ..)| *id == own).map(|(_, member, _)| member.clone());
    let member = member.ok_or_else(|| Error::Refused {
        reason: format!("node {own} is not a member of its cluster any more: recover from another node"),
    })?;
    let alive = alive(&from, &TcpConnect::new(settings)).await;
    if alive.len() >= from.quorum() {
        let reason = format!(
            "nodes {alive:?} of the cluster answer, and they are a quorum: nothing is lost; start this node, or let it \
             leave and join anew"
        );
        return Err(Error::Refused { reason });
    }
    let next = Identity { incarnation: identity.incarnation.saturating_add(1), ..identity };
    let storage = folder.open(if from.begun.is_some() { next } else { identity })?;
    if from.begun.is_none()
        && let Err(error) = rewrite(&storage, next, &from, &member)
    {
        storage.kv.close();
        return Err(Error::Storage(error));
    }
    let source = RestoreSource::Survivor {
        node_id: own,
        log_index: from.last_index(),
        log_term: from.last.map_or(0, |id| id.leader_id.term),
    };
    let record = Command::RecordRestore { incarnation: next.incarnation, source };
    let start = History::open(Arc::clone(&storage.kv)).map_err(Error::Storage)?.extent().start.sequence;
    begin(next, storage, settings, record, start).await?;
    // Last: until then the folder is no node's, and the recovery may be repeated.
    folder.replace_identity(next)?;
    Ok(Recovered { identity: next, from, alive })
}

/// Which of the other voters answer, as members of the same incarnation.
async fn alive(outlook: &Outlook, connect: &dyn Connect) -> Vec<u64> {
    let others = outlook.members.iter().filter(|(id, _, votes)| *votes && *id != outlook.identity.node_id);
    let asked = others.map(|(id, member, _)| async move {
        let channel = connect.connect(&member.peer_address).ok()?;
        let answer =
            within(ANSWER, ControlClient::new(channel).status(control::StatusRequest {})).await?.ok()?;
        let answer = answer.into_inner();
        (answer.node_id == *id && is_of(&answer, outlook.identity)).then_some(*id)
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// One write: whose data they are, a membership behind the log in which this node is alone, and a vote for itself.
fn rewrite(storage: &Storage, next: Identity, from: &Outlook, member: &Member) -> std::io::Result<()> {
    let vote = match storage.kv.get(Family::Meta, keys::VOTE)? {
        None => None,
        Some(bytes) => {
            let vote = trireme_rpc::log::Vote::decode(bytes).map_err(corrupt)?;
            Some(wire::vote_from_wire(Some(vote))?)
        }
    };
    let terms = [vote.map(|vote| vote.leader_id.term), from.last.map(|id| id.leader_id.term)];
    let term = terms.into_iter().flatten().max().unwrap_or(0).saturating_add(1);
    let leader_id = LeaderId { term, node_id: next.node_id };
    let index = from.last.map_or(0, |id| id.index.saturating_add(1));
    let payload = EntryPayload::Membership(alone(next.node_id, member)?);
    let entry = LogEntry { log_id: LogId { leader_id, index }, payload };
    let vote = Vote { leader_id, committed: true };
    let put = |family, key: Vec<u8>, value: Vec<u8>| Op::Put(family, key, value.into());
    let mut ops = vec![
        put(Family::Meta, keys::IDENTITY.to_vec(), next.to_text().into_bytes()),
        put(Family::Meta, keys::VOTE.to_vec(), wire::vote_to_wire(&vote).encode_to_vec()),
        put(Family::Log, keys::number(index), wire::entry_to_wire(&entry).encode_to_vec()),
    ];
    ops.extend(without_gap(storage, next)?);
    storage.kv.write(ops)?;
    storage.kv.sync()
}

/// What a snapshot jumped over was on the other nodes only: the history begins behind it from now on.
fn without_gap(storage: &Storage, identity: Identity) -> std::io::Result<Vec<Op>> {
    let Some((_, to)) = History::open(Arc::clone(&storage.kv))?.extent().gap else { return Ok(Vec::new()) };
    let checkpoints = Checkpoints::open(Arc::clone(&storage.checkpoints), identity.cluster)?;
    let mut start = to;
    if checkpoints.newest_sound(to.sequence, to.sequence)?.is_none() {
        let name =
            storage.files.list()?.pop().ok_or_else(|| corrupt("there is no snapshot behind the gap"))?;
        let snapshot = storage.files.open(&name)?;
        start = file::Header::read(identity.cluster, &snapshot)?.position()?;
        checkpoints.copy(start, &snapshot)?;
    }
    let end = keys::number(start.sequence.get().saturating_add(1));
    Ok(vec![Op::DeleteRange(Family::History, keys::number(0), end), put_extent(Extent { start, gap: None })])
}

/// Runs a node that is alone until the history says how it came about; what lies at or before `start` is not kept.
pub(crate) async fn begin(
    identity: Identity,
    storage: Storage,
    settings: &Settings,
    record: Command,
    start: Sequence,
) -> Result<(), Error> {
    let kv = Arc::clone(&storage.kv);
    let node = match Node::start(identity, storage, settings.clone(), World::real(settings)).await {
        Ok(node) => node,
        Err(error) => {
            kv.close();
            return Err(error);
        }
    };
    let told = tell(&node, record, start).await;
    node.halt().await;
    told
}

async fn tell(node: &Node, record: Command, start: Sequence) -> Result<(), Error> {
    let mut commands = vec![record];
    if start > node.store().view().trimmed() {
        // Others who join look for what came before, unless the state says that it is gone.
        commands.push(Command::TrimHistory { to: start });
    }
    for command in commands {
        let request_id = RequestId::from_bits(rand::random());
        let proposal = Proposal { actor: Actor::Operator, request_id, key: None, command };
        let proposed = node.store().propose(proposal).await;
        proposed.map_err(|error| Error::Stopped { reason: error.to_string() })?;
    }
    Ok(())
}
