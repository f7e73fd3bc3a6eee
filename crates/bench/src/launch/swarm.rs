//! Docker Swarm's side: the engine is its one manager and worker.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use trireme_testkit::docker_api::filter;

use super::machine::{COMMAND, Machine};
use super::until;

const SERVICE: &str = "bench";
/// Swarm's times are its own: looking seldom takes nothing from it.
const PAUSE: Duration = Duration::from_millis(300);

/// The swarm.
pub(super) struct Swarm<'a>(&'a Machine);

/// A task that Swarm calls running.
struct Running {
    id: String,
    container: String,
    since: SystemTime,
}

impl<'a> Swarm<'a> {
    /// Makes the engine one.
    pub(super) fn start(machine: &'a Machine) -> Result<Self> {
        let here = "127.0.0.1";
        machine.docker(&["swarm", "init", "--advertise-addr", here, "--listen-addr", "127.0.0.1:2377"])?;
        Ok(Self(machine))
    }

    /// A service, until all of its tasks are running by Swarm's own clock.
    pub(super) async fn create_service(&self, host_network: bool, count: usize) -> Result<Duration> {
        let networks = if host_network { json!([{ "Target": "host" }]) } else { json!([]) };
        let body = json!({
            "Name": SERVICE,
            "TaskTemplate": {
                "ContainerSpec": { "Image": self.0.image, "Command": COMMAND, "StopGracePeriod": 0 },
                "RestartPolicy": { "Condition": "any", "Delay": 0 },
                "Networks": networks,
            },
            "Mode": { "Replicated": { "Replicas": count } },
        });
        let began = SystemTime::now();
        self.0.ask("POST", "/services/create", Some(&body)).await?;
        let last = until("Swarm's tasks", PAUSE, async || {
            let running = self.running().await?;
            let last = running.iter().map(|task| task.since).max();
            Ok(last.filter(|_| running.len() == count))
        });
        last.await?.duration_since(began).context("Swarm's clock")
    }

    pub(super) async fn delete_service(&self) -> Result<()> {
        self.0.ask("DELETE", &format!("/services/{SERVICE}"), None).await?;
        until("Swarm's service to be gone", PAUSE, async || {
            Ok(self.running().await?.is_empty().then_some(()))
        })
        .await
    }

    async fn running(&self) -> Result<Vec<Running>> {
        let which = filter(&json!({ "service": [SERVICE], "desired-state": ["running"] }));
        let answer = match self.0.ask("GET", &format!("/tasks{which}"), None).await {
            Ok(answer) => answer,
            // A service that is gone has no tasks.
            Err(error) if format!("{error:#}").contains("not found") => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let tasks = answer.as_array().into_iter().flatten();
        tasks.filter(|task| task["Status"]["State"] == "running").map(parse).collect()
    }

    /// Kills a container of the service: from before the kill until another task of it is running by Swarm's own clock.
    pub(super) async fn replaced(&self) -> Result<Duration> {
        let before = self.running().await?;
        let known: BTreeSet<&str> = before.iter().map(|task| task.id.as_str()).collect();
        let victim = before.first().context("Swarm's service has no tasks")?;
        let began = SystemTime::now();
        self.0.kill(&victim.container).await?;
        let new = until("Swarm's replacement", PAUSE, async || {
            let running = self.running().await?;
            Ok(running.into_iter().find(|task| !known.contains(task.id.as_str())))
        });
        new.await?.since.duration_since(began).context("Swarm's clock")
    }
}

fn parse(task: &Value) -> Result<Running> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let status = &task["Status"];
    let since: jiff::Timestamp = text(&status["Timestamp"]).context("a task's time")?.parse()?;
    Ok(Running {
        id: text(&task["ID"]).context("a task's id")?,
        container: text(&status["ContainerStatus"]["ContainerID"]).context("a task's container")?,
        since: SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(since.as_nanosecond())?),
    })
}
