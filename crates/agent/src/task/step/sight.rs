//! What is seen of a task's containers without having been asked for.

use super::{Machine, Operation, Phase};
use crate::runtime::{Exit, Found, FoundState, Health};

impl Machine {
    /// A container ended, with or without having been asked to.
    pub fn sight_exit(&mut self, container: &str, exit: Exit) {
        let Some(index) = self.members.iter().position(|member| member.id.as_deref() == Some(container))
        else {
            return;
        };
        let member = &mut self.members[index];
        match (member.phase, member.busy) {
            (Phase::Created, Some(Operation::Start)) => member.early_exit = Some(exit),
            (Phase::Running, _) => self.exited(index, exit),
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

    /// The runtime's full list of this task's containers, begun at `tick`. What changed since is not judged by it.
    pub fn sight(&mut self, found: &[Found], tick: u64) {
        for index in 0..self.members.len() {
            let member = &self.members[index];
            let Some(id) = member.id.clone() else { continue };
            if member.changed_at >= tick || member.phase != Phase::Running {
                continue;
            }
            match found.iter().find(|found| found.id == id).map(|found| &found.state) {
                Some(FoundState::Running(started)) if member.health.1 < tick => {
                    self.sight_health(&id, started.health, tick);
                }
                Some(FoundState::Running(_)) => {}
                Some(FoundState::Exited(exit)) => self.exited(index, exit.clone()),
                Some(FoundState::Created) | None => self.exited(index, vanished()),
            }
        }
    }
}

/// How a container ended that is not there any more.
pub(super) fn vanished() -> Exit {
    Exit { code: None, reason: Some("ContainerGoneError: the container disappeared".to_owned()) }
}
