//! One service, looked at in full: what is there, what is to be, the commands between the two.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_state::Command;
use trireme_state::command::ServiceProgress;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{DeploymentStatus, LifecycleStage, Service, ServiceStatus, Task};
use trireme_types::{DeploymentId, TaskId};

use super::judged::Judged;
use super::lifecycle::Life;
use super::pass::Pass;
use super::{Look, blue_green, daemon, rebalance, record, stored, task_set, text};
use crate::unit;

/// Judges one service.
pub fn service(look: &mut Look<'_>, service: &Arc<Service>, load: &ServiceLoad) -> Judged {
    let tasks: Vec<Arc<Task>> = load.tasks.iter().filter_map(|id| look.view.task(*id)).cloned().collect();
    let sets = look.view.task_sets(&service.key).cloned();
    match (service.status, sets) {
        (ServiceStatus::Inactive, _) => Judged::default(),
        (ServiceStatus::Draining, _) => draining(service, &tasks),
        (ServiceStatus::Active, Some(sets)) => task_set::all(look, service, &sets, &tasks, load),
        (ServiceStatus::Active, None) if look.view.is_beside(service) => beside(look, service, &tasks, load),
        (ServiceStatus::Active, None) => rolling(look, service, &tasks, load),
    }
}

/// A service whose primary deployment runs beside what serves.
fn beside(look: &mut Look<'_>, service: &Service, tasks: &[Arc<Task>], load: &ServiceLoad) -> Judged {
    let primary = service.deployments.first();
    primary.map_or_else(Judged::default, |primary| blue_green::all(look, service, primary, tasks, load))
}

/// A service whose deployments Trireme controls. When the primary one has failed and does not turn back, it starts nothing more, and what
/// of it runs goes on; but the service is still to have its tasks. So what is missing, or is to be replaced, is started of the deployment
/// that completed last, as long as the service has that. (ECS: a FAILED deployment launches no new tasks; and since November 2025 tasks
/// of the version that serves are replaced by that version's, and scaled, whatever becomes of the new one.)
fn rolling(look: &mut Look<'_>, service: &Service, tasks: &[Arc<Task>], load: &ServiceLoad) -> Judged {
    let Some(primary) = service.deployments.iter().find(|one| one.status == DeploymentStatus::Primary) else {
        return Judged::default();
    };
    let mut life = Life::of(look.view, service, primary, look.health.now);
    let other = look.view.stand_in(service);
    let described = other.map(|other| unit::of_revision(look.view, service, other));
    let mut ours = look.view.deployments_like(&service.key, load, primary.id);
    ours.extend(other.iter().flat_map(|other| look.view.deployments_like(&service.key, load, other.id)));
    let mut pass = Pass {
        service,
        primary: other.unwrap_or(primary),
        ours,
        desired: service.spec.desired_count,
        described: described.as_ref().unwrap_or(&service.spec.described),
        subject: format!("service {}", service.key.name),
        tasks,
        health: look.health.of_service(service),
        starts: true,
        clears: life.stage() == Some(LifecycleStage::CleanUp),
        judged: Judged::default(),
        extra: 0,
        seats: None,
    };
    if daemon::is_daemon(service) {
        let seats = daemon::seats_of(&mut pass, look);
        pass.desired = u32::try_from(seats.all.len()).unwrap_or(u32::MAX);
        pass.seats = Some(seats);
    }
    let moves = rebalance::stage(&pass, look);
    pass.extra = usize::from(moves == rebalance::Stage::Starting);
    life.watch(pass.desired, &pass.scene(look, load));
    pass.starts = !life.fails(primary) || other.is_some();
    let mut progress = ServiceProgress::default();
    let found = pass.step(look, load);
    if let Some((back_off, not_started)) = found.restart.record {
        progress.back_offs.push((pass.primary.id, back_off, not_started));
    }
    let subject = format!("(service {}) (deployment {})", service.key.name, primary.id);
    progress.events.extend(stored::event(look.view, service, primary, &service.spec.described, &subject));
    progress.events.extend(found.events.iter().cloned());
    record::rollout(&mut pass, primary, &found, load, (&mut life, &mut progress));
    record::add(&mut pass.judged, service, progress, life);
    if !pass.judged.records() {
        rebalance::judge(&mut pass, look, moves, &found);
    }
    pass.judged
}

/// A deleted service: its tasks stop, and then it is inactive.
fn draining(service: &Service, tasks: &[Arc<Task>]) -> Judged {
    let mut judged = Judged::default();
    let wanted: Vec<&Arc<Task>> = tasks.iter().filter(|task| task.wanted()).collect();
    // Each of its deployments stops its own.
    let deployments: BTreeSet<Option<DeploymentId>> = wanted.iter().map(|task| task.deployment()).collect();
    for deployment in deployments {
        let of = wanted.iter().filter(|task| task.deployment() == deployment);
        let ids: Vec<TaskId> = of.map(|task| task.id).collect();
        judged.stop(service, &ids, &deployment.map(text::scaling).unwrap_or_default());
    }
    if tasks.is_empty() {
        let progress = Box::new(ServiceProgress { inactive: true, ..ServiceProgress::default() });
        let (service, version) = (service.key.clone(), service.version);
        judged.record(Command::RecordProgress { service, version, progress }, []);
    }
    judged
}
