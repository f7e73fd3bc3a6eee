//! Deployments with stages: hooks at which they wait, bake time, both sides beside each other, and the way back from each stage.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::*;
use trireme_state::command::{ContinueDeployment, ServiceChange};
use trireme_state::object::*;
use trireme_state::{Actor, Command, Rejection};
use trireme_types::{DeploymentId, TaskId};

use ServiceDeploymentStatus::{InProgress, RollbackFailed, RollbackSuccessful, Stopped, Successful};

const MINUTE: Duration = Duration::from_secs(60);
const BLUE_GREEN: (&str, &str) = (DEPLOYMENT_STRATEGY, "\"BLUE_GREEN\"");
/// ECS's names of the stages at which a hook may wait, and the stage that the deployment is in then.
const PAUSES: [(&str, LifecycleStage); 5] = [
    ("PRE_SCALE_UP", LifecycleStage::PreScaleUp),
    ("POST_SCALE_UP", LifecycleStage::PostScaleUp),
    ("POST_TEST_TRAFFIC_SHIFT", LifecycleStage::PostTestTrafficShift),
    ("PRE_PRODUCTION_TRAFFIC_SHIFT", LifecycleStage::ProductionTrafficShift),
    ("POST_PRODUCTION_TRAFFIC_SHIFT", LifecycleStage::PostProductionTrafficShift),
];

fn pause_at(stages: &[&str], action: &str) -> String {
    let stages = stages.join("\",\"");
    format!(
        r#"[{{"targetType":"PAUSE","lifecycleStages":["{stages}"],"timeoutConfiguration":{{"timeoutInMinutes":30,"action":"{action}"}}}}]"#
    )
}

/// Four blue tasks run, and the next revision is there. What is `asked` holds from the second deployment on.
fn four_blue(asked: &[(&str, &str)]) -> (World, TaskDefinitionKey, TaskDefinitionKey) {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let (blue, green) = (world.register("web", 256, 256, None), world.register("web", 256, 256, None));
    world.create_with("web", &blue, 4, &[BLUE_GREEN]);
    world.settle_healthy();
    let described = asked.iter().map(|(member, json)| ((*member).to_owned(), Some((*json).to_owned())));
    world.update("web", ServiceChange { described: described.collect(), ..ServiceChange::default() });
    assert_eq!(world.statuses("web"), [Successful]);
    (world, blue, green)
}

fn of(world: &World, definition: &TaskDefinitionKey) -> BTreeSet<TaskId> {
    let ours = world.tasks("web").into_iter().filter(|task| task.wanted() && task.definition == *definition);
    ours.map(|task| task.id).collect()
}

fn stage(world: &World) -> Option<LifecycleStage> {
    world.life("web").stage.map(|(stage, _)| stage)
}

fn waiting(world: &World) -> Vec<LifecycleHook> {
    let waits = |hook: &LifecycleHook| hook.status == HookStatus::AwaitingAction;
    world.life("web").hooks.into_iter().filter(waits).collect()
}

fn answer(world: &mut World, action: HookAction) -> Result<trireme_state::command::Outcome, Rejection> {
    let hook = waiting(world).first().map_or_else(|| "ecs-pause-0".to_owned(), LifecycleHook::name);
    let deployment: DeploymentId = world.view().deployment_history(&service_key("web")).deployments[0].id;
    let service = service_key("web");
    world.try_propose(
        Actor::Operator,
        Command::ContinueDeployment(Box::new(ContinueDeployment { service, deployment, hook, action })),
    )
}

#[test]
fn green_runs_beside_blue_until_it_has_baked() {
    let (mut world, blue, green) = four_blue(&[(BAKE_TIME, "10")]);
    let before = of(&world, &blue);
    world.deploy("web", &green);
    world.settle_healthy();
    assert_eq!(stage(&world), Some(LifecycleStage::BakeTime));
    assert_eq!((of(&world, &blue), of(&world, &green).len()), (before.clone(), 4));
    assert_eq!(world.statuses("web"), [InProgress, Successful]);
    world.live(9 * MINUTE);
    assert_eq!(of(&world, &blue), before, "nine minutes are not ten");
    let greens = of(&world, &green);
    world.live(MINUTE);
    assert_eq!((of(&world, &blue).len(), of(&world, &green)), (0, greens));
    assert_eq!(stage(&world), Some(LifecycleStage::CleanUp));
    assert_eq!(world.statuses("web"), [Successful, Successful]);
    assert_eq!(world.service("web").deployments.len(), 1);
    assert!(world.service("web").steady);
}

#[test]
fn it_waits_at_each_hook_and_goes_on_when_it_is_told_to() {
    let names: Vec<&str> = PAUSES.iter().map(|(name, _)| *name).collect();
    let (mut world, blue, green) = four_blue(&[(LIFECYCLE_HOOKS, &pause_at(&names, "ROLLBACK"))]);
    let before = of(&world, &blue);
    world.deploy("web", &green);
    for (name, at) in PAUSES {
        world.settle_healthy();
        assert_eq!(stage(&world), Some(at), "{name}");
        let greens = if at < LifecycleStage::ScaleUp { 0 } else { 4 };
        assert_eq!((of(&world, &blue), of(&world, &green).len()), (before.clone(), greens), "{name}");
        world.live(20 * MINUTE);
        assert_eq!(stage(&world), Some(at), "it waits at {name}");
        answer(&mut world, HookAction::Continue).unwrap();
    }
    world.settle_healthy();
    assert_eq!((of(&world, &blue).len(), of(&world, &green).len()), (0, 4));
    assert_eq!(world.statuses("web"), [Successful, Successful]);
    assert!(matches!(answer(&mut world, HookAction::Continue), Err(Rejection::DeploymentDoesNotWait { .. })));
}

#[test]
fn from_each_hook_it_turns_back_and_no_blue_task_is_touched() {
    for (name, at) in PAUSES {
        let (mut world, blue, green) = four_blue(&[(LIFECYCLE_HOOKS, &pause_at(&[name], "CONTINUE"))]);
        let before = of(&world, &blue);
        world.deploy("web", &green);
        let failed = world.service("web").deployments[0].id;
        world.settle_healthy();
        assert_eq!(stage(&world), Some(at));
        answer(&mut world, HookAction::Rollback).unwrap();
        world.settle_healthy();
        assert_eq!((of(&world, &blue), of(&world, &green).len()), (before, 0), "{name}");
        assert_eq!(world.statuses("web"), [RollbackSuccessful, Successful], "{name}");
        let life = world.view().lifecycles(&service_key("web")).of(failed);
        assert_eq!(life.cause, Some(FailureCause::HookFailed(at)));
        assert_eq!(life.hooks[0].status, HookStatus::Failed);
        let reason = world.view().deployment_history(&service_key("web")).deployments[0].rollback.clone();
        let expected =
            format!("Service deployment rolled back because {} lifecycle hook(s) failed.", at.name());
        assert!(reason.unwrap().reason.starts_with(&expected));
    }
}

#[test]
fn a_hook_that_nobody_answers_does_what_was_asked_for() {
    for (action, status) in [("ROLLBACK", RollbackSuccessful), ("CONTINUE", Successful)] {
        let (mut world, blue, green) = four_blue(&[(LIFECYCLE_HOOKS, &pause_at(&["POST_SCALE_UP"], action))]);
        let before = of(&world, &blue);
        world.deploy("web", &green);
        let deployment = world.service("web").deployments[0].id;
        world.settle_healthy();
        world.live(29 * MINUTE);
        assert_eq!((stage(&world), waiting(&world).len()), (Some(LifecycleStage::PostScaleUp), 1));
        world.live(MINUTE);
        assert_eq!(world.statuses("web"), [status, Successful], "{action}");
        let life = world.view().lifecycles(&service_key("web")).of(deployment);
        match action {
            "ROLLBACK" => {
                assert_eq!((of(&world, &blue), of(&world, &green).len()), (before, 0));
                assert_eq!(life.hooks[0].status, HookStatus::TimedOut);
                assert_eq!(life.cause, Some(FailureCause::HookTimedOut(LifecycleStage::PostScaleUp)));
            }
            _ => assert_eq!((of(&world, &blue).len(), of(&world, &green).len()), (0, 4)),
        }
    }
}

#[test]
fn while_it_bakes_its_user_may_stop_it_and_its_failures_count() {
    for by_user in [true, false] {
        let breaker = r#"{"enable":true,"rollback":true}"#;
        let (mut world, blue, green) = four_blue(&[(BAKE_TIME, "10"), (CIRCUIT_BREAKER, breaker)]);
        let before = of(&world, &blue);
        world.deploy("web", &green);
        let deployment = world.service("web").deployments[0].id;
        world.settle_healthy();
        assert_eq!(stage(&world), Some(LifecycleStage::BakeTime));
        if by_user {
            let (service, reason) = (service_key("web"), "asked for".to_owned());
            world.user(Command::RollBackDeployment { service, deployment, reason });
        } else {
            // The green tasks end, and those in their place do not start.
            world.broken.insert(green.clone());
            world.exit_some("web", deployment, 4);
        }
        world.settle_for_good();
        assert_eq!((of(&world, &blue), of(&world, &green).len()), (before, 0), "by its user: {by_user}");
        assert_eq!(world.statuses("web"), [RollbackSuccessful, Successful]);
    }
}

#[test]
fn another_number_of_tasks_is_for_both_sides_and_both_are_kept() {
    let (mut world, blue, green) = four_blue(&[(LIFECYCLE_HOOKS, &pause_at(&["POST_SCALE_UP"], "ROLLBACK"))]);
    world.deploy("web", &green);
    world.settle_healthy();
    for count in [6, 3] {
        world.scale("web", count);
        world.settle_healthy();
        let expected = (count as usize, count as usize);
        assert_eq!((of(&world, &blue).len(), of(&world, &green).len()), expected);
    }
    // A blue one ends, and a node of both is emptied: each side gets back what it lost.
    let one = world.tasks("web").into_iter().find(|task| task.definition == blue).unwrap();
    world.exit(&one);
    let node = world.tasks("web")[0].instance;
    world.set_status(node, InstanceStatus::Draining);
    world.settle_healthy();
    assert_eq!((of(&world, &blue).len(), of(&world, &green).len()), (3, 3));
    assert!(world.tasks("web").iter().all(|task| !task.wanted() || task.instance != node));
    answer(&mut world, HookAction::Continue).unwrap();
    world.settle_healthy();
    assert_eq!((of(&world, &blue).len(), of(&world, &green).len()), (0, 3));
}

#[test]
fn a_newer_one_takes_its_place_and_what_serves_stays() {
    let hooks = pause_at(&["RECONCILE_SERVICE", "POST_SCALE_UP"], "ROLLBACK");
    let (mut world, blue, green) = four_blue(&[(LIFECYCLE_HOOKS, &hooks)]);
    let newer = world.register("web", 256, 256, None);
    let before = of(&world, &blue);
    world.deploy("web", &green);
    world.settle_healthy();
    assert_eq!(
        stage(&world),
        Some(LifecycleStage::PostScaleUp),
        "with one revision there is nothing to reconcile"
    );
    world.deploy("web", &newer);
    world.settle_healthy();
    assert_eq!(stage(&world), Some(LifecycleStage::ReconcileService));
    assert_eq!(
        (of(&world, &blue), of(&world, &green).len(), of(&world, &newer).len()),
        (before.clone(), 0, 0)
    );
    answer(&mut world, HookAction::Continue).unwrap();
    world.settle_healthy();
    assert_eq!(stage(&world), Some(LifecycleStage::PostScaleUp));
    assert_eq!((of(&world, &blue), of(&world, &newer).len()), (before, 4));
    answer(&mut world, HookAction::Continue).unwrap();
    world.settle_healthy();
    assert_eq!((world.tasks("web").len(), of(&world, &newer).len()), (4, 4));
    assert_eq!(world.statuses("web"), [Successful, Stopped, Successful]);
}

#[test]
fn the_first_deployment_goes_through_its_stages_too() {
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    let web = world.register("web", 256, 256, None);
    let hooks = pause_at(&["PRE_SCALE_UP", "POST_SCALE_UP"], "ROLLBACK");
    world.create_with("web", &web, 3, &[BLUE_GREEN, (LIFECYCLE_HOOKS, &hooks)]);
    world.settle_healthy();
    assert_eq!((stage(&world), world.tasks("web").len()), (Some(LifecycleStage::PreScaleUp), 0));
    answer(&mut world, HookAction::Continue).unwrap();
    world.settle_healthy();
    assert_eq!((stage(&world), world.running("web")), (Some(LifecycleStage::PostScaleUp), 3));
    answer(&mut world, HookAction::Rollback).unwrap();
    world.settle_healthy();
    assert_eq!(world.statuses("web"), [RollbackFailed], "there is nothing to go back to");
    assert_eq!(world.running("web"), 3, "what runs is left alone");
}

#[test]
fn a_green_revision_that_never_starts_leaves_blue_alone() {
    let (mut world, blue, green) = four_blue(&[(CIRCUIT_BREAKER, r#"{"enable":true,"rollback":true}"#)]);
    let before = of(&world, &blue);
    world.broken.insert(green.clone());
    world.deploy("web", &green);
    world.settle_for_good();
    assert_eq!((of(&world, &blue), of(&world, &green).len()), (before, 0));
    assert_eq!(world.statuses("web"), [RollbackSuccessful, Successful]);
}
