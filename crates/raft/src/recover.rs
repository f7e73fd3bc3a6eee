//! Recovery from a lost quorum: the log of one node that is left becomes the cluster's, under the next incarnation. What only
//! the others had is lost, and the history says so. The others are fenced: they answer nothing and are answered nothing.

//!
//! Reading order: [`look`] · [`force`] · `census` (who else answers) · `stored` (what is looked at, and what is written).

mod census;
mod stored;

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_state::object::RestoreSource;
use trireme_state::store::Store;
use trireme_state::{Actor, Command, Position, Proposal};
use trireme_types::{RequestId, Sequence, Timestamp};

use crate::clock::{Clock, SystemClock};
use crate::config::{LogId, Settings, StoredMembership};
use crate::error::Error;
use crate::history::History;
use crate::identity::{Folder, Identity, owner};
use crate::membership::Member;
use crate::network::peers::TcpConnect;
use crate::node::{Node, World};
use crate::storage::rocks::RocksKv;
use crate::storage::{Kv, Storage};
use crate::verify::{self, Report};

/// What is in the folder of a node that does not run.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// Which node of which cluster.
    pub identity: Identity,
    /// The last entry of its log, or of its snapshot if that goes further.
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

    fn voters(&self) -> BTreeSet<u64> {
        self.members.iter().filter(|(.., votes)| *votes).map(|(id, ..)| *id).collect()
    }
}

/// What other members that answer mean for a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Living {
    /// It is refused while they have or could have a quorum, have a leader, or have what this node has not.
    Heeded,
    /// They are given up, with all that they have and this node has not.
    GivenUp,
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
    /// What spoke against it, and was overridden.
    pub against: Vec<String>,
}

/// The incarnation that a recovery or a restore begins when none is asked for: the seconds since 1970, unless a higher one is
/// due. Two of them that know nothing of each other, such as two restores of one backup, must not begin the same one: neither
/// would fence the other. So they are told apart by when they were made, and the later one is the higher.
pub(crate) fn next_incarnation(before: u64, now: Timestamp) -> u64 {
    before.saturating_add(1).max(now.millis() / 1_000)
}

/// Looks at the folder of a node that does not run. Nothing is changed.
///
/// # Errors
/// It holds no node, or cannot be read.
pub fn look(folder: &Folder) -> Result<Outlook, Error> {
    let identity = folder.require_identity()?;
    if let Some(incarnation) = begun(folder, identity)? {
        return cut_short(folder, identity, incarnation);
    }
    let report = verify::folder(folder)?;
    let (position, members) = (report.position, Vec::new());
    let mut outlook =
        Outlook { identity, last: None, committed: None, position, members, report, begun: None };
    if outlook.report.is_sound() {
        let storage = folder.look(identity)?;
        let found = stored::inspect(&storage, identity.cluster);
        storage.kv.close();
        let found = found.map_err(Error::Storage)?;
        (outlook.last, outlook.committed) = (found.last(), found.committed);
        outlook.members = members_of(&found.membership);
    }
    Ok(outlook)
}

/// The incarnation of a recovery that was cut short: the database is of it, the identity file is not yet.
fn begun(folder: &Folder, identity: Identity) -> Result<Option<u64>, Error> {
    match folder.look(identity) {
        Ok(storage) => {
            storage.kv.close();
            Ok(None)
        }
        Err(Error::WrongData { .. }) => {
            let kv = RocksKv::look(&folder.path().join("db"))?;
            let found = owner(&kv);
            kv.close();
            let own = |found: &Identity| Identity { incarnation: identity.incarnation, ..*found } == identity;
            let later = found?.filter(|found| own(found) && found.incarnation > identity.incarnation);
            Ok(later.map(|found| found.incarnation))
        }
        // Verifying tells what is wrong.
        Err(Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What was there before the recovery to `incarnation` was begun: by now the node is alone in its own eyes.
fn cut_short(folder: &Folder, identity: Identity, incarnation: u64) -> Result<Outlook, Error> {
    let storage = folder.look(Identity { incarnation, ..identity })?;
    let before = stored::Before::read(&*storage.kv);
    storage.kv.close();
    let before = before.map_err(Error::Storage)?;
    Ok(Outlook {
        identity,
        last: before.last,
        committed: before.committed,
        position: before.position,
        members: members_of(&before.membership),
        report: Report::new(identity),
        begun: Some(incarnation),
    })
}

fn members_of(membership: &StoredMembership) -> Vec<(u64, Member, bool)> {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    membership.nodes().map(|(id, member)| (*id, member.clone(), voters.contains(id))).collect()
}

/// Makes the node of `folder` the only voter of its cluster's next incarnation. It must not run. Others who answer may refuse it,
/// as `living` says.
///
/// # Errors
/// Others answer, and they are heeded; the folder is damaged, or in use; storage that fails.
pub async fn force(folder: &Folder, settings: &Settings, living: Living) -> Result<Recovered, Error> {
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
    let patient = Settings { connect_limit: census::CONNECT, ..settings.clone() };
    let census = census::take(&from, &TcpConnect::new(&patient)).await;
    if living == Living::Heeded && !census.against.is_empty() {
        let instead = match from.begun {
            None => "start this node, or let it leave and join anew",
            // It cannot be started any more.
            Some(_) => "let this node leave, remove its data folder and join anew",
        };
        let against = census.against.join("; ");
        let reason = format!("{against}. {instead}; or stop those who answer, if they are to be given up");
        return Err(Error::Refused { reason });
    }
    let now = SystemClock::default().wall();
    let incarnation = from.begun.unwrap_or_else(|| next_incarnation(identity.incarnation, now));
    let next = Identity { incarnation, ..identity };
    let storage = folder.open(if from.begun.is_some() { next } else { identity })?;
    if from.begun.is_none()
        && let Err(error) = stored::rewrite(&storage, next, &from, &member)
    {
        storage.kv.close();
        return Err(Error::Storage(error));
    }
    let source = RestoreSource::Survivor {
        node_id: own,
        log_index: from.last_index(),
        log_term: from.last.map_or(0, |id| id.leader_id.term),
    };
    let record = Command::RecordRestore { incarnation, source };
    let start = History::open(Arc::clone(&storage.kv)).map_err(Error::Storage)?.extent().start.sequence;
    begin(next, storage, settings, record, start).await?;
    // Last: until then the folder is no node's, and the recovery may be repeated.
    folder.replace_identity(next)?;
    Ok(Recovered { identity: next, from, alive: census.alive, against: census.against })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_is_later_than_the_one_before_and_than_those_of_an_earlier_hour() {
        let now = Timestamp::from_millis(1_700_000_000_900);
        assert_eq!(next_incarnation(1, now), 1_700_000_000);
        assert_eq!(next_incarnation(1_700_000_000, now), 1_700_000_001, "twice in one second");
        assert_eq!(next_incarnation(5, Timestamp::from_millis(0)), 6, "without a clock");
        assert_eq!(next_incarnation(u64::MAX, now), u64::MAX);
    }
}
