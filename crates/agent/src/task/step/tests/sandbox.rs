//! What holds the namespaces that containers share.

use super::*;
use crate::runtime::Owner;
use crate::task::run::Order;

/// A task with a network namespace of its own, RUNNING.
fn with_network() -> World {
    let mut world = World::with(&[true], Needs::new(), true);
    world.advance();
    let waiting: Vec<Operation> = world.open.iter().map(|(operation, ..)| *operation).collect();
    assert_eq!(waiting, [Operation::Open, Operation::Pull], "the image is fetched meanwhile");
    world.take(Turn::Succeed(1));
    assert_eq!(world.open.len(), 1, "it is not made before its network is there");
    world.take(Turn::Succeed(0));
    world.take(Turn::Succeed(0));
    world.take(Turn::Succeed(0));
    assert_eq!(world.told, TaskStatus::Running);
    world
}

#[test]
fn a_tasks_network_is_there_first_and_goes_last() {
    let mut world = with_network();
    world.take(Turn::Want(Wanted::Stopped));
    world.take(Turn::Succeed(0));
    assert_eq!((world.told, world.engine.sandbox), (TaskStatus::Deprovisioning, Some(true)));
    world.take(Turn::Succeed(0));
    assert_eq!((world.told, world.engine.sandbox), (TaskStatus::Stopped, None));
    world.take(Turn::Acknowledge);
    world.take(Turn::Succeed(0));
    world.take(Turn::Succeed(0));
    assert!(world.done);
}

#[test]
fn a_task_stops_when_its_network_ends() {
    let mut world = with_network();
    world.take(Turn::SandboxEnds(false, true));
    let report = world.machine.report();
    assert_eq!(report.stop_code(), StopCode::EssentialContainerExited);
    assert!(report.stopped_reason.contains("namespaces"), "{}", report.stopped_reason);
    assert_eq!(world.open[0].0, Operation::Stop);
}

#[test]
fn an_agent_that_comes_back_keeps_the_network_that_it_finds() {
    let mut world = with_network();
    world.take(Turn::Restart);
    assert_eq!(world.machine.status(), TaskStatus::Running);
    assert!(world.open.is_empty(), "{:?}", world.open);
    world.engine.sandbox = None;
    world.take(Turn::Restart);
    assert_eq!(world.open[0].0, Operation::Stop, "without it the containers reach nobody");
}

#[test]
fn what_is_left_of_a_task_that_nobody_knows_may_be_what_held_its_network() {
    let mut world = with_network();
    let sandbox: Vec<Found> = world.found().into_iter().filter(|found| found.name == SANDBOX).collect();
    world.machine = Machine::stray("t".to_owned(), &sandbox);
    let Move::Do(Operation::Close, index) = world.machine.step(1, 1) else { panic!("it goes") };
    let task = trireme_types::TaskId::from_bits(1);
    let order = Order::new(&world.machine, &Arc::new(Owner::default()), task, Operation::Close, index);
    assert!(format!("{order:?}").contains(SANDBOX_ID), "{order:?}");
}

/// Agents before had one of the containers hold what all of them share.
#[test]
fn a_task_that_was_started_without_a_sandbox_goes_on_without_one() {
    let mut task = (*spec(&[true, false], &Needs::new(), &[], false)).clone();
    task.settings.insert("pidMode".to_owned(), "\"task\"".to_owned());
    task.known_status = TaskStatus::Running.into();
    let runs = |name: &str| Found {
        id: format!("id-{name}"),
        task: None,
        name: name.to_owned(),
        digest: String::new(),
        state: FoundState::Running(Started::default()),
        run: Run::default(),
    };
    let mut machine = Machine::new(Arc::new(task.clone()), &[runs("c0"), runs("c1")]);
    assert!(matches!(machine.step(1, 1), Move::Wait));
    assert_eq!(machine.status(), TaskStatus::Running);

    let sandbox = Found { state: FoundState::Exited(Exit::default()), ..runs(SANDBOX) };
    let mut machine = Machine::new(Arc::new(task), &[runs("c0"), runs("c1"), sandbox]);
    assert!(matches!(machine.step(1, 1), Move::Do(Operation::Stop, _)), "what it had is no more");
}
