//! The worker: what is assigned becomes machines, their moves are carried out, and what they have to tell goes to the outbox.
//!
//! A full set is compared with the runtime's own list, for the runtime is the source of truth: containers of tasks in the set
//! are adopted, all others are killed and removed before any task of the set starts.

mod by_task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use trireme_rpc::agent::{AssignedTask, Assignments, Container};
use trireme_types::{TaskId, planted};

use by_task::{by_id, group};

use crate::clock;
use crate::metadata::uri;
use crate::outbox::Outbox;
use crate::runtime::{Event, Failure, FailureKind, Found, Happening, Over, Owner, Runtime};
use crate::tally::Tally;
use crate::task::run::Order;
use crate::task::step::{Answer, Machine, Move, Operation, Record, Wanted};

/// How often the runtime is asked for the full list, in case an event was missed.
const LIST_INTERVAL: Duration = Duration::from_secs(10);
const LIST_PAUSE: Duration = Duration::from_secs(1);
/// Between two tries to remove what is left of tasks that are over.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);
/// A pull that takes longer is told of while it goes on.
const SLOW_PULL: Duration = Duration::from_secs(3);
/// Inputs and events that wait for the worker.
const WAITING: usize = 1_024;

/// What the session tells the worker.
pub(crate) enum Input {
    /// The agent's identity is known.
    Identity(Arc<Owner>),
    /// Assignments that passed the fence.
    Assignments(Assignments),
    /// The control plane knows that these are STOPPED.
    Acknowledged(Vec<TaskId>),
    /// Everything goes; answered when it is gone.
    Forget(oneshot::Sender<()>),
    /// Which task and container this name in a metadata URI means, if any.
    Record {
        /// The name.
        name: String,
        /// Where it is answered.
        answer: oneshot::Sender<Option<Record>>,
    },
}

enum Finished {
    Answer { task: TaskId, index: usize, answer: Answer },
    Listed { tick: u64, begun: clock::Instant, result: Result<Vec<Found>, Failure> },
    Rang { task: TaskId, index: usize },
    StillPulling(TaskId),
    Swept(Result<(), Failure>),
    SweepAgain,
    Watched,
}

/// The session's end of the worker.
pub(crate) type Inbox = mpsc::Sender<Input>;

pub(crate) struct Worker {
    runtime: Arc<dyn Runtime>,
    owner: Option<Arc<Owner>>,
    outbox: Arc<Outbox>,
    tally: Tally,
    /// Machines are told the time since then.
    begun: clock::Instant,
    inbox: mpsc::Receiver<Input>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    machines: BTreeMap<TaskId, Machine>,
    /// A full set that waits for the runtime's list, and the tick at which that list was asked for.
    arriving: Option<(u64, BTreeMap<TaskId, Arc<AssignedTask>>)>,
    /// A full set was worked into the machines: what is not among them is not ours.
    settled: bool,
    /// Nothing is left here of what the last full set does not have.
    alone: watch::Sender<bool>,
    /// Tasks whose containers must be gone before others start.
    gate: BTreeSet<TaskId>,
    forgotten: Option<oneshot::Sender<()>>,
    operations: JoinSet<Finished>,
    /// Stops under way, of which a removal makes an end.
    stops: BTreeMap<(TaskId, usize), AbortHandle>,
    listing: bool,
    sweeping: bool,
    /// The machine was started again: containers that are found ended have ended with it.
    rebooted: bool,
    tick: u64,
}

impl Worker {
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        outbox: Arc<Outbox>,
        tally: Tally,
        rebooted: bool,
    ) -> (Self, Inbox) {
        let (sender, inbox) = mpsc::channel(WAITING);
        let worker = Self {
            runtime,
            owner: None,
            outbox,
            tally,
            begun: clock::now(),
            inbox,
            events: mpsc::channel(WAITING),
            machines: BTreeMap::new(),
            arriving: None,
            settled: false,
            alone: watch::Sender::new(false),
            gate: BTreeSet::new(),
            forgotten: None,
            operations: JoinSet::new(),
            stops: BTreeMap::new(),
            listing: false,
            sweeping: false,
            rebooted,
            tick: 1,
        };
        (worker, sender)
    }

    /// Whether nothing is left here of what the last full set does not have.
    pub(crate) fn alone(&self) -> watch::Receiver<bool> {
        self.alone.subscribe()
    }

    /// Works until the session's end is gone.
    pub(crate) async fn run(mut self) {
        let mut list_again = tokio::time::interval(LIST_INTERVAL);
        list_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                input = self.inbox.recv() => match input {
                    Some(input) => self.hear(input),
                    None => return,
                },
                Some(event) = self.events.1.recv() => self.sight(event),
                Some(finished) = self.operations.join_next() => match finished {
                    Ok(finished) => self.finish(finished),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => tracing::error!(%error, "an operation ended without an answer"),
                },
                _ = list_again.tick() => self.list(Duration::ZERO),
            }
            self.tick += 1;
            self.open_gate();
            let alone = self.settled && self.arriving.is_none() && self.gate.is_empty();
            self.alone.send_if_modified(|known| std::mem::replace(known, alone) != alone);
        }
    }

    fn hear(&mut self, input: Input) {
        match input {
            Input::Identity(owner) => self.identify(owner),
            Input::Assignments(assignments) if assignments.full => self.receive_all(assignments),
            Input::Assignments(assignments) => self.receive_changes(assignments),
            Input::Acknowledged(tasks) => {
                for task in tasks {
                    if let Some(machine) = self.machines.get_mut(&task) {
                        machine.acknowledge_stop();
                        self.advance(task);
                    }
                }
            }
            Input::Forget(done) => {
                self.forgotten = Some(done);
                self.receive_all(Assignments::default());
            }
            Input::Record { name, answer } => {
                // Who asked may have stopped waiting.
                let _ = answer.send(self.record(&name));
            }
        }
    }

    /// What is known of the container that a metadata URI names.
    fn record(&self, name: &str) -> Option<Record> {
        let secret = &self.owner.as_ref()?.secret.0;
        let machine = self.machines.get(&uri::task(name)?)?;
        let spec = machine.spec();
        let same = |container: &Container| uri::name(secret, &spec.task_id, &container.name) == name;
        spec.containers.iter().position(same).map(|index| machine.record(index))
    }

    fn identify(&mut self, owner: Arc<Owner>) {
        if self.owner.as_ref() == Some(&owner) {
            return;
        }
        let (runtime, events) = (Arc::clone(&self.runtime), self.events.0.clone());
        let watched = Arc::clone(&owner);
        self.operations.spawn(async move {
            runtime.watch(&watched, events).await;
            Finished::Watched
        });
        self.owner = Some(owner);
    }

    fn receive_all(&mut self, assignments: Assignments) {
        self.arriving = Some((self.tick, by_id(assignments.tasks)));
        self.listing = false;
        self.list(Duration::ZERO);
    }

    fn receive_changes(&mut self, assignments: Assignments) {
        let removed = assignments.removed.iter().filter_map(|id| id.parse().ok());
        if let Some((_, arriving)) = &mut self.arriving {
            arriving.extend(by_id(assignments.tasks));
            for task in removed {
                arriving.remove(&task);
            }
            return;
        }
        for task in removed {
            self.discard(task);
        }
        for (task, spec) in by_id(assignments.tasks) {
            self.accept(task, spec, &[]);
            self.advance(task);
        }
    }

    /// The task is not this agent's any more.
    fn discard(&mut self, task: TaskId) {
        self.outbox.forget(task);
        if let Some(machine) = self.machines.get_mut(&task) {
            machine.want(Wanted::Gone);
            self.advance(task);
        }
    }

    fn accept(&mut self, task: TaskId, spec: Arc<AssignedTask>, found: &[Found]) {
        let wanted = if spec.desired_running { Wanted::Running } else { Wanted::Stopped };
        let ended_with_the_machine = self.rebooted && !self.settled;
        let (tally, elapsed) = (&self.tally, self.begun.elapsed());
        let machine = self.machines.entry(task).or_insert_with(|| {
            tracing::info!(%task, ?wanted, adopted = found.len(), "task");
            let mut machine = Machine::new(Arc::clone(&spec), found);
            machine.tell_time(elapsed);
            machine.remember_restarts(tally.of(task).into_iter().flatten());
            if ended_with_the_machine {
                machine.blame_restart();
            }
            machine
        });
        machine.choose_images(&spec);
        machine.want(wanted);
    }

    /// Asks the runtime for its list. The one for a full set is asked for until it comes.
    fn list(&mut self, pause: Duration) {
        let Some(owner) = self.owner.clone() else { return };
        if self.listing || (self.arriving.is_none() && !self.settled) {
            return;
        }
        self.listing = true;
        let (runtime, tick) = (Arc::clone(&self.runtime), self.tick);
        self.operations.spawn(async move {
            tokio::time::sleep(pause).await;
            let begun = clock::now();
            Finished::Listed { tick, begun, result: runtime.list(&owner).await }
        });
    }

    fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Answer { task, index, answer } => {
                if matches!(answer, Answer::Stopped(_)) {
                    self.stops.remove(&(task, index));
                }
                if let Answer::Removed(Err(failure)) | Answer::Closed(Err(failure)) = &answer
                    && failure.kind == FailureKind::CannotRemove
                {
                    // Dead is enough for the others to start.
                    self.gate.remove(&task);
                }
                if let Some(machine) = self.machines.get_mut(&task) {
                    machine.tell_time(self.begun.elapsed());
                    machine.answer(index, answer, clock::wall_millis(), self.tick);
                    self.advance(task);
                }
            }
            Finished::Listed { tick, begun, result } => self.listed(tick, begun, result),
            Finished::Swept(Ok(())) => self.sweeping = false,
            Finished::SweepAgain => {
                self.sweeping = false;
                self.sweep();
            }
            Finished::Swept(Err(failure)) => {
                tracing::warn!(%failure, "something is left of tasks that are over");
                self.operations.spawn(async {
                    tokio::time::sleep(SWEEP_PAUSE).await;
                    Finished::SweepAgain
                });
            }
            Finished::Rang { task, index } => {
                if let Some(machine) = self.machines.get_mut(&task) {
                    machine.ring(index);
                    self.advance(task);
                }
            }
            Finished::StillPulling(task) => {
                if let Some(machine) = self.machines.get_mut(&task) {
                    machine.tell_slow_pull();
                    self.advance(task);
                }
            }
            Finished::Watched => {}
        }
    }

    fn listed(&mut self, tick: u64, begun: clock::Instant, result: Result<Vec<Found>, Failure>) {
        let wanted = self.arriving.as_ref().map(|(since, _)| *since);
        if wanted.is_some_and(|since| tick < since) {
            // Asked for before the full set came; its own is under way.
            return;
        }
        self.listing = false;
        let found = match result {
            Ok(found) => found,
            Err(failure) => {
                tracing::warn!(%failure, "cannot list containers");
                if self.arriving.is_some() {
                    self.list(LIST_PAUSE);
                }
                return;
            }
        };
        let mut groups = group(found);
        match self.arriving.take() {
            Some((_, arriving)) => self.reconcile(arriving, groups, tick, begun.elapsed()),
            None => {
                for (task, machine) in &mut self.machines {
                    machine.tell_time(self.begun.elapsed());
                    machine.sight(&groups.remove(task).unwrap_or_default(), tick, begun.elapsed());
                }
                self.take_strays(groups);
                self.advance_all();
            }
        }
    }

    fn reconcile(
        &mut self,
        arriving: BTreeMap<TaskId, Arc<AssignedTask>>,
        mut groups: BTreeMap<TaskId, Vec<Found>>,
        tick: u64,
        age: Duration,
    ) {
        self.outbox.retain(|task| arriving.contains_key(&task));
        for (task, machine) in &mut self.machines {
            machine.tell_time(self.begun.elapsed());
            machine.sight(groups.get(task).map_or(&[], Vec::as_slice), tick, age);
            if !arriving.contains_key(task) {
                machine.want(Wanted::Gone);
                self.gate.insert(*task);
            }
            machine.tell_health_again();
        }
        let (ours, strays): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut groups)
            .into_iter()
            .partition(|(task, _)| arriving.contains_key(task) || self.machines.contains_key(task));
        self.gate.extend(strays.keys());
        self.take_strays(strays);
        for (task, spec) in arriving {
            let found = ours.get(&task).filter(|_| !planted::is("agent-adopts-nothing"));
            self.accept(task, spec, found.map_or(&[], Vec::as_slice));
        }
        let machines = &self.machines;
        self.tally.retain(|task| machines.contains_key(&task));
        self.settled = true;
        self.sweep();
        self.advance_all();
    }

    /// Has what was left of tasks that nobody knows any more removed: their agent was killed when their containers were gone.
    fn sweep(&mut self) {
        let Some(owner) = self.owner.clone().filter(|_| !self.sweeping) else { return };
        self.sweeping = true;
        let over = Over::AllBut(self.machines.keys().copied().collect());
        let runtime = Arc::clone(&self.runtime);
        self.operations.spawn(async move { Finished::Swept(runtime.release(&owner, &over).await) });
    }

    fn take_strays(&mut self, strays: BTreeMap<TaskId, Vec<Found>>) {
        for (task, found) in strays {
            self.machines.entry(task).or_insert_with(|| {
                tracing::info!(%task, containers = found.len(), "containers without an assignment go");
                Machine::stray(task.to_string(), &found)
            });
        }
    }

    fn sight(&mut self, event: Event) {
        if let Some(machine) = self.machines.get_mut(&event.task) {
            machine.tell_time(self.begun.elapsed());
            match event.what {
                Happening::Ended(exit) => machine.sight_exit(&event.container, exit, &event.run),
                Happening::Health(health) => machine.sight_health(&event.container, health, self.tick),
            }
            self.advance(event.task);
        }
    }

    fn advance_all(&mut self) {
        let tasks: Vec<TaskId> = self.machines.keys().copied().collect();
        for task in tasks {
            self.advance(task);
        }
    }

    /// Lets a machine make its moves until it waits.
    fn advance(&mut self, task: TaskId) {
        let (Some(machine), Some(owner)) = (self.machines.get_mut(&task), &self.owner) else { return };
        let before = machine.status();
        let mut done = false;
        while !machine.rising() || self.gate.is_empty() {
            match machine.step(clock::wall_millis(), self.tick) {
                Move::Do(operation, index) => {
                    if operation == Operation::Pull {
                        self.operations.spawn(async move {
                            tokio::time::sleep(SLOW_PULL).await;
                            Finished::StillPulling(task)
                        });
                    }
                    let order = Order::new(machine, owner, task, operation, index);
                    let runtime = Arc::clone(&self.runtime);
                    let under_way = self.operations.spawn(async move {
                        Finished::Answer { task, index, answer: order.carry_out(&*runtime).await }
                    });
                    let overtaken = match operation {
                        Operation::Stop => self.stops.insert((task, index), under_way),
                        Operation::Remove => self.stops.remove(&(task, index)),
                        _ => None,
                    };
                    if let Some(stop) = overtaken {
                        stop.abort();
                    }
                }
                Move::Wait => break,
                Move::Done => {
                    done = true;
                    break;
                }
            }
        }
        for (index, after) in machine.take_alarms() {
            self.operations.spawn(async move {
                tokio::time::sleep(after).await;
                Finished::Rang { task, index }
            });
        }
        self.tally.note(task, machine.restarts().map(|(name, count)| (name.to_owned(), count)).collect());
        if machine.status() != before {
            tracing::info!(%task, status = machine.status().as_str_name(), "task");
        }
        if let Some(report) = machine.take_news() {
            self.outbox.push(task, report);
        }
        if done {
            self.machines.remove(&task);
            self.tally.retain(|left| left != task);
        }
    }

    /// Once everything that had to go is gone, the others start.
    fn open_gate(&mut self) {
        if !self.gate.is_empty() {
            let machines = &self.machines;
            self.gate.retain(|task| machines.get(task).is_some_and(Machine::has_containers));
            if self.gate.is_empty() {
                self.advance_all();
            }
        }
        if self.forgotten.is_some() && self.arriving.is_none() && self.machines.is_empty() {
            self.owner = None;
            self.settled = false;
            if let Some(done) = self.forgotten.take() {
                let _ = done.send(());
            }
        }
    }
}
