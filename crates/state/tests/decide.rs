//! What each command does to the state that it meets, told as short stories.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;
use trireme_state::command::{Command, ServiceChange, ServiceProgress, TaggedResource, TaskReport};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn started() -> (Node, Placement) {
    let mut node = Node::new();
    let placement = node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    (node, placement)
}

fn tasks(outcome: Outcome) -> Vec<TaskId> {
    match outcome {
        Outcome::Tasks(tasks) => tasks,
        other => panic!("no tasks: {other:?}"),
    }
}

fn tags_of(count: usize) -> Tags {
    (0..count).map(|number| (format!("key-{number}"), String::new())).collect()
}

fn reported(at: &Placement, reports: Vec<TaskReport>) -> Command {
    Command::ReportTasks { instance: at.instance, epoch: at.epoch, reports }
}

#[test]
fn an_agents_registration_makes_its_cluster() {
    let (node, _) = started();
    assert!(node.state.active_cluster(&cluster("default")).is_some());
}

#[test]
fn a_repeat_has_one_effect_and_other_parameters_are_a_conflict() {
    let (mut node, at) = started();
    let run = run_tasks(definition("web", 1), vec![at]);
    let first = node.propose_with(run.clone(), Some(key("token", 1))).unwrap();
    let position = node.state.position();
    assert_eq!(node.propose_with(run.clone(), Some(key("token", 1))).unwrap(), first);
    assert_eq!(node.state.position(), position);
    let id = tasks(first)[0].to_string();
    let conflict = Rejection::IdempotencyConflict { resources: vec![id] };
    assert_eq!(node.propose_with(run, Some(key("token", 2))), Err(conflict));
}

/// The first try of a call waits on a link that is cut; the second is answered: nothing to do. Then the link comes back.
#[test]
fn an_earlier_try_of_an_answered_call_has_no_effect_even_when_nothing_was_to_be_done() {
    let mut node = Node::new();
    let create = || Command::CreateCluster { cluster: cluster("one"), tags: Tags::new() };
    node.propose_with(create(), Some(key("first", 1))).unwrap();
    let before = node.state.position().sequence;
    node.propose_with(create(), Some(key("second", 1))).unwrap();
    let recorded = node.state.position().sequence;
    assert_eq!(recorded.get(), before.get() + 1, "that it was answered, and nothing else");
    node.propose(Command::DeleteCluster { cluster: cluster("one") }).unwrap();
    node.propose_with(create(), Some(key("second", 1))).unwrap();
    assert!(node.state.active_cluster(&cluster("one")).is_none(), "it stays deleted");
    node.propose_with(create(), Some(key("third", 1))).unwrap();
    assert!(node.state.active_cluster(&cluster("one")).is_some());
}

#[test]
fn a_client_token_lives_as_long_as_its_tasks() {
    let (mut node, at) = started();
    let run = run_tasks(definition("web", 1), vec![at.clone()]);
    let task = tasks(node.propose_with(run.clone(), Some(key("token", 1))).unwrap())[0];
    node.propose(reported(&at, vec![report(task, TaskStatus::Stopped)])).unwrap();
    node.propose(Command::ReapTasks { tasks: vec![task] }).unwrap();
    let again = tasks(node.propose_with(run, Some(key("token", 2))).unwrap());
    assert_ne!(again, vec![task]);
}

#[test]
fn a_client_token_that_no_task_would_take_with_it_is_not_recorded() {
    let (mut node, at) = started();
    let before = node.state.position();
    let none = node.propose_with(run_tasks(definition("web", 1), Vec::new()), Some(key("token", 1)));
    assert!(matches!(none, Err(Rejection::Invalid { .. })), "{none:?}");
    assert_eq!(node.state.position(), before);
    let one = node.propose_with(run_tasks(definition("web", 1), vec![at]), Some(key("token", 1)));
    assert_eq!(tasks(one.unwrap()).len(), 1, "the token is free");
}

#[test]
fn placements_are_checked_against_what_is_true_now() {
    let (mut node, at) = started();
    let five = vec![at.clone(); 5];
    let full = node.propose(run_tasks(definition("web", 1), five));
    assert!(matches!(full, Err(Rejection::Stale { .. })), "400 cpu units hold four tasks of 100");
    node.propose(run_tasks(definition("web", 1), vec![at.clone(); 4])).unwrap();
    let more = node.propose(run_tasks(definition("web", 1), vec![at]));
    assert!(matches!(more, Err(Rejection::Stale { .. })));
}

#[test]
fn a_fixed_port_is_held_once() {
    let (mut node, at) = started();
    node.propose(register("fixed", Some(8080))).unwrap();
    node.propose(run_tasks(definition("fixed", 1), vec![at.clone()])).unwrap();
    let second = node.propose(run_tasks(definition("fixed", 1), vec![at.clone()]));
    assert!(matches!(second, Err(Rejection::Stale { .. })));
    node.propose(register("ssh", Some(22))).unwrap();
    let reserved = node.propose(run_tasks(definition("ssh", 1), vec![at]));
    assert!(matches!(reserved, Err(Rejection::Stale { .. })));
}

#[test]
fn an_agent_from_before_the_loss_is_not_believed() {
    let (mut node, at) = started();
    let task = tasks(node.propose(run_tasks(definition("web", 1), vec![at.clone()])).unwrap())[0];
    let reason = "the agent was silent for 5 s".to_owned();
    node.propose(Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason }).unwrap();
    assert_eq!(node.state.task(task).unwrap().last_status, TaskStatus::Stopped);
    let late = node.propose(reported(&at, vec![report(task, TaskStatus::Running)]));
    assert_eq!(late, Err(Rejection::StaleEpoch));
    let instance = Some(at.instance);
    let registration = Box::new(registration("agent-1", "us-east-1a"));
    let Outcome::Session { epoch, .. } =
        node.propose(Command::OpenSession { instance, registration }).unwrap()
    else {
        panic!("no session")
    };
    assert!(epoch > at.epoch.next());
    let back = Placement { instance: at.instance, epoch };
    node.propose(reported(&back, vec![report(task, TaskStatus::Running)])).unwrap();
    assert_eq!(node.state.task(task).unwrap().last_status, TaskStatus::Stopped, "stopped is for ever");
}

#[test]
fn a_report_never_takes_a_task_back() {
    let (mut node, at) = started();
    let task = tasks(node.propose(run_tasks(definition("web", 1), vec![at.clone()])).unwrap())[0];
    node.propose(reported(&at, vec![report(task, TaskStatus::Running)])).unwrap();
    let position = node.state.position();
    node.propose(reported(&at, vec![report(task, TaskStatus::Pending)])).unwrap();
    node.propose(reported(&at, vec![report(task, TaskStatus::Running)])).unwrap();
    assert_eq!(node.state.position(), position, "old news and no news are no events");
}

#[test]
fn a_plan_from_an_old_view_is_stale() {
    let (mut node, at) = started();
    node.propose(create_service("web", definition("web", 1), 2)).unwrap();
    let seen = node.state.service(&service("web")).unwrap().clone();
    let change = ServiceChange { desired_count: Some(1), ..ServiceChange::default() };
    node.propose(Command::UpdateService { key: service("web"), change }).unwrap();
    let start = |version| Command::StartServiceTasks {
        service: service("web"),
        version,
        deployment: seen.deployments[0].id,
        placements: vec![at.clone()],
    };
    assert!(matches!(node.propose(start(seen.version)), Err(Rejection::Stale { .. })));
    let version = node.state.service(&service("web")).unwrap().version;
    node.propose(start(version)).unwrap();
    node.propose(start(version)).unwrap();
    let third = node.propose(start(version));
    assert!(matches!(third, Err(Rejection::Stale { .. })), "the maximum of 1 is 2 at 200 percent: {third:?}");
}

#[test]
fn a_deleted_service_is_gone_when_its_tasks_are() {
    let (mut node, at) = started();
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    let found = node.state.service(&service("web")).unwrap().clone();
    let deployment = found.deployments[0].id;
    let (name, version) = (service("web"), found.version);
    let start = Command::StartServiceTasks {
        service: name.clone(),
        version,
        deployment,
        placements: vec![at.clone()],
    };
    let task = tasks(node.propose(start).unwrap())[0];
    let delete = |force| Command::DeleteService { key: service("web"), force };
    assert_eq!(node.propose(delete(false)), Err(Rejection::ServiceScaledAboveZero));
    node.propose(delete(true)).unwrap();
    assert_eq!(node.propose(create_service("web", definition("web", 1), 1)), Err(Rejection::ServiceDraining));
    let finish = |version| Command::RecordProgress {
        service: service("web"),
        version,
        progress: Box::new(ServiceProgress { inactive: true, ..ServiceProgress::default() }),
    };
    let version = node.state.service(&name).unwrap().version;
    assert!(matches!(node.propose(finish(version)), Err(Rejection::Stale { .. })));
    node.propose(reported(&at, vec![report(task, TaskStatus::Stopped)])).unwrap();
    node.propose(finish(version)).unwrap();
    assert_eq!(node.state.service(&name).unwrap().status, ServiceStatus::Inactive);
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    assert!(node.state.service(&name).unwrap().version > version, "a name used again goes on counting");
}

#[test]
fn a_cluster_in_use_is_not_deleted() {
    let (mut node, at) = started();
    let delete = || Command::DeleteCluster { cluster: cluster("default") };
    assert_eq!(node.propose(delete()), Err(Rejection::ClusterContainsContainerInstances));
    let deregister =
        Command::DeregisterInstance { cluster: cluster("default"), instance: at.instance, force: false };
    node.propose(deregister).unwrap();
    node.propose(create_service("web", definition("web", 1), 0)).unwrap();
    assert_eq!(node.propose(delete()), Err(Rejection::ClusterContainsServices));
}

#[test]
fn revisions_go_on_after_a_deregistration() {
    let (mut node, _) = started();
    node.propose(Command::DeregisterTaskDefinition { key: definition("web", 1) }).unwrap();
    let Outcome::TaskDefinition(next) = node.propose(register("web", None)).unwrap() else {
        panic!("no definition")
    };
    assert_eq!(next.revision, 2);
    let inactive = node.propose(create_service("web", definition("web", 1), 1));
    assert_eq!(inactive, Err(Rejection::TaskDefinitionInactive));
}

#[test]
fn an_entry_on_another_base_is_void() {
    let (mut node, _) = started();
    let entry = node.log.last().unwrap().clone();
    let before = node.state.clone();
    assert_eq!(apply_entry(&mut node.state, &entry), Applied::Void);
    assert_eq!(node.state, before);
}

#[test]
fn a_reset_keeps_the_instances() {
    let (mut node, at) = started();
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    node.propose(run_tasks(definition("web", 1), vec![at.clone()])).unwrap();
    let (cluster, instance) = (cluster("default"), at.instance);
    let status = InstanceStatus::Draining;
    node.propose(Command::SetInstanceStatus { cluster, instance, status }).unwrap();
    let resource = TaggedResource::ContainerInstance(instance);
    node.propose(Command::TagResource { resource, tags: tags_of(1) }).unwrap();
    let before = node.state.instance(instance).unwrap().version;
    node.propose(Command::Reset).unwrap();
    assert_eq!(node.state.services().count(), 0);
    assert_eq!(node.state.tasks().count(), 0);
    let kept = node.state.instance(instance).unwrap();
    assert!(kept.connected && kept.status == InstanceStatus::Active && kept.tags.is_empty());
    assert!(kept.version > before);
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn the_token_of_a_deleted_service_is_forgotten() {
    let (mut node, at) = started();
    let create = || create_service("web", definition("web", 1), 1);
    node.propose_with(create(), Some(key("token", 1))).unwrap();
    let found = node.state.service(&service("web")).unwrap().clone();
    let start = Command::StartServiceTasks {
        service: service("web"),
        version: found.version,
        deployment: found.deployments[0].id,
        placements: vec![at],
    };
    node.propose(start).unwrap();
    node.propose(Command::DeleteService { key: service("web"), force: true }).unwrap();
    invariant::check_state(&node.state).unwrap();
    assert_eq!(node.propose_with(create(), Some(key("token", 1))), Err(Rejection::ServiceDraining));
}

#[test]
fn tags_that_ecs_sets_do_not_count() {
    let (mut node, at) = started();
    let Command::RunTasks(mut run) = run_tasks(definition("web", 1), vec![at]) else { unreachable!() };
    run.tags = tags_of(limits::TAGS_PER_RESOURCE);
    run.tags.insert("aws:ecs:clusterName".to_owned(), "default".to_owned());
    let task = tasks(node.propose(Command::RunTasks(run.clone())).unwrap())[0];
    let tag = |tags| Command::TagResource { resource: TaggedResource::Task(task), tags };
    node.propose(tag(Tags::from([("key-0".to_owned(), "other".to_owned())]))).unwrap();
    let limit = Rejection::LimitExceeded { what: "tags on a resource".to_owned(), limit: 50 };
    assert_eq!(node.propose(tag(Tags::from([("more".to_owned(), String::new())]))), Err(limit.clone()));
    run.tags.insert("more".to_owned(), String::new());
    assert_eq!(node.propose(Command::RunTasks(run)), Err(limit));
}

#[test]
fn what_is_only_described_is_part_of_a_services_spec() {
    let (mut node, _) = started();
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    let mut change = |member: &str, value: Option<&str>| {
        let described = [(member.to_owned(), value.map(str::to_owned))].into();
        let change = ServiceChange { described, ..ServiceChange::default() };
        let outcome = node.propose(Command::UpdateService { key: service("web"), change }).unwrap();
        let found = node.state.service(&service("web")).unwrap();
        assert_eq!(found.deployments.len(), 1, "it begins no deployment");
        (outcome, found.spec.described.clone())
    };
    let set = change("placementStrategy", Some("[1]"));
    assert_eq!(set.1, Described::from([("placementStrategy".to_owned(), "[1]".to_owned())]));
    assert_eq!(change("placementStrategy", Some("[1]")), (Outcome::Done, set.1), "nothing has changed");
    assert_eq!(change("placementStrategy", None).1, Described::new());
}

#[test]
fn an_instance_may_come_back_in_another_zone() {
    let (mut node, at) = started();
    let run = run_tasks(definition("web", 1), vec![at.clone()]);
    let task = tasks(node.propose(run).unwrap())[0];
    let registration = Box::new(registration("agent-1", "us-east-1b"));
    node.propose(Command::OpenSession { instance: Some(at.instance), registration }).unwrap();
    assert_eq!(node.state.task(task).unwrap().zone.as_str(), "us-east-1a", "where it was placed, for ever");
    let (cluster, instance) = (cluster("default"), at.instance);
    node.propose(Command::DeregisterInstance { cluster, instance, force: true }).unwrap();
    assert_eq!(node.state.task(task).unwrap().last_status, TaskStatus::Stopped);
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn a_command_starts_as_many_large_tasks_as_it_has_room_for() {
    let mut node = Node::new();
    let big = |name| {
        let mut registration = registration(name, "us-east-1a");
        registration.resources.cpu = CpuUnits::new(100_000);
        registration.resources.memory = Mebibytes::new(100_000);
        Command::OpenSession { instance: None, registration: Box::new(registration) }
    };
    let Ok(Outcome::Session { instance, epoch }) = node.propose(big("agent-1")) else { panic!("no session") };
    node.propose(register("web", None)).unwrap();
    let Command::CreateService { key, mut spec, created_by, .. } =
        create_service("web", definition("web", 1), 100)
    else {
        unreachable!()
    };
    spec.propagate_tags = PropagateTags::Service;
    let tags: Tags = (0..50).map(|number| (format!("{number:0>128}"), "v".repeat(256))).collect();
    node.propose(Command::CreateService { key, spec, tags, created_by }).unwrap();
    let found = node.state.service(&service("web")).unwrap().clone();
    let mut started = 0;
    while started < 100 {
        let start = Command::StartServiceTasks {
            service: service("web"),
            version: found.version,
            deployment: found.deployments[0].id,
            placements: vec![Placement { instance, epoch }; 100 - started],
        };
        let some = tasks(node.propose(start).unwrap()).len();
        let events = &node.log.last().unwrap().events;
        let bytes: usize = events.iter().map(|event| event.bytes().len()).sum();
        assert!(bytes <= limits::BYTES_PER_COMMAND && some > 0, "{some} tasks in {bytes} bytes");
        started += some;
    }
    assert_eq!(node.state.tasks_of_service(&service("web")).len(), 100);
}
