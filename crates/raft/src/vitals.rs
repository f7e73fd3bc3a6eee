//! What the control nodes tell each other about themselves, once a second: the room on their disks, the feature level that they
//! support, the hashes of their states. And what follows from it: the disk [`guard`](crate::guard), a higher feature level, a node that
//! stops because its state differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trireme_rpc::{control, convert};
use trireme_state::FeatureLevel;
use trireme_types::Sequence;

use crate::agreement::{self, Hashes, Verdict};
use crate::clock::{Clock, Deadline};
use crate::config::Membership;
use crate::fault::Fault;
use crate::guard::{self, Pressure};
use crate::identity::Identity;
use crate::membership::{Keeper, Refused};
use crate::snapshot::blocking;
use crate::storage::{Kv, Space};
use crate::store::{RaftStore, within};
use crate::upkeep::DISAGREED;
use crate::voters_clock::{self, Judgement, Offsets};

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// How long a voter's room counts after it was last told.
const REMEMBERED: Duration = Duration::from_secs(60);
const MISMATCH: &str = "trireme_state_hash_mismatch_total";

/// This node's own.
#[derive(Clone)]
pub(crate) struct Vitals {
    pub space: Arc<dyn Space>,
    pub supports: FeatureLevel,
    pub hashes: Hashes,
    /// What the last comparison of states came to.
    pub agreement: Arc<std::sync::Mutex<Agreement>>,
    /// The last measure of this node's room.
    pub free: Arc<std::sync::Mutex<Option<u64>>>,
}

/// What comparing the states came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreement {
    /// The newest event at which a majority of the voters held this node's state.
    pub sequence: Option<Sequence>,
    /// Someone held another state than this node at the last comparison.
    pub differs: bool,
}

impl Vitals {
    pub(crate) fn new(space: Arc<dyn Space>, supports: FeatureLevel) -> Self {
        let (hashes, agreement) = (Hashes::default(), Arc::default());
        Self { space, supports, hashes, agreement, free: Arc::default() }
    }

    /// What the last comparison of states came to.
    pub(crate) fn agreement(&self) -> Agreement {
        *self.agreement.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn note_agreement(&self, sequence: Option<Sequence>, differs: bool) {
        let mut known = self.agreement.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *known = Agreement { sequence: known.sequence.max(sequence), differs };
        metrics::gauge!("trireme_state_agreed_sequence").set(known.sequence.map_or(0, Sequence::get) as f64);
        metrics::gauge!("trireme_state_differs").set(f64::from(u8::from(differs)));
    }

    /// The room when it was last measured, in bytes.
    pub(crate) fn free(&self) -> Option<u64> {
        *self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn measure(&self) -> Option<u64> {
        let space = Arc::clone(&self.space);
        let free = match blocking(move || space.free()).await {
            Ok(free) => Some(free),
            Err(error) => {
                tracing::warn!(%error, "cannot measure the room on the disk");
                None
            }
        };
        if let Some(free) = free {
            metrics::gauge!("trireme_disk_free_bytes").set(free as f64);
        }
        *self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = free;
        free
    }
}

/// What one look at the cluster saw.
struct Seen {
    membership: Membership,
    answers: BTreeMap<u64, control::StatusResponse>,
    /// How far each one's clock is ahead of this node's, in milliseconds.
    ahead: BTreeMap<u64, i64>,
}

/// Looks at the others, again and again.
pub(crate) struct Watcher {
    pub vitals: Vitals,
    pub store: RaftStore,
    pub keeper: Keeper,
    pub identity: Identity,
    pub pressure: watch::Sender<Option<Pressure>>,
    pub fault: Fault,
    pub kv: Arc<dyn Kv>,
    pub clock: Arc<dyn Clock>,
    /// For one node's answer.
    pub answer_limit: Duration,
    pub memory: Memory,
}

/// What is remembered from look to look.
#[derive(Default)]
pub(crate) struct Memory {
    /// The last event at which states differed.
    differed: Sequence,
    /// Each voter's room when it was last told, and how long that counts.
    free: BTreeMap<u64, (u64, Deadline)>,
    /// Why the feature level stays, when this node supports more.
    level_stays: Option<String>,
    /// The clocks differed at the last look.
    clocks_differ: bool,
}

/// Whether a node that answers belongs to the same life of the same cluster.
pub(crate) fn is_of(answer: &control::StatusResponse, identity: Identity) -> bool {
    answer.cluster_id == convert::cluster_to_bytes(identity.cluster)
        && answer.incarnation == identity.incarnation
}

impl Watcher {
    /// Looks once a second until the node stops.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let looking = async {
            loop {
                self.look().await;
                tokio::time::sleep(LOOK).await;
            }
        };
        let _stopped = stop.run_until_cancelled(looking).await;
    }

    async fn look(&mut self) {
        // A disk that hangs must not keep the node from looking at the others.
        let own = within(self.answer_limit, self.vitals.measure()).await.flatten();
        let seen = self.ask().await;
        self.judge_clock(&seen);
        self.judge_room(own, &seen);
        self.compare(&seen).await;
        self.raise_level(&seen).await;
    }

    async fn ask(&self) -> Seen {
        let membership = self.store.applied().membership.membership().clone();
        let others = membership.nodes().filter(|(id, _)| **id != self.identity.node_id);
        let asked = others.map(|(id, member)| async move {
            let mut client = self.store.peers.control(&member.peer_address).ok()?;
            let before = self.clock.wall();
            let asked = client.status(control::StatusRequest {});
            let answer = within(self.answer_limit, asked).await?.ok()?.into_inner();
            let ahead = voters_clock::ahead(answer.now_millis, before, self.clock.wall());
            // Whoever else answers at that address is not this member.
            (answer.node_id == *id && is_of(&answer, self.identity)).then_some(((*id, answer), (*id, ahead)))
        });
        let (answers, ahead) = join_all(asked).await.into_iter().flatten().unzip();
        Seen { membership, answers, ahead }
    }

    fn judge_clock(&mut self, seen: &Seen) {
        let voters: BTreeSet<u64> = seen.membership.voter_ids().collect();
        let others = seen.ahead.iter().filter(|(id, _)| voters.contains(id)).map(|(_, millis)| *millis);
        // A learner's own clock has no vote.
        let own = voters.contains(&self.identity.node_id).then_some(0);
        let offsets = Offsets { voters: voters.len(), millis: others.chain(own).collect() };
        let tolerance = self.store.settings.clock_tolerance;
        let judgement = offsets.judge(tolerance);
        self.store.time.follow(judgement);
        let differ = match judgement {
            Judgement::Ahead(millis) => Duration::from_millis(millis.unsigned_abs()) > tolerance,
            Judgement::Disagreed(_) => true,
            Judgement::Agreed | Judgement::TooFew => false,
        };
        match (self.memory.clocks_differ, differ, judgement) {
            (false, true, Judgement::Ahead(offset_millis)) => {
                tracing::error!(
                    offset_millis,
                    "this node's clock is wrong: set it; until then the others' counts"
                );
            }
            (false, true, _) => tracing::error!(?judgement, "{DISAGREED}"),
            (true, false, _) => tracing::info!("the control nodes' clocks agree again"),
            _ => {}
        }
        self.memory.clocks_differ = differ;
    }

    /// A voter that gave no answer this time, for its disk may be what is slow, counts as it did before, for a while.
    fn judge_room(&mut self, own: Option<u64>, seen: &Seen) {
        let voters: BTreeSet<u64> = seen.membership.voter_ids().collect();
        let until = Deadline::after(REMEMBERED);
        let told = seen.answers.iter().filter_map(|(id, answer)| Some((*id, answer.disk_free_bytes?)));
        for (id, free) in told.chain(own.map(|own| (self.identity.node_id, own))) {
            self.memory.free.insert(id, (free, until));
        }
        self.memory.free.retain(|id, (_, until)| voters.contains(id) && !until.left().is_zero());
        let free: BTreeMap<u64, u64> = self.memory.free.iter().map(|(id, (free, _))| (*id, *free)).collect();
        let before = *self.pressure.borrow();
        let now = guard::judge(&free, self.store.settings.disk_reserve, before);
        let refusing = now.filter(|pressure| pressure.refuses());
        match (before.is_some_and(Pressure::refuses), refusing) {
            (false, Some(pressure)) => tracing::error!(
                node = pressure.node,
                free_bytes = pressure.free,
                "a control node's disk is nearly full: nothing that makes the state larger is taken"
            ),
            (true, None) => tracing::info!("the control nodes' disks have room again"),
            _ => {}
        }
        metrics::gauge!("trireme_disk_pressure").set(if refusing.is_some() { 1.0 } else { 0.0 });
        self.pressure.send_replace(now);
    }

    async fn compare(&mut self, seen: &Seen) {
        let voters: BTreeSet<u64> = seen.membership.voter_ids().collect();
        let others = seen
            .answers
            .iter()
            .map(|(id, answer)| (*id, (voters.contains(id), agreement::from_wire(&answer.state_hashes))));
        let (own, others) = (self.vitals.hashes.newest(), others.collect());
        let verdict = agreement::judge(&own, voters.len(), &others);
        let votes = voters.contains(&self.identity.node_id);
        let agreed = agreement::agreed(&own, votes, voters.len(), &others);
        self.vitals.note_agreement(agreed, verdict != Verdict::Equal);
        match verdict {
            Verdict::Equal => {}
            Verdict::Differs { sequence, nodes } if sequence > self.memory.differed => {
                self.memory.differed = sequence;
                metrics::counter!(MISMATCH).increment(1);
                tracing::error!(%sequence, ?nodes, "these control nodes hold another state than this one");
            }
            Verdict::Differs { .. } => {}
            Verdict::Alone { sequence, own, theirs } => {
                metrics::counter!(MISMATCH).increment(1);
                self.remember_difference(sequence).await;
                self.fault.raise(format!(
                    "the state at event {sequence} has hash {own}, and a majority of the voters has {theirs}: \
                     this node's memory or disk is damaged; remove it and join it anew"
                ));
            }
        }
    }

    /// The node must not serve again after a restart: it would begin from the same damage.
    async fn remember_difference(&self, sequence: Sequence) {
        let kv = Arc::clone(&self.kv);
        let remember = move || kv.write(vec![agreement::put_difference(sequence)]).and_then(|()| kv.sync());
        if let Err(error) = blocking(remember).await {
            tracing::error!(%error, "cannot write down that this node's state differs");
        }
    }

    /// Raises the level once every member supports more. One that does not answer may support less.
    async fn raise_level(&mut self, seen: &Seen) {
        if !self.store.leadership_is_here() {
            return;
        }
        let others: BTreeSet<u64> =
            seen.membership.nodes().map(|(id, _)| *id).filter(|id| *id != self.identity.node_id).collect();
        let current = self.store.applied().state.level();
        if self.vitals.supports <= current {
            return;
        }
        let behind = |id: &&u64| {
            seen.answers.get(id).is_none_or(|answer| FeatureLevel::new(answer.supported_level) <= current)
        };
        let behind: Vec<u64> = others.iter().filter(behind).copied().collect();
        if !behind.is_empty() {
            self.level_stays(current, format!("nodes {behind:?} do not answer or support no more"));
            return;
        }
        let supported = seen.answers.values().map(|answer| FeatureLevel::new(answer.supported_level));
        let level = supported.chain([self.vitals.supports]).min().unwrap_or_default();
        match self.keeper.raise_level(level, &others, &self.store).await {
            Ok(()) => tracing::info!(%level, "every control node supports it: the feature level rises"),
            Err(Refused::NotLeader) => {}
            Err(Refused::Because(reason)) => self.level_stays(current, reason),
        }
    }

    fn level_stays(&mut self, level: FeatureLevel, reason: String) {
        if self.memory.level_stays.as_ref() != Some(&reason) {
            tracing::warn!(%level, %reason, "the feature level stays, though this node supports more");
            self.memory.level_stays = Some(reason);
        }
    }
}
