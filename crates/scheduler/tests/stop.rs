//! Scale-in: which tasks stop first.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use proptest::prelude::*;
use support::world::{add_task, give, state_of};
use support::*;
use trireme_scheduler::choose_to_stop;
use trireme_state::State;
use trireme_state::object::*;
use trireme_types::TaskId;

fn ids(chosen: &[TaskId]) -> Vec<u128> {
    chosen.iter().map(|id| id.bits()).collect()
}

fn spread(attribute: &str) -> PlacementStrategy {
    PlacementStrategy::Spread(SpreadField::Attribute(attribute.to_owned()))
}

/// Six nodes in three zones and two racks, of different sizes, with these tasks.
fn state_with(tasks: &[Task]) -> State {
    let nodes: Vec<ContainerInstance> = (0..6_u32)
        .map(|number| {
            node(u128::from(number), ZONES[(number % 3) as usize], 9_000 + number, 9_000 - 100 * number)
        })
        .collect();
    let mut state = state_of(nodes.iter());
    (0..5).for_each(|number| give(&mut state, id(number), "rack", ["r1", "r2"][(number % 2) as usize]));
    tasks.iter().for_each(|task| add_task(&mut state, task.clone()));
    state
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
    // The machines are gone: where they were is known from the tasks.
    let state = State::new();
    let stop = |count| ids(&choose_to_stop(&state, &[], tasks.iter(), count, |_| true));
    assert_eq!(stop(1), [2], "zone a has 3, node 1 has 2, 2 is newer");
    assert_eq!(stop(2), [2, 4], "of four equal nodes: pending, newest");
    assert_eq!(stop(9).len(), 5, "no more than there are");
}

#[test]
fn those_that_may_not_stop_crowd_and_stay() {
    let tasks = [
        task(1, ZONES[0], 0, TaskStatus::Running, 1),
        task(2, ZONES[0], 3, TaskStatus::Running, 2),
        task(3, ZONES[0], 3, TaskStatus::Running, 3),
        task(4, ZONES[1], 1, TaskStatus::Running, 4),
    ];
    let state = state_with(&tasks);
    let stop = |count| ids(&choose_to_stop(&state, &[], tasks.iter(), count, |task| task.id.bits() < 2));
    assert_eq!(stop(3), [1], "of the crowded zone the only one that may");
    let stop = |count| ids(&choose_to_stop(&state, &[], tasks.iter(), count, |task| task.id.bits() != 3));
    assert_eq!(stop(9), [2, 1, 4]);
}

#[test]
fn a_rack_is_relieved_and_a_packed_service_leaves_its_emptiest_node() {
    let tasks = [
        task(1, ZONES[0], 0, TaskStatus::Running, 1),
        task(2, ZONES[1], 1, TaskStatus::Running, 2),
        task(3, ZONES[0], 3, TaskStatus::Running, 3),
        task(4, ZONES[2], 5, TaskStatus::Running, 4),
    ];
    let state = state_with(&tasks);
    let stop = |strategy: &[PlacementStrategy], count| {
        ids(&choose_to_stop(&state, strategy, tasks.iter(), count, |_| true))
    };
    assert_eq!(stop(&[spread("rack")], 1), [3], "r2 has two");
    assert_eq!(stop(&[PlacementStrategy::Binpack(BinpackField::Memory)], 2), [1, 2], "node 0 has most left");
    assert_eq!(stop(&[PlacementStrategy::Binpack(BinpackField::Cpu)], 2), [4, 3], "node 5 has most left");
    let drawn = stop(&[PlacementStrategy::Random], 4);
    assert_eq!(drawn, stop(&[PlacementStrategy::Random], 4));
}

fn any_tasks() -> impl Strategy<Value = Vec<Task>> {
    prop::collection::vec((0..6_u128, any::<bool>(), 0..9_u64, 0..200_u32), 0..40).prop_map(|shapes| {
        (1_u128..)
            .zip(shapes)
            .map(|(number, (node, running, created, memory))| {
                let status = if running { TaskStatus::Running } else { TaskStatus::Pending };
                let mut made = task(number, ZONES[(node % 3) as usize], node, status, created);
                made.reservation = reservation(memory / 2, memory, &[]);
                made
            })
            .collect()
    })
}

fn any_strategy() -> impl Strategy<Value = Vec<PlacementStrategy>> {
    let one = prop::sample::select(vec![
        spread("ecs.availability-zone"),
        spread("rack"),
        PlacementStrategy::Spread(SpreadField::InstanceId),
        PlacementStrategy::Binpack(BinpackField::Cpu),
        PlacementStrategy::Binpack(BinpackField::Memory),
    ]);
    prop::collection::vec(one, 0..4)
}

/// The obvious way: look at all tasks for each choice.
fn choose_slowly(
    state: &State,
    strategy: &[PlacementStrategy],
    tasks: &[Task],
    count: usize,
    may_stop: impl Fn(&Task) -> bool,
) -> Vec<TaskId> {
    let zones = [spread("ecs.availability-zone")];
    let strategy = if strategy.is_empty() { &zones } else { strategy };
    let mut left: Vec<&Task> = tasks.iter().collect();
    let mut chosen = Vec::new();
    while chosen.len() < count {
        let rank = |task: &Task| {
            let node = state.instance(task.instance).unwrap();
            let held = |of: fn(&Reservation) -> u32| -> u64 {
                left.iter()
                    .filter(|one| one.instance == node.id)
                    .map(|one| u64::from(of(&one.reservation)))
                    .sum()
            };
            let all = &node.registration.resources;
            let on_node = left.iter().filter(|one| one.instance == node.id).count() as u64;
            let (mut rank, mut fields) = (Vec::new(), Vec::new());
            for one in strategy {
                rank.push(match one {
                    PlacementStrategy::Spread(SpreadField::Attribute(name)) => {
                        fields.push(name);
                        let value = |task: &Task| {
                            let node = state.instance(task.instance).unwrap();
                            fields.iter().map(|field| state.attribute(node, field)).collect::<Vec<_>>()
                        };
                        left.iter().filter(|one| value(one) == value(task)).count() as u64
                    }
                    PlacementStrategy::Spread(SpreadField::InstanceId) => on_node,
                    PlacementStrategy::Binpack(BinpackField::Cpu) => {
                        u64::from(all.cpu.get()) - held(|one| one.cpu.get())
                    }
                    _ => u64::from(all.memory.get()) - held(|one| one.memory.get()),
                });
            }
            rank.push(on_node);
            (rank, task.last_status < TaskStatus::Running, task.times.created_at, task.id)
        };
        let next = left.iter().filter(|task| may_stop(task)).max_by_key(|task| rank(task));
        let Some(next) = next.map(|task| task.id) else { break };
        left.retain(|task| task.id != next);
        chosen.push(next);
    }
    chosen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_way_gives_what_the_slow_way_gives(
        tasks in any_tasks(), strategy in any_strategy(), count in 0..45_usize, protected in 1..9_u128,
    ) {
        let state = state_with(&tasks);
        let may_stop = |task: &Task| task.id.bits() % protected != 1;
        let fast = choose_to_stop(&state, &strategy, tasks.iter(), count, may_stop);
        prop_assert_eq!(fast, choose_slowly(&state, &strategy, &tasks, count, may_stop));
    }
}
