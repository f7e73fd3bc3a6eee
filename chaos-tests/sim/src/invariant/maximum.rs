//! I6: a service's tasks with desired status RUNNING are never started beyond its maximum.

use std::collections::BTreeSet;

use trireme_state::object::{DesiredStatus, TaskOrigin};
use trireme_state::{Event, State};

use super::{Check, hold};

/// One command's events.
///
/// # Errors
/// It started a task too many.
pub fn check(before: &State, after: &State, events: &[Event]) -> Check {
    let mut services = BTreeSet::new();
    for event in events {
        if let Event::TaskCreated { task } = event
            && let TaskOrigin::Service { name, .. } = &task.origin
        {
            services.insert((task.cluster.clone(), name.clone()));
        }
    }
    for service in before.services() {
        if !services.contains(&(service.key.cluster.clone(), service.key.name.clone())) {
            continue;
        }
        let tasks = after.tasks_of_service(&service.key);
        let wanted = tasks.iter().filter(|task| task.desired_status == DesiredStatus::Running).count();
        let limits = service.spec.deployment_configuration;
        let most = limits.maximum(service.spec.desired_count) as usize;
        hold("tasks_never_above_maximum", wanted <= most, || {
            format!("service {}: {wanted} tasks, at most {most}", service.key.name)
        })?;
    }
    Ok(())
}
