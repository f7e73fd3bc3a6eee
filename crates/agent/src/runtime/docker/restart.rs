//! Containers that are started again in place. What Docker says of their ends is taken with a second look: it may be about an
//! earlier run.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerSummary};
use bollard::query_parameters::StartContainerOptions;

use super::call::{Outcome, call, failed};
use super::{DockerRuntime, START, found, labels};
use crate::clock;
use crate::runtime::{Exit, Failure, FailureKind, Run};

/// The kernel's unit for programs, a hundredth of a second.
const TICK_MILLIS: u64 = 10;

/// How often, and in what time, Docker is to notice that a process has ended.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Whether a container may come again after its end: these are its labels.
pub(super) fn may_come_again(labels: &HashMap<String, String>) -> bool {
    labels.contains_key(labels::RESTARTS)
}

/// The same of a listed one.
pub(super) fn is_listed(summary: &ContainerSummary) -> bool {
    summary.labels.as_ref().is_some_and(may_come_again)
}

/// A container's last run. How long one that goes on has lasted the kernel tells; otherwise Docker's times do, which are of the
/// wall clock: it may have jumped between them.
pub(super) fn run(id: &str, state: &ContainerState) -> Run {
    let moment = |text: Option<&String>| text?.parse::<jiff::Timestamp>().ok();
    let runs = state.running == Some(true);
    let end = if runs {
        i64::try_from(clock::wall_millis()).ok()
    } else {
        moment(state.finished_at.as_ref()).map(jiff::Timestamp::as_millisecond)
    };
    let begin = moment(state.started_at.as_ref()).map(jiff::Timestamp::as_millisecond);
    let told = begin.zip(end).map(|(begin, end)| u64::try_from(end.saturating_sub(begin)).unwrap_or(0));
    let lives = state.pid.filter(|_| runs).and_then(|pid| lives_for(id, pid));
    Run { started: state.started_at.clone(), lasted: lives.or(told.map(Duration::from_millis)) }
}

/// How long a container's first process has been there, by the clock that starts with the machine; `None` where it cannot be seen.
fn lives_for(id: &str, pid: i64) -> Option<Duration> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let text = |path: PathBuf| std::fs::read_to_string(path).ok();
    // Docker may number processes as seen from elsewhere.
    text(process.join("cgroup"))?.contains(id).then_some(())?;
    let begin = began(&text(process.join("stat"))?)?;
    let since_boot: f64 = text(PathBuf::from("/proc/uptime"))?.split_whitespace().next()?.parse().ok()?;
    // Less than nothing: the two count from different moments, as in a container of the machine.
    Duration::try_from_secs_f64(since_boot).ok()?.checked_sub(begin)
}

/// When a process began, from the machine's start on (proc(5): /proc/pid/stat, the 22nd field).
fn began(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    Some(Duration::from_millis(ticks.saturating_mul(TICK_MILLIS)))
}

impl DockerRuntime {
    fn restarts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container is gone.
    pub(super) fn forget_restart(&self, id: &str) {
        self.restarts().remove(id);
    }

    /// What Docker says of a container whose run is to be known: again while it says that it runs and its process has ended.
    pub(super) async fn inspect_surely(&self, id: &str) -> Result<ContainerInspectResponse, Outcome> {
        for _ in 0..LOOKS {
            let known = self.inspect(id).await?;
            let Some(state) = known.state.as_ref().filter(|state| state.running == Some(true)) else {
                return Ok(known);
            };
            if state.pid.is_some_and(|pid| lives_for(id, pid).is_some()) {
                self.blind.store(false, Ordering::Relaxed);
                return Ok(known);
            }
            if self.blind.load(Ordering::Relaxed) {
                return Ok(known);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        if !self.blind.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "Docker's processes are not seen from here; how long containers were up is by the time of day"
            );
        }
        self.inspect(id).await
    }

    /// How a container ended of which that was heard; `None` if it runs again already, or nobody knows: the list will tell.
    pub(super) async fn last_end(&self, id: &str) -> Option<(Exit, Run)> {
        let state = self.inspect(id).await.ok()?.state?;
        (state.running != Some(true)).then(|| (found::exit(&state), run(id, &state)))
    }

    /// Starts a container that has ended. Asked again after an answer that got lost, it finds out whether that was done.
    pub(super) async fn restart_once(&self, id: &str) -> Result<(), Failure> {
        let cannot = |outcome| failed(FailureKind::CannotStart, outcome);
        let started_at = |known: &ContainerInspectResponse| known.state.as_ref()?.started_at.clone();
        let known = self.inspect(id).await.map_err(cannot)?;
        let before = self.restarts().entry(id.to_owned()).or_insert_with(|| started_at(&known)).clone();
        if before == started_at(&known) {
            let _permit = self.starts.acquire().await;
            let options = None::<StartContainerOptions>;
            let started = call("restart", START, self.docker.start_container(id, options)).await;
            if let Err(outcome) = started
                && !outcome.is_not_modified()
            {
                if outcome.is_answer() {
                    self.restarts().remove(id);
                }
                return Err(cannot(outcome));
            }
        }
        self.restarts().remove(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_as_long_as_docker_says() {
        let mut state = ContainerState {
            running: Some(false),
            started_at: Some("2026-01-02T03:04:05.600000001Z".to_owned()),
            finished_at: Some("2026-01-02T03:05:06.7Z".to_owned()),
            ..ContainerState::default()
        };
        let ended = run("c", &state);
        assert_eq!(ended.lasted, Some(Duration::from_millis(61_100)));
        assert_eq!(ended.started, state.started_at);
        // The clock was set back meanwhile.
        state.finished_at = Some("2026-01-02T03:04:00Z".to_owned());
        assert_eq!(run("c", &state).lasted, Some(Duration::ZERO));
        state.running = Some(true);
        assert!(run("c", &state).lasted > Some(Duration::ZERO));
    }
    #[test]
    fn how_long_a_process_lives_is_not_a_matter_of_the_wall_clock() {
        let pid = i64::from(std::process::id());
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let id = groups.lines().next().unwrap();
        let since_boot = lives_for(id, 1).unwrap_or(Duration::MAX);
        let state = ContainerState {
            running: Some(true),
            pid: Some(pid),
            // By Docker's times it would run for years, or not yet.
            started_at: Some("2001-01-01T00:00:00Z".to_owned()),
            ..ContainerState::default()
        };
        let lives = run(id, &state).lasted.unwrap();
        assert!(lives < Duration::from_secs(3_600).min(since_boot), "{lives:?}");
        let ahead = ContainerState { started_at: Some("2999-01-01T00:00:00Z".to_owned()), ..state.clone() };
        assert!(run(id, &ahead).lasted.unwrap() >= lives);
        // A process that is not the container's says nothing.
        assert!(run("no such container", &state).lasted.unwrap() > Duration::from_secs(86_400 * 365));
    }

    #[test]
    fn when_a_process_began_is_behind_whatever_its_name_is() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        assert_eq!(began(&format!("7 (a) (b 1) {}", fields.join(" "))), Some(Duration::from_millis(220)));
        assert_eq!(began("7 (a) S 1"), None);
    }
}
