//! A course: a state on a made clock, with the controllers and stand-in agents at work on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use trireme_state::command::{TaskHealthReport, TaskReport};
use trireme_state::limits::REPORTS_PER_COMMAND;
use trireme_state::object::{
    DesiredStatus, HealthStatus, HookStatus, ServiceKey, ServiceStatus, Task, TaskHealth, TaskStatus,
};
use trireme_state::query::Checked;
use trireme_state::{
    Actor, Command, Event, IdSource, Outcome, Proposal, Rejection, Stamp, State, apply_event, decide,
};
use trireme_types::{ContainerInstanceId, RequestId, TaskId, Timestamp};

use crate::driver::Controller;
use crate::observed::Observed;
use crate::service::{self, ServiceController, Stopwatch};

/// Until a task that was placed runs.
const STARTS_AFTER: Duration = Duration::from_secs(2);
/// Until a task that is to stop has stopped.
const STOPS_AFTER: Duration = Duration::from_secs(1);
/// After a wake-up that was due already.
const INSTANT: Duration = Duration::from_millis(10);
/// Moves that are kept; the rest is counted.
const MOVES: usize = 20_000;

/// Where a course ends, if it does not come to rest before.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Looks of the controllers.
    pub passes: usize,
    /// Events.
    pub events: usize,
    /// On the made clock. Longer than anything that is waited for, such as the protection of a task.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { passes: 5_000, events: 500_000, time: Duration::from_secs(50 * 3_600) }
    }
}

/// Something that happens to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveKind {
    /// It is placed.
    Starts,
    /// It is told to stop.
    Stops,
    /// It is lost with its machine.
    IsLost,
}

/// One move of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// How long after the course began.
    pub after: Duration,
    /// What happens.
    pub kind: MoveKind,
    /// The task, as it is placed. One that starts in a course has an id that no real task will have.
    pub task: Arc<Task>,
    /// Why, if it stops.
    pub reason: String,
}

/// Moves of one service's tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks that start.
    pub started: usize,
    /// Tasks that are told to stop.
    pub stopped: usize,
    /// Tasks that are lost.
    pub lost: usize,
}

impl Counts {
    fn add(&mut self, kind: MoveKind) {
        let count = match kind {
            MoveKind::Starts => &mut self.started,
            MoveKind::Stops => &mut self.stopped,
            MoveKind::IsLost => &mut self.lost,
        };
        *count = count.saturating_add(1);
    }
}

/// A state that goes on.
pub struct Course {
    state: State,
    began: Timestamp,
    now: Timestamp,
    ids: IdSource,
    services: ServiceController,
    bounds: Bounds,
    /// When an agent has something to say of a task.
    due: BTreeSet<(Timestamp, TaskId)>,
    moves: Vec<Move>,
    left_out: usize,
    counts: BTreeMap<ServiceKey, Counts>,
    lowest: BTreeMap<ServiceKey, usize>,
    passes: usize,
    events: usize,
    refused: Option<String>,
    settled: bool,
}

impl Course {
    /// Begins with `state` at `now`. What its agents have under way they go on with.
    pub fn new(state: &State, now: Timestamp, bounds: Bounds) -> Self {
        let now = now.max(state.clock());
        let mut course = Self {
            state: state.clone(),
            began: now,
            now,
            ids: IdSource::from_seed([0xf0; 32]),
            services: ServiceController::new(Stopwatch::stopped()),
            bounds,
            due: BTreeSet::new(),
            moves: Vec::new(),
            left_out: 0,
            counts: BTreeMap::new(),
            lowest: BTreeMap::new(),
            passes: 0,
            events: 0,
            refused: None,
            settled: false,
        };
        for task in state.tasks() {
            course.expect(task);
        }
        for service in state.services() {
            let healthy = course.healthy(&service.key);
            course.lowest.insert(service.key.clone(), healthy);
        }
        course
    }

    /// The state as it is by now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The made clock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How long it has gone on.
    pub fn lasted(&self) -> Duration {
        self.now.since(self.began)
    }

    /// It came to rest: nothing more happens by itself.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// What happened to tasks, in order, and how much of it was not kept.
    pub fn moves(&self) -> (&[Move], usize) {
        (&self.moves, self.left_out)
    }

    /// How many of a service's tasks moved.
    pub fn counts(&self, service: &ServiceKey) -> Counts {
        self.counts.get(service).copied().unwrap_or_default()
    }

    /// The fewest healthy tasks that a service had on the way.
    pub fn lowest(&self, service: &ServiceKey) -> usize {
        self.lowest.get(service).copied().unwrap_or_default()
    }

    /// A command of the controllers that was refused, if any was: they see the very state that decides.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Lets the clock jump before anything else happens.
    pub fn wait_until(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
    }

    /// Somebody wants something changed.
    ///
    /// # Errors
    /// It is refused.
    pub fn propose(&mut self, actor: Actor, command: Command) -> Result<Outcome, Rejection> {
        let request_id = RequestId::from_bits(self.ids.bits());
        let proposal = Proposal { actor, request_id, key: None, command };
        let mut stamp = Stamp { now: self.now, ids: self.ids.clone() };
        let decision = decide(&self.state, &proposal, &mut stamp)?;
        self.ids = stamp.ids;
        let mut touched = BTreeSet::new();
        for event in &decision.events {
            self.events = self.events.saturating_add(1);
            apply_event(&mut self.state, self.now, event);
            self.note(event, &mut touched);
        }
        for service in touched {
            let healthy = self.healthy(&service);
            let lowest = self.lowest.entry(service).or_insert(healthy);
            *lowest = healthy.min(*lowest);
        }
        Ok(decision.outcome)
    }

    /// What happens if nothing is changed.
    pub fn undisturbed(state: &State, now: Timestamp, bounds: Bounds) -> Self {
        let mut course = Self::new(state, now, bounds);
        course.run();
        course
    }

    /// Goes on until nothing more happens, or a bound is reached.
    pub fn run(&mut self) {
        while self.passes < self.bounds.passes && self.events < self.bounds.events {
            let (worked, wake_at) = self.pass();
            if worked {
                continue;
            }
            let wake_at = wake_at.map(|at| at.max(self.now.plus(INSTANT)));
            let news_at = self.due.first().map(|(at, _)| (*at).max(self.now));
            let end = self.end();
            let Some(next) = [wake_at, news_at].into_iter().flatten().min().filter(|at| *at <= end) else {
                self.settled = true;
                return;
            };
            self.now = next;
            self.report();
        }
    }

    /// Nobody says a word meanwhile that a deployment waits for, and it is not waited until that is too late.
    fn end(&self) -> Timestamp {
        let services = self.state.services().filter(|service| service.status == ServiceStatus::Active);
        let hooks = services.flat_map(|service| self.state.lifecycles(&service.key).deployments.clone());
        let hooks = hooks.flat_map(|(_, life)| life.hooks);
        let waiting = hooks.filter(|hook| hook.status == HookStatus::AwaitingAction);
        let word =
            waiting.map(|hook| Timestamp::from_millis(hook.expires_at.millis().saturating_sub(1))).min();
        let end = self.began.plus(self.bounds.time);
        word.map_or(end, |word| word.min(end))
    }

    /// One look of the controllers: whether they did anything, and when they want to look again.
    fn pass(&mut self) -> (bool, Option<Timestamp>) {
        self.passes = self.passes.saturating_add(1);
        let plan = self.services.plan(&self.state, &Observed::default(), self.now);
        let mut worked = false;
        for command in plan.commands {
            match self.propose(Actor::Controller(ServiceController::NAME.to_owned()), command) {
                Ok(_) => worked = true,
                Err(why) => self.refused = Some(why.to_string()),
            }
        }
        (worked, plan.wake_at)
    }

    /// Notes what an event is to tasks, and when their agents answer it.
    fn note(&mut self, event: &Event, touched: &mut BTreeSet<ServiceKey>) {
        let (kind, id, reason) = match event {
            Event::TaskCreated { task } => (MoveKind::Starts, task.id, String::new()),
            Event::TaskStopRequested { task, reason, .. } => (MoveKind::Stops, *task, reason.clone()),
            Event::TaskLost { task, reason, .. } => (MoveKind::IsLost, *task, reason.clone()),
            Event::TaskProgressed { report } => {
                touched.extend(self.state.task(report.task).and_then(|task| task.service()));
                return;
            }
            Event::ServiceCreated { key, .. } => {
                self.lowest.insert(key.clone(), 0);
                return;
            }
            _ => return,
        };
        let Some(task) = self.state.task(id).cloned() else { return };
        if let Some(service) = task.service() {
            self.counts.entry(service.clone()).or_default().add(kind);
            touched.insert(service);
        }
        self.expect(&task);
        if self.moves.len() < MOVES {
            self.moves.push(Move { after: self.lasted(), kind, task, reason });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// When the agent of a task will have something to say of it.
    fn expect(&mut self, task: &Task) {
        let wait = match (task.desired_status, task.last_status) {
            (_, TaskStatus::Stopped) => return,
            (DesiredStatus::Stopped, _) => STOPS_AFTER,
            (DesiredStatus::Running, TaskStatus::Running)
                if self.state.checked(task) != Some(Checked::Unknown) =>
            {
                return;
            }
            (DesiredStatus::Running, _) => STARTS_AFTER,
        };
        self.due.insert((self.now.plus(wait), task.id));
    }

    /// Agents say what is due.
    fn report(&mut self) {
        let mut news: BTreeMap<ContainerInstanceId, (Vec<TaskReport>, Vec<TaskHealthReport>)> =
            BTreeMap::new();
        while let Some((_, id)) = self.due.first().copied().filter(|(at, _)| *at <= self.now) {
            self.due.pop_first();
            let Some(task) = self.state.task(id) else { continue };
            let (reports, health) = news.entry(task.instance).or_default();
            let report = answer(task);
            let status = report.as_ref().map_or(task.last_status, |report| report.status);
            health.extend(self.checked(task).filter(|_| status == TaskStatus::Running));
            reports.extend(report);
        }
        for (instance, (reports, health)) in news {
            let Some(epoch) = self.state.instance(instance).map(|known| known.epoch) else { continue };
            let reports = reports.chunks(REPORTS_PER_COMMAND).map(|reports| {
                let reports = reports.to_vec();
                Command::ReportTasks { instance, epoch, reports }
            });
            let health = health.chunks(REPORTS_PER_COMMAND).map(|reports| {
                let reports = reports.to_vec();
                Command::ReportTaskHealth { instance, epoch, reports }
            });
            for command in reports.chain(health).collect::<Vec<_>>() {
                // An agent that is not there any more says nothing.
                let _unheard = self.propose(Actor::Agent(instance), command);
            }
        }
    }

    /// What the health checks of a task's containers say once it runs, if it has any.
    fn checked(&self, task: &Task) -> Option<TaskHealthReport> {
        let spec = &self.state.task_definition(&task.definition)?.spec;
        let checked = spec.containers.iter().filter(|one| one.described.contains_key("healthCheck"));
        let health: TaskHealth = checked.map(|one| (one.name.clone(), HealthStatus::Healthy)).collect();
        (!health.is_empty()).then_some(TaskHealthReport { task: task.id, health })
    }

    /// How many of a service's tasks are wanted and healthy.
    fn healthy(&self, service: &ServiceKey) -> usize {
        let Some(known) = self.state.service(service) else { return 0 };
        let health = service::health(&self.state, known, self.now);
        let tasks = self.state.tasks_of_service(service);
        tasks.iter().filter(|task| task.wanted() && health.is_healthy(task)).count()
    }
}

/// What an agent that does as it is told says of a task, if anything.
fn answer(task: &Task) -> Option<TaskReport> {
    match (task.desired_status, task.last_status) {
        (_, TaskStatus::Stopped) | (DesiredStatus::Running, TaskStatus::Running) => None,
        (DesiredStatus::Stopped, _) => Some(TaskReport::of(task, TaskStatus::Stopped, None)),
        (DesiredStatus::Running, _) => Some(TaskReport::of(task, TaskStatus::Running, None)),
    }
}
