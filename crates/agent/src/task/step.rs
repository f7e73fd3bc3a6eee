//! The life of one task as a pure machine: it is told what happened and says one move at a time. No clock, no I/O.
//!
//! Each container goes (resolved →) pulled → created → running → exited → removed, never back. All images are there before the first
//! container is made, and all containers are made before the first is started. Each is started once what it needs of others is
//! so ([`dependencies`]). What holds their network namespace, if it is their own, is there before and after them ([`sandbox`]). A failed start or the end of an essential container stops the rest, those that need others first. Containers are removed once the control plane has acknowledged that the task is STOPPED.
//! A container whose policy says so is started again when it ends by itself ([`restart`]): it is running all the while.

mod answer;
mod dependencies;
mod image;
mod member;
mod moves;
mod record;
mod report;
mod resources;
mod restart;
mod sandbox;
mod sight;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use trireme_rpc::agent::{AssignedTask, Container, StopCode, TaskStatus};

use dependencies::Dependencies;
use image::Choice;
pub use member::{Member, Phase};
pub use moves::{Answer, Move, Operation, Wanted};
pub use record::Record;
use sandbox::Sandbox;
use sight::vanished;

use crate::namespace;
use crate::runtime::{Found, FoundState, Health, SANDBOX};
use crate::setting::RestartPolicy;

/// ECS's words when an essential container ends.
pub const ESSENTIAL_EXITED: &str = "Essential container in task exited";
/// ECS's words when a task does not come up.
pub const FAILED_TO_START: &str = "Task failed to start";

/// Why a task ended whose machine was started again.
pub const MACHINE_RESTARTED: &str =
    "The container instance was restarted, and the essential container in task exited";

/// How often what a task had beside its containers is asked to go before it is left to [`Over::AllBut`].
///
/// [`Over::AllBut`]: crate::runtime::Over::AllBut
const RELEASE_TRIES: u32 = 5;

/// One task on this agent.
#[derive(Debug, Clone)]
pub struct Machine {
    spec: Arc<AssignedTask>,
    wanted: Wanted,
    members: Vec<Member>,
    dependencies: Dependencies,
    /// What each container does when it ends by itself.
    policies: Vec<RestartPolicy>,
    /// What it was when the time was last told.
    clock: Option<Duration>,
    /// Containers that have so long until they are what others need, not asked for yet.
    alarms: Vec<(usize, Duration)>,
    /// Containers that had time enough.
    late: BTreeSet<usize>,
    status: TaskStatus,
    cause: Option<(StopCode, Cow<'static, str>)>,
    acknowledged: bool,
    sandbox: Sandbox,
    /// Nothing is left beside its containers.
    released: bool,
    releasing: bool,
    release_failures: u32,
    /// Something that was not reported yet.
    news: bool,
    pull_started_at: u64,
    pull_stopped_at: u64,
    /// A pull takes long enough to be told of.
    slow_pull: bool,
    execution_stopped_at: u64,
}

impl Machine {
    /// A task that is new to the agent, with those of its containers that were found. Containers that were started before are
    /// not started again unless their policy says so: what is missing of them counts as ended.
    pub fn new(spec: Arc<AssignedTask>, found: &[Found]) -> Self {
        let known = spec.known_status();
        let (sandbox, found): (Vec<&Found>, Vec<&Found>) = found.iter().partition(|one| one.name == SANDBOX);
        let ran = known > TaskStatus::Pending
            || found.iter().any(|found| !matches!(found.state, FoundState::Created));
        let mut members: Vec<Member> = spec
            .containers
            .iter()
            .map(|container| match found.iter().find(|found| found.name == container.name) {
                Some(found) => Member::found(found),
                None if ran => Member { phase: Phase::Exited, exit: vanished(), ..Member::new() },
                None => Member::new(),
            })
            .collect();
        for (member, container) in members.iter_mut().zip(&spec.containers) {
            member.choice = Choice::of(container.pin.as_ref());
        }
        let mut machine = Self {
            wanted: if spec.desired_running { Wanted::Running } else { Wanted::Stopped },
            dependencies: Dependencies::of(&spec),
            policies: restart::policies(&spec),
            clock: None,
            alarms: Vec::new(),
            late: BTreeSet::new(),
            members,
            status: known.max(TaskStatus::Pending),
            cause: None,
            acknowledged: false,
            sandbox: Sandbox::of(namespace::needs_sandbox(&spec), sandbox.first().copied(), ran),
            released: !resources::has_some(&spec) && spec.network.is_none(),
            releasing: false,
            release_failures: 0,
            news: !found.is_empty(),
            pull_started_at: 0,
            pull_stopped_at: 0,
            slow_pull: false,
            execution_stopped_at: 0,
            spec,
        };
        for index in 0..machine.members.len() {
            // What it had before nobody knows: it has all of its time again.
            machine.set_alarm(index);
        }
        if let Some(what) = resources::refused(&machine.spec).filter(|_| !ran) {
            let reason = format!("ResourceInitializationError: {what}");
            machine.cause = Some((StopCode::TaskFailedToStart, reason.into()));
            machine.news = true;
        }
        machine.find_due();
        if ran && machine.essential_exited() {
            machine.cause = Some((StopCode::EssentialContainerExited, ESSENTIAL_EXITED.into()));
        }
        // Of a task without a network none may have been made: agents before had one of the containers hold what all share.
        let needed = namespace::has_network(&machine.spec) || machine.sandbox.may_be_there();
        if needed && machine.sandbox.is_over() {
            machine.sandbox_is_missing();
        }
        machine
    }

    /// Containers of a task that is not this agent's: they go.
    pub fn stray(task_id: String, found: &[Found]) -> Self {
        let members = || found.iter().filter(|found| found.name != SANDBOX);
        let containers =
            members().map(|found| Container { name: found.name.clone(), ..Container::default() });
        let spec = AssignedTask { task_id, containers: containers.collect(), ..AssignedTask::default() };
        Self {
            members: members().map(Member::found).collect(),
            sandbox: Sandbox::of(false, found.iter().find(|found| found.name == SANDBOX), true),
            wanted: Wanted::Gone,
            news: false,
            // Nobody knows what it had.
            released: found.is_empty(),
            ..Self::new(Arc::new(spec), &[])
        }
    }

    /// Its containers that were found ended have ended with the machine.
    pub fn blame_restart(&mut self) {
        if let Some((StopCode::EssentialContainerExited, reason)) = &mut self.cause {
            *reason = MACHINE_RESTARTED.into();
        }
    }

    /// The task.
    pub fn spec(&self) -> &Arc<AssignedTask> {
        &self.spec
    }

    /// Its containers, in the definition's order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Its status now.
    pub fn status(&self) -> TaskStatus {
        self.status
    }

    /// What is wanted of it.
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Wants less of it than before. Wanting more is ignored.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = self.wanted.max(wanted);
    }

    /// The control plane knows that it is STOPPED.
    pub fn acknowledge_stop(&mut self) {
        self.acknowledged |= self.status == TaskStatus::Stopped;
    }

    /// After this time [`Self::ring`] is to be called for that container. Each alarm is given once.
    pub fn take_alarms(&mut self) -> Vec<(usize, Duration)> {
        std::mem::take(&mut self.alarms)
    }

    /// A container had time enough to be what others need. From now on nobody waits for it.
    pub fn ring(&mut self, index: usize) {
        self.late.insert(index);
    }

    /// What is known of the health of its containers is to be told again: a control plane may have missed it.
    pub fn tell_health_again(&mut self) {
        self.news |= self.members.iter().any(|member| member.health.0 != Health::Unknown);
    }

    fn set_alarm(&mut self, index: usize) {
        let runs = self.members[index].phase == Phase::Running;
        if let Some(patience) = self.dependencies.patience(index).filter(|_| runs) {
            self.alarms.push((index, patience));
        }
    }

    /// A container cannot be started for the sake of another.
    fn give_up(&mut self, (index, reason): (usize, String)) {
        self.members[index].exit.reason = Some(reason);
        self.news = true;
        self.fail_to_start();
    }

    /// Whether the next move may be one that brings it up.
    pub fn rising(&self) -> bool {
        !self.leaving() && self.status < TaskStatus::Running
    }

    /// Whether any of its containers may be there.
    pub fn has_containers(&self) -> bool {
        self.sandbox.may_be_there() || self.has_members()
    }

    fn has_members(&self) -> bool {
        self.members.iter().any(|member| {
            member.id.is_some() || matches!(member.busy, Some(Operation::Create | Operation::Start))
        })
    }

    /// The runtime's id of what an operation is about, while it may be there.
    pub fn id_for(&self, operation: Operation, index: usize) -> Option<&str> {
        match operation {
            Operation::Open | Operation::Close => self.sandbox.id(),
            _ => self.members.get(index).and_then(Member::id),
        }
    }

    fn leaving(&self) -> bool {
        self.wanted != Wanted::Running || self.cause.is_some() || self.status > TaskStatus::Running
    }

    fn essential_exited(&self) -> bool {
        let mut members = self.members.iter().zip(&self.spec.containers);
        members.any(|(member, container)| container.essential && member.phase == Phase::Exited)
    }

    /// The next move. Call it until it waits; each move it gives must be answered.
    pub fn step(&mut self, now: u64, tick: u64) -> Move {
        self.settle(now);
        let next = if self.leaving() { self.down() } else { self.up() };
        match next {
            Move::Do(operation @ (Operation::Open | Operation::Close), _) => {
                self.sandbox.begin(operation, tick);
            }
            Move::Do(Operation::Release, _) => self.releasing = true,
            Move::Do(operation, index) => {
                let member = &mut self.members[index];
                member.busy = Some(operation);
                member.changed_at = tick;
                if operation == Operation::Pull {
                    member.asked = member.choice.clone();
                    self.pull_started_at = if self.pull_started_at == 0 { now } else { self.pull_started_at };
                }
            }
            Move::Wait | Move::Done => {}
        }
        next
    }

    fn up(&self) -> Move {
        let again = |member: &Member| member.ended.is_some() && member.busy.is_none();
        if let Some(index) = self.members.iter().position(again) {
            return Move::Do(Operation::Restart, index);
        }
        if self.sandbox.is_wanted() {
            return Move::Do(Operation::Open, 0);
        }
        let joins = self.sandbox.is_ready(self.needs_sandbox());
        let ladder = [
            (Phase::New, Operation::Pull),
            (Phase::Resolved, Operation::Pull),
            (Phase::Pulled, Operation::Create),
            (Phase::Created, Operation::Start),
        ];
        for (phase, operation) in ladder {
            let ready = |(index, member): (usize, &Member)| {
                let now = match operation {
                    Operation::Create => joins && self.dependencies.may_be_made(index, &self.members),
                    Operation::Start => self.dependencies.may_be_started(index, &self.members),
                    Operation::Pull => member.may_be_pulled(),
                    _ => true,
                };
                (now && member.idle_in(phase)).then_some(index)
            };
            if let Some(index) = self.members.iter().enumerate().find_map(ready) {
                return Move::Do(operation, index);
            }
            if self.members.iter().any(|member| member.phase == phase) {
                return Move::Wait;
            }
        }
        Move::Wait
    }

    fn down(&self) -> Move {
        let removing = self.wanted == Wanted::Gone || self.acknowledged;
        for (index, member) in self.members.iter().enumerate() {
            let next = if removing {
                // A stop that is under way is overtaken: its answer no longer matters.
                let free = matches!(member.busy, None | Some(Operation::Pull | Operation::Stop));
                (member.id.is_some() && free).then_some(Operation::Remove)
            } else {
                let now =
                    member.may_be_asked_to_stop() && self.dependencies.may_be_stopped(index, &self.members);
                now.then_some(Operation::Stop)
            };
            if let Some(operation) = next {
                return Move::Do(operation, index);
            }
        }
        let last = if removing { self.has_members() } else { self.members.iter().any(Member::living) };
        if last {
            return Move::Wait;
        }
        if self.sandbox.is_to_close(removing) {
            return Move::Do(Operation::Close, 0);
        }
        if !removing || self.has_containers() || self.releasing {
            return Move::Wait;
        }
        if self.released { Move::Done } else { Move::Do(Operation::Release, 0) }
    }

    /// Draws the conclusions for the task from its containers.
    fn settle(&mut self, now: u64) {
        if !self.leaving() {
            let late =
                || self.late.iter().find_map(|on| self.dependencies.late(&self.spec, *on, &self.members));
            if let Some(vain) = self.dependencies.lost(&self.spec, &self.members).or_else(late) {
                self.give_up(vain);
            }
        }
        if !self.leaving() {
            if self.members.iter().all(|member| member.phase >= Phase::Running) {
                self.go_to(TaskStatus::Running);
            }
            return;
        }
        self.give_restarts_up();
        if self.members.iter().any(Member::living) {
            self.go_to(TaskStatus::Stopping);
            return;
        }
        let ran = self.members.iter().any(|member| !member.runtime_id.is_empty());
        if self.execution_stopped_at == 0 && ran {
            self.execution_stopped_at = now;
        }
        let closed = !self.sandbox.lives();
        self.go_to(if closed { TaskStatus::Stopped } else { TaskStatus::Deprovisioning });
    }

    fn go_to(&mut self, status: TaskStatus) {
        if self.status < status {
            self.status = status;
            self.news = true;
        }
    }

    fn fail_to_start(&mut self) {
        if !self.leaving() {
            self.cause = Some((StopCode::TaskFailedToStart, FAILED_TO_START.into()));
        }
    }
}

#[cfg(test)]
#[path = "step/tests.rs"]
mod tests;
