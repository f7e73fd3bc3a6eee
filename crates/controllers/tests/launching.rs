//! What tasks of schedules and rules run on: the managed pool, capacity providers, the cluster's own instances.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use support::pools::*;
use support::schedules::*;
use support::*;
use trireme_state::command::{AutoScalingGroupChange, CapacityCommand, RunTasks};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

#[test]
fn a_fargate_target_needs_no_machine_of_its_cluster() {
    let (mut world, _) = ready("2026-03-27 12:00");
    let network = subnets(&mut world);
    let web = register_fargate(&mut world, "web");
    let web = on_fargate(target("", &web, 2), &network);
    let minutely = spec(&world, "cron(* * * * ? *)", web);
    let trigger = create(&mut world, "minutely", minutely);
    world.advance(MINUTE);
    let why = "no place for 2 of 2 tasks: the managed pool has no agents (trireme agent --pool managed)";
    assert_eq!(reasons(&mut world), [why]);
    assert_eq!(world.view().firing(&trigger).pending.len(), 1);
    join(&mut world, capability::MANAGED_POOL, ZONES[0], 4_096, 8_192);
    live(&mut world, Duration::from_secs(5));
    assert_eq!(launches(&world), counts(&[("FARGATE", 2)]));
    assert!(started(&world).iter().all(|task| task.cluster == cluster()));
    live(&mut world, MINUTE);
    assert_eq!(launches(&world), counts(&[("FARGATE", 4)]));
}

#[test]
fn what_may_not_run_on_the_managed_pool_does_not_when_its_time_comes() {
    let (mut world, _) = ready("2026-03-27 12:00");
    let network = subnets(&mut world);
    let web = register_fargate(&mut world, "web");
    let newest = with_tasks(on_fargate(target("", &web, 1), &network), |tasks| tasks.revision = None);
    let minutely = spec(&world, "cron(* * * * ? *)", newest);
    create(&mut world, "minutely", minutely);
    join(&mut world, capability::MANAGED_POOL, ZONES[0], 4_096, 8_192);
    live(&mut world, MINUTE);
    assert_eq!(launches(&world), counts(&[("FARGATE", 1)]));
    // The newest revision reaches beyond its tasks.
    let mut privileged = (*world.view().task_definition(&web).unwrap().spec).clone();
    privileged.containers[0].described.insert("privileged".to_owned(), "true".to_owned());
    world.register_spec("web", Arc::new(privileged));
    world.advance(MINUTE);
    assert_eq!(reasons(&mut world), ["Task definition does not support launch_type FARGATE."]);
    assert_eq!(started(&world).len(), 1);
}

#[test]
fn a_strategy_shares_a_runs_tasks_by_base_and_weight() {
    let (mut world, job) = ready("2026-03-27 12:00");
    provide(&mut world, &["one", "two"]);
    join(&mut world, "one", ZONES[0], 4_096, 4_096);
    join(&mut world, "two", ZONES[1], 4_096, 4_096);
    let strategy = Launching::Strategy(vec![item("one", 1, 1), item("two", 3, 0)]);
    let minutely = spec(&world, "cron(* * * * ? *)", launched(target("", &job, 9), strategy));
    create(&mut world, "minutely", minutely);
    live(&mut world, MINUTE);
    assert_eq!(launches(&world), counts(&[("one", 3), ("two", 6)]));
    // Without room in one of the pools the run has no task at all.
    world.lose(world.agents[4]);
    world.advance(MINUTE);
    let why = reasons(&mut world);
    assert!(why[0].starts_with("no place for 6 of 9 tasks: capacity provider two: "), "{why:?}");
    associate(&mut world, &["one"], &[]);
    world.advance(MINUTE);
    let why = reasons(&mut world);
    assert!(why.iter().all(|why| why.contains("not associated with the cluster")), "{why:?}");
    assert_eq!(started(&world).len(), 9);
}

#[test]
fn who_says_nothing_has_the_clusters_default_of_that_time() {
    let (mut world, job) = ready("2026-03-27 12:00");
    provide(&mut world, &["pool"]);
    join(&mut world, "pool", ZONES[0], 4_096, 4_096);
    let says_so = launched(target("b", &job, 1), Launching::Instances);
    let trigger = minutely_rule(&mut world, vec![target("a", &job, 1), says_so]);
    live(&mut world, MINUTE);
    assert_eq!(launches(&world), counts(&[("instances", 2)]));
    associate(&mut world, &["pool"], &[item("pool", 1, 0)]);
    live(&mut world, MINUTE);
    assert_eq!(launches(&world), counts(&[("instances", 3), ("pool", 1)]));
    assert!(world.view().firing(&trigger).pending.is_empty());
}

/// A world whose provider `pool` grows, and a schedule that runs a task on it each minute.
fn waits(policy: &str) -> (World, Trigger) {
    let (mut world, job) = ready("2026-03-27 12:00");
    provide(&mut world, &["pool"]);
    manage(&mut world, "pool", AutoScalingGroupChange::default());
    set_policy(&mut world, FiringPolicy::OVERLAP, policy);
    let strategy = Launching::Strategy(vec![item("pool", 1, 0)]);
    let minutely = spec(&world, "cron(* * * * ? *)", launched(target("", &job, 1), strategy));
    let trigger = create(&mut world, "minutely", minutely);
    (world, trigger)
}

#[test]
fn a_run_waits_in_provisioning_for_a_pool_that_grows() {
    for (policy, waiting) in [("allow", 3), ("skip", 1), ("replace", 1)] {
        let (mut world, trigger) = waits(policy);
        live(&mut world, 3 * MINUTE + MINUTE / 2);
        let waits: Vec<TaskId> =
            world.view().waiting_runs().filter(|run| run.end.is_none()).map(|run| run.id).collect();
        assert_eq!(waits.len(), waiting, "{policy}");
        let firing = world.view().firing(&trigger);
        assert!(firing.pending.is_empty(), "they are promised, and not tried again");
        assert!(waits.iter().all(|id| firing.tasks.iter().any(|(_, known)| known == id)), "{policy}");
        let run = world.view().waiting_run(waits[0]).unwrap().clone();
        assert_eq!(run.started_by.as_deref(), Some("chronos-schedule/minutely"));
        assert!(run.allows_commands && run.tags.len() == 2);
        join(&mut world, "pool", ZONES[0], 4_096, 4_096);
        while pass(&mut world) > 0 {}
        world.agents_work(|_| true);
        let ids: BTreeSet<TaskId> = started(&world).iter().map(|task| task.id).collect();
        assert_eq!(ids, waits.into_iter().collect(), "{policy}: each under the id that it had");
        assert!(started(&world).iter().all(|task| world.view().allows_commands(task.id)));
    }
}

#[test]
fn a_run_that_finds_no_room_to_wait_is_tried_again() {
    let (mut world, trigger) = waits("allow");
    let run = RunTasks {
        cluster: cluster(),
        definition: definition("job", 1),
        overrides: TaskOverrides::default(),
        group: None,
        started_by: None,
        tags: Tags::new(),
        placements: Vec::new(),
    };
    for _ in 0..2 {
        let run = Box::new(Command::RunTasks(Box::new(run.clone())));
        let waiting = vec![Launch::Provider(provider("pool").name); limits::WAITING_RUNS_PER_CLUSTER / 2];
        let run = CapacityCommand::RunTasks { run, launches: Vec::new(), waiting, allows_commands: false };
        world.user(Command::Capacity(Box::new(run)));
    }
    world.advance(MINUTE);
    let why = reasons(&mut world);
    assert!(why[0].starts_with("no place for 1 of 1 tasks: capacity provider pool: "), "{why:?}");
    assert_eq!(world.view().firing(&trigger).pending[0].tries, 1);
}
