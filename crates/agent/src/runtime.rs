//! What runs containers, behind one trait: `docker` for machines, `fake` for tests and simulated nodes.

pub mod docker;
pub mod fake;
pub mod inside;
mod inspection;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use trireme_rpc::agent::{AssignedTask, Container, NetworkBinding};
use trireme_types::TaskId;

use inside::{BoxStream, Denied, Line, Lines, Member, NewCommand, Running};
pub use inspection::{Attached, Checked, Inspection, Mounted};

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a failed call was about, as ECS names it in a container's `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The image could not be had.
    CannotPull,
    /// The container could not be made.
    CannotCreate,
    /// The container could not be started.
    CannotStart,
    /// The container could not be stopped or killed.
    CannotStop,
    /// The container is dead, but could not be removed.
    CannotRemove,
    /// A volume could not be had.
    CannotCreateVolume,
    /// Something that the container needs is not there.
    CannotInitialize,
    /// The task's network could not be had.
    Networking,
    /// The container could not be looked at.
    CannotInspect,
    /// The runtime did not answer in time. What was asked may have been done.
    Timeout,
    /// The runtime cannot be reached. Nothing was done.
    Unreachable,
}

impl FailureKind {
    /// ECS's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CannotPull => "CannotPullContainerError",
            Self::CannotCreate => "CannotCreateContainerError",
            Self::CannotStart => "CannotStartContainerError",
            Self::CannotStop | Self::CannotRemove => "CannotStopContainerError",
            Self::CannotCreateVolume => "CannotCreateVolumeError",
            Self::CannotInitialize => "ResourceInitializationError",
            Self::Networking => "ContainerNetworkingError",
            Self::CannotInspect => "CannotInspectContainerError",
            Self::Unreachable => "CannotGetDockerclientError",
            Self::Timeout => "DockerTimeoutError",
        }
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.as_str())]
pub struct Failure {
    /// What it was about.
    pub kind: FailureKind,
    /// What the runtime said.
    pub message: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// An image that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Its repository digest, or its id when it came from no repository.
    pub digest: String,
    /// What it is for whoever is to run the same. The runtime cannot tell when it is absent.
    pub pin: Option<Pin>,
}

impl Image {
    /// The image that a pin means.
    pub fn of(pin: Pin) -> Self {
        let (Pin::Manifest(digest) | Pin::Id(digest)) = &pin;
        Self { digest: digest.clone(), pin: Some(pin) }
    }
}

/// An image, whatever its tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// The manifest of this digest in its repository.
    Manifest(String),
    /// The image of this id, which came from no repository.
    Id(String),
}

/// An image as it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageName {
    /// Its name in the task definition.
    pub name: String,
    /// Which of those that had this name, if it matters.
    pub pin: Option<Pin>,
    /// What is found holds for a whole deployment: what the name meant a while ago will not do.
    pub anew: bool,
}

impl ImageName {
    /// The name that means this image only, as far as it matters.
    pub fn exact(&self) -> String {
        match &self.pin {
            None => self.name.clone(),
            Some(Pin::Id(id)) => id.clone(),
            Some(Pin::Manifest(digest)) => match self.name.split_once('@') {
                Some((name, _)) => format!("{name}@{digest}"),
                None => format!("{}@{digest}", self.name),
            },
        }
    }
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pin {
            Some(Pin::Id(id)) => write!(f, "{} ({id})", self.name),
            _ => f.write_str(&self.exact()),
        }
    }
}

/// Whose containers: the labels that keep agents on one engine, and control planes, apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The container instance's id.
    pub instance: String,
    /// The control plane's identity.
    pub cluster_uuid: String,
    /// The agent's name, for people.
    pub name: String,
    /// What only this agent knows: from it follow ids that nobody can guess, and that are the same after a restart.
    pub secret: Secret,
}

/// A text that is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// One container of a task, to be made.
#[derive(Debug, Clone)]
pub struct NewContainer {
    /// Whose.
    pub owner: Arc<Owner>,
    /// The task.
    pub task: Arc<AssignedTask>,
    /// Which of its containers.
    pub index: usize,
    /// What it is made from.
    pub image: ImageName,
}

impl NewContainer {
    /// Its definition.
    pub fn definition(&self) -> &Container {
        &self.task.containers[self.index]
    }

    /// Its name on the engine. The same container has the same name after a restart of the agent.
    pub fn container_name(&self) -> String {
        self.name_of(&self.definition().name)
    }

    /// The name on the engine of a container of the same task.
    pub fn name_of(&self, container: &str) -> String {
        format!("trireme-{}-{container}", self.task.task_id)
    }
}

/// ECS's name of the container that holds a task's network namespace. No container of a task definition can have it.
pub const SANDBOX: &str = "~internal~ecs~pause";

/// What holds a task's network namespace, to be made.
#[derive(Debug, Clone)]
pub struct NewSandbox {
    /// Whose.
    pub owner: Arc<Owner>,
    /// The task.
    pub task: Arc<AssignedTask>,
}

impl NewSandbox {
    /// Its name on the engine. No container of a task definition has a dot in its name.
    pub fn container_name(&self) -> String {
        sandbox_name(&self.task)
    }
}

/// The name on the engine of a task's sandbox.
pub fn sandbox_name(task: &AssignedTask) -> String {
    format!("trireme-{}.pause", task.task_id)
}

/// What a container's health check says (ECS API: HealthStatus).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Health {
    /// Nothing, or nothing yet.
    #[default]
    Unknown,
    /// It passed.
    Healthy,
    /// It failed as often in a row as the definition has retries.
    Unhealthy,
}

/// What is known of a container that was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Started {
    /// Its published ports.
    pub bindings: Vec<NetworkBinding>,
    /// What its health check says.
    pub health: Health,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; absent when it never ran or nobody knows.
    pub code: Option<i32>,
    /// `<ErrorName>: detail`, when there is more to say.
    pub reason: Option<String>,
}

/// One run of a container: from a start to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// When it began, as the runtime writes it: no two runs of a container began at once. `None`: nobody asked, as containers
    /// that are started once have one run.
    pub started: Option<String>,
    /// How long it lasted, or has lasted; `None`: nobody asked.
    pub lasted: Option<Duration>,
}

/// How a container was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundState {
    /// Made, never started.
    Created,
    /// Running.
    Running(Started),
    /// Ended.
    Exited(Exit),
}

/// A container of ours that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The runtime's id for it.
    pub id: String,
    /// The task that it belongs to; absent when its label is not a task's id.
    pub task: Option<TaskId>,
    /// Its name in the task definition, or [`SANDBOX`].
    pub name: String,
    /// Its image's digest, if known.
    pub digest: String,
    /// How it is.
    pub state: FoundState,
    /// Its last run.
    pub run: Run,
}

/// A line that a container said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputLine {
    /// When the runtime had each part of it, in nanoseconds since the Unix epoch.
    pub stamps: Vec<u64>,
    /// The line, without its end.
    pub text: String,
}

/// Something that happened to a container without being asked for, or while it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The task that it belongs to.
    pub task: TaskId,
    /// The runtime's id for it.
    pub container: String,
    /// What it was.
    pub what: Happening,
    /// In which of its runs.
    pub run: Run,
}

/// What can happen to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// It ended.
    Ended(Exit),
    /// Its health check says something else.
    Health(Health),
}

/// What the kernel has counted of a running container since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Time of processors.
    pub cpu_nanos: u64,
    /// Memory now, without what the kernel gives back at once.
    pub memory_bytes: u64,
    /// Read from disks.
    pub disk_read_bytes: u64,
    /// Written to disks.
    pub disk_written_bytes: u64,
    /// Its network's name, and the bytes received and sent there; none in the machine's own.
    pub network: Option<(String, u64, u64)>,
}

/// What running containers have used, by the runtime's id, with the task of each.
pub type Readings = BTreeMap<String, (TaskId, Reading)>;

/// Tasks that are over: what they had beside their containers may go.
#[derive(Debug, Clone)]
pub enum Over {
    /// One of them, with what it was, if that is known.
    Task(TaskId, Arc<AssignedTask>),
    /// Every one that is none of these.
    AllBut(BTreeSet<TaskId>),
}

impl Over {
    /// Whether a task is one of them.
    pub fn holds(&self, task: TaskId) -> bool {
        match self {
            Self::Task(over, _) => *over == task,
            Self::AllBut(left) => !left.contains(&task),
        }
    }
}

/// What a runtime is and can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its version, to be shown.
    pub version: String,
    /// The log drivers that it has.
    pub log_drivers: Vec<String>,
    /// The volume drivers that it has.
    pub volume_drivers: Vec<String>,
    /// The security modules of Linux that it uses.
    pub security_modules: Vec<String>,
    /// It can limit what a container writes.
    pub limits_storage: bool,
    /// It can hold the namespaces that containers share.
    pub holds_namespaces: bool,
}

/// What runs containers. Each call has a time limit of its own.
pub trait Runtime: Send + Sync + 'static {
    /// What the runtime says of itself; fails when it does not answer.
    fn about(&self) -> BoxFuture<'_, Result<About, Failure>>;

    /// All containers of `owner`, in any state.
    fn list<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Vec<Found>, Failure>>;

    /// Sees to it that the image is there.
    fn pull<'a>(&'a self, image: &'a ImageName) -> BoxFuture<'a, Result<Image, Failure>>;

    /// Makes a container and gives its id. The same container asked for twice is made once.
    fn create(&self, new: NewContainer) -> BoxFuture<'_, Result<String, Failure>>;

    /// Makes what holds a task's network namespace, starts it, and gives its id. The same one asked for twice is made and started once.
    fn open(&self, new: NewSandbox) -> BoxFuture<'_, Result<String, Failure>>;

    /// Starts a container that was never started. One that was is left as it is. `published`: it has ports to report.
    fn start<'a>(&'a self, id: &'a str, published: bool) -> BoxFuture<'a, Result<Started, Failure>>;

    /// Starts a container again that has ended. One that runs is left as it is.
    fn restart<'a>(&'a self, id: &'a str, published: bool) -> BoxFuture<'a, Result<Started, Failure>>;

    /// Asks a container to stop, and kills it after `patience`. Succeeds when it does not run. Dropping the future gives the
    /// stop up.
    fn stop<'a>(&'a self, id: &'a str, patience: Duration) -> BoxFuture<'a, Result<Exit, Failure>>;

    /// Kills a container if it runs, and removes it. Succeeds when it is not there. Never waits behind a stop.
    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Failure>>;

    /// Removes what tasks of `owner` that are over had beside their containers. Succeeds when there is nothing.
    fn release<'a>(&'a self, owner: &'a Owner, over: &'a Over) -> BoxFuture<'a, Result<(), Failure>>;

    /// What the runtime knows of a container.
    fn look<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Inspection, Failure>>;

    /// What a container uses, in Docker's words (Docker API: ContainerStats). It may take seconds.
    fn stats<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<serde_json::Value, Failure>>;

    /// What `owner`'s running containers have used.
    fn usage<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Readings, Failure>>;

    /// Sends the lines that a container has said since a time (nanoseconds since the Unix epoch; some may be older). With `follow` until it
    /// ends or the receiver is gone. Fails with [`FailureKind::CannotInspect`] when it is not there.
    fn output<'a>(
        &'a self,
        _id: &'a str,
        _since: u64,
        _follow: bool,
        _lines: mpsc::Sender<OutputLine>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }

    /// Sends what happens to `owner`'s containers, until the receiver is gone.
    fn watch<'a>(&'a self, owner: &'a Owner, events: mpsc::Sender<Event>) -> BoxFuture<'a, ()>;

    /// Runs a command in a running container.
    fn execute<'a>(
        &'a self,
        member: &'a Member,
        new: &'a NewCommand,
    ) -> BoxFuture<'a, Result<Running, Denied>>;

    /// Reads what a container wrote, as fast as it is taken. A container that is over still has its log while it is there.
    fn lines<'a>(
        &'a self,
        member: &'a Member,
        lines: Lines,
    ) -> BoxFuture<'a, Result<BoxStream<Result<Line, Denied>>, Denied>>;
}
