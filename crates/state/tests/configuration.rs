//! What is configured: clusters, capacity providers, custom attributes, protection, account settings, told as short stories.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use support::*;
use trireme_state::command::{
    AutoScalingGroupChange, ClusterChange, Command, InstanceAttribute, LogGroupChange,
};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn capacity(providers: &[&str], strategy: &[&str]) -> Command {
    let name = |text: &&str| CapacityProviderName::new(text).unwrap();
    let item = |text: &&str| StrategyItem { provider: name(text), weight: 1, base: 0 };
    let capacity = (providers.iter().map(name).collect(), strategy.iter().map(item).collect());
    Command::UpdateCluster {
        cluster: cluster("default"),
        change: Box::new(ClusterChange { capacity: Some(capacity), ..ClusterChange::default() }),
    }
}

fn attribute(instance: ContainerInstanceId, name: &str, value: Option<&str>) -> InstanceAttribute {
    InstanceAttribute { instance, name: name.to_owned(), value: value.map(str::to_owned) }
}

fn put(attributes: Vec<InstanceAttribute>) -> Command {
    Command::PutAttributes { cluster: cluster("default"), attributes }
}

#[test]
fn below_its_level_nothing_of_it_is_written() {
    let mut node = Node::new();
    let at = node.open("agent-1", "us-east-1a");
    let position = node.state.position();
    let refused = Rejection::FeatureLevel { needed: FeatureLevel::CONFIGURATION, level: FeatureLevel::FIRST };
    for command in [
        create_provider("machines"),
        put(vec![attribute(at.instance, "stack", None)]),
        capacity(&["FARGATE"], &[]),
    ] {
        assert_eq!(node.propose(command), Err(refused.clone()));
    }
    assert_eq!(node.state.position(), position);
}

#[test]
fn a_cluster_names_only_capacity_providers_that_are_there() {
    let mut node = Node::at_latest_level();
    node.open("agent-1", "us-east-1a");
    assert!(matches!(node.propose(capacity(&["machines"], &[])), Err(Rejection::Invalid { .. })));
    node.propose(create_provider("machines")).unwrap();
    assert!(matches!(node.propose(capacity(&[], &["machines"])), Err(Rejection::Invalid { .. })));
    let mixed = capacity(&["machines", "FARGATE"], &["machines", "FARGATE"]);
    assert!(matches!(node.propose(mixed), Err(Rejection::Invalid { .. })));
    node.propose(capacity(&["machines", "FARGATE"], &["machines"])).unwrap();

    let delete = Command::DeleteCapacityProvider { key: provider("machines") };
    let in_use = Rejection::CapacityProviderInUse { cluster: "default".to_owned() };
    assert_eq!(node.propose(delete.clone()), Err(in_use));
    node.propose(capacity(&["FARGATE"], &[])).unwrap();
    node.propose(delete.clone()).unwrap();
    assert_eq!(node.propose(delete), Err(Rejection::CapacityProviderNotFound));
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn a_deleted_cluster_that_is_created_again_begins_with_nothing() {
    let mut node = Node::at_latest_level();
    let create = |insights| Command::CreateConfiguredCluster {
        cluster: cluster("prod"),
        tags: Tags::new(),
        configuration: Box::new(ClusterChange { container_insights: Some(insights), ..Default::default() }),
    };
    node.propose(create(ContainerInsights::Enabled)).unwrap();
    let insights = |node: &Node| node.state.cluster_configuration(&cluster("prod")).container_insights;
    assert_eq!(insights(&node), ContainerInsights::Enabled);
    node.propose(create(ContainerInsights::Disabled)).unwrap();
    assert_eq!(insights(&node), ContainerInsights::Enabled, "the one that is there is not changed");
    node.propose(Command::DeleteCluster { cluster: cluster("prod") }).unwrap();
    node.propose(create(ContainerInsights::Disabled)).unwrap();
    assert_eq!(insights(&node), ContainerInsights::Disabled);
}

#[test]
fn two_who_update_a_provider_at_the_same_time_both_have_their_way() {
    let mut node = Node::at_latest_level();
    node.propose(create_provider("machines")).unwrap();
    let update = |change| Command::UpdateCapacityProvider { key: provider("machines"), change };
    let scaling = |node: &Node| {
        node.state.capacity_provider(&provider("machines")).unwrap().group.managed_scaling.clone()
    };
    node.propose(update(AutoScalingGroupChange { target_capacity: Some(80), ..Default::default() })).unwrap();
    node.propose(update(AutoScalingGroupChange { warmup_seconds: Some(9), ..Default::default() })).unwrap();
    assert_eq!((scaling(&node).target_capacity, scaling(&node).warmup_seconds), (80, 9));
    let protect = AutoScalingGroupChange { termination_protection: Some(true), ..Default::default() };
    assert!(node.propose(update(protect)).is_err(), "without managed scaling nobody would protect");
    assert_eq!(node.propose(create_provider("machines")), Err(Rejection::CapacityProviderExists));
}

#[test]
fn custom_attributes_outlive_the_session_but_not_the_instance() {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    node.propose(put(vec![attribute(at.instance, "stack", Some("prod"))])).unwrap();
    let again = Command::OpenSession {
        instance: Some(at.instance),
        registration: Box::new(registration("agent-1", "us-east-1a")),
    };
    node.propose(again).unwrap();
    let of = |node: &Node| node.state.attributes(node.state.instance(at.instance).unwrap());
    assert_eq!(of(&node)["stack"], "prod");
    assert_eq!(of(&node)["ecs.availability-zone"], "us-east-1a");

    let many = (0..10).map(|number| attribute(at.instance, &format!("a{number}"), None)).collect();
    assert_eq!(node.propose(put(many)), Err(Rejection::AttributeLimitExceeded { limit: 10 }));
    let elsewhere = vec![attribute(ContainerInstanceId::from_bits(7), "x", None)];
    assert_eq!(node.propose(put(elsewhere)), Err(Rejection::ContainerInstanceNotFound));

    let deregister =
        Command::DeregisterInstance { cluster: cluster("default"), instance: at.instance, force: true };
    node.propose(deregister).unwrap();
    assert!(node.state.custom_attributes(at.instance).is_empty());
}

#[test]
fn an_instance_without_a_session_is_there_and_takes_no_task() {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    let register = |instance| Command::RegisterInstance {
        instance,
        registration: Box::new(registration("i-1", "us-east-1b")),
        tags: Tags::from([("k".to_owned(), "v".to_owned())]),
    };
    let Ok(Outcome::Session { instance, epoch }) = node.propose(register(None)) else { panic!("no id") };
    let found = node.state.instance(instance).unwrap();
    assert!(!found.connected && epoch == SessionEpoch::default() && found.tags["k"] == "v");
    let position = node.state.position();
    node.propose(register(Some(instance))).unwrap();
    assert_eq!(node.state.position(), position, "twice is once");

    node.propose(self::register("web", None)).unwrap();
    let run = run_tasks(definition("web", 1), vec![Placement { instance, epoch }]);
    assert!(matches!(node.propose(run), Err(Rejection::Stale { .. })), "nobody would run it");
    let spoken_for = node.propose(register(Some(at.instance)));
    assert!(matches!(spoken_for, Err(Rejection::Invalid { .. })), "its agent speaks for it");
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn only_a_services_tasks_are_protected_and_for_so_long() {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    let Ok(Outcome::Tasks(alone)) = node.propose(run_tasks(definition("web", 1), vec![at.clone()])) else {
        panic!("no task");
    };
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    let found = node.state.service(&service("web")).unwrap().clone();
    let start = Command::StartServiceTasks {
        service: service("web"),
        version: found.version,
        deployment: found.deployments[0].id,
        placements: vec![at],
    };
    let Ok(Outcome::Tasks(of_service)) = node.propose(start) else { panic!("no task") };
    let protect = |task, minutes| Command::ProtectTask { cluster: cluster("default"), task, minutes };
    assert_eq!(node.propose(protect(alone[0], Some(1))), Err(Rejection::TaskNotOfService));
    node.propose(protect(of_service[0], Some(1))).unwrap();
    let now = node.now;
    let later = |seconds| now.plus(std::time::Duration::from_secs(seconds));
    assert_eq!(node.state.task_protection(of_service[0], later(59)), Some(later(60)));
    assert_eq!(node.state.task_protection(of_service[0], later(60)), None, "it is over");
    node.propose(protect(of_service[0], None)).unwrap();
    assert_eq!(node.state.task_protection(of_service[0], now), None);
}

#[test]
fn a_task_definition_is_deregistered_before_it_is_deleted() {
    let mut node = Node::at_latest_level();
    node.propose(register("web", None)).unwrap();
    let delete = Command::DeleteTaskDefinition { key: definition("web", 1) };
    assert_eq!(node.propose(delete.clone()), Err(Rejection::TaskDefinitionActive));
    node.propose(Command::DeregisterTaskDefinition { key: definition("web", 1) }).unwrap();
    node.propose(delete.clone()).unwrap();
    let position = node.state.position();
    node.propose(delete).unwrap();
    assert_eq!(node.state.position(), position, "twice is once");
    node.propose(register("web", None)).unwrap();
    assert!(node.state.task_definition(&definition("web", 2)).is_some(), "a revision is never used again");
}

#[test]
fn a_deleted_definition_is_forgotten_when_nothing_uses_it_any_more() {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    let Ok(Outcome::Tasks(tasks)) = node.propose(run_tasks(definition("web", 1), vec![at.clone()])) else {
        panic!("no task");
    };
    node.propose(create_service("web", definition("web", 1), 0)).unwrap();
    node.propose(Command::DeregisterTaskDefinition { key: definition("web", 1) }).unwrap();
    node.propose(Command::DeleteTaskDefinition { key: definition("web", 1) }).unwrap();
    let is_there = |node: &mut Node| {
        node.propose(Command::ForgetTaskDefinitions { keys: vec![definition("web", 1)] }).unwrap();
        invariant::check_state(&node.state).unwrap();
        node.state.task_definition(&definition("web", 1)).is_some()
    };
    assert!(is_there(&mut node), "a task and a service use it");
    node.propose(Command::DeleteService { key: service("web"), force: true }).unwrap();
    let version = node.state.service(&service("web")).unwrap().version;
    let progress = Box::new(command::ServiceProgress { inactive: true, ..Default::default() });
    let gone = node.propose(Command::RecordProgress { service: service("web"), version, progress });
    gone.unwrap();
    assert!(is_there(&mut node), "a task uses it");
    let reason = "silent".to_owned();
    node.propose(Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason }).unwrap();
    assert!(is_there(&mut node), "a stopped task is still described with it");
    node.propose(Command::ReapTasks { tasks }).unwrap();
    assert!(!is_there(&mut node));
    node.propose(register("web", None)).unwrap();
    assert!(node.state.task_definition(&definition("web", 2)).is_some(), "a revision is never used again");
}

#[test]
fn a_log_group_is_there_once_and_leaves_nothing() {
    let mut node = Node::at_latest_level();
    let key = log_group("/web");
    let tags = Tags::from([("k".to_owned(), "v".to_owned())]);
    assert_eq!(node.propose(Command::DeleteLogGroup { key: key.clone() }), Err(Rejection::LogGroupNotFound));
    let create = Command::CreateLogGroup { key: key.clone(), tags };
    node.propose(create.clone()).unwrap();
    assert_eq!(node.propose(create), Err(Rejection::LogGroupExists));
    node.propose(Command::ChangeLogGroup { key: key.clone(), change: LogGroupChange::Retention(Some(7)) })
        .unwrap();
    let add = Tags::from([("a".to_owned(), "b".to_owned())]);
    let change = LogGroupChange::Tags { add: add.clone(), remove: vec!["k".to_owned()] };
    node.propose(Command::ChangeLogGroup { key: key.clone(), change }).unwrap();
    let group = node.state.log_group(&key).unwrap();
    assert_eq!((group.retention_days, &group.tags), (Some(7), &add));
    let many = (0..=limits::TAGS_PER_RESOURCE).map(|number| (number.to_string(), String::new())).collect();
    let change = LogGroupChange::Tags { add: many, remove: Vec::new() };
    let tagged = node.propose(Command::ChangeLogGroup { key: key.clone(), change });
    assert!(matches!(tagged, Err(Rejection::LimitExceeded { .. })), "{tagged:?}");
    node.propose(Command::DeleteLogGroup { key: key.clone() }).unwrap();
    assert_eq!(node.state.log_groups_of(&key.scope).count(), 0);
}

/// A definition whose container writes to a log group.
fn logging(family: &str, create: bool) -> Command {
    let Command::RegisterTaskDefinition { scope, family, mut spec, tags, registered_by } =
        register(family, None)
    else {
        unreachable!("another command");
    };
    let options = format!(
        r#""awslogs-group":"/{family}","awslogs-region":"eu-west-1","awslogs-create-group":"{create}""#
    );
    let log = format!(r#"{{"logDriver":"awslogs","options":{{{options}}}}}"#);
    Arc::make_mut(&mut spec).containers[0].described.insert("logConfiguration".to_owned(), log);
    Command::RegisterTaskDefinition { scope, family, spec, tags, registered_by }
}

#[test]
fn a_task_makes_the_log_group_that_it_is_to_make() {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    let key = |name: &str| {
        let scope = Scope { region: Region::new("eu-west-1").unwrap(), ..Scope::development() };
        LogGroupKey { scope, name: name.to_owned() }
    };
    for (family, create) in [("makes", true), ("takes", false)] {
        node.propose(logging(family, create)).unwrap();
        node.propose(run_tasks(definition(family, 1), vec![at.clone()])).unwrap();
        assert_eq!(node.state.log_group(&key(&format!("/{family}"))).is_some(), create, "{family}");
    }
    let before = node.state.log_group(&key("/makes")).cloned();
    node.propose(run_tasks(definition("makes", 1), vec![at])).unwrap();
    assert_eq!(node.state.log_group(&key("/makes")).cloned(), before, "the second task finds it");
}

#[test]
fn settings_that_are_taken_back_leave_nothing() {
    let mut node = Node::at_latest_level();
    let key = SettingsKey { scope: Scope::development(), principal: None };
    let change = |value: Option<&str>| Command::ChangeAccountSetting {
        key: key.clone(),
        name: "containerInsights".to_owned(),
        value: value.map(str::to_owned),
    };
    node.propose(change(Some("enabled"))).unwrap();
    assert_eq!(node.state.account_settings(&key)["containerInsights"], "enabled");
    node.propose(change(None)).unwrap();
    assert_eq!(node.state.settings_of(&key.scope).count(), 0);
}
