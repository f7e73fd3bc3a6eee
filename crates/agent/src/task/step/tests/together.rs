//! Containers that need each other, and what is known of their health.

use trireme_rpc::agent;

use super::*;
use crate::runtime::Health;

/// The second of two containers needs the first one so.
fn two(condition: &'static str) -> World {
    let mut world = World::with(&[false, true], vec![Vec::new(), vec![(0, condition)]], false);
    world.advance();
    // Both images, both containers, and the first one's start.
    for _ in 0..5 {
        world.take(Turn::Succeed(0));
    }
    world
}

fn phases(world: &World) -> Vec<Phase> {
    world.machine.members().iter().map(Member::phase).collect()
}

#[test]
fn what_needs_another_to_start_comes_up_after_it_and_goes_down_before_it() {
    let mut world = two("START");
    assert_eq!(phases(&world), [Phase::Running, Phase::Created]);
    world.take(Turn::Succeed(0));
    assert_eq!(world.told, TaskStatus::Running);
    world.take(Turn::Want(Wanted::Stopped));
    world.take(Turn::Succeed(0));
    assert_eq!(phases(&world), [Phase::Running, Phase::Exited]);
    world.take(Turn::Succeed(0));
    assert_eq!(world.told, TaskStatus::Stopped);
}

#[test]
fn what_needs_another_to_complete_waits_for_its_end_however_it_ends() {
    let mut world = two("COMPLETE");
    assert!(world.open.is_empty());
    world.machine.sight_exit("id-c0", Exit { code: Some(3), reason: None }, &Run::default());
    world.engine.containers.insert("id-c0".to_owned(), false);
    world.advance();
    world.take(Turn::Succeed(0));
    assert_eq!((world.told, phases(&world)), (TaskStatus::Running, vec![Phase::Exited, Phase::Running]));
}

#[test]
fn a_task_does_not_start_when_what_was_to_succeed_failed() {
    let mut world = two("SUCCESS");
    world.machine.sight_exit("id-c0", Exit { code: Some(3), reason: None }, &Run::default());
    world.advance();
    let report = world.machine.report();
    assert_eq!((report.status(), report.stop_code()), (TaskStatus::Stopped, StopCode::TaskFailedToStart));
    let reason = "TaskDependencyError: container c1 needs c0 to be SUCCESS, which exited with 3";
    assert_eq!((report.containers[1].reason.as_str(), report.containers[1].exit_code), (reason, None));
}

#[test]
fn what_is_not_in_time_what_others_need_ends_the_task() {
    let mut world = two("SUCCESS");
    assert_eq!(world.machine.take_alarms(), [(0, Duration::from_secs(5))]);
    world.take(Turn::Ring(0));
    world.take(Turn::Succeed(0));
    let report = world.machine.report();
    assert_eq!((report.status(), report.stop_code()), (TaskStatus::Stopped, StopCode::TaskFailedToStart));
    assert!(report.containers[1].reason.ends_with("needs c0 to be SUCCESS, which had 5 s for it"));

    // A start is all that is asked for here: it may take as long as it likes.
    let mut world = two("START");
    assert_eq!(world.machine.take_alarms(), []);
    world.take(Turn::Ring(0));
    world.take(Turn::Succeed(0));
    assert_eq!(world.told, TaskStatus::Running);
}

#[test]
fn time_that_was_up_counts_for_what_changes_later() {
    let needs = vec![Vec::new(), Vec::new(), vec![(0, "HEALTHY"), (1, "COMPLETE")]];
    let mut world = World::with(&[false, false, true], needs, false);
    world.advance();
    // Three images, three containers, two starts.
    for _ in 0..8 {
        world.take(Turn::Succeed(0));
    }
    world.machine.sight_health("id-c0", Health::Healthy, world.tick);
    world.take(Turn::Ring(0));
    assert_eq!(phases(&world), [Phase::Running, Phase::Running, Phase::Created]);
    world.machine.sight_health("id-c0", Health::Unhealthy, world.tick);
    world.advance();
    assert_eq!(world.machine.status(), TaskStatus::Stopping);
}

#[test]
fn a_task_that_waits_tells_how_far_its_containers_are() {
    let mut world = World::with(&[false, true], vec![Vec::new(), vec![(0, "SUCCESS")]], false);
    world.advance();
    for _ in 0..4 {
        world.take(Turn::Succeed(0));
    }
    // Without the world's ears: it would take the news.
    let answer = world.perform(Operation::Start, 0, "id-c0");
    world.machine.answer(0, answer, 1, world.tick);
    let report = world.machine.take_news().unwrap();
    assert_eq!(report.status(), TaskStatus::Pending);
    assert_eq!(report.containers[0].status(), TaskStatus::Running);
}

#[test]
fn what_needs_another_to_be_healthy_waits_for_its_check() {
    let mut world = two("HEALTHY");
    assert!(world.open.is_empty());
    world.machine.sight_health("id-c0", Health::Unhealthy, world.tick);
    world.advance();
    assert!(world.open.is_empty(), "it may become healthy yet");
    world.machine.sight_health("id-c0", Health::Healthy, world.tick);
    world.advance();
    world.take(Turn::Succeed(0));
    assert_eq!(world.told, TaskStatus::Running);
    // Once is enough.
    world.machine.sight_health("id-c0", Health::Unhealthy, world.tick);
    world.advance();
    assert_eq!(phases(&world), [Phase::Running, Phase::Running]);

    let mut world = two("HEALTHY");
    world.machine.sight_exit("id-c0", Exit { code: Some(0), reason: None }, &Run::default());
    world.advance();
    assert_eq!(world.told, TaskStatus::Stopped);
}

#[test]
fn what_a_check_says_is_told_and_an_older_list_does_not_take_it_back() {
    let mut assigned = (*spec(&[true], &Needs::new(), &[], false)).clone();
    assigned.containers[0].settings.insert("healthCheck".to_owned(), "{}".to_owned());
    let mut world = World::new(&[true]);
    world.machine = Machine::new(Arc::new(assigned), &[]);
    world.advance();
    for _ in 0..3 {
        world.take(Turn::Succeed(0));
    }
    assert_eq!(world.machine.report().containers[0].health(), agent::Health::Unknown);
    let begun = world.tick;
    world.tick += 1;
    world.machine.sight_health("id-c0", Health::Healthy, world.tick);
    assert_eq!(world.machine.take_news().unwrap().containers[0].health(), agent::Health::Healthy);

    // The engine's list says nothing of health here.
    world.machine.sight(&world.found(), begun, Duration::ZERO);
    assert!(world.machine.take_news().is_none());
    world.tick += 1;
    world.machine.sight(&world.found(), world.tick, Duration::ZERO);
    assert_eq!(world.machine.take_news().unwrap().containers[0].health(), agent::Health::Unknown);
}
