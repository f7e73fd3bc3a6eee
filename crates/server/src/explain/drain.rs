//! Draining: begun once, and how far it is.

use std::sync::Arc;

use tonic::Status;
use trireme_raft::RaftStore;
use trireme_rpc::explain::{DrainResponse, InstanceRequest};
use trireme_state::object::{InstanceStatus, Task};
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Actor, Command, Proposal};
use trireme_types::RequestId;

use super::{find, wire};

/// Has an instance drained, unless it is already, and says what is on it still.
pub(super) async fn drain(store: &RaftStore, request: &InstanceRequest) -> Result<DrainResponse, Status> {
    let state = store.read().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let instance = find::instance(&state, request)?.clone();
    if instance.status != InstanceStatus::Draining {
        let cluster = instance.registration.cluster.clone();
        let (instance, status) = (instance.id, InstanceStatus::Draining);
        let proposal = Proposal {
            actor: Actor::Operator,
            request_id: RequestId::from_bits(rand::random()),
            key: None,
            command: Command::SetInstanceStatus { cluster, instance, status },
        };
        match store.propose(proposal).await {
            Ok(_) => {}
            Err(ProposeError::Rejected(why)) => return Err(Status::invalid_argument(why.to_string())),
            Err(error) => return Err(Status::unavailable(error.to_string())),
        }
    }
    let state = store.view();
    let tasks = state.tasks_of_instance(instance.id);
    let count = |which: &dyn Fn(&&Arc<Task>) -> bool| wire::count(tasks.iter().filter(which).count());
    Ok(DrainResponse {
        place: Some(wire::place(&state, instance.id, &instance.registration.zone)),
        service_tasks: count(&|task| task.service().is_some()),
        standalone_tasks: count(&|task| task.service().is_none()),
        stopping: count(&|task| !task.wanted()),
    })
}
