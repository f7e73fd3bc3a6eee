//! Node health and the reaper.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::*;
use trireme_controllers::{Controller, Heard, NodeHealth, Observed, Plan, Reaper};
use trireme_state::Command;
use trireme_types::{ContainerInstanceId, SessionEpoch};

const HOUR: Duration = Duration::from_secs(3_600);

fn ages(world: &World, ages: &[f64]) -> BTreeMap<ContainerInstanceId, Heard> {
    let heard = |age: f64| Heard { epoch: SessionEpoch::new(1), age: Duration::from_secs_f64(age) };
    world.agents.iter().copied().zip(ages.iter().map(|age| heard(*age))).collect()
}

fn observed(world: &World, heartbeats: &[f64]) -> Observed {
    Observed {
        heartbeats: ages(world, heartbeats),
        deciding_for: HOUR,
        quorum_for: Some(HOUR),
        since_stall: None,
        ..Observed::default()
    }
}

/// Agents one per zone, registered an hour ago.
fn world(zones: &[&str]) -> World {
    let mut world = World::new();
    for zone in zones {
        world.agent(zone, 1024, 1024);
    }
    world.advance(HOUR);
    world
}

fn plan(world: &World, observed: &Observed) -> Plan {
    NodeHealth::default().plan(&world.view(), observed, world.now)
}

fn lost(plan: &Plan) -> Vec<ContainerInstanceId> {
    let lost = plan.commands.iter().map(|command| match command {
        Command::LoseInstance { instance, .. } => *instance,
        other => panic!("not node health's: {other:?}"),
    });
    lost.collect()
}

#[test]
fn five_seconds_of_silence_are_too_many() {
    let mut world = world(&ZONES);
    let soon = plan(&world, &observed(&world, &[0.5, 4.9, 0.5]));
    assert_eq!(lost(&soon), []);
    assert_eq!(soon.wake_at, Some(world.now.plus(Duration::from_millis(100))), "it looks again in time");
    let now = plan(&world, &observed(&world, &[0.5, 5.0, 0.5]));
    assert_eq!(lost(&now), [world.agents[1]]);
    for command in now.commands {
        world.user(command);
    }
    assert_eq!(lost(&plan(&world, &observed(&world, &[0.5, 9.0, 0.5]))), [], "once is enough");
}

#[test]
fn an_agent_that_goes_away_for_a_while_is_waited_for_and_no_longer() {
    let mut world = world(&ZONES);
    let gone = world.agents[1];
    world.user(Command::AnnounceAbsence { instance: gone, epoch: SessionEpoch::new(1), millis: 120_000 });
    let until = world.now.plus(Duration::from_secs(120));
    world.advance(Duration::from_secs(119));
    let silent = observed(&world, &[0.5, 119.0, 0.5]);
    let waiting = plan(&world, &silent);
    assert_eq!(lost(&waiting), []);
    assert_eq!(waiting.wake_at, Some(until));
    world.advance(Duration::from_secs(1));
    let over = plan(&world, &silent);
    assert_eq!(lost(&over), [gone]);
    assert!(over.report.to_string().contains("did not come back"), "{}", over.report);
    // A new leader hears for as long as any other silence takes.
    let new = Observed { deciding_for: Duration::from_secs(4), ..silent };
    assert_eq!(lost(&plan(&world, &new)), []);
}

#[test]
fn who_is_away_by_its_own_word_is_no_sign_that_all_look_dead() {
    let mut world = world(&[ZONES[0], ZONES[0], ZONES[1]]);
    let silent = observed(&world, &[0.1, 60.0, 60.0]);
    let gone = world.agents[2];
    world.user(Command::AnnounceAbsence { instance: gone, epoch: SessionEpoch::new(1), millis: 120_000 });
    assert_eq!(lost(&plan(&world, &silent)), [world.agents[1]], "the one beside it is the witness");
}

#[test]
fn each_cluster_waits_for_as_long_as_is_set() {
    let mut world = world(&ZONES);
    let set = |millis| Command::SetLostAfter { cluster: cluster(), millis };
    world.user(set(Some(30_000)));
    let soon = plan(&world, &observed(&world, &[0.5, 29.0, 0.5]));
    assert_eq!((lost(&soon), soon.wake_at), (vec![], Some(world.now.plus(Duration::from_secs(1)))));
    assert_eq!(lost(&plan(&world, &observed(&world, &[0.5, 30.0, 0.5]))), [world.agents[1]]);
    world.user(set(Some(2_000)));
    assert_eq!(lost(&plan(&world, &observed(&world, &[0.5, 2.5, 0.5]))), [world.agents[1]]);
    world.user(set(None));
    assert_eq!(lost(&plan(&world, &observed(&world, &[0.5, 4.9, 0.5]))), []);
}

#[test]
fn an_agent_that_was_never_heard_is_given_its_time_from_its_session_on() {
    let mut world = world(&ZONES);
    let fresh = world.agent(ZONES[1], 1024, 1024);
    world.advance(Duration::from_secs(4));
    assert_eq!(lost(&plan(&world, &observed(&world, &[0.1, 0.1, 0.1]))), []);
    world.advance(Duration::from_secs(1));
    assert_eq!(lost(&plan(&world, &observed(&world, &[0.1, 0.1, 0.1]))), [fresh]);
}

#[test]
fn heartbeats_of_an_older_session_do_not_count() {
    let mut world = world(&ZONES);
    world.return_from_the_dead(world.agents[0]);
    world.advance(HOUR);
    assert_eq!(lost(&plan(&world, &observed(&world, &[0.1, 0.1, 0.1]))), [world.agents[0]]);
}

#[test]
fn whoever_could_not_hear_judges_nobody() {
    let world = world(&ZONES);
    let silent = observed(&world, &[0.1, 60.0, 0.1]);
    assert_eq!(lost(&plan(&world, &silent)).len(), 1);
    let four = Duration::from_secs(4);
    let excuses = [
        Observed { deciding_for: four, ..silent.clone() },
        Observed { quorum_for: Some(four), ..silent.clone() },
        Observed { quorum_for: None, ..silent.clone() },
        Observed { since_stall: Some(four), ..silent.clone() },
    ];
    for excuse in excuses {
        assert_eq!(lost(&plan(&world, &excuse)), [], "{excuse:?}");
    }
}

#[test]
fn if_everything_looks_dead_it_is_us() {
    let world = world(&ZONES);
    let all = plan(&world, &observed(&world, &[60.0, 60.0, 60.0]));
    assert_eq!(lost(&all), []);
    assert!(all.report.to_string().contains("3 silent instances are not judged"), "{}", all.report);
    let late = plan(&world, &observed(&world, &[60.0, 60.0, 2.1]));
    assert_eq!(lost(&late), [], "a witness was heard within two seconds");
}

#[test]
fn a_witness_is_in_another_zone() {
    let world = world(&[ZONES[0], ZONES[0], ZONES[1]]);
    let beside = plan(&world, &observed(&world, &[0.1, 60.0, 60.0]));
    assert_eq!(lost(&beside), [world.agents[2]], "the one beside has no witness in another zone");
}

#[test]
fn in_a_single_zone_another_instance_is_the_witness_and_a_lone_one_is_never_judged() {
    let pair = world(&[ZONES[0], ZONES[0]]);
    assert_eq!(lost(&plan(&pair, &observed(&pair, &[0.1, 60.0]))), [pair.agents[1]]);
    let alone = world(&[ZONES[0]]);
    assert_eq!(lost(&plan(&alone, &observed(&alone, &[60.0]))), []);
}

#[test]
fn stopped_tasks_are_forgotten_after_an_hour_in_batches() {
    let mut world = World::new();
    world.agents_per_zone(2, 65_536, 65_536);
    let definition = world.register("web", 1, 1, None);
    world.create("web", &definition, 600, (200, 100));
    world.settle();
    world.scale("web", 0);
    world.settle();
    let reap = |world: &World| Reaper::default().plan(&world.view(), &Observed::default(), world.now);
    let first = world.view().index().stopped_tasks().get_min().unwrap().0;
    let early = reap(&world);
    assert!(early.commands.is_empty());
    assert_eq!(early.wake_at, Some(first.plus(HOUR)));
    world.advance(HOUR);
    assert_eq!(world.reap(), 2, "600 tasks in batches of 500");
    assert_eq!(world.view().tasks().count(), 0);
    assert_eq!(reap(&world), Plan::default());
}

#[test]
fn a_deleted_definition_is_forgotten_after_an_hour_if_nothing_uses_it() {
    let mut world = world(&["us-east-1a"]);
    let unused = world.register("web", 1, 1, None);
    let used = world.register("used", 1, 1, None);
    world.create("used", &used, 1, (200, 100));
    world.settle();
    for key in [&unused, &used] {
        world.user(Command::DeregisterTaskDefinition { key: key.clone() });
        world.user(Command::DeleteTaskDefinition { key: key.clone() });
    }
    let reap = |world: &World| Reaper::default().plan(&world.view(), &Observed::default(), world.now);
    let early = reap(&world);
    assert!(early.commands.is_empty());
    assert_eq!(early.wake_at, Some(world.now.plus(HOUR)));
    world.advance(HOUR);
    let due = reap(&world);
    assert_eq!(due.commands, [Command::ForgetTaskDefinitions { keys: vec![unused] }]);
    assert_eq!(due.wake_at, Some(world.now.plus(Duration::from_secs(60))), "the other one is still used");
}
