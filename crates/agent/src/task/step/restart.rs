//! Containers that come again in place when they end by themselves (ECS API: ContainerRestartPolicy). The task stays as it is.
//!
//! A container that ended before it had been up for the policy's period stays ended: one that cannot run is not tried for ever.

use std::time::Duration;

use trireme_rpc::agent::AssignedTask;

use super::{Machine, Phase};
use crate::runtime::{Exit, Failure, FailureKind, Health, Run, Started};
use crate::setting::RestartPolicy;

/// Each container's policy. One that cannot be read is refused when its container is made.
pub(super) fn policies(task: &AssignedTask) -> Vec<RestartPolicy> {
    task.containers.iter().map(|one| RestartPolicy::of(&one.settings).unwrap_or_default()).collect()
}

impl Machine {
    /// The time of a clock that never goes back. What is told of the task from here on happened now.
    pub fn tell_time(&mut self, now: Duration) {
        let passed = self.clock.map_or(Duration::ZERO, |before| now.saturating_sub(before));
        self.clock = Some(now);
        for member in &mut self.members {
            if member.phase == Phase::Running && member.ended.is_none() {
                member.up += passed;
            }
        }
    }

    /// How often its containers came again, by name: what was known before the agent was started.
    pub fn remember_restarts<'a>(&mut self, known: impl IntoIterator<Item = (&'a String, &'a u32)>) {
        for (name, restarts) in known {
            let index = self.spec.containers.iter().position(|container| container.name == *name);
            if let Some(member) = index.and_then(|index| self.members.get_mut(index)) {
                member.restarts = member.restarts.max(*restarts);
            }
        }
    }

    /// The names of containers that came again, and how often.
    pub fn restarts(&self) -> impl Iterator<Item = (&str, u32)> {
        let members = self.members.iter().zip(&self.spec.containers);
        let members = members.filter(|(member, _)| member.restarts > 0);
        members.map(|(member, container)| (container.name.as_str(), member.restarts))
    }

    /// Containers that ended while there was no agent come again too, unless the task is over.
    pub(super) fn find_due(&mut self) {
        for (member, policy) in self.members.iter_mut().zip(&self.policies) {
            if member.phase == Phase::Exited && member.id.is_some() && policy.is_due(&member.exit, member.up)
            {
                member.phase = Phase::Running;
                member.ended = Some(std::mem::take(&mut member.exit));
            }
        }
    }

    /// A container ended by itself: it comes again, or that was it.
    pub(super) fn exited(&mut self, index: usize, exit: Exit, run: &Run) {
        let leaving = self.leaving();
        let member = &mut self.members[index];
        // It may have ended before that was heard, but not before it was last seen: what the wall clock says counts between the two.
        let up = run.lasted.map_or(member.up, |lasted| lasted.max(member.surely_up).min(member.up));
        if member.phase == Phase::Running && !leaving && self.policies[index].is_due(&exit, up) {
            member.over = run.started.clone();
            member.ended = Some(exit);
            return;
        }
        self.over(index, exit);
    }

    /// Containers that were to come again stay ended when the task does.
    pub(super) fn give_restarts_up(&mut self) {
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            if member.busy.is_none()
                && let Some(exit) = member.ended.take()
            {
                self.over(index, exit);
            }
        }
    }

    pub(super) fn restarted(&mut self, index: usize, result: Result<Started, Failure>) {
        let member = &mut self.members[index];
        let ended = member.ended.take().unwrap_or_default();
        let early_exit = member.early_exit.take();
        (member.up, member.surely_up) = (Duration::ZERO, Duration::ZERO);
        match result {
            Ok(started) => {
                member.restarts += 1;
                self.bind(index, started);
                self.members[index].health.0 = Health::Unknown;
            }
            // It may run or not: the runtime's list will say so.
            Err(failure) if failure.kind == FailureKind::Timeout => {
                tracing::warn!(%failure, "it is not known whether a container came again");
            }
            Err(failure) => {
                return self.over(index, Exit { reason: Some(failure.to_string()), ..ended });
            }
        }
        if let Some(exit) = early_exit {
            self.over(index, exit);
        }
    }
}
