//! GPUs of machines: who gets which, and when they are free again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::*;
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::capability::GPUS;
use trireme_types::*;

/// The session of a machine that says it has these GPUs.
fn open(
    node: &mut Node,
    instance: Option<ContainerInstanceId>,
    gpus: Option<&str>,
) -> Result<Placement, Rejection> {
    let mut registration = Box::new(registration("agent-1", "us-east-1a"));
    registration.attributes.extend(gpus.map(|gpus| (GPUS.to_owned(), gpus.to_owned())));
    match node.propose(Command::OpenSession { instance, registration })? {
        Outcome::Session { instance, epoch } => Ok(Placement { instance, epoch }),
        other => panic!("{other:?}"),
    }
}

/// A machine with three GPUs, and definitions of one, of two, and of both in one task.
fn ready() -> (Node, Placement) {
    let mut node = Node::at_latest_level();
    let at = open(&mut node, None, Some("GPU-c,GPU-a,GPU-b")).unwrap();
    for (family, gpus) in [("one", &[1][..]), ("two", &[2]), ("both", &[1, 0, 2])] {
        node.propose(register_with_gpus(family, gpus)).unwrap();
    }
    (node, at)
}

fn run(node: &mut Node, family: &str, at: &Placement, count: usize) -> Result<Vec<TaskId>, Rejection> {
    match node.propose(run_tasks(definition(family, 1), vec![at.clone(); count]))? {
        Outcome::Tasks(tasks) => Ok(tasks),
        other => panic!("{other:?}"),
    }
}

fn say(node: &mut Node, at: &Placement, task: TaskId, status: TaskStatus) {
    let reports = vec![report(task, status)];
    node.propose(Command::ReportTasks { instance: at.instance, epoch: at.epoch, reports }).unwrap();
}

/// A task's GPUs, container by container.
fn gpus(node: &Node, task: TaskId) -> Vec<String> {
    let of = |(name, ids): (&ContainerName, &Vec<GpuId>)| format!("{name}={}", gpu::list(ids));
    node.state.task_gpus(task).iter().map(of).collect()
}

#[test]
fn tasks_get_the_first_that_are_free_in_the_machines_order() {
    let (mut node, at) = ready();
    let first = run(&mut node, "one", &at, 2).unwrap();
    assert_eq!(gpus(&node, first[0]), ["c0=GPU-c"]);
    assert_eq!(gpus(&node, first[1]), ["c0=GPU-a"], "two of one command do not share");
    assert!(matches!(run(&mut node, "two", &at, 1), Err(Rejection::Stale { .. })), "one is left");
    say(&mut node, &at, first[0], TaskStatus::Stopped);
    let second = run(&mut node, "two", &at, 1).unwrap();
    assert_eq!(gpus(&node, second[0]), ["c0=GPU-c,GPU-b"]);
    assert_eq!(gpus(&node, first[0]), ["c0=GPU-c"], "what it had is still told");
}

/// A GPU may be broken: the next task tries another one, and goes round when tasks fail with each of them.
#[test]
fn those_with_which_a_task_failed_to_start_come_last() {
    let (mut node, at) = ready();
    for gpu in ["GPU-c", "GPU-a", "GPU-b", "GPU-c"] {
        let task = run(&mut node, "one", &at, 1).unwrap()[0];
        assert_eq!(gpus(&node, task), [format!("c0={gpu}")]);
        node.now = node.now.plus(std::time::Duration::from_secs(1));
        let stop_code = Some(StopCode::TaskFailedToStart);
        let reports = vec![command::TaskReport { stop_code, ..report(task, TaskStatus::Stopped) }];
        node.propose(Command::ReportTasks { instance: at.instance, epoch: at.epoch, reports }).unwrap();
    }
    // All of them are had all the same.
    let both = run(&mut node, "both", &at, 1).unwrap()[0];
    assert_eq!(gpus(&node, both), ["c0=GPU-a", "c2=GPU-b,GPU-c"]);
}

#[test]
fn containers_of_a_task_do_not_share_either() {
    let (mut node, at) = ready();
    let task = run(&mut node, "both", &at, 1).unwrap()[0];
    assert_eq!(gpus(&node, task), ["c0=GPU-c", "c2=GPU-a,GPU-b"]);
    assert!(run(&mut node, "one", &at, 1).is_err());
}

/// A service starts as many of these as fit into one command, each of which has its GPU; the next command starts the rest.
#[test]
fn a_command_that_is_cut_short_tells_the_gpus_of_those_it_makes() {
    let mut node = Node::at_latest_level();
    let ids: Vec<String> = (0..64).map(|number| format!("GPU-{number}")).collect();
    let at = open(&mut node, None, Some(&ids.join(","))).unwrap();
    node.propose(register_with_gpus("one", &[1])).unwrap();
    let long = |number: usize| (format!("key-{number}"), "v".repeat(256));
    let mut create = create_service("web", definition("one", 1), 40);
    if let Command::CreateService { spec, tags, .. } = &mut create {
        *tags = (0..40).map(long).collect();
        spec.propagate_tags = PropagateTags::Service;
    }
    node.propose(create).unwrap();
    let (mut started, mut commands) = (Vec::new(), 0);
    while started.len() < 40 {
        let key = service("web");
        let service = node.state.service(&key).unwrap();
        let (version, deployment) = (service.version, service.deployments[0].id);
        let placements = vec![at.clone(); 40 - started.len()];
        let start = Command::StartServiceTasks { service: key, version, deployment, placements };
        let Outcome::Tasks(tasks) = node.propose(start).unwrap() else { panic!("tasks") };
        started.extend(tasks);
        commands += 1;
    }
    assert!(commands > 1, "all fitted into one command");
    let held: Vec<Vec<String>> = started.iter().map(|task| gpus(&node, *task)).collect();
    let wanted: Vec<Vec<String>> = ids[..40].iter().map(|id| vec![format!("c0={id}")]).collect();
    assert_eq!(held, wanted);
}

#[test]
fn a_task_that_is_being_stopped_holds_them_until_it_is_gone() {
    let (mut node, at) = ready();
    let task = run(&mut node, "both", &at, 1).unwrap()[0];
    node.propose(Command::StopTask { cluster: cluster("default"), task, reason: None }).unwrap();
    say(&mut node, &at, task, TaskStatus::Stopping);
    assert!(matches!(run(&mut node, "one", &at, 1), Err(Rejection::Stale { .. })));
    say(&mut node, &at, task, TaskStatus::Stopped);
    assert_eq!(node.state.index().instance_load(at.instance).gpus.len(), 0);
    run(&mut node, "both", &at, 1).unwrap();
}

#[test]
fn a_lost_machines_gpus_are_free_when_its_agent_is_back_and_not_before() {
    let (mut node, at) = ready();
    let lost = run(&mut node, "both", &at, 1).unwrap()[0];
    let lose = Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason: "silent".to_owned() };
    node.propose(lose).unwrap();
    assert!(run(&mut node, "one", &at, 1).is_err());
    // An agent removes what it is not to run before it begins anything new.
    let back = open(&mut node, Some(at.instance), Some("GPU-a")).unwrap();
    let task = run(&mut node, "one", &back, 1).unwrap()[0];
    assert_eq!((gpus(&node, task), gpus(&node, lost).len()), (vec!["c0=GPU-a".to_owned()], 2));
}

#[test]
fn a_machine_keeps_the_gpus_that_its_tasks_have() {
    let (mut node, at) = ready();
    run(&mut node, "one", &at, 1).unwrap();
    let fewer = open(&mut node, Some(at.instance), Some("GPU-a,GPU-b")).unwrap_err();
    assert!(fewer.to_string().contains("offers less than its tasks hold"), "{fewer}");
    assert!(open(&mut node, Some(at.instance), None).is_err(), "an older agent knows nothing of them");
    open(&mut node, Some(at.instance), Some("GPU-a,GPU-c")).unwrap();
}

#[test]
fn a_list_that_would_give_one_gpu_to_two_tasks_is_refused() {
    let mut node = Node::at_latest_level();
    let twice = open(&mut node, None, Some("GPU-a,GPU-b,GPU-a")).unwrap_err();
    assert!(twice.to_string().contains("GPU-a is listed twice"), "{twice}");
    assert!(open(&mut node, None, Some("GPU a")).is_err());
    open(&mut node, None, Some("")).unwrap();
}

#[test]
fn they_are_forgotten_with_their_task() {
    let (mut node, at) = ready();
    let tasks = run(&mut node, "one", &at, 2).unwrap();
    let bytes = codec::encode_snapshot(&node.state);
    assert_eq!(codec::decode_snapshot(&bytes).unwrap(), node.state);
    say(&mut node, &at, tasks[0], TaskStatus::Stopped);
    node.propose(Command::ReapTasks { tasks: vec![tasks[0]] }).unwrap();
    assert!(gpus(&node, tasks[0]).is_empty());
    node.propose(Command::Reset).unwrap();
    assert!(gpus(&node, tasks[1]).is_empty());
    assert_eq!(node.state.instance(at.instance).unwrap().registration.gpus().len(), 3);
}

#[test]
fn below_their_level_nobody_gets_any() {
    let mut node = Node::new();
    let at = open(&mut node, None, Some("GPU-a")).unwrap();
    node.propose(register_with_gpus("one", &[1])).unwrap();
    let early = run(&mut node, "one", &at, 1);
    assert!(matches!(early, Err(Rejection::FeatureLevel { .. })), "{early:?}");
}
