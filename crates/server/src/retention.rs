//! How much of the history is kept: shown, and set.

use tonic::Status;
use trireme_raft::node::Node;
use trireme_rpc::operator::{RetentionResponse, SetRetentionRequest};
use trireme_state::object::Retention;
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Actor, Command, Proposal};
use trireme_types::RequestId;

/// What this node knows of it.
pub(crate) fn show(node: &Node) -> RetentionResponse {
    let store = node.store();
    let (state, extent) = (store.view(), store.history_extent());
    RetentionResponse {
        events: state.retention().events,
        millis: state.retention().millis,
        trimmed_sequence: state.trimmed().get(),
        first_sequence: extent.start.sequence.next().get(),
        last_sequence: state.position().sequence.get(),
        node_id: node.identity().node_id,
    }
}

/// Sets what is given, leaves the rest, and says what holds then.
pub(crate) async fn set(node: &Node, request: &SetRetentionRequest) -> Result<RetentionResponse, Status> {
    if request.millis == Some(0) {
        return Err(Status::invalid_argument("an event has to be kept for some time"));
    }
    let store = node.store();
    let state = store.read().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let now = state.retention();
    let retention = Retention {
        events: request.events.unwrap_or(now.events),
        millis: request.millis.unwrap_or(now.millis),
    };
    let proposal = Proposal {
        actor: Actor::Operator,
        request_id: RequestId::from_bits(rand::random()),
        key: None,
        command: Command::SetRetention { retention },
    };
    match store.propose(proposal).await {
        Ok(_) => Ok(show(node)),
        Err(ProposeError::Rejected(rejection)) => Err(Status::invalid_argument(rejection.to_string())),
        Err(error) => Err(Status::unavailable(error.to_string())),
    }
}
