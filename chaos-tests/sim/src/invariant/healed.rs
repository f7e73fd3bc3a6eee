//! I6, I7, I9: without faults everything heals. One node decides, all nodes hold the same, every service runs what it wants,
//! and what the machines run is what they are assigned.

use std::collections::BTreeSet;
use std::time::Duration;

use trireme_raft::Node;
use trireme_state::State;
use trireme_state::object::{DesiredStatus, ServiceStatus, TaskStatus};
use trireme_state::store::Store;
use trireme_types::{ContainerInstanceId, Timestamp};

use super::truth::Truth;
use super::{due, scaling};
use crate::shared::Shared;
use crate::shim;

/// Nobody sees to what is due later than this when all is well.
const LATE: Duration = Duration::from_secs(10);

/// What is still missing.
///
/// # Errors
/// Says what.
pub fn check(shared: &Shared, truth: &Truth) -> Result<(), String> {
    let members = shared.members();
    let mut nodes: Vec<(String, Node)> = Vec::new();
    for host in &members {
        let node = host.node.borrow().clone().ok_or_else(|| format!("{} does not run", host.name()))?;
        nodes.push((host.name(), node));
    }
    one_decides(&nodes)?;
    let ids: BTreeSet<u64> =
        members.iter().filter_map(|host| host.identity.get()).map(|identity| identity.node_id).collect();
    for (name, node) in &nodes {
        let probe = node.probe();
        let voters: BTreeSet<u64> = probe.voters.iter().copied().collect();
        if probe.changing || voters != ids {
            return Err(format!("{name} takes {voters:?} for the voters, not {ids:?}"));
        }
        let position = node.store().applied().state.position();
        if position.sequence.get() != truth.length() {
            return Err(format!("{name} is at {}, others at {}", position.sequence, truth.length()));
        }
        if node.records(trireme_types::Sequence::new(1), 1).ok().flatten().is_none() {
            return Err(format!("{name} still lacks a part of the history"));
        }
    }
    services(truth.state())?;
    due_times(truth.state())?;
    machines(shared, truth.state())
}

fn one_decides(nodes: &[(String, Node)]) -> Result<(), String> {
    let deciding: Vec<&String> =
        nodes.iter().filter(|(_, node)| node.store().leadership().deciding).map(|(name, _)| name).collect();
    if deciding.len() == 1 { Ok(()) } else { Err(format!("deciding: {deciding:?}")) }
}

fn services(state: &State) -> Result<(), String> {
    for service in state.services().filter(|one| one.status == ServiceStatus::Active) {
        let tasks = state.tasks_of_service(&service.key);
        let wanted = tasks.iter().filter(|task| task.desired_status == DesiredStatus::Running);
        let running = wanted.clone().filter(|task| task.last_status == TaskStatus::Running).count();
        let desired = service.spec.desired_count as usize;
        // A move between zones starts one task before it stops one, for which it waits until that one is healthy.
        let moves = state.zone_move(&service.key).is_some_and(|one| one.under_way);
        let most = desired + usize::from(moves);
        if running < desired || wanted.count() > most || service.deployments.len() != 1 {
            return Err(format!("service {}: {running} of {desired} tasks run", service.key.name));
        }
    }
    Ok(())
}

/// What is due is seen to: schedules, rules and scheduled actions.
fn due_times(state: &State) -> Result<(), String> {
    let before = (shim::EPOCH + shim::now()).saturating_sub(LATE).as_millis();
    let before = Timestamp::from_millis(u64::try_from(before).unwrap_or(0));
    due::overdue(state, before).or_else(|| scaling::overdue(state, before)).map_or(Ok(()), Err)
}

fn machines(shared: &Shared, state: &State) -> Result<(), String> {
    for host in shared.agents.borrow().iter() {
        let ledger = host.ledger().ok_or_else(|| format!("{} has no ledger", host.name()))?;
        let id: ContainerInstanceId =
            ledger.instance.parse().map_err(|_| format!("{} was never registered", host.name()))?;
        let instance = state.instance(id).ok_or_else(|| format!("{} is not known", host.name()))?;
        if !instance.connected {
            return Err(format!("{} is not connected", host.name()));
        }
        let load = state.index().instance_load(id);
        let wanted = load.tasks.iter().filter_map(|task| state.task(*task));
        let wanted = wanted.filter(|task| task.desired_status == DesiredStatus::Running).count();
        let running = host.runtime.borrow().running().len();
        if running != wanted {
            return Err(format!("{} runs {running} containers, {wanted} are assigned", host.name()));
        }
    }
    Ok(())
}
