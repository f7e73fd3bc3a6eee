//! Stories of health checks and of task protection: who is replaced, who stays, and when.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::*;
use trireme_state::command::ServiceChange;
use trireme_state::object::*;

fn checked_service(desired: u32, limits: (u32, u32)) -> (World, TaskDefinitionKey) {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let definition = world.register_checked("web", 64, 64);
    world.create("web", &definition, desired, limits);
    world.settle();
    (world, definition)
}

fn running(world: &World) -> Vec<Arc<Task>> {
    let runs = |task: &Arc<Task>| task.wanted() && task.last_status == TaskStatus::Running;
    world.tasks("web").into_iter().filter(runs).collect()
}

#[test]
fn a_deployment_is_complete_when_the_checks_pass_and_not_before() {
    let (mut world, _) = checked_service(3, (200, 100));
    world.advance(Duration::from_secs(300));
    world.settle();
    assert_eq!(
        world.service("web").deployments[0].rollout,
        RolloutState::InProgress,
        "forty seconds prove nothing"
    );
    world.all_healthy();
    world.settle();
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Completed);
}

#[test]
fn an_update_counts_on_new_tasks_as_soon_as_they_are_healthy() {
    let (mut world, _) = checked_service(2, (200, 100));
    world.all_healthy();
    world.settle();
    let next = world.register_checked("web", 64, 64);
    world.deploy("web", &next);
    world.settle();
    assert_eq!(running(&world).len(), 4, "both revisions run");
    let new = running(&world).into_iter().find(|task| task.definition == next).unwrap();
    world.says(&new, HealthStatus::Healthy);
    world.settle();
    assert_eq!(running(&world).len(), 3, "one old task made way for the healthy new one, at once");
    world.settle_for_good();
    assert!(running(&world).iter().all(|task| task.definition == next));
}

#[test]
fn an_unhealthy_task_is_replaced_start_first() {
    let (mut world, _) = checked_service(3, (200, 100));
    world.settle_for_good();
    let sick = running(&world).remove(0);
    world.says(&sick, HealthStatus::Unhealthy);
    world.settle();
    assert_eq!(running(&world).len(), 4, "the new one runs beside it");
    world.settle_for_good();
    let gone = world.view().task(sick.id).unwrap().clone();
    assert_eq!(gone.last_status, TaskStatus::Stopped);
    assert_eq!(gone.stop_code, Some(StopCode::ServiceSchedulerInitiated));
    assert_eq!(gone.stopped_reason.as_deref(), Some("Task failed container health checks"));
    assert_eq!(running(&world).len(), 3);
    assert_eq!(world.service("web").deployments.len(), 1, "it is no deployment");
}

#[test]
fn an_unhealthy_task_that_recovers_stays_and_the_spare_one_goes() {
    let (mut world, _) = checked_service(3, (200, 100));
    world.settle_for_good();
    let sick = running(&world).remove(0);
    world.says(&sick, HealthStatus::Unhealthy);
    world.settle();
    world.says(&sick, HealthStatus::Healthy);
    world.settle_for_good();
    assert_eq!(running(&world).len(), 3);
    assert!(running(&world).iter().any(|task| task.id == sick.id), "it was there first");
}

#[test]
fn where_nothing_more_may_start_the_unhealthy_one_makes_room() {
    let (mut world, _) = checked_service(3, (100, 50));
    world.settle_for_good();
    let sick = running(&world).remove(0);
    world.says(&sick, HealthStatus::Unhealthy);
    world.settle_for_good();
    assert_eq!(world.view().task(sick.id).unwrap().last_status, TaskStatus::Stopped);
    assert_eq!(running(&world).len(), 3);
}

#[test]
fn within_the_grace_period_checks_do_not_matter() {
    let (mut world, _) = checked_service(1, (200, 100));
    let grace = ServiceChange { health_check_grace_period_seconds: Some(120), ..ServiceChange::default() };
    world.update("web", grace);
    world.settle();
    let task = running(&world).remove(0);
    world.says(&task, HealthStatus::Unhealthy);
    world.settle();
    assert_eq!(running(&world).len(), 1);
    assert!(world.plan().wake_at.is_some_and(|at| at <= world.now.plus(Duration::from_secs(120))));
    world.advance(Duration::from_secs(121));
    world.settle();
    assert_eq!(running(&world).len(), 2, "its successor runs");
}

#[test]
fn checks_that_never_pass_are_backed_off_from() {
    let (mut world, _) = checked_service(1, (200, 100));
    let before = world.started;
    for _ in 0..200 {
        for task in running(&world) {
            world.says(&task, HealthStatus::Unhealthy);
        }
        world.settle();
        world.advance(Duration::from_secs(1));
    }
    let rounds = world.started - before;
    assert!((5..=40).contains(&rounds), "{rounds} tasks in 200 seconds");
}

#[test]
fn protected_tasks_survive_scale_in_and_deployments() {
    let (mut world, _) = checked_service(4, (200, 100));
    world.settle_for_good();
    let kept = running(&world)[0].clone();
    world.protect(&kept, Some(60));
    world.scale("web", 1);
    world.settle();
    assert_eq!(running(&world).iter().map(|task| task.id).collect::<Vec<_>>(), [kept.id]);
    let next = world.register_checked("web", 64, 64);
    world.deploy("web", &next);
    world.settle();
    world.all_healthy();
    world.settle();
    assert!(running(&world).iter().any(|task| task.id == kept.id), "it works on");
    assert!(world.said("web", "unable to scale in due to (reason TaskProtection)"));
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::InProgress);
    // The protection ends by itself.
    world.settle_for_good();
    assert!(running(&world).iter().all(|task| task.definition == next));
    assert_eq!(running(&world).len(), 1);
}

#[test]
fn a_protection_that_is_taken_back_is_noticed_at_once() {
    let (mut world, _) = checked_service(2, (200, 100));
    world.settle_for_good();
    for task in running(&world) {
        world.protect(&task, Some(2_880));
    }
    world.scale("web", 1);
    world.settle();
    assert_eq!(running(&world).len(), 2);
    let freed = running(&world).remove(1);
    world.protect(&freed, None);
    world.settle();
    assert_eq!(running(&world).len(), 1);
    assert_eq!(world.view().task(freed.id).unwrap().last_status, TaskStatus::Stopped);
}

#[test]
fn protection_does_not_keep_a_task_whose_check_fails_nor_a_deleted_service() {
    let (mut world, _) = checked_service(2, (200, 100));
    world.settle_for_good();
    let all = running(&world);
    for task in &all {
        world.protect(task, Some(2_880));
    }
    world.says(&all[0], HealthStatus::Unhealthy);
    world.settle_for_good();
    assert_eq!(world.view().task(all[0].id).unwrap().last_status, TaskStatus::Stopped);
    world.user(trireme_state::Command::DeleteService { key: service_key("web"), force: true });
    world.settle();
    assert!(running(&world).is_empty());
}
