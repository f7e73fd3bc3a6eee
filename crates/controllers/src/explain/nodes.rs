//! What each machine of a cluster says to one task more.

use std::cmp::Reverse;
use std::sync::Arc;

use trireme_scheduler::{Answer, NodeAnswer, Nodes, Request, explain_all};
use trireme_state::State;
use trireme_state::object::{ClusterKey, Task};
use trireme_types::Timestamp;

use crate::unit::Unit;

/// What all machines say to one task more of a unit. `unstarted` are tasks that failed to start where they were: they count as if they
/// were there still. Of a daemon only those answer that are to have a task of it and have none. `None` when there is nothing to make it
/// from.
pub fn of_unit(
    view: &State,
    unit: &Unit<'_>,
    unstarted: &[Arc<Task>],
    now: Timestamp,
) -> Option<Vec<NodeAnswer>> {
    let tasks = view.tasks_of_service(&unit.service.key);
    let held: Vec<&Arc<Task>> = tasks.iter().filter(|task| unit.holds(view, task)).collect();
    let there = held.iter().copied().chain(unstarted);
    let request = unit.request(view, there.map(|task| &**task), 1, now)?;
    let mut all = answers(view, &unit.machines(), &request);
    if unit.seats.is_some() {
        let empty = unit.empty_seats(&held);
        all.retain(|node| empty.contains(&node.instance));
        all.iter_mut().for_each(|node| node.chosen = matches!(node.answer, Answer::Scored(_)));
    }
    Some(all)
}

/// What all machines of a cluster say, the chosen one first, then those that would do, then those that would not: those that came closest
/// in front.
pub fn answers(view: &State, cluster: &ClusterKey, request: &Request) -> Vec<NodeAnswer> {
    let mut answers = explain_all(&mut Nodes::of_cluster(view, cluster), request);
    answers.sort_by(|one, other| rank(one).cmp(&rank(other)));
    answers
}

/// Lower is in front: the chosen one, then most filters passed, then least missing.
fn rank(answer: &NodeAnswer) -> (bool, Reverse<usize>, u32, &str) {
    let (passed, short) = match &answer.answer {
        Answer::Refused { passed, refusal } => (*passed, refusal.shortfall()),
        Answer::Scored(_) => (usize::MAX, 0),
    };
    (!answer.chosen, Reverse(passed), short, &answer.name)
}
