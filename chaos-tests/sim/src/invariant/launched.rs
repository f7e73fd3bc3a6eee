//! Tasks of FARGATE run on machines of the managed pool, and no others do: as they are placed, and as the machines have them.

use trireme_state::{Event, State};
use trireme_types::capability::MANAGED_POOL;

use super::truth::Truth;
use super::{Check, hold};
use crate::shared::Shared;

/// One command's events. Gives how many of its tasks are on the pool.
///
/// # Errors
/// A task that is placed where it does not belong.
pub fn check(after: &State, events: &[Event]) -> Result<u64, super::Violation> {
    let mut count = 0;
    for event in events {
        let Event::TaskCreated { task } = event else { continue };
        let Some(instance) = after.instance(task.instance) else { continue };
        let fargate = after.launch(task.id).is_some_and(|launch| launch.is_fargate());
        let pooled = instance.registration.pool() == Some(MANAGED_POOL);
        hold("tasks_run_where_they_were_launched", fargate == pooled, || {
            format!("task {} of FARGATE: {fargate}; its machine is of the pool: {pooled}", task.id)
        })?;
        count += u64::from(fargate);
    }
    Ok(count)
}

/// The machines themselves.
///
/// # Errors
/// A machine runs what does not belong there.
pub fn on_machines(shared: &Shared, truth: &Truth) -> Check {
    if shared.plan.managed == 0 {
        return Ok(());
    }
    for host in shared.agents.borrow().iter() {
        for id in host.runtime.borrow().running_tasks() {
            let Some(task) = truth.state().task(id) else { continue };
            let fargate = truth.state().launch(task.id).is_some_and(|launch| launch.is_fargate());
            hold("machines_run_what_was_launched_on_them", fargate == host.pool.is_some(), || {
                format!("{} of pool {:?} runs task {id}, of FARGATE: {fargate}", host.name(), host.pool)
            })?;
        }
    }
    Ok(())
}
