//! Commands that people run in containers. The state keeps nothing of them but which tasks allow them: their beginning and end are
//! for those who read the history. A beginning is committed before the command runs.

use trireme_types::TaskId;

use super::{Decided, Decision};
use crate::command::{Command, EndCommand, StartCommand};
use crate::event::ExecuteCommandEvent;
use crate::limits::{COMMAND_BYTES, COMMAND_END_BYTES, COMMAND_WORDS};
use crate::object::{DesiredStatus, EXECUTE_COMMAND, TaskOrigin, TaskStatus};
use crate::{Event, FeatureLevel, Rejection, State};

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::Invalid { message: message.into() }
}

pub(super) fn decide(state: &State, command: &Command) -> Decided {
    match command {
        Command::StartCommand(new) => start(state, new),
        Command::EndCommand(over) => end(over),
        Command::RunAllowingCommands(_) => Err(invalid("it is said twice that commands are allowed")),
        _ => Ok(Decision::nothing()),
    }
}

fn start(state: &State, new: &StartCommand) -> Decided {
    let task = state.task(new.task).ok_or(Rejection::TaskNotFound)?;
    if task.last_status != TaskStatus::Running || task.desired_status != DesiredStatus::Running {
        return Err(invalid(format!("task {} is not RUNNING", new.task)));
    }
    if task.containers.iter().all(|container| container.name != new.container) {
        return Err(invalid(format!("task {} has no container named {}", new.task, new.container)));
    }
    let allowed = state.allows_commands(new.task);
    if !new.forced && !allowed {
        return Err(invalid(format!(
            "task {} was not started with enableExecuteCommand; an operator may force it",
            new.task
        )));
    }
    let bytes = new.command.iter().map(String::len).fold(new.by.len(), usize::saturating_add);
    if new.command.is_empty() || new.command.len() > COMMAND_WORDS || bytes > COMMAND_BYTES {
        return Err(Rejection::LimitExceeded {
            what: "bytes of a command (and there must be one)".to_owned(),
            limit: COMMAND_BYTES as u64,
        });
    }
    Ok(Decision::one(Event::ExecuteCommand(ExecuteCommandEvent::CommandStarted {
        execution: new.execution,
        task: new.task,
        container: new.container.clone(),
        command: new.command.clone(),
        by: new.by.clone(),
        forced: !allowed,
    })))
}

fn end(over: &EndCommand) -> Decided {
    if over.reason.len() > COMMAND_END_BYTES {
        return Err(invalid("the reason is too long"));
    }
    Ok(Decision::one(Event::ExecuteCommand(ExecuteCommandEvent::CommandEnded {
        execution: over.execution,
        task: over.task,
        container: over.container.clone(),
        exit_code: over.exit_code,
        reason: over.reason.clone(),
    })))
}

/// Tasks that are made so, or whose service is described so, allow commands. In the same entry: none is there without.
pub(super) fn allow(state: &State, asked: bool, mut decision: Decision) -> Decision {
    if state.level() < FeatureLevel::NODE_SERVICES && !asked {
        return decision;
    }
    let made = decision.events.iter().filter_map(|event| match event {
        Event::TaskCreated { task } => Some(task),
        _ => None,
    });
    let allowing = made.filter(|task| match &task.origin {
        TaskOrigin::Standalone => asked,
        TaskOrigin::Service { .. } => {
            task.service().and_then(|key| state.service(&key)).is_some_and(|service| {
                service.spec.described.get(EXECUTE_COMMAND).is_some_and(|json| json == "true")
            })
        }
    });
    let tasks: Vec<TaskId> = allowing.map(|task| task.id).collect();
    if !tasks.is_empty() {
        decision.events.push(Event::ExecuteCommand(ExecuteCommandEvent::TasksAllowCommands { tasks }));
    }
    decision
}
