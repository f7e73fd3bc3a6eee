//! A service's tasks, sorted by what may become of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trireme_state::object::{Service, Task, TaskStatus};
use trireme_types::{ContainerInstanceId, DeploymentId};

use super::daemon::Seats;
use super::health::Health;
use super::rollout::Counts;

/// Those that are wanted, by kind.
#[derive(Default)]
pub struct Census<'a> {
    /// Of the primary deployment, where they may stay, and not known to be unhealthy.
    pub fresh: Vec<&'a Task>,
    /// RUNNING, of an older deployment or on a draining instance; of a daemon also beside a fresh one.
    pub outgoing: Vec<&'a Task>,
    /// RUNNING, but their health checks fail, whatever they are of.
    pub sick: Vec<&'a Task>,
    /// Like `outgoing`, but not RUNNING: they serve nobody and stop at once. So do those that do not belong where they are.
    pub idle: Vec<&'a Task>,
    /// On their way out already; they hold their places until they are STOPPED.
    pub stopping: usize,
}

/// By what tasks are sorted.
pub struct Sorting<'a> {
    /// What the primary deployment started, and what runs the same revision.
    pub primary: BTreeSet<DeploymentId>,
    /// Where no task may stay.
    pub draining: &'a BTreeSet<ContainerInstanceId>,
    /// Where tasks belong, if each has a place of its own.
    pub seats: Option<&'a Seats>,
    /// Of which of them tasks stay where there are several at one place.
    pub lasting: &'a BTreeSet<DeploymentId>,
    /// Who is healthy.
    pub health: Health<'a>,
}

impl Sorting<'_> {
    /// Sorts tasks.
    pub fn census<'t>(&self, tasks: &'t [Arc<Task>]) -> Census<'t> {
        let mut census = Census::default();
        for task in tasks {
            let ours = task.deployment().is_some_and(|id| self.primary.contains(&id));
            if !task.wanted() {
                census.stopping = census.stopping.saturating_add(1);
            } else if self.seats.is_some_and(|seats| seats.last.contains(&task.instance)) {
                // It stays for now, and is no reason for anything.
            } else if self.seats.is_some_and(|seats| !seats.all.contains(&task.instance)) {
                census.idle.push(task);
            } else if self.health.is_sick(task) {
                census.sick.push(task);
            } else if ours && !self.draining.contains(&task.instance) {
                census.fresh.push(task);
            } else if runs(task) {
                census.outgoing.push(task);
            } else {
                census.idle.push(task);
            }
        }
        if self.seats.is_some() {
            self.one_for_each_seat(&mut census);
        }
        census
    }

    /// Of several fresh tasks on one machine one stays, and replaces the others.
    fn one_for_each_seat<'t>(&self, census: &mut Census<'t>) {
        let lasts = |task: &Task| task.deployment().is_some_and(|id| self.lasting.contains(&id));
        // One that may not stop would else be there beside another for as long.
        let stays = |task: &Task| self.health.protected_until(task).is_some();
        let worth = |task: &Task| (lasts(task), stays(task), self.health.is_healthy(task), runs(task));
        let mut seated: BTreeMap<ContainerInstanceId, &'t Task> = BTreeMap::new();
        for task in census.fresh.iter().copied() {
            let better = |other: &mut &'t Task| {
                if worth(task) > worth(other) {
                    *other = task;
                }
            };
            seated.entry(task.instance).and_modify(better).or_insert(task);
        }
        let seated = |task: &&Task| seated.get(&task.instance).is_some_and(|other| other.id == task.id);
        let (fresh, others): (Vec<&'t Task>, Vec<&'t Task>) =
            census.fresh.iter().partition(|task| seated(task));
        census.fresh = fresh;
        let (running, idle): (Vec<&'t Task>, Vec<&'t Task>) = others.into_iter().partition(|task| runs(task));
        census.outgoing.extend(running);
        census.idle.extend(idle);
    }
}

impl Census<'_> {
    /// Counts them for the arithmetic. `extra`: tasks beyond the desired count that are wanted for a while.
    pub fn counts(
        &self,
        service: &Service,
        (desired, extra): (u32, usize),
        health: Health<'_>,
        held: usize,
    ) -> Counts {
        let limits = service.spec.deployment_configuration;
        let healthy = |task: &&&Task| health.is_healthy(task);
        let weak = |task: &&&Task| !health.is_healthy(task);
        let free = |task: &&&Task| health.protected_until(task).is_none();
        let running = |task: &&&Task| runs(task);
        let (fresh, outgoing) = (|| self.fresh.iter(), || self.outgoing.iter());
        Counts {
            desired: (desired as usize).saturating_add(extra),
            maximum: limits.maximum(desired) as usize,
            minimum: limits.minimum(desired).min(desired) as usize,
            fresh: self.fresh.len(),
            fresh_running: fresh().filter(running).count(),
            fresh_healthy: fresh().filter(healthy).count(),
            free: fresh().filter(free).count(),
            free_running: fresh().filter(free).filter(running).count(),
            free_healthy: fresh().filter(free).filter(healthy).count(),
            outgoing: outgoing().filter(healthy).count(),
            outgoing_free: outgoing().filter(healthy).filter(free).count(),
            weak: outgoing().filter(weak).count(),
            weak_free: outgoing().filter(weak).filter(free).count(),
            sick: self.sick.len(),
            held,
        }
    }
}

/// Whether a task is RUNNING.
pub fn runs(task: &Task) -> bool {
    task.last_status == TaskStatus::Running
}
