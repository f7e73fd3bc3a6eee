//! Tasks that wait for a machine: the ones that have waited longest are placed first.

use std::sync::Arc;

use trireme_scheduler::{Group, Request, Wanted, place_on};
use trireme_state::command::CapacityCommand;
use trireme_state::object::{PlacementRules, WaitingRun};
use trireme_state::{Command, State};
use trireme_types::{TaskId, Timestamp};

use super::{CapacityController, Copies, copy};
use crate::driver::Plan;

/// Tasks placed in one pass; the next one goes on.
const PLACED: usize = 200;
/// Tasks given up, or forgotten, in one command.
const BATCH: usize = 500;

/// What is done with them. Gives those that found no place, with what they ask of it.
pub(super) fn plan<'v>(
    of: &CapacityController,
    view: &'v State,
    now: Timestamp,
    copies: &mut Copies,
    plan: &mut Plan,
) -> Vec<(&'v Arc<WaitingRun>, Request)> {
    let mut runs: Vec<&Arc<WaitingRun>> = Vec::new();
    let (mut late, mut old): (Vec<TaskId>, Vec<TaskId>) = (Vec::new(), Vec::new());
    for run in view.waiting_runs() {
        let (due, list) = match &run.end {
            Some(end) => (end.at.plus(of.kept), &mut old),
            None => (run.created_at.plus(of.patience), &mut late),
        };
        if due <= now {
            list.push(run.id);
            continue;
        }
        plan.wake(due);
        if run.end.is_none() {
            runs.push(run);
        }
    }
    runs.sort_by_key(|run| (run.created_at, run.id));
    let (mut placed, mut without) = (0_usize, Vec::new());
    for run in runs {
        let Some(request) = request(view, run, now) else { continue };
        let found = place_on(copy(copies, view, &run.cluster), &request).placements.pop();
        match found {
            Some(placement) if placed < PLACED => {
                placed = placed.saturating_add(1);
                let command = CapacityCommand::PlaceWaitingRun { task: run.id, placement };
                plan.commands.push(Command::Capacity(Box::new(command)));
            }
            Some(_) => plan.wake(now),
            None => without.push((run, request)),
        }
    }
    if placed > 0 {
        plan.report.say(format!("places {placed} tasks that waited"));
    }
    end(late, old, plan);
    without
}

fn end(late: Vec<TaskId>, old: Vec<TaskId>, plan: &mut Plan) {
    if !late.is_empty() {
        plan.report.say(format!("gives up {} tasks that waited for a machine", late.len()));
    }
    let given_up = late.chunks(BATCH).map(|tasks| CapacityCommand::GiveUpWaitingRuns {
        tasks: tasks.to_vec(),
        reason: "Task failed to start: the capacity provider had no container instance for it in time"
            .to_owned(),
    });
    let forgotten =
        old.chunks(BATCH).map(|tasks| CapacityCommand::ForgetWaitingRuns { tasks: tasks.to_vec() });
    let commands = given_up.chain(forgotten).map(|command| Command::Capacity(Box::new(command)));
    plan.commands.extend(commands);
}

/// What it asks of its machine; `None` when what it is made from is gone.
fn request(view: &State, run: &WaitingRun, now: Timestamp) -> Option<Request> {
    let spec = &view.task_definition(&run.definition)?.spec;
    let scope = &run.cluster.scope;
    let free = |subnet: &trireme_state::object::Subnet| view.free_addresses(subnet, now);
    let wanted = Wanted::of(spec, &run.overrides).in_subnets(view, scope, spec, run.network.as_ref(), free);
    let group = if run.rules.strategy.is_empty() {
        Group::among_all(run.group.clone())
    } else {
        let tasks = view.tasks_of_group(&run.cluster, &run.group);
        Group::of_tasks(run.group.clone(), tasks.iter().map(AsRef::as_ref).filter(|task| task.wanted()))
    };
    Some(Request {
        wanted: wanted.launched(view, &run.cluster, Some(&run.launch)),
        group,
        rules: run.rules.clone().and(PlacementRules::of_definition(&spec.described)),
        count: 1,
    })
}
