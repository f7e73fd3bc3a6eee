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
        "EcsParameters": { "TaskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/job" },
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
    assert_eq!(targets[1].tasks().unwrap().revision, None, "the newest of its family");
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

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

/// Each is refused, and nothing changes.
async fn refused(server: &Server, all: impl IntoIterator<Item = (&str, Value, &str)>) {
    let before = server.events();
    for (operation, body, expected) in all {
        let answer = events(server, operation, &body).await;
        assert_eq!(code(&answer), (400, expected.to_owned()), "{operation} {body}: {}", answer.body);
    }
    assert_eq!(server.events(), before, "nothing has changed");
}

const INVALID: &str = "ValidationException";
const MISSING: &str = "ResourceNotFoundException";

#[tokio::test]
async fn what_is_wrong_with_connections_and_destinations_is_said() {
    let server = ready().await;
    destination(&server).await;
    let known = done(&server, "DescribeConnection", json!({ "Name": "c" })).await["ConnectionArn"].clone();
    let basic = |username: &str| {
        let auth = json!({ "BasicAuthParameters": { "Username": username, "Password": "p" } });
        json!({ "Name": "b", "AuthorizationType": "BASIC", "AuthParameters": auth })
    };
    let api_key = |name: &str| {
        let auth = json!({ "ApiKeyAuthParameters": { "ApiKeyName": name, "ApiKeyValue": "v" } });
        with(connection("k"), "AuthParameters", auth)
    };
    let to = |endpoint: &str| json!({ "Name": "e", "ConnectionArn": known, "InvocationEndpoint": endpoint, "HttpMethod": "POST" });
    let good = || to("https://events.test/");
    let all = [
        ("CreateConnection", connection("c"), "ResourceAlreadyExistsException"),
        ("CreateConnection", connection("no name"), INVALID),
        ("CreateConnection", basic("a:b"), INVALID),
        ("CreateConnection", basic(""), INVALID),
        ("CreateConnection", with(basic("a"), "AuthorizationType", json!("API_KEY")), INVALID),
        ("CreateConnection", with(basic("a"), "KmsKeyIdentifier", json!("k")), INVALID),
        ("CreateConnection", api_key("content-length"), INVALID),
        ("CreateConnection", api_key("a b"), INVALID),
        ("UpdateConnection", connection("nobody"), MISSING),
        ("DeleteConnection", json!({ "Name": "nobody" }), MISSING),
        ("CreateApiDestination", to("ftp://events.test/"), INVALID),
        ("CreateApiDestination", to("https://me@events.test/"), INVALID),
        ("CreateApiDestination", with(good(), "HttpMethod", json!("TRACE")), INVALID),
        ("CreateApiDestination", with(good(), "InvocationRateLimitPerSecond", json!(301)), INVALID),
        ("CreateApiDestination", with(good(), "ConnectionArn", json!("arn:c")), MISSING),
        ("DescribeApiDestination", json!({ "Name": "nobody" }), MISSING),
        ("DeauthorizeConnection", json!({ "Name": "c" }), "UnsupportedOperationException"),
    ];
    refused(&server, all).await;
}

#[tokio::test]
async fn what_is_wrong_with_patterns_and_targets_is_said() {
    let server = ready().await;
    let arn = destination(&server).await;
    done(&server, "PutRule", json!({ "Name": "timed", "ScheduleExpression": "rate(1 hour)" })).await;
    let target = |members: Value| {
        let mut target = json!({ "Id": "t", "Arn": arn, "HttpParameters": { "PathParameterValues": ["a"] } });
        members.as_object().unwrap().iter().for_each(|(name, value)| target[name] = value.clone());
        json!({ "Rule": "timed", "Targets": [target] })
    };
    let http = |parameters: Value| target(json!({ "HttpParameters": parameters }));
    let values = |values: Value| http(json!({ "PathParameterValues": values }));
    let headers = |all: Value| http(json!({ "PathParameterValues": ["a"], "HeaderParameters": all }));
    let job = json!({
        "Rule": "timed",
        "Targets": [{
            "Id": "t", "Arn": CLUSTER, "EcsParameters": { "TaskDefinitionArn": "job" }, "InputPath": "$.id",
        }],
    });
    let all = [
        ("PutRule", json!({ "Name": "p", "EventPattern": "{}" }), "InvalidEventPatternException"),
        ("PutTargets", values(json!([])), INVALID),
        ("PutTargets", values(json!([".."])), INVALID),
        ("PutTargets", headers(json!({ "Host": "other" })), INVALID),
        ("PutTargets", headers(json!({ "x": "a\nb" })), INVALID),
        ("PutTargets", target(json!({ "Arn": format!("{arn}x") })), INVALID),
        ("PutTargets", target(json!({ "Input": "{" })), INVALID),
        ("PutTargets", target(json!({ "Input": "1", "InputPath": "$.id" })), INVALID),
        ("PutTargets", target(json!({ "SqsParameters": {} })), INVALID),
        ("PutTargets", job, INVALID),
    ];
    refused(&server, all).await;
}
