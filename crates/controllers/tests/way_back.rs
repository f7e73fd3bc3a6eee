//! Whatever fails: a deployment that turned back ends at the revision that completed last before it, with the tasks that are left of it,
//! and the others are gone. `SEED` plays one story again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::*;
use trireme_state::Command;
use trireme_state::command::{ContinueDeployment, ServiceChange};
use trireme_state::object::*;
use trireme_types::TaskId;

use ServiceDeploymentStatus::{RollbackSuccessful, Successful};

const STORIES: u64 = 500;
const BREAKER: &str = r#"{"enable":true,"rollback":true}"#;
const HOOKS: &str = r#"[{"targetType":"PAUSE","lifecycleStages":["POST_SCALE_UP"],
    "timeoutConfiguration":{"timeoutInMinutes":5,"action":"ROLLBACK"}}]"#;

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % sides
    }
}

/// A service of which the first revision runs; 1 and 2 work, 3 never starts, 4 exits soon.
fn begin(dice: &mut Dice) -> World {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    for _ in 0..4 {
        world.register("web", 128, 128, None);
    }
    world.broken.insert(definition("web", 3));
    world.crashing.insert(definition("web", 4), Duration::from_secs(dice.below(35)));
    let mut asked = vec![(CIRCUIT_BREAKER, BREAKER)];
    if dice.below(2) == 0 {
        asked.push((DEPLOYMENT_STRATEGY, "\"BLUE_GREEN\""));
    }
    if dice.below(3) == 0 {
        asked.push((BAKE_TIME, "1"));
    }
    let desired = 1 + u32::try_from(dice.below(6)).unwrap();
    world.create_with("web", &definition("web", 1), desired, &asked);
    world.live(Duration::from_secs(120));
    assert_eq!(world.statuses("web"), [Successful]);
    // Only now, so that the first one need not be answered.
    if dice.below(3) == 0 {
        let described = [(LIFECYCLE_HOOKS.to_owned(), Some(HOOKS.to_owned()))].into();
        world.update("web", ServiceChange { described, ..ServiceChange::default() });
    }
    world
}

/// Something happens.
fn trouble(world: &mut World, dice: &mut Dice) {
    let pick = usize::try_from(dice.below(12)).unwrap();
    match dice.below(9) {
        0 | 1 => {
            let revision = 1 + u32::try_from(dice.below(4)).unwrap();
            world.deploy("web", &definition("web", revision));
        }
        2 => world.update("web", ServiceChange { force_new_deployment: true, ..ServiceChange::default() }),
        3 => world.scale("web", 1 + u32::try_from(dice.below(7)).unwrap()),
        4 => {
            let tasks = world.tasks("web");
            let runs = tasks.iter().filter(|task| task.wanted() && task.last_status == TaskStatus::Running);
            if let Some(task) = runs.filter(|task| !world.deaf.contains(&task.instance)).nth(pick) {
                world.exit(task);
            }
        }
        5 if world.deaf.is_empty() => world.lose(world.agents[pick % 6]),
        6 => {
            for instance in world.deaf.clone() {
                world.return_from_the_dead(instance);
            }
        }
        7 => stop(world),
        _ => answer(world, if dice.below(2) == 0 { HookAction::Continue } else { HookAction::Rollback }),
    }
    world.live(Duration::from_secs(dice.below(90)));
}

/// The user stops what is under way.
fn stop(world: &mut World) {
    let newest = world.view().deployment_history(&service_key("web")).deployments[0].clone();
    if newest.status.is_under_way() {
        let (service, reason) = (service_key("web"), "asked for".to_owned());
        world.user(Command::RollBackDeployment { service, deployment: newest.id, reason });
    }
}

/// The user answers at a hook, if there is one that waits.
fn answer(world: &mut World, action: HookAction) {
    let hooks = world.life("web").hooks;
    let Some(hook) = hooks.iter().find(|hook| hook.status == HookStatus::AwaitingAction) else { return };
    let (service, hook) = (service_key("web"), hook.name());
    let newest = world.view().deployment_history(&service_key("web")).deployments[0].clone();
    if newest.status == ServiceDeploymentStatus::InProgress {
        world.user(Command::ContinueDeployment(Box::new(ContinueDeployment {
            service,
            deployment: newest.id,
            hook,
            action,
        })));
    }
}

fn of(world: &World, definition: &TaskDefinitionKey) -> BTreeSet<TaskId> {
    let ours = world.tasks("web").into_iter().filter(|task| task.wanted() && task.definition == *definition);
    ours.map(|task| task.id).collect()
}

/// What each record that turned back came to is what the one before it that was successful came to. Gives how many turned back.
fn check(world: &World, seed: u64) -> usize {
    let history = world.view().deployment_history(&service_key("web"));
    let mut last = None;
    let mut back = 0;
    for record in history.deployments.iter().rev() {
        match (record.status, &record.rollback) {
            (Successful, _) => last = Some(record.target),
            (RollbackSuccessful, Some(rollback)) => {
                assert_eq!(Some(rollback.revision), last, "seed {seed}: {record:?}");
                back += 1;
            }
            _ => {}
        }
    }
    back
}

/// One story. Gives how many deployments turned back in it.
fn play(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut world = begin(&mut dice);
    for _ in 0..12 {
        trouble(&mut world, &mut dice);
        check(&world, seed);
    }
    for instance in world.deaf.clone() {
        world.return_from_the_dead(instance);
    }
    world.live(Duration::from_secs(3_600));
    let turned_back = check(&world, seed);
    let service = world.service("web");
    let newest = world.view().deployment_history(&service.key).deployments[0].clone();
    assert!(!newest.status.is_under_way(), "seed {seed}: {newest:?}");
    if matches!(newest.status, Successful | RollbackSuccessful) {
        let ours = of(&world, &service.spec.task_definition);
        assert_eq!(ours.len(), service.spec.desired_count as usize, "seed {seed}");
        assert_eq!(ours.len(), world.tasks("web").len(), "seed {seed}: nothing else is left");
        assert_eq!(service.deployments.len(), 1, "seed {seed}");
        let good = [definition("web", 1), definition("web", 2)];
        assert!(good.contains(&service.spec.task_definition), "seed {seed}");
    }
    turned_back
}

#[test]
fn the_way_back_ends_at_the_last_that_completed() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => seed.parse().unwrap()..seed.parse::<u64>().unwrap() + 1,
        Err(_) => 0..STORIES,
    };
    let stories = seeds.end - seeds.start;
    let turned_back: usize = seeds.map(play).sum();
    assert!(stories == 1 || turned_back as u64 > stories / 2, "only {turned_back} turned back");
}
