//! What holds the namespaces that a task's containers share: there before the first of its containers is made, and gone before the task is
//! STOPPED, so that nobody else is ever given its address while something of it is there. Of most tasks there is none.

use std::borrow::Cow;

use trireme_rpc::agent::{StopCode, TaskStatus};

use super::{FAILED_TO_START, Machine, Operation};
use crate::namespace;
use crate::runtime::{Failure, FailureKind, Found, FoundState};

/// ECS has no words for it: there the container that holds the namespace is an essential one.
const ENDED: &str = "Essential container in task exited: what held the task's namespaces ended";

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Nothing was done.
    New,
    /// It runs.
    Open,
    /// It does not run, or never did; something of it may be there.
    Dead,
    /// Nothing is left of it, or the task has none.
    Gone,
}

/// A task's sandbox.
#[derive(Debug, Clone)]
pub(super) struct Sandbox {
    phase: Phase,
    busy: Option<Operation>,
    /// The runtime's id; present while it may be there.
    id: Option<String>,
    changed_at: u64,
    /// The control plane was told that it runs.
    told: bool,
}

impl Sandbox {
    /// Of a task that needs one or does not, as it was found. `ran`: one of the task's containers was started.
    pub(super) fn of(needed: bool, found: Option<&Found>, ran: bool) -> Self {
        let phase = match found.map(|found| &found.state) {
            Some(FoundState::Running(_)) => Phase::Open,
            Some(FoundState::Exited(_)) => Phase::Dead,
            // It was not started: it is made once, whoever asks.
            Some(FoundState::Created) if !ran => Phase::New,
            None if needed && !ran => Phase::New,
            Some(FoundState::Created) => Phase::Dead,
            None => Phase::Gone,
        };
        Self { phase, busy: None, id: found.map(|found| found.id.clone()), changed_at: 0, told: false }
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn idle(&self) -> bool {
        self.busy.is_none()
    }

    /// Whether containers may join it, or need none.
    pub(super) fn is_ready(&self, needed: bool) -> bool {
        !needed || self.phase == Phase::Open
    }

    /// Whether it held the namespace once, or should have, and does no longer.
    pub(super) fn is_over(&self) -> bool {
        self.phase > Phase::Open
    }

    /// Whether it is to be opened now.
    pub(super) fn is_wanted(&self) -> bool {
        self.phase == Phase::New && self.idle()
    }

    /// Whether something of it runs or may do so.
    pub(super) fn lives(&self) -> bool {
        self.phase == Phase::Open || !self.idle()
    }

    /// Whether something of it may be there.
    pub(super) fn may_be_there(&self) -> bool {
        self.id.is_some() || !self.idle()
    }

    /// Whether it is to be closed now; `removing`: nothing of the task is to be left.
    pub(super) fn is_to_close(&self, removing: bool) -> bool {
        self.idle() && if removing { self.id.is_some() } else { self.lives() }
    }

    pub(super) fn begin(&mut self, operation: Operation, tick: u64) {
        self.busy = Some(operation);
        self.changed_at = tick;
    }

    /// Once: that it runs is to be told.
    pub(super) fn take_news(&mut self) -> bool {
        let news = self.phase == Phase::Open && !self.told;
        self.told |= news;
        news
    }

    fn ended(&mut self) -> bool {
        let news = self.phase == Phase::Open;
        self.phase = self.phase.max(Phase::Dead);
        news
    }
}

impl Machine {
    pub(super) fn needs_sandbox(&self) -> bool {
        namespace::needs_sandbox(&self.spec)
    }

    /// What came of opening it. After a failure something of it may be there, under the name that it was to have.
    pub(super) fn opened(&mut self, result: Result<String, Failure>, fallback_id: String, tick: u64) {
        let sandbox = &mut self.sandbox;
        if sandbox.busy != Some(Operation::Open) {
            return;
        }
        sandbox.busy = None;
        sandbox.changed_at = tick;
        self.news = true;
        match result {
            Ok(id) => {
                sandbox.phase = sandbox.phase.max(Phase::Open);
                sandbox.id = Some(id);
            }
            Err(failure) => {
                sandbox.id = Some(fallback_id);
                // After a time limit it may run all the same: it is closed before the task is STOPPED.
                let late = failure.kind == FailureKind::Timeout;
                sandbox.phase = sandbox.phase.max(if late { Phase::Open } else { Phase::Dead });
                if !self.leaving() {
                    let reason = format!("{FAILED_TO_START}: {failure}");
                    self.cause = Some((StopCode::TaskFailedToStart, reason.into()));
                }
            }
        }
    }

    /// What came of closing it.
    pub(super) fn closed(&mut self, result: &Result<(), Failure>, tick: u64) {
        let sandbox = &mut self.sandbox;
        if sandbox.busy != Some(Operation::Close) {
            return;
        }
        sandbox.busy = None;
        sandbox.changed_at = tick;
        self.news = true;
        match result {
            Ok(()) => {
                sandbox.phase = Phase::Gone;
                sandbox.id = None;
            }
            // Dead is enough for the task to be STOPPED.
            Err(failure) if failure.kind == FailureKind::CannotRemove => {
                sandbox.ended();
            }
            // It is asked again; who carries it out sees to the pause.
            Err(_) => {}
        }
    }

    /// A container ended: whether it was the sandbox.
    pub(super) fn sight_sandbox_exit(&mut self, container: &str) -> bool {
        let ours = self.sandbox.id() == Some(container);
        if ours {
            self.sandbox_ended();
        }
        ours
    }

    /// The runtime's full list, begun at `tick`.
    pub(super) fn sight_sandbox(&mut self, found: &[Found], tick: u64) {
        let sandbox = &self.sandbox;
        let judged = sandbox.phase == Phase::Open && sandbox.idle() && sandbox.changed_at < tick;
        let ours = |one: &Found| Some(one.id.as_str()) == sandbox.id();
        let runs = |one: &Found| ours(one) && matches!(one.state, FoundState::Running(_));
        if judged && !found.iter().any(runs) {
            self.sandbox_ended();
        }
    }

    fn sandbox_ended(&mut self) {
        if self.sandbox.ended() {
            self.sandbox_is_missing();
        }
    }

    /// Nothing can be reached from the namespace that its containers are left in.
    pub(super) fn sandbox_is_missing(&mut self) {
        if self.leaving() {
            return;
        }
        self.news = true;
        let (code, reason) = match self.status < TaskStatus::Running {
            true => (StopCode::TaskFailedToStart, Cow::Borrowed(FAILED_TO_START)),
            false => (StopCode::EssentialContainerExited, Cow::Borrowed(ENDED)),
        };
        self.cause = Some((code, reason));
    }
}
