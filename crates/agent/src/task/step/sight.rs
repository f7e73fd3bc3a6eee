//! What is seen of a task's containers without having been asked for.

use std::time::Duration;

use super::{Machine, Operation, Phase};
use crate::runtime::{Exit, Found, FoundState, Health, Run};

impl Machine {
    /// A container ended, with or without having been asked to. It may be heard more than once, and late.
    pub fn sight_exit(&mut self, container: &str, exit: Exit, run: &Run) {
        if self.sight_sandbox_exit(container) {
            return;
        }
        let Some(index) = self.members.iter().position(|member| member.id.as_deref() == Some(container))
        else {
            return;
        };
        let member = &mut self.members[index];
        if member.over.is_some() && member.over == run.started {
            return;
        }
        match (member.phase, member.busy) {
            (Phase::Created, Some(Operation::Start)) | (Phase::Running, Some(Operation::Restart)) => {
                member.early_exit = Some(exit);
            }
            (Phase::Running, _) if member.ended.is_some() => {}
            (Phase::Running, _) => self.exited(index, exit, run),
            _ => {}
        }
    }

    /// A container's health check says something else.
    pub fn sight_health(&mut self, container: &str, health: Health, tick: u64) {
        let found = self.members.iter_mut().find(|member| member.id.as_deref() == Some(container));
        if let Some(member) = found.filter(|member| member.phase < Phase::Exited) {
            self.news |= member.health.0 != health;
            member.health = (health, tick);
        }
    }

    /// The runtime's full list of this task's containers, begun at `tick`, `age` ago. What changed since is not judged by it.
    pub fn sight(&mut self, found: &[Found], tick: u64, age: Duration) {
        self.sight_sandbox(found, tick);
        let leaving = self.leaving();
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            let Some(id) = member.id.clone() else { continue };
            if leaving && member.phase != Phase::Running && member.busy.is_none() && member.changed_at < tick
            {
                let here = found.iter().find(|found| found.id == id).map(|found| &found.state);
                member.risen = matches!(here, Some(FoundState::Running(_)));
                continue;
            }
            let restarting = member.ended.is_some() || member.busy == Some(Operation::Restart);
            if member.changed_at >= tick || member.phase != Phase::Running || restarting {
                continue;
            }
            let found = found.iter().find(|found| found.id == id);
            match found.map(|found| &found.state) {
                Some(FoundState::Running(started)) => {
                    let heard_before = member.health.1 < tick;
                    self.members[index].surely_up = member.up.saturating_sub(age);
                    if heard_before {
                        self.sight_health(&id, started.health, tick);
                    }
                }
                Some(FoundState::Exited(exit)) => {
                    let run = found.map(|found| found.run.clone()).unwrap_or_default();
                    self.exited(index, exit.clone(), &run);
                }
                Some(FoundState::Created) | None => self.over(index, vanished()),
            }
        }
    }
}

/// How a container ended that is not there any more.
pub(super) fn vanished() -> Exit {
    Exit { code: None, reason: Some("ContainerGoneError: the container disappeared".to_owned()) }
}
