//! A deployment that runs all its tasks, the green ones, beside those that serve, the blue ones, until it has gone through the stages
//! of its life (ECS API: DeploymentStrategy BLUE_GREEN). Each of the two keeps to the service's limits by itself. In the last stage it
//! goes on like a rolling one, in which the blue ones make way; and so does what turns back.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_state::command::ServiceProgress;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{Deployment, Described, LifecycleStage, Service, Task};
use trireme_types::DeploymentId;

use super::judged::Judged;
use super::lifecycle::Life;
use super::pass::{Found, Pass};
use super::{Look, record, stored};

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
    let left = sides.reconcile(look, primary, blue, stage);
    if let Some(blue) = blue {
        let described = described_of(look, service, blue);
        sides.one(look, blue, (desired, &described), None);
    }
    let scales = stage >= Some(LifecycleStage::ScaleUp);
    let desired = if scales { desired } else { 0 };
    let whole = sides.one(look, primary, (desired, &service.spec.described), Some(&mut life));
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

/// What an older deployment's tasks are made with: as its revision has it.
fn described_of(look: &Look<'_>, service: &Service, deployment: &Deployment) -> Described {
    let history = look.view.deployment_history(&service.key);
    let revision = history.revision(look.view.revision_of(&service.key, deployment.id));
    revision.map_or(&service.spec, |revision| &revision.spec).described.clone()
}

impl Sides<'_> {
    /// Older deployments that do not serve: they go, in the stage that is for it, with their last tasks. Gives whether any has tasks.
    fn reconcile(
        &mut self,
        look: &mut Look<'_>,
        primary: &Deployment,
        blue: Option<&Deployment>,
        stage: Option<LifecycleStage>,
    ) -> bool {
        let service = self.service;
        let mut left = false;
        for one in &service.deployments {
            if one.id == primary.id || blue.is_some_and(|blue| blue.id == one.id) {
                continue;
            }
            if !self.tasks.iter().any(|task| look.view.runs(&service.key, task, one.id)) {
                self.progress.retired.push(one.id);
                continue;
            }
            left = true;
            if stage == Some(LifecycleStage::ReconcileService) {
                self.one(look, one, (0, &Described::new()), None);
            }
        }
        left
    }

    /// One side keeps as many tasks as are wanted of it. Gives whether it has them, and they are healthy.
    fn one(
        &mut self,
        look: &mut Look<'_>,
        side: &Deployment,
        (desired, described): (u32, &Described),
        life: Option<&mut Life>,
    ) -> bool {
        let service = self.service;
        let ours: Vec<Arc<Task>> =
            self.tasks.iter().filter(|task| look.view.runs(&service.key, task, side.id)).cloned().collect();
        let mut pass = Pass {
            service,
            primary: side,
            ours: ours.iter().filter_map(|task| task.deployment()).collect::<BTreeSet<DeploymentId>>(),
            desired,
            described,
            subject: format!("service {} (deployment {})", service.key.name, side.id),
            tasks: &ours,
            health: look.health.of_service(service),
            starts: true,
            clears: false,
            extra: 0,
            judged: Judged::default(),
        };
        if let Some(life) = life {
            life.watch(service, &pass.scene(look, self.load));
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
