//! How containers end. What costs Docker something is rationed, a container's patience is not: who waits for an exit holds no
//! permit, and what must go at once has permits of its own, so that no stop is ever before it in a queue.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptions, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout_at;

use super::call::{Outcome, call, failed};
use super::{QUICK, found};
use crate::clock;
use crate::runtime::{Exit, Failure, FailureKind};

/// Signals and looks of patient stops.
const STOPS_AT_ONCE: usize = 16;
/// Kills of what must go at once.
const KILLS_AT_ONCE: usize = 64;
const REMOVALS_AT_ONCE: usize = 32;
/// Docker itself waits for the process to die, ten seconds at most.
const KILL: Duration = Duration::from_secs(20);
const REMOVE: Duration = Duration::from_secs(30);
/// How often an exit is looked for in case its event was missed.
const LOOK: Duration = Duration::from_secs(10);
/// Docker's default when neither the image nor the container names another one.
const STOP_SIGNAL: &str = "SIGTERM";

/// Ends containers.
pub(super) struct Stopper {
    docker: Docker,
    stops: Semaphore,
    kills: Semaphore,
    removals: Semaphore,
    waiting: Mutex<BTreeMap<String, Arc<Notify>>>,
}

impl Stopper {
    pub(super) fn new(docker: Docker) -> Self {
        Self {
            docker,
            stops: Semaphore::new(STOPS_AT_ONCE),
            kills: Semaphore::new(KILLS_AT_ONCE),
            removals: Semaphore::new(REMOVALS_AT_ONCE),
            waiting: Mutex::default(),
        }
    }

    /// An event said that a container ended.
    pub(super) fn sight(&self, id: &str) {
        if let Some(waiting) = self.lock().get(id) {
            waiting.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a container to stop, and kills it after `patience`. May be given up at any time.
    pub(super) async fn stop(&self, id: &str, patience: Duration) -> Result<Exit, Failure> {
        // From before it is asked: no exit is missed.
        let exit = self.expect(id);
        if let Some(exit) = self.ask(id).await? {
            return Ok(exit);
        }
        let end = clock::now() + patience;
        while clock::now() < end {
            let _ = timeout_at((clock::now() + LOOK).min(end), exit.notify.notified()).await;
            match self.exit_of(id).await {
                Ok(Some(exit)) => return Ok(exit),
                Ok(None) => {}
                Err(failure) => tracing::debug!(%failure, "an exit is not known yet"),
            }
        }
        let permit = self.stops.acquire().await;
        self.kill_once(id).await?;
        drop(permit);
        let gone = self.exit_of(id).await?;
        gone.ok_or_else(|| Failure::new(FailureKind::CannotStop, "it runs after SIGKILL"))
    }

    /// Kills a container if it runs, and removes it.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Failure> {
        let permit = self.kills.acquire().await;
        let there = self.kill_once(id).await?;
        drop(permit);
        if !there {
            return Ok(());
        }
        let _permit = self.removals.acquire().await;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match call("remove", REMOVE, self.docker.remove_container(id, Some(options))).await {
            Err(outcome) if !outcome.is_not_found() => Err(failed(FailureKind::CannotRemove, outcome)),
            _ => Ok(()),
        }
    }

    /// Sends the signal that the container takes for "stop". Gives its exit when it does not run.
    async fn ask(&self, id: &str) -> Result<Option<Exit>, Failure> {
        let _permit = self.stops.acquire().await;
        let known = match self.inspect(id).await {
            Ok(known) => known,
            Err(outcome) if outcome.is_not_found() => return Ok(Some(Exit::default())),
            Err(outcome) => return Err(failed(FailureKind::CannotStop, outcome)),
        };
        let signal = known.config.and_then(|config| config.stop_signal).filter(|signal| !signal.is_empty());
        let options = KillContainerOptionsBuilder::default().signal(signal.as_deref().unwrap_or(STOP_SIGNAL));
        match call("signal", QUICK, self.docker.kill_container(id, Some(options.build()))).await {
            Ok(()) => Ok(None),
            // 409: it does not run.
            Err(Outcome::Refused { status: 404 | 409, .. }) => self.exit_of(id).await,
            Err(outcome) => Err(failed(FailureKind::CannotStop, outcome)),
        }
    }

    /// Sends SIGKILL, and succeeds when it does not run. False when it is not there.
    async fn kill_once(&self, id: &str) -> Result<bool, Failure> {
        match call("kill", KILL, self.docker.kill_container(id, None::<KillContainerOptions>)).await {
            // 409: it does not run.
            Ok(()) | Err(Outcome::Refused { status: 409, .. }) => Ok(true),
            Err(outcome) if outcome.is_not_found() => Ok(false),
            Err(outcome) => Err(failed(FailureKind::CannotStop, outcome)),
        }
    }

    /// How it ended; `None` while it runs.
    async fn exit_of(&self, id: &str) -> Result<Option<Exit>, Failure> {
        match self.inspect(id).await {
            Ok(known) => Ok(match known.state {
                Some(state) if state.running == Some(true) => None,
                Some(state) => Some(found::exit(&state)),
                None => Some(Exit::default()),
            }),
            Err(outcome) if outcome.is_not_found() => Ok(Some(Exit::default())),
            Err(outcome) => Err(failed(FailureKind::CannotStop, outcome)),
        }
    }

    async fn inspect(&self, id: &str) -> Result<bollard::models::ContainerInspectResponse, Outcome> {
        call("inspect", QUICK, self.docker.inspect_container(id, None::<InspectContainerOptions>)).await
    }

    fn expect<'a>(&'a self, id: &'a str) -> Expected<'a> {
        let notify = Arc::clone(self.lock().entry(id.to_owned()).or_default());
        Expected { stopper: self, id, notify }
    }
}

/// Somebody waits for a container's exit.
struct Expected<'a> {
    stopper: &'a Stopper,
    id: &'a str,
    notify: Arc<Notify>,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.stopper.lock().remove(self.id);
    }
}
