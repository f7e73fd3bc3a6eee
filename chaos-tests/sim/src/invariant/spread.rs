//! I12, after everything has healed: the tasks of a service that is made then are spread over the zones, and no machine holds
//! more than fits. Tasks that were placed while a zone was away stay where they are: a placement is for ever.

use std::collections::BTreeMap;

use trireme_state::object::{DesiredStatus, ServiceKey};
use trireme_state::{State, invariant};
use trireme_types::Zone;

use super::{Check, hold};
use crate::agent::TASK;
use crate::client::{SPREAD, SPREAD_TASKS};
use crate::shared::Shared;

/// The healed cluster.
///
/// # Errors
/// A zone with two tasks more than another, or a machine with more than fits.
pub fn check(shared: &Shared, state: &State) -> Check {
    invariant::check_state(state)?;
    for host in shared.agents.borrow().iter() {
        let running = host.runtime.borrow().running().len();
        hold("no_machine_is_over_capacity", running <= host.slots as usize, || {
            format!("{} runs {running} tasks of {TASK} units and has room for {}", host.name(), host.slots)
        })?;
    }
    let service = state.services().find(|service| service.key.name.as_str() == SPREAD);
    let tasks = service.map_or_else(Vec::new, |service| tasks(state, &service.key));
    hold("the_last_service_runs", tasks.len() == SPREAD_TASKS, || format!("{} tasks", tasks.len()))?;
    let mut zones: BTreeMap<&Zone, usize> = BTreeMap::new();
    // A zone counts when one of its machines could have held them all, and was there from the service's first moment on.
    let since = service.map(|service| service.created_at);
    let own = state.instances().filter(|one| one.registration.pool().is_none());
    let there = own.filter(|one| state.is_present(one) && Some(one.session_opened_at) <= since);
    for instance in there {
        let load = state.index().instance_load(instance.id);
        let own = tasks.iter().filter(|task| **task == instance.id).count();
        let resources = &instance.registration.resources;
        let needed = (SPREAD_TASKS - own) as u32 * TASK;
        let room = |total: u32, taken: u32| total >= taken.saturating_add(needed);
        if room(resources.cpu.get(), load.cpu.get()) && room(resources.memory.get(), load.memory.get()) {
            zones.entry(&instance.registration.zone).or_default();
        }
    }
    for task in &tasks {
        let zone = state.instance(*task).map(|instance| &instance.registration.zone);
        if let Some(count) = zone.and_then(|zone| zones.get_mut(zone)) {
            *count += 1;
        }
    }
    let (least, most) = (zones.values().min(), zones.values().max());
    let skew = most.zip(least).map_or(0, |(most, least)| most - least);
    hold("tasks_are_spread_over_zones", skew <= 1, || format!("{zones:?}"))
}

fn tasks(state: &State, service: &ServiceKey) -> Vec<trireme_types::ContainerInstanceId> {
    let tasks = state.tasks_of_service(service);
    let wanted = tasks.iter().filter(|task| task.desired_status == DesiredStatus::Running);
    wanted.map(|task| task.instance).collect()
}
