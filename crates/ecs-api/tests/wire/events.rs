//! Rules with patterns, connections and API destinations, as requests and answers.

use serde_json::{Value, json};
use trireme_state::object::{
    ApiDestinationKey, Authorization, DeliveryKey, Invocation, RuleKey, TargetInput,
};
use trireme_state::store::Store;
use trireme_types::Scope;

use crate::schedules::{code, events, ready};
use crate::server::Server;

const ROLE: &str = "arn:aws:iam::123456789012:role/events";
const CLUSTER: &str = "arn:aws:ecs:us-east-1:123456789012:cluster/default";
const SECRET: &str = "a-key-that-nobody-else-has";

async fn done(server: &Server, operation: &str, body: Value) -> Value {
    let answer = events(server, operation, &body).await;
    assert_eq!(answer.status, 200, "{operation} {body}: {}", answer.body);
    answer.json()
}

fn connection(name: &str) -> Value {
    let auth = json!({ "ApiKeyAuthParameters": { "ApiKeyName": "x-key", "ApiKeyValue": SECRET } });
    json!({ "Name": name, "AuthorizationType": "API_KEY", "AuthParameters": auth })
}

/// A connection, and a destination with a star: its ARN.
async fn destination(server: &Server) -> String {
    let made = done(server, "CreateConnection", connection("c")).await;
    assert_eq!(made["ConnectionState"], "AUTHORIZED");
    let arn = &made["ConnectionArn"];
    let body = json!({
        "Name": "d", "ConnectionArn": arn, "InvocationEndpoint": "https://events.test/*/in", "HttpMethod": "POST",
    });
    let made = done(server, "CreateApiDestination", body).await;
    assert_eq!(made["ApiDestinationState"], "ACTIVE");
    made["ApiDestinationArn"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_rule_with_a_pattern_tells_its_targets_from_then_on() {
    let server = ready().await;
    let arn = destination(&server).await;
    let pattern = json!({ "source": ["aws.ecs"] }).to_string();
    done(&server, "PutRule", json!({ "Name": "r", "EventPattern": pattern })).await;
    assert_eq!(done(&server, "DescribeRule", json!({ "Name": "r" })).await["EventPattern"], json!(pattern));
    let transformer =
        json!({ "InputPathsMap": { "t": "$.detail.taskArn" }, "InputTemplate": "{\"task\": <t>}" });
    let hook = json!({
        "Id": "hook", "Arn": arn, "RoleArn": ROLE, "InputTransformer": transformer,
        "HttpParameters": { "PathParameterValues": ["a"], "HeaderParameters": { "x-h": "1" } },
        "RetryPolicy": { "MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 60 },
    });
    let job = json!({
        "Id": "job", "Arn": CLUSTER, "RoleArn": ROLE, "InputPath": "$.detail.overrides",
        "EcsParameters": { "TaskDefinitionArn": "job" },
    });
    let put = done(&server, "PutTargets", json!({ "Rule": "r", "Targets": [hook, job] })).await;
    assert_eq!(put["FailedEntryCount"], 0);
    let listed = done(&server, "ListTargetsByRule", json!({ "Rule": "r" })).await;
    assert_eq!(listed["Targets"], json!([hook, job]));

    let view = server.store.view();
    let rule = RuleKey { scope: Scope::development(), name: "r".to_owned() };
    let targets = &view.rule(&rule).unwrap().targets;
    assert!(matches!(&targets[0].invokes, Invocation::ApiDestination(call) if call.path_values == ["a"]));
    assert!(matches!(targets[0].input, TargetInput::Template { .. }));
    assert_eq!(targets[0].retry.max_attempts, 3);
    assert_eq!(targets[1].input, TargetInput::Part("$.detail.overrides".to_owned()));
    for id in ["hook", "job"] {
        let key = DeliveryKey { rule: rule.clone(), target: id.to_owned() };
        assert!(view.delivery(&key).is_some(), "{id} is told from now on");
    }
}

#[tokio::test]
async fn a_connections_secrets_are_sealed_and_what_is_not_given_stays() {
    let server = ready().await;
    destination(&server).await;
    let shown = done(&server, "DescribeConnection", json!({ "Name": "c" })).await;
    assert_eq!(shown["AuthParameters"]["ApiKeyAuthParameters"], json!({ "ApiKeyName": "x-key" }));
    let auth = json!({ "ApiKeyAuthParameters": { "ApiKeyName": "x-other" } });
    done(&server, "UpdateConnection", json!({ "Name": "c", "AuthParameters": auth })).await;
    let view = server.store.view();
    let found = view.connections_of(&Scope::development()).next().unwrap().clone();
    let Authorization::ApiKey { name, value } = &found.spec.authorization else { panic!("{found:?}") };
    assert_eq!(name, "x-other");
    assert!(!value.ciphertext.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));
    let key = trireme_iam::SealingKey::from_bytes([7; 32]);
    let sealed = trireme_iam::Sealed { nonce: value.nonce, ciphertext: value.ciphertext.clone() };
    let account = &found.key.scope.account;
    let opened = key.unseal(&found.key.seal_name(Authorization::SECRET), account, &sealed);
    assert_eq!(opened.unwrap(), SECRET, "it stays");
    let body = json!({ "Name": "d", "HttpMethod": "PUT" });
    done(&server, "UpdateApiDestination", body).await;
    let shown = done(&server, "DescribeApiDestination", json!({ "Name": "d" })).await;
    assert_eq!(
        (&shown["HttpMethod"], &shown["InvocationEndpoint"]),
        (&json!("PUT"), &json!("https://events.test/*/in"))
    );
    done(&server, "DeleteConnection", json!({ "Name": "c" })).await;
    let listed = done(&server, "ListApiDestinations", json!({})).await;
    assert_eq!(listed["ApiDestinations"][0]["ApiDestinationState"], "INACTIVE");
    let key = ApiDestinationKey { scope: Scope::development(), name: "d".to_owned() };
    assert!(server.store.view().api_destination(&key).is_some());
}

#[tokio::test]
async fn what_is_wrong_with_events_is_said_and_changes_nothing() {
    let server = ready().await;
    let arn = destination(&server).await;
    done(&server, "PutRule", json!({ "Name": "timed", "ScheduleExpression": "rate(1 hour)" })).await;
    let connection_arn =
        done(&server, "DescribeConnection", json!({ "Name": "c" })).await["ConnectionArn"].clone();
    let before = server.events();
    let basic = |username: &str| {
        let auth = json!({ "BasicAuthParameters": { "Username": username, "Password": "p" } });
        json!({ "Name": "b", "AuthorizationType": "BASIC", "AuthParameters": auth })
    };
    let with = |mut body: Value, member: &str, value: Value| {
        body[member] = value;
        body
    };
    let api_key = |name: &str| {
        let auth = json!({ "ApiKeyAuthParameters": { "ApiKeyName": name, "ApiKeyValue": "v" } });
        with(connection("k"), "AuthParameters", auth)
    };
    let to = |endpoint: &str| {
        json!({
            "Name": "e", "ConnectionArn": connection_arn, "InvocationEndpoint": endpoint, "HttpMethod": "POST",
        })
    };
    let target = |members: Value| {
        let mut target = json!({ "Id": "t", "Arn": arn, "HttpParameters": { "PathParameterValues": ["a"] } });
        members.as_object().unwrap().iter().for_each(|(name, value)| target[name] = value.clone());
        json!({ "Rule": "timed", "Targets": [target] })
    };
    let values = |values: Value| target(json!({ "HttpParameters": { "PathParameterValues": values } }));
    let headers = |headers: Value| {
        target(json!({ "HttpParameters": { "PathParameterValues": ["a"], "HeaderParameters": headers } }))
    };
    let job = json!({ "Arn": CLUSTER, "HttpParameters": null, "EcsParameters": { "TaskDefinitionArn": "job" }, "InputPath": "$.id" });
    for (operation, body, expected) in [
        ("CreateConnection", connection("c"), "ResourceAlreadyExistsException"),
        ("CreateConnection", connection("no name"), "ValidationException"),
        ("CreateConnection", basic("a:b"), "ValidationException"),
        ("CreateConnection", basic(""), "ValidationException"),
        ("CreateConnection", with(basic("a"), "AuthorizationType", json!("API_KEY")), "ValidationException"),
        ("CreateConnection", with(basic("a"), "KmsKeyIdentifier", json!("k")), "ValidationException"),
        ("CreateConnection", api_key("content-length"), "ValidationException"),
        ("CreateConnection", api_key("a b"), "ValidationException"),
        ("UpdateConnection", connection("nobody"), "ResourceNotFoundException"),
        ("DeleteConnection", json!({ "Name": "nobody" }), "ResourceNotFoundException"),
        ("CreateApiDestination", to("ftp://events.test/"), "ValidationException"),
        ("CreateApiDestination", to("https://me@events.test/"), "ValidationException"),
        (
            "CreateApiDestination",
            with(to("https://events.test/"), "HttpMethod", json!("TRACE")),
            "ValidationException",
        ),
        (
            "CreateApiDestination",
            with(to("https://events.test/"), "InvocationRateLimitPerSecond", json!(301)),
            "ValidationException",
        ),
        (
            "CreateApiDestination",
            with(to("https://events.test/"), "ConnectionArn", json!("arn:c")),
            "ResourceNotFoundException",
        ),
        ("DescribeApiDestination", json!({ "Name": "nobody" }), "ResourceNotFoundException"),
        ("PutRule", json!({ "Name": "p", "EventPattern": "{}" }), "InvalidEventPatternException"),
        ("PutTargets", values(json!([])), "ValidationException"),
        ("PutTargets", values(json!([".."])), "ValidationException"),
        ("PutTargets", headers(json!({ "Host": "other" })), "ValidationException"),
        ("PutTargets", headers(json!({ "x": "a\nb" })), "ValidationException"),
        ("PutTargets", target(json!({ "Arn": format!("{arn}x") })), "ValidationException"),
        ("PutTargets", target(json!({ "Input": "{" })), "ValidationException"),
        ("PutTargets", target(json!({ "Input": "1", "InputPath": "$.id" })), "ValidationException"),
        ("PutTargets", target(json!({ "SqsParameters": {} })), "ValidationException"),
        ("PutTargets", target(job), "ValidationException"),
        ("DeauthorizeConnection", json!({ "Name": "c" }), "UnsupportedOperationException"),
    ] {
        let answer = events(&server, operation, &body).await;
        assert_eq!(code(&answer), (400, expected.to_owned()), "{operation} {body}: {}", answer.body);
    }
    assert_eq!(server.events(), before, "nothing has changed");
}
