//! Services. No controller runs here: what it would do is done by hand.

use aws_sdk_ecs::types::{
    DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentRolloutState, PlacementStrategy,
    PlacementStrategyType, SchedulingStrategy, ServiceConnectConfiguration, ServiceField, Tag,
    ThresholdConfiguration, ThresholdType,
};
use trireme_ecs_api::Clock as _;
use trireme_state::command::ServiceProgress;
use trireme_state::object::{ClusterKey, ServiceKey, TaskStatus};
use trireme_state::store::Store;
use trireme_state::{Command, Placement};
use trireme_types::{ClusterName, Scope, ServiceName};

use crate::server::{Server, pair, refused};
use crate::task_definitions::register;

pub fn key() -> ServiceKey {
    let cluster = ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() };
    ServiceKey { cluster, name: ServiceName::new("web").unwrap() }
}

/// What the service controller does for a new task.
fn start_one(server: &Server) -> String {
    let view = server.store.view();
    let service = view.service(&key()).unwrap();
    let instance = view.instances().next().unwrap();
    server.propose(Command::StartServiceTasks {
        service: key(),
        version: service.version,
        deployment: service.deployments[0].id,
        placements: vec![Placement { instance: instance.id, epoch: instance.epoch }],
    });
    let view = server.store.view();
    let tasks = view.tasks_of_service(&key());
    let newest = tasks.iter().max_by_key(|task| (task.last_status < TaskStatus::Running, task.id)).unwrap();
    format!("arn:aws:ecs:us-east-1:123456789012:task/default/{}", newest.id)
}

fn progress(server: &Server, progress: ServiceProgress) {
    let version = server.store.view().service(&key()).unwrap().version;
    server.propose(Command::RecordProgress { service: key(), version, progress: Box::new(progress) });
}

async fn ready() -> (Server, aws_sdk_ecs::Client) {
    let server = Server::start().await;
    let client = server.client();
    server.add_instance("us-east-1a", 4096, 4096);
    register(&client, "web").await;
    (server, client)
}

#[tokio::test]
async fn a_services_life() {
    let (server, client) = ready().await;
    let made = client
        .create_service()
        .service_name("web")
        .task_definition("web")
        .desired_count(1)
        .tags(Tag::builder().key("a").value("1").build())
        .send()
        .await
        .unwrap();
    let service = made.service().unwrap();
    assert_eq!(service.service_arn(), Some("arn:aws:ecs:us-east-1:123456789012:service/default/web"));
    assert_eq!((service.status(), service.desired_count(), service.running_count()), (Some("ACTIVE"), 1, 0));
    assert!(service.task_definition().unwrap().ends_with("task-definition/web:1"));
    assert_eq!(service.scheduling_strategy(), Some(&SchedulingStrategy::Replica));
    assert_eq!(service.created_by(), Some("arn:aws:iam::123456789012:root"));
    let limits = service.deployment_configuration().unwrap();
    assert_eq!((limits.maximum_percent(), limits.minimum_healthy_percent()), (Some(200), Some(100)));
    let deployment = &service.deployments()[0];
    assert_eq!(deployment.status(), Some("PRIMARY"));
    assert_eq!(deployment.rollout_state(), Some(&DeploymentRolloutState::InProgress));
    let id = deployment.id().unwrap();
    assert_eq!(deployment.rollout_state_reason(), Some(format!("ECS deployment {id} in progress.").as_str()));

    let task = start_one(&server);
    server.report(&task, TaskStatus::Running, None);
    let said = |text: &str| ServiceProgress { events: vec![text.to_owned()], ..Default::default() };
    progress(&server, said("(service web) has started 1 tasks: (task x)."));
    progress(&server, said("(service web) has reached a steady state."));
    let described = client.describe_services().services("web").services("nope").send().await.unwrap();
    assert_eq!(described.failures()[0].reason(), Some("MISSING"));
    let service = &described.services()[0];
    assert_eq!((service.running_count(), service.pending_count()), (1, 0));
    assert_eq!(service.deployments()[0].running_count(), 1);
    assert_eq!(service.events()[0].message(), Some("(service web) has reached a steady state."));
    assert!(service.tags().is_empty(), "tags only if asked for");
    let described =
        client.describe_services().services("web").include(ServiceField::Tags).send().await.unwrap();
    assert_eq!(described.services()[0].tags().len(), 1);

    let tasks = client.list_tasks().service_name("web").send().await.unwrap();
    assert_eq!(tasks.task_arns(), std::slice::from_ref(&task));
    let shown = client.describe_tasks().tasks(&task).send().await.unwrap();
    assert_eq!((shown.tasks()[0].group(), shown.tasks()[0].started_by()), (Some("service:web"), Some(id)));
    let listed = client.list_services().send().await.unwrap();
    assert_eq!(listed.service_arns(), [service.service_arn().unwrap()]);

    let refusal = refused(client.delete_service().service("web").send().await);
    assert_eq!(
        refusal,
        pair("InvalidParameterException", "The service cannot be stopped while it is scaled above 0.")
    );
    client.update_service().service("web").desired_count(0).send().await.unwrap();
    let deleted = client.delete_service().service("web").send().await.unwrap();
    assert_eq!(deleted.service().unwrap().status(), Some("DRAINING"));
    let again = client.create_service().service_name("web").task_definition("web").desired_count(1);
    assert_eq!(
        refused(again.send().await),
        pair("InvalidParameterException", "Unable to Start a service that is still Draining.")
    );
    let update = refused(client.update_service().service("web").desired_count(1).send().await);
    assert_eq!(update.0, "ServiceNotActiveException");
}

#[tokio::test]
async fn updates_and_deployments() {
    let (server, client) = ready().await;
    let create = || client.create_service().service_name("web").task_definition("web").desired_count(2);
    create().send().await.unwrap();
    assert_eq!(
        refused(create().send().await),
        pair("InvalidParameterException", "Creation of service was not idempotent.")
    );
    server.report(&start_one(&server), TaskStatus::Running, None);
    register(&client, "web").await;

    let scaled = client.update_service().service("web").desired_count(3).send().await.unwrap();
    let service = scaled.service().unwrap();
    assert_eq!((service.desired_count(), service.deployments().len()), (3, 1), "no new deployment");
    let updated = client.update_service().service("web").task_definition("web").send().await.unwrap();
    let deployments = updated.service().unwrap().deployments();
    assert_eq!(deployments.len(), 2);
    let shown: Vec<_> = deployments
        .iter()
        .map(|one| (one.status().unwrap(), one.desired_count(), one.running_count()))
        .collect();
    assert_eq!(shown, [("PRIMARY", 3, 0), ("ACTIVE", 1, 1)]);
    assert!(deployments[0].task_definition().unwrap().ends_with("web:2"));

    let forced = client.update_service().service("web").force_new_deployment(true).send().await.unwrap();
    assert_ne!(forced.service().unwrap().deployments()[0].id(), deployments[0].id());
    let limits = DeploymentConfiguration::builder().minimum_healthy_percent(50).build();
    let limited =
        client.update_service().service("web").deployment_configuration(limits).send().await.unwrap();
    let limits = limited.service().unwrap().deployment_configuration().unwrap().clone();
    assert_eq!((limits.maximum_percent(), limits.minimum_healthy_percent()), (Some(200), Some(50)));
    let missing = refused(client.update_service().service("nope").desired_count(1).send().await);
    assert_eq!(missing, pair("ServiceNotFoundException", "Service not found."));
    let missing = refused(client.delete_service().service("nope").send().await);
    assert_eq!(missing, pair("ServiceNotFoundException", ""));
}

#[tokio::test]
async fn a_client_token_creates_once() {
    let (server, client) = ready().await;
    let create = |count| {
        client
            .create_service()
            .service_name("web")
            .task_definition("web")
            .desired_count(count)
            .client_token("t")
    };
    let first = create(1).send().await.unwrap();
    let events = server.events();
    let again = create(1).send().await.unwrap();
    assert_eq!(first.service().unwrap().deployments(), again.service().unwrap().deployments());
    assert_eq!(server.events(), events);
    assert_eq!(
        refused(create(2).send().await),
        pair("InvalidParameterException", "Creation of service was not idempotent.")
    );
}

#[tokio::test]
async fn what_has_no_effect_is_refused_by_name() {
    let (server, client) = ready().await;
    let create = || client.create_service().service_name("web").task_definition("web").desired_count(1);
    let before = server.events();
    let fargate = create().launch_type("FARGATE".into()).send().await;
    assert_eq!(
        refused(fargate),
        pair("InvalidParameterException", "Task definition does not support launch_type FARGATE.")
    );
    let strategy = |kind, field: &str| PlacementStrategy::builder().r#type(kind).field(field).build();
    let blank = client.create_service().service_name("web").desired_count(1).send().await;
    assert_eq!(refused(blank), pair("InvalidParameterException", "TaskDefinition can not be blank."));
    let unknown = create().cluster("nope").send().await;
    assert_eq!(refused(unknown), pair("ClusterNotFoundException", "Cluster not found."));
    let name = create().service_name("a b").send().await;
    assert_eq!(refused(name).0, "InvalidParameterException");
    let negative = create().desired_count(-1).send().await;
    assert_eq!(refused(negative).0, "InvalidParameterException");
    let many = create().desired_count(5001).send().await;
    assert_eq!(refused(many).0, "InvalidParameterException");
    assert_eq!(server.events(), before);

    // What happens anyway may be asked for.
    create()
        .scheduling_strategy(SchedulingStrategy::Replica)
        .placement_strategy(strategy(PlacementStrategyType::Spread, "attribute:ecs.availability-zone"))
        .launch_type("EC2".into())
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn what_has_no_effect_is_described_as_given() {
    let (_server, client) = ready().await;
    let strategy =
        |field: &str| PlacementStrategy::builder().r#type(PlacementStrategyType::Spread).field(field).build();
    let spread = || vec![strategy("attribute:ecs.availability-zone"), strategy("instanceId")];
    let usual =
        ThresholdConfiguration::builder().r#type(ThresholdType::BoundedPercent).value(50).build().unwrap();
    let breaker = |rollback| {
        let breaker = DeploymentCircuitBreaker::builder().enable(false).rollback(rollback);
        breaker.reset_on_healthy_task(true).threshold_configuration(usual.clone()).build()
    };
    let limits =
        |rollback| DeploymentConfiguration::builder().deployment_circuit_breaker(breaker(rollback)).build();
    let connect = || ServiceConnectConfiguration::builder().enabled(false).build();
    let create = || client.create_service().service_name("web").task_definition("web").desired_count(1);
    let made = create()
        .set_placement_strategy(Some(spread()))
        .deployment_configuration(limits(true))
        .health_check_grace_period_seconds(0)
        .service_connect_configuration(connect())
        .send()
        .await
        .unwrap();
    let described = client.describe_services().services("web").send().await.unwrap();
    for service in [made.service().unwrap(), &described.services()[0]] {
        assert_eq!(service.placement_strategy(), spread());
        let limits = service.deployment_configuration().unwrap();
        assert_eq!(limits.deployment_circuit_breaker(), Some(&breaker(true)));
        assert_eq!(service.health_check_grace_period_seconds(), Some(0));
        assert_eq!(service.deployments()[0].service_connect_configuration(), Some(&connect()));
    }
    let update = || client.update_service().service("web");
    let updated = update().set_placement_strategy(Some(Vec::new())).send().await.unwrap();
    let service = updated.service().unwrap();
    assert!(service.placement_strategy().is_empty());
    let kept = service.deployment_configuration().unwrap();
    assert_eq!(kept.deployment_circuit_breaker(), Some(&breaker(true)), "what is not given stays");
    let updated = update().deployment_configuration(limits(false)).send().await.unwrap();
    let service = updated.service().unwrap();
    let changed = service.deployment_configuration().unwrap();
    assert_eq!(changed.deployment_circuit_breaker(), Some(&breaker(false)));
    assert_eq!(service.deployments().len(), 1, "none of it begins a deployment");
}

#[tokio::test]
async fn what_needs_a_load_balancer() {
    let (server, client) = ready().await;
    let create = || client.create_service().service_name("web").task_definition("web").desired_count(0);
    let before = server.events();
    let grace = "Health check grace period is only valid for services configured to use load balancers.";
    let waits = create().health_check_grace_period_seconds(60).send().await;
    assert_eq!(refused(waits), pair("InvalidParameterException", grace));
    let role = create().role("ecsServiceRole").send().await;
    let message = "Role is only valid for services configured to use load balancers.";
    assert_eq!(refused(role), pair("InvalidParameterException", message));
    assert_eq!(server.events(), before);
    create().send().await.unwrap();
    let waits = client.update_service().service("web").health_check_grace_period_seconds(60).send().await;
    assert_eq!(refused(waits), pair("InvalidParameterException", grace));
}

#[tokio::test]
async fn where_a_services_traffic_comes_from_is_checked_stored_and_described() {
    use aws_sdk_ecs::types::{LoadBalancer, ServiceConnectService, ServiceRegistry};
    let (server, client) = ready().await;
    let group = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/1";
    let balancer = |container: &str, port| {
        let balancer = LoadBalancer::builder().target_group_arn(group);
        balancer.container_name(container).container_port(port).build()
    };
    let registry = ServiceRegistry::builder().registry_arn("arn:aws:servicediscovery:x:y:service/z").build();
    let connect = |namespace: Option<&str>| {
        let connect = ServiceConnectConfiguration::builder().enabled(true);
        connect.set_namespace(namespace.map(str::to_owned)).build()
    };
    let create = || client.create_service().service_name("web").task_definition("web").desired_count(1);
    let before = server.events();
    let message = |refusal: (String, String)| {
        assert_eq!(refusal.0, "InvalidParameterException");
        refusal.1
    };
    let nobody = create().load_balancers(balancer("nobody", 80)).send().await;
    assert_eq!(message(refused(nobody)), "The container nobody does not exist in the task definition.");
    let closed = create().load_balancers(balancer("app", 81)).send().await;
    assert_eq!(message(refused(closed)), "The container app did not have a container port 81 defined.");
    let neither = LoadBalancer::builder().container_name("app").container_port(80).build();
    let neither = create().load_balancers(neither).send().await;
    assert!(message(refused(neither)).starts_with("Exactly one of targetGroupArn and"));
    let nowhere = create().service_connect_configuration(connect(None)).send().await;
    assert!(message(refused(nowhere)).starts_with("Service Connect needs a namespace"));
    let port = ServiceConnectService::builder().port_name("nope").build().unwrap();
    let unnamed = ServiceConnectConfiguration::builder().enabled(true).namespace("n").services(port).build();
    let unnamed = create().service_connect_configuration(unnamed).send().await;
    assert!(message(refused(unnamed)).starts_with("The Service Connect port name nope was not found"));
    assert_eq!(server.events(), before);

    create()
        .load_balancers(balancer("app", 80))
        .service_registries(registry.clone())
        .service_connect_configuration(connect(Some("local")))
        .health_check_grace_period_seconds(60)
        .send()
        .await
        .unwrap();
    let described = client.describe_services().services("web").send().await.unwrap();
    let service = &described.services()[0];
    assert_eq!(service.load_balancers(), [balancer("app", 80)]);
    assert_eq!(service.service_registries(), [registry]);
    assert_eq!(service.health_check_grace_period_seconds(), Some(60));
    let shown = service.deployments()[0].service_connect_configuration();
    assert_eq!(shown, Some(&connect(Some("local"))));

    let of = |namespace: &str| client.list_services_by_namespace().namespace(namespace).send();
    assert_eq!(of("local").await.unwrap().service_arns(), [service.service_arn().unwrap()]);
    assert!(of("other").await.unwrap().service_arns().is_empty());
    let same = client.update_service().service("web").load_balancers(balancer("app", 80)).send().await;
    assert_eq!(same.unwrap().service().unwrap().deployments()[0].id(), service.deployments()[0].id());
    let none = client.update_service().service("web").set_load_balancers(Some(Vec::new())).send().await;
    let service = none.unwrap().service.unwrap();
    assert!(service.load_balancers().is_empty());
    assert_ne!(
        service.deployments()[0].id(),
        described.services()[0].deployments()[0].id(),
        "it is rolled out"
    );
}

#[tokio::test]
async fn a_token_does_not_bring_a_deleted_service_back() {
    let (server, client) = ready().await;
    let create = || {
        let create = client.create_service().service_name("web").task_definition("web").desired_count(1);
        create.client_token("t").send()
    };
    create().await.unwrap();
    start_one(&server);
    client.delete_service().service("web").force(true).send().await.unwrap();
    let draining = "Unable to Start a service that is still Draining.";
    assert_eq!(refused(create().await), pair("InvalidParameterException", draining));
}

#[tokio::test]
async fn a_services_task_is_protected_for_a_while() {
    let (server, client) = ready().await;
    server.store.set_now(trireme_ecs_api::SystemClock.now());
    client.create_service().service_name("web").task_definition("web").desired_count(1).send().await.unwrap();
    let of_service = start_one(&server);
    let alone = client.run_task().task_definition("web").send().await.unwrap();
    let alone = alone.tasks()[0].task_arn().unwrap().to_owned();
    let missing = format!("arn:aws:ecs:us-east-1:123456789012:task/default/{}", "0".repeat(32));

    let update = |enabled| client.update_task_protection().cluster("default").protection_enabled(enabled);
    let updated = update(true)
        .tasks(&of_service)
        .tasks(&alone)
        .tasks(&missing)
        .expires_in_minutes(60)
        .send()
        .await
        .unwrap();
    let protected = &updated.protected_tasks()[0];
    assert_eq!(protected.task_arn(), Some(of_service.as_str()));
    let in_an_hour = server.store.view().clock().epoch_seconds() + 3_600.0;
    assert_eq!(protected.expiration_date().unwrap().as_secs_f64(), in_an_hour);
    let failures: Vec<_> = updated.failures().iter().map(|one| (one.arn(), one.reason())).collect();
    let expected =
        [(Some(alone.as_str()), Some("TASK_NOT_VALID")), (Some(missing.as_str()), Some("MISSING"))];
    assert_eq!(failures, expected);

    let get = || client.get_task_protection().cluster("default").tasks(&of_service).send();
    assert!(get().await.unwrap().protected_tasks()[0].protection_enabled());
    update(false).tasks(&of_service).send().await.unwrap();
    let ended = get().await.unwrap();
    assert!(!ended.protected_tasks()[0].protection_enabled());
    assert!(ended.protected_tasks()[0].expiration_date().is_none());
    let before = server.events();
    let too_long = update(true).tasks(&of_service).expires_in_minutes(2_881).send().await;
    let message = "expiresInMinutes must be between 1 and 2880.";
    assert_eq!(refused(too_long), pair("InvalidParameterException", message));
    assert_eq!(server.events(), before);
}

#[tokio::test]
async fn deployments_leave_records_and_turn_back() {
    let (server, client) = ready().await;
    register(&client, "web").await;
    let create = client.create_service().service_name("web").task_definition("web:1").desired_count(1);
    let made = create.send().await.unwrap().service.unwrap();
    let first = made.current_service_deployment().unwrap().to_owned();
    let prefix = "arn:aws:ecs:us-east-1:123456789012:service-deployment/default/web/";
    assert!(first.starts_with(prefix), "{first}");
    let complete = |server: &Server| {
        let primary = server.store.view().service(&key()).unwrap().deployments[0].id;
        let rollouts = vec![(primary, trireme_state::object::RolloutState::Completed)];
        progress(server, ServiceProgress { rollouts, ..Default::default() });
    };
    let task = start_one(&server);
    server.report(&task, TaskStatus::Running, None);
    complete(&server);

    client.update_service().service("web").task_definition("web:2").send().await.unwrap();
    let listed = client.list_service_deployments().service("web").max_results(1).send().await.unwrap();
    let newest = &listed.service_deployments()[0];
    let status = aws_sdk_ecs::types::ServiceDeploymentStatus::InProgress;
    assert_eq!(newest.status(), Some(&status));
    let second = newest.service_deployment_arn().unwrap().to_owned();
    let rest = client.list_service_deployments().service("web").set_next_token(listed.next_token.clone());
    let rest = rest.send().await.unwrap();
    assert_eq!(rest.service_deployments()[0].service_deployment_arn(), Some(first.as_str()));
    assert!(rest.next_token().is_none());
    let of_status = client.list_service_deployments().service("web").status(status).send().await.unwrap();
    assert_eq!(of_status.service_deployments().len(), 1);

    let described = client
        .describe_service_deployments()
        .service_deployment_arns(&second)
        .service_deployment_arns(format!("{prefix}1234567890123456789"))
        .send()
        .await
        .unwrap();
    assert_eq!(described.failures()[0].reason(), Some("MISSING"));
    let deployment = &described.service_deployments()[0];
    let source = &deployment.source_service_revisions()[0];
    assert_eq!((source.requested_task_count(), source.running_task_count()), (1, 1));
    let target = deployment.target_service_revision().unwrap();
    assert_eq!((target.requested_task_count(), target.running_task_count()), (1, 0));
    let revisions = client.describe_service_revisions().service_revision_arns(target.arn().unwrap());
    let revisions = revisions.send().await.unwrap();
    let revision = &revisions.service_revisions()[0];
    assert!(revision.task_definition().unwrap().ends_with("web:2"));
    assert_eq!(revision.container_images()[0].image(), Some("busybox"));

    let stop = || client.stop_service_deployment().service_deployment_arn(&second).send();
    assert_eq!(stop().await.unwrap().service_deployment_arn(), Some(second.as_str()));
    let described = client.describe_services().services("web").send().await.unwrap();
    let service = &described.services()[0];
    assert!(service.task_definition().unwrap().ends_with("web:1"));
    assert_eq!(service.current_service_deployment(), Some(second.as_str()));
    complete(&server);
    let described = client.describe_service_deployments().service_deployment_arns(&second);
    let described = described.send().await.unwrap();
    let deployment = &described.service_deployments()[0];
    assert_eq!(deployment.status().unwrap().as_str(), "ROLLBACK_SUCCESSFUL");
    assert_eq!(deployment.rollback().unwrap().service_revision_arn(), source.arn());
    assert_eq!(refused(stop().await).0, "ConflictException");
    let missing =
        client.stop_service_deployment().service_deployment_arn(format!("{prefix}1234567890123456789"));
    assert_eq!(refused(missing.send().await).0, "ServiceDeploymentNotFoundException");
    let go_on =
        |arn: &str| client.continue_service_deployment().service_deployment_arn(arn).hook_id("h").send();
    assert!(refused(go_on(&second).await).1.contains("does not wait at a lifecycle hook h"));
    assert_eq!(refused(go_on(&format!("{prefix}1")).await).0, "ServiceDeploymentNotFoundException");
}

#[tokio::test]
async fn tasks_of_a_service_are_listed_whatever_else_there_is() {
    let (server, client) = ready().await;
    client.create_service().service_name("web").task_definition("web").desired_count(2).send().await.unwrap();
    let first = start_one(&server);
    server.report(&first, TaskStatus::Running, None);
    let second = start_one(&server);
    let alone = client.run_task().task_definition("web").started_by("me").send().await.unwrap();
    let alone = alone.tasks()[0].task_arn().unwrap().to_owned();
    client.stop_task().task(&alone).send().await.unwrap();
    server.report(&alone, TaskStatus::Stopped, Some(0));
    let instance = server.store.view().instances().next().unwrap().id.to_string();

    let list = || client.list_tasks();
    let of_service = list().service_name("web").container_instance(&instance).send().await.unwrap();
    let mut both = vec![first.clone(), second];
    both.sort();
    assert_eq!(of_service.task_arns(), both);
    let family = list().service_name("web").family("web").send().await.unwrap();
    assert_eq!(family.task_arns(), both);
    let stopped = aws_sdk_ecs::types::DesiredStatus::Stopped;
    let none = list().service_name("web").desired_status(stopped.clone()).send().await.unwrap();
    assert!(none.task_arns().is_empty(), "the one that stopped is not the service's");
    let mine = list().started_by("me").desired_status(stopped).send().await.unwrap();
    assert_eq!(mine.task_arns(), [alone]);
    let pages: Vec<_> = list()
        .service_name("web")
        .max_results(1)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .unwrap();
    assert_eq!(pages, both);
}
