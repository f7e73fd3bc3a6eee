//! Containers in memory: they start, run and stop without a process behind them.
//!
//! A container's environment may say how it behaves: `FAKE_EXIT_AFTER_MS` and `FAKE_EXIT_CODE` end it by itself. An image
//! whose reference begins with `missing/` cannot be pulled; one that begins with `broken/` cannot be started.

mod inside;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use trireme_rpc::agent::NetworkBinding;
use trireme_types::TaskId;

use super::inside::{BoxStream, Denied, Line, Lines, Member, NewCommand, Running};
use super::{
    About, BoxFuture, Event, Exit, Failure, FailureKind, Found, FoundState, Happening, Health, Image,
    ImageName, Inspection, NewContainer, NewSandbox, Over, Owner, Pin, Reading, Readings, Run, Runtime,
    SANDBOX, Started,
};
use crate::clock::{self, Instant};

/// Ports that are given to those who asked for any.
const FIRST_DYNAMIC_PORT: u32 = 32_768;

struct FakeContainer {
    new: NewContainer,
    task: Option<TaskId>,
    state: FoundState,
    /// How often it was started, and when last.
    runs: u64,
    began: Instant,
    /// How long its last run was, once it is over.
    lasted: Option<Duration>,
}

impl FakeContainer {
    fn run(&self) -> Run {
        let lasted = self.lasted.unwrap_or_else(|| clock::now().duration_since(self.began));
        Run { started: Some(self.runs.to_string()), lasted: Some(lasted) }
    }
}

#[derive(Default)]
struct Machine {
    containers: BTreeMap<String, FakeContainer>,
    sandboxes: BTreeMap<String, NewSandbox>,
    made: u64,
    started: u64,
    watchers: Vec<mpsc::Sender<Event>>,
}

/// What a running container of a task has used, or why that is not known: then nothing is of any container of the machine.
pub type Load = Arc<dyn Fn(TaskId, &NewContainer) -> Result<Reading, Failure> + Send + Sync>;

/// An engine in memory. Clones share its containers.
#[derive(Clone, Default)]
pub struct FakeRuntime {
    machine: Arc<Mutex<Machine>>,
    start_delay: Duration,
    /// What tags mean depends on it.
    registry: u64,
    load: Option<Load>,
}

impl FakeRuntime {
    /// An engine whose containers take `start_delay` to start.
    pub fn new(start_delay: Duration) -> Self {
        Self { machine: Arc::default(), start_delay, registry: 0, load: None }
    }

    /// The same with another registry, in which every tag means something else.
    #[must_use]
    pub fn with_registry(self, registry: u64) -> Self {
        Self { registry, ..self }
    }

    /// The same with containers that use what `load` says.
    #[must_use]
    pub fn with_load(self, load: Load) -> Self {
        Self { load: Some(load), ..self }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many containers there are, in any state.
    pub fn containers(&self) -> usize {
        self.lock().containers.len()
    }

    /// How many tasks have a network namespace of their own.
    pub fn sandboxes(&self) -> usize {
        self.lock().sandboxes.len()
    }

    /// The addresses in those, each with its task.
    pub fn addresses(&self) -> Vec<(String, String)> {
        let machine = self.lock();
        let of =
            |one: &NewSandbox| Some((one.task.network.as_ref()?.address.clone(), one.task.task_id.clone()));
        machine.sandboxes.values().filter_map(of).collect()
    }

    /// How many containers were ever started.
    pub fn starts(&self) -> u64 {
        self.lock().started
    }

    /// The ids of the running containers.
    pub fn running(&self) -> Vec<String> {
        let machine = self.lock();
        let running =
            machine.containers.iter().filter(|(_, one)| matches!(one.state, FoundState::Running(_)));
        running.map(|(id, _)| id.clone()).collect()
    }

    /// The tasks of the running containers.
    pub fn running_tasks(&self) -> Vec<TaskId> {
        let machine = self.lock();
        let running = machine.containers.values().filter(|one| matches!(one.state, FoundState::Running(_)));
        running.filter_map(|one| one.task).collect()
    }

    /// Ends a running container, as if its process had exited. False when it does not run.
    pub async fn exit(&self, id: &str, code: i32) -> bool {
        let Some((event, watchers)) = self.end(id, code) else { return false };
        for watcher in watchers {
            let _ = watcher.send(event.clone()).await;
        }
        true
    }

    fn end(&self, id: &str, code: i32) -> Option<(Event, Vec<mpsc::Sender<Event>>)> {
        let mut machine = self.lock();
        let container = machine.containers.get_mut(id)?;
        if !matches!(container.state, FoundState::Running(_)) {
            return None;
        }
        let exit = Exit { code: Some(code), reason: None };
        container.state = FoundState::Exited(exit.clone());
        container.lasted = Some(clock::now().duration_since(container.began));
        let (what, run) = (Happening::Ended(exit), container.run());
        let event = Event { task: container.task?, container: id.to_owned(), what, run };
        machine.watchers.retain(|watcher| !watcher.is_closed());
        Some((event, machine.watchers.clone()))
    }

    fn begin(&self, id: &str, again: bool) -> Result<(Started, Option<(Duration, i32)>), Failure> {
        let mut guard = self.lock();
        let machine = &mut *guard;
        let Some(container) = machine.containers.get_mut(id) else {
            return Err(Failure::new(FailureKind::CannotStart, format!("no such container: {id}")));
        };
        match &container.state {
            FoundState::Created => {}
            FoundState::Running(started) => return Ok((started.clone(), None)),
            FoundState::Exited(_) if again => {}
            FoundState::Exited(_) => return Ok((Started::default(), None)),
        }
        if container.new.definition().image.starts_with("broken/") {
            return Err(Failure::new(FailureKind::CannotStart, "the image is broken"));
        }
        machine.started += 1;
        let mut next_port = FIRST_DYNAMIC_PORT + u32::try_from(machine.started % 28_000).unwrap_or(0);
        let bindings = container.new.definition().port_mappings.iter().map(|mapping| {
            let any = mapping.host_port == 0;
            next_port += u32::from(any);
            NetworkBinding {
                bind_ip: "0.0.0.0".to_owned(),
                container_port: mapping.container_port,
                host_port: if any { next_port } else { mapping.host_port },
                udp: mapping.udp,
            }
        });
        let started = Started {
            bindings: if container.new.task.network_mode == "bridge" {
                bindings.collect()
            } else {
                Vec::new()
            },
            health: Health::Unknown,
        };
        container.state = FoundState::Running(started.clone());
        (container.runs, container.began, container.lasted) = (container.runs + 1, clock::now(), None);
        let variable = |name: &str| {
            let found = container.new.definition().environment.iter().find(|variable| variable.name == name);
            found.and_then(|variable| variable.value.parse::<u32>().ok())
        };
        let exit_after = variable("FAKE_EXIT_AFTER_MS").map(|after| {
            let code = variable("FAKE_EXIT_CODE").and_then(|code| i32::try_from(code).ok()).unwrap_or(0);
            (Duration::from_millis(after.into()), code)
        });
        Ok((started, exit_after))
    }
}

impl FakeRuntime {
    async fn run(&self, id: &str, again: bool) -> Result<Started, Failure> {
        if !self.start_delay.is_zero() {
            tokio::time::sleep(self.start_delay).await;
        }
        let (started, exit_after) = self.begin(id, again)?;
        if let Some((after, code)) = exit_after {
            let (runtime, id) = (self.clone(), id.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                runtime.exit(&id, code).await;
            });
        }
        Ok(started)
    }
}

impl Runtime for FakeRuntime {
    fn about(&self) -> BoxFuture<'_, Result<About, Failure>> {
        let about = About {
            version: "fake".to_owned(),
            log_drivers: vec!["json-file".to_owned()],
            volume_drivers: vec!["local".to_owned()],
            security_modules: Vec::new(),
            limits_storage: false,
            holds_namespaces: true,
        };
        Box::pin(std::future::ready(Ok(about)))
    }

    fn list<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        Box::pin(async move {
            let machine = self.lock();
            let ours = machine.containers.iter().filter(|(_, one)| one.new.owner.instance == owner.instance);
            let found = ours.map(|(id, one)| Found {
                id: id.clone(),
                task: one.task,
                name: one.new.definition().name.clone(),
                digest: match &one.new.image.pin {
                    Some(Pin::Manifest(digest)) => digest.clone(),
                    _ => digest(&one.new.definition().image, self.registry),
                },
                state: one.state.clone(),
                run: one.run(),
            });
            let sandboxes = machine.sandboxes.iter().filter(|(_, one)| one.owner.instance == owner.instance);
            let sandboxes = sandboxes.map(|(id, one)| Found {
                id: id.clone(),
                task: one.task.task_id.parse().ok(),
                name: SANDBOX.to_owned(),
                digest: String::new(),
                state: FoundState::Running(Started::default()),
                run: Run::default(),
            });
            Ok(found.chain(sandboxes).collect())
        })
    }

    fn pull<'a>(&'a self, image: &'a ImageName) -> BoxFuture<'a, Result<Image, Failure>> {
        Box::pin(async move {
            if image.name.starts_with("missing/") {
                return Err(Failure::new(FailureKind::CannotPull, format!("{image} is nowhere")));
            }
            let found = || Pin::Manifest(digest(&image.name, self.registry));
            Ok(Image::of(image.pin.clone().unwrap_or_else(found)))
        })
    }

    fn create(&self, new: NewContainer) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async move {
            let mut machine = self.lock();
            machine.made += 1;
            let id = format!("{:064x}", machine.made);
            let task = new.task.task_id.parse().ok();
            let (state, began) = (FoundState::Created, clock::now());
            let container = FakeContainer { new, task, state, runs: 0, began, lasted: None };
            machine.containers.insert(id.clone(), container);
            Ok(id)
        })
    }

    fn open(&self, new: NewSandbox) -> BoxFuture<'_, Result<String, Failure>> {
        let id = new.container_name();
        self.lock().sandboxes.insert(id.clone(), new);
        Box::pin(std::future::ready(Ok(id)))
    }

    fn start<'a>(&'a self, id: &'a str, _: bool) -> BoxFuture<'a, Result<Started, Failure>> {
        Box::pin(self.run(id, false))
    }

    fn restart<'a>(&'a self, id: &'a str, _: bool) -> BoxFuture<'a, Result<Started, Failure>> {
        Box::pin(self.run(id, true))
    }

    fn stop<'a>(&'a self, id: &'a str, _: Duration) -> BoxFuture<'a, Result<Exit, Failure>> {
        Box::pin(async move {
            // 128 + SIGTERM, as a process without a handler ends.
            let _ = self.end(id, 143);
            Ok(match self.lock().containers.get(id).map(|one| &one.state) {
                Some(FoundState::Exited(exit)) => exit.clone(),
                _ => Exit::default(),
            })
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let mut machine = self.lock();
            machine.containers.remove(id);
            machine.sandboxes.remove(id);
            Ok(())
        })
    }

    /// There is nothing beside containers here.
    fn release<'a>(&'a self, _: &'a Owner, _: &'a Over) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn look<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Inspection, Failure>> {
        Box::pin(async move {
            let machine = self.lock();
            let gone = || Failure::new(FailureKind::CannotInspect, format!("no such container: {id}"));
            let container = machine.containers.get(id).ok_or_else(gone)?;
            Ok(Inspection { engine_name: container.new.container_name(), ..Inspection::default() })
        })
    }

    fn stats<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<serde_json::Value, Failure>> {
        Box::pin(std::future::ready(Ok(serde_json::Value::Object(serde_json::Map::new()))))
    }

    /// Without a load they use nothing.
    fn usage<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Readings, Failure>> {
        let read = |load: &Load| {
            let machine = self.lock();
            let ours = machine.containers.iter().filter(|(_, one)| one.new.owner.instance == owner.instance);
            let running = ours.filter(|(_, one)| matches!(one.state, FoundState::Running(_)));
            let of = running.filter_map(|(id, one)| Some((id, one.task?, &one.new)));
            of.map(|(id, task, new)| Ok((id.clone(), (task, load(task, new)?)))).collect()
        };
        Box::pin(std::future::ready(self.load.as_ref().map_or_else(|| Ok(Readings::new()), read)))
    }

    fn watch<'a>(&'a self, _: &'a Owner, events: mpsc::Sender<Event>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.lock().watchers.push(events.clone());
            events.closed().await;
        })
    }

    fn execute<'a>(
        &'a self,
        member: &'a Member,
        new: &'a NewCommand,
    ) -> BoxFuture<'a, Result<Running, Denied>> {
        Box::pin(std::future::ready(inside::execute(self, member, new)))
    }

    fn lines<'a>(
        &'a self,
        member: &'a Member,
        lines: Lines,
    ) -> BoxFuture<'a, Result<BoxStream<Result<Line, Denied>>, Denied>> {
        Box::pin(std::future::ready(inside::lines(self, member, lines)))
    }
}

/// A digest of its own for each name in each registry, that looks like one.
fn digest(reference: &str, registry: u64) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (reference, registry).hash(&mut hasher);
    format!("sha256:{:064x}", hasher.finish())
}
