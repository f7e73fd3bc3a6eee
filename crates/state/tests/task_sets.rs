//! Services whose deployments are task sets: what their users may do with them, and what is refused, told as short stories.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;
use trireme_state::command::{Command, ServiceChange, TaggedResource, TaskSetProgress};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn scale(percent: f64) -> Scale {
    Scale::from_percent(percent).unwrap()
}

fn create_external(desired: u32) -> Command {
    Command::CreateServiceWithTaskSets {
        key: service("web"),
        spec: spec(TaskDefinitionKey::none(&Scope::development()), desired),
        tags: Tags::new(),
        created_by: "arn:aws:iam::123456789012:root".to_owned(),
    }
}

fn create_set(revision: u32, percent: f64) -> Command {
    let spec = TaskSetSpec {
        task_definition: definition("web", revision),
        scale: scale(percent),
        external_id: Some("release-7".to_owned()),
        described: Described::from([("loadBalancers".to_owned(), format!("[{revision}]"))]),
    };
    Command::CreateTaskSet { service: service("web"), spec: Box::new(spec), tags: Tags::new() }
}

fn made(outcome: Outcome) -> DeploymentId {
    let Outcome::TaskSet(key, id) = outcome else { panic!("{outcome:?}") };
    assert_eq!(key, service("web"));
    id
}

/// A service of four tasks with two sets, of the first and the second revision.
fn ready() -> (Node, Placement, [DeploymentId; 2]) {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    for _ in 0..2 {
        node.propose(register("web", None)).unwrap();
    }
    node.propose(create_external(4)).unwrap();
    let sets = [(1, 50.0), (2, 0.0)]
        .map(|(revision, percent)| made(node.propose(create_set(revision, percent)).unwrap()));
    (node, at, sets)
}

fn set(node: &Node, id: DeploymentId) -> TaskSet {
    node.state.task_sets(&service("web")).unwrap().set(id).unwrap().clone()
}

fn version(node: &Node) -> u64 {
    node.state.service(&service("web")).unwrap().version
}

fn start(node: &mut Node, id: DeploymentId, at: &Placement, count: usize) -> Result<Outcome, Rejection> {
    let version = version(node);
    let placements = vec![at.clone(); count];
    node.propose(Command::StartServiceTasks { service: service("web"), version, deployment: id, placements })
}

fn progress(id: DeploymentId) -> TaskSetProgress {
    TaskSetProgress { id, back_off: None, steady: None, gone: false, events: Vec::new() }
}

fn record(node: &mut Node, progress: TaskSetProgress) -> Result<Outcome, Rejection> {
    let version = version(node);
    let (sets, events) = (vec![progress], Vec::new());
    node.propose(Command::RecordTaskSets { service: service("web"), version, sets, steady: None, events })
}

#[test]
fn the_primary_set_says_what_the_service_is_made_from() {
    let (mut node, _, [first, second]) = ready();
    let made_from = |node: &Node| {
        let spec = node.state.service(&service("web")).unwrap().spec.clone();
        (spec.task_definition, spec.described.get("loadBalancers").cloned())
    };
    let none = TaskDefinitionKey::none(&Scope::development());
    assert_eq!(made_from(&node), (none.clone(), None), "there is no primary yet");
    let choose = |id| Command::SetPrimaryTaskSet { service: service("web"), id };
    for (id, revision) in [(first, 1), (second, 2)] {
        node.propose(choose(id)).unwrap();
        let balancers = Some(format!("[{revision}]"));
        assert_eq!(made_from(&node), (definition("web", revision), balancers));
        assert_eq!(set(&node, id).status, TaskSetStatus::Primary);
    }
    assert_eq!(set(&node, first).status, TaskSetStatus::Active, "one is primary");

    let before = node.state.position();
    node.propose(choose(second)).unwrap();
    assert_eq!(node.state.position(), before, "it is already");
    let delete = |force| Command::DeleteTaskSet { service: service("web"), id: second, force };
    assert_eq!(node.propose(delete(false)), Err(Rejection::PrimaryTaskSet));
    node.propose(delete(true)).unwrap();
    assert_eq!(made_from(&node), (none, None), "none is primary any more");
    assert_eq!(node.propose(choose(second)), Err(Rejection::TaskSetDraining));
}

#[test]
fn a_set_keeps_its_part_of_the_desired_count_and_no_more_than_its_maximum() {
    let (mut node, at, [first, second]) = ready();
    let count = |node: &Node, id| set(node, id).computed_desired_count(4);
    assert_eq!((count(&node, first), count(&node, second)), (2, 0));
    start(&mut node, first, &at, 3).unwrap();
    assert!(matches!(start(&mut node, first, &at, 2), Err(Rejection::Stale { .. })), "200 % of 2 is 4");
    assert!(matches!(start(&mut node, second, &at, 1), Err(Rejection::Stale { .. })), "it wants none");
    node.propose(Command::ScaleTaskSet { service: service("web"), id: second, scale: scale(1.0) }).unwrap();
    assert_eq!(count(&node, second), 1, "rounded up");
    start(&mut node, second, &at, 1).unwrap();
    let task = node
        .state
        .tasks_of_service(&service("web"))
        .into_iter()
        .find(|task| task.deployment() == Some(second));
    let task = task.unwrap();
    assert_eq!(task.definition, definition("web", 2));
    assert_eq!(task.started_by, Some(second.to_string()));
    let told = &node.state.service(&service("web")).unwrap().events[0].message;
    assert!(told.starts_with(&format!("(service web, taskSet {second}) has started 1 tasks: ")), "{told}");
}

#[test]
fn a_set_is_gone_once_its_tasks_are() {
    let (mut node, at, [first, _]) = ready();
    start(&mut node, first, &at, 1).unwrap();
    let delete = |force| Command::DeleteTaskSet { service: service("web"), id: first, force };
    assert_eq!(node.propose(delete(false)), Err(Rejection::TaskSetScaledAboveZero));
    assert!(matches!(
        record(&mut node, TaskSetProgress { gone: true, ..progress(first) }),
        Err(Rejection::Stale { .. })
    ));
    node.propose(delete(true)).unwrap();
    node.propose(delete(false)).unwrap();
    assert_eq!(set(&node, first).computed_desired_count(4), 0);
    let scale = Command::ScaleTaskSet { service: service("web"), id: first, scale: Scale::WHOLE };
    assert_eq!(node.propose(scale), Err(Rejection::TaskSetDraining));
    let gone = TaskSetProgress { gone: true, ..progress(first) };
    assert!(matches!(record(&mut node, gone.clone()), Err(Rejection::Stale { .. })), "a task still runs");

    let reason = "silent".to_owned();
    node.propose(Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason }).unwrap();
    record(&mut node, gone).unwrap();
    assert_eq!(node.propose(delete(true)), Err(Rejection::TaskSetNotFound));
    assert_eq!(node.state.task_sets(&service("web")).unwrap().sets.len(), 1);
}

#[test]
fn what_is_the_sets_own_is_not_the_services_to_change() {
    let (mut node, _, _) = ready();
    let update = |change| Command::UpdateService { key: service("web"), change };
    let definition = Some(definition("web", 2));
    for change in [
        ServiceChange { task_definition: definition, ..ServiceChange::default() },
        ServiceChange { force_new_deployment: true, ..ServiceChange::default() },
        ServiceChange { described: [("loadBalancers".to_owned(), None)].into(), ..ServiceChange::default() },
    ] {
        assert_eq!(node.propose(update(change)), Err(Rejection::ServiceHasTaskSets));
    }
    let more = ServiceChange { desired_count: Some(6), ..ServiceChange::default() };
    node.propose(update(more)).unwrap();
    assert_eq!(node.state.service(&service("web")).unwrap().spec.desired_count, 6);

    node.propose(create_service("rolls", support::definition("web", 1), 1)).unwrap();
    let Command::CreateTaskSet { spec, tags, .. } = create_set(1, 1.0) else { unreachable!() };
    let create = Command::CreateTaskSet { service: service("rolls"), spec, tags };
    assert_eq!(node.propose(create), Err(Rejection::ServiceHasNoTaskSets));
}

#[test]
fn sets_are_bounded_and_need_a_level_and_a_definition() {
    let mut node = Node::new();
    node.open("agent-1", "us-east-1a");
    let needs = Rejection::FeatureLevel { needed: FeatureLevel::TASK_SETS, level: FeatureLevel::FIRST };
    assert_eq!(node.propose(create_external(1)), Err(needs));

    let (mut node, _, [first, _]) = ready();
    assert_eq!(node.propose(create_set(3, 1.0)), Err(Rejection::TaskDefinitionNotFound));
    for _ in 2..limits::TASK_SETS_PER_SERVICE {
        node.propose(create_set(1, 0.0)).unwrap();
    }
    let full = node.propose(create_set(1, 0.0));
    assert!(
        matches!(&full, Err(Rejection::Invalid { message }) if message.starts_with("5 deployments exist")),
        "{full:?}"
    );
    // A definition that a set uses is not forgotten.
    node.propose(Command::DeregisterTaskDefinition { key: definition("web", 1) }).unwrap();
    node.propose(Command::DeleteTaskDefinition { key: definition("web", 1) }).unwrap();
    let forget = Command::ForgetTaskDefinitions { keys: vec![definition("web", 1)] };
    node.propose(forget.clone()).unwrap();
    assert!(node.state.task_definition(&definition("web", 1)).is_some());

    node.propose(Command::DeleteService { key: service("web"), force: true }).unwrap();
    assert_eq!(set(&node, first).status, TaskSetStatus::Draining);
    let progress = command::ServiceProgress { inactive: true, ..Default::default() };
    let version = version(&node);
    let inactive = Command::RecordProgress { service: service("web"), version, progress: Box::new(progress) };
    node.propose(inactive).unwrap();
    assert!(node.state.task_sets(&service("web")).unwrap().sets.is_empty());
    node.propose(forget).unwrap();
    assert!(node.state.task_definition(&definition("web", 1)).is_none());

    node.propose(create_service("web", definition("web", 2), 1)).unwrap();
    assert!(node.state.task_sets(&service("web")).is_none(), "its name is another service's");
}

#[test]
fn a_client_token_lives_as_long_as_its_set() {
    let (mut node, _, _) = ready();
    let create = |node: &mut Node| node.propose_with(create_set(1, 0.0), Some(key("release", 1)));
    let id = made(create(&mut node).unwrap());
    assert_eq!(made(create(&mut node).unwrap()), id, "a repeat makes no other");
    let tag = |tags| Command::TagResource { resource: TaggedResource::TaskSet(service("web"), id), tags };
    node.propose(tag(Tags::from([("a".to_owned(), "1".to_owned())]))).unwrap();
    node.propose(tag(Tags::from([("b".to_owned(), "2".to_owned())]))).unwrap();
    assert_eq!(set(&node, id).tags.len(), 2);
    node.propose(Command::DeleteTaskSet { service: service("web"), id, force: false }).unwrap();
    record(&mut node, TaskSetProgress { gone: true, ..progress(id) }).unwrap();
    assert_ne!(made(create(&mut node).unwrap()), id, "it made something that is no more");
}
