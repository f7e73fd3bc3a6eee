//! What the controller makes of tasks, for those who foresee or explain what it does.

use std::sync::Arc;
use std::time::Duration;

use trireme_state::State;
use trireme_state::object::{Service, Task};
use trireme_types::Timestamp;

use super::health::Health;
use super::{HEALTHY_AFTER, restart};
use crate::unit::Unit;

/// Who of a service's tasks is healthy at `now`.
pub fn health<'a>(view: &'a State, service: &Service, now: Timestamp) -> Health<'a> {
    Health { view, after: HEALTHY_AFTER, now, grace: Duration::ZERO }.of_service(service)
}

/// Tasks of a unit that failed to start where they were placed: other machines are tried before those.
pub fn unstarted(view: &State, unit: &Unit<'_>, now: Timestamp) -> Vec<Arc<Task>> {
    let load = view.index().service_load(&unit.service.key);
    let tasks = view.tasks_of_service(&unit.service.key);
    let health = health(view, unit.service, now);
    let scene = restart::Scene { view, deployment: &unit.deployment, tasks: &tasks, load: &load, health };
    restart::judge(&scene).unstarted
}
