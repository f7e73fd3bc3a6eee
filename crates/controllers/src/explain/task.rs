//! Why a task is where it is: what each machine said just before it was placed.

use trireme_scheduler::{Group, NodeAnswer, Request, Wanted};
use trireme_state::State;
use trireme_state::object::{Launch, PlacementRules, Task};

use super::nodes::{answers, of_unit};
use crate::service;
use crate::unit::Unit;

/// What each machine said to `task`, given the state just before it was placed, and by what rules and on what RunTask placed it, if it did.
/// None when what it was made from is not there.
pub fn placement(
    before: &State,
    task: &Task,
    (rules, launch): (&PlacementRules, Option<&Launch>),
) -> Option<Vec<NodeAnswer>> {
    let now = task.times.created_at;
    if let Some(key) = task.service() {
        let service = before.service(&key)?;
        let units = Unit::of_service(before, service);
        let unit = units.iter().find(|unit| task.deployment() == Some(unit.id()))?;
        return of_unit(before, unit, &service::unstarted(before, unit, now), now);
    }
    let spec = &before.task_definition(&task.definition)?.spec;
    let group = if rules.strategy.is_empty() {
        Group::among_all(&task.group)
    } else {
        let tasks = before.tasks_of_group(&task.cluster, &task.group);
        Group::of_tasks(&task.group, tasks.iter().map(AsRef::as_ref).filter(|task| task.wanted()))
    };
    let rules = rules.clone().and(PlacementRules::of_definition(&spec.described));
    let wanted = Wanted::of(spec, &task.overrides).launched(before, &task.cluster, launch);
    let request = Request { wanted, group, rules, count: 1 };
    Some(answers(before, &Launch::machines(launch, &task.cluster), &request))
}
