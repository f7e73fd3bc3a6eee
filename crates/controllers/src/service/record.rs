//! What is recorded of a service after a look at it: old deployments whose tasks are gone, how far the primary one is, and whether all is
//! steady.

use trireme_state::Command;
use trireme_state::command::{RecordDeployment, ServiceProgress};
use trireme_state::index::ServiceLoad;
use trireme_state::object::{Deployment, LifecycleStage, RolloutState, Service};
use trireme_types::DeploymentId;

use super::judged::Judged;
use super::lifecycle::Life;
use super::pass::{Found, Pass};
use super::text;

/// Old deployments whose tasks are gone, the primary's completion, and the steady state, which follow in this order.
pub fn rollout(
    pass: &mut Pass<'_>,
    primary: &Deployment,
    found: &Found<'_>,
    load: &ServiceLoad,
    (life, progress): (&mut Life, &mut ServiceProgress),
) {
    let (service, counts) = (pass.service, &found.counts);
    let older = || service.deployments.iter().filter(|one| one.id != primary.id);
    let like = pass.health.view.deployments_like(&service.key, load, primary.id);
    let (kept, mut gone): (Vec<&Deployment>, Vec<&Deployment>) =
        older().partition(|one| !like.contains(&one.id) && has_tasks(pass, load, one));
    // What may have to stand in for the primary one, the one that completed last, stays without a task too; it keeps nobody waiting.
    let completed = |one: &&Deployment| one.rollout == RolloutState::Completed && !like.contains(&one.id);
    let last = older().find(completed).map(|one| one.id);
    let kept: Vec<&Deployment> = kept.into_iter().filter(|one| one.id != pass.primary.id).collect();
    let whole = kept.is_empty()
        && counts.fresh == counts.desired
        && counts.fresh_running == counts.desired
        && counts.replaced() == 0
        && found.census.idle.is_empty();
    let healthy = counts.fresh_healthy == counts.desired;
    let under_way = primary.rollout == RolloutState::InProgress;
    let enough = match life.early {
        None => whole && healthy,
        Some(early) => counts.fresh_healthy >= early.enough(pass.desired) as usize,
    };
    if life.early.is_some() && under_way && !enough {
        // Nothing else happens when one more is healthy.
        let proven = pass.tasks.iter().filter_map(|task| pass.health.proven_at(task));
        if let Some(at) = proven.filter(|at| *at > pass.health.now).min() {
            pass.judged.wake(at);
        }
    }
    let baked = under_way && life.is_baked(enough, pass.health, &mut pass.judged);
    let cleans = life.early.is_some_and(|early| early.blocks) && !kept.is_empty();
    if baked && cleans && life.stage() != Some(LifecycleStage::CleanUp) {
        life.progress.stage = Some(LifecycleStage::CleanUp);
    }
    let completes = baked && !cleans && life.progress.failed.is_none();
    if primary.rollout != RolloutState::Completed && !completes {
        gone.retain(|one| Some(one.id) != last && one.id != pass.primary.id);
    }
    progress.retired = gone.iter().map(|one| one.id).collect::<Vec<DeploymentId>>();
    if completes {
        progress.rollouts.push((primary.id, RolloutState::Completed));
        progress.events.push(text::completed(&service.key.name, primary.id));
    }
    // A task on its way out that still runs counts as running for everyone who waits for stability.
    let runs = whole && load.counts().running as usize == counts.desired;
    let steady = runs && (healthy || !(under_way || found.restart.failing));
    if steady == service.steady || life.progress.failed.is_some() {
        return;
    }
    match text::unsteady_until(service, primary, pass.health).filter(|_| steady) {
        Some(until) => pass.judged.wake(until),
        None => {
            progress.steady = Some(steady);
            progress.events.extend(steady.then(|| text::steady(&service.key.name)));
        }
    }
}

/// Whether tasks are left that run an older deployment's revision.
fn has_tasks(pass: &Pass<'_>, load: &ServiceLoad, older: &Deployment) -> bool {
    pass.health.view.counts_of_deployment(&pass.service.key, load, older.id).tasks > 0
}

/// Adds the command that records it, if there is anything.
pub fn add(judged: &mut Judged, service: &Service, progress: ServiceProgress, life: Life) {
    judged.restless |= life.listens();
    let life = life.news();
    if progress == ServiceProgress::default() && life.is_none() {
        return;
    }
    let told = progress.events.clone();
    let (service, version) = (service.key.clone(), service.version);
    let command = match life {
        Some(lifecycle) => {
            let news = RecordDeployment { service, version, progress, lifecycle };
            Command::RecordDeployment(Box::new(news))
        }
        None => Command::RecordProgress { service, version, progress: Box::new(progress) },
    };
    judged.record(command, &told);
}
