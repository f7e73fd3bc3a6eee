//! The types that openraft is told to use, and the settings of a control node's Raft.

use std::sync::Arc;
use std::time::Duration;

use openraft::impls::{BoxedErrorSource, InlineBatch, TokioRuntime, leader_id_adv};
use openraft::raft::responder::Responder;
use openraft::{EntryPayload, OptionalSend, RaftTypeConfig, SnapshotPolicy};
use tokio::sync::oneshot;

use crate::batch::{Batch, Reply};
use crate::error::Error;
use crate::membership::Member;

/// openraft's type parameters, bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Batch;
    type R = Reply;
    type NodeId = u64;
    type Node = Member;
    type Term = u64;
    type LeaderId = leader_id_adv::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Batch, u64, Member>;
    type Entry = openraft::Entry<LeaderId, Self::Payload>;
    type AsyncRuntime = TokioRuntime;
    type Responder<T>
        = Answer<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// One leadership: term and node.
pub type LeaderId = leader_id_adv::LeaderId<u64, u64>;
/// The place of an entry in the log.
pub type LogId = openraft::LogId<LeaderId>;
/// A vote.
pub type Vote = openraft::impls::Vote<LeaderId>;
/// One entry of the log.
pub type LogEntry = openraft::Entry<LeaderId, EntryPayload<Batch, u64, Member>>;
/// Who votes, who learns, and where they are.
pub type Membership = openraft::Membership<u64, Member>;
/// A membership and the log entry that set it.
pub type StoredMembership = openraft::StoredMembership<LeaderId, u64, Member>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::SnapshotMeta<LeaderId, u64, Member>;
/// A snapshot and what it covers.
pub type Snapshot = openraft::Snapshot<LeaderId, u64, Member, crate::storage::Blob>;
/// The running Raft.
pub type Raft = openraft::Raft<TypeConfig, crate::machine::Machine>;

/// Where openraft puts the result of a proposal. A receiver that is gone is no error: the decider drops the
/// receivers of an office that it has lost.
#[derive(Debug)]
pub struct Answer<T>(oneshot::Sender<T>);

impl<T> Answer<T> {
    /// The two ends.
    pub fn pair() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }
}

impl<T: OptionalSend + 'static> Responder<TypeConfig, T> for Answer<T> {
    fn on_complete(self, result: T) {
        let _gone = self.0.send(result);
    }
}

/// Raft's settings. The defaults fit machines in one region; [`Settings::local`] fits one machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often a leader makes itself heard.
    pub heartbeat: Duration,
    /// How long the answer to a heartbeat may take. A leader whose heartbeats are answered later has no lease as soon as it
    /// has nothing to replicate, and refuses proposals. Less than `election_min`. An append that is not answered for so long goes
    /// over a second connection too.
    pub heartbeat_limit: Duration,
    /// The shortest silence after which a node stands for election. openraft waits for the longest as well,
    /// then a sample between the two.
    pub election_min: Duration,
    /// The longest such silence. It is the leader's lease too.
    pub election_max: Duration,
    /// A snapshot is taken after so many log entries.
    pub snapshot_after: u64,
    /// A snapshot is taken after so many events too: an entry holds thousands of them under load, and a start applies all of them again
    /// that came after the last snapshot.
    pub snapshot_events: u64,
    /// So many log entries are kept behind a snapshot, for followers that are a little late.
    pub keep_entries: u64,
    /// The limit for sending and installing a snapshot.
    pub snapshot_limit: Duration,
    /// The limit for a connection to a peer.
    pub connect_limit: Duration,
    /// The limit for a forwarded call to a peer.
    pub call_limit: Duration,
    /// How long a proposal is repeated while nobody knows whether it is in the log.
    pub propose_limit: Duration,
    /// Threads of Raft's own runtime.
    pub threads: usize,
    /// A node whose clock is further than this from the voters' median does not decide.
    pub clock_tolerance: Duration,
    /// With fewer bytes free on any voter's disk nothing that makes the state larger is taken.
    pub disk_reserve: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            heartbeat_limit: Duration::from_millis(400),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(1000),
            snapshot_after: 20_000,
            snapshot_events: 200_000,
            keep_entries: 5_000,
            snapshot_limit: Duration::from_secs(60),
            connect_limit: Duration::from_secs(1),
            call_limit: Duration::from_secs(10),
            propose_limit: Duration::from_secs(30),
            threads: 2,
            clock_tolerance: Duration::from_secs(1),
            disk_reserve: 1024 * 1024 * 1024,
        }
    }
}

impl Settings {
    /// For nodes that share a machine, and for benches: fail-over within half a second.
    pub fn local() -> Self {
        Self {
            heartbeat: Duration::from_millis(50),
            heartbeat_limit: Duration::from_millis(120),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(250),
            connect_limit: Duration::from_millis(250),
            ..Self::default()
        }
    }

    /// For control nodes in regions that are far apart, whose messages take up to a third of a second each way: fail-over within
    /// some seconds.
    pub fn wide() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            heartbeat_limit: Duration::from_millis(800),
            election_min: Duration::from_millis(1000),
            election_max: Duration::from_millis(2500),
            connect_limit: Duration::from_secs(2),
            ..Self::default()
        }
    }

    /// How long another node may take to say how it is: its clock, its disk, its state's hash.
    pub(crate) fn answer_limit(&self) -> Duration {
        (self.heartbeat_limit * 2).max(Duration::from_millis(500))
    }

    /// openraft's form of these settings.
    pub(crate) fn to_openraft(&self) -> Result<Arc<openraft::Config>, Error> {
        let config = openraft::Config {
            cluster_name: "trireme".to_owned(),
            // openraft gives up on the answer after its interval; the upkeep asks for heartbeats more often.
            heartbeat_interval: millis(self.heartbeat_limit),
            election_timeout_min: millis(self.election_min),
            election_timeout_max: millis(self.election_max),
            install_snapshot_timeout: millis(self.snapshot_limit),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_after),
            max_in_snapshot_log_to_keep: self.keep_entries,
            replication_lag_threshold: self.snapshot_after.saturating_add(self.keep_entries),
            purge_batch_size: 64,
            max_payload_entries: 256,
            api_channel_size: Some(1024),
            notification_channel_size: Some(4096),
            state_machine_channel_size: Some(1024),
            // A node that cannot win must not raise the term of those who have a leader.
            enable_pre_vote: Some(true),
            // A restarted leader has an empty head; only an election proves that its log is the newest.
            enable_leader_restore: Some(false),
            backoff: "20ms 40ms 80ms ..400ms".to_owned(),
            ..openraft::Config::default()
        };
        config.validate().map(Arc::new).map_err(|error| Error::Settings { reason: error.to_string() })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
