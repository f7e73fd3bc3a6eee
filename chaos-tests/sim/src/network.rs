//! Networks of tasks of their own: a subnet in each zone, in which the tasks of some runs have their addresses.

use serde_json::{Value, json};
use trireme_raft::Node;
use trireme_state::command::NewSubnet;
use trireme_state::store::Store;
use trireme_state::{Actor, Command, Proposal};
use trireme_types::{RequestId, Scope, SubnetId, Zone};

use crate::plan::ZONES;

fn id(number: usize) -> SubnetId {
    SubnetId::from_random((number as u128 + 1) << 60)
}

/// Adds a subnet in each zone, so small that addresses come again in a run.
///
/// # Errors
/// One is not there.
pub async fn add_subnets(node: &Node) -> Result<(), String> {
    for (number, zone) in ZONES.iter().enumerate() {
        let subnet = NewSubnet {
            id: id(number),
            scope: Scope::development(),
            zone: Zone::new(zone).map_err(|error| error.to_string())?,
            cidr: format!("10.9.{number}.0/26").parse().map_err(|error| format!("{error}"))?,
            network: None,
        };
        let proposal = Proposal {
            actor: Actor::Operator,
            request_id: RequestId::from_bits(rand::random()),
            key: None,
            command: Command::AddSubnet { subnet: Box::new(subnet) },
        };
        node.store().propose(proposal).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Whether all of them are there.
pub fn are_there(node: &Node) -> bool {
    node.store().view().subnets().count() == ZONES.len()
}

/// What a request says of them.
pub fn configuration() -> Value {
    let subnets: Vec<String> = (0..ZONES.len()).map(|number| id(number).to_string()).collect();
    json!({ "awsvpcConfiguration": { "subnets": subnets } })
}
