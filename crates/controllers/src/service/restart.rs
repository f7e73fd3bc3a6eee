//! Back-off after tasks that fail. The first replacement comes at once, then after 1 s, 2 s, 4 s, …: up to 27 minutes after
//! tasks that never ran, up to 30 s after tasks that ran and exited before they were healthy. ECS does not throttle the
//! latter, but its own pace does; without that a container that exits at once would be replaced a thousand times a second.
//!
//! Failures count by rounds. A round's tasks are those created since the last back-off was over: a hundred tasks that fail
//! together are one round, not a hundred. All of it follows from the state: the deployment's `back_off`, and its tasks. So it
//! counts the same on each leader, and looking twice counts once. A task that becomes healthy ends it, and so does a new
//! deployment.
//!
//! A deployment that has never completed starts nothing while its back-off lasts. A completed one still replaces what was lost
//! otherwise: one task that keeps failing does not delay the recovery from the loss of a zone.

use std::sync::Arc;
use std::time::Duration;

use trireme_state::State;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{BackOff, Deployment, RolloutState, StopCode, Task};
use trireme_types::Timestamp;

use super::health::{Health, failed_checks};

/// The longest back-off after tasks that never ran.
const LONGEST: Duration = Duration::from_secs(27 * 60);
/// The longest back-off after tasks that ran. It bounds what a crash loop costs: each round may start as many tasks as the
/// service wants, and each of them is kept for an hour after it stopped.
const LONGEST_AFTER_RUNNING: Duration = Duration::from_secs(30);
/// The round that reaches [`LONGEST_AFTER_RUNNING`]. Rounds in which a task ran count no higher: the first round in which none
/// runs goes on from here.
const ROUNDS_AFTER_RUNNING: u32 = 7;
/// Failures this long before a back-off began still wait for its end: a pass may come late.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// Stopped tasks that are looked at, the latest first. More of them change nothing but how long a pass takes.
pub const LOOK_BACK: usize = 10_000;

/// Tasks that failed to start which make other machines more likely for the next one.
const UNSTARTED: usize = 100;

/// What a deployment's failures come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restart {
    /// To be recorded, if it changes: the back-off, and the failures to start in a row.
    pub record: Option<(Option<BackOff>, u32)>,
    /// While a back-off lasts: until when, and how many tasks wait for its end.
    pub held: Option<(Timestamp, usize)>,
    /// Its tasks fail again and again.
    pub failing: bool,
    /// Its tasks fail to start again and again.
    pub never_starts: bool,
    /// A task that becomes healthy changes this.
    pub ends_with_health: bool,
    /// The latest tasks that failed to start where they were placed: what is wrong may be wrong there only.
    pub unstarted: Vec<Arc<Task>>,
}

/// Where to look for failures.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The state.
    pub view: &'a State,
    /// The primary deployment.
    pub deployment: &'a Deployment,
    /// The service's tasks that are not STOPPED.
    pub tasks: &'a [Arc<Task>],
    /// Its tasks as the index has them.
    pub load: &'a ServiceLoad,
    /// Who is healthy.
    pub health: Health<'a>,
}

/// Judges the primary deployment.
pub fn judge(scene: &Scene<'_>) -> Restart {
    let deployment = scene.deployment;
    let Failures { failed, proven } = failures_in_a_row(scene);
    if failed.is_empty() {
        let over = deployment.back_off.is_some() || deployment.failed_tasks > 0;
        return Restart { record: over.then_some((None, 0)), ..Restart::default() };
    }
    let ended = |back_off: &BackOff| proven.is_some_and(|at| at > back_off.not_before);
    let known = deployment.back_off.filter(|back_off| !ended(back_off));
    let round_began = known.map_or(Timestamp::EPOCH, |back_off| back_off.not_before);
    let fresh: Vec<&Arc<Task>> = failed.iter().filter(|task| task.times.created_at >= round_began).collect();
    let back_off = if fresh.is_empty() { known } else { Some(next(known, &fresh, scene.health.now)) };
    let not_started = match known {
        _ if fresh.is_empty() => deployment.failed_tasks,
        None => not_started(failed.iter()),
        // Those of the round before that failed late were not counted with it.
        Some(known) => {
            let new = |task: &&Arc<Task>| {
                task.times.created_at >= round_began || stopped_after(task, &known, Duration::ZERO)
            };
            deployment.failed_tasks.saturating_add(not_started(failed.iter().filter(new)))
        }
    };
    let failing = back_off.is_some_and(|back_off| back_off.failures > 1);
    Restart {
        record: (!fresh.is_empty()).then_some((back_off, not_started)),
        held: back_off.and_then(|back_off| held(scene, &back_off, &failed)),
        failing,
        never_starts: failing && not_started > 1 && failed.first().is_some_and(|task| !ran(task)),
        ends_with_health: true,
        unstarted: failed.into_iter().filter(|task| !ran(task)).take(UNSTARTED).collect(),
    }
}

/// A task that a container of which ran, unless it as a whole failed to start.
fn ran(task: &Task) -> bool {
    task.times.started_at.is_some() && task.stop_code != Some(StopCode::TaskFailedToStart)
}

fn not_started<'a>(failed: impl Iterator<Item = &'a Arc<Task>>) -> u32 {
    u32::try_from(failed.filter(|task| !ran(task)).count()).unwrap_or(u32::MAX)
}

/// Whether a task stopped after a back-off was decided, or no more than `slack` before.
fn stopped_after(task: &Task, back_off: &BackOff, slack: Duration) -> bool {
    let stopped_at = task.times.stopped_at.unwrap_or_default();
    stopped_at.plus(slack).plus(delay(back_off.failures)) > back_off.not_before
}

/// Until when a back-off lasts, and how many tasks wait for its end.
fn held(scene: &Scene<'_>, back_off: &BackOff, failed: &[Arc<Task>]) -> Option<(Timestamp, usize)> {
    if back_off.not_before <= scene.health.now {
        return None;
    }
    if scene.deployment.rollout != RolloutState::Completed {
        return Some((back_off.not_before, usize::MAX));
    }
    let waits = |task: &&Arc<Task>| stopped_after(task, back_off, SEEN_WITHIN);
    Some((back_off.not_before, failed.iter().filter(waits).count()))
}

fn next(known: Option<BackOff>, fresh: &[&Arc<Task>], now: Timestamp) -> BackOff {
    let failures = known.map_or(0, |back_off| back_off.failures).saturating_add(1);
    if fresh.iter().any(|task| ran(task)) {
        let failures = failures.min(ROUNDS_AFTER_RUNNING);
        return BackOff { failures, not_before: now.plus(delay(failures).min(LONGEST_AFTER_RUNNING)) };
    }
    BackOff { failures, not_before: now.plus(delay(failures)) }
}

/// Nothing after the first round, one second after the second, then twice as long each time.
fn delay(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(2) else { return Duration::ZERO };
    Duration::from_secs(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(LONGEST)
}

/// Failures since a task of the deployment last became healthy, and when that was.
struct Failures {
    /// The latest first.
    failed: Vec<Arc<Task>>,
    proven: Option<Timestamp>,
}

fn failures_in_a_row(scene: &Scene<'_>) -> Failures {
    let Scene { view, deployment, tasks, load, health } = scene;
    let ours = |task: &&Arc<Task>| task.deployment() == Some(deployment.id);
    let mut proven = tasks.iter().filter(ours).filter_map(|task| health.proven(task)).max();
    let mut failed = Vec::new();
    for (stopped_at, id) in load.stopped_since(deployment.id, deployment.created_at).take(LOOK_BACK) {
        // What stopped before the last one became healthy neither failed since nor was healthy later.
        if proven.is_some_and(|at| stopped_at <= at) {
            break;
        }
        let Some(task) = view.task(id) else { continue };
        match health.proven_at(task).filter(|_| !failed_checks(task)) {
            Some(at) => proven = proven.max(Some(at)),
            None if failed_by_itself(task) => failed.push(task.clone()),
            None => {}
        }
    }
    Failures { failed, proven }
}

/// A task that was told to stop, or whose instance was lost, did not fail, unless its health check did.
pub fn failed_by_itself(task: &Task) -> bool {
    failed_checks(task)
        || matches!(
            task.stop_code,
            None | Some(StopCode::TaskFailedToStart | StopCode::EssentialContainerExited)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_replacement_comes_at_once_and_the_last_after_27_minutes() {
        let seconds: Vec<u64> = (1..=15).map(|round| delay(round).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1620, 1620, 1620]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn rounds_after_running_reach_their_longest_back_off() {
        assert!(delay(ROUNDS_AFTER_RUNNING) >= LONGEST_AFTER_RUNNING);
        assert!(delay(ROUNDS_AFTER_RUNNING - 1) < LONGEST_AFTER_RUNNING);
    }
}
