//! Docker, by its API. The only place that knows it.
//!
//! Docker is the source of truth about containers; this module keeps nothing about them but which starts were tried, so that
//! none is tried twice: starting a container that has ended would be a restart.

mod around;
mod call;
mod cgroup;
mod credentials;
mod events;
mod exec;
mod found;
mod frames;
mod gpus;
mod health;
mod labels;
mod logs;
mod look;
mod memory;
mod output;
mod pause;
mod ports;
mod progress;
mod registry;
mod restart;
mod sandbox;
mod settings;
mod spec;
mod stop;
mod storage;
mod usage;
mod volumes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, SystemInfo};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    ListPluginsOptionsBuilder, StartContainerOptions,
};
use tokio::sync::{Semaphore, mpsc};

use super::inside::{BoxStream, Denied, Line, Lines, Member, NewCommand, Running};
use super::{
    About, BoxFuture, Event, Exit, Failure, FailureKind, Found, Image, ImageName, Inspection, NewContainer,
    NewSandbox, OutputLine, Over, Owner, Readings, Runtime, Started,
};
use crate::clock;
use crate::config::ImageConfig;
use crate::image::Images;
use crate::object::Objects;
use crate::{Allowed, Error};
use call::{Outcome, call, failed};
use cgroup::Cgroups;
use credentials::Credentials;
use memory::LackOfMemory;
use registry::Registry;
use sandbox::Sandboxes;
use stop::Stopper;

/// Docker makes and starts this many containers at once; more only wait inside it.
const STARTS_AT_ONCE: usize = 16;
/// Limits of calls that take no time but Docker's own.
const QUICK: Duration = Duration::from_secs(10);
const CREATE: Duration = Duration::from_secs(60);
const START: Duration = Duration::from_secs(90);
/// Docker looks twice, a second apart.
const STATS: Duration = Duration::from_secs(10);
/// The client's own limit is out of the way: each call has one here.
const CLIENT_SECONDS: u64 = 24 * 3600;
const EVENTS_PAUSE: Duration = Duration::from_millis(500);
/// How often a started container's ports are looked for while Docker does not answer.
const PORT_LOOKS: u32 = 30;
const PORT_PAUSE: Duration = Duration::from_secs(1);

/// A Docker Engine.
pub struct DockerRuntime {
    docker: Docker,
    socket: PathBuf,
    images: Images<Registry>,
    starts: Semaphore,
    stopper: Stopper,
    memory: LackOfMemory,
    sandboxes: Sandboxes,
    /// Containers whose start was tried and not answered.
    unanswered: Mutex<BTreeSet<String>>,
    /// Where the kernel counts what containers use.
    places: usage::Places,
    /// The same of containers that come again, with when they had begun before.
    restarts: Mutex<BTreeMap<String, Option<String>>>,
    /// Processes of containers cannot be seen from here.
    blind: AtomicBool,
    /// What of the machine containers may have.
    allowed: Allowed,
    objects: Objects,
    /// Around tasks with limits, where that can be had.
    cgroups: Option<Arc<Cgroups>>,
}

/// What Docker's refusal of a container says when its image is not there.
const NO_IMAGE: &str = "No such image";
/// Security modules that ECS has names for.
const SECURITY_MODULES: [&str; 2] = ["apparmor", "selinux"];

impl DockerRuntime {
    /// Connects to the engine at `socket`, in the API version that both know. Which images were pulled is remembered in `folder`.
    ///
    /// # Errors
    /// No engine answers there.
    pub async fn connect(
        socket: &Path,
        allowed: Allowed,
        images: ImageConfig,
        folder: Option<&Path>,
    ) -> Result<Self, Error> {
        describe_metrics();
        let none = |reason| Error::NoDocker { socket: socket.to_owned(), reason };
        let path = socket.to_string_lossy();
        let client = Docker::connect_with_unix(&path, CLIENT_SECONDS, bollard::API_DEFAULT_VERSION)
            .map_err(|error| none(error.to_string()))?;
        let docker = call("version", QUICK, client.negotiate_version())
            .await
            .map_err(|outcome| none(failed(FailureKind::Unreachable, outcome).message))?;
        let info = call("info", QUICK, docker.info()).await.unwrap_or_default();
        let credentials = Credentials::new(docker.clone(), images.docker_config.clone());
        let registry = Registry::new(docker.clone(), images.pulls_at_once, credentials);
        Ok(Self {
            socket: socket.to_owned(),
            stopper: Stopper::new(docker.clone()),
            memory: LackOfMemory::default(),
            sandboxes: Sandboxes::new(docker.clone()),
            docker,
            images: Images::new(registry, images, folder),
            starts: Semaphore::new(STARTS_AT_ONCE),
            unanswered: Mutex::default(),
            places: usage::Places::default(),
            restarts: Mutex::default(),
            blind: AtomicBool::new(false),
            allowed,
            objects: Objects::default(),
            cgroups: Cgroups::of(&info).map(Arc::new),
        })
    }

    /// Removes images that nobody uses, as long as it is let.
    pub async fn clean_up_images(&self) {
        self.images.clean_up().await;
    }

    /// The folder of objects that tasks name.
    #[must_use]
    pub fn with_objects(mut self, folder: Option<PathBuf>) -> Self {
        self.objects = Objects::new(folder);
        self
    }

    fn unanswered(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn create_once(&self, new: &NewContainer, body: &ContainerCreateBody) -> Result<String, Outcome> {
        let _permit = self.starts.acquire().await;
        let name = new.container_name();
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = self.docker.create_container(Some(options), body.clone());
        let created = call("create", CREATE, created).await;
        match created {
            Ok(created) => Ok(created.id),
            // Made before, by a call whose answer got lost.
            Err(Outcome::Refused { status: 409, message }) => {
                let existing = match self.inspect(&name).await {
                    Ok(existing) => existing,
                    // It is about something else than the name: a volume that is there with another driver.
                    Err(outcome) if outcome.is_not_found() => {
                        return Err(Outcome::Refused { status: 409, message });
                    }
                    Err(outcome) => return Err(outcome),
                };
                let labels = existing.config.as_ref().and_then(|config| config.labels.as_ref());
                match existing.id {
                    Some(id) if labels.is_some_and(|known| labels::same(known, new)) => Ok(id),
                    _ => Err(Outcome::Refused { status: 409, message }),
                }
            }
            Err(outcome) => Err(outcome),
        }
    }

    async fn inspect(&self, id: &str) -> Result<bollard::models::ContainerInspectResponse, Outcome> {
        call("inspect", QUICK, self.docker.inspect_container(id, None::<InspectContainerOptions>)).await
    }

    async fn start_once(&self, id: &str) -> Result<(), Failure> {
        let cannot = |outcome| failed(FailureKind::CannotStart, outcome);
        let tried_before = !self.unanswered().insert(id.to_owned());
        if tried_before {
            let known = self.inspect(id).await.map_err(cannot)?;
            if found::was_started(&known) {
                self.unanswered().remove(id);
                return Ok(());
            }
        }
        let _permit = self.starts.acquire().await;
        let started =
            call("start", START, self.docker.start_container(id, None::<StartContainerOptions>)).await;
        let answered = match &started {
            Ok(()) => true,
            Err(outcome) => outcome.is_answer(),
        };
        if answered {
            self.unanswered().remove(id);
        }
        match started {
            Err(outcome) if !outcome.is_not_modified() => Err(cannot(outcome)),
            _ => Ok(()),
        }
    }

    /// The published ports of a container that was started. It is not the start that failed when Docker does not say at once.
    async fn ports_of(&self, id: &str) -> Started {
        for _ in 0..PORT_LOOKS {
            match self.inspect(id).await {
                Ok(known) => return found::started(&known),
                Err(outcome) if outcome.is_not_found() => break,
                Err(outcome) => tracing::warn!(?outcome, "the ports of a container are not known yet"),
            }
            tokio::time::sleep(PORT_PAUSE).await;
        }
        Started::default()
    }

    async fn list_now(&self, owner: &Owner) -> Result<Vec<Found>, Failure> {
        let filters = HashMap::from([("label", vec![labels::of_agent(owner)])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = call("list", QUICK, self.docker.list_containers(Some(options))).await;
        let listed = listed.map_err(|outcome| failed(FailureKind::CannotInspect, outcome))?;
        let mut all = Vec::with_capacity(listed.len());
        for summary in &listed {
            let Some(found) = found::container(summary) else { continue };
            let listed = found::state(summary).filter(|_| !restart::is_listed(summary));
            let Some(state) = listed else {
                // Docker's list does not say how it ended, nor which run it was.
                match self.inspect_surely(&found.id).await {
                    Ok(known) => all.push(found::inspected(found, &known)),
                    Err(outcome) if outcome.is_not_found() => {}
                    Err(outcome) => return Err(failed(FailureKind::CannotInspect, outcome)),
                }
                continue;
            };
            all.push(Found { state, ..found });
        }
        Ok(all)
    }

    /// The ids of `owner`'s containers: those of its instance, and those of its name in its control plane. What of these is
    /// empty is not looked for.
    ///
    /// # Errors
    /// Docker does not list them.
    pub async fn find(&self, owner: &Owner) -> Result<BTreeSet<String>, Failure> {
        let mut found = BTreeSet::new();
        for labels in labels::of_owner(owner) {
            let filters = HashMap::from([("label", labels)]);
            let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            let listed = call("list", QUICK, self.docker.list_containers(Some(options))).await;
            let listed = listed.map_err(|outcome| failed(FailureKind::CannotInspect, outcome))?;
            found.extend(listed.into_iter().filter_map(|summary| summary.id));
        }
        Ok(found)
    }

    /// Volume drivers that are Docker's plugins, with and without the tag that is meant when none is given.
    async fn volume_plugins(&self) -> Vec<String> {
        let filters = HashMap::from([("capability", vec!["volumedriver"]), ("enable", vec!["true"])]);
        let options = ListPluginsOptionsBuilder::default().filters(&filters).build();
        let plugins = call("plugins", QUICK, self.docker.list_plugins(Some(options))).await;
        let names = plugins.unwrap_or_default().into_iter().map(|plugin| plugin.name);
        names
            .flat_map(|name| {
                let short = name.strip_suffix(":latest").map(str::to_owned);
                std::iter::once(name).chain(short)
            })
            .collect()
    }

    /// Removes the volumes of all of `owner`'s tasks.
    ///
    /// # Errors
    /// Docker does not list or remove them.
    pub async fn remove_volumes(&self, owner: &Owner) -> Result<(), Failure> {
        for labels in labels::of_owner(owner) {
            volumes::remove_labelled(&self.docker, labels, |_| true).await?;
        }
        Ok(())
    }

    /// Removes the networks of `owner`'s control plane that nobody uses any more.
    ///
    /// # Errors
    /// Docker does not list or remove them.
    pub async fn remove_networks(&self, owner: &Owner) -> Result<(), Failure> {
        self.sandboxes.remove_networks(owner).await
    }
}

impl Runtime for DockerRuntime {
    fn about(&self) -> BoxFuture<'_, Result<About, Failure>> {
        Box::pin(async {
            let version = call("version", QUICK, self.docker.version()).await;
            let version = version.map_err(|outcome| failed(FailureKind::CannotInspect, outcome))?;
            // An agent that cannot be told this adopts all the same.
            let info = call("info", QUICK, self.docker.info()).await.unwrap_or_else(|outcome| {
                tracing::warn!(
                    ?outcome,
                    "Docker does not say what it has: no log driver or volume driver is offered"
                );
                SystemInfo::default()
            });
            let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
            let limits_storage = storage::can_be_limited(&info, &mounts);
            let plugins = info.plugins.unwrap_or_default();
            let mut drivers = plugins.volume.unwrap_or_default();
            drivers.extend(self.volume_plugins().await);
            let security = info.security_options.unwrap_or_default();
            let security = security.iter().filter_map(|option| option.strip_prefix("name="));
            Ok(About {
                security_modules: security
                    .filter(|name| SECURITY_MODULES.contains(name))
                    .map(str::to_owned)
                    .collect(),
                version: format!("DockerVersion: {}", version.version.unwrap_or_default()),
                log_drivers: plugins.log.unwrap_or_default(),
                volume_drivers: drivers,
                limits_storage,
                holds_namespaces: pause::image().is_some(),
            })
        })
    }

    fn list<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        Box::pin(self.list_now(owner))
    }

    fn pull<'a>(&'a self, image: &'a ImageName) -> BoxFuture<'a, Result<Image, Failure>> {
        Box::pin(self.images.get(image))
    }

    fn create(&self, new: NewContainer) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async move {
            let cannot = |outcome| failed(FailureKind::CannotCreate, outcome);
            let refused = |kind| move |reason: String| Failure::new(kind, reason);
            let mounts = volumes::of(&new).map_err(refused(FailureKind::CannotCreateVolume))?;
            let around = self.around(&new).await?;
            let body = spec::body(&new, &around).map_err(refused(FailureKind::CannotCreate))?;
            volumes::expect(&self.docker, &mounts.expected).await?;
            match self.create_once(&new, &body).await {
                // Removed within the minute in which the image is taken to be there.
                Err(Outcome::Refused { status: 404, message }) if message.contains(NO_IMAGE) => {
                    self.images.forget(&new.image);
                    self.images.get(&new.image).await?;
                    self.create_once(&new, &body).await.map_err(cannot)
                }
                created => created.map_err(cannot),
            }
        })
    }

    fn open(&self, new: NewSandbox) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async move { self.sandboxes.open(&new, &self.starts).await })
    }

    fn start<'a>(&'a self, id: &'a str, published: bool) -> BoxFuture<'a, Result<Started, Failure>> {
        Box::pin(async move {
            self.start_once(id).await?;
            if !published {
                return Ok(Started::default());
            }
            Ok(self.ports_of(id).await)
        })
    }

    fn restart<'a>(&'a self, id: &'a str, published: bool) -> BoxFuture<'a, Result<Started, Failure>> {
        Box::pin(async move {
            self.restart_once(id).await?;
            Ok(if published { self.ports_of(id).await } else { Started::default() })
        })
    }

    fn stop<'a>(&'a self, id: &'a str, patience: Duration) -> BoxFuture<'a, Result<Exit, Failure>> {
        Box::pin(self.stopper.stop(id, patience))
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.stopper.remove(id).await?;
            self.unanswered().remove(id);
            self.forget_restart(id);
            Ok(())
        })
    }

    fn release<'a>(&'a self, owner: &'a Owner, over: &'a Over) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let groups = self.release_groups(owner, over).await;
            let volumes = volumes::release(&self.docker, owner, over).await;
            self.sandboxes.release(owner, over).await.and(volumes).and(groups)
        })
    }

    fn look<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Inspection, Failure>> {
        Box::pin(look::look(&self.docker, id))
    }

    fn stats<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<serde_json::Value, Failure>> {
        Box::pin(look::stats(&self.docker, id))
    }

    fn usage<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Readings, Failure>> {
        Box::pin(usage::of(&self.docker, &self.places, owner))
    }

    fn output<'a>(
        &'a self,
        id: &'a str,
        since: u64,
        follow: bool,
        lines: mpsc::Sender<OutputLine>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { output::read(&self.docker, id, since, follow, &lines).await })
    }

    fn watch<'a>(&'a self, owner: &'a Owner, events: mpsc::Sender<Event>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // What happens before Docker begins to send is sent too: Docker runs on the same clock.
            let mut since = Some((clock::wall_millis() / 1_000).saturating_sub(1).to_string());
            while self.watch_once(owner, &mut since, &events).await.is_some() && !events.is_closed() {
                tokio::time::sleep(EVENTS_PAUSE).await;
            }
        })
    }

    fn execute<'a>(
        &'a self,
        member: &'a Member,
        new: &'a NewCommand,
    ) -> BoxFuture<'a, Result<Running, Denied>> {
        Box::pin(exec::execute(self, member, new))
    }

    fn lines<'a>(
        &'a self,
        member: &'a Member,
        lines: Lines,
    ) -> BoxFuture<'a, Result<BoxStream<Result<Line, Denied>>, Denied>> {
        Box::pin(logs::lines(self, member, lines))
    }
}

fn describe_metrics() {
    metrics::describe_histogram!(
        "trireme_docker_call_seconds",
        metrics::Unit::Seconds,
        "Time that calls of the Docker Engine took, by call and result"
    );
}
