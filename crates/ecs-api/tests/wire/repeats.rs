//! Calls of the services beside ECS that an SDK sends again because the answer to the first was lost.

use serde_json::{Value, json};

use crate::raw::{Answer, Signing, send, signed};
use crate::server::Server;
use crate::task_definitions::register;

/// A signed call of a service beside ECS, under the SDK's number of it.
async fn call(server: &Server, (service, target): (&str, &str), invocation: &str, body: &Value) -> Answer {
    let signing = Signing { service: service.to_owned(), ..Signing::default() };
    let headers = [
        ("x-amz-target", target),
        ("content-type", "application/x-amz-json-1.1"),
        ("amz-sdk-invocation-id", invocation),
    ];
    send(signed(server, &headers, body.to_string(), &signing)).await
}

async fn scaling(server: &Server, operation: &str, invocation: &str, members: Value) -> Answer {
    let mut body = json!({
        "ServiceNamespace": "ecs",
        "ResourceId": "service/default/web",
        "ScalableDimension": "ecs:service:DesiredCount",
    });
    members.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
    let target = format!("AnyScaleFrontendService.{operation}");
    call(server, ("application-autoscaling", &target), invocation, &body).await
}

#[tokio::test]
async fn what_is_deleted_twice_by_one_call_was_deleted() {
    let server = Server::start().await;
    let client = server.client();
    client.create_cluster().send().await.unwrap();
    register(&client, "web").await;
    let create = client.create_service().service_name("web").task_definition("web");
    create.desired_count(0).send().await.unwrap();
    let metric = json!({ "PredefinedMetricType": "ECSServiceAverageCPUUtilization" });
    let tracking = json!({ "TargetValue": 50.0, "PredefinedMetricSpecification": metric });
    let policy = json!({
        "PolicyName": "cpu",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": tracking,
    });
    let action = json!({
        "ScheduledActionName": "night",
        "Schedule": "cron(0 22 * * ? *)",
        "ScalableTargetAction": { "MinCapacity": 1 },
    });
    for (number, (operation, members)) in [
        ("RegisterScalableTarget", json!({ "MinCapacity": 0, "MaxCapacity": 3 })),
        ("PutScalingPolicy", policy),
        ("PutScheduledAction", action),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = scaling(&server, operation, &format!("put-{number}"), members).await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.body);
    }
    for (operation, members) in [
        ("DeleteScalingPolicy", json!({ "PolicyName": "cpu" })),
        ("DeleteScheduledAction", json!({ "ScheduledActionName": "night" })),
        ("DeregisterScalableTarget", json!({})),
    ] {
        let send = async |invocation: &str| scaling(&server, operation, invocation, members.clone()).await;
        assert_eq!(send(operation).await.status, 200, "{operation}");
        let events = server.events();
        assert_eq!(
            send(operation).await.status,
            200,
            "{operation}: the answer was lost, and it is sent again"
        );
        assert_eq!(send("another").await.json()["__type"], "ObjectNotFoundException", "{operation}");
        assert_eq!(server.events(), events);
    }
}

#[tokio::test]
async fn a_connection_is_deleted_once() {
    let server = Server::start().await;
    let auth = json!({ "BasicAuthParameters": { "Username": "u", "Password": "p" } });
    let connection = json!({ "Name": "c", "AuthorizationType": "BASIC", "AuthParameters": auth });
    let events = async |operation: &str, invocation: &str, body: &Value| {
        call(&server, ("events", &format!("AWSEvents.{operation}")), invocation, body).await
    };
    assert_eq!(events("CreateConnection", "one", &connection).await.status, 200);
    let named = json!({ "Name": "c" });
    for _ in 0..2 {
        let gone = events("DeleteConnection", "two", &named).await;
        assert_eq!((gone.status, gone.json()["ConnectionState"].as_str()), (200, Some("DELETING")));
    }
    assert_eq!(
        events("DeleteConnection", "three", &named).await.json()["__type"],
        "ResourceNotFoundException"
    );
}
