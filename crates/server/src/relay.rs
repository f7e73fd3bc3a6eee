//! Heartbeats between control nodes: a follower sends what it heard to the leader; the leader notes what it is sent.

use std::sync::Arc;

use trireme_dispatcher::{HeartbeatTable, HeartbeatTransport, RelayedHeartbeat};
use trireme_raft::control::HeartbeatSink;
use trireme_raft::node::Node;
use trireme_rpc::control::RelayHeartbeatsRequest;
use trireme_rpc::control::relay_heartbeats_request::Heartbeat;
use trireme_state::store::{BoxFuture, Store};

/// From this node to the leader.
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
            let leader = status.members.iter().filter_map(|member| member.member.as_ref());
            let leader = leader.into_iter().find(|member| member.id == status.leader_id);
            let leader = leader.filter(|leader| leader.id != status.node_id).ok_or("no leader is known")?;
            let peers = self.node.peers();
            let mut client = peers.control(&leader.peer_address).map_err(|error| error.to_string())?;
            let request = RelayHeartbeatsRequest {
                cluster_id: peers.life(),
                from: status.node_id,
                heartbeats: heartbeats.iter().map(to_wire).collect(),
            };
            let answer = client.relay_heartbeats(request).await;
            let accepted = answer.map_err(|status| status.message().to_owned())?.into_inner().accepted;
            if accepted { Ok(()) } else { Err("it does not lead".to_owned()) }
        })
    }
}

fn to_wire(heartbeat: &RelayedHeartbeat) -> Heartbeat {
    Heartbeat {
        container_instance_id: heartbeat.instance.to_string(),
        epoch: heartbeat.epoch.get(),
        age_ms: u32::try_from(heartbeat.age.as_millis()).unwrap_or(u32::MAX),
    }
}

/// On the leader: into its table.
pub(crate) struct IntoTable {
    pub(crate) heartbeats: Arc<HeartbeatTable>,
}

impl HeartbeatSink for IntoTable {
    fn relayed(&self, _from: u64, heartbeats: &[trireme_raft::control::RelayedHeartbeat]) {
        self.heartbeats.record_relayed(heartbeats.iter().map(|heartbeat| RelayedHeartbeat {
            instance: heartbeat.instance,
            epoch: heartbeat.epoch,
            age: heartbeat.age,
        }));
    }
}
