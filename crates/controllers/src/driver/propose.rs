//! A plan's commands, proposed: in order within a lane, lanes side by side.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use trireme_state::command::{AlarmCommand, CapacityCommand, ScheduleCommand};
use trireme_state::object::{AlarmKey, CapacityProviderKey, ServiceKey, Trigger};
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Actor, Command, Placement, Proposal, Rejection};
use trireme_types::{ContainerInstanceId, RequestId, Sequence, TaskId};

use super::Limits;
use crate::metrics;

/// Commands that must keep their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Service(ServiceKey),
    Instance(ContainerInstanceId),
    Task(TaskId),
    Pool(CapacityProviderKey),
    Alarm(AlarmKey),
    Trigger(Trigger),
    Other,
}

fn lane(command: &Command) -> Lane {
    match command {
        Command::StartServiceTasks { service, .. }
        | Command::StopServiceTasks { service, .. }
        | Command::RecordProgress { service, .. }
        | Command::RecordZoneMove { service, .. }
        | Command::RecordTaskSets { service, .. } => Lane::Service(service.clone()),
        Command::Capacity(command) => match &**command {
            CapacityCommand::StartServiceTasks { service, .. } => Lane::Service(service.clone()),
            CapacityCommand::PlaceWaitingRun { task, .. } => Lane::Task(*task),
            CapacityCommand::SizePool { key, .. } => Lane::Pool(key.clone()),
            _ => Lane::Other,
        },
        Command::RecordDeployment(news) => Lane::Service(news.service.clone()),
        Command::Autoscaling(command) => Lane::Service(command.service().clone()),
        Command::Alarm(command) => match &**command {
            AlarmCommand::SetState { key, .. } => Lane::Alarm(key.clone()),
            _ => Lane::Other,
        },
        Command::Schedule(command) => match &**command {
            ScheduleCommand::Fire(fire) => Lane::Trigger(fire.trigger.clone()),
            _ => Lane::Other,
        },
        Command::LoseInstance { instance, .. }
        | Command::SetInstanceStatus { instance, .. }
        | Command::DeregisterInstance { instance, .. } => Lane::Instance(*instance),
        _ => Lane::Other,
    }
}

/// What came of a plan's commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Proposed {
    /// The last of them that committed. The next view holds it.
    pub last: Sequence,
    /// Those that were refused or have no outcome.
    pub failed: usize,
    /// Of them, those that may still commit.
    pub unknown: usize,
}

impl Proposed {
    fn with(self, other: Self) -> Self {
        Self {
            last: self.last.max(other.last),
            failed: self.failed.saturating_add(other.failed),
            unknown: self.unknown.saturating_add(other.unknown),
        }
    }
}

/// Proposes all commands and waits for their outcomes.
pub(super) async fn propose(
    store: &dyn Store,
    name: &'static str,
    commands: Vec<Command>,
    limits: &Limits,
) -> Proposed {
    let mut lanes: BTreeMap<Lane, Vec<Command>> = BTreeMap::new();
    for command in commands.into_iter().take(limits.commands) {
        lanes.entry(lane(&command)).or_default().push(command);
    }
    let limit = limits.command_time;
    futures_util::stream::iter(lanes.into_values())
        .map(|commands| follow(store, name, commands, limit))
        .buffer_unordered(limits.lanes.max(1))
        .fold(Proposed::default(), async |sum, lane| sum.with(lane))
        .await
}

/// One lane. A refusal ends it: what follows was planned on what the refused command would have made.
async fn follow(store: &dyn Store, name: &'static str, commands: Vec<Command>, limit: Duration) -> Proposed {
    let mut done = Proposed::default();
    let mut waiting = VecDeque::from(commands);
    while let Some(command) = waiting.pop_front() {
        let proposal = Proposal {
            actor: Actor::Controller(name.to_owned()),
            request_id: RequestId::from_bits(rand::random()),
            key: None,
            command,
        };
        let answer = tokio::time::timeout(limit, store.propose(proposal.clone())).await;
        let answer = answer
            .unwrap_or_else(|_| Err(ProposeError::Unknown { reason: format!("no answer in {limit:?}") }));
        match answer {
            Ok(committed) => {
                metrics::command(name, "ok");
                metrics::committed(&proposal.command);
                done.last = done.last.max(committed.sequence);
            }
            Err(ProposeError::Rejected(Rejection::LimitExceeded { what, .. }))
                if splits(&proposal.command) =>
            {
                tracing::debug!(controller = name, %what, "too much for one command; sent in halves");
                for half in halves(proposal.command).into_iter().rev() {
                    waiting.push_front(half);
                }
            }
            Err(error) => {
                metrics::command(name, metrics::result_of(&error));
                log(name, &error);
                done.failed = 1;
                // Nothing was started: what is to be recorded is so all the same.
                if full(&error) && starts(&proposal.command) {
                    waiting.retain(|command| !starts(command));
                    continue;
                }
                done.unknown = usize::from(matches!(error, ProposeError::Unknown { .. }));
                break;
            }
        }
    }
    done
}

fn full(error: &ProposeError) -> bool {
    matches!(error, ProposeError::Rejected(Rejection::DiskFull { .. }))
}

fn starts(command: &Command) -> bool {
    placements(command).is_some()
}

/// Where a command starts a service's tasks, if it does.
fn placements(command: &Command) -> Option<&[Placement]> {
    match command {
        Command::StartServiceTasks { placements, .. } => Some(placements),
        Command::Capacity(command) => match &**command {
            CapacityCommand::StartServiceTasks { placements, .. } => Some(placements),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a command is a list that may as well be two.
fn splits(command: &Command) -> bool {
    match command {
        Command::StopServiceTasks { tasks, .. } => tasks.len() > 1,
        other => placements(other).is_some_and(|placements| placements.len() > 1),
    }
}

/// The two halves of a command that [`splits`]. How long a task's event is depends on its tags and its definition, which
/// no plan can count.
fn halves(command: Command) -> Vec<Command> {
    match command {
        Command::StartServiceTasks { service, version, deployment, mut placements } => {
            let second = placements.split_off(placements.len() / 2);
            let part = |placements| Command::StartServiceTasks {
                service: service.clone(),
                version,
                deployment,
                placements,
            };
            vec![part(placements), part(second)]
        }
        Command::Capacity(command) => halves_of_launch(*command),
        Command::StopServiceTasks { service, version, mut tasks, reason } => {
            let second = tasks.split_off(tasks.len() / 2);
            let part = |tasks| Command::StopServiceTasks {
                service: service.clone(),
                version,
                tasks,
                reason: reason.clone(),
            };
            vec![part(tasks), part(second)]
        }
        other => vec![other],
    }
}

/// The same of tasks that are launched elsewhere than on any machine of their cluster.
fn halves_of_launch(command: CapacityCommand) -> Vec<Command> {
    let boxed = |command| Command::Capacity(Box::new(command));
    match command {
        CapacityCommand::StartServiceTasks { service, version, deployment, mut placements, launch } => {
            let second = placements.split_off(placements.len() / 2);
            let part = |placements| {
                boxed(CapacityCommand::StartServiceTasks {
                    service: service.clone(),
                    version,
                    deployment,
                    placements,
                    launch: launch.clone(),
                })
            };
            vec![part(placements), part(second)]
        }
        other => vec![boxed(other)],
    }
}

/// Stale is the course of things: others change the state too.
fn log(controller: &'static str, error: &ProposeError) {
    match error {
        ProposeError::Rejected(Rejection::Stale { what }) => {
            tracing::debug!(controller, %what, "planned on an older state; planning anew");
        }
        ProposeError::Rejected(rejection @ Rejection::Defect { .. }) => {
            tracing::error!(controller, %rejection, "command refused");
        }
        ProposeError::Rejected(rejection) => tracing::warn!(controller, %rejection, "command refused"),
        other => tracing::warn!(controller, error = %other, "command without an outcome"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trireme_state::object::ClusterKey;
    use trireme_types::{CapacityProviderName, ClusterName, Scope, ServiceName};

    #[test]
    fn what_is_refused_for_one_pool_holds_up_no_other() {
        let size = |name: &str| {
            let key = CapacityProviderKey {
                scope: Scope::development(),
                name: CapacityProviderName::new(name).unwrap(),
            };
            let (leaving, reason) = (Vec::new(), String::new());
            let command = CapacityCommand::SizePool { key, seen: 0, wanted: 1, leaving, idle: false, reason };
            lane(&Command::Capacity(Box::new(command)))
        };
        assert_eq!(size("one"), size("one"));
        assert_ne!(size("one"), size("two"));
        assert_ne!(size("one"), Lane::Other);
    }

    #[test]
    fn a_command_that_is_too_large_is_halved_until_one_is_left() {
        let cluster = ClusterKey { scope: Scope::development(), name: ClusterName::new("c").unwrap() };
        let service = ServiceKey { cluster, name: ServiceName::new("s").unwrap() };
        let tasks: Vec<TaskId> = (0..5).map(TaskId::from_bits).collect();
        let whole =
            Command::StopServiceTasks { service, version: 3, tasks: tasks.clone(), reason: "r".to_owned() };
        let mut waiting = VecDeque::from([whole]);
        let mut single = Vec::new();
        while let Some(command) = waiting.pop_front() {
            if splits(&command) {
                halves(command).into_iter().rev().for_each(|half| waiting.push_front(half));
            } else if let Command::StopServiceTasks { version: 3, tasks, .. } = command {
                single.extend(tasks);
            }
        }
        assert_eq!(single, tasks);
    }
}
