//! AWS's SDK as the client, and what the tests ask with it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ecs::types::{
    ContainerDefinition, DesiredStatus, NetworkMode, PortMapping, Service, Task, TransportProtocol,
};
use trireme_testkit::DevCluster;

use crate::docker;

/// A client of the cluster's front door, with the SDK's usual retries.
pub fn client(cluster: &DevCluster) -> Result<Client> {
    client_at(cluster, &cluster.endpoint(), RetryConfig::standard())
}

/// A client of one control node, or of whatever else answers at `endpoint`.
pub fn client_at(cluster: &DevCluster, endpoint: &str, retry: RetryConfig) -> Result<Client> {
    let env = cluster.env()?;
    let get = |name: &str| env.get(name).with_context(|| format!("{name} is not in the env file"));
    let key = Credentials::from_keys(get("AWS_ACCESS_KEY_ID")?, get("AWS_SECRET_ACCESS_KEY")?, None);
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(get("AWS_REGION")?.clone()))
        .credentials_provider(key)
        .endpoint_url(endpoint)
        .retry_config(retry)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Ok(Client::from_conf(config))
}

/// Registers the example web server's task definition.
pub async fn register_web(client: &Client) -> Result<()> {
    let port = PortMapping::builder().container_port(8080).host_port(0).protocol(TransportProtocol::Tcp);
    let container = ContainerDefinition::builder()
        .name("web")
        .image("trireme/web:1")
        .essential(true)
        .cpu(64)
        .memory(64)
        .set_command(Some(
            ["sh", "-c", "trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait"].map(str::to_owned).to_vec(),
        ))
        .port_mappings(port.build())
        .build();
    let register = client.register_task_definition().family("web").network_mode(NetworkMode::Bridge);
    register.container_definitions(container).send().await?;
    Ok(())
}

/// Creates a service of the web task definition in the default cluster.
pub async fn create_service(client: &Client, name: &str, desired: i32) -> Result<()> {
    let create = client.create_service().service_name(name).task_definition("web").desired_count(desired);
    create.send().await?;
    Ok(())
}

/// A service of the default cluster.
pub async fn service(client: &Client, name: &str) -> Result<Service> {
    let described = client.describe_services().services(name).send().await?;
    described.services().first().cloned().with_context(|| format!("no service {name}"))
}

/// Whether a service is stable as ECS's waiter has it; the error says how it stands.
pub async fn stable(client: &Client, name: &str) -> Result<(), String> {
    let service = service(client, name).await.map_err(|error| format!("{error:#}"))?;
    let deployments = service.deployments().len();
    let (running, desired) = (service.running_count(), service.desired_count());
    if running == desired && deployments == 1 {
        Ok(())
    } else {
        Err(format!("{running} of {desired} tasks RUNNING, {deployments} deployments"))
    }
}

/// A service's tasks that are to run, with what is known of them.
pub async fn tasks(client: &Client, service: &str) -> Result<Vec<Task>> {
    tasks_to(client, service, DesiredStatus::Running).await
}

/// A service's tasks of that desired status, with what is known of them.
pub async fn tasks_to(client: &Client, service: &str, desired: DesiredStatus) -> Result<Vec<Task>> {
    let mut arns = Vec::new();
    let mut pages = client.list_tasks().service_name(service).desired_status(desired).into_paginator().send();
    while let Some(page) = pages.next().await {
        arns.extend(page?.task_arns().to_vec());
    }
    let mut tasks = Vec::new();
    for part in arns.chunks(100) {
        let described = client.describe_tasks().set_tasks(Some(part.to_vec())).send().await?;
        tasks.extend(described.tasks().to_vec());
    }
    Ok(tasks)
}

/// How many of these tasks are RUNNING in each zone.
pub fn running_by_zone(tasks: &[Task]) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for task in tasks.iter().filter(|task| task.last_status() == Some("RUNNING")) {
        *zones.entry(task.availability_zone().unwrap_or("?").to_owned()).or_default() += 1;
    }
    zones
}

/// A service's RUNNING tasks, once their containers are all that runs of the cluster; the error says how many there are of each.
pub async fn tasks_equal_containers(
    client: &Client,
    service: &str,
    cluster_uuid: &str,
) -> Result<BTreeSet<String>, String> {
    let tasks = running_arns(&tasks(client, service).await.map_err(|error| format!("{error:#}"))?);
    let containers = docker::running_tasks(cluster_uuid).map_err(|error| format!("{error:#}"))?;
    if tasks == containers {
        Ok(tasks)
    } else {
        Err(format!("{} tasks, {} containers", tasks.len(), containers.len()))
    }
}

/// The ARNs of the tasks that are RUNNING.
pub fn running_arns(tasks: &[Task]) -> BTreeSet<String> {
    let running = tasks.iter().filter(|task| task.last_status() == Some("RUNNING"));
    running.filter_map(|task| task.task_arn().map(str::to_owned)).collect()
}
