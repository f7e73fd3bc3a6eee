//! Zones made even (ECS API: AvailabilityZoneRebalancing): a steady service that has two tasks more in one zone than it could have in
//! another gets a task there, and once that is healthy, one less where it has most. One move at a time, with a pause after each.
//!
//! All of it follows from the state: the move, which is recorded, and the tasks made since it began.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use trireme_scheduler::Request;
use trireme_state::Command;
use trireme_state::object::{
    Deployment, Launch, Launching, PlacementRules, RolloutState, SchedulingStrategy, Task, TaskStatus,
    ZoneMove, is_rebalanced,
};
use trireme_types::{TaskId, Timestamp, Zone};

use super::memory::Machines;
use super::pass::{Found, Pass};
use super::restart::failed_by_itself;
use super::room::Asked;
use super::{Look, text};

/// After a move, and after one that came to nothing.
const PAUSE: Duration = Duration::from_secs(5);
/// Where a task failed to start no move is tried for so long.
const AVOIDED: Duration = Duration::from_secs(300);

/// Where a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// There is none.
    None,
    /// A task is to be started, or has been and is not healthy yet.
    Starting,
    /// One is to be stopped for it.
    Stopping,
    /// It is over, or cannot go on.
    Over,
}

/// Where the service's move is. Asked before tasks are counted: while one starts, the service wants one more.
pub fn stage(pass: &Pass<'_>, look: &Look<'_>) -> Stage {
    let Some(ZoneMove { under_way: true, at }) = look.view.zone_move(&pass.service.key) else {
        return Stage::None;
    };
    if !is_wanted(pass) {
        return Stage::Over;
    }
    if made_and_gone(pass, look, at) {
        return Stage::Over;
    }
    let ours = |task: &&Arc<Task>| task.deployment().is_some_and(|id| pass.ours.contains(&id));
    let wanted = || pass.tasks.iter().filter(ours).filter(|task| task.wanted());
    let made = wanted().any(|task| task.times.created_at >= at);
    let count = wanted().count();
    let whole = count > pass.desired as usize;
    match made {
        true if whole && wanted().all(|task| pass.health.is_healthy(task)) => Stage::Stopping,
        true if whole => Stage::Starting,
        // It has stopped already, or another one has.
        true => Stage::Over,
        false if count != pass.desired as usize => Stage::Over,
        false => Stage::Starting,
    }
}

/// Whether a task that was made since then has stopped.
fn made_and_gone(pass: &Pass<'_>, look: &Look<'_>, since: Timestamp) -> bool {
    let load = look.view.index().service_load(&pass.service.key);
    let mut stopped = load.stopped_since(pass.primary.id, since);
    stopped.any(|(_, id)| look.view.task(id).is_some_and(|task| task.times.created_at >= since))
}

/// Whether a service has its zones made even: it says so, it is spread over zones first, and may have one task more.
fn is_wanted(pass: &Pass<'_>) -> bool {
    let spec = &pass.service.spec;
    is_rebalanced(pass.described)
        && SchedulingStrategy::of(pass.described) == SchedulingStrategy::Replica
        && PlacementRules::of_service(pass.described).spreads_over_zones()
        && spec.deployment_configuration.maximum(pass.desired) > pass.desired
        && has_one_pool(pass)
        && pass.primary.rollout == RolloutState::Completed
        && pass.service.deployments.iter().all(|one| stands(pass, one))
}

/// Whether any of its machines may have any of its tasks: of several pools each has a share of its own.
fn has_one_pool(pass: &Pass<'_>) -> bool {
    let launching = Launching::of(pass.described);
    launching.is_fargate() || launching.strategy().len() < 2
}

/// Whether a deployment is the only one that tasks are started of, or the failed one in whose place that is.
fn stands(pass: &Pass<'_>, one: &Deployment) -> bool {
    one.id == pass.primary.id || (one.rollout == RolloutState::Failed && pass.ours.contains(&one.id))
}

/// What follows from where the move is, or from the service's zones if there is none.
pub fn judge(pass: &mut Pass<'_>, look: &mut Look<'_>, stage: Stage, found: &Found<'_>) {
    match stage {
        Stage::Stopping => {}
        // There is no place for it any more.
        Stage::Starting if pass.judged.unplaced > 0 => record(pass, false, Vec::new()),
        Stage::Starting => wake_when_healthy(pass),
        Stage::Over => record(pass, false, Vec::new()),
        Stage::None if is_wanted(pass) => even(pass, look, found),
        Stage::None => {}
    }
}

/// Looks whether the zones are even, once the service is steady.
fn even(pass: &mut Pass<'_>, look: &mut Look<'_>, found: &Found<'_>) {
    let (counts, now) = (&found.counts, pass.health.now);
    let whole =
        pass.service.steady && counts.fresh_running == counts.desired && pass.tasks.len() == counts.desired;
    if !whole || counts.fresh_healthy < counts.desired {
        return wake_when_healthy(pass);
    }
    pass.judged.looked_at(Machines::Zones);
    let zones = zones(pass, look);
    let most = zones.values().max().copied().unwrap_or(0);
    let least = zones.values().min().copied().unwrap_or(0);
    if most.saturating_sub(least) < 2 {
        if let Some(text) = text::balanced_again(pass.service, &zones) {
            record(pass, false, vec![text]);
        }
        return;
    }
    let again = [failed_lately(pass, look), protections_end(pass, &zones, most)];
    if let Some(at) = again.into_iter().flatten().max() {
        return pass.judged.wake(at);
    }
    let last = look.view.zone_move(&pass.service.key);
    if let Some(at) = last.map(|last| last.at.plus(PAUSE)).filter(|at| *at > now) {
        pass.judged.wake(at);
        return;
    }
    let Some(request) = request(pass, look, found) else { return };
    let cluster = &pass.machines();
    let helps = |count: usize| most.saturating_sub(count) >= 2;
    let chosen = look.choose(cluster, &request).and_then(|chosen| look.view.instance(chosen.instance));
    if !chosen.is_some_and(|instance| helps(zones.get(&instance.registration.zone).copied().unwrap_or(0))) {
        let lesser = zones.iter().filter(|(_, count)| helps(**count)).map(|(zone, _)| zone.clone());
        let asked = Asked { cluster, wanted: &request.wanted, rules: &request.rules };
        return pass.judged.wait(asked.in_zones(lesser.collect()));
    }
    // Who comes after it does not count on the same room.
    look.place(cluster, &request);
    let text = text::not_balanced(&pass.service.key.name, &zones);
    let told = text::told_until(pass.service, &text, now).is_none().then_some(text);
    record(pass, true, told.into_iter().collect());
}

/// Until when no task is moved because one of the service failed not long ago: what is wrong there may be wrong still.
fn failed_lately(pass: &Pass<'_>, look: &Look<'_>) -> Option<Timestamp> {
    let load = look.view.index().service_load(&pass.service.key);
    let mut stopped = load.stopped_since(pass.primary.id, pass.primary.created_at);
    let until = |at: Timestamp| Some(at.plus(AVOIDED)).filter(|until| *until > pass.health.now);
    // The latest come first.
    let failed = |(at, id): (Timestamp, TaskId)| {
        let until = until(at)?;
        look.view.task(id).filter(|task| failed_by_itself(task)).map(|_| until)
    };
    stopped.by_ref().take_while(|(at, _)| until(*at).is_some()).find_map(failed)
}

/// Until when no task is moved because those of the fullest zones are protected: another would have to go instead.
fn protections_end(pass: &Pass<'_>, zones: &BTreeMap<Zone, usize>, most: usize) -> Option<Timestamp> {
    let crowded = |task: &&Arc<Task>| zones.get(&task.zone) == Some(&most);
    let ends = pass.tasks.iter().filter(crowded).map(|task| pass.health.protected_until(task));
    let ends: Option<Vec<Timestamp>> = ends.collect();
    ends.and_then(|ends| ends.into_iter().min())
}

/// Nothing else happens when the last task becomes healthy.
fn wake_when_healthy(pass: &mut Pass<'_>) {
    let proven = pass.tasks.iter().filter_map(|task| pass.health.proven_at(task));
    if let Some(at) = proven.filter(|at| *at > pass.health.now).max() {
        pass.judged.wake(at);
    }
}

/// The service's tasks in each zone that has instances for them, or tasks.
fn zones(pass: &Pass<'_>, look: &Look<'_>) -> BTreeMap<Zone, usize> {
    let ready = look.zones.get(&pass.machines()).into_iter().flatten();
    let mut zones: BTreeMap<Zone, usize> = ready.map(|zone| (zone.clone(), 0)).collect();
    for task in pass.tasks.iter().filter(|task| task.last_status == TaskStatus::Running) {
        let count = zones.entry(task.zone.clone()).or_default();
        *count = count.saturating_add(1);
    }
    zones
}

/// Those that failed to start not long ago.
pub fn lately(unstarted: &[Arc<Task>], now: Timestamp) -> Vec<&Arc<Task>> {
    let stopped_at = |task: &Arc<Task>| task.times.stopped_at.unwrap_or_default();
    unstarted.iter().filter(|task| stopped_at(task).plus(AVOIDED) > now).collect()
}

/// One more task.
fn request(pass: &mut Pass<'_>, look: &mut Look<'_>, found: &Found<'_>) -> Option<Request> {
    let (launching, cluster) = (Launching::of(pass.described), &pass.service.key.cluster);
    let pool = launching.strategy().first().map(|item| Launch::Provider(item.provider.clone()));
    let wanted = pass.wanted(look)?.launched(look.view, cluster, pool.as_ref());
    let unstarted = lately(&found.restart.unstarted, pass.health.now);
    for task in &unstarted {
        pass.judged.wake(task.times.stopped_at.unwrap_or_default().plus(AVOIDED));
    }
    let there = found.census.fresh.iter().copied().chain(unstarted.into_iter().map(|task| &**task));
    Some(Request { wanted, group: pass.group(there), rules: pass.rules(), count: 1 })
}

fn record(pass: &mut Pass<'_>, under_way: bool, events: Vec<String>) {
    let (service, version) = (pass.service.key.clone(), pass.service.version);
    let told = events.clone();
    pass.judged.record(Command::RecordZoneMove { service, version, under_way, events }, &told);
}
