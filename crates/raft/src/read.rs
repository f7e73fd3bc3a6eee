//! Linearizable reads: an index from the leader, confirmed by a quorum after the question was asked. Many readers
//! share one round.

use std::time::Duration;

use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::{mpsc, oneshot};
use trireme_rpc::control;

use trireme_types::planted;

use crate::config::Raft;
use crate::fault::Fault;
use crate::network::peers::Peers;

/// Readers that wait for a round at most.
const QUEUE: usize = 8192;

/// The index that a reader has to wait for, or why there is none.
pub(crate) type Index = Result<u64, String>;

/// Asks for indexes.
#[derive(Clone)]
pub(crate) struct Reader {
    queue: mpsc::Sender<oneshot::Sender<Index>>,
}

impl Reader {
    /// Starts the task that gathers readers into rounds.
    pub(crate) fn start(rounds: Rounds, fault: &Fault) -> Self {
        let (queue, mut readers) = mpsc::channel::<oneshot::Sender<Index>>(QUEUE);
        fault.spawn("the reader", async move {
            let mut waiting = Vec::new();
            while readers.recv_many(&mut waiting, QUEUE).await > 0 {
                // Every reader here asked before the round starts; that is what makes the answer good for all.
                let index = rounds.ask().await;
                for reader in waiting.drain(..) {
                    let _gone = reader.send(index.clone());
                }
            }
        });
        Self { queue }
    }

    /// The index from which a state answers everything acknowledged before this call.
    pub(crate) async fn index(&self) -> Index {
        let (sender, receiver) = oneshot::channel();
        self.queue.send(sender).await.map_err(|_| "the node stops".to_owned())?;
        receiver.await.map_err(|_| "the node stops".to_owned())?
    }
}

/// One round, here or at the leader.
pub(crate) struct Rounds {
    pub raft: Raft,
    pub node_id: u64,
    pub peers: Peers,
    pub limit: Duration,
}

impl Rounds {
    async fn ask(&self) -> Index {
        match tokio::time::timeout(self.limit, self.ask_leader()).await {
            Ok(index) => index,
            Err(_) => Err("the leader did not answer in time".to_owned()),
        }
    }

    /// For a planted defect alone.
    fn holds_lease(&self) -> bool {
        use openraft::Instant;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let acked = metrics.last_quorum_acked.as_ref().map(|acked| acked.elapsed());
        acked.is_some_and(|ago| ago < Duration::from_millis(1_350))
    }

    async fn ask_leader(&self) -> Index {
        let (leader, address) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let leader = metrics.current_leader.ok_or_else(|| "no leader is known".to_owned())?;
            let member = metrics.membership_config.membership().get_node(&leader).cloned();
            (leader, member.map(|member| member.peer_address))
        };
        if leader == self.node_id && planted::is("lease-a-second-too-long") && self.holds_lease() {
            return Ok(self.raft.metrics().borrow_watched().last_applied.map_or(0, |id| id.index));
        }
        if leader == self.node_id {
            let read = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await;
            return read.map(|(read, _)| read.index()).map_err(|error| error.to_string());
        }
        let address = address.ok_or_else(|| format!("the address of node {leader} is not known"))?;
        let request = control::ReadIndexRequest { cluster_id: self.peers.life() };
        let mut client = self.peers.control(&address).map_err(|error| error.to_string())?;
        let answer = client.read_index(request).await.map_err(|status| status.message().to_owned())?;
        match answer.into_inner().result {
            Some(control::read_index_response::Result::Index(index)) => Ok(index),
            Some(control::read_index_response::Result::Unknown(unknown)) => Err(unknown.reason),
            _ => Err(format!("node {leader} does not lead any more")),
        }
    }
}
