//! What is recorded of a service after a look at it: old deployments whose tasks are gone, how far the primary one is, and whether all is
//! steady.

use trireme_state::Command;
use trireme_state::command::ServiceProgress;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{Deployment, RolloutState};
use trireme_types::DeploymentId;

use super::pass::{Found, Pass};
use super::text;

/// Old deployments whose tasks are gone, the primary's completion, and the steady state, which follow in this order.
pub fn rollout(pass: &mut Pass<'_>, found: &Found<'_>, load: &ServiceLoad, progress: &mut ServiceProgress) {
    let (service, primary, counts) = (pass.service, pass.primary, &found.counts);
    let older = service.deployments.iter().filter(|one| one.id != primary.id);
    let (kept, gone): (Vec<&Deployment>, Vec<&Deployment>) =
        older.partition(|one| pass.tasks.iter().any(|task| task.deployment() == Some(one.id)));
    progress.retired = gone.iter().map(|one| one.id).collect::<Vec<DeploymentId>>();
    let whole = kept.is_empty()
        && counts.fresh == counts.desired
        && counts.fresh_running == counts.desired
        && counts.replaced() == 0
        && found.census.idle.is_empty();
    let healthy = counts.fresh_healthy == counts.desired;
    let under_way = primary.rollout == RolloutState::InProgress;
    if whole && healthy && under_way {
        progress.rollouts.push((primary.id, RolloutState::Completed));
        progress.events.push(text::completed(&service.key.name, primary.id));
    }
    // A task on its way out that still runs counts as running for everyone who waits for stability.
    let runs = whole && load.counts().running as usize == counts.desired;
    let steady = runs && (healthy || !(under_way || found.restart.failing));
    if steady == service.steady {
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

/// Adds the command that records it, if there is anything.
pub fn add(pass: &mut Pass<'_>, progress: ServiceProgress) {
    if progress == ServiceProgress::default() {
        return;
    }
    let told = progress.events.clone();
    let command = Command::RecordProgress {
        service: pass.service.key.clone(),
        version: pass.service.version,
        progress: Box::new(progress),
    };
    pass.judged.record(command, &told);
}
