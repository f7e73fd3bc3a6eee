//! Back-off after tasks that never ran. The first replacement comes at once, then after 1 s, 2 s, 4 s, … up to 27 minutes. A
//! task that ran throttles nothing.
//!
//! Failures count by rounds. A round's tasks are those created since the last back-off was decided: a hundred tasks that fail
//! together are one round, not a hundred. All of it follows from the state: the deployment's `back_off`, and its stopped tasks.
//! So it counts the same on each leader, and looking twice counts once.

use std::sync::Arc;
use std::time::Duration;

use trireme_state::State;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{BackOff, Deployment, StopCode, Task};
use trireme_types::{TaskId, Timestamp};

/// The longest back-off.
const LONGEST: Duration = Duration::from_secs(27 * 60);

/// What a deployment's failures come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restart {
    /// To be recorded, if it changes: the back-off, and the failures in a row.
    pub record: Option<(Option<BackOff>, u32)>,
    /// No task starts before this.
    pub blocked_until: Option<Timestamp>,
    /// It fails again and again.
    pub failing: bool,
}

/// Judges the primary deployment. `running` are the service's tasks that are not STOPPED.
pub fn judge(
    view: &State,
    deployment: &Deployment,
    running: &[Arc<Task>],
    load: &ServiceLoad,
    now: Timestamp,
) -> Restart {
    let failed = failures_in_a_row(view, deployment, running, load);
    let known = deployment.back_off;
    if failed.is_empty() {
        let over = known.is_some() || deployment.failed_tasks > 0;
        return Restart { record: over.then_some((None, 0)), ..Restart::default() };
    }
    let round_began = known.map_or(Timestamp::EPOCH, |back_off| back_off.not_before);
    let fresh = failed.iter().filter(|task| task.times.created_at >= round_began).count();
    let back_off = if fresh > 0 { Some(next(known, now)) } else { known };
    // Old failures are reaped while a long back-off lasts, so what is visible may be fewer than what is known.
    let count = if fresh > 0 {
        deployment.failed_tasks.saturating_add(small(fresh))
    } else {
        deployment.failed_tasks
    };
    let count = count.max(small(failed.len()));
    let changed = back_off != known || count != deployment.failed_tasks;
    Restart {
        record: changed.then_some((back_off, count)),
        blocked_until: back_off.map(|back_off| back_off.not_before).filter(|at| *at > now),
        failing: back_off.is_some_and(|back_off| back_off.failures > 1),
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn next(known: Option<BackOff>, now: Timestamp) -> BackOff {
    let failures = known.map_or(0, |back_off| back_off.failures).saturating_add(1);
    BackOff { failures, not_before: now.plus(delay(failures)) }
}

/// Nothing after the first round, one second after the second, then twice as long each time.
fn delay(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(2) else { return Duration::ZERO };
    Duration::from_secs(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(LONGEST)
}

/// Tasks of the deployment that stopped before they ran, since the last one that did run.
fn failures_in_a_row(
    view: &State,
    deployment: &Deployment,
    running: &[Arc<Task>],
    load: &ServiceLoad,
) -> Vec<Arc<Task>> {
    let ours = |task: &&Arc<Task>| task.deployment() == Some(deployment.id);
    let mut last_ran = running.iter().filter(ours).filter_map(|task| task.times.started_at).max();
    let mut failed = Vec::new();
    let since = (deployment.created_at, TaskId::from_bits(0));
    for (stopped_at, id) in load.stopped.range(since..).rev() {
        // What stopped before the last one ran neither failed since nor ran later.
        if last_ran.is_some_and(|ran| *stopped_at <= ran) {
            break;
        }
        let Some(task) = view.task(*id).filter(ours) else { continue };
        match task.times.started_at {
            Some(ran) => last_ran = last_ran.max(Some(ran)),
            None if failed_to_start(task) => failed.push(task.clone()),
            None => {}
        }
    }
    failed
}

/// A task that was told to stop, or whose instance was lost, did not fail.
fn failed_to_start(task: &Task) -> bool {
    matches!(task.stop_code, None | Some(StopCode::TaskFailedToStart | StopCode::EssentialContainerExited))
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
}
