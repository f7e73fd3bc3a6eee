//! When a rolling deployment counts as completed: after its bake time, or early.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use support::*;
use trireme_state::object::*;

use ServiceDeploymentStatus::{InProgress, RollbackSuccessful, Successful};

const MINUTE: Duration = Duration::from_secs(60);

fn four(described: &[(&str, &str)]) -> (World, TaskDefinitionKey, TaskDefinitionKey) {
    let mut world = World::new();
    world.agents_per_zone(2, 1024, 4096);
    let (old, new) = (world.register("web", 256, 256, None), world.register("web", 256, 256, None));
    world.create_with("web", &old, 4, described);
    world.live(30 * MINUTE);
    assert_eq!(world.statuses("web"), [Successful]);
    (world, old, new)
}

fn running(world: &World, definition: &TaskDefinitionKey) -> usize {
    let tasks = world.tasks("web");
    tasks.iter().filter(|task| task.wanted() && task.definition == *definition).count()
}

#[test]
fn it_bakes_when_all_is_there_and_its_failures_count_meanwhile() {
    let breaker = r#"{"enable":true,"rollback":true}"#;
    for fails in [false, true] {
        let (mut world, old, new) = four(&[(BAKE_TIME, "10"), (CIRCUIT_BREAKER, breaker)]);
        world.deploy("web", &new);
        let deployment = world.service("web").deployments[0].id;
        world.live(9 * MINUTE);
        assert_eq!((running(&world, &old), running(&world, &new)), (0, 4));
        assert_eq!(world.life("web").stage.map(|(stage, _)| stage), Some(LifecycleStage::BakeTime));
        assert_eq!(world.statuses("web"), [InProgress, Successful]);
        if fails {
            world.broken.insert(new.clone());
            world.exit_some("web", deployment, 4);
        }
        world.live(2 * MINUTE);
        let expected = if fails { RollbackSuccessful } else { Successful };
        assert_eq!(world.statuses("web")[0], expected);
        assert_eq!(running(&world, &old), if fails { 4 } else { 0 });
    }
}

#[test]
fn early_success_completes_with_fewer_and_old_tasks_go_before_or_after() {
    for (cleanup, blocks) in [("BLOCKING", true), ("DEFERRED", false)] {
        let early =
            format!(r#"{{"enable":true,"healthyPercent":50,"sourceServiceRevisionCleanup":"{cleanup}"}}"#);
        let (mut world, old, new) = four(&[(EARLY_SUCCESS, &early)]);
        world.update(
            "web",
            trireme_state::command::ServiceChange {
                deployment_configuration: Some(configuration((200, 50))),
                ..Default::default()
            },
        );
        world.deploy("web", &new);
        // Two of the new tasks run; agents are slow with the others.
        world.advance(Duration::from_secs(1));
        world.pass();
        let mut done = 0;
        let newest = new.clone();
        world.agents_work(|task| {
            done += usize::from(task.definition == newest);
            task.definition == newest && done <= 2
        });
        let mut completed_with = None;
        for _ in 0..100 {
            world.advance(Duration::from_secs(1));
            world.pass();
            world.agents_work(|task| task.definition == old);
            if world.statuses("web")[0] == Successful && completed_with.is_none() {
                completed_with = Some((running(&world, &old), running(&world, &new)));
            }
        }
        let (left, _) = completed_with.expect("two of four are enough");
        assert_eq!(left == 0, blocks, "{cleanup}: {left} old tasks were there still");
        world.settle_healthy();
        assert_eq!((running(&world, &old), running(&world, &new)), (0, 4), "the rest follows");
        assert_eq!(world.service("web").deployments.len(), 1);
    }
}
