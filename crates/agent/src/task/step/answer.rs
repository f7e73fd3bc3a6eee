//! What came of a task's moves.

use trireme_rpc::agent::{Container, NetworkBinding, PortMapping, StopCode};

use super::{Answer, ESSENTIAL_EXITED, Machine, Phase, RELEASE_TRIES};
use crate::runtime::{Exit, Failure, FailureKind, Image, Started};

impl Machine {
    /// What came of a move. An answer that was overtaken is ignored.
    pub fn answer(&mut self, index: usize, answer: Answer, now: u64, tick: u64) {
        match answer {
            Answer::Opened { result, fallback_id } => self.opened(result, fallback_id, tick),
            Answer::Closed(result) => self.closed(&result, tick),
            Answer::Released(result) => self.let_go(&result),
            of_member => self.answer_of_member(index, of_member, now, tick),
        }
    }

    fn let_go(&mut self, result: &Result<(), Failure>) {
        self.releasing = false;
        self.release_failures += u32::from(result.is_err());
        // What somebody else still uses is looked for again later.
        self.released = result.is_ok() || self.release_failures >= RELEASE_TRIES;
    }

    fn answer_of_member(&mut self, index: usize, answer: Answer, now: u64, tick: u64) {
        let Some(member) = self.members.get_mut(index) else { return };
        if member.busy != Some(answer.operation()) {
            return;
        }
        member.busy = None;
        member.changed_at = tick;
        self.news = true;
        match answer {
            Answer::Pulled(result) => self.pulled(index, result, now),
            Answer::Created { result, fallback_id } => self.created(index, result, fallback_id),
            Answer::Started(result) => self.started(index, result, now),
            Answer::Restarted(result) => self.restarted(index, result),
            Answer::Stopped(Ok(exit)) => {
                member.risen = false;
                self.over(index, exit);
            }
            Answer::Removed(Ok(())) => {
                (member.id, member.risen) = (None, false);
                if member.phase != Phase::Exited {
                    self.over(index, Exit::default());
                }
            }
            // It is asked again; who carries it out sees to the pause.
            Answer::Stopped(Err(_)) | Answer::Removed(Err(_)) => {}
            Answer::Opened { .. } | Answer::Closed(_) | Answer::Released(_) => {}
        }
    }

    fn pulled(&mut self, index: usize, result: Result<Image, Failure>, now: u64) {
        self.pull_stopped_at = now;
        let member = &mut self.members[index];
        match result {
            Ok(image) => {
                member.resolve(image);
            }
            Err(failure) => {
                member.exit.reason = Some(failure.to_string());
                self.fail_to_start();
            }
        }
    }

    fn created(&mut self, index: usize, result: Result<String, Failure>, fallback_id: String) {
        let member = &mut self.members[index];
        match result {
            Ok(id) => {
                member.phase = member.phase.max(Phase::Created);
                member.runtime_id.clone_from(&id);
                member.id = Some(id);
            }
            Err(failure) => {
                if failure.kind == FailureKind::Timeout {
                    member.id = Some(fallback_id);
                }
                member.exit.reason = Some(failure.to_string());
                if failure.kind == FailureKind::CannotInitialize && !self.leaving() {
                    self.cause = Some((StopCode::TaskFailedToStart, failure.to_string().into()));
                }
                self.fail_to_start();
            }
        }
    }

    fn started(&mut self, index: usize, result: Result<Started, Failure>, now: u64) {
        let member = &mut self.members[index];
        let early_exit = member.early_exit.take();
        match result {
            Ok(started) => {
                member.phase = member.phase.max(Phase::Running);
                self.bind(index, started);
                self.set_alarm(index);
            }
            Err(failure) => {
                // After a time limit it may run all the same: it is stopped before the task is.
                if failure.kind == FailureKind::Timeout {
                    member.phase = member.phase.max(Phase::Running);
                }
                member.exit.reason = Some(failure.to_string());
                self.fail_to_start();
            }
        }
        // It was up, if only for a moment.
        self.settle(now);
        if let Some(exit) = early_exit {
            self.over(index, exit);
        }
    }

    pub(super) fn bind(&mut self, index: usize, started: Started) {
        let host = self.spec.network_mode == "host";
        self.members[index].bindings =
            if host { host_bindings(&self.spec.containers[index]) } else { started.bindings };
    }

    /// A container ended, for good.
    pub(super) fn over(&mut self, index: usize, exit: Exit) {
        let member = &mut self.members[index];
        let first = member.phase != Phase::Exited;
        member.phase = Phase::Exited;
        if member.exit.code.is_none() {
            member.exit.code = exit.code;
        }
        if member.exit.reason.is_none() {
            member.exit.reason = exit.reason;
        }
        self.news = true;
        if first && self.spec.containers[index].essential && !self.leaving() {
            self.cause = Some((StopCode::EssentialContainerExited, ESSENTIAL_EXITED.into()));
        }
    }
}

/// In the host's own network the ports are the container's.
fn host_bindings(container: &Container) -> Vec<NetworkBinding> {
    let binding = |mapping: &PortMapping| NetworkBinding {
        bind_ip: "0.0.0.0".to_owned(),
        container_port: mapping.container_port,
        host_port: mapping.container_port,
        udp: mapping.udp,
    };
    container.port_mappings.iter().map(binding).collect()
}
