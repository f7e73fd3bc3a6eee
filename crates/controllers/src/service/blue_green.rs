//! A deployment that runs all its tasks, the green ones, beside those that serve, the blue ones, until it has gone through the stages
//! of its life (ECS API: DeploymentStrategy BLUE_GREEN). Each of the two keeps to the service's limits by itself. In the last stage it
//! goes on like a rolling one, in which the blue ones make way; and so does what turns back.

use std::sync::Arc;

use trireme_state::command::ServiceProgress;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{Deployment, Described, LifecycleStage, RolloutState, Service, Task};

use super::judged::Judged;
use super::lifecycle::Life;
use super::pass::{Found, Pass};
use super::{Look, record, stored};
use crate::unit;

/// What one look at both comes to.
struct Sides<'a> {
    service: &'a Service,
    tasks: &'a [Arc<Task>],
    load: &'a ServiceLoad,
    judged: Judged,
    progress: ServiceProgress,
}

/// Judges a service whose primary deployment is beside what serves.
pub fn all(
    look: &mut Look<'_>,
    service: &Service,
    primary: &Deployment,
    tasks: &[Arc<Task>],
    load: &ServiceLoad,
) -> Judged {
    let (judged, progress) = (Judged::default(), ServiceProgress::default());
    let mut sides = Sides { service, tasks, load, judged, progress };
    let mut life = Life::of(look.view, service, primary, look.health.now);
    let stage = life.stage();
    let blue = look.view.serving(service);
    let desired = service.spec.desired_count;
    let left = sides.left_over(look, primary, blue);
    if let Some(blue) = blue {
        let described = unit::of_revision(look.view, service, blue);
        // What is left over makes way for it, like an older deployment for a newer one.
        let beside = if stage == Some(LifecycleStage::ReconcileService) { &left[..] } else { &[] };
        sides.one(look, (blue, beside), (desired, &described), None);
    }
    let left = !left.is_empty() && blue.is_some_and(|blue| look.view.has_served(service, blue));
    let scales = stage >= Some(LifecycleStage::ScaleUp);
    let desired = if scales { desired } else { 0 };
    let whole = sides.one(look, (primary, &[]), (desired, &service.spec.described), Some(&mut life));
    let subject = format!("(service {}) (deployment {})", service.key.name, primary.id);
    let told = stored::event(look.view, service, primary, &service.spec.described, &subject);
    sides.progress.events.extend(told);
    let Sides { mut judged, progress, .. } = sides;
    enter(&mut life, &mut judged, (left, whole), look);
    record::add(&mut judged, service, progress, life);
    judged
}

/// The next stage, once what the one before is for is done and nothing waits there.
fn enter(life: &mut Life, judged: &mut Judged, (left, whole): (bool, bool), look: &Look<'_>) {
    use LifecycleStage::{BakeTime, PreScaleUp, ReconcileService, ScaleUp};
    let waits = life.waits(judged);
    let next = match life.stage() {
        None if left => Some(ReconcileService),
        None => Some(PreScaleUp),
        _ if waits => None,
        Some(ReconcileService) if left => None,
        Some(ScaleUp) if !whole => None,
        Some(BakeTime) if !life.is_baked(true, look.health, judged) => None,
        Some(stage) => stage.next(),
    };
    if life.progress.failed.is_none() {
        life.progress.stage = next;
    }
}

impl Sides<'_> {
    /// Older deployments that have tasks and do not serve. Those without any are gone.
    fn left_over<'d>(
        &mut self,
        look: &Look<'_>,
        primary: &Deployment,
        blue: Option<&Deployment>,
    ) -> Vec<&'d Deployment>
    where
        Self: 'd,
    {
        let service = self.service;
        let other = |one: &&Deployment| one.id != primary.id && blue.is_none_or(|blue| blue.id != one.id);
        let has_tasks =
            |one: &&Deployment| look.view.counts_of_deployment(&service.key, self.load, one.id).tasks > 0;
        let (left, gone): (Vec<&Deployment>, Vec<&Deployment>) =
            service.deployments.iter().filter(other).partition(has_tasks);
        self.progress.retired.extend(gone.iter().map(|one| one.id));
        left
    }

    /// One side keeps as many tasks as are wanted of it. Gives whether it has them, and they are healthy.
    fn one(
        &mut self,
        look: &mut Look<'_>,
        (side, others): (&Deployment, &[&Deployment]),
        (desired, described): (u32, &Described),
        life: Option<&mut Life>,
    ) -> bool {
        let service = self.service;
        let like = |one: &Deployment| look.view.deployments_like(&service.key, self.load, one.id);
        let (ours, mut all) = (like(side), like(side));
        all.extend(others.iter().flat_map(|one| like(one)));
        let is_here = |task: &&Arc<Task>| task.deployment().is_some_and(|id| all.contains(&id));
        let tasks: Vec<Arc<Task>> = self.tasks.iter().filter(is_here).cloned().collect();
        let mut pass = Pass {
            service,
            primary: side,
            ours,
            desired,
            described,
            subject: format!("service {} (deployment {})", service.key.name, side.id),
            tasks: &tasks,
            health: look.health.of_service(service),
            starts: side.rollout != RolloutState::Failed,
            clears: false,
            extra: 0,
            seats: None,
            judged: Judged::default(),
        };
        if let Some(life) = life {
            life.watch(pass.desired, &pass.scene(look, self.load));
            pass.starts = !life.fails(side);
        }
        let Found { counts, restart, events, .. } = pass.step(look, self.load);
        if let Some((back_off, not_started)) = restart.record {
            self.progress.back_offs.push((side.id, back_off, not_started));
        }
        self.progress.events.extend(events);
        self.judged.extend(pass.judged);
        counts.fresh == counts.desired && counts.fresh_healthy == counts.desired
    }
}
