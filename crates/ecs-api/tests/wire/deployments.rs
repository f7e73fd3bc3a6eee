//! What services ask of their deployments, and how those go. No controller runs here: what it would do is done by hand.

use aws_sdk_ecs::types::{
    DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentEarlySuccessCriteria,
    DeploymentLifecycleHook, DeploymentLifecycleHookAction, DeploymentLifecycleHookStage,
    DeploymentLifecycleHookStatus, DeploymentLifecycleHookTargetType,
    DeploymentLifecycleHookTimeoutConfiguration, DeploymentRolloutState, DeploymentStrategy,
    ServiceDeployment, ServiceDeploymentLifecycleStage, ServiceDeploymentRollbackMonitorsStatus,
    ServiceDeploymentStatus, ServiceRevisionCleanup,
};
use trireme_state::Command;
use trireme_state::command::{LifecycleProgress, RecordDeployment, ServiceProgress};
use trireme_state::object::{FailureCause, LifecycleStage, RolloutState, TaskFailures};
use trireme_state::store::Store;

use crate::server::{Server, pair, refused};
use crate::services::key;
use crate::task_definitions::register;

/// A service whose first deployment is completed, and that asks this of the next ones.
async fn ready(asked: DeploymentConfiguration) -> (Server, aws_sdk_ecs::Client) {
    let server = Server::start().await;
    let client = server.client();
    server.add_instance("us-east-1a", 4096, 4096);
    for _ in 0..2 {
        register(&client, "web").await;
    }
    let create = client.create_service().service_name("web").task_definition("web:1").desired_count(4);
    create.send().await.unwrap();
    complete(&server);
    let update = client.update_service().service("web").deployment_configuration(asked);
    update.send().await.unwrap();
    (server, client)
}

pub fn complete(server: &Server) {
    let service = server.store.view().service(&key()).unwrap().clone();
    let rollouts = vec![(service.deployments[0].id, RolloutState::Completed)];
    let progress = Box::new(ServiceProgress { rollouts, ..Default::default() });
    server.propose(Command::RecordProgress { service: key(), version: service.version, progress });
}

pub fn live(server: &Server, stage: Option<LifecycleStage>, failures: u32, failed: Option<FailureCause>) {
    let service = server.store.view().service(&key()).unwrap().clone();
    let failures = Some(TaskFailures { count: failures, ..TaskFailures::default() });
    let deployment = service.deployments[0].id;
    let lifecycle = LifecycleProgress { deployment, failures, stage, failed };
    let progress = ServiceProgress::default();
    let version = service.version;
    server.propose(Command::RecordDeployment(Box::new(RecordDeployment {
        service: key(),
        version,
        progress,
        lifecycle,
    })));
}

fn breaker() -> DeploymentConfiguration {
    let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(true).build();
    DeploymentConfiguration::builder().deployment_circuit_breaker(breaker).build()
}

fn pause() -> DeploymentLifecycleHook {
    DeploymentLifecycleHook::builder()
        .target_type(DeploymentLifecycleHookTargetType::Pause)
        .lifecycle_stages(DeploymentLifecycleHookStage::PostScaleUp)
        .build()
}

fn blue_green() -> DeploymentConfiguration {
    DeploymentConfiguration::builder()
        .strategy(DeploymentStrategy::BlueGreen)
        .bake_time_in_minutes(5)
        .lifecycle_hooks(pause())
        .build()
}

async fn newest(client: &aws_sdk_ecs::Client) -> ServiceDeployment {
    let listed = client.list_service_deployments().service("web").send().await.unwrap();
    let arn = listed.service_deployments()[0].service_deployment_arn().unwrap();
    let described = client.describe_service_deployments().service_deployment_arns(arn).send().await.unwrap();
    described.service_deployments()[0].clone()
}

#[tokio::test]
async fn a_deployment_that_fails_says_why_and_where_it_goes() {
    let (server, client) = ready(breaker()).await;
    let first = server.store.view().service(&key()).unwrap().deployments[0].id;
    client.update_service().service("web").task_definition("web:2").send().await.unwrap();
    live(&server, None, 2, None);
    let shown = newest(&client).await.deployment_circuit_breaker.unwrap();
    assert_eq!(shown.status(), Some(&ServiceDeploymentRollbackMonitorsStatus::Monitoring));
    assert_eq!((shown.failure_count(), shown.threshold()), (2, 3));
    live(&server, None, 3, Some(FailureCause::Tasks));

    let why = "Service deployment rolled back because the circuit breaker threshold was exceeded.";
    let shown = newest(&client).await;
    assert_eq!(shown.status(), Some(&ServiceDeploymentStatus::RollbackInProgress));
    assert_eq!((shown.status_reason(), shown.rollback().unwrap().reason()), (Some(why), Some(why)));
    let counted = shown.deployment_circuit_breaker().unwrap();
    assert_eq!(counted.status(), Some(&ServiceDeploymentRollbackMonitorsStatus::Triggered));
    assert_eq!(counted.failure_count(), 3);
    let described = client.describe_services().services("web").send().await.unwrap();
    let deployments = described.services()[0].deployments();
    let of = |at: usize| {
        let one = &deployments[at];
        (one.status().unwrap(), one.rollout_state().unwrap(), one.rollout_state_reason().unwrap())
    };
    let back = format!("ECS deployment circuit breaker: rolling back to deploymentId {first}.");
    assert_eq!(of(0), ("PRIMARY", &DeploymentRolloutState::InProgress, back.as_str()));
    let failed = "ECS deployment circuit breaker: tasks failed to start.";
    assert_eq!(of(1), ("ACTIVE", &DeploymentRolloutState::Failed, failed));
    complete(&server);
    assert_eq!(newest(&client).await.status(), Some(&ServiceDeploymentStatus::RollbackSuccessful));
}

#[tokio::test]
async fn a_deployment_waits_at_a_hook_until_it_is_told() {
    for action in [DeploymentLifecycleHookAction::Continue, DeploymentLifecycleHookAction::Rollback] {
        let (server, client) = ready(blue_green()).await;
        client.update_service().service("web").task_definition("web:2").send().await.unwrap();
        assert_eq!(newest(&client).await.lifecycle_stage(), None);
        live(&server, Some(LifecycleStage::PostScaleUp), 0, None);
        let shown = newest(&client).await;
        assert_eq!(shown.lifecycle_stage(), Some(&ServiceDeploymentLifecycleStage::PostScaleUp));
        let hook = shown.lifecycle_hook_details()[0].clone();
        assert_eq!(hook.target_type(), Some(&DeploymentLifecycleHookTargetType::Pause));
        assert_eq!(hook.status(), Some(&DeploymentLifecycleHookStatus::AwaitingAction));
        assert_eq!(hook.timeout_action(), Some(&DeploymentLifecycleHookAction::Rollback));
        let waits = hook.expires_at().unwrap().secs() - shown.updated_at().unwrap().secs();
        assert!((86_390..=86_410).contains(&waits), "a day, not {waits} s");

        let arn = shown.service_deployment_arn().unwrap();
        let go_on = |hook: &str| {
            client
                .continue_service_deployment()
                .service_deployment_arn(arn)
                .hook_id(hook)
                .action(action.clone())
                .send()
        };
        assert_eq!(
            refused(go_on("ecs-pause-0").await),
            pair(
                "InvalidParameterException",
                "The service deployment does not wait at a lifecycle hook ecs-pause-0."
            )
        );
        let answered = go_on(hook.hook_id().unwrap()).await.unwrap();
        assert_eq!(answered.service_deployment_arn(), Some(arn));
        assert_eq!(refused(go_on(hook.hook_id().unwrap()).await).0, "InvalidParameterException");
        let shown = newest(&client).await;
        let status = shown.lifecycle_hook_details()[0].status().unwrap();
        match action {
            DeploymentLifecycleHookAction::Continue => {
                assert_eq!(status, &DeploymentLifecycleHookStatus::Succeeded);
                assert_eq!(shown.status(), Some(&ServiceDeploymentStatus::InProgress));
            }
            _ => {
                assert_eq!(status, &DeploymentLifecycleHookStatus::Failed);
                assert_eq!(shown.status(), Some(&ServiceDeploymentStatus::RollbackInProgress));
                let why = "Service deployment rolled back because POST_SCALE_UP lifecycle hook(s) failed.";
                assert!(shown.status_reason().unwrap().starts_with(why));
            }
        }
    }
}

#[tokio::test]
async fn what_is_asked_of_deployments_is_described_with_its_defaults() {
    let (_server, client) = ready(blue_green()).await;
    let described = client.describe_services().services("web").send().await.unwrap();
    let shown = described.services()[0].deployment_configuration().unwrap();
    assert_eq!(shown.strategy(), Some(&DeploymentStrategy::BlueGreen));
    assert_eq!(shown.bake_time_in_minutes(), Some(5));
    let timeout = DeploymentLifecycleHookTimeoutConfiguration::builder()
        .timeout_in_minutes(1440)
        .action(DeploymentLifecycleHookAction::Rollback)
        .build();
    let mut whole = pause();
    whole.timeout_configuration = Some(timeout);
    assert_eq!(shown.lifecycle_hooks(), [whole]);
    let breaker = shown.deployment_circuit_breaker().unwrap();
    assert_eq!((breaker.enable(), breaker.reset_on_healthy_task()), (false, Some(true)));
    assert_eq!(breaker.threshold_configuration().unwrap().value(), 50);

    let early = DeploymentEarlySuccessCriteria::builder()
        .enable(true)
        .healthy_percent(100)
        .source_service_revision_cleanup(ServiceRevisionCleanup::Deferred)
        .build();
    let rolling = DeploymentConfiguration::builder()
        .strategy(DeploymentStrategy::Rolling)
        .set_lifecycle_hooks(Some(Vec::new()))
        .early_success_criteria(early.clone())
        .build();
    let updated = client.update_service().service("web").deployment_configuration(rolling).send().await;
    let service = updated.unwrap().service.unwrap();
    let shown = service.deployment_configuration().unwrap();
    assert_eq!(shown.strategy(), Some(&DeploymentStrategy::Rolling));
    assert_eq!((shown.early_success_criteria(), shown.bake_time_in_minutes()), (Some(&early), Some(5)));
    assert!(shown.lifecycle_hooks().is_empty());
    assert_eq!(service.deployments().len(), 1, "none of it begins a deployment");
}

#[tokio::test]
async fn what_there_is_not_is_refused_and_changes_nothing() {
    let (server, client) = ready(breaker()).await;
    let before = server.events();
    let builder = DeploymentConfiguration::builder;
    let lambda = DeploymentLifecycleHook::builder()
        .hook_target_arn("arn:aws:lambda:us-east-1:123456789012:function:f")
        .role_arn("arn:aws:iam::123456789012:role/r")
        .lifecycle_stages(DeploymentLifecycleHookStage::PostScaleUp)
        .build();
    for (asked, code) in [
        (builder().strategy(DeploymentStrategy::Linear).build(), "UnsupportedFeatureException"),
        (builder().strategy(DeploymentStrategy::Canary).build(), "UnsupportedFeatureException"),
        (
            builder().strategy(DeploymentStrategy::BlueGreen).lifecycle_hooks(lambda).build(),
            "UnsupportedFeatureException",
        ),
        (builder().bake_time_in_minutes(1441).build(), "InvalidParameterException"),
        (builder().lifecycle_hooks(pause()).build(), "InvalidParameterException"),
    ] {
        let update = client.update_service().service("web").deployment_configuration(asked.clone());
        assert_eq!(refused(update.send().await).0, code, "{asked:?}");
        let create = client.create_service().service_name("other").task_definition("web").desired_count(1);
        assert_eq!(refused(create.deployment_configuration(asked).send().await).0, code);
    }
    assert_eq!(server.events(), before);
}
