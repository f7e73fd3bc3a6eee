//! Daemons, and zones made even, as clients ask for them.

use aws_sdk_ecs::types::{
    AvailabilityZoneRebalancing as Rebalancing, DeploymentCircuitBreaker, DeploymentConfiguration,
    PlacementStrategy, PlacementStrategyType, SchedulingStrategy, TaskDefinitionPlacementConstraint,
    TaskDefinitionPlacementConstraintType,
};

use trireme_state::object::FailureCause;

use crate::deployments::{complete, live};
use crate::server::{Server, refused};
use crate::task_definitions::{app, register};

async fn ready() -> (Server, aws_sdk_ecs::Client) {
    let server = Server::start().await;
    let client = server.client();
    for zone in ["us-east-1a", "us-east-1b"] {
        server.add_instance(zone, 4096, 4096);
    }
    register(&client, "web").await;
    (server, client)
}

fn create(
    client: &aws_sdk_ecs::Client,
    name: &str,
) -> aws_sdk_ecs::operation::create_service::builders::CreateServiceFluentBuilder {
    client.create_service().service_name(name).task_definition("web")
}

fn limits(maximum: i32, minimum: i32) -> DeploymentConfiguration {
    DeploymentConfiguration::builder().maximum_percent(maximum).minimum_healthy_percent(minimum).build()
}

#[tokio::test]
async fn a_daemon_has_as_many_tasks_as_there_are_instances() {
    let (server, client) = ready().await;
    let daemon = || create(&client, "logs").scheduling_strategy(SchedulingStrategy::Daemon);
    let wrong = daemon().desired_count(2).send().await;
    let (code, message) = refused(wrong);
    assert_eq!(code, "InvalidParameterException");
    assert!(
        message.starts_with("The daemon scheduling strategy does not support a desired count for services."),
        "{message}"
    );
    let made = daemon().send().await.unwrap();
    let service = made.service().unwrap();
    assert_eq!(service.scheduling_strategy(), Some(&SchedulingStrategy::Daemon));
    assert_eq!((service.desired_count(), service.deployments()[0].desired_count()), (2, 2));
    assert_eq!(service.availability_zone_rebalancing(), Some(&Rebalancing::Disabled));
    let configuration = service.deployment_configuration().unwrap();
    assert_eq!(
        (configuration.maximum_percent(), configuration.minimum_healthy_percent()),
        (Some(100), Some(0))
    );
    server.add_instance("us-east-1c", 4096, 4096);
    let found = client.describe_services().services("logs").send().await.unwrap();
    assert_eq!(found.services()[0].desired_count(), 3);
    let scaled = client.update_service().service("logs").desired_count(1).send().await;
    assert_eq!(refused(scaled).0, "InvalidParameterException");
    create(&client, "web").desired_count(0).send().await.unwrap();
    let list = |strategy| client.list_services().scheduling_strategy(strategy).send();
    assert!(list(SchedulingStrategy::Daemon).await.unwrap().service_arns()[0].ends_with("/logs"));
    assert!(list(SchedulingStrategy::Replica).await.unwrap().service_arns()[0].ends_with("/web"));
    client.delete_service().service("logs").send().await.expect("it need not be scaled to 0");
}

#[tokio::test]
async fn a_daemon_whose_deployment_failed_has_as_many_as_what_stands_in_for_it() {
    let (server, client) = ready().await;
    let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(false).build();
    let configuration = DeploymentConfiguration::builder().deployment_circuit_breaker(breaker).build();
    let daemon = create(&client, "web").scheduling_strategy(SchedulingStrategy::Daemon);
    daemon.deployment_configuration(configuration).send().await.unwrap();
    complete(&server);
    let nowhere = TaskDefinitionPlacementConstraint::builder()
        .r#type(TaskDefinitionPlacementConstraintType::MemberOf)
        .expression("attribute:disk == ssd")
        .build();
    let next = client.register_task_definition().family("web").container_definitions(app());
    next.placement_constraints(nowhere).send().await.unwrap();
    let updated = client.update_service().service("web").task_definition("web:2").send().await.unwrap();
    assert_eq!(updated.service().unwrap().desired_count(), 0, "no machine has such a disk");
    live(&server, None, 3, Some(FailureCause::Tasks));
    let found = client.describe_services().services("web").send().await.unwrap();
    assert_eq!(found.services()[0].desired_count(), 2);
}

#[tokio::test]
async fn zones_are_made_even_unless_they_cannot_be() {
    let (_server, client) = ready().await;
    let rebalancing = |made: aws_sdk_ecs::operation::create_service::CreateServiceOutput| {
        made.service().unwrap().availability_zone_rebalancing().unwrap().clone()
    };
    let plain = create(&client, "a").desired_count(1).send().await.unwrap();
    assert_eq!(rebalancing(plain), Rebalancing::Enabled, "ECS: the default of new services");
    let tight = create(&client, "b").desired_count(1).deployment_configuration(limits(100, 50)).send().await;
    assert_eq!(rebalancing(tight.unwrap()), Rebalancing::Disabled);
    let binpack = PlacementStrategy::builder().r#type(PlacementStrategyType::Binpack).field("memory").build();
    let packed = create(&client, "c").desired_count(1).placement_strategy(binpack.clone()).send().await;
    assert_eq!(rebalancing(packed.unwrap()), Rebalancing::Disabled);
    let asked = || create(&client, "d").desired_count(1).availability_zone_rebalancing(Rebalancing::Enabled);
    let (code, message) = refused(asked().deployment_configuration(limits(100, 50)).send().await);
    assert_eq!(code, "InvalidParameterException");
    assert!(
        message.starts_with("Availability Zone Rebalancing does not support maximumPercent <= 100 %"),
        "{message}"
    );
    assert_eq!(refused(asked().placement_strategy(binpack).send().await).0, "InvalidParameterException");

    let update = || client.update_service().service("a");
    let tight = update().deployment_configuration(limits(100, 50)).send().await;
    assert_eq!(refused(tight).0, "InvalidParameterException", "while it is rebalanced");
    let off = update().availability_zone_rebalancing(Rebalancing::Disabled).send().await.unwrap();
    let service = off.service().unwrap();
    assert_eq!(service.availability_zone_rebalancing(), Some(&Rebalancing::Disabled));
    assert_eq!(service.deployments().len(), 1, "it begins no deployment");
    update().deployment_configuration(limits(100, 50)).send().await.unwrap();
}
