//! What an operator sets of an ECS cluster, beyond what ECS's API knows.

use std::time::Duration;

use tonic::Status;
use trireme_controllers::NodeHealth;
use trireme_raft::node::Node;
use trireme_rpc::operator::{SetClusterRequest, SetClusterResponse};
use trireme_state::object::{ClusterKey, ClusterStatus};
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Actor, Command, Proposal, State};
use trireme_types::arn::Resource;
use trireme_types::{Arn, RequestId};

/// Sets what is given, leaves the rest, and says what holds then.
pub(crate) async fn set(node: &Node, request: &SetClusterRequest) -> Result<SetClusterResponse, Status> {
    let store = node.store();
    let cluster = find(&store.view(), &request.cluster).map_err(Status::invalid_argument)?;
    if let Some(millis) = request.lost_after_ms {
        let millis = Some(millis).filter(|millis| *millis > 0);
        let proposal = Proposal {
            actor: Actor::Operator,
            request_id: RequestId::from_bits(rand::random()),
            key: None,
            command: Command::SetLostAfter { cluster: cluster.clone(), millis },
        };
        match store.propose(proposal).await {
            Ok(_) => {}
            Err(ProposeError::Rejected(rejection)) => {
                return Err(Status::invalid_argument(rejection.to_string()));
            }
            Err(error) => return Err(Status::unavailable(error.to_string())),
        }
    }
    let lost_after: Duration =
        store.view().lost_after(&cluster).unwrap_or_else(|| NodeHealth::default().lost_after);
    Ok(SetClusterResponse {
        cluster_arn: Arn::new(&cluster.scope, Resource::Cluster(cluster.name)).to_string(),
        lost_after_ms: u64::try_from(lost_after.as_millis()).unwrap_or(u64::MAX),
    })
}

/// The active cluster of that name or ARN.
fn find(state: &State, text: &str) -> Result<ClusterKey, String> {
    let arn: Option<Arn> = text.parse().ok();
    let named = |key: &ClusterKey| match &arn {
        Some(Arn { scope, resource: Resource::Cluster(name) }) => *scope == key.scope && *name == key.name,
        _ => key.name.as_str() == text,
    };
    let active = state.clusters().filter(|cluster| cluster.status == ClusterStatus::Active);
    let mut found = active.filter(|cluster| named(&cluster.key)).map(|cluster| cluster.key.clone());
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => {
            Err(format!("several accounts or regions have a cluster {text}: name it by its ARN"))
        }
        (None, _) => Err(format!("there is no active cluster {text}")),
    }
}
