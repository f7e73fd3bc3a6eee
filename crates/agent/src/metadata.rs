//! The task metadata endpoint, version 4, and the agent's own API for tasks (ECS developer guide: task metadata endpoint version 4, task scale-in protection
//! endpoint): what a container asks at 169.254.170.2, port 80, by the URIs that its environment names.
//!
//! - All agents of a machine listen at that address ([`listen`]). The kernel gives a connection to any of them; one that does not
//!   know the container asks the others ([`neighbours`]). When one is gone the others answer at once.
//! - A task on a bridge or with an interface of its own is told only of itself: the URI names a container by a number that nobody
//!   can guess ([`uri`]), and the source address must be the task's ([`source`]).
//! - Each source has so many questions a second ([`server`]).
//! - What is said is looked up when it is asked ([`answer`], [`shape`]); nothing is kept for it.
//!
//! Reading order: [`uri`] · [`listen`] · [`server`] · [`source`] · [`answer`] · [`shape`] · [`neighbours`].

mod answer;
mod listen;
mod neighbours;
mod server;
mod shape;
mod source;
pub(crate) mod uri;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::control::ControlPlane;
use crate::runtime::Runtime;
use crate::worker::Inbox;
use server::Server;

/// 1 while this agent listens at the metadata address.
const LISTENING: &str = "trireme_agent_metadata_listening";
/// Questions by what came of them.
const REQUESTS: &str = "trireme_agent_metadata_requests_total";
/// Between two tries to listen.
const PAUSE: Duration = Duration::from_secs(10);

/// Answers containers until `shutdown`. While it cannot listen it says why and tries again: tasks run all the same.
pub(crate) async fn run(
    runtime: Arc<dyn Runtime>,
    worker: Inbox,
    control: ControlPlane,
    zone: String,
    shutdown: CancellationToken,
) {
    describe_metrics();
    let neighbours = neighbours::Neighbours::default();
    let server = Arc::new(Server::new(runtime, worker, control, neighbours, zone));
    let mut told = String::new();
    loop {
        let listening = match listen::listen().await {
            Ok(listening) => listening,
            Err(error) => {
                if told != error {
                    tracing::warn!(error, "containers cannot ask for their metadata at {}", listen::ADDRESS);
                    told = error;
                }
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => continue,
                    () = shutdown.cancelled() => return,
                }
            }
        };
        tracing::info!("containers can ask for their metadata at {}", listen::ADDRESS);
        metrics::gauge!(LISTENING).set(1.0);
        server.serve(listening, &shutdown).await;
        metrics::gauge!(LISTENING).set(0.0);
        return;
    }
}

fn describe_metrics() {
    metrics::describe_gauge!(
        LISTENING,
        "1 while the agent listens at the address of the task metadata endpoint"
    );
    metrics::describe_counter!(
        REQUESTS,
        "Questions of containers for their metadata, by result: answered, unknown (no such container), refused (of another \
         task), limited (too many), failed"
    );
}
