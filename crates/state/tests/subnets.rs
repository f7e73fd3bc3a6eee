//! Subnets, and the addresses that tasks get in them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use support::*;
use trireme_state::command::{Command, NewSubnet};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn id(number: u128) -> SubnetId {
    SubnetId::from_random(number << 60)
}

fn new_subnet(number: u128, zone: &str, cidr: &str) -> NewSubnet {
    NewSubnet {
        id: id(number),
        scope: Scope::development(),
        zone: Zone::new(zone).unwrap(),
        cidr: cidr.parse().unwrap(),
        network: None,
    }
}

fn add(node: &mut Node, number: u128, zone: &str, cidr: &str) -> Result<Outcome, Rejection> {
    node.propose(Command::AddSubnet { subnet: Box::new(new_subnet(number, zone, cidr)) })
}

/// A node with a definition of tasks that have interfaces of their own, and one machine in zone a.
fn node() -> (Node, Placement) {
    let mut node = Node::at_latest_level();
    let Command::RegisterTaskDefinition { scope, family, spec, tags, registered_by } = register("own", None)
    else {
        unreachable!()
    };
    let mut spec = (*spec).clone();
    spec.network_mode = Some(NetworkMode::Awsvpc);
    spec.containers[0].cpu = CpuUnits::new(1);
    spec.containers[0].memory = Some(Mebibytes::new(6));
    let spec = Arc::new(spec);
    node.propose(Command::RegisterTaskDefinition { scope, family, spec, tags, registered_by }).unwrap();
    let at = node.open("agent-1", "us-east-1a");
    (node, at)
}

fn run(node: &mut Node, at: &Placement, count: usize, subnets: &[u128]) -> Result<Vec<TaskId>, Rejection> {
    let Command::RunTasks(run) = run_tasks(definition("own", 1), vec![at.clone(); count]) else {
        unreachable!()
    };
    let subnets = subnets.iter().copied().map(id).collect();
    let network = Box::new(NetworkConfiguration { subnets, security_groups: vec!["sg-1".to_owned()] });
    match node.propose(Command::RunTasksInSubnets { run, network })? {
        Outcome::Tasks(tasks) => Ok(tasks),
        other => panic!("{other:?}"),
    }
}

fn address(node: &Node, task: TaskId) -> Ipv4Addr {
    node.state.interface(task).unwrap().address
}

fn stopped(node: &mut Node, at: &Placement, task: TaskId) {
    let reports = vec![report(task, TaskStatus::Stopped)];
    node.propose(Command::ReportTasks { instance: at.instance, epoch: at.epoch, reports }).unwrap();
}

fn free(node: &Node, number: u128) -> u32 {
    node.state.free_addresses(node.state.subnet(id(number)).unwrap(), node.now)
}

#[test]
fn a_subnet_is_added_once_and_overlaps_none() {
    let (mut node, _) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/24").unwrap();
    let before = node.state.position();
    assert_eq!(add(&mut node, 1, "us-east-1a", "10.1.1.0/24"), Ok(Outcome::Done));
    assert_eq!(node.state.position(), before, "the same one is no change");
    for (number, zone, cidr, words) in [
        (1, "us-east-1b", "10.1.1.0/24", "is there, and differs"),
        (2, "us-east-1b", "10.1.1.128/25", "overlaps 10.1.1.0/24"),
        (2, "us-east-1b", "10.0.0.0/15", "between /16 and /28"),
        (2, "us-east-1b", "10.1.2.0/29", "between /16 and /28"),
    ] {
        let refused = add(&mut node, number, zone, cidr).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    // What lies in the same network reaches each other; what does not must not lie across it.
    add(&mut node, 2, "us-east-1b", "10.1.2.0/24").unwrap();
    assert_eq!(node.state.subnet(id(2)).unwrap().network.to_string(), "10.1.0.0/16");
    let mut other = new_subnet(3, "us-east-1c", "10.1.3.0/24");
    other.network = Some("10.1.3.0/24".parse().unwrap());
    let refused = node.propose(Command::AddSubnet { subnet: Box::new(other.clone()) }).unwrap_err();
    assert!(refused.to_string().contains("overlaps 10.1.0.0/16"), "{refused}");
    other.network = None;
    other.scope.account = AccountId::new("000000000001").unwrap();
    let refused = node.propose(Command::AddSubnet { subnet: Box::new(other) }).unwrap_err();
    assert!(refused.to_string().contains("overlaps 10.1.0.0/16"), "another account's: {refused}");
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn each_task_has_an_address_of_its_own_until_its_agent_says_that_it_is_stopped() {
    let (mut node, at) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/28").unwrap();
    let tasks = run(&mut node, &at, 3, &[1]).unwrap();
    let addresses: Vec<Ipv4Addr> = tasks.iter().map(|task| address(&node, *task)).collect();
    assert_eq!(addresses, [4, 5, 6].map(|last| Ipv4Addr::new(10, 1, 1, last)), "the first four are reserved");
    assert_eq!(node.state.task(tasks[0]).unwrap().last_status, TaskStatus::Provisioning);
    assert_eq!(node.state.interface(tasks[0]).unwrap().mac_address(), "02:42:0a:01:01:04");
    assert_eq!(free(&node, 1), 8);
    stopped(&mut node, &at, tasks[0]);
    assert_eq!(node.state.interface(tasks[0]).unwrap().hold, Hold::Nobody, "described until it is forgotten");
    assert_eq!(free(&node, 1), 9);
    // A freed address is used last of all: the one that was given last is the one before.
    let next = run(&mut node, &at, 8, &[1]).unwrap();
    assert!(next.iter().all(|task| address(&node, *task) != addresses[0]));
    let last = run(&mut node, &at, 1, &[1]).unwrap();
    assert_eq!(address(&node, last[0]), addresses[0]);
    assert!(matches!(run(&mut node, &at, 1, &[1]), Err(Rejection::Stale { .. })), "it is full");
    node.propose(Command::ReapTasks { tasks: vec![tasks[0]] }).unwrap();
    assert_eq!(node.state.interface(tasks[0]), None);
    assert_eq!(address(&node, last[0]), addresses[0], "another task's by then");
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn the_address_of_a_lost_task_waits_until_its_machine_cannot_use_it() {
    let (mut node, at) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/28").unwrap();
    let tasks = run(&mut node, &at, 11, &[1]).unwrap();
    let lose = Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason: "silent".to_owned() };
    node.propose(lose).unwrap();
    assert_eq!(node.state.interface(tasks[0]).unwrap().hold, Hold::Lost);
    let other = node.open("agent-2", "us-east-1a");
    assert_eq!(free(&node, 1), 0, "its containers may run still");
    assert!(run(&mut node, &other, 1, &[1]).is_err());

    let registration = Box::new(registration("agent-1", "us-east-1a"));
    node.propose(Command::OpenSession { instance: Some(at.instance), registration }).unwrap();
    assert!(
        run(&mut node, &other, 1, &[1]).is_err(),
        "it has just begun to remove what it was not told to run"
    );
    node.propose(Command::ReapTasks { tasks: tasks.clone() }).unwrap();
    assert_eq!(free(&node, 1), 0, "a task is not forgotten while its address may be in use");
    assert_eq!(node.state.interface(tasks[0]).unwrap().hold, Hold::Lost);
    node.now = node.now.plus(std::time::Duration::from_secs(121));
    assert_eq!(free(&node, 1), 11, "though nothing was written meanwhile");
    let again = run(&mut node, &other, 1, &[1]).unwrap();
    assert_eq!(address(&node, again[0]), address(&node, tasks[0]));
    assert_eq!(free(&node, 1), 10);
    invariant::check_state(&node.state).unwrap();
    node.propose(Command::ReapTasks { tasks: tasks.clone() }).unwrap();
    assert_eq!(free(&node, 1), 10, "what is forgotten takes nothing away from who has it now");
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn the_addresses_of_a_machine_that_is_gone_are_free_after_a_while() {
    let (mut node, at) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/28").unwrap();
    run(&mut node, &at, 11, &[1]).unwrap();
    let cluster = cluster("default");
    node.propose(Command::DeregisterInstance { cluster, instance: at.instance, force: true }).unwrap();
    assert_eq!(free(&node, 1), 0, "its agent, if it is there, removes the containers now");
    node.now = node.now.plus(std::time::Duration::from_secs(121));
    assert_eq!(free(&node, 1), 11);
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn the_subnet_with_most_addresses_left_in_the_zone_is_taken() {
    let (mut node, at) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/28").unwrap();
    add(&mut node, 2, "us-east-1a", "10.1.2.0/27").unwrap();
    add(&mut node, 3, "us-east-1b", "10.1.3.0/24").unwrap();
    let tasks = run(&mut node, &at, 18, &[1, 2, 3]).unwrap();
    let of = |number| {
        tasks.iter().filter(|task| node.state.interface(**task).unwrap().subnet == id(number)).count()
    };
    assert_eq!((of(1), of(2), of(3)), (1, 17, 0));
    let all: BTreeSet<Ipv4Addr> = tasks.iter().map(|task| address(&node, *task)).collect();
    assert_eq!(all.len(), 18);
    let unknown = run(&mut node, &at, 1, &[9]).unwrap_err();
    assert!(matches!(unknown, Rejection::SubnetNotFound { .. }), "{unknown}");
    let none = run(&mut node, &at, 1, &[]).unwrap_err();
    assert!(none.to_string().contains("Network Configuration must be provided"), "{none}");
}

/// Its agent may come back and hear only then that it is not wanted.
#[test]
fn an_instance_that_was_lost_long_before_it_is_deregistered_holds_its_addresses_for_a_while_too() {
    let (mut node, at) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/28").unwrap();
    let tasks = run(&mut node, &at, 11, &[1]).unwrap();
    let lose = Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason: "silent".to_owned() };
    node.propose(lose).unwrap();
    node.now = node.now.plus(std::time::Duration::from_secs(600));
    let cluster = cluster("default");
    node.propose(Command::DeregisterInstance { cluster, instance: at.instance, force: true }).unwrap();
    assert!(matches!(node.state.interface(tasks[0]).unwrap().hold, Hold::Deregistered(_)));
    assert_eq!(free(&node, 1), 0);
    node.propose(Command::ReapTasks { tasks: tasks.clone() }).unwrap();
    assert!(node.state.task(tasks[0]).is_some(), "it is not forgotten yet");
    node.now = node.now.plus(std::time::Duration::from_secs(121));
    assert_eq!(free(&node, 1), 11);
    node.propose(Command::ReapTasks { tasks }).unwrap();
    invariant::check_state(&node.state).unwrap();
}

/// An agent that came back and goes away again, or is not heard, may not have removed anything.
#[test]
fn an_agent_that_is_back_and_away_again_holds_its_lost_tasks_addresses() {
    let (mut node, at) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/28").unwrap();
    run(&mut node, &at, 11, &[1]).unwrap();
    let lose = Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason: "silent".to_owned() };
    node.propose(lose).unwrap();
    let back = node.open_again(&at, "agent-1", "us-east-1a");
    let millis = 600_000;
    node.propose(Command::AnnounceAbsence { instance: at.instance, epoch: back.epoch, millis }).unwrap();
    node.now = node.now.plus(std::time::Duration::from_secs(300));
    assert_eq!(free(&node, 1), 0, "it is away");

    node.open_again(&at, "agent-1", "us-east-1a");
    let cluster = cluster("default");
    node.propose(Command::SetLostAfter { cluster, millis: Some(600_000) }).unwrap();
    node.now = node.now.plus(std::time::Duration::from_secs(300));
    assert_eq!(free(&node, 1), 0, "nobody would know yet that it is silent");
    node.now = node.now.plus(std::time::Duration::from_secs(301));
    assert_eq!(free(&node, 1), 11);
}

#[test]
fn a_subnet_in_use_stays() {
    let (mut node, at) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/24").unwrap();
    let tasks = run(&mut node, &at, 1, &[1]).unwrap();
    let remove = Command::RemoveSubnet { subnet: id(1) };
    let refused = node.propose(remove.clone()).unwrap_err().to_string();
    assert!(refused.contains(&format!("in use by task {}", tasks[0])), "{refused}");
    stopped(&mut node, &at, tasks[0]);
    let mut spec = spec(definition("own", 1), 0);
    let json = format!(r#"{{"awsvpcConfiguration":{{"subnets":["{}"]}}}}"#, id(1));
    spec.described.insert(NETWORK_CONFIGURATION.to_owned(), json);
    let create = |spec| Command::CreateService {
        key: service("web"),
        spec,
        tags: Tags::new(),
        created_by: "arn:aws:iam::123456789012:root".to_owned(),
    };
    node.propose(create(spec)).unwrap();
    assert!(node.propose(remove.clone()).unwrap_err().to_string().contains("in use by service web"));
    node.propose(Command::DeleteService { key: service("web"), force: true }).unwrap();
    let found = node.state.service(&service("web")).unwrap().clone();
    let progress = Box::new(command::ServiceProgress { inactive: true, ..Default::default() });
    let record = Command::RecordProgress { service: service("web"), version: found.version, progress };
    node.propose(record).unwrap();
    node.propose(remove.clone()).unwrap();
    assert!(matches!(node.propose(remove), Err(Rejection::SubnetNotFound { .. })));
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn a_services_tasks_get_what_it_says() {
    let (mut node, at) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/24").unwrap();
    let spec_in = |number: u128| {
        let mut spec = spec(definition("own", 1), 2);
        let json = format!(
            r#"{{"awsvpcConfiguration":{{"subnets":["{}"],"securityGroups":["sg-2"]}}}}"#,
            id(number)
        );
        spec.described.insert(NETWORK_CONFIGURATION.to_owned(), json);
        spec
    };
    let (spec, started) = (spec_in(1), at.clone());
    let created_by = "arn:aws:iam::123456789012:root".to_owned();
    node.propose(Command::CreateService { key: service("web"), spec, tags: Tags::new(), created_by })
        .unwrap();
    let found = node.state.service(&service("web")).unwrap().clone();
    let start = Command::StartServiceTasks {
        service: service("web"),
        version: found.version,
        deployment: found.deployments[0].id,
        placements: vec![at; 2],
    };
    let Ok(Outcome::Tasks(tasks)) = node.propose(start) else { panic!("no tasks") };
    assert_eq!(tasks.len(), 2);
    assert_ne!(address(&node, tasks[0]), address(&node, tasks[1]));
    assert_eq!(node.state.interface(tasks[0]).unwrap().security_groups, ["sg-2"]);
    let found = node.state.service(&service("web")).unwrap().clone();
    let rollouts = vec![(found.deployments[0].id, RolloutState::Completed)];
    let progress = Box::new(command::ServiceProgress { rollouts, ..Default::default() });
    let record = Command::RecordProgress { service: service("web"), version: found.version, progress };
    node.propose(record).unwrap();
    // Another configuration is another deployment.
    let change = command::ServiceChange {
        described: [(NETWORK_CONFIGURATION.to_owned(), Some("{}".to_owned()))].into(),
        ..Default::default()
    };
    node.propose(Command::UpdateService { key: service("web"), change }).unwrap();
    assert_eq!(node.state.service(&service("web")).unwrap().deployments.len(), 2);
    let remove = Command::RemoveSubnet { subnet: id(1) };
    for task in tasks {
        stopped(&mut node, &started, task);
    }
    let refused = node.propose(remove).unwrap_err().to_string();
    assert!(refused.contains("in use by service web"), "it may be rolled back to it: {refused}");
    // Nobody can be given one that is not there.
    let mut spec = spec_in(9);
    spec.desired_count = 1;
    let created_by = "arn:aws:iam::123456789012:root".to_owned();
    let create = Command::CreateService { key: service("api"), spec, tags: Tags::new(), created_by };
    assert!(matches!(node.propose(create), Err(Rejection::SubnetNotFound { .. })));
}

#[test]
fn a_snapshot_and_a_reset_keep_what_they_should() {
    let (mut node, at) = node();
    add(&mut node, 1, "us-east-1a", "10.1.1.0/24").unwrap();
    let tasks = run(&mut node, &at, 2, &[1]).unwrap();
    let restored = codec::decode_snapshot(&codec::encode_snapshot(&node.state)).unwrap();
    assert_eq!(restored, node.state);
    assert_eq!(hash::state_hash(&restored), hash::state_hash(&node.state));
    node.propose(Command::Reset).unwrap();
    assert!(node.state.subnet(id(1)).is_some(), "it is the machines'");
    assert_eq!((node.state.interface(tasks[0]), free(&node, 1)), (None, 251));
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn below_their_level_there_are_none() {
    let mut node = Node::new();
    assert!(matches!(add(&mut node, 1, "us-east-1a", "10.1.1.0/24"), Err(Rejection::FeatureLevel { .. })));
}
