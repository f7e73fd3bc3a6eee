//! What a task's machine has to tell the control plane.

use trireme_rpc::agent::{self, Container, ContainerReport, StopCode, TaskReport, TaskStatus};

use super::{Machine, Member, Phase, Wanted};
use crate::runtime::Health;

impl Machine {
    /// What there is to tell the control plane, once.
    pub fn take_news(&mut self) -> Option<TaskReport> {
        // What comes before RUNNING is told with it, unless that may take its time.
        let waits = self.dependencies.hold_back(&self.members)
            || self.slow_pull
            || self.members.iter().any(Member::waits_for_choice);
        let more = waits || self.sandbox.take_news();
        let worth_telling = (self.status > TaskStatus::Pending || more) && self.wanted != Wanted::Gone;
        if !self.news || !worth_telling || self.acknowledged {
            return None;
        }
        self.news = false;
        Some(self.report())
    }

    pub(super) fn report(&self) -> TaskReport {
        let cause = self.cause.as_ref();
        let code = cause.map_or(StopCode::Unspecified, |(code, _)| *code);
        let reason = cause.map_or("", |(_, reason)| reason);
        let members = self.members.iter().zip(&self.spec.containers);
        TaskReport {
            task_id: self.spec.task_id.clone(),
            status: self.status.into(),
            containers: members.map(|(member, container)| self.report_member(member, container)).collect(),
            stop_code: code.into(),
            stopped_reason: reason.to_owned(),
            pull_started_at: self.pull_started_at,
            pull_stopped_at: self.pull_stopped_at,
            execution_stopped_at: self.execution_stopped_at,
        }
    }

    fn report_member(&self, member: &Member, container: &Container) -> ContainerReport {
        let status = match member.phase {
            _ if self.status == TaskStatus::Stopped => TaskStatus::Stopped,
            Phase::New | Phase::Resolved | Phase::Pulled | Phase::Created => TaskStatus::Pending,
            Phase::Running => TaskStatus::Running,
            Phase::Exited => TaskStatus::Stopped,
        };
        ContainerReport {
            name: container.name.clone(),
            runtime_id: member.runtime_id.clone(),
            image_digest: member.image.digest.clone(),
            status: status.into(),
            exit_code: member.exit.code,
            reason: member.exit.reason.clone().unwrap_or_default(),
            network_bindings: member.bindings.clone(),
            health: health(member, container).into(),
            found: member.found_image(),
        }
    }
}

fn health(member: &Member, container: &Container) -> agent::Health {
    match member.health.0 {
        _ if !container.settings.contains_key("healthCheck") => agent::Health::Unspecified,
        Health::Unknown => agent::Health::Unknown,
        Health::Healthy => agent::Health::Healthy,
        Health::Unhealthy => agent::Health::Unhealthy,
    }
}
