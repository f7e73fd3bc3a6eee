//! Tasks that are run where their caller placed them, by rules or without: what rules they were is kept beside them. Strategies and expressions are the placer's; that a group's
//! tasks are on machines of their own is checked here again, for two placers may not know of each other.

use std::collections::BTreeSet;

use trireme_types::ContainerInstanceId;

use super::{Decided, Decision, stale, task};
use crate::command::{Command, Placement};
use crate::event::PlacementEvent;
use crate::object::{ClusterKey, DesiredStatus, Launch, PlacementRules};
use crate::{Event, Outcome, Rejection, Stamp, State};

/// ECS API: characters of a constraint's expression.
const EXPRESSION_CHARACTERS: usize = 2_000;
/// ECS API: constraints of a task.
const CONSTRAINTS: usize = 10;
/// ECS API: strategies of a task.
const STRATEGIES: usize = 5;

/// Runs tasks.
pub(super) fn run(state: &State, command: &Command, launches: &[Launch], stamp: &mut Stamp) -> Decided {
    match command {
        Command::RunTasks(run) => task::run(state, run, None, launches, stamp),
        Command::RunTasksInSubnets { run, network } => task::run(state, run, Some(network), launches, stamp),
        Command::RunTasksByRules { run, rules } => by_rules(state, run, rules, launches, stamp),
        _ => Ok(Decision::nothing()),
    }
}

fn by_rules(
    state: &State,
    command: &Command,
    rules: &PlacementRules,
    launches: &[Launch],
    stamp: &mut Stamp,
) -> Decided {
    check(rules)?;
    let (Command::RunTasks(of) | Command::RunTasksInSubnets { run: of, .. }) = command else {
        return Err(Rejection::Invalid { message: "rules are for tasks that are run".to_owned() });
    };
    if rules.are_distinct() {
        check_distinct(state, &of.cluster, &task::group(of), &of.placements)?;
    }
    let mut decision = run(state, command, launches, stamp)?;
    if let Outcome::Tasks(tasks) = &decision.outcome {
        let (tasks, rules) = (tasks.clone(), Box::new(rules.clone()));
        decision.events.push(Event::Placement(PlacementEvent::TasksPlaced { tasks, rules }));
    }
    Ok(decision)
}

fn check(rules: &PlacementRules) -> Result<(), Rejection> {
    use crate::object::PlacementConstraint::MemberOf;
    let long = |text: &str| text.chars().count() > EXPRESSION_CHARACTERS;
    let long = rules.constraints.iter().any(|one| matches!(one, MemberOf(text) if long(text)));
    if rules.constraints.len() > CONSTRAINTS || rules.strategy.len() > STRATEGIES || long {
        return Err(Rejection::LimitExceeded {
            what: "placement constraints".to_owned(),
            limit: CONSTRAINTS as u64,
        });
    }
    Ok(())
}

/// No two new tasks of a group on one machine, and none where one is that is to stay.
pub(super) fn check_distinct(
    state: &State,
    cluster: &ClusterKey,
    group: &str,
    placements: &[Placement],
) -> Result<(), Rejection> {
    let there = state.tasks_of_group(cluster, group);
    let there = there.iter().filter(|task| task.desired_status == DesiredStatus::Running);
    let mut taken: BTreeSet<ContainerInstanceId> = there.map(|task| task.instance).collect();
    match placements.iter().find(|placement| !taken.insert(placement.instance)) {
        Some(twice) => Err(stale(format!("what of {group} is on container instance {}", twice.instance))),
        None => Ok(()),
    }
}
