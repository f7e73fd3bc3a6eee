//! What happens to containers, as Docker tells it.

use std::collections::HashMap;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::{DockerRuntime, found, health, labels, restart};
use crate::runtime::{Event, Exit, Happening, Owner, Run};

/// The exit code of a process that SIGKILL ended.
const KILLED: i32 = 137;

impl DockerRuntime {
    /// An event of Docker as one of ours. An exit by SIGKILL takes a moment: it may have been for lack of memory.
    async fn understand(&self, message: EventMessage) -> Option<Event> {
        let actor = message.actor?;
        let attributes = actor.attributes.unwrap_or_default();
        let container = actor.id?;
        if message.action.as_deref() == Some("oom") {
            self.memory.note(&container);
            return None;
        }
        let health = message.action.as_deref().and_then(health::told);
        if health.is_none() {
            self.stopper.sight(&container);
        }
        let task = attributes.get(labels::TASK_ID)?.parse().ok()?;
        if let Some(health) = health {
            let what = Happening::Health(health);
            return Some(Event { task, container, what, run: Run::default() });
        }
        if restart::may_come_again(&attributes) {
            let (exit, run) = self.last_end(&container).await?;
            return Some(Event { task, container, what: Happening::Ended(exit), run });
        }
        let code = attributes.get("exitCode").and_then(|code| code.parse::<i32>().ok());
        let mut exit = Exit { code, reason: None };
        if code != Some(KILLED) {
            self.memory.forget(&container);
        } else if self.memory.took(&container).await {
            exit.reason = Some(found::OUT_OF_MEMORY.to_owned());
        }
        Some(Event { task, container, what: Happening::Ended(exit), run: Run::default() })
    }

    pub(super) async fn watch_once(
        &self,
        owner: &Owner,
        since: &mut Option<String>,
        events: &mpsc::Sender<Event>,
    ) -> Option<()> {
        let filters = HashMap::from([
            ("label", vec![labels::of_agent(owner)]),
            ("type", vec!["container".to_owned()]),
            ("event", ["die", "oom", "health_status"].map(str::to_owned).to_vec()),
        ]);
        let mut options = EventsOptionsBuilder::default().filters(&filters);
        if let Some(since) = since {
            options = options.since(since);
        }
        let mut stream = Box::pin(self.docker.events(Some(options.build())));
        // None of these keeps others waiting.
        let mut kills = FuturesUnordered::new();
        loop {
            let event = tokio::select! {
                Some(event) = kills.next() => event,
                message = stream.next() => {
                    let message = match message {
                        Some(Ok(message)) => message,
                        Some(Err(error)) => {
                            tracing::debug!(%error, "Docker's events broke off");
                            break;
                        }
                        None => break,
                    };
                    if let Some(nanos) = message.time_nano {
                        *since = Some(format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000));
                    }
                    if is_kill(&message) {
                        kills.push(self.understand(message));
                        continue;
                    }
                    self.understand(message).await
                }
            };
            if let Some(event) = event {
                events.send(event).await.ok()?;
            }
        }
        while let Some(event) = kills.next().await {
            if let Some(event) = event {
                events.send(event).await.ok()?;
            }
        }
        Some(())
    }
}

/// Whether a container ended by SIGKILL.
fn is_kill(message: &EventMessage) -> bool {
    let attributes = message.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
    let code = attributes.and_then(|attributes| attributes.get("exitCode"));
    code.and_then(|code| code.parse().ok()) == Some(KILLED)
}
