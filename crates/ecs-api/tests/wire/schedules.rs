//! EventBridge Scheduler and EventBridge: schedules, their groups and rules, as requests and answers.

use serde_json::{Value, json};
use trireme_state::command::NewSubnet;
use trireme_state::object::{DEFAULT_GROUP, Launching, ScheduleGroupKey, ScheduleKey, StrategyItem, Trigger};
use trireme_state::store::Store;
use trireme_types::{CapacityProviderName, Scope, SubnetId, Zone};

use crate::raw::{Answer, Signing, call, send, signed, signed_to};
use crate::server::Server;

const CLUSTER: &str = "arn:aws:ecs:us-east-1:123456789012:cluster/default";
const ROLE: &str = "arn:aws:iam::123456789012:role/events";

async fn scheduler(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let signing = Signing { service: "scheduler".to_owned(), ..Signing::default() };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("content-type", "application/json")];
    let answer = send(signed_to(server, (method, path), &headers, body, &signing)).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    answer
}

pub async fn events(server: &Server, operation: &str, body: &Value) -> Answer {
    let signing = Signing { service: "events".to_owned(), ..Signing::default() };
    let target = format!("AWSEvents.{operation}");
    let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
    send(signed(server, &headers, body.to_string(), &signing)).await
}

/// A server with a cluster, a machine and the definition `job`.
pub async fn ready() -> Server {
    let server = Server::start().await;
    let command = trireme_state::Command::RaiseFeatureLevel { level: trireme_state::FeatureLevel::LATEST };
    server.propose(command);
    server.add_instance("us-east-1a", 4_096, 4_096);
    let job = r#"{"family":"job","containerDefinitions":[{"name":"main","image":"busybox","memory":16}]}"#;
    assert_eq!(call(&server, "RegisterTaskDefinition", job).await.status, 200);
    server
}

fn target() -> Value {
    json!({
        "Arn": CLUSTER,
        "RoleArn": ROLE,
        "Input": r#"{"containerOverrides":[{"name":"main","command":["true"]}]}"#,
        "EcsParameters": { "TaskDefinitionArn": "job", "TaskCount": 2, "LaunchType": "EC2" },
    })
}

fn hourly() -> Value {
    json!({
        "ScheduleExpression": "rate(1 hours)",
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": target(),
    })
}

fn with(mut value: Value, member: &str, to: Value) -> Value {
    value[member] = to;
    value
}

pub fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["__type"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_schedule_is_made_described_changed_listed_and_deleted() {
    let server = ready().await;
    let made = scheduler(&server, "POST", "/schedules/nightly.job", &hourly()).await;
    let arn = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/nightly.job";
    assert_eq!((made.status, made.json()), (200, json!({ "ScheduleArn": arn })));
    let again = scheduler(&server, "POST", "/schedules/nightly.job", &hourly()).await;
    assert_eq!(code(&again), (409, "ConflictException".to_owned()));
    assert_eq!(again.json()["Message"], "Schedule nightly.job already exists.");

    let found =
        scheduler(&server, "GET", "/schedules/nightly.job?groupName=default", &Value::Null).await.json();
    assert_eq!((&found["Arn"], &found["State"]), (&json!(arn), &json!("ENABLED")));
    assert_eq!(found["ScheduleExpressionTimezone"], "UTC");
    assert_eq!(found["FlexibleTimeWindow"], json!({ "Mode": "OFF" }));
    assert_eq!(found["Target"]["EcsParameters"]["TaskCount"], 2);
    assert_eq!(found["Target"]["RetryPolicy"]["MaximumRetryAttempts"], 185);
    assert!(found["CreationDate"].as_f64().unwrap() > 1e9);

    let view = server.store.view();
    let group = ScheduleGroupKey { scope: Scope::development(), name: DEFAULT_GROUP.to_owned() };
    let key = ScheduleKey { group, name: "nightly.job".to_owned() };
    let schedule = view.schedule(&key).unwrap();
    assert_eq!(
        schedule.spec.target.tasks().unwrap().overrides.containers[0].command,
        Some(vec!["true".to_owned()])
    );
    let next = view.firing(&Trigger::Schedule(key.clone())).next.unwrap();
    assert_eq!(next.at, schedule.spec.anchor, "a rate begins at once");

    let body = with(hourly(), "ScheduleExpressionTimezone", json!("Europe/Berlin"));
    let body = with(body, "ScheduleExpression", json!("cron(30 2 L * ? *)"));
    let body = with(with(body, "State", json!("DISABLED")), "EndDate", json!(4_000_000_000.0));
    let body = with(body, "FlexibleTimeWindow", json!({ "Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15 }));
    let changed = scheduler(&server, "PUT", "/schedules/nightly.job", &body).await;
    assert_eq!((changed.status, changed.json()), (200, json!({ "ScheduleArn": arn })));
    let found = scheduler(&server, "GET", "/schedules/nightly.job", &Value::Null).await.json();
    assert_eq!((&found["State"], &found["EndDate"]), (&json!("DISABLED"), &json!(4_000_000_000.0)));
    assert_eq!(found["FlexibleTimeWindow"]["MaximumWindowInMinutes"], 15);
    assert_eq!(server.store.view().firing(&Trigger::Schedule(key)).next, None);

    let list =
        scheduler(&server, "GET", "/schedules?NamePrefix=night&State=DISABLED", &Value::Null).await.json();
    assert_eq!(list["Schedules"][0]["Target"], json!({ "Arn": CLUSTER }));
    let none = scheduler(&server, "GET", "/schedules?State=ENABLED", &Value::Null).await.json();
    assert_eq!(none, json!({ "Schedules": [] }));
    assert_eq!(scheduler(&server, "DELETE", "/schedules/nightly.job", &Value::Null).await.status, 200);
    let gone = scheduler(&server, "DELETE", "/schedules/nightly.job", &Value::Null).await;
    assert_eq!(code(&gone), (404, "ResourceNotFoundException".to_owned()));
    let gone = scheduler(&server, "GET", "/schedules/nightly.job", &Value::Null).await;
    assert_eq!(code(&gone), (404, "ResourceNotFoundException".to_owned()));
}

#[tokio::test]
async fn a_repeat_with_the_same_client_token_is_one_schedule() {
    let server = ready().await;
    let body = with(hourly(), "ClientToken", json!("once"));
    for _ in 0..2 {
        assert_eq!(scheduler(&server, "POST", "/schedules/s", &body).await.status, 200);
    }
    let other = with(body, "Description", json!("another"));
    assert_eq!(code(&scheduler(&server, "POST", "/schedules/s", &other).await).0, 409);
}

#[tokio::test]
async fn what_is_wrong_with_a_schedule_is_said_and_changes_nothing() {
    let server = ready().await;
    let before = server.events();
    let of_target = |member: &str, to: Value| with(hourly(), "Target", with(target(), member, to));
    let of_tasks = |member: &str, to: Value| {
        of_target("EcsParameters", with(target()["EcsParameters"].clone(), member, to))
    };
    for (body, because) in [
        (with(hourly(), "ScheduleExpression", json!("rate(5 minute)")), "plural"),
        (with(hourly(), "ScheduleExpression", json!("cron(0 12 * * * *)")), "must be '?'"),
        (with(hourly(), "ScheduleExpressionTimezone", json!("Mars/Base")), "not a time zone"),
        (with(hourly(), "FlexibleTimeWindow", json!({ "Mode": "FLEXIBLE" })), "between 1 and 1440"),
        (with(hourly(), "FlexibleTimeWindow", Value::Null), "must not be null"),
        (with(hourly(), "EndDate", json!(1.0)), "EndDate"),
        (with(hourly(), "StartDate", json!(1e300)), "not a date"),
        (with(hourly(), "State", json!("SLEEPING")), "ENABLED or DISABLED"),
        (with(hourly(), "ActionAfterCompletion", json!("EXPLODE")), "NONE or DELETE"),
        (with(hourly(), "Target", Value::Null), "Target must not be null"),
        (
            of_target("Arn", json!("arn:aws:lambda:us-east-1:123456789012:function:f")),
            "must be the ARN of an ECS cluster",
        ),
        (
            of_target("Arn", json!("arn:aws:ecs:eu-west-1:123456789012:cluster/c")),
            "of this account and region",
        ),
        (of_target("SqsParameters", json!({})), "Target.SqsParameters is not supported"),
        (of_target("Input", json!("[]")), "overrides"),
        (
            of_target("Input", json!(r#"{"containerOverrides":[{"name":"x"}]}"#)),
            "Override for container named x",
        ),
        (of_target("RetryPolicy", json!({ "MaximumRetryAttempts": 186 })), "between 0 and 185"),
        (of_target("EcsParameters", Value::Null), "EcsParameters must be given"),
        (of_tasks("TaskCount", json!(11)), "between 1 and 10"),
        (of_tasks("TaskDefinitionArn", json!("nothing")), "'nothing' was not found"),
        (of_tasks("PropagateTags", json!("SERVICE")), "TASK_DEFINITION"),
        (of_tasks("Group", json!("service:x")), "namespace"),
        (
            of_tasks("NetworkConfiguration", json!({ "awsvpcConfiguration": { "Subnets": ["subnet-1"] } })),
            "awsvpc",
        ),
        (of_tasks("PlacementConstraints", json!([{ "type": "memberOf", "expression": "((" }])), "expression"),
    ] {
        let answer = scheduler(&server, "POST", "/schedules/s", &body).await;
        assert_eq!(code(&answer), (400, "ValidationException".to_owned()), "{body}");
        let message = answer.json()["Message"].as_str().unwrap().to_owned();
        assert!(message.contains(because), "{message}");
    }
    let long = format!("/schedules/{}", "s".repeat(65));
    for path in [long.as_str(), "/schedules/a%20b", "/schedules/%E2%82%AC"] {
        assert_eq!(code(&scheduler(&server, "POST", path, &hourly()).await).0, 400, "{path}");
    }
    let elsewhere = with(hourly(), "GroupName", json!("missing"));
    assert_eq!(code(&scheduler(&server, "POST", "/schedules/s", &elsewhere).await).0, 404);
    assert_eq!(code(&scheduler(&server, "PUT", "/schedules/s", &hourly()).await).0, 404);
    assert_eq!(
        code(&scheduler(&server, "GET", "/schedules?ScheduleGroup=missing", &Value::Null).await).0,
        404
    );
    assert_eq!(code(&scheduler(&server, "GET", "/schedules?MaxResults=0", &Value::Null).await).0, 400);
    assert_eq!(code(&scheduler(&server, "GET", "/schedules?MaxResults=x", &Value::Null).await).0, 400);
    assert_eq!(code(&scheduler(&server, "POST", "/schedules/s", &json!([1])).await).0, 400);
    assert_eq!(server.events(), before);
    let unsigned = http::Request::builder().uri(format!("{}/schedules", server.url()));
    let answer = send(unsigned.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 403, "{}", answer.body);
}

/// [`ready`], with the definition `web` for FARGATE, and two capacity providers of the cluster. Gives where such tasks get interfaces.
async fn ready_pools() -> (Server, Value) {
    let server = ready().await;
    let subnet = SubnetId::from_random(1);
    let new = NewSubnet {
        id: subnet,
        scope: Scope::development(),
        zone: Zone::new("us-east-1a").unwrap(),
        cidr: "10.1.0.0/24".parse().unwrap(),
        network: None,
    };
    server.propose(trireme_state::Command::AddSubnet { subnet: Box::new(new) });
    let web = json!({
        "family": "web", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "containerDefinitions": [{ "name": "main", "image": "busybox" }],
    });
    assert_eq!(call(&server, "RegisterTaskDefinition", &web.to_string()).await.status, 200);
    for name in ["p", "q"] {
        let group = json!({ "name": name, "autoScalingGroupProvider": { "autoScalingGroupArn": name } });
        assert_eq!(call(&server, "CreateCapacityProvider", &group.to_string()).await.status, 200);
    }
    default_strategy(&server, &json!([])).await;
    let vpc = json!({ "Subnets": [subnet.to_string()], "AssignPublicIp": "ENABLED" });
    (server, json!({ "awsvpcConfiguration": vpc }))
}

async fn default_strategy(server: &Server, items: &Value) {
    let put = json!({
        "cluster": "default", "capacityProviders": ["p", "q", "FARGATE", "FARGATE_SPOT"],
        "defaultCapacityProviderStrategy": items,
    });
    assert_eq!(call(server, "PutClusterCapacityProviders", &put.to_string()).await.status, 200);
}

/// An hourly schedule with these members of its EcsParameters in place of the usual ones.
fn asking(definition: &str, members: &Value) -> Value {
    let mut body = hourly();
    let parameters = body["Target"]["EcsParameters"].as_object_mut().unwrap();
    parameters.remove("LaunchType");
    parameters.insert("TaskDefinitionArn".to_owned(), json!(definition));
    parameters.extend(members.as_object().unwrap().clone());
    body
}

/// On what a schedule's tasks are launched, as it is kept.
fn launching(server: &Server, name: &str) -> Option<Launching> {
    let group = ScheduleGroupKey { scope: Scope::development(), name: DEFAULT_GROUP.to_owned() };
    let key = ScheduleKey { group, name: name.to_owned() };
    server.store.view().schedule(&key).unwrap().spec.target.tasks().unwrap().launching.clone()
}

#[tokio::test]
async fn a_target_says_on_what_its_tasks_are_launched() {
    let (server, network) = ready_pools().await;
    let strategy = json!([
        { "capacityProvider": "p", "weight": 1, "base": 2 }, { "capacityProvider": "q", "weight": 3 },
    ]);
    let item = |name: &str, weight, base| StrategyItem {
        provider: CapacityProviderName::new(name).unwrap(),
        weight,
        base,
    };
    let spot = json!([{ "capacityProvider": "FARGATE_SPOT", "weight": 1 }]);
    for (name, body, kept) in [
        ("nothing", asking("job", &json!({})), None),
        ("empty", asking("job", &json!({ "CapacityProviderStrategy": [] })), None),
        ("ec2", asking("job", &json!({ "LaunchType": "EC2" })), Some(Launching::Instances)),
        (
            "fargate",
            asking(
                "web",
                &json!({ "LaunchType": "FARGATE", "PlatformVersion": "1.4.0", "NetworkConfiguration": network }),
            ),
            Some(Launching::Fargate),
        ),
        (
            "strategy",
            asking("job", &json!({ "CapacityProviderStrategy": strategy })),
            Some(Launching::Strategy(vec![item("p", 1, 2), item("q", 3, 0)])),
        ),
        (
            "spot",
            asking(
                "web",
                &json!({ "CapacityProviderStrategy": spot, "PlatformVersion": "LATEST", "NetworkConfiguration": network }),
            ),
            Some(Launching::Strategy(vec![item("FARGATE_SPOT", 1, 0)])),
        ),
    ] {
        let path = format!("/schedules/{name}");
        let made = scheduler(&server, "POST", &path, &body).await;
        assert_eq!(made.status, 200, "{name}: {}", made.body);
        assert_eq!(launching(&server, name), kept, "{name}");
        let found = scheduler(&server, "GET", &path, &Value::Null).await.json();
        let given = body["Target"]["EcsParameters"].as_object().unwrap();
        for (member, value) in given {
            assert_eq!(&found["Target"]["EcsParameters"][member], value, "{name}");
        }
    }
    // The default is looked up when they run, not when they are put.
    default_strategy(&server, &spot).await;
    let unsaid = asking("web", &json!({ "NetworkConfiguration": network }));
    let made = scheduler(&server, "POST", "/schedules/default", &unsaid).await;
    assert_eq!((made.status, launching(&server, "default")), (200, None), "{}", made.body);
}

#[tokio::test]
async fn a_target_is_held_to_what_run_task_is() {
    let (server, network) = ready_pools().await;
    let before = server.events();
    let items = |names: &[&str]| -> Value {
        names.iter().map(|name| json!({ "capacityProvider": name, "weight": 1, "base": 1 })).collect()
    };
    let fargate = |member: &str, to: Value| {
        asking("web", &with(json!({ "LaunchType": "FARGATE", "NetworkConfiguration": network }), member, to))
    };
    let of = |members: Value| asking("job", &members);
    let by_strategy = |items: Value| of(json!({ "CapacityProviderStrategy": items }));
    for (body, because) in [
        (of(json!({ "LaunchType": "LAMBDA" })), "EC2, FARGATE or EXTERNAL"),
        (of(json!({ "LaunchType": "EXTERNAL" })), "launchType EXTERNAL is not supported"),
        (of(json!({ "LaunchType": "FARGATE" })), "does not support launch_type FARGATE"),
        (
            of(json!({ "LaunchType": "EC2", "CapacityProviderStrategy": items(&["p"]) })),
            "both a launch type and capacity provider strategy",
        ),
        (by_strategy(items(&["p", "q"])), "Only one capacity provider"),
        (by_strategy(json!([{ "capacityProvider": "p" }])), "weight greater than 0"),
        (by_strategy(json!([{ "capacityProvider": "p", "weight": 1_001 }])), "between 0 and 1000"),
        (by_strategy(json!([{ "capacityProvider": "p", "weight": "x" }])), "Invalid Target"),
        (by_strategy(items(&["r"])), "not associated with the cluster"),
        (by_strategy(items(&["p"; 7])), "at most 6 items"),
        (
            by_strategy(json!([{ "capacityProvider": "p", "weight": 1 }, { "capacityProvider": "FARGATE" }])),
            "cannot contain a mix",
        ),
        (of(json!({ "PlatformVersion": "LATEST" })), "platform version must be null"),
        (of(json!({ "LaunchType": "EC2", "PlatformVersion": "1.4.0" })), "platform version must be null"),
        (fargate("PlatformVersion", json!("1.3.0")), "specified platform does not exist"),
        (fargate("NetworkConfiguration", Value::Null), "Network Configuration must be provided"),
        (
            fargate("PlacementStrategy", json!([{ "type": "random" }])),
            "Placement strategies are not supported with FARGATE",
        ),
        (
            with(fargate("Group", json!("g")), "Target", {
                let target = fargate("Group", json!("g"))["Target"].clone();
                with(target, "Input", json!(r#"{"cpu":"300"}"#))
            }),
            "No Fargate configuration exists",
        ),
        (
            asking("web", &json!({ "LaunchType": "EC2", "NetworkConfiguration": network })),
            "Assign public IP is not supported",
        ),
    ] {
        let answer = scheduler(&server, "POST", "/schedules/s", &body).await;
        assert_eq!(code(&answer), (400, "ValidationException".to_owned()), "{body}");
        assert!(answer.body.contains(because), "{because}: {}", answer.body);
    }
    assert_eq!(server.events(), before);
}

#[tokio::test]
async fn a_signature_covers_path_and_query() {
    let server = ready().await;
    let signing = Signing { service: "scheduler".to_owned(), ..Signing::default() };
    let mut request = signed_to(&server, ("GET", "/schedules?NamePrefix=a"), &[], "", &signing);
    *request.uri_mut() = format!("{}/schedules?NamePrefix=b", server.url()).parse().unwrap();
    let answer = send(request).await;
    assert_eq!(code(&answer), (403, "InvalidSignatureException".to_owned()));
    let ecs = signed_to(&server, ("GET", "/schedules"), &[], "", &Signing::default());
    assert_eq!(send(ecs).await.status, 403, "it is signed for another service");
}

#[tokio::test]
async fn groups_have_tags_and_take_their_schedules_along() {
    let server = ready().await;
    let body = json!({ "Tags": [{ "Key": "trireme:overlap", "Value": "skip" }] });
    let made = scheduler(&server, "POST", "/schedule-groups/g", &body).await;
    let arn = "arn:aws:scheduler:us-east-1:123456789012:schedule-group/g";
    assert_eq!(made.json(), json!({ "ScheduleGroupArn": arn }));
    assert_eq!(code(&scheduler(&server, "POST", "/schedule-groups/g", &body).await).0, 409);
    assert_eq!(code(&scheduler(&server, "POST", "/schedule-groups/default", &body).await).0, 409);
    let path = format!("/tags/{}", arn.replace(':', "%3A").replace('/', "%2F"));
    let tag = json!({ "Tags": [{ "Key": "trireme:missed-runs", "Value": "latest" }] });
    assert_eq!(scheduler(&server, "POST", &path, &tag).await.status, 200);
    let wrong = json!({ "Tags": [{ "Key": "trireme:missed-runs", "Value": "perhaps" }] });
    assert_eq!(
        code(&scheduler(&server, "POST", &path, &wrong).await),
        (400, "ValidationException".to_owned())
    );
    let untag = format!("{path}?TagKeys=trireme%3Aoverlap&TagKeys=nothing");
    assert_eq!(scheduler(&server, "DELETE", &untag, &Value::Null).await.status, 200);
    let tags = scheduler(&server, "GET", &path, &Value::Null).await.json();
    assert_eq!(tags, json!({ "Tags": [{ "Key": "trireme:missed-runs", "Value": "latest" }] }));

    let inside = with(hourly(), "GroupName", json!("g"));
    assert_eq!(scheduler(&server, "POST", "/schedules/s", &inside).await.status, 200);
    let list = scheduler(&server, "GET", "/schedules?ScheduleGroup=g", &Value::Null).await.json();
    assert_eq!(list["Schedules"][0]["GroupName"], "g");
    let groups = scheduler(&server, "GET", "/schedule-groups?MaxResults=1", &Value::Null).await.json();
    assert_eq!(
        (&groups["ScheduleGroups"][0]["Name"], &groups["NextToken"]),
        (&json!("default"), &json!("default"))
    );
    let rest = scheduler(&server, "GET", "/schedule-groups?NextToken=default", &Value::Null).await.json();
    assert_eq!(rest["ScheduleGroups"][0]["Name"], "g");
    assert_eq!(scheduler(&server, "GET", "/schedule-groups/g", &Value::Null).await.json()["State"], "ACTIVE");
    assert_eq!(scheduler(&server, "DELETE", "/schedule-groups/g", &Value::Null).await.status, 200);
    assert_eq!(code(&scheduler(&server, "GET", "/schedules/s?groupName=g", &Value::Null).await).0, 404);
    assert_eq!(code(&scheduler(&server, "GET", "/schedule-groups/g", &Value::Null).await).0, 404);
    assert_eq!(code(&scheduler(&server, "DELETE", "/schedule-groups/default", &Value::Null).await).0, 400);
}

#[tokio::test]
async fn a_rule_and_its_targets() {
    let server = ready().await;
    let put = json!({ "Name": "r", "ScheduleExpression": "rate(1 minute)", "Tags": [{ "Key": "a", "Value": "b" }] });
    let arn = "arn:aws:events:us-east-1:123456789012:rule/r";
    assert_eq!(events(&server, "PutRule", &put).await.json(), json!({ "RuleArn": arn }));
    let targets = json!({ "Rule": "r", "Targets": [with(target(), "Id", json!("one"))] });
    let done = json!({ "FailedEntryCount": 0, "FailedEntries": [] });
    assert_eq!(events(&server, "PutTargets", &targets).await.json(), done);
    let found = events(&server, "DescribeRule", &json!({ "Name": "r" })).await.json();
    assert_eq!((&found["State"], &found["EventBusName"]), (&json!("ENABLED"), &json!("default")));
    let listed = events(&server, "ListTargetsByRule", &json!({ "Rule": "r" })).await.json();
    assert_eq!(listed["Targets"][0], targets["Targets"][0]);
    let mut fargate = with(target(), "Id", json!("one"));
    fargate["EcsParameters"]["LaunchType"] = json!("FARGATE");
    let refused = events(&server, "PutTargets", &json!({ "Rule": "r", "Targets": [fargate] })).await;
    assert_eq!(code(&refused), (400, "ValidationException".to_owned()));
    assert!(refused.body.contains("does not support launch_type FARGATE"), "{}", refused.body);
    let names = events(&server, "ListRuleNamesByTarget", &json!({ "TargetArn": CLUSTER })).await.json();
    assert_eq!(names, json!({ "RuleNames": ["r"] }));
    let tags = events(&server, "ListTagsForResource", &json!({ "ResourceARN": arn })).await.json();
    assert_eq!(tags, json!({ "Tags": [{ "Key": "a", "Value": "b" }] }));

    let key = trireme_state::object::RuleKey { scope: Scope::development(), name: "r".to_owned() };
    let due = |server: &Server| server.store.view().firing(&Trigger::Rule(key.clone())).next;
    let first = due(&server).unwrap();
    assert_eq!(events(&server, "PutRule", &put).await.status, 200);
    assert_eq!(due(&server), Some(first), "what stays is due when it was");
    assert_eq!(events(&server, "DisableRule", &json!({ "Name": "r" })).await.status, 200);
    assert_eq!(due(&server), None);
    assert_eq!(events(&server, "EnableRule", &json!({ "Name": "r" })).await.status, 200);
    assert!(due(&server).is_some());

    assert_eq!(code(&events(&server, "DeleteRule", &json!({ "Name": "r" })).await).1, "ValidationException");
    let remove = json!({ "Rule": "r", "Ids": ["one"] });
    assert_eq!(events(&server, "RemoveTargets", &remove).await.json(), done);
    assert_eq!(events(&server, "DeleteRule", &json!({ "Name": "r" })).await.status, 200);
    let gone = events(&server, "DescribeRule", &json!({ "Name": "r" })).await;
    assert_eq!(code(&gone), (400, "ResourceNotFoundException".to_owned()));
    assert_eq!(events(&server, "ListRules", &json!({})).await.json(), json!({ "Rules": [] }));
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_said_and_changes_nothing() {
    let server = ready().await;
    let before = server.events();
    let rule = |expression: &str| json!({ "Name": "r", "ScheduleExpression": expression });
    for (operation, body, expected) in [
        ("PutRule", rule("rate(1 minutes)"), "ValidationException"),
        ("PutRule", rule("at(2030-01-01T00:00:00)"), "ValidationException"),
        ("PutRule", json!({ "Name": "r" }), "ValidationException"),
        ("PutRule", json!({ "Name": "r r", "ScheduleExpression": "rate(1 minute)" }), "ValidationException"),
        (
            "PutRule",
            with(rule("rate(1 minute)"), "EventBusName", json!("other")),
            "ResourceNotFoundException",
        ),
        ("PutRule", with(rule("rate(1 minute)"), "State", json!("OFF")), "ValidationException"),
        ("PutTargets", json!({ "Rule": "r", "Targets": [] }), "ValidationException"),
        ("PutTargets", json!({ "Rule": "r", "Targets": [target()] }), "ResourceNotFoundException"),
        ("RemoveTargets", json!({ "Rule": "r", "Ids": ["x"] }), "ResourceNotFoundException"),
        ("EnableRule", json!({ "Name": "r" }), "ResourceNotFoundException"),
        ("DescribeEventBus", json!({ "Name": "other" }), "ResourceNotFoundException"),
        ("ListRules", json!({ "Limit": 101 }), "ValidationException"),
        ("CreateEventBus", json!({ "Name": "other" }), "UnsupportedOperationException"),
        ("PutEvents", json!({ "Entries": [] }), "UnsupportedOperationException"),
    ] {
        let answer = events(&server, operation, &body).await;
        assert_eq!(code(&answer), (400, expected.to_owned()), "{operation} {body}: {}", answer.body);
    }
    assert_eq!(
        events(&server, "DeleteRule", &json!({ "Name": "r" })).await.status,
        200,
        "as EventBridge has it"
    );
    assert_eq!(server.events(), before + 1, "but for the key that tells a repeat");
    for (pattern, result) in [(r#"{"source":["aws.ecs"]}"#, true), (r#"{"source":["aws.ec2"]}"#, false)] {
        let event = json!({
            "id": "1", "detail-type": "t", "source": "aws.ecs", "account": "1", "time": "2026-01-01T00:00:00Z",
            "region": "us-east-1", "resources": [], "detail": {},
        });
        let asked = json!({ "EventPattern": pattern, "Event": event.to_string() });
        assert_eq!(events(&server, "TestEventPattern", &asked).await.json(), json!({ "Result": result }));
    }
    let asked = json!({ "EventPattern": "{}", "Event": "{}" });
    let answer = events(&server, "TestEventPattern", &asked).await;
    assert_eq!(code(&answer), (400, "InvalidEventPatternException".to_owned()));
    let bus = events(&server, "DescribeEventBus", &json!({})).await.json();
    assert_eq!(bus["Arn"], "arn:aws:events:us-east-1:123456789012:event-bus/default");
    let buses = events(&server, "ListEventBuses", &json!({})).await.json();
    assert_eq!(buses["EventBuses"][0]["Name"], "default");
}
