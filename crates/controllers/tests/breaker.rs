//! Deployments that fail: the circuit breaker, the way back, and what is left of either, told as short stories.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::*;
use trireme_state::command::ServiceChange;
use trireme_state::object::*;
use trireme_types::TaskId;

use ServiceDeploymentStatus::{RollbackFailed, RollbackSuccessful, Stopped, Successful};

const BREAKER: &str = r#"{"enable":true,"rollback":true}"#;
const BREAKER_WITHOUT_ROLLBACK: &str = r#"{"enable":true,"rollback":false}"#;

/// Four tasks of revision 1 run, and revision 2 never starts.
fn four_and_a_bad_revision(breaker: &str) -> (World, TaskDefinitionKey, TaskDefinitionKey) {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let (good, bad) = (world.register("web", 256, 256, None), world.register("web", 256, 256, None));
    world.broken.insert(bad.clone());
    world.create_with("web", &good, 4, &[(CIRCUIT_BREAKER, breaker)]);
    world.settle_healthy();
    (world, good, bad)
}

#[test]
fn a_bad_revision_turns_back_and_no_good_task_is_restarted() {
    let (mut world, good, bad) = four_and_a_bad_revision(BREAKER);
    let (first, before) = (world.service("web").deployments[0].id, ids(&world));
    world.deploy("web", &bad);
    let second = world.service("web").deployments[0].id;
    let began = world.now;
    world.settle_for_good();
    assert!(world.now.since(began) < Duration::from_secs(60), "{:?}", world.now.since(began));

    let service = world.service("web");
    assert_eq!(service.deployments.len(), 1, "{:?}", service.deployments);
    assert_eq!(service.deployments[0].rollout, RolloutState::Completed);
    assert_eq!((&service.spec.task_definition, ids(&world)), (&good, before));
    assert_eq!(world.statuses("web"), [RollbackSuccessful, Successful]);
    let history = world.view().deployment_history(&service.key);
    let back = history.deployments[0].rollback.clone().unwrap();
    assert_eq!(
        back.reason,
        "Service deployment rolled back because the circuit breaker threshold was exceeded."
    );
    assert_eq!(back.deployment, service.deployments[0].id);
    let life = world.view().lifecycles(&service.key).of(second);
    assert_eq!((life.cause, life.failures.count), (Some(FailureCause::Tasks), 4));
    let told = [
        format!("(service web) (deployment {second}) deployment failed: tasks failed to start."),
        format!("(service web) rolling back to deployment {first}."),
        format!("(service web) (deployment {}) deployment completed.", back.deployment),
    ];
    world.was_told_in_order("web", &told);
}

#[test]
fn what_the_way_back_adopted_is_its_own_from_then_on() {
    let (mut world, good, bad) = four_and_a_bad_revision(BREAKER);
    world.deploy("web", &bad);
    world.settle_for_good();
    let before = ids(&world);
    let view = world.view();
    let (service, load) = (world.service("web"), view.index().service_load(&service_key("web")));
    let counts = view.counts_of_deployment(&service.key, &load, service.deployments[0].id);
    assert_eq!((counts.tasks, counts.running), (4, 4), "they count as the one deployment's");

    // It turns back a second time: the same four tasks are still the same four tasks.
    world.deploy("web", &bad);
    world.settle_for_good();
    assert_eq!(ids(&world), before);
    assert_eq!(world.statuses("web"), [RollbackSuccessful, RollbackSuccessful, Successful]);
    // One of them ends: it is replaced by one of the same definition.
    let one = world.tasks("web")[0].clone();
    world.exit(&one);
    world.scale("web", 5);
    world.settle_healthy();
    assert_eq!(world.running("web"), 5);
    assert!(world.tasks("web").iter().all(|task| task.definition == good));
    // A new deployment of the same definition replaces all of them.
    world.update("web", ServiceChange { force_new_deployment: true, ..ServiceChange::default() });
    world.settle_healthy();
    assert_eq!(world.running("web"), 5);
    assert!(ids(&world).is_disjoint(&before));
    assert_eq!(world.statuses("web")[0], Successful);
}

#[test]
fn without_a_way_back_it_fails_starts_nothing_more_and_leaves_the_rest() {
    let (mut world, good, bad) = four_and_a_bad_revision(BREAKER_WITHOUT_ROLLBACK);
    let before = ids(&world);
    world.deploy("web", &bad);
    world.settle_for_good();
    let service = world.service("web");
    let states: Vec<RolloutState> = service.deployments.iter().map(|one| one.rollout).collect();
    assert_eq!(states, [RolloutState::Failed, RolloutState::Completed]);
    assert_eq!(world.statuses("web"), [Stopped, Successful]);
    let record = world.view().deployment_history(&service.key).deployments[0].clone();
    assert_eq!(
        record.reason.unwrap(),
        "Service deployment stopped because the circuit breaker threshold was exceeded."
    );
    assert!(record.finished_at.is_some() && record.stopped_at.is_some());
    assert_eq!(ids(&world), before);

    let started = world.started;
    world.scale("web", 6);
    world.live(Duration::from_secs(3_600));
    assert_eq!((world.started - started, world.running("web")), (2, 6), "what serves is scaled");
    assert!(ids(&world).is_superset(&before));
    let of_good = |world: &World| world.tasks("web").iter().all(|task| task.definition == good);
    assert!(of_good(&world), "a failed deployment starts nothing");
    world.deploy("web", &good);
    world.settle_healthy();
    assert_eq!((world.running("web"), world.statuses("web")[0]), (6, Successful), "the next one goes on");
}

#[test]
fn the_first_deployment_has_nothing_to_go_back_to() {
    for (breaker, status, reason) in [
        (BREAKER, RollbackFailed, "No rollback candidate was found to run the rollback."),
        (
            BREAKER_WITHOUT_ROLLBACK,
            Stopped,
            "Service deployment stopped because the circuit breaker threshold was exceeded.",
        ),
    ] {
        let mut world = World::new();
        world.agents_per_zone(1, 4096, 4096);
        let bad = world.register("web", 256, 256, None);
        world.broken.insert(bad.clone());
        world.create_with("web", &bad, 2, &[(CIRCUIT_BREAKER, breaker)]);
        world.settle_for_good();
        assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Failed);
        assert_eq!(world.statuses("web"), [status]);
        let record = world.view().deployment_history(&service_key("web")).deployments[0].clone();
        assert_eq!(record.reason.unwrap(), reason);
        assert_eq!(world.started, 4, "two, two again, and no more");
    }
}

#[test]
fn tasks_that_exit_before_they_are_healthy_are_failures_and_later_exits_are_none() {
    for (life, status) in
        [(Duration::from_secs(5), RollbackSuccessful), (Duration::from_secs(60), Successful)]
    {
        let (mut world, _, crashing) = four_and_a_bad_revision(BREAKER);
        world.broken.clear();
        world.crashing.insert(crashing.clone(), life);
        world.deploy("web", &crashing);
        world.live(Duration::from_secs(300));
        assert_eq!(world.statuses("web")[0], status, "after {life:?}");
    }
}

#[test]
fn a_healthy_task_ends_the_count_unless_that_is_not_wanted() {
    for (reset, trips) in [(true, false), (false, true)] {
        let breaker = format!(
            r#"{{"enable":true,"rollback":true,"resetOnHealthyTask":{reset},"thresholdConfiguration":{{"type":"COUNT","value":3}}}}"#
        );
        let (mut world, _, next) = four_and_a_bad_revision(&breaker);
        world.broken.clear();
        world.deploy("web", &next);
        let second = world.service("web").deployments[0].id;
        // Two of the new tasks exit at once; the other two are healthy after 40 s; then two more exit before they are.
        world.settle();
        world.exit_some("web", second, 2);
        world.advance(Duration::from_secs(41));
        world.settle();
        world.exit_some_that_are_young("web", second, 2);
        world.settle_for_good();
        let expected = if trips { RollbackSuccessful } else { Successful };
        assert_eq!(world.statuses("web")[0], expected, "reset {reset}");
    }
}

#[test]
fn what_finds_no_place_has_not_failed() {
    let (mut world, _, _) = four_and_a_bad_revision(BREAKER);
    let large = world.register("web", 5000, 256, None);
    world.broken.clear();
    world.deploy("web", &large);
    world.live(Duration::from_secs(600));
    let second = world.service("web").deployments[0].clone();
    assert_eq!((second.task_definition.clone(), second.rollout), (large, RolloutState::InProgress));
    assert_eq!(world.view().lifecycles(&service_key("web")).of(second.id).failures.count, 0);
}

#[test]
fn what_is_forgotten_stays_counted() {
    let breaker = r#"{"enable":true,"rollback":true,"thresholdConfiguration":{"type":"COUNT","value":14}}"#;
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    let (good, bad) = (world.register("web", 256, 256, None), world.register("web", 256, 256, None));
    world.broken.insert(bad.clone());
    world.create_with("web", &good, 1, &[(CIRCUIT_BREAKER, breaker)]);
    world.settle_healthy();
    world.deploy("web", &bad);
    let second = world.service("web").deployments[0].id;
    // Rounds of one task are further and further apart: the first are long forgotten when the last one fails.
    let mut forgotten = 0;
    for _ in 0..60 {
        world.live(Duration::from_secs(180));
        forgotten += world.reap();
    }
    assert!(forgotten > 0, "some were forgotten");
    let life = world.view().lifecycles(&service_key("web")).of(second);
    assert_eq!((life.failures.count, life.cause), (14, Some(FailureCause::Tasks)));
    assert_eq!(world.statuses("web")[0], RollbackSuccessful);
}

#[test]
fn a_way_back_that_fails_too_is_the_end_of_it() {
    let (mut world, good, bad) = four_and_a_bad_revision(BREAKER);
    // Nothing starts any more, and the zone of some of the good tasks is lost while it turns back.
    world.deploy("web", &bad);
    world.broken.insert(good);
    let lost = world.agents[0..2].to_vec();
    lost.iter().for_each(|instance| world.lose(*instance));
    world.settle_for_good();
    assert_eq!(world.statuses("web"), [RollbackFailed, Successful]);
    let service = world.service("web");
    assert_eq!(service.deployments[0].rollout, RolloutState::Failed);
    assert!(world.running("web") > 0, "what is left runs on");
}

fn ids(world: &World) -> BTreeSet<TaskId> {
    world.tasks("web").iter().filter(|task| task.wanted()).map(|task| task.id).collect()
}
