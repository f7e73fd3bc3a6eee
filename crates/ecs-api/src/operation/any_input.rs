//! Whatever comes in is answered: no bytes and no JSON make a served operation panic, and what is refused is refused with an error that
//! the operation declares.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value};
use trireme_ecs_model::Operation;

use super::answer;
use super::tests::call;
use crate::coverage;
use crate::error::Code;

/// Members that requests have, on whatever level: so that what is made up gets past the first look.
const MEMBERS: [&str; 40] = [
    "cluster",
    "clusterName",
    "clusters",
    "service",
    "serviceName",
    "services",
    "task",
    "tasks",
    "taskDefinition",
    "taskDefinitions",
    "family",
    "containerDefinitions",
    "name",
    "image",
    "cpu",
    "memory",
    "portMappings",
    "containerPort",
    "hostPort",
    "environment",
    "value",
    "key",
    "tags",
    "tagKeys",
    "resourceArn",
    "desiredCount",
    "count",
    "overrides",
    "containerOverrides",
    "settings",
    "attributes",
    "targetId",
    "containerInstances",
    "containerInstance",
    "capacityProviders",
    "autoScalingGroupProvider",
    "autoScalingGroupArn",
    "filter",
    "nextToken",
    "maxResults",
];

/// Texts that mean something to someone.
const TEXTS: [&str; 12] = [
    "default",
    "web",
    "web:1",
    "",
    "a b",
    "arn:aws:ecs:us-east-1:123456789012:cluster/default",
    "arn:aws:ecs:us-east-1:123456789012:service/default/web",
    "arn:aws:ecs:us-east-1:123456789012:task-definition/web:99999999999",
    "attribute:x =~ (",
    "containerInsights",
    "container-instance",
    "00000000000000000000000000000001",
];

fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        3 => proptest::sample::select(&TEXTS[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => prop_oneof![any::<i64>(), -1..=101_i64].prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        5 => text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let member = proptest::sample::select(&MEMBERS[..]).prop_map(str::to_owned);
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            2 => proptest::collection::vec((member, inner), 0..6)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

fn check(operation: Index, body: &[u8]) {
    let served: Vec<Operation> = coverage::served().collect();
    let operation = *operation.get(&served);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Err(error) = runtime.block_on(answer(call(), operation, body)) {
        let known = match error.code {
            Code::Ecs(code) => operation.errors().contains(&code),
            other => other.name() == "SerializationException",
        };
        assert!(known, "{operation}: {error}");
        assert!(error.code.status() < 500, "{operation}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_a_call(operation in any::<Index>(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(operation, &body);
    }

    #[test]
    fn no_json_breaks_a_call(operation in any::<Index>(), members in proptest::collection::vec(
        (proptest::sample::select(&MEMBERS[..]), json()), 0..8,
    )) {
        let body: Map<String, Value> =
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        check(operation, Value::Object(body).to_string().as_bytes());
    }
}
