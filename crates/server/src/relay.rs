//! What control nodes tell each other of their agents: a follower sends what it heard, and what tasks use, to the leader; the leader notes
//! what it is sent.

use std::sync::Arc;

use tonic::Status;
use tonic::transport::Channel;
use trireme_dispatcher::usage::{Leader, RelayedUsage, UsageTable, UsageTransport};
use trireme_dispatcher::{HeartbeatTable, HeartbeatTransport, RelayedHeartbeat};
use trireme_monitoring::{MetricTable, wire};
use trireme_raft::VotersClock;
use trireme_raft::control::RelaySink;
use trireme_raft::node::Node;
use trireme_rpc::control::control_client::ControlClient;
use trireme_rpc::control::relay_heartbeats_request::Heartbeat;
use trireme_rpc::control::{
    CopyMetricsResponse, Metric, RelayHeartbeatsRequest, RelayMetricsRequest, RelayUsageRequest,
    StatusResponse, relay_usage_request,
};
use trireme_state::store::{BoxFuture, Store};

/// From this node to the leader.
#[derive(Clone)]
pub(crate) struct ToLeader {
    pub(crate) node: Node,
}

impl HeartbeatTransport for ToLeader {
    fn send(&self, heartbeats: Vec<RelayedHeartbeat>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let status = self.node.status();
            // The leader reads the table that it writes itself. One that hears no quorum may have a successor already, which
            // knows nothing of the agents here: they must be told to go to another node before it takes them for dead.
            if self.node.store().leadership().deciding {
                return if status.has_quorum {
                    Ok(())
                } else {
                    Err("it leads, and hears no quorum".to_owned())
                };
            }
            let mut client = self.client(&status, status.leader_id)?;
            let request = RelayHeartbeatsRequest {
                cluster_id: self.node.peers().life(),
                from: status.node_id,
                heartbeats: heartbeats.iter().map(to_wire).collect(),
            };
            let answer = client.relay_heartbeats(request).await;
            accepted(answer.map(|answer| answer.into_inner().accepted))
        })
    }
}

impl UsageTransport for ToLeader {
    fn leader(&self) -> Option<Leader> {
        let status = self.node.status();
        let other = status.leader_id != 0 && status.leader_id != status.node_id;
        let here = self.node.store().leadership().deciding;
        (other && !here).then_some(Leader { id: status.leader_id, term: status.term })
    }

    fn send(&self, to: Leader, tasks: Vec<RelayedUsage>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let status = self.node.status();
            let mut client = self.client(&status, to.id)?;
            let request = RelayUsageRequest {
                cluster_id: self.node.peers().life(),
                from: status.node_id,
                tasks: tasks.iter().map(RelayedUsage::to_wire).collect(),
            };
            let answer = client.relay_usage(request).await;
            accepted(answer.map(|answer| answer.into_inner().accepted))
        })
    }
}

impl ToLeader {
    /// What asks another member.
    fn client(&self, status: &StatusResponse, to: u64) -> Result<ControlClient<Channel>, String> {
        let mut members = status.members.iter().filter_map(|member| member.member.as_ref());
        let member = members.find(|member| member.id == to && to != status.node_id);
        let member = member.ok_or("no leader is known")?;
        self.node.peers().control(&member.peer_address).map_err(|error| error.to_string())
    }
}

fn accepted(answer: Result<bool, Status>) -> Result<(), String> {
    match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err("it does not lead".to_owned()),
        Err(status) => Err(status.message().to_owned()),
    }
}

fn to_wire(heartbeat: &RelayedHeartbeat) -> Heartbeat {
    Heartbeat {
        container_instance_id: heartbeat.instance.to_string(),
        epoch: heartbeat.epoch.get(),
        age_ms: u32::try_from(heartbeat.age.as_millis()).unwrap_or(u32::MAX),
    }
}

/// Into this node's tables.
pub(crate) struct IntoTables {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) heartbeats: Arc<HeartbeatTable>,
    pub(crate) usage: Arc<UsageTable>,
    pub(crate) metrics: Arc<MetricTable>,
    pub(crate) time: Arc<VotersClock>,
}

impl RelaySink for IntoTables {
    fn heartbeats(&self, _from: u64, heartbeats: &[trireme_raft::control::RelayedHeartbeat]) {
        self.heartbeats.record_relayed(heartbeats.iter().map(|heartbeat| RelayedHeartbeat {
            instance: heartbeat.instance,
            epoch: heartbeat.epoch,
            age: heartbeat.age,
        }));
    }

    fn usage(&self, tasks: &[relay_usage_request::Task]) {
        self.usage.record_relayed(&self.store.view(), tasks.iter().filter_map(RelayedUsage::of_wire));
    }

    fn metrics(&self, relayed: &RelayMetricsRequest) {
        let now = self.time.now();
        if relayed.missed {
            self.metrics.missed(relayed.from);
        }
        let Some(batch) = wire::batch_of_wire(&relayed.batch) else { return };
        // What is left out is counted; who sent it was told by its own table, which is as full.
        let _kept = self.metrics.put(now, batch, &wire::samples_of_wire(&relayed.metrics));
    }

    fn copy_metrics(&self, after: Option<&Metric>) -> CopyMetricsResponse {
        let whole_since_ms = Some(self.metrics.whole_since().millis());
        CopyMetricsResponse { metrics: wire::copy(&self.metrics, after), whole_since_ms }
    }
}
