//! Rules by which RunTask placed tasks, and tasks by their group.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::*;
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn distinct() -> PlacementRules {
    PlacementRules {
        constraints: vec![PlacementConstraint::DistinctInstance],
        strategy: vec![PlacementStrategy::Random],
    }
}

fn by_rules(run: Command, rules: PlacementRules) -> Command {
    Command::RunTasksByRules { run: Box::new(run), rules: Box::new(rules) }
}

fn run(node: &mut Node, at: &[&Placement], rules: PlacementRules) -> Result<Vec<TaskId>, Rejection> {
    let placements = at.iter().map(|at| (*at).clone()).collect();
    match node.propose(by_rules(run_tasks(definition("web", 1), placements), rules))? {
        Outcome::Tasks(tasks) => Ok(tasks),
        other => panic!("{other:?}"),
    }
}

fn ready() -> (Node, Placement, Placement) {
    let mut node = Node::at_latest_level();
    let (a, b) = (node.open("agent-1", "us-east-1a"), node.open("agent-2", "us-east-1b"));
    node.propose(register("web", None)).unwrap();
    (node, a, b)
}

fn stop(node: &mut Node, at: &Placement, task: TaskId) {
    let reports = vec![report(task, TaskStatus::Stopped)];
    node.propose(Command::ReportTasks { instance: at.instance, epoch: at.epoch, reports }).unwrap();
}

#[test]
fn a_tasks_rules_are_known_until_it_is_forgotten() {
    let (mut node, a, b) = ready();
    let tasks = run(&mut node, &[&a, &b], distinct()).unwrap();
    assert!(tasks.iter().all(|task| *node.state.placement_rules(*task) == distinct()));
    stop(&mut node, &a, tasks[0]);
    assert_eq!(*node.state.placement_rules(tasks[0]), distinct(), "why is asked long afterwards");
    node.propose(Command::ReapTasks { tasks: vec![tasks[0]] }).unwrap();
    assert!(node.state.placement_rules(tasks[0]).is_empty());
    let bytes = codec::encode_snapshot(&node.state);
    assert_eq!(codec::decode_snapshot(&bytes).unwrap(), node.state);
    node.propose(Command::Reset).unwrap();
    assert!(node.state.placement_rules(tasks[1]).is_empty());
}

#[test]
fn two_placers_that_do_not_know_of_each_other_put_no_two_tasks_of_a_group_on_one_machine() {
    let (mut node, a, b) = ready();
    let first = run(&mut node, &[&a], distinct()).unwrap();
    let second = run(&mut node, &[&a], distinct());
    assert!(matches!(second, Err(Rejection::Stale { .. })), "{second:?}");
    assert!(matches!(run(&mut node, &[&b, &b], distinct()), Err(Rejection::Stale { .. })));
    // A task that is to stop no longer counts.
    let (cluster, reason) = (cluster("default"), None);
    node.propose(Command::StopTask { cluster, task: first[0], reason }).unwrap();
    run(&mut node, &[&a], distinct()).unwrap();
}

#[test]
fn a_service_that_is_kept_apart_is_kept_apart_by_the_decider_too() {
    let (mut node, a, b) = ready();
    let Command::CreateService { key, mut spec, tags, created_by } =
        create_service("web", definition("web", 1), 3)
    else {
        unreachable!()
    };
    let json = r#"[{"type":"distinctInstance"}]"#.to_owned();
    spec.described.insert(PLACEMENT_CONSTRAINTS.to_owned(), json);
    node.propose(Command::CreateService { key: key.clone(), spec, tags, created_by }).unwrap();
    let start = |node: &mut Node, at: &[&Placement]| {
        let service = node.state.service(&key).unwrap();
        let (version, deployment) = (service.version, service.deployments[0].id);
        let placements = at.iter().map(|at| (*at).clone()).collect();
        node.propose(Command::StartServiceTasks { service: key.clone(), version, deployment, placements })
    };
    start(&mut node, &[&a]).unwrap();
    assert!(matches!(start(&mut node, &[&b, &a]), Err(Rejection::Stale { .. })));
    start(&mut node, &[&b]).unwrap();
}

#[test]
fn tasks_are_known_by_their_group_until_they_are_stopped() {
    let (mut node, a, b) = ready();
    let default = cluster("default");
    let tasks = run(&mut node, &[&a, &b], PlacementRules::default()).unwrap();
    let of_group = |node: &Node, group: &str| -> Vec<TaskId> {
        node.state.tasks_of_group(&default, group).iter().map(|task| task.id).collect()
    };
    assert_eq!(of_group(&node, "family:web").len(), 2);
    assert_eq!(of_group(&node, "family:we").len(), 0);
    stop(&mut node, &a, tasks[0]);
    assert_eq!(of_group(&node, "family:web"), [tasks[1]]);
    node.propose(create_service("web", definition("web", 1), 0)).unwrap();
    let names: Vec<String> = node.state.groups_of_cluster(&default).collect();
    assert_eq!(names, ["service:web", "family:web"]);
}

#[test]
fn rules_are_for_tasks_that_are_run_and_of_their_level() {
    let (mut node, a, _) = ready();
    let nested = by_rules(by_rules(Command::Reset, distinct()), distinct());
    assert!(node.propose(nested).is_err());
    assert!(node.propose(by_rules(Command::Reset, distinct())).is_err());
    let many = PlacementRules {
        constraints: vec![PlacementConstraint::DistinctInstance; 11],
        ..PlacementRules::default()
    };
    assert!(matches!(run(&mut node, &[&a], many), Err(Rejection::LimitExceeded { .. })));
    let allowing = by_rules(run_tasks(definition("web", 1), vec![a.clone()]), distinct());
    assert_eq!(allowing.level(), FeatureLevel::SERVICES);
    let ran = node.propose(Command::RunAllowingCommands(Box::new(allowing))).unwrap();
    let Outcome::Tasks(tasks) = ran else { panic!("{ran:?}") };
    assert!(node.state.allows_commands(tasks[0]));
    assert_eq!(*node.state.placement_rules(tasks[0]), distinct());

    let mut spec = spec_of("web");
    assert_eq!(query::settings_level(&spec), FeatureLevel::FIRST);
    let json = r#"[{"type":"memberOf","expression":"attribute:disk == ssd"}]"#.to_owned();
    spec.described.insert(PLACEMENT_CONSTRAINTS.to_owned(), json);
    assert_eq!(query::settings_level(&spec), FeatureLevel::SERVICES);
}

fn spec_of(family: &str) -> TaskDefinitionSpec {
    let Command::RegisterTaskDefinition { spec, .. } = register(family, None) else { unreachable!() };
    (*spec).clone()
}
