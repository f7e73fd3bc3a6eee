//! Starts that were given up and are done all the same, before the agent is killed or after it.

use super::*;

/// The oldest open move gets no answer in time, and nothing was done yet.
fn hang(world: &mut World) {
    let (operation, index, _) = world.open.remove(0);
    let answer = World::refuse(operation, FailureKind::Timeout, world.name(index));
    world.tick += 1;
    world.machine.answer(index, answer, world.tick, world.tick);
    world.advance();
}

/// One container whose start was given up. The control plane knows that its task ends.
fn given_up() -> World {
    let mut world = World::new(&[true]);
    world.advance();
    world.take(Turn::Succeed(0));
    world.take(Turn::Succeed(0));
    assert_eq!(world.open[0].0, Operation::Start);
    hang(&mut world);
    assert_eq!(world.told, TaskStatus::Stopping);
    assert_eq!(world.open[0].0, Operation::Stop);
    world
}

fn runs(world: &World) -> bool {
    world.engine.containers.values().any(|runs| *runs)
}

#[test]
fn what_was_given_up_and_runs_is_stopped_by_an_agent_that_is_new() {
    let mut world = given_up();
    world.start("id-c0");
    world.take(Turn::Restart);
    assert_eq!(world.open[0].0, Operation::Stop);
    world.take(Turn::Succeed(0));
    assert_eq!((world.told, runs(&world)), (TaskStatus::Stopped, false));
    world.take(Turn::Acknowledge);
    world.take(Turn::Succeed(0));
    assert!(world.engine.containers.is_empty() && world.engine.starts["id-c0"] == 1);
}

#[test]
fn what_was_given_up_and_runs_later_is_stopped_when_it_is_seen() {
    // Once with the agent that gave it up, which had asked for a stop before it ran, and once with a new one.
    for restart in [false, true] {
        let mut world = given_up();
        if restart {
            world.take(Turn::Restart);
        } else {
            world.take(Turn::Succeed(0));
        }
        assert_eq!(world.told, TaskStatus::Stopped);
        // The runtime goes on where it hung; nobody acknowledges, for the control plane is away.
        world.start("id-c0");
        world.take(Turn::List);
        assert_eq!(world.open[0].0, Operation::Stop, "restart: {restart}");
        // It may fail, and is asked for again.
        world.take(Turn::Fail(0, false));
        world.take(Turn::Succeed(0));
        assert_eq!((world.told, runs(&world)), (TaskStatus::Stopped, false));
        world.take(Turn::List);
        assert!(world.open.is_empty(), "once is enough");
        world.take(Turn::Acknowledge);
        world.take(Turn::Succeed(0));
        assert!(world.engine.containers.is_empty());
    }
}

#[test]
fn what_was_given_up_unheard_comes_up_and_is_started_once() {
    let mut world = World::new(&[true, true]);
    world.advance();
    for _ in 0..4 {
        world.take(Turn::Succeed(0));
    }
    // Nobody was told of it when the agent was killed.
    world.start("id-c0");
    world.take(Turn::Restart);
    assert_eq!(world.open.len(), 1, "only the other one is started");
    world.take(Turn::Succeed(0));
    assert_eq!(world.told, TaskStatus::Running);
    assert!(world.engine.starts.values().all(|starts| *starts == 1));
}

proptest! {
    #[test]
    fn whatever_is_done_late_nothing_runs_of_a_task_that_ends(
        essential in proptest::collection::vec(any::<bool>(), 1..4),
        turns in proptest::collection::vec((turn(), any::<bool>(), any::<usize>()), 0..60),
    ) {
        let mut world = World::new(&essential);
        let mut hung: Vec<String> = Vec::new();
        world.advance();
        for (turn, late, at) in turns {
            if late && world.open.first().is_some_and(|(operation, ..)| *operation == Operation::Start) {
                hung.push(world.open[0].2.clone());
                hang(&mut world);
            } else if late && !hung.is_empty() {
                let id = hung.swap_remove(at % hung.len());
                if !world.engine.starts.contains_key(&id) {
                    world.start(&id);
                }
            } else {
                world.take(turn);
            }
        }
        world.take(Turn::Want(Wanted::Stopped));
        for id in hung {
            if !world.engine.starts.contains_key(&id) {
                world.start(&id);
            }
        }
        for _ in 0..20 {
            world.take(Turn::Succeed(0));
        }
        world.take(Turn::List);
        for _ in 0..20 {
            world.take(Turn::Succeed(0));
        }
        prop_assert!(world.done || world.told == TaskStatus::Stopped, "{:?}", world.told);
        prop_assert!(!runs(&world), "{:?}", world.engine.containers);
    }
}
