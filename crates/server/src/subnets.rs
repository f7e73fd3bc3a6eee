//! Subnets: shown, added and removed.

use tonic::Status;
use trireme_raft::RaftStore;
use trireme_rpc::operator::{AddSubnetRequest, RemoveSubnetRequest, Subnet as WireSubnet, SubnetsResponse};
use trireme_state::command::NewSubnet;
use trireme_state::object::Subnet;
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Actor, Command, Proposal, State};
use trireme_types::{AccountId, Cidr, Region, RequestId, Scope, SubnetId, Zone};

/// All that this node knows of.
pub(crate) fn list(state: &State) -> SubnetsResponse {
    SubnetsResponse { subnets: state.subnets().map(|subnet| to_wire(state, subnet)).collect() }
}

fn to_wire(state: &State, subnet: &Subnet) -> WireSubnet {
    let load = state.index().addresses().of(subnet.id);
    WireSubnet {
        id: subnet.id.to_string(),
        account: subnet.scope.account.to_string(),
        region: subnet.scope.region.to_string(),
        zone: subnet.zone.to_string(),
        cidr: subnet.cidr.to_string(),
        network: subnet.network.to_string(),
        free: state.free_addresses(subnet, state.clock()),
        waiting: u32::try_from(state.waiting_addresses(subnet.id, state.clock()).len()).unwrap_or(u32::MAX),
        tasks: load.map_or(0, |load| u32::try_from(load.held.len()).unwrap_or(u32::MAX)),
    }
}

fn parsed<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, Status> {
    result.map_err(|error| Status::invalid_argument(error.to_string()))
}

fn new_subnet(request: &AddSubnetRequest) -> Result<NewSubnet, Status> {
    let id = match request.id.as_str() {
        "" => SubnetId::from_random(rand::random()),
        text => parsed(text.parse())?,
    };
    let network = match request.network.as_str() {
        "" => None,
        text => Some(parsed(text.parse::<Cidr>())?),
    };
    Ok(NewSubnet {
        id,
        scope: Scope {
            account: parsed(AccountId::new(&request.account))?,
            region: parsed(Region::new(&request.region))?,
        },
        zone: parsed(Zone::new(&request.zone))?,
        cidr: parsed(request.cidr.parse())?,
        network,
    })
}

/// Adds one and says what it is.
pub(crate) async fn add(store: &RaftStore, request: &AddSubnetRequest) -> Result<WireSubnet, Status> {
    let subnet = new_subnet(request)?;
    let id = subnet.id;
    propose(store, Command::AddSubnet { subnet: Box::new(subnet) }).await?;
    let state = store.view();
    let added = state.subnet(id).map(|subnet| to_wire(&state, subnet));
    added.ok_or_else(|| Status::unavailable(format!("subnet {id} was removed at once")))
}

/// Removes one that nothing uses.
pub(crate) async fn remove(store: &RaftStore, request: &RemoveSubnetRequest) -> Result<(), Status> {
    propose(store, Command::RemoveSubnet { subnet: parsed(request.id.parse())? }).await
}

async fn propose(store: &RaftStore, command: Command) -> Result<(), Status> {
    let (needed, level) = (command.level(), store.view().level());
    if needed > level {
        let message = format!("this needs feature level {needed}, and the cluster is at {level}");
        return Err(Status::unavailable(message));
    }
    let proposal = Proposal {
        actor: Actor::Operator,
        request_id: RequestId::from_bits(rand::random()),
        key: None,
        command,
    };
    match store.propose(proposal).await {
        Ok(_) => Ok(()),
        Err(ProposeError::Rejected(rejection)) => Err(Status::invalid_argument(rejection.to_string())),
        Err(error) => Err(Status::unavailable(error.to_string())),
    }
}
