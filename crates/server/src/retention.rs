//! How much of the history is kept: shown, and set.

use tonic::Status;
use trireme_raft::node::Node;
use trireme_rpc::operator::{RetentionResponse, SetRetentionRequest};
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
        first_sequence: extent.first().get(),
        last_sequence: state.position().sequence.get(),
        node_id: node.identity().node_id,
    }
}

/// Sets what is given, leaves the rest, and says what holds then.
pub(crate) async fn set(node: &Node, request: &SetRetentionRequest) -> Result<RetentionResponse, Status> {
    let proposal = Proposal {
        actor: Actor::Operator,
        request_id: RequestId::from_bits(rand::random()),
        key: None,
        command: Command::SetRetention { events: request.events, millis: request.millis },
    };
    match node.store().propose(proposal).await {
        Ok(_) => Ok(show(node)),
        Err(ProposeError::Rejected(rejection)) => Err(Status::invalid_argument(rejection.to_string())),
        Err(error) => Err(Status::unavailable(error.to_string())),
    }
}
