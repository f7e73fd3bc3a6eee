//! Containers that come again in place.

use super::*;

/// One essential container with a policy, running.
fn one() -> World {
    let mut world = World::again(&[true], Needs::new(), &[true], false);
    world.advance();
    for _ in 0..3 {
        world.take(Turn::Succeed(0));
    }
    assert_eq!(world.told, TaskStatus::Running);
    world
}

fn restarts(world: &World) -> Vec<(&str, u32)> {
    world.machine.restarts().collect()
}

/// An even number ends it with 1, an odd one with 0.
const FAILS: Turn = Turn::Exit(0, true);
const ENDS_WELL: Turn = Turn::Exit(1, true);

#[test]
fn a_container_that_was_up_long_enough_comes_again_and_its_task_stays() {
    let mut world = one();
    for count in 1..=2_u32 {
        world.take(Turn::Pass(60));
        world.take(FAILS);
        assert_eq!(world.open[0].0, Operation::Restart);
        assert_eq!(world.machine.members()[0].phase(), Phase::Running, "it runs all the while");
        world.take(Turn::List);
        world.take(Turn::HearAgain(count as usize - 1));
        world.take(Turn::Succeed(0));
        assert_eq!((world.told, restarts(&world)), (TaskStatus::Running, vec![("c0", count)]));
    }
    assert_eq!(world.machine.report().containers[0].exit_code, None);
    world.take(Turn::Pass(59));
    world.take(FAILS);
    let report = world.machine.report();
    assert_eq!(report.stop_code(), StopCode::EssentialContainerExited, "it was not up for long enough");
    assert_eq!(report.containers[0].exit_code, Some(1));
}

#[test]
fn an_ignored_code_and_a_stop_end_it() {
    let mut world = one();
    world.take(Turn::Pass(60));
    world.take(ENDS_WELL);
    assert_eq!(world.told, TaskStatus::Stopped);

    let mut world = one();
    world.take(Turn::Pass(60));
    world.take(Turn::Want(Wanted::Stopped));
    world.take(FAILS);
    assert_eq!((world.told, world.restarts), (TaskStatus::Stopped, 0));
}

#[test]
fn a_stop_before_it_came_again_leaves_it_ended_and_one_after_stops_it() {
    let mut world = one();
    world.take(Turn::Pass(60));
    world.take(FAILS);
    world.take(Turn::Want(Wanted::Stopped));
    assert_eq!(world.told, TaskStatus::Stopping, "the restart is under way");
    world.take(Turn::Succeed(0));
    assert_eq!(world.open[0].0, Operation::Stop);
    world.take(Turn::Succeed(0));
    assert_eq!(world.told, TaskStatus::Stopped);
    assert_eq!(world.machine.report().containers[0].exit_code, Some(143));
}

#[test]
fn an_end_that_is_heard_before_the_answer_to_the_restart_counts() {
    let mut world = one();
    world.take(Turn::Pass(60));
    world.take(FAILS);
    let (operation, index, id) = world.open.remove(0);
    let answer = world.perform(operation, index, &id);
    world.take(FAILS);
    world.machine.answer(index, answer, 1, world.tick);
    world.advance();
    assert_eq!(world.told, TaskStatus::Stopped, "it ended at once");
}

#[test]
fn a_restart_that_fails_ends_the_container() {
    let mut world = one();
    world.take(Turn::Pass(60));
    world.take(FAILS);
    world.take(Turn::Fail(0, false));
    let report = world.machine.report();
    assert_eq!((report.status(), report.containers[0].exit_code), (TaskStatus::Stopped, Some(1)));
    assert!(report.containers[0].reason.contains("said the runtime"), "{}", report.containers[0].reason);
}

#[test]
fn what_ended_while_there_was_no_agent_comes_again() {
    let mut world = one();
    world.machine.remember_restarts([(&"c0".to_owned(), &4)]);
    world.take(Turn::Pass(60));
    world.take(Turn::Exit(0, false));
    world.take(Turn::Restart);
    world.machine.remember_restarts([(&"c0".to_owned(), &4)]);
    world.take(Turn::Succeed(0));
    assert_eq!((world.told, restarts(&world)), (TaskStatus::Running, vec![("c0", 5)]));
    // How long it is up counts on while there is no agent.
    world.take(Turn::Pass(60));
    world.take(Turn::Restart);
    world.take(FAILS);
    world.take(Turn::Succeed(0));
    assert_eq!((world.told, world.restarts), (TaskStatus::Running, 2));
}

#[test]
fn what_others_wait_for_is_complete_when_it_does_not_come_again() {
    let needs = vec![Vec::new(), vec![(0, "COMPLETE")]];
    let mut world = World::again(&[false, true], needs, &[true, false], false);
    world.advance();
    for _ in 0..5 {
        world.take(Turn::Succeed(0));
    }
    world.take(Turn::Pass(60));
    world.take(FAILS);
    world.take(Turn::Succeed(0));
    assert_eq!((world.restarts, world.open.len()), (1, 0), "it came again, and the other one waits on");
    world.take(FAILS);
    world.take(Turn::Succeed(0));
    assert_eq!(world.told, TaskStatus::Running);
}

#[test]
fn a_clock_that_jumps_makes_no_run_longer_or_shorter_than_it_was_seen_to_be() {
    let end = |world: &mut World, lasted: Duration| {
        let run = Run { lasted: Some(lasted), ..world.run("id-c0") };
        world.engine.containers.insert("id-c0".to_owned(), false);
        world.engine.codes.insert("id-c0".to_owned(), 1);
        world.machine.sight_exit("id-c0", Exit { code: Some(1), reason: None }, &run);
        world.advance();
    };
    // An hour back: by its times it ended before it began.
    let mut world = one();
    world.take(Turn::Pass(60));
    world.take(Turn::List);
    world.take(Turn::Pass(7));
    end(&mut world, Duration::ZERO);
    world.take(Turn::Succeed(0));
    assert_eq!((world.told, restarts(&world)), (TaskStatus::Running, vec![("c0", 1)]));
    // Nor does the run before it count for the next one; and an hour ahead does not make it long enough.
    world.take(Turn::Pass(7));
    world.take(Turn::List);
    end(&mut world, Duration::from_secs(3_607));
    assert_eq!(world.told, TaskStatus::Stopped);
    // Without a jump the time counts at which it ended, not that at which it was heard.
    let mut world = one();
    world.take(Turn::Pass(7));
    world.take(Turn::List);
    world.take(Turn::Pass(60));
    end(&mut world, Duration::from_secs(8));
    assert_eq!(world.told, TaskStatus::Stopped);
}
