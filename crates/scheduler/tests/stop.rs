//! Scale-in: which tasks stop first.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use support::*;
use trireme_scheduler::choose_to_stop;
use trireme_state::object::{Task, TaskStatus};
use trireme_types::TaskId;

fn ids(chosen: &[TaskId]) -> Vec<u128> {
    chosen.iter().map(|id| id.bits()).collect()
}

#[test]
fn the_crowded_zone_goes_first_then_the_crowded_node_then_what_does_not_run_then_the_newest() {
    let tasks = [
        task(1, ZONES[0], 1, TaskStatus::Running, 1),
        task(2, ZONES[0], 1, TaskStatus::Running, 2),
        task(3, ZONES[0], 2, TaskStatus::Pending, 3),
        task(4, ZONES[1], 3, TaskStatus::Pending, 4),
        task(5, ZONES[1], 4, TaskStatus::Running, 9),
    ];
    assert_eq!(ids(&choose_to_stop(tasks.iter(), 1)), [2], "zone a has 3, node 1 has 2, 2 is newer");
    assert_eq!(ids(&choose_to_stop(tasks.iter(), 2)), [2, 4], "of four equal nodes: pending, newest");
    assert_eq!(ids(&choose_to_stop(tasks.iter(), 9)).len(), 5, "no more than there are");
}

fn any_tasks() -> impl Strategy<Value = Vec<Task>> {
    prop::collection::vec((0..6_u128, any::<bool>(), 0..9_u64), 0..40).prop_map(|shapes| {
        (1_u128..)
            .zip(shapes)
            .map(|(number, (node, running, created))| {
                let status = if running { TaskStatus::Running } else { TaskStatus::Pending };
                task(number, ZONES[(node % 3) as usize], node, status, created)
            })
            .collect()
    })
}

/// The obvious way: look at all tasks for each choice.
fn choose_slowly(tasks: &[Task], count: usize) -> Vec<TaskId> {
    let mut left: Vec<&Task> = tasks.iter().collect();
    let mut chosen = Vec::new();
    for _ in 0..count {
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        for task in &left {
            *zones.entry(task.zone.as_str()).or_default() += 1;
            *nodes.entry(task.instance).or_insert(0_usize) += 1;
        }
        let next = left.iter().max_by_key(|task| {
            let idle = task.last_status < TaskStatus::Running;
            (zones[task.zone.as_str()], nodes[&task.instance], idle, task.times.created_at, task.id)
        });
        let Some(next) = next.map(|task| task.id) else { break };
        left.retain(|task| task.id != next);
        chosen.push(next);
    }
    chosen
}

proptest! {
    #[test]
    fn the_fast_way_gives_what_the_slow_way_gives(tasks in any_tasks(), count in 0..45_usize) {
        prop_assert_eq!(choose_to_stop(tasks.iter(), count), choose_slowly(&tasks, count));
    }
}
