//! Clusters, container instances and tags.

use aws_sdk_ecs::types::{ClusterField, ContainerInstanceField, ContainerInstanceStatus, Tag};

use crate::raw;
use crate::server::{Server, pair, refused};

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

#[tokio::test]
async fn a_clusters_life() {
    let server = Server::start().await;
    let client = server.client();
    let made = client.create_cluster().cluster_name("prod").tags(tag("team", "a")).send().await.unwrap();
    let cluster = made.cluster().unwrap();
    assert_eq!(cluster.cluster_arn(), Some("arn:aws:ecs:us-east-1:123456789012:cluster/prod"));
    assert_eq!(cluster.status(), Some("ACTIVE"));
    assert_eq!(cluster.tags().len(), 1);

    let again = client.create_cluster().cluster_name("prod").send().await.unwrap();
    assert_eq!(again.cluster().unwrap().tags().len(), 1, "the same cluster");
    client.create_cluster().send().await.unwrap();
    let listed = client.list_clusters().send().await.unwrap();
    assert_eq!(
        listed.cluster_arns(),
        [
            "arn:aws:ecs:us-east-1:123456789012:cluster/default",
            "arn:aws:ecs:us-east-1:123456789012:cluster/prod"
        ]
    );

    let described = client.describe_clusters().clusters("prod").clusters("nope").send().await.unwrap();
    assert_eq!(described.clusters()[0].tags().len(), 0, "tags only if asked for");
    let failure = &described.failures()[0];
    assert_eq!(failure.reason(), Some("MISSING"));
    assert_eq!(failure.arn(), Some("arn:aws:ecs:us-east-1:123456789012:cluster/nope"));
    let described = client
        .describe_clusters()
        .clusters("arn:aws:ecs:us-east-1:123456789012:cluster/prod")
        .include(ClusterField::Tags)
        .include(ClusterField::Statistics)
        .send()
        .await
        .unwrap();
    assert_eq!(described.clusters()[0].tags(), [tag("team", "a")]);
    assert_eq!(described.clusters()[0].statistics().len(), 8);

    let deleted = client.delete_cluster().cluster("prod").send().await.unwrap();
    assert_eq!(deleted.cluster().unwrap().status(), Some("INACTIVE"));
    assert_eq!(client.list_clusters().send().await.unwrap().cluster_arns().len(), 1);
    let described = client.describe_clusters().clusters("prod").send().await.unwrap();
    assert_eq!(described.clusters()[0].status(), Some("INACTIVE"));
    let missing = refused(client.delete_cluster().cluster("nope").send().await);
    assert_eq!(missing, pair("ClusterNotFoundException", "Cluster not found."));
}

#[tokio::test]
async fn empty_lists_are_there_on_the_wire() {
    let server = Server::start().await;
    let answer = raw::call(&server, "CreateCluster", r#"{"clusterName":"prod"}"#).await;
    let cluster = &answer.json()["cluster"];
    for member in ["tags", "statistics", "capacityProviders", "defaultCapacityProviderStrategy"] {
        assert_eq!(cluster[member], serde_json::json!([]), "{member}");
    }
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.1");
    assert!(answer.headers.contains_key("x-amzn-requestid"));
    let described = raw::call(&server, "DescribeClusters", r#"{"clusters":["prod"]}"#).await;
    assert_eq!(described.json()["failures"], serde_json::json!([]));
    assert_eq!(described.json()["clusters"][0]["settings"], serde_json::json!([]), "only if asked for");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::start().await;
    let client = server.client();
    for name in ["a", "b", "c", "d", "e"] {
        client.create_cluster().cluster_name(name).send().await.unwrap();
    }
    let pages: Vec<_> = client
        .list_clusters()
        .max_results(2)
        .into_paginator()
        .send()
        .collect::<Result<_, _>>()
        .await
        .unwrap();
    let sizes: Vec<usize> = pages.iter().map(|page| page.cluster_arns().len()).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let wrong = refused(client.list_clusters().next_token("garbage").send().await);
    assert_eq!(wrong, pair("InvalidParameterException", "Invalid token."));
}

#[tokio::test]
async fn regions_and_accounts_are_apart() {
    let server = Server::start().await;
    server.client().create_cluster().cluster_name("here").send().await.unwrap();
    let elsewhere = server.client_as(crate::server::KEY, crate::server::SECRET, "eu-west-1");
    assert_eq!(elsewhere.list_clusters().send().await.unwrap().cluster_arns().len(), 0);
    let made = elsewhere.create_cluster().cluster_name("there").send().await.unwrap();
    assert_eq!(
        made.cluster().unwrap().cluster_arn(),
        Some("arn:aws:ecs:eu-west-1:123456789012:cluster/there")
    );
    let key = trireme_iam::SealingKey::from_bytes([7; 32]);
    let account = trireme_types::AccountId::new("210987654321").unwrap();
    server.add_key(&key, "AKIAOTHER", "other", &account);
    let other = server.client_as("AKIAOTHER", "other", "us-east-1");
    assert_eq!(other.list_clusters().send().await.unwrap().cluster_arns().len(), 0);
    let foreign = "arn:aws:ecs:us-east-1:123456789012:cluster/here";
    let refusal = refused(other.delete_cluster().cluster(foreign).send().await);
    assert_eq!(refusal.0, "ClusterNotFoundException");
    let refusal = refused(other.tag_resource().resource_arn(foreign).tags(tag("a", "b")).send().await);
    assert_eq!(refusal.0, "ResourceNotFoundException");
}

#[tokio::test]
async fn container_instances() {
    let server = Server::start().await;
    let client = server.client();
    let id = server.add_instance("us-east-1a", 2048, 4096).to_string();
    server.add_instance("us-east-1b", 1024, 1024);
    let busy = refused(client.delete_cluster().cluster("default").send().await);
    assert_eq!(busy.0, "ClusterContainsContainerInstancesException");

    let listed = client.list_container_instances().send().await.unwrap();
    assert_eq!(listed.container_instance_arns().len(), 2);
    let arn = format!("arn:aws:ecs:us-east-1:123456789012:container-instance/default/{id}");
    assert!(listed.container_instance_arns().contains(&arn));

    let described = client
        .describe_container_instances()
        .container_instances(&id)
        .container_instances("0".repeat(32))
        .include(ContainerInstanceField::Tags)
        .send()
        .await
        .unwrap();
    assert_eq!(described.failures()[0].reason(), Some("MISSING"));
    let instance = &described.container_instances()[0];
    assert_eq!(instance.status(), Some("ACTIVE"));
    assert!(instance.agent_connected());
    let resource = |name: &str| {
        instance.remaining_resources().iter().find(|one| one.name() == Some(name)).unwrap().clone()
    };
    assert_eq!(resource("CPU").integer_value(), 2048);
    assert_eq!(resource("MEMORY").integer_value(), 4096);
    assert_eq!(resource("PORTS").string_set_value(), ["22"]);
    let zone = instance.attributes().iter().find(|one| one.name() == "ecs.availability-zone").unwrap();
    assert_eq!(zone.value(), Some("us-east-1a"));

    let drained = client
        .update_container_instances_state()
        .container_instances(&arn)
        .container_instances("nope")
        .status(ContainerInstanceStatus::Draining)
        .send()
        .await
        .unwrap();
    assert_eq!(drained.container_instances()[0].status(), Some("DRAINING"));
    assert_eq!(drained.failures().len(), 1);
    let draining = ContainerInstanceStatus::Draining;
    let listed = client.list_container_instances().status(draining).send().await.unwrap();
    assert_eq!(listed.container_instance_arns(), std::slice::from_ref(&arn));

    let gone = client.deregister_container_instance().container_instance(&arn).send().await.unwrap();
    assert_eq!(gone.container_instance().unwrap().status(), Some("INACTIVE"));
    assert_eq!(client.list_container_instances().send().await.unwrap().container_instance_arns().len(), 1);
    let twice = refused(client.deregister_container_instance().container_instance(&arn).send().await);
    assert_eq!(twice.0, "InvalidParameterException");
}

#[tokio::test]
async fn an_instance_is_deregistered_once_however_often_an_sdk_sends_that() {
    let server = Server::start().await;
    let instance = server.add_instance("us-east-1a", 1_024, 1_024).to_string();
    let body = format!(r#"{{"containerInstance":"{instance}"}}"#);
    let send = async |invocation: &str, body: &str| {
        let headers = [("amz-sdk-invocation-id", invocation)];
        raw::call_with(&server, "DeregisterContainerInstance", body, &headers).await
    };
    let first = send("one", &body).await.json()["containerInstance"].clone();
    let events = server.events();
    let again = send("one", &body).await.json()["containerInstance"].clone();
    assert_eq!(first["status"], "INACTIVE");
    for member in ["containerInstanceArn", "status"] {
        assert_eq!(again[member], first[member]);
    }
    assert_eq!(send("two", &body).await.error().1, "InvalidParameterException");
    let other = body.replace('}', r#","force":true}"#);
    assert_eq!(send("one", &other).await.error().1, "InvalidParameterException");
    assert_eq!(server.events(), events);
}

#[tokio::test]
async fn the_agents_calls_are_checked_and_acknowledged() {
    let server = Server::start().await;
    let instance = server.add_instance("us-east-1a", 1_024, 1_024).to_string();
    let events = server.events();
    let call = async |operation: &str, body: &str| raw::call(&server, operation, body).await;
    let found =
        call("DiscoverPollEndpoint", &format!(r#"{{"containerInstance":"{instance}"}}"#)).await.json();
    assert_eq!(found["endpoint"], format!("http://{}/", server.addr));
    for (operation, body) in [
        ("SubmitTaskStateChange", r#"{"status":"RUNNING"}"#),
        ("SubmitContainerStateChange", r#"{"containerName":"app","status":"STOPPED"}"#),
        ("SubmitAttachmentStateChanges", r#"{"attachments":[]}"#),
    ] {
        assert_eq!(call(operation, body).await.json()["acknowledgment"], "ACK", "{operation}");
    }
    let attachment = r#"{"attachments":[{"attachmentArn":"a","status":"ATTACHED"}]}"#;
    for (operation, body, message) in [
        ("DiscoverPollEndpoint", r#"{"containerInstance":"nope"}"#, "container instance"),
        ("SubmitTaskStateChange", r#"{"status":"HAPPY"}"#, "Unknown status: HAPPY."),
        ("SubmitTaskStateChange", r#"{"task":"nope"}"#, "The referenced task was not found."),
        ("SubmitAttachmentStateChanges", attachment, "The attachment a was not found."),
    ] {
        let (status, code, text) = call(operation, body).await.error();
        assert_eq!((status, code.as_str()), (400, "InvalidParameterException"), "{operation}");
        assert!(text.to_lowercase().contains(&message.to_lowercase()), "{operation}: {text}");
    }
    assert_eq!(server.events(), events, "nothing was changed");
}

#[tokio::test]
async fn tags_of_a_resource() {
    let server = Server::start().await;
    let client = server.client();
    client.create_cluster().cluster_name("prod").tags(tag("a", "1")).send().await.unwrap();
    let arn = "arn:aws:ecs:us-east-1:123456789012:cluster/prod";
    client.tag_resource().resource_arn(arn).tags(tag("b", "2")).tags(tag("a", "3")).send().await.unwrap();
    let listed = client.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(listed.tags(), [tag("a", "3"), tag("b", "2")]);
    client.untag_resource().resource_arn(arn).tag_keys("a").send().await.unwrap();
    let listed = client.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(listed.tags(), [tag("b", "2")]);

    let before = server.events();
    let reserved = client.tag_resource().resource_arn(arn).tags(tag("aws:x", "1")).send().await;
    assert_eq!(refused(reserved).0, "InvalidParameterException");
    let invalid = client.list_tags_for_resource().resource_arn("nonsense").send().await;
    assert_eq!(refused(invalid), pair("InvalidParameterException", "Invalid ARN: nonsense"));
    let missing = "arn:aws:ecs:us-east-1:123456789012:cluster/nope";
    let missing = client.list_tags_for_resource().resource_arn(missing).send().await;
    assert_eq!(refused(missing).0, "ClusterNotFoundException");
    assert_eq!(server.events(), before);
}

#[tokio::test]
async fn arns_of_another_cluster() {
    let server = Server::start().await;
    let client = server.client();
    server.add_instance("us-east-1a", 1024, 1024);
    let instance = server.add_instance_in("c1", "us-east-1a", 1024, 1024);
    let arn = |what: &str| format!("arn:aws:ecs:us-east-1:123456789012:{what}");
    let (task, service) = (arn(&format!("task/c1/{}", "0".repeat(32))), arn("service/c1/web"));
    let instance = arn(&format!("container-instance/c1/{instance}"));
    let before = server.events();
    let message = "Invalid identifier: Identifier is for cluster c1. Your cluster is default";
    let wrong = pair("InvalidParameterException", message);
    assert_eq!(refused(client.describe_tasks().tasks(&task).send().await), wrong);
    assert_eq!(refused(client.stop_task().task(&task).send().await), wrong);
    assert_eq!(refused(client.describe_services().services(&service).send().await), wrong);
    assert_eq!(refused(client.update_service().service(&service).desired_count(1).send().await), wrong);
    assert_eq!(refused(client.delete_service().service(&service).send().await), wrong);
    let described = client.describe_container_instances().container_instances(&instance).send().await;
    assert_eq!(refused(described), wrong);
    let drain = client.update_container_instances_state().status(ContainerInstanceStatus::Draining);
    assert_eq!(refused(drain.container_instances(&instance).send().await), wrong);
    let gone = client.deregister_container_instance().container_instance(&instance).send().await;
    assert_eq!(refused(gone), wrong);
    assert_eq!(refused(client.list_tasks().container_instance(&instance).send().await), wrong);
    assert_eq!(server.events(), before);
    let own = client.describe_container_instances().cluster("c1").container_instances(&instance).send().await;
    assert_eq!(own.unwrap().container_instances().len(), 1);
}
