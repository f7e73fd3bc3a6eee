//! How deployments go, decided and applied: stages and their hooks, failures, and what a deployment that fails comes to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use support::*;
use trireme_state::command::{
    Command, ContinueDeployment, LifecycleProgress, RecordDeployment, ServiceChange, ServiceProgress,
};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

use ServiceDeploymentStatus::{InProgress, RollbackFailed, RollbackInProgress, Stopped, Successful};

const BREAKER: &str = r#"{"enable":true,"rollback":true}"#;
const HOOK: &str = r#"[{"targetType":"PAUSE","lifecycleStages":["POST_SCALE_UP"]},
    {"targetType":"PAUSE","lifecycleStages":["POST_SCALE_UP"],"timeoutConfiguration":{"timeoutInMinutes":5,"action":"CONTINUE"}}]"#;

/// A service whose first deployment is completed, with a task; then it asks for this, and its second one is under way.
fn second_under_way(asked: &[(&str, &str)]) -> (Node, Placement) {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    (0..3).for_each(|_| drop(node.propose(register("web", None)).unwrap()));
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    start(&mut node, &at).unwrap();
    let rollouts = vec![(primary(&node).id, RolloutState::Completed)];
    record(&mut node, ServiceProgress { rollouts, ..none() });
    let described = asked.iter().map(|(member, json)| ((*member).to_owned(), Some((*json).to_owned())));
    update(&mut node, ServiceChange { described: described.collect(), ..ServiceChange::default() });
    update(
        &mut node,
        ServiceChange { task_definition: Some(definition("web", 2)), ..ServiceChange::default() },
    );
    (node, at)
}

fn none() -> ServiceProgress {
    ServiceProgress::default()
}

fn update(node: &mut Node, change: ServiceChange) {
    node.propose(Command::UpdateService { key: service("web"), change }).unwrap();
}

fn found(node: &Node) -> std::sync::Arc<Service> {
    node.state.service(&service("web")).unwrap().clone()
}

fn primary(node: &Node) -> Deployment {
    found(node).deployments[0].clone()
}

fn life(node: &Node) -> Lifecycle {
    node.state.lifecycles(&service("web")).of(primary(node).id)
}

fn statuses(node: &Node) -> Vec<ServiceDeploymentStatus> {
    let history = node.state.deployment_history(&service("web"));
    history.deployments.iter().map(|one| one.status).collect()
}

fn start(node: &mut Node, at: &Placement) -> Result<Outcome, Rejection> {
    let (version, deployment) = (found(node).version, primary(node).id);
    let placements = vec![at.clone()];
    node.propose(Command::StartServiceTasks { service: service("web"), version, deployment, placements })
}

fn record(node: &mut Node, progress: ServiceProgress) {
    let version = found(node).version;
    let progress = Box::new(progress);
    node.propose(Command::RecordProgress { service: service("web"), version, progress }).unwrap();
}

fn live(
    node: &mut Node,
    stage: Option<LifecycleStage>,
    failed: Option<FailureCause>,
) -> Result<Outcome, Rejection> {
    let (version, deployment) = (found(node).version, primary(node).id);
    let lifecycle = LifecycleProgress { deployment, failures: None, stage, failed };
    let progress = none();
    node.propose(Command::RecordDeployment(Box::new(RecordDeployment {
        service: service("web"),
        version,
        progress,
        lifecycle,
    })))
}

fn answer(node: &mut Node, hook: &str, action: HookAction) -> Result<Outcome, Rejection> {
    let deployment = node.state.deployment_history(&service("web")).deployments[0].id;
    let (service, hook) = (service("web"), hook.to_owned());
    node.propose(Command::ContinueDeployment(Box::new(ContinueDeployment {
        service,
        deployment,
        hook,
        action,
    })))
}

#[test]
fn a_deployment_that_fails_turns_back_and_keeps_the_tasks_of_where_it_goes() {
    let (mut node, _) = second_under_way(&[(CIRCUIT_BREAKER, BREAKER)]);
    let (first, failing) = (found(&node).deployments[1].id, primary(&node).id);
    live(&mut node, None, Some(FailureCause::Tasks)).unwrap();
    let service = found(&node);
    let deployments: Vec<_> = service.deployments.iter().map(|one| (one.id, one.rollout)).collect();
    assert_eq!(
        deployments[1..],
        [(failing, RolloutState::Failed)],
        "the first one is gone, but for its task"
    );
    assert_eq!(statuses(&node), [RollbackInProgress, Successful]);
    assert_eq!(service.spec.task_definition, definition("web", 1));
    let load = node.state.index().service_load(&service.key);
    assert_eq!(node.state.counts_of_deployment(&service.key, &load, service.deployments[0].id).tasks, 1);
    let told: Vec<&str> = service.events.iter().rev().map(|event| event.message.as_str()).collect();
    let failed = format!("(service web) (deployment {failing}) deployment failed: tasks failed to start.");
    let back = format!("(service web) rolling back to deployment {first}.");
    assert_eq!(told[told.len() - 2..], [failed.as_str(), back.as_str()]);

    // The failed one has no tasks and retires; the way back completes.
    let rollouts = vec![(primary(&node).id, RolloutState::Completed)];
    record(&mut node, ServiceProgress { rollouts, retired: vec![failing], ..none() });
    assert_eq!(found(&node).deployments.len(), 1);
    let history = node.state.deployment_history(&service.key);
    assert_eq!(history.last_completed(), Some(primary(&node).id));
    assert_eq!(history.last_successful().unwrap().spec.task_definition, definition("web", 1));
}

#[test]
fn what_fails_without_a_way_back_starts_nothing_more() {
    let off = r#"{"enable":true,"rollback":false}"#;
    let (mut node, at) = second_under_way(&[(CIRCUIT_BREAKER, off)]);
    live(&mut node, None, Some(FailureCause::Tasks)).unwrap();
    assert_eq!(statuses(&node), [Stopped, Successful]);
    assert_eq!(primary(&node).rollout, RolloutState::Failed);
    assert_eq!(life(&node).cause, Some(FailureCause::Tasks));
    assert!(matches!(start(&mut node, &at), Err(Rejection::Stale { .. })));
    assert!(
        matches!(live(&mut node, None, Some(FailureCause::Tasks)), Err(Rejection::Stale { .. })),
        "it fails once"
    );
    update(&mut node, ServiceChange { force_new_deployment: true, ..ServiceChange::default() });
    start(&mut node, &at).unwrap();
    assert_eq!(statuses(&node), [InProgress, Stopped, Successful]);
}

#[test]
fn a_way_back_that_fails_does_not_turn_back_again() {
    let (mut node, _) = second_under_way(&[(CIRCUIT_BREAKER, BREAKER)]);
    live(&mut node, None, Some(FailureCause::Tasks)).unwrap();
    live(&mut node, None, Some(FailureCause::Tasks)).unwrap();
    assert_eq!(statuses(&node), [RollbackFailed, Successful]);
    assert_eq!(primary(&node).rollout, RolloutState::Failed);
    update(
        &mut node,
        ServiceChange { task_definition: Some(definition("web", 3)), ..ServiceChange::default() },
    );
    live(&mut node, None, Some(FailureCause::Tasks)).unwrap();
    let target = found(&node).spec.task_definition.clone();
    assert_eq!((target, statuses(&node)[0]), (definition("web", 1), RollbackInProgress));
}

#[test]
fn a_stages_hooks_wait_as_long_as_was_asked_for() {
    let (mut node, _) = second_under_way(&[(LIFECYCLE_HOOKS, HOOK)]);
    live(&mut node, Some(LifecycleStage::ScaleUp), None).unwrap();
    assert!(!life(&node).waits());
    live(&mut node, Some(LifecycleStage::PostScaleUp), None).unwrap();
    let hooks = life(&node).hooks;
    let waits: Vec<u64> = hooks.iter().map(|hook| hook.expires_at.since(node.now).as_secs() / 60).collect();
    assert_eq!(waits, [1440, 5]);
    assert_ne!(hooks[0].id, hooks[1].id);
    assert_eq!(
        answer(&mut node, "ecs-pause-0", HookAction::Continue),
        Err(Rejection::DeploymentDoesNotWait { hook: "ecs-pause-0".to_owned() })
    );
    answer(&mut node, &hooks[0].name(), HookAction::Continue).unwrap();
    assert!(answer(&mut node, &hooks[0].name(), HookAction::Continue).is_err(), "once");
    assert!(life(&node).waits(), "all of them are waited for");
    // Whoever looks after five minutes finds the other one late; it asked to go on.
    node.now = node.now.plus(Duration::from_secs(300));
    live(&mut node, None, None).unwrap();
    let ended: Vec<HookStatus> = life(&node).hooks.iter().map(|hook| hook.status).collect();
    assert_eq!(ended, [HookStatus::Succeeded, HookStatus::TimedOut]);
    assert_eq!(statuses(&node)[0], InProgress);
}

#[test]
fn a_hook_turns_it_back_by_its_user_or_by_the_clock() {
    for by_user in [true, false] {
        let (mut node, _) = second_under_way(&[(LIFECYCLE_HOOKS, HOOK)]);
        let failing = primary(&node).id;
        live(&mut node, Some(LifecycleStage::PostScaleUp), None).unwrap();
        let hook = life(&node).hooks[0].name();
        let cause = if by_user {
            answer(&mut node, &hook, HookAction::Rollback).unwrap();
            FailureCause::HookFailed(LifecycleStage::PostScaleUp)
        } else {
            node.now = node.now.plus(Duration::from_secs(86_400));
            // That it would go on is of no matter any more.
            live(&mut node, Some(LifecycleStage::BakeTime), None).unwrap();
            FailureCause::HookTimedOut(LifecycleStage::PostScaleUp)
        };
        assert_eq!(statuses(&node), [RollbackInProgress, Successful]);
        let failed = node.state.lifecycles(&service("web")).of(failing);
        assert_eq!((failed.cause, failed.stage.unwrap().0), (Some(cause), LifecycleStage::PostScaleUp));
        assert!(answer(&mut node, &hook, HookAction::Continue).is_err(), "it is on its way back");
    }
}

#[test]
fn a_plan_that_saw_it_before_a_word_of_its_user_is_stale() {
    let (mut node, _) = second_under_way(&[(LIFECYCLE_HOOKS, HOOK)]);
    live(&mut node, Some(LifecycleStage::PostScaleUp), None).unwrap();
    let (version, deployment) = (found(&node).version, primary(&node).id);
    let hook = life(&node).hooks[0].name();
    answer(&mut node, &hook, HookAction::Continue).unwrap();
    let stage = Some(LifecycleStage::BakeTime);
    let lifecycle = LifecycleProgress { deployment, failures: None, stage, failed: None };
    let command = Command::RecordDeployment(Box::new(RecordDeployment {
        service: service("web"),
        version,
        progress: none(),
        lifecycle,
    }));
    assert!(matches!(node.propose(command), Err(Rejection::Stale { .. })));
}

#[test]
fn while_it_is_beside_what_serves_both_have_the_whole_number_of_tasks() {
    let (mut node, at) = second_under_way(&[(DEPLOYMENT_STRATEGY, "\"BLUE_GREEN\"")]);
    let blue = found(&node).deployments[1].id;
    let of = |node: &mut Node, deployment| {
        let version = found(node).version;
        let placements = vec![at.clone()];
        node.propose(Command::StartServiceTasks { service: service("web"), version, deployment, placements })
    };
    let green = primary(&node).id;
    live(&mut node, Some(LifecycleStage::ScaleUp), None).unwrap();
    // Two are the maximum of one task wanted, for each of them.
    of(&mut node, green).unwrap();
    of(&mut node, green).unwrap();
    assert!(matches!(of(&mut node, green), Err(Rejection::Stale { .. })));
    of(&mut node, blue).unwrap();
    assert!(matches!(of(&mut node, blue), Err(Rejection::Stale { .. })));
    let definitions: Vec<u32> =
        node.state.tasks_of_service(&service("web")).iter().map(|task| task.definition.revision).collect();
    assert_eq!(
        definitions.iter().filter(|revision| **revision == 1).count(),
        2,
        "blue ones are made as they were"
    );
    live(&mut node, Some(LifecycleStage::CleanUp), None).unwrap();
    assert!(matches!(of(&mut node, blue), Err(Rejection::Stale { .. })), "it goes");
}

#[test]
fn what_a_task_runs_is_known_however_often_its_service_turned_back() {
    let (mut node, at) = second_under_way(&[(CIRCUIT_BREAKER, BREAKER)]);
    for number in 0..50 {
        let failing = primary(&node).id;
        live(&mut node, None, Some(FailureCause::Tasks)).unwrap();
        if number == 0 {
            // Of the first way back: whose record is not the last one to be successful for long.
            start(&mut node, &at).unwrap();
        }
        let rollouts = vec![(primary(&node).id, RolloutState::Completed)];
        record(&mut node, ServiceProgress { rollouts, retired: vec![failing], ..none() });
        invariant::check_state(&node.state).unwrap();
        let now = primary(&node).id;
        let tasks = node.state.tasks_of_service(&service("web"));
        assert_eq!(tasks.len(), 2);
        assert!(tasks.iter().all(|task| node.state.runs(&service("web"), task, now)), "round {number}");
        update(&mut node, ServiceChange { force_new_deployment: true, ..ServiceChange::default() });
    }
    let kept = node.state.deployment_history(&service("web")).deployments.len();
    assert!(kept <= 23, "{kept}");
}

#[test]
fn lives_are_forgotten_with_their_records_and_come_back_from_a_snapshot() {
    let (mut node, _) = second_under_way(&[]);
    for number in 0..50 {
        live(&mut node, Some(LifecycleStage::PreScaleUp), None).unwrap();
        update(
            &mut node,
            ServiceChange {
                task_definition: Some(definition("web", 2 + number % 2)),
                ..ServiceChange::default()
            },
        );
        let service = found(&node);
        let retired = service.deployments[1..].iter().map(|one| one.id);
        let has_tasks = |id: &DeploymentId| {
            node.state.tasks_of_service(&service.key).iter().any(|task| task.deployment() == Some(*id))
        };
        let retired: Vec<DeploymentId> = retired.filter(|id| !has_tasks(id)).collect();
        record(&mut node, ServiceProgress { retired, ..none() });
        invariant::check_state(&node.state).unwrap();
    }
    let history = node.state.deployment_history(&service("web"));
    assert_eq!(history.deployments.len(), 20);
    assert!(node.state.lifecycles(&service("web")).deployments.len() <= 20);
    let bytes = codec::encode_snapshot(&node.state);
    assert_eq!(codec::decode_snapshot(&bytes), Ok(node.state.clone()));
    node.propose(Command::Reset).unwrap();
    assert!(node.state.lifecycles(&service("web")).deployments.is_empty());
}

#[test]
fn below_its_level_nobody_says_such_a_thing() {
    let mut node = Node::new();
    node.propose(Command::RaiseFeatureLevel { level: FeatureLevel::TASK_NETWORKS }).unwrap();
    node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    let refused = live(&mut node, Some(LifecycleStage::PreScaleUp), None);
    assert!(matches!(refused, Err(Rejection::FeatureLevel { .. })), "{refused:?}");
}
