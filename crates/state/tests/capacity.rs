//! Pools: tasks on machines that are nobody's own or a capacity provider's, tasks that wait for one, and the sizes of pools.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use support::*;
use trireme_state::command::{
    AutoScalingGroupChange, CapacityCommand, ClusterChange, Command, ServiceChange,
};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::capability::POOL;
use trireme_types::*;

fn boxed(command: CapacityCommand) -> Command {
    Command::Capacity(Box::new(command))
}

fn open(node: &mut Node, cluster: ClusterKey, pool: &str) -> Placement {
    let mut registration = Box::new(registration(pool, "us-east-1a"));
    registration.cluster = cluster;
    registration.attributes.insert(POOL.to_owned(), pool.to_owned());
    match node.propose(Command::OpenSession { instance: None, registration }).unwrap() {
        Outcome::Session { instance, epoch } => Placement { instance, epoch },
        other => panic!("{other:?}"),
    }
}

/// A node with a cluster that has a capacity provider `machines`, whose pool is `group-1` and grows.
fn node() -> Node {
    let mut node = Node::at_latest_level();
    node.propose(register("job", None)).unwrap();
    node.propose(Command::CreateCluster { cluster: cluster("default"), tags: Tags::new() }).unwrap();
    node.propose(create_provider("machines")).unwrap();
    let change = AutoScalingGroupChange { scaling: Some(true), ..Default::default() };
    node.propose(Command::UpdateCapacityProvider { key: provider("machines"), change }).unwrap();
    node.propose(names(&["machines"])).unwrap();
    node
}

fn names(providers: &[&str]) -> Command {
    let providers = providers.iter().map(|name| provider(name).name).collect();
    let change = ClusterChange { capacity: Some((providers, Vec::new())), ..ClusterChange::default() };
    Command::UpdateCluster { cluster: cluster("default"), change: Box::new(change) }
}

fn machines() -> Launch {
    Launch::Provider(provider("machines").name)
}

fn run(at: &[Placement], launch: Launch, waiting: usize) -> Command {
    boxed(CapacityCommand::RunTasks {
        run: Box::new(run_tasks(definition("job", 1), at.to_vec())),
        launches: vec![launch.clone(); at.len()],
        waiting: vec![launch; waiting],
        allows_commands: true,
    })
}

fn tasks(outcome: Outcome) -> Vec<TaskId> {
    match outcome {
        Outcome::Tasks(tasks) => tasks,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fargate_task_runs_on_the_managed_pool_and_belongs_to_its_own_cluster() {
    let mut node = node();
    let own = node.open("own", "us-east-1a");
    let managed = open(&mut node, ClusterKey::managed_pool(), "managed");
    let stale = |result| matches!(result, Err(Rejection::Stale { .. }));
    assert!(stale(node.propose(run(&[own], Launch::Fargate, 0))), "it is the cluster's own machine");
    let plain = run_tasks(definition("job", 1), vec![managed.clone()]);
    assert!(stale(node.propose(plain)), "the pool takes only what is launched on it");

    let task = tasks(node.propose(run(std::slice::from_ref(&managed), Launch::Fargate, 0)).unwrap())[0];
    let found = node.state.task(task).unwrap();
    assert_eq!((&found.cluster, found.instance), (&cluster("default"), managed.instance));
    assert_eq!(node.state.launch(task), Some(&Launch::Fargate));
    assert_eq!(node.state.index().tasks_of_cluster(&cluster("default")).len(), 1);
    assert!(node.state.index().tasks_of_cluster(&ClusterKey::managed_pool()).is_empty());

    // What is lost with a machine of the pool is the cluster's.
    let lose =
        Command::LoseInstance { instance: managed.instance, epoch: managed.epoch, reason: "r".to_owned() };
    node.propose(lose).unwrap();
    assert_eq!(node.state.task(task).unwrap().last_status, TaskStatus::Stopped);
    node.propose(Command::ReapTasks { tasks: vec![task] }).unwrap();
    assert_eq!(node.state.launch(task), None);
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn nobody_has_services_or_tasks_in_the_managed_pool_itself() {
    let mut node = node();
    let managed = open(&mut node, ClusterKey::managed_pool(), "managed");
    let key = ServiceKey { cluster: ClusterKey::managed_pool(), name: ServiceName::new("s").unwrap() };
    let (spec, created_by) = (spec(definition("job", 1), 1), "p".to_owned());
    let create = Command::CreateService { key, spec, tags: Tags::new(), created_by };
    assert_eq!(node.propose(create), Err(Rejection::ClusterNotFound));
    let Command::RunTasks(mut run) = run_tasks(definition("job", 1), vec![managed]) else { panic!() };
    run.cluster = ClusterKey::managed_pool();
    assert_eq!(node.propose(Command::RunTasks(run)), Err(Rejection::ClusterNotFound));
}

#[test]
fn a_providers_tasks_run_on_its_pool_only() {
    let mut node = node();
    let (other, own) = (open(&mut node, cluster("default"), "other"), node.open("own", "us-east-1a"));
    let pool = open(&mut node, cluster("default"), "group-1");
    for elsewhere in [other, own] {
        let refused = node.propose(run(&[elsewhere], machines(), 0));
        assert!(matches!(refused, Err(Rejection::Stale { .. })), "{refused:?}");
    }
    let task = tasks(node.propose(run(std::slice::from_ref(&pool), machines(), 0)).unwrap())[0];
    assert_eq!(node.state.launch(task), Some(&machines()));
    let instance = node.state.instance(pool.instance).unwrap();
    assert_eq!(node.state.provider_of_instance(instance), Some(provider("machines").name));
}

#[test]
fn a_task_waits_under_the_id_that_it_then_has() {
    let mut node = node();
    let token = || Some(key("token", 1));
    let id = tasks(node.propose_with(run(&[], machines(), 1), token()).unwrap())[0];
    assert!(node.state.task(id).is_none());
    assert_eq!(node.state.waiting_run(id).unwrap().end, None);
    let again = node.propose_with(run(&[], machines(), 1), token()).unwrap();
    assert_eq!(again, Outcome::Tasks(vec![id]), "a repeat makes nothing");
    let busy = node.propose(Command::DeleteCluster { cluster: cluster("default") });
    assert_eq!(busy, Err(Rejection::ClusterContainsTasks));
    let gone = node.propose(names(&[]));
    assert_eq!(gone, Err(Rejection::CapacityProviderHasTasks { provider: "machines".to_owned() }));

    let at = open(&mut node, cluster("default"), "group-1");
    node.now = node.now.plus(Duration::from_secs(60));
    node.propose(boxed(CapacityCommand::PlaceWaitingRun { task: id, placement: at.clone() })).unwrap();
    let task = node.state.task(id).unwrap();
    assert_eq!((task.instance, task.group.as_str()), (at.instance, "family:job"));
    assert!(node.state.waiting_run(id).is_none());
    assert!(node.state.allows_commands(id));
    let twice = node.propose(boxed(CapacityCommand::PlaceWaitingRun { task: id, placement: at }));
    assert!(matches!(twice, Err(Rejection::Stale { .. })));
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn a_task_that_waits_is_stopped_or_given_up_and_then_forgotten() {
    let mut node = node();
    let ids = tasks(node.propose_with(run(&[], machines(), 3), Some(key("token", 1))).unwrap());
    let stop = Command::StopTask { cluster: cluster("default"), task: ids[0], reason: None };
    node.propose(stop).unwrap();
    let reason = "no machine".to_owned();
    node.propose(boxed(CapacityCommand::GiveUpWaitingRuns { tasks: ids.clone(), reason })).unwrap();
    let end = |node: &Node, id| node.state.waiting_run(id).unwrap().end.clone().unwrap();
    assert_eq!(end(&node, ids[0]).code, StopCode::UserInitiated, "what is over stays as it was");
    assert_eq!(end(&node, ids[1]).code, StopCode::TaskFailedToStart);
    assert!(node.state.recorded_request(&key("token", 1)).is_some());
    node.propose(boxed(CapacityCommand::ForgetWaitingRuns { tasks: ids })).unwrap();
    assert_eq!(node.state.waiting_runs().count(), 0);
    assert!(node.state.recorded_request(&key("token", 1)).is_none(), "the token goes with the last of them");
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn nobody_waits_for_a_pool_that_does_not_grow() {
    let mut node = node();
    let change = AutoScalingGroupChange { scaling: Some(false), ..Default::default() };
    node.propose(Command::UpdateCapacityProvider { key: provider("machines"), change }).unwrap();
    assert!(matches!(node.propose(run(&[], machines(), 1)), Err(Rejection::Stale { .. })));
    assert!(matches!(node.propose(run(&[], Launch::Fargate, 1)), Err(Rejection::Stale { .. })));
}

#[test]
fn a_services_tasks_are_launched_as_it_says() {
    let mut node = node();
    let (own, pool) = (node.open("own", "us-east-1a"), open(&mut node, cluster("default"), "group-1"));
    node.propose(create_service("web", definition("job", 1), 4)).unwrap();
    let strategy = kept_strategy(&[StrategyItem { provider: provider("machines").name, weight: 1, base: 0 }]);
    let change = ServiceChange {
        described: [(CAPACITY_STRATEGY.to_owned(), Some(strategy))].into(),
        ..ServiceChange::default()
    };
    node.propose(Command::UpdateService { key: service("web"), change }).unwrap();
    let found = node.state.service(&service("web")).unwrap();
    assert_eq!(found.deployments.len(), 2, "another strategy is another deployment");
    let (version, deployment) = (found.version, found.deployments[0].id);
    let plain =
        Command::StartServiceTasks { service: service("web"), version, deployment, placements: vec![own] };
    assert!(matches!(node.propose(plain), Err(Rejection::Stale { .. })));
    let start = boxed(CapacityCommand::StartServiceTasks {
        service: service("web"),
        version,
        deployment,
        placements: vec![pool.clone(), pool],
        launch: machines(),
    });
    let made = tasks(node.propose(start).unwrap());
    assert!(made.iter().all(|id| node.state.launch(*id) == Some(&machines())));
    let gone = node.propose(names(&[]));
    assert_eq!(gone, Err(Rejection::CapacityProviderHasTasks { provider: "machines".to_owned() }));
}

#[test]
fn a_size_is_decided_once_and_keeps_its_number_until_it_is_another() {
    let mut node = node();
    let size = |node: &Node, seen, wanted, idle| {
        let known = node.state.pool_size(&provider("machines")).map_or(0, |known| known.request);
        boxed(CapacityCommand::SizePool {
            key: provider("machines"),
            seen: if seen { known } else { known + 1 },
            wanted,
            leaving: Vec::new(),
            idle,
            reason: "3 machines are needed".to_owned(),
        })
    };
    let command = size(&node, true, 3, false);
    node.propose(command).unwrap();
    let first = node.state.pool_size(&provider("machines")).unwrap().clone();
    assert_eq!((first.wanted, first.idle_since), (3, None));
    let stale = size(&node, false, 4, false);
    assert!(matches!(node.propose(stale), Err(Rejection::Stale { .. })));
    let (before, same) = (node.state.position(), size(&node, true, 3, false));
    node.propose(same).unwrap();
    assert_eq!(node.state.position(), before, "the same decision is no event");

    node.now = node.now.plus(Duration::from_secs(9));
    let idle = size(&node, true, 3, true);
    node.propose(idle).unwrap();
    let second = node.state.pool_size(&provider("machines")).unwrap().clone();
    assert_eq!((second.request, second.at, second.idle_since), (first.request, first.at, Some(node.now)));
    let smaller = size(&node, true, 2, true);
    node.propose(smaller).unwrap();
    let third = node.state.pool_size(&provider("machines")).unwrap();
    assert_ne!(third.request, first.request);
    node.propose(names(&[])).unwrap();
    node.propose(Command::DeleteCapacityProvider { key: provider("machines") }).unwrap();
    assert!(node.state.pool_size(&provider("machines")).is_none(), "it goes with its provider");
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn below_their_level_nothing_of_pools_is_written() {
    let mut node = Node::new();
    node.propose(register("job", None)).unwrap();
    let at = open(&mut node, ClusterKey::managed_pool(), "managed");
    node.propose(Command::CreateCluster { cluster: cluster("default"), tags: Tags::new() }).unwrap();
    let command = run(&[at], Launch::Fargate, 0);
    assert_eq!(command.level(), FeatureLevel::SCALING);
    let refused = node.propose(command);
    assert!(matches!(refused, Err(Rejection::FeatureLevel { .. })), "{refused:?}");
}

#[test]
fn a_group_has_one_provider() {
    let mut node = node();
    let Command::CreateCapacityProvider { group, tags, .. } = create_provider("machines") else { panic!() };
    let another =
        |group| Command::CreateCapacityProvider { key: provider("others"), group, tags: tags.clone() };
    assert_eq!(node.propose(another(group.clone())), Err(Rejection::CapacityProviderGroupInUse));
    let arn = "arn:aws:autoscaling:us-east-1:1:autoScalingGroup:u:autoScalingGroupName/group-1".to_owned();
    let same = Box::new(AutoScalingGroup { arn, ..(*group).clone() });
    assert_eq!(
        node.propose(another(same)),
        Err(Rejection::CapacityProviderGroupInUse),
        "a group of that name"
    );
    node.propose(another(Box::new(AutoScalingGroup { arn: "group-2".to_owned(), ..*group }))).unwrap();
}

#[test]
fn nobody_leaves_a_pool_that_is_scaled_no_more_nor_when_it_is_scaled_again() {
    let leaving = |node: &Node| node.state.pool_size(&provider("machines")).unwrap().leaving.clone();
    let scaling = |scaling| {
        let change = AutoScalingGroupChange { scaling: Some(scaling), ..Default::default() };
        Command::UpdateCapacityProvider { key: provider("machines"), change }
    };
    let ends: [&[Command]; 2] = [&[scaling(false), scaling(true)], &[names(&[]), names(&["machines"])]];
    for end in ends {
        let mut node = node();
        let at = open(&mut node, cluster("default"), "group-1");
        let size = CapacityCommand::SizePool {
            key: provider("machines"),
            seen: 0,
            wanted: 0,
            leaving: vec![at.instance],
            idle: false,
            reason: "none is needed".to_owned(),
        };
        let number = |node: &Node| node.state.pool_size(&provider("machines")).unwrap().request;
        node.propose(boxed(size)).unwrap();
        assert_eq!(leaving(&node), [at.instance]);
        let before = number(&node);
        end.iter().for_each(|command| drop(node.propose(command.clone()).unwrap()));
        assert!(leaving(&node).is_empty());
        assert_ne!(number(&node), before, "what was planned on the size as it was is stale");
    }
}
