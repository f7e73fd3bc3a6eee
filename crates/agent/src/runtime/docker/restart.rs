//! Containers that are started again in place. What Docker says of their ends is taken with a second look: it may be about an
//! earlier run.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerSummary};
use bollard::query_parameters::StartContainerOptions;

use super::call::{call, failed};
use super::{DockerRuntime, START, found, labels};
use crate::clock;
use crate::runtime::{Exit, Failure, FailureKind, Run};

/// Whether a container may come again after its end: these are its labels.
pub(super) fn may_come_again(labels: &HashMap<String, String>) -> bool {
    labels.contains_key(labels::RESTARTS)
}

/// The same of a listed one.
pub(super) fn is_listed(summary: &ContainerSummary) -> bool {
    summary.labels.as_ref().is_some_and(may_come_again)
}

/// A container's last run. How long it was is by the clock of Docker's machine, which is this one.
pub(super) fn run(state: &ContainerState) -> Run {
    let moment = |text: Option<&String>| text?.parse::<jiff::Timestamp>().ok();
    let end = match state.running {
        Some(true) => i64::try_from(clock::wall_millis()).ok(),
        _ => moment(state.finished_at.as_ref()).map(jiff::Timestamp::as_millisecond),
    };
    let begin = moment(state.started_at.as_ref()).map(jiff::Timestamp::as_millisecond);
    let lasted = begin.zip(end).map(|(begin, end)| u64::try_from(end.saturating_sub(begin)).unwrap_or(0));
    Run { started: state.started_at.clone(), lasted: lasted.map(Duration::from_millis) }
}

impl DockerRuntime {
    fn restarts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container is gone.
    pub(super) fn forget_restart(&self, id: &str) {
        self.restarts().remove(id);
    }

    /// How a container ended of which that was heard; `None` if it runs again already, or nobody knows: the list will tell.
    pub(super) async fn last_end(&self, id: &str) -> Option<(Exit, Run)> {
        let state = self.inspect(id).await.ok()?.state?;
        (state.running != Some(true)).then(|| (found::exit(&state), run(&state)))
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
        let ended = run(&state);
        assert_eq!(ended.lasted, Some(Duration::from_millis(61_100)));
        assert_eq!(ended.started, state.started_at);
        // The clock was set back meanwhile.
        state.finished_at = Some("2026-01-02T03:04:00Z".to_owned());
        assert_eq!(run(&state).lasted, Some(Duration::ZERO));
        state.running = Some(true);
        assert!(run(&state).lasted > Some(Duration::ZERO));
    }
}
