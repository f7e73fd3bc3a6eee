//! AWS's SDK for Rust, unchanged, through one story: cluster, definition, service, scale, update, stop, tags, pages, errors by type,
//! delete. Containers are simulated.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::client::Waiters;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::{ContainerDefinition, Tag};
use chaos_tests::ecs;
use trireme_testkit::{DevCluster, Options, wait_for};

const NAME: &str = "rust";
const LIMIT: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story() {
    let cluster = DevCluster::start(Options::with(&["--runtime", "fake"])).unwrap();
    let client = ecs::client(&cluster).unwrap();
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let made = client.create_cluster().cluster_name(NAME).tags(tag("team", "a")).send().await.unwrap();
    let made = made.cluster().unwrap();
    assert_eq!((made.status(), made.tags()), (Some("ACTIVE"), &[tag("team", "a")][..]));

    // The development cluster's instances are in its default cluster: there a service finds places.
    register(&client).await;
    let create = || {
        let call = client.create_service().service_name(NAME).task_definition(NAME).desired_count(1);
        call.client_token("rust-1").send()
    };
    let service = create().await.unwrap().service().unwrap().clone();
    assert_eq!(create().await.unwrap().service().unwrap().service_arn(), service.service_arn());
    wait_for("the service to be stable", LIMIT, || ecs::stable(&client, NAME)).await;
    client.update_service().service(NAME).desired_count(3).send().await.unwrap();
    client.wait_until_services_stable().services(NAME).wait(LIMIT).await.unwrap();
    assert_eq!(ecs::service(&client, NAME).await.unwrap().running_count(), 3);
    pages(&client).await;

    let second = register(&client).await;
    client.update_service().service(NAME).task_definition(&second).send().await.unwrap();
    wait_for("the update", LIMIT, || ecs::stable(&client, NAME)).await;
    let arns = client.list_tasks().service_name(NAME).send().await.unwrap();
    let tasks = client.describe_tasks().set_tasks(Some(arns.task_arns().to_vec())).send().await.unwrap();
    let used: BTreeSet<_> = tasks.tasks().iter().filter_map(|task| task.task_definition_arn()).collect();
    assert_eq!(used, BTreeSet::from([second.as_str()]));

    a_task_is_run_and_stopped(&client).await;

    let arn = service.service_arn().unwrap();
    client.tag_resource().resource_arn(arn).tags(tag("stage", "prod")).send().await.unwrap();
    let tags = client.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(tags.tags(), [tag("stage", "prod")]);
    client.untag_resource().resource_arn(arn).tag_keys("stage").send().await.unwrap();

    errors_have_their_types(&client).await;

    let deleted = client.delete_service().service(NAME).force(true).send().await.unwrap();
    assert_eq!(deleted.service().unwrap().status(), Some("DRAINING"));
    client.wait_until_services_inactive().services(NAME).wait(LIMIT).await.unwrap();
    let deleted = client.delete_cluster().cluster(NAME).send().await.unwrap();
    assert_eq!(deleted.cluster().unwrap().status(), Some("INACTIVE"));
}

async fn register(client: &Client) -> String {
    let container = ContainerDefinition::builder().name("app").image("busybox").memory(16).build();
    let made = client.register_task_definition().family(NAME).container_definitions(container).send().await;
    made.unwrap().task_definition().unwrap().task_definition_arn().unwrap().to_owned()
}

async fn pages(client: &Client) {
    let mut pages = client.list_tasks().service_name(NAME).into_paginator().page_size(1).send();
    let (mut seen, mut count) = (BTreeSet::new(), 0);
    while let Some(page) = pages.next().await {
        seen.extend(page.unwrap().task_arns().to_vec());
        count += 1;
    }
    assert!(count >= 3, "{count} pages");
    assert_eq!(seen.len(), 3);
}

async fn a_task_is_run_and_stopped(client: &Client) {
    let ran = client.run_task().task_definition(NAME).count(1).send().await.unwrap();
    assert_eq!(ran.failures(), []);
    let task = ran.tasks()[0].task_arn().unwrap();
    client.wait_until_tasks_running().tasks(task).wait(LIMIT).await.unwrap();
    let stopped = client.stop_task().task(task).reason("by hand").send().await.unwrap();
    let stopped = stopped.task().unwrap();
    assert_eq!((stopped.desired_status(), stopped.stopped_reason()), (Some("STOPPED"), Some("by hand")));
    client.wait_until_tasks_stopped().tasks(task).wait(LIMIT).await.unwrap();
}

/// A user of the SDK matches on types; "unhandled" would be a type that the operation does not declare.
async fn errors_have_their_types(client: &Client) {
    let listed = failed(client.list_services().cluster("nope").send().await);
    assert!(listed.is_cluster_not_found_exception(), "{listed:?}");
    assert_eq!(listed.message(), Some("Cluster not found."));
    let updated = failed(client.update_service().service("nope").send().await);
    assert!(updated.is_service_not_found_exception(), "{updated:?}");
    let described = failed(client.describe_task_definition().task_definition("nope").send().await);
    assert!(described.is_client_exception(), "{described:?}");
    let stopped = failed(client.stop_task().task("0".repeat(32)).send().await);
    assert!(stopped.is_invalid_parameter_exception(), "{stopped:?}");
    let unserved =
        failed(client.describe_daemon().daemon_arn("arn:aws:ecs:us-east-1:1:daemon/a").send().await);
    assert!(unserved.code() == Some("UnsupportedFeatureException"), "{unserved:?}");
}

fn failed<T: std::fmt::Debug, E: std::fmt::Debug>(result: Result<T, SdkError<E>>) -> E {
    match result {
        Err(SdkError::ServiceError(error)) => error.into_err(),
        other => panic!("{other:?}"),
    }
}
