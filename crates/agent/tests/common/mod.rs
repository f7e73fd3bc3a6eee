//! A control node's dispatcher over a store in memory, on a loopback port, and agents that dial it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod node;
pub mod registry;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use trireme_agent::runtime::Runtime;
use trireme_agent::{AgentConfig, RuntimeConfig};
use trireme_dispatcher::{Dispatcher, DispatcherConfig, HeartbeatTable};
use trireme_state::command::RunTasks;
use trireme_state::object::{
    ClusterKey, ContainerDefinition, NetworkMode, Task, TaskDefinitionKey, TaskDefinitionSpec, TaskOverrides,
    TaskStatus,
};
use trireme_state::store::{LocalStore, Store};
use trireme_state::{Actor, Command, Outcome, Placement, Proposal, State};
use trireme_testkit::wait_for;
use trireme_types::{
    ClusterName, ClusterUuid, ContainerInstanceId, ContainerName, CpuUnits, Family, Mebibytes, RequestId,
    Scope, TaskId, Timestamp,
};

/// How long a test waits for what takes Docker's time.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A control plane of one node.
pub struct World {
    pub store: LocalStore,
    pub heartbeats: Arc<HeartbeatTable>,
    pub address: SocketAddr,
    pub dispatcher: Dispatcher,
    /// The control nodes that agents are told of.
    pub control_nodes: watch::Sender<Vec<String>>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl World {
    pub async fn start() -> Self {
        Self::over(LocalStore::new([7; 32], Timestamp::from_millis(1_800_000_000_000)), 0).await
    }

    /// A control node over this store, at this port.
    pub async fn over(store: LocalStore, port: u16) -> Self {
        let heartbeats = Arc::new(HeartbeatTable::new());
        let (control_nodes, named) = watch::channel(Vec::new());
        let config =
            DispatcherConfig { control_nodes: named, ..DispatcherConfig::new(ClusterUuid::from_bits(0xc1)) };
        let dispatcher = Dispatcher::new(Arc::new(store.clone()), heartbeats.clone(), config);
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (service, stop) = (dispatcher.service(), shutdown.clone());
        let serving = dispatcher.clone();
        let server = tokio::spawn(async move {
            let watcher = tokio::spawn(serving.run(stop.clone()));
            tonic::transport::Server::builder()
                .tcp_nodelay(true)
                .add_service(service)
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
                .await
                .unwrap();
            watcher.await.unwrap();
        });
        Self { store, heartbeats, address, dispatcher, control_nodes, shutdown, server }
    }

    /// Stops the node; the store stays.
    pub async fn stop(self) -> LocalStore {
        self.shutdown.cancel();
        self.server.await.unwrap();
        self.store
    }

    pub fn config(&self, name: &str) -> AgentConfig {
        AgentConfig {
            endpoints: vec![format!("http://{}", self.address)],
            name: name.to_owned(),
            runtime: RuntimeConfig::fake(),
            cpu_units: Some(1_000_000),
            memory_mib: Some(1_000_000),
            oversubscribe: true,
            ..AgentConfig::default()
        }
    }

    pub fn view(&self) -> Arc<State> {
        self.store.view()
    }

    pub fn propose(&self, command: Command) -> Outcome {
        self.try_propose(command).unwrap()
    }

    pub fn try_propose(&self, command: Command) -> Result<Outcome, trireme_state::store::ProposeError> {
        let proposal =
            Proposal { actor: Actor::Operator, request_id: RequestId::from_bits(1), key: None, command };
        self.store.propose_now(&proposal).map(|committed| committed.outcome)
    }

    /// The instance that registered under this name, once it is connected.
    pub async fn instance(&self, name: &str) -> ContainerInstanceId {
        wait_for(&format!("agent {name}"), LIMIT, || async {
            let view = self.view();
            let found =
                view.instances().find(|instance| instance.registration.name == name && instance.connected);
            found.map(|instance| instance.id).ok_or_else(|| format!("{} instances", view.instances().count()))
        })
        .await
    }

    pub fn define(&self, spec: TaskDefinitionSpec) -> TaskDefinitionKey {
        let command = Command::RegisterTaskDefinition {
            scope: Scope::development(),
            family: Family::new("web").unwrap(),
            spec: Arc::new(spec),
            tags: BTreeMap::new(),
            registered_by: "arn:aws:iam::123456789012:root".to_owned(),
        };
        match self.propose(command) {
            Outcome::TaskDefinition(key) => key,
            other => panic!("{other:?}"),
        }
    }

    /// Places `count` tasks on an instance.
    pub fn place(
        &self,
        instance: ContainerInstanceId,
        definition: &TaskDefinitionKey,
        count: usize,
    ) -> Vec<TaskId> {
        self.place_with(instance, definition, count, TaskOverrides::default())
    }

    pub fn place_with(
        &self,
        instance: ContainerInstanceId,
        definition: &TaskDefinitionKey,
        count: usize,
        overrides: TaskOverrides,
    ) -> Vec<TaskId> {
        let epoch = self.view().instance(instance).unwrap().epoch;
        let run = RunTasks {
            cluster: default_cluster(),
            definition: definition.clone(),
            overrides,
            group: None,
            started_by: None,
            tags: BTreeMap::new(),
            placements: vec![Placement { instance, epoch }; count],
        };
        match self.propose(Command::RunTasks(Box::new(run))) {
            Outcome::Tasks(tasks) => tasks,
            other => panic!("{other:?}"),
        }
    }

    pub fn stop_task(&self, task: TaskId) {
        self.propose(Command::StopTask { cluster: default_cluster(), task, reason: None });
    }

    pub async fn wait_status(&self, task: TaskId, status: TaskStatus) -> Arc<Task> {
        wait_for(&format!("task {task} to be {status:?}"), LIMIT, || async {
            let view = self.view();
            let task = view.task(task).ok_or("no such task")?;
            if task.last_status == status { Ok(task.clone()) } else { Err(format!("{task:?}")) }
        })
        .await
    }

    pub async fn wait_count(&self, status: TaskStatus, count: u64) {
        wait_for(&format!("{count} tasks {status:?}"), LIMIT, || async {
            let counts: Vec<_> = self.view().index().task_counts().map(|(_, s, n)| (s, n)).collect();
            let there: u64 = counts.iter().filter(|(s, _)| *s == status).map(|(_, n)| n).sum();
            if there == count { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await;
    }
}

pub fn default_cluster() -> ClusterKey {
    ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() }
}

/// One container that sleeps, in 16 MiB.
pub fn container(name: &str) -> ContainerDefinition {
    ContainerDefinition {
        name: ContainerName::new(name).unwrap(),
        image: "busybox:1".to_owned(),
        cpu: CpuUnits::new(10),
        memory: Some(Mebibytes::new(16)),
        memory_reservation: None,
        essential: true,
        port_mappings: Vec::new(),
        entry_point: None,
        command: Some(["sleep", "1000"].map(str::to_owned).to_vec()),
        environment: Vec::new(),
        working_directory: None,
        user: None,
        hostname: None,
        docker_labels: BTreeMap::new(),
        stop_timeout: None,
        readonly_root_filesystem: None,
        interactive: None,
        pseudo_terminal: None,
        described: BTreeMap::new(),
    }
}

pub fn spec(containers: Vec<ContainerDefinition>) -> TaskDefinitionSpec {
    TaskDefinitionSpec {
        containers,
        network_mode: Some(NetworkMode::Bridge),
        cpu: None,
        memory: None,
        requires_compatibilities: Vec::new(),
        task_role_arn: None,
        execution_role_arn: None,
        described: BTreeMap::new(),
    }
}

/// A running agent. Dropping it is like killing its process.
pub struct Running {
    task: JoinHandle<Result<(), trireme_agent::Error>>,
    shutdown: CancellationToken,
}

impl Running {
    pub fn with(config: AgentConfig, runtime: Arc<dyn Runtime>) -> Self {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(trireme_agent::run_with(config, runtime, shutdown.clone()));
        Self { task, shutdown }
    }

    pub fn start(config: AgentConfig) -> Self {
        let shutdown = CancellationToken::new();
        Self { task: tokio::spawn(trireme_agent::run(config, shutdown.clone())), shutdown }
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Result<(), trireme_agent::Error> {
        (&mut self.task).await.unwrap()
    }

    /// Tells it to stop, as SIGTERM does, and waits until it has.
    pub async fn stop(self) -> Result<(), trireme_agent::Error> {
        self.shutdown.cancel();
        self.ended().await
    }

    /// Kills it and waits until it is dead.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn with_data(config: AgentConfig, folder: &Path) -> AgentConfig {
    AgentConfig { data_dir: Some(folder.to_owned()), ..config }
}
