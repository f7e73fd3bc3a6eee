//! The node's side: what the control plane assigns to this container instance becomes containers.
//!
//! - Without a control plane everything keeps running, and reports wait ([`outbox`]).
//! - After its own restart an agent finds its containers by their labels and adopts them. It restarts nothing but what
//!   a restart policy asks for ([`worker`]).
//! - What is older than what it has accepted is refused ([`ledger`]). In a full set of assignments, what is not in it goes before
//!   anything new starts.
//! - What an operator wants of a container, a command in it or its log, goes through a channel beside the session ([`channel`]).
//! - A task is a pure machine ([`task::step`]); only [`runtime::docker`] knows Docker.
//!
//! Reading order: [`AgentConfig`] · [`run`] · [`session`] ([`dial`], [`endpoints`]) · [`channel`] · [`worker`] · [`task`] · [`runtime`] · [`image`] ·
//! [`ledger`] · [`tally`] · [`outbox`] · [`control`] · [`metadata`] · [`resources`] · [`gpu`] · [`usage`].

mod channel;
mod clock;
mod config;
mod control;
pub mod dial;
mod endpoints;
mod error;
mod gpu;
pub mod image;
pub mod ledger;
pub mod logs;
mod metadata;
mod namespace;
mod object;
pub mod outbox;
mod resources;
pub mod runtime;
mod session;
mod setting;
mod tally;
pub mod task;
mod usage;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use dial::{Dial, TcpDial};

pub use config::{AgentConfig, Allowed, ImageConfig, PullBehavior, RESERVED_PORTS, RuntimeConfig};
pub use error::Error;
use ledger::Ledger;
use outbox::Outbox;
use runtime::Runtime;
use runtime::docker::DockerRuntime;
use runtime::fake::FakeRuntime;

/// How many agents of this process have a session.
const CONNECTED: &str = "trireme_agent_connected";

/// Runs an agent until `shutdown`. Its containers go on running afterwards, and the control plane is told that the agent is away.
///
/// # Errors
/// There is no container runtime, the configuration makes no sense or is refused, the ledger cannot be read or begun, another
/// agent uses the data folder, or the instance was deregistered. Everything else that has to do with the control plane is retried and never ends an agent.
pub async fn run(config: AgentConfig, shutdown: CancellationToken) -> Result<(), Error> {
    config.check()?;
    let mut upkeep = JoinSet::new();
    let runtime: Arc<dyn Runtime> = match &config.runtime {
        RuntimeConfig::Docker { socket } => {
            let (images, folder) = (config.images.clone(), config.data_dir.as_deref());
            let docker = DockerRuntime::connect(socket, config.allow, images, folder).await?;
            let docker = Arc::new(docker.with_objects(config.object_dir.clone()));
            let tended = Arc::clone(&docker);
            upkeep.spawn(async move { tended.clean_up_images().await });
            docker
        }
        RuntimeConfig::Fake { start_delay_ms } => {
            Arc::new(FakeRuntime::new(Duration::from_millis(*start_delay_ms)))
        }
    };
    run_with(config, runtime, shutdown).await
}

/// Runs an agent with a given runtime until `shutdown`. Dropping the future is the same as killing the agent.
///
/// # Errors
/// See [`run`].
pub async fn run_with(
    config: AgentConfig,
    runtime: Arc<dyn Runtime>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    run_over(config, runtime, Arc::new(TcpDial), shutdown).await
}

/// The same, over connections that the caller makes.
///
/// # Errors
/// See [`run`].
pub async fn run_over(
    config: AgentConfig,
    runtime: Arc<dyn Runtime>,
    dial: Arc<dyn Dial>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    config.check()?;
    describe_metrics();
    logs::describe_metrics();
    let synced = matches!(config.runtime, RuntimeConfig::Docker { .. });
    // First: it holds the folder for this agent alone.
    let ledger = Ledger::open(config.data_dir.as_deref(), synced)?;
    let logs = match &config.data_dir {
        Some(folder) => Some(logs::Logs::open(folder, &config, Arc::clone(&runtime))?),
        None => None,
    };
    let runtime = logs.as_ref().map_or(runtime, |logs| Arc::clone(&logs.runtime));
    let about = runtime.about().await.map_err(|failure| Error::NoRuntime { reason: failure.message })?;
    let outbox = Arc::new(Outbox::default());
    let (owned, owner) = watch::channel(None);
    let (used, latest) = watch::channel(Arc::default());
    let looks = usage::run(Arc::clone(&runtime), owner, used);
    let (more_gpus, gpus) = watch::channel(config.gpus());
    let tally = tally::Tally::open(config.data_dir.as_deref());
    let (worker, inbox) =
        worker::Worker::new(Arc::clone(&runtime), Arc::clone(&outbox), tally, ledger.rebooted());
    let alone = worker.alone();
    let (links, control) = control::ControlPlane::new();
    let mut tasks = JoinSet::new();
    let over = CancellationToken::new();
    tasks.spawn(session::absence::time_out(shutdown.clone(), over.clone()));
    tasks.spawn(worker.run());
    tasks.spawn(looks);
    if config.finds_gpus() {
        tasks.spawn(gpu::run(more_gpus));
    }
    if config.serves_metadata() {
        let zone = config.zone.clone();
        tasks.spawn(metadata::run(Arc::clone(&runtime), inbox.clone(), control, zone, shutdown.clone()));
    }
    let sessions = session::Sessions {
        gpus,
        config,
        dial,
        runtime,
        logs: logs.as_ref().map(|logs| Arc::clone(&logs.store)),
        about,
        ledger,
        outbox,
        worker: inbox,
        alone,
        links,
        shutdown,
        over,
        owned,
        usage: latest,
        welcomed: false,
    };
    // A worker that has ended is told of by the first session.
    let _ended = sessions.introduce().await;
    sessions.run().await
}

/// Runs many agents in one process, each with sessions of its own, until `shutdown`. For simulated ones.
///
/// # Errors
/// The first one that fails ends all.
pub async fn run_many(configs: Vec<AgentConfig>, shutdown: CancellationToken) -> Result<(), Error> {
    let mut agents = JoinSet::new();
    for config in configs {
        agents.spawn(run(config, shutdown.clone()));
    }
    while let Some(ended) = agents.join_next().await {
        // A panic of one agent is a defect: it is not hidden.
        match ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            // The others are still registered.
            Err(error @ Error::Deregistered { .. }) => tracing::warn!("{error}"),
            other => other?,
        }
    }
    Ok(())
}

fn describe_metrics() {
    metrics::describe_gauge!(CONNECTED, "Agents of this process that have a session");
    metrics::gauge!(CONNECTED).increment(0.0);
    usage::describe_metrics();
    metrics::describe_counter!(
        "trireme_agent_ledger_errors_total",
        "Assignments of which the ledger could not keep that they were accepted"
    );
}

/// Kills and removes all containers of an agent with their volumes and networks, and says how many there were. The agent must not run. For a development
/// cluster's `stop` and `kill`.
///
/// They are found by the identity in the ledger in `config.data_dir`, and, as that may be damaged or gone, by `config.name`
/// within the control plane `cluster_uuid`, if the caller knows it.
///
/// # Errors
/// Docker does not answer; or the ledger cannot be read, and the control plane is not given.
pub async fn remove_containers(config: &AgentConfig, cluster_uuid: Option<&str>) -> Result<usize, Error> {
    let RuntimeConfig::Docker { socket } = &config.runtime else { return Ok(0) };
    let known = match config.data_dir.as_deref().map(ledger::read).transpose() {
        Ok(known) => known.flatten().unwrap_or_default(),
        Err(error) if cluster_uuid.is_none() => return Err(error),
        Err(error) => {
            tracing::warn!(error = error::describe(&error), "containers are found by the agent's name");
            ledger::Entries::default()
        }
    };
    let owner = runtime::Owner {
        instance: known.instance,
        cluster_uuid: cluster_uuid.map_or(known.cluster_uuid, str::to_owned),
        name: config.name.clone(),
        ..runtime::Owner::default()
    };
    if owner.instance.is_empty() && owner.cluster_uuid.is_empty() {
        return Ok(0);
    }
    let runtime =
        Arc::new(DockerRuntime::connect(socket, Allowed::default(), ImageConfig::default(), None).await?);
    let found = runtime.find(&owner).await.map_err(Error::List)?;
    let count = found.len();
    let mut removals = JoinSet::new();
    for container in found {
        let runtime = Arc::clone(&runtime);
        removals.spawn(async move {
            let removed = runtime.remove(&container).await;
            removed.map_err(|source| Error::Remove { container, source })
        });
    }
    while let Some(removed) = removals.join_next().await {
        removed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    }
    runtime.remove_volumes(&owner).await.map_err(Error::List)?;
    runtime.remove_groups(&owner).await.map_err(Error::List)?;
    runtime.remove_networks(&owner).await.map_err(Error::List)?;
    Ok(count)
}
