//! Who is a control node, and how that changes. The leader alone changes it, one change at a time.
//!
//! A node joins as a learner, catches up, and is promoted to voter. Ids are never used twice: the machine keeps the
//! highest that ever was a member.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::error::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, ReadPolicy};
use openraft::{Instant, TokioInstant};
use tokio::sync::{Mutex, watch};
use trireme_state::{Actor, Command, FeatureLevel, Proposal};
use trireme_types::RequestId;

use crate::config::{Raft, Settings, TypeConfig};
use crate::decider::Refusal;
use crate::error::Error;
use crate::machine::View;
use crate::store::{RaftStore, within};

type Metrics = openraft::RaftMetrics<TypeConfig>;

/// A control node, as the membership records it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its availability zone.
    pub zone: String,
    /// host:port of its gRPC services for peers.
    pub peer_address: String,
    /// host:port of its API; may be empty.
    pub api_address: String,
    /// Drawn by the node before it joined, so that a repeated join finds the id it was given.
    pub token: Bytes,
}

/// Why the membership is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Ask the leader.
    NotLeader,
    /// It would do harm, or it makes no sense.
    Because(String),
}

fn because(reason: impl std::fmt::Display) -> Refused {
    Refused::Because(reason.to_string())
}

/// What a removed node is told.
pub(crate) fn not_a_member(id: u64) -> String {
    format!("node {id} is no member of this cluster; it has to join anew")
}

fn refused(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Refused {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Refused::NotLeader,
        other => because(other),
    }
}

/// Changes the membership.
#[derive(Clone)]
pub(crate) struct Keeper {
    raft: Raft,
    node_id: u64,
    view: watch::Receiver<Arc<View>>,
    settings: Settings,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Keeper {
    pub(crate) fn new(
        raft: Raft,
        node_id: u64,
        view: watch::Receiver<Arc<View>>,
        settings: Settings,
    ) -> Self {
        Self { raft, node_id, view, settings, one_at_a_time: Arc::default() }
    }

    fn metrics(&self) -> Metrics {
        self.raft.metrics().borrow_watched().clone()
    }

    fn leading(&self) -> Result<Metrics, Refused> {
        let metrics = self.metrics();
        // One that was removed by a change of an earlier leader leads on for a moment, so that the others learn of it. It changes
        // nothing any more.
        let votes = metrics.membership_config.membership().voter_ids().any(|id| id == self.node_id);
        if metrics.current_leader != Some(self.node_id) || !metrics.state.is_leader() || !votes {
            return Err(Refused::NotLeader);
        }
        Ok(metrics)
    }

    /// Raises the feature level, if the members are still those that were asked: this node and `others`.
    pub(crate) async fn raise_level(
        &self,
        level: FeatureLevel,
        others: &BTreeSet<u64>,
        store: &RaftStore,
    ) -> Result<(), Refused> {
        let Ok(_turn) = self.one_at_a_time.try_lock() else {
            return Err(because("another change is under way"));
        };
        // What was asked of Raft before is in its log after this, a join among it that nobody waits for any more.
        let confirmed = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await;
        confirmed.map_err(|_| Refused::NotLeader)?;
        let metrics = self.leading()?;
        let membership = metrics.membership_config.membership();
        let members: BTreeSet<u64> = membership.nodes().map(|(id, _)| *id).collect();
        if !members.iter().all(|id| *id == self.node_id || others.contains(id)) {
            return Err(because("a node has joined meanwhile"));
        }
        let proposal = Proposal {
            actor: Actor::Controller("feature-level".to_owned()),
            request_id: RequestId::from_bits(0),
            key: None,
            command: Command::RaiseFeatureLevel { level },
        };
        // Under the lock until it is applied: who joins after this is measured by the new level.
        match within(self.settings.call_limit, store.decide_here(Box::new(proposal))).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(Refusal::NotDeciding)) => Err(Refused::NotLeader),
            Some(Err(Refusal::Rejected(rejection))) => Err(because(rejection)),
            Some(Err(Refusal::Unknown(reason))) => Err(because(reason)),
            None => Err(because("it was not committed in time")),
        }
    }

    /// Refuses a node that supports less than the cluster uses, or will use once what is in the log is applied. The log is
    /// looked at after a confirmation of this leader: an earlier one may have raised the level.
    async fn check_level(&self, supported: FeatureLevel) -> Result<(), Refused> {
        let confirmed = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await;
        let (read, _) = confirmed.map_err(|_| Refused::NotLeader)?;
        let last = self.leading()?.last_log_index.unwrap_or(0).max(read.index());
        let mut view = self.view.clone();
        let reached = within(self.settings.call_limit / 2, view.wait_for(|view| view.index() >= last)).await;
        // It may be asked again.
        let Some(Ok(view)) = reached else { return Err(Refused::NotLeader) };
        let cluster = view.state.level();
        if cluster > supported {
            return Err(because(Error::FeatureLevel { cluster, supported }));
        }
        Ok(())
    }

    /// Adds a node as a learner and gives it its id; the same token gets the same id again.
    pub(crate) async fn join(&self, member: Member, supported: FeatureLevel) -> Result<u64, Refused> {
        let _turn = self.one_at_a_time.lock().await;
        self.leading()?;
        self.check_level(supported).await?;
        let metrics = self.leading()?;
        if member.token.len() != 16 {
            return Err(because("a join needs a token of 16 bytes"));
        }
        if member.zone.is_empty() || member.peer_address.is_empty() {
            return Err(because("a join needs a zone and a peer address"));
        }
        let membership = metrics.membership_config.membership();
        let known = membership.nodes().find(|(_, other)| other.token == member.token);
        if let Some((id, _)) = known {
            return Ok(*id);
        }
        // The leader has applied its own blank entry before it decides, and with it every membership before.
        let applied = self.view.borrow().highest_node_id;
        let highest = membership.nodes().map(|(id, _)| *id).max().unwrap_or(0).max(applied);
        let id = highest.checked_add(1).ok_or_else(|| because("there are no node ids left"))?;
        tracing::info!(id, zone = %member.zone, address = %member.peer_address, "a control node joins");
        self.raft.add_learner(id, member, false).await.map_err(refused)?;
        Ok(id)
    }

    /// Makes a learner a voter once it has caught up.
    pub(crate) async fn promote(&self, id: u64) -> Result<(), Refused> {
        let _turn = self.one_at_a_time.lock().await;
        let metrics = self.leading()?;
        let membership = metrics.membership_config.membership();
        if membership.voter_ids().any(|voter| voter == id) {
            return self.settle_joint(&metrics).await;
        }
        if membership.get_node(&id).is_none() {
            // The node will stop for good: only a leader that is confirmed may say so.
            let confirmed = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await;
            confirmed.map_err(|_| Refused::NotLeader)?;
            let known = self.leading()?.membership_config.membership().get_node(&id).is_some();
            return Err(if known { Refused::NotLeader } else { because(not_a_member(id)) });
        }
        let target = metrics.last_log_index.unwrap_or(0);
        let caught_up = |metrics: &Metrics| {
            let matched = metrics.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
            metrics.replication.is_none() || matched.is_some_and(|log_id| log_id.index >= target)
        };
        let wait = self.raft.wait(Some(self.settings.call_limit / 2));
        if wait.metrics(caught_up, "the learner has caught up").await.is_err() {
            return Err(because(format!("node {id} has not caught up yet")));
        }
        self.settled().await?;
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        self.raft.change_membership(change, true).await.map_err(refused)?;
        tracing::info!(id, "a control node votes from now on");
        Ok(())
    }

    /// Ends a change that an earlier leader began and did not end. Until then both its old and its new voters are
    /// needed.
    pub(crate) async fn settle(&self) -> Result<(), Refused> {
        let Ok(_turn) = self.one_at_a_time.try_lock() else { return Ok(()) };
        let metrics = self.leading()?;
        self.settle_joint(&metrics).await
    }

    async fn settle_joint(&self, metrics: &Metrics) -> Result<(), Refused> {
        if metrics.membership_config.membership().get_joint_config().len() <= 1 {
            return Ok(());
        }
        let change = ChangeMembers::AddVoterIds(BTreeSet::new());
        self.raft.change_membership(change, false).await.map_err(refused)?;
        tracing::info!("a change of the membership that was left half done is done");
        Ok(())
    }

    /// The same as [`Keeper::leading`], with no change half done. A change on top of another takes two steps, and the first may remove
    /// the leader that is to take the second.
    async fn settled(&self) -> Result<Metrics, Refused> {
        let metrics = self.leading()?;
        self.settle_joint(&metrics).await?;
        self.leading()
    }

    /// Removes a node, unless what is left would have no quorum that is alive.
    pub(crate) async fn leave(&self, id: u64) -> Result<(), Refused> {
        // Two that leave at once would each be judged as if the other stayed.
        let _turn = self.one_at_a_time.lock().await;
        let metrics = self.settled().await?;
        let membership = metrics.membership_config.membership();
        if membership.get_node(&id).is_none() {
            return Ok(());
        }
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        if !voters.contains(&id) {
            let change = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
            self.raft.change_membership(change, false).await.map_err(refused)?;
            return Ok(());
        }
        let remaining: BTreeSet<u64> = voters.iter().copied().filter(|voter| *voter != id).collect();
        if remaining.is_empty() {
            return Err(because(format!("node {id} is the last voter")));
        }
        let quorum = remaining.len() / 2 + 1;
        let alive = self.hear(&remaining, quorum).await?;
        if alive < quorum {
            return Err(because(format!(
                "without node {id} only {alive} of {} voters would be alive, {quorum} are needed",
                remaining.len()
            )));
        }
        self.wait_for_log(&remaining, quorum, id).await?;
        if id == self.node_id {
            // A leader that removes itself would lead on without a vote of its own.
            self.handover(None).await?;
            return Err(Refused::NotLeader);
        }
        let change = ChangeMembers::RemoveVoters(BTreeSet::from([id]));
        self.raft.change_membership(change, false).await.map_err(refused)?;
        tracing::info!(id, "a control node has left");
        Ok(())
    }

    /// Waits until a quorum of these has the whole log as it is now: without it nothing would be committed until one of them has
    /// caught up.
    async fn wait_for_log(&self, voters: &BTreeSet<u64>, quorum: usize, without: u64) -> Result<(), Refused> {
        let target = self.leading()?.last_log_index.unwrap_or(0);
        let having = |metrics: &Metrics| {
            let Some(all) = metrics.replication.as_ref() else { return usize::MAX };
            let matched = |id: &&u64| all.get(id).copied().flatten().is_some_and(|log| log.index >= target);
            voters.iter().filter(|id| **id == self.node_id || matched(id)).count()
        };
        let wait = self.raft.wait(Some(self.settings.call_limit / 2));
        let waited = wait.metrics(|metrics| having(metrics) >= quorum, "the voters have the log").await;
        let metrics = self.leading()?;
        if waited.is_err() {
            return Err(because(format!(
                "without node {without} only {} of {} voters would have the whole log, {quorum} are needed: wait until the \
                 others have caught up",
                having(&metrics),
                voters.len()
            )));
        }
        Ok(())
    }

    /// How many of these are heard from now on. One that has just died was heard a moment ago, so only answers to
    /// heartbeats of this moment count.
    async fn hear(&self, voters: &BTreeSet<u64>, wanted: usize) -> Result<usize, Refused> {
        let asked = TokioInstant::now();
        let heard_since = |metrics: &Metrics| {
            let acked = |id: &u64| metrics.heartbeat.as_ref()?.get(id)?.as_ref().map(|acked| **acked);
            voters
                .iter()
                .filter(|id| **id == self.node_id || acked(id).is_some_and(|acked| acked > asked))
                .count()
        };
        self.raft.trigger().heartbeat().await.map_err(because)?;
        let limit = self.settings.election_max.max(self.settings.heartbeat * 4);
        let wait = self.raft.wait(Some(limit));
        let _enough = wait.metrics(|metrics| heard_since(metrics) >= wanted, "the voters are heard").await;
        let metrics = self.leading()?;
        Ok(heard_since(&metrics))
    }

    fn is_alive(&self, metrics: &Metrics, id: u64) -> bool {
        let limit = (self.settings.election_max * 2).max(Duration::from_secs(1));
        id == self.node_id || heard(metrics, id).is_some_and(|ago| ago <= limit)
    }

    /// Gives leadership to the voter that is furthest, or to a certain one; returns who leads then.
    pub(crate) async fn handover(&self, wanted: Option<u64>) -> Result<u64, Refused> {
        let metrics = self.leading()?;
        if wanted == Some(self.node_id) {
            return Ok(self.node_id);
        }
        let to = match wanted {
            Some(to) => self.check_candidate(&metrics, to)?,
            None => self.furthest(&metrics, |_| true)?,
        };
        self.hand_to(to).await
    }

    /// Gives leadership to the voter among these that is furthest; returns who leads then.
    pub(crate) async fn handover_to_one_of(&self, ids: &[u64]) -> Result<u64, Refused> {
        let metrics = self.leading()?;
        let to = self.furthest(&metrics, |id| ids.contains(&id))?;
        self.hand_to(to).await
    }

    async fn hand_to(&self, to: u64) -> Result<u64, Refused> {
        tracing::info!(to, "handing leadership over");
        self.raft.trigger().transfer_leader(to).await.map_err(because)?;
        let elsewhere =
            |metrics: &Metrics| metrics.current_leader.is_some_and(|leader| leader != self.node_id);
        let limit = (self.settings.election_max * 4).max(Duration::from_secs(2));
        match self.raft.wait(Some(limit)).metrics(elsewhere, "another node leads").await {
            Ok(metrics) => Ok(metrics.current_leader.unwrap_or(0)),
            Err(_) => Err(because(format!("node {to} did not take over"))),
        }
    }

    fn furthest(&self, metrics: &Metrics, may: impl Fn(u64) -> bool) -> Result<u64, Refused> {
        let voters = metrics.membership_config.membership().voter_ids().filter(|id| may(*id));
        let candidates = voters.filter(|voter| *voter != self.node_id && self.is_alive(metrics, *voter));
        let matched = |id: &u64| metrics.replication.as_ref().and_then(|all| all.get(id).copied().flatten());
        candidates.max_by_key(matched).ok_or_else(|| because("no other voter is alive"))
    }

    /// Refuses a node that could not lead.
    fn check_candidate(&self, metrics: &Metrics, to: u64) -> Result<u64, Refused> {
        if !metrics.membership_config.membership().voter_ids().any(|voter| voter == to) {
            return Err(because(format!("node {to} is no voter")));
        }
        if !self.is_alive(metrics, to) {
            return Err(because(format!("node {to} is not heard")));
        }
        Ok(to)
    }
}

/// How long ago a leader heard from a member.
pub(crate) fn heard(metrics: &Metrics, id: u64) -> Option<Duration> {
    let acked = metrics.heartbeat.as_ref()?.get(&id)?.as_ref()?;
    Some(acked.elapsed())
}
