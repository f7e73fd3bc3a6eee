//! Restoring: a backup becomes the first node of the cluster's next incarnation, in an empty folder. The others join it
//! empty. The whole backup is checked before anything is made, and again while it is read; what fails leaves nothing behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use trireme_rpc::log::HistoryRecord;
use trireme_state::object::RestoreSource;
use trireme_state::{Command, State};

use super::{Summary, read};
use crate::checkpoint::Checkpoints;
use crate::clock::{Clock, SystemClock};
use crate::config::{LeaderId, LogId, Membership, Settings, SnapshotMeta, StoredMembership, Vote};
use crate::error::{Error, corrupt};
use crate::history::{Extent, put_extent};
use crate::identity::{Folder, Identity};
use crate::level;
use crate::log::keys;
use crate::membership::Member;
use crate::network::fence;
use crate::recover;
use crate::snapshot::file::{self, Content};
use crate::snapshot::{blocking, file_name};
use crate::storage::{Family, Op, Storage};
use crate::wire;

/// What came of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The node that was made.
    pub identity: Identity,
    /// What it was made from.
    pub backup: Summary,
}

/// Makes `folder`, which holds no node, the first node of a later incarnation of a backup's cluster: `incarnation`, which must be
/// higher than any that was used, else the seconds since 1970 or the backup's and one, whichever is higher. `vet` looks at the
/// state before anything is made, and may refuse it.
///
/// # Errors
/// A backup that is damaged or too new, a folder in use, an incarnation that is not higher, storage that fails.
pub async fn restore(
    folder: &Folder,
    backup: &Path,
    member: Member,
    incarnation: Option<u64>,
    settings: &Settings,
    vet: impl Fn(&State) -> Result<(), String> + Send + 'static,
) -> Result<Restored, Error> {
    folder.require_empty()?;
    let path = backup.to_owned();
    let checked = blocking(move || Ok(read::read(&path, &mut Vetting(vet)))).await;
    let summary = checked.unwrap_or_else(|error| Err(Error::Storage(error)))?;
    let now = SystemClock::default().wall();
    let incarnation = incarnation.unwrap_or_else(|| recover::next_incarnation(summary.incarnation, now));
    if incarnation <= summary.incarnation {
        let reason = format!("the backup is of incarnation {}: the next must be higher", summary.incarnation);
        return Err(Error::Refused { reason });
    }
    let highest = fence::highest_plausible(summary.incarnation, now);
    if incarnation > highest {
        let reason = format!(
            "incarnation {incarnation} would not be believed by the old control nodes, which then go on beside the new \
             ones: take one up to {highest}, or none, which is the usual"
        );
        return Err(Error::Refused { reason });
    }
    let node_id = summary.highest_node_id.checked_add(1);
    let node_id =
        node_id.ok_or_else(|| Error::Refused { reason: "there are no node ids left".to_owned() })?;
    let identity = Identity { cluster: summary.cluster, incarnation, node_id };
    let made = make(folder, identity, backup, member, settings).await;
    match made {
        Ok(()) => Ok(Restored { identity, backup: summary }),
        Err(error) => {
            if let Err(left) = folder.clear() {
                tracing::warn!(error = %left, "what was restored so far is still there");
            }
            Err(error)
        }
    }
}

async fn make(
    folder: &Folder,
    identity: Identity,
    backup: &Path,
    member: Member,
    settings: &Settings,
) -> Result<(), Error> {
    folder.begin(identity)?;
    let storage = folder.open(identity)?;
    let (path, into): (PathBuf, Storage) = (backup.to_owned(), storage.clone());
    let filled = blocking(move || Ok(fill(&into, identity, &path, &member))).await;
    let summary = match filled.unwrap_or_else(|error| Err(Error::Storage(error))) {
        Ok(summary) => summary,
        Err(error) => {
            storage.kv.close();
            return Err(error);
        }
    };
    let source = RestoreSource::Backup { taken_at: summary.taken_at };
    let incarnation = identity.incarnation;
    let trim = summary.history_start.sequence;
    recover::begin(identity, storage, settings, Command::RecordRestore { incarnation, source }, trim).await?;
    folder.finish()
}

fn fill(storage: &Storage, identity: Identity, backup: &Path, member: &Member) -> Result<Summary, Error> {
    let checkpoints = Checkpoints::open(Arc::clone(&storage.checkpoints), identity.cluster);
    let checkpoints = checkpoints.map_err(Error::Storage)?;
    let mut filling = Filling { storage, identity, member, checkpoints, summary: None };
    let summary = read::read(backup, &mut filling)?;
    storage.kv.sync().map_err(Error::Storage)?;
    Ok(summary)
}

/// Shows the state to whoever may refuse it.
struct Vetting<V>(V);

impl<V: Fn(&State) -> Result<(), String>> read::Sink for Vetting<V> {
    fn begin(&mut self, _: &Summary) -> io::Result<()> {
        Ok(())
    }

    fn states(&mut self, state: &State, _: Option<&State>) -> io::Result<()> {
        (self.0)(state).map_err(corrupt)
    }

    fn records(&mut self, _: Vec<HistoryRecord>) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what is read into a node's storage.
struct Filling<'a> {
    storage: &'a Storage,
    identity: Identity,
    member: &'a Member,
    checkpoints: Arc<Checkpoints>,
    summary: Option<Summary>,
}

impl Filling<'_> {
    fn snapshot(&self, last: LogId, state: &State) -> io::Result<()> {
        let id = self.identity.node_id;
        let membership = alone(id, self.member)?;
        let meta = SnapshotMeta {
            last_log_id: Some(last),
            last_membership: StoredMembership::new(Some(last), membership),
        };
        let name = file_name(&meta);
        let content = Content { meta, highest_node_id: id, state: state.clone() };
        let blob = file::write(self.identity.cluster, &content, None, &*self.storage.files)?;
        blob.commit(&name)
    }

    /// As a node has it whose log is gone up to its snapshot.
    fn log(&self, last: LogId) -> Vec<Op> {
        let leader_id =
            LeaderId { term: last.leader_id.term.saturating_add(1), node_id: self.identity.node_id };
        let vote = Vote { leader_id, committed: false };
        let put = |key: &[u8], value: Vec<u8>| Op::Put(Family::Meta, key.to_vec(), value.into());
        let last = wire::log_id_to_wire(last).encode_to_vec();
        vec![
            put(keys::VOTE, wire::vote_to_wire(&vote).encode_to_vec()),
            put(keys::PURGED, last.clone()),
            put(keys::COMMITTED, last),
        ]
    }
}

/// A membership with one voter.
pub(crate) fn alone(id: u64, member: &Member) -> io::Result<Membership> {
    let (configs, nodes) = (vec![[id].into()], [(id, member.clone())]);
    Membership::new(configs, std::collections::BTreeMap::from(nodes)).map_err(corrupt)
}

impl read::Sink for Filling<'_> {
    fn begin(&mut self, summary: &Summary) -> io::Result<()> {
        self.summary = Some(summary.clone());
        Ok(())
    }

    fn states(&mut self, state: &State, checkpoint: Option<&State>) -> io::Result<()> {
        let summary = self.summary.as_ref().ok_or_else(|| corrupt("it has no header"))?;
        let last = summary.last_log_id.ok_or_else(|| corrupt("it has no place in a log"))?;
        let start = summary.history_start;
        self.snapshot(last, state)?;
        if let Some(first) = checkpoint.or((start == state.position()).then_some(state)) {
            self.checkpoints.write(first.clone())?;
        }
        let mut ops = self.log(last);
        ops.push(put_extent(Extent { start, gap: None }));
        ops.extend(level::put(&*self.storage.kv, state.level())?);
        self.storage.kv.write(ops)
    }

    fn records(&mut self, records: Vec<HistoryRecord>) -> io::Result<()> {
        let put = |record: HistoryRecord| {
            let key = keys::number(record.sequence);
            Op::Put(Family::History, key, record.encode_to_vec().into())
        };
        self.storage.kv.write(records.into_iter().map(put).collect())
    }
}
