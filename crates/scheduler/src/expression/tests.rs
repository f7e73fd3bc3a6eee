#![allow(clippy::unwrap_used, clippy::expect_used, clippy::arithmetic_side_effects, reason = "tests")]

use proptest::prelude::*;
use trireme_state::command::{InstanceAttribute, RunTasks};
use trireme_state::object::{
    ClusterKey, InstanceRegistration, InstanceResources, TaskDefinitionKey, TaskDefinitionSpec, TaskOverrides,
};
use trireme_state::store::{LocalStore, Store as _};
use trireme_state::{Actor, Command, Outcome, Placement, Proposal};
use trireme_types::{ClusterName, ContainerInstanceId, CpuUnits, Family, Mebibytes, RequestId, Scope, Zone};

use super::*;

/// 2026-11-28T10:00:00Z, when the instance registered.
const REGISTERED: u64 = 1_795_860_000_000;

/// A state with one instance: 1a, t2.small, stack prod, with one task of group `batch`.
fn one_instance() -> (std::sync::Arc<State>, ContainerInstanceId) {
    let store = LocalStore::new([3; 32], Timestamp::from_millis(REGISTERED));
    let cluster = ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() };
    let propose = |command| {
        let proposal =
            Proposal { actor: Actor::Operator, request_id: RequestId::from_bits(1), key: None, command };
        store.propose_now(&proposal).unwrap().outcome
    };
    let registration = InstanceRegistration {
        cluster: cluster.clone(),
        name: "us-east-1a/agent-1".to_owned(),
        zone: Zone::new("us-east-1a").unwrap(),
        resources: InstanceResources {
            cpu: CpuUnits::new(1024),
            memory: Mebibytes::new(1024),
            reserved_ports: Vec::new(),
        },
        attributes: [("ecs.instance-type", "t2.small"), ("release", "1.10")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        agent_version: "1.10.2".to_owned(),
        docker_version: "28".to_owned(),
    };
    let open = Command::OpenSession { instance: None, registration: Box::new(registration) };
    let Outcome::Session { instance, epoch } = propose(open) else { panic!("no session") };
    let stack = InstanceAttribute { instance, name: "stack".to_owned(), value: Some("prod".to_owned()) };
    propose(Command::PutAttributes { cluster: cluster.clone(), attributes: vec![stack] });
    let family = Family::new("job").unwrap();
    let spec = TaskDefinitionSpec {
        containers: Vec::new(),
        network_mode: None,
        cpu: None,
        memory: None,
        requires_compatibilities: Vec::new(),
        task_role_arn: None,
        execution_role_arn: None,
        described: Default::default(),
    };
    propose(Command::RegisterTaskDefinition {
        scope: Scope::development(),
        family: family.clone(),
        spec: std::sync::Arc::new(spec),
        tags: Default::default(),
        registered_by: "arn".to_owned(),
    });
    propose(Command::RunTasks(Box::new(RunTasks {
        cluster,
        definition: TaskDefinitionKey { scope: Scope::development(), family, revision: 1 },
        overrides: TaskOverrides::default(),
        group: Some("batch".to_owned()),
        started_by: None,
        tags: Default::default(),
        placements: vec![Placement { instance, epoch }],
    })));
    (store.view(), instance)
}

#[track_caller]
fn check(expected: bool, expressions: &[&str]) {
    let (state, id) = one_instance();
    let instance = state.instance(id).unwrap();
    // A day later.
    let now = Timestamp::from_millis(REGISTERED + 86_400_000);
    for text in expressions {
        let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(expression.holds(&state, instance, now), expected, "{text}");
    }
}

#[test]
fn what_holds() {
    check(
        true,
        &[
            "attribute:ecs.instance-type == t2.small",
            "attribute:ecs.instance-type equals t2.small",
            "attribute:ecs.instance-type in [t2.micro, t2.small]",
            "attribute:ecs.instance-type =~ t2.*",
            "attribute:ecs.instance-type matches t2\\.(small|large)",
            "(attribute:ecs.instance-type =~ t2\\.(small|large))",
            "attribute:ecs.availability-zone != us-east-1b",
            "attribute:stack =~ \\w+",
            "attribute:release == 1.10",
            "attribute:release != 1.1",
            "attribute:release < 1.2",
            "attribute:stack exists",
            "attribute:nope !exists",
            "attribute:nope not_exists",
            "attribute:nope != prod",
            "attribute:stack !in [test, \"dev\"]",
            "attribute:stack not_in [test]",
            "agentConnected == true",
            "agentVersion > 1.9.7",
            "agentVersion >= 1.10.2",
            "ec2InstanceId == us-east-1a/agent-1",
            "runningTasksCount == 0",
            "runningTasksCount < 1",
            "runningTasksCount less_than_equal 0",
            "task:group == batch",
            "registeredAt < 2026-11-28T10:00:01+00:00",
            "registeredAt >= 2026-11-28",
            "registeredAt < -12h",
            "not(task:group == database)",
            "!(task:group == database)",
            "(attribute:stack == prod and agentConnected == true) or runningTasksCount > 5",
            "attribute:stack == nope && attribute:stack == nope || attribute:stack == prod",
        ],
    );
}

#[test]
fn what_does_not_hold() {
    check(
        false,
        &[
            "attribute:ecs.instance-type == t2",
            "attribute:ecs.instance-type =~ t2",
            "attribute:ecs.instance-type !~ t2.*",
            "attribute:nope == x",
            "attribute:nope > 0",
            "attribute:nope < 5",
            "attribute:stack !exists",
            "registeredAt > -12h",
            "runningTasksCount greater_than 0",
            "task:group != batch",
            "not attribute:stack == prod",
            "attribute:stack == prod and not agentConnected == true",
        ],
    );
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    for (text, message, at) in [
        ("", "a subject is missing", 1),
        ("nope == x", "nope is no subject", 1),
        ("attribute: == x", "attribute: is no subject", 1),
        ("attribute:x", "an operator is missing", 12),
        ("attribute:x like y", "like is no operator", 13),
        ("attribute:x ==", "an argument is missing", 15),
        ("attribute:x in y", "a list is missing", 16),
        ("attribute:x in [a b]", "a ] is missing", 19),
        ("(attribute:x exists", "a ) is missing", 20),
        ("attribute:x exists exists", "the expression should end", 20),
        ("attribute:x == \"y", "\" is not closed", 16),
        ("attribute:x & y", "& is no operator", 13),
        ("attribute:x =~ (?=a)", "(?=a) is no regular expression", 16),
        ("attribute:x =~ 'a)|(?:b'", "a)|(?:b is no regular expression", 16),
        ("attribute:x =~ (a{1000}){1000}", "(a{1000}){1000} is too large a regular expression", 16),
        ("registeredAt < soon", "soon is no time", 14),
    ] {
        let error = Expression::parse(text).unwrap_err();
        assert!(error.message.starts_with(message), "{text}: {error}");
        assert_eq!(error.at, at, "{text}: {error}");
    }
    let deep = format!("{}agentConnected == true{}", "(".repeat(40), ")".repeat(40));
    assert!(Expression::parse(&deep).unwrap_err().message.contains("nested at most 32"));
    assert!(Expression::parse(&"x".repeat(2_001)).unwrap_err().message.contains("at most 2000"));
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(text in "[a-zA-Z:.!=<>~&|()\\[\\],\"' *-]{0,80}") {
        let _ = Expression::parse(&text);
    }
}
