//! Task definitions.

use aws_sdk_ecs::types::{
    ContainerDefinition, NetworkMode, PortMapping, SortOrder, Tag, TaskDefinitionFamilyStatus,
    TaskDefinitionField, TaskDefinitionStatus,
};
use serde_json::json;

use crate::raw;
use crate::server::{Server, pair, refused};

pub fn app() -> ContainerDefinition {
    ContainerDefinition::builder()
        .name("app")
        .image("busybox")
        .cpu(128)
        .memory(64)
        .port_mappings(PortMapping::builder().container_port(80).build())
        .build()
}

/// Registers the family once and gives its ARN.
pub async fn register(client: &aws_sdk_ecs::Client, family: &str) -> String {
    let made = client.register_task_definition().family(family).container_definitions(app()).send().await;
    made.unwrap().task_definition().unwrap().task_definition_arn().unwrap().to_owned()
}

#[tokio::test]
async fn defaults_are_filled_in() {
    let server = Server::start().await;
    let answer = raw::call(
        &server,
        "RegisterTaskDefinition",
        r#"{"family":"web","cpu":".5 vCPU","memory":"1GB","containerDefinitions":
           [{"name":"app","image":"busybox","portMappings":[{"containerPort":80}]}]}"#,
    )
    .await;
    let definition = answer.json()["taskDefinition"].clone();
    assert_eq!(
        definition["containerDefinitions"],
        json!([{
            "name": "app", "image": "busybox", "cpu": 0, "essential": true,
            "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
            "environment": [], "mountPoints": [], "volumesFrom": [], "systemControls": []
        }])
    );
    assert_eq!(definition["taskDefinitionArn"], "arn:aws:ecs:us-east-1:123456789012:task-definition/web:1");
    assert_eq!((&definition["cpu"], &definition["memory"]), (&json!("512"), &json!("1024")));
    assert_eq!(definition["compatibilities"], json!(["EXTERNAL", "EC2"]));
    assert_eq!(definition["volumes"], json!([]));
    assert_eq!(definition["registeredBy"], "arn:aws:iam::123456789012:root");
    assert_eq!(definition["registeredAt"], json!(1_700_000_000.123));
    assert!(definition.get("networkMode").is_none(), "what was left out stays out");
    assert!(definition.get("requiresCompatibilities").is_none());
    assert_eq!(answer.json()["tags"], json!([]));
}

#[tokio::test]
async fn what_a_machine_must_be_able_to_do_is_told() {
    let server = Server::start().await;
    let required = async |body: &str| {
        let answer = raw::call(&server, "RegisterTaskDefinition", body).await.json();
        let attributes = answer["taskDefinition"]["requiresAttributes"].as_array().unwrap().clone();
        let names: Vec<String> =
            attributes.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        names
    };
    let docker = "com.amazonaws.ecs.capability.docker-remote-api.1.18";
    let plain = r#"{"family":"a","containerDefinitions":[{"name":"app","image":"busybox","memory":64}]}"#;
    assert_eq!(required(plain).await, [docker]);
    let more = r#"{"family":"a","memory":"128","taskRoleArn":"arn:aws:iam::123456789012:role/r","containerDefinitions":
        [{"name":"app","image":"busybox","logConfiguration":{"logDriver":"json-file"}}]}"#;
    let expected = [
        docker,
        "com.amazonaws.ecs.capability.logging-driver.json-file",
        "com.amazonaws.ecs.capability.task-iam-role",
        "ecs.capability.task-cpu-mem-limit",
    ];
    assert_eq!(required(more).await, expected);
}

#[tokio::test]
async fn revisions() {
    let server = Server::start().await;
    let client = server.client();
    let first = register(&client, "web").await;
    let second = register(&client, "web").await;
    assert!(first.ends_with("web:1") && second.ends_with("web:2"));
    let describe = async |name: &str| {
        let found = client.describe_task_definition().task_definition(name).send().await;
        found.map(|found| found.task_definition().unwrap().clone())
    };
    assert_eq!(describe("web").await.unwrap().revision(), 2);
    assert_eq!(describe("web:1").await.unwrap().revision(), 1);
    assert_eq!(describe(&first).await.unwrap().revision(), 1);
    let missing = refused(describe("web:9").await);
    assert_eq!(missing, pair("ClientException", "Unable to describe task definition."));

    let gone = client.deregister_task_definition().task_definition("web:2").send().await.unwrap();
    let gone = gone.task_definition().unwrap();
    assert_eq!(gone.status(), Some(&TaskDefinitionStatus::Inactive));
    assert!(gone.deregistered_at().is_some());
    assert_eq!(describe("web").await.unwrap().revision(), 1, "the newest active one");
    assert_eq!(describe("web:2").await.unwrap().status(), Some(&TaskDefinitionStatus::Inactive));
    assert!(register(&client, "web").await.ends_with("web:3"), "a revision is never reused");
    let without = refused(client.deregister_task_definition().task_definition("web").send().await);
    assert_eq!(without.0, "InvalidParameterException");
    let missing = refused(client.deregister_task_definition().task_definition("web:9").send().await);
    assert_eq!(missing, pair("ClientException", "TaskDefinition not found."));
}

#[tokio::test]
async fn lists_and_families() {
    let server = Server::start().await;
    let client = server.client();
    for _ in 0..11 {
        register(&client, "web").await;
    }
    register(&client, "web-b").await;
    register(&client, "api").await;
    client.deregister_task_definition().task_definition("api:1").send().await.unwrap();

    let mut listed = Vec::new();
    let mut pages = client.list_task_definitions().max_results(3).into_paginator().send();
    while let Some(page) = pages.next().await {
        listed.extend(page.unwrap().task_definition_arns().to_vec());
    }
    let names: Vec<&str> = listed.iter().map(|arn| arn.rsplit('/').next().unwrap()).collect();
    assert_eq!(names.len(), 12);
    assert_eq!(
        (names[0], names[1], names[9], names[10], names[11]),
        ("web:1", "web:2", "web:10", "web:11", "web-b:1")
    );

    let newest = client
        .list_task_definitions()
        .family_prefix("web")
        .sort(SortOrder::Desc)
        .max_results(1)
        .send()
        .await
        .unwrap();
    assert!(newest.task_definition_arns()[0].ends_with("web:11"));
    let inactive =
        client.list_task_definitions().status(TaskDefinitionStatus::Inactive).send().await.unwrap();
    assert!(inactive.task_definition_arns()[0].ends_with("api:1"));

    let families = async |status| {
        let found = client.list_task_definition_families().set_status(status).send().await.unwrap();
        found.families().to_vec()
    };
    assert_eq!(families(None).await, ["web", "web-b"]);
    assert_eq!(families(Some(TaskDefinitionFamilyStatus::All)).await, ["api", "web", "web-b"]);
    assert_eq!(families(Some(TaskDefinitionFamilyStatus::Inactive)).await, ["api"]);
}

#[tokio::test]
async fn all_that_is_stored_comes_back() {
    let server = Server::start().await;
    let client = server.client();
    let container = ContainerDefinition::builder()
        .name("app")
        .image("busybox:1.36")
        .memory_reservation(32)
        .memory(64)
        .command("sleep")
        .entry_point("/bin/sh")
        .environment(aws_sdk_ecs::types::KeyValuePair::builder().name("A").value("1").build())
        .docker_labels("l", "v")
        .stop_timeout(10)
        .user("nobody")
        .working_directory("/srv")
        .hostname("h")
        .readonly_root_filesystem(true)
        .interactive(true)
        .pseudo_terminal(false)
        .port_mappings(PortMapping::builder().container_port(53).protocol("udp".into()).name("dns").build())
        .build();
    let tag = Tag::builder().key("team").value("a").build();
    client
        .register_task_definition()
        .family("full")
        .network_mode(NetworkMode::Host)
        .task_role_arn("arn:aws:iam::123456789012:role/task")
        .execution_role_arn("arn:aws:iam::123456789012:role/exec")
        .container_definitions(container)
        .tags(tag.clone())
        .send()
        .await
        .unwrap();
    let found = client
        .describe_task_definition()
        .task_definition("full")
        .include(TaskDefinitionField::Tags)
        .send()
        .await
        .unwrap();
    assert_eq!(found.tags(), [tag]);
    let definition = found.task_definition().unwrap();
    assert_eq!(definition.network_mode(), Some(&NetworkMode::Host));
    assert_eq!(definition.task_role_arn(), Some("arn:aws:iam::123456789012:role/task"));
    let app = &definition.container_definitions()[0];
    assert_eq!(app.port_mappings()[0].host_port(), Some(53), "host network: the same port");
    assert_eq!(app.port_mappings()[0].name(), Some("dns"));
    assert_eq!((app.memory(), app.memory_reservation()), (Some(64), Some(32)));
    assert_eq!((app.command(), app.entry_point()), (&["sleep".to_owned()][..], &["/bin/sh".to_owned()][..]));
    assert_eq!(app.environment()[0].value(), Some("1"));
    assert_eq!(app.docker_labels().unwrap()["l"], "v");
    assert_eq!((app.stop_timeout(), app.user(), app.hostname()), (Some(10), Some("nobody"), Some("h")));
    assert_eq!((app.readonly_root_filesystem(), app.interactive()), (Some(true), Some(true)));
}

#[tokio::test]
async fn what_has_no_effect_is_described_as_given() {
    let server = Server::start().await;
    let container = serde_json::json!({
        "name": "app", "image": "busybox", "memory": 64, "privileged": false, "versionConsistency": "disabled",
        "restartPolicy": {"enabled": false}, "linuxParameters": {}, "command": [], "entryPoint": [], "links": [],
        "logConfiguration": {"logDriver": "json-file", "options": {}},
    });
    let platform = serde_json::json!({"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"});
    let request = serde_json::json!({
        "family": "web", "containerDefinitions": [container], "runtimePlatform": platform, "enableFaultInjection": false
    });
    let made = crate::raw::call(&server, "RegisterTaskDefinition", &request.to_string()).await.json();
    let described = crate::raw::call(&server, "DescribeTaskDefinition", r#"{"taskDefinition":"web"}"#).await;
    for answer in [made, described.json()] {
        let definition = &answer["taskDefinition"];
        assert_eq!(definition["runtimePlatform"], platform);
        assert_eq!(definition["enableFaultInjection"], serde_json::json!(false));
        for (member, value) in container.as_object().unwrap() {
            assert_eq!(&definition["containerDefinitions"][0][member], value, "{member}");
        }
    }
    let client = server.client();
    register(&client, "plain").await;
    let plain =
        crate::raw::call(&server, "DescribeTaskDefinition", r#"{"taskDefinition":"plain"}"#).await.json();
    let app = plain["taskDefinition"]["containerDefinitions"][0].as_object().unwrap().clone();
    for member in ["command", "entryPoint", "privileged", "logConfiguration", "linuxParameters", "links"] {
        assert!(!app.contains_key(member), "{member} was not given");
    }
}

#[tokio::test]
async fn a_revision_is_deregistered_then_deleted() {
    let server = Server::start().await;
    let client = server.client();
    let first = register(&client, "web").await;
    let second = register(&client, "web").await;
    client.deregister_task_definition().task_definition(&first).send().await.unwrap();
    let delete = client.delete_task_definitions();
    let deleted = delete
        .task_definitions(&first)
        .task_definitions(&second)
        .task_definitions("web:7")
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.task_definitions().len(), 1);
    let gone = &deleted.task_definitions()[0];
    assert_eq!(gone.task_definition_arn(), Some(first.as_str()));
    assert_eq!(gone.status(), Some(&TaskDefinitionStatus::DeleteInProgress));
    let failures: Vec<_> = deleted.failures().iter().map(|one| one.arn().unwrap()).collect();
    assert_eq!(failures, [second.as_str(), "arn:aws:ecs:us-east-1:123456789012:task-definition/web:7"]);

    let listed =
        client.list_task_definitions().status(TaskDefinitionStatus::DeleteInProgress).send().await.unwrap();
    assert_eq!(listed.task_definition_arns(), std::slice::from_ref(&first));
    let inactive =
        client.list_task_definitions().status(TaskDefinitionStatus::Inactive).send().await.unwrap();
    assert_eq!(inactive.task_definition_arns().len(), 0);
    server.add_instance("us-east-1a", 1024, 1024);
    let used = refused(client.run_task().task_definition(&first).send().await);
    assert_eq!(used, pair("ClientException", "TaskDefinition is inactive"));
    assert!(register(&client, "web").await.ends_with("web:3"), "a revision is never used again");
}
