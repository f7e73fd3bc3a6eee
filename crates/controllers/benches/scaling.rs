//! Time of one pass of what scales by itself: 2,000 services of four tasks that follow their CPU, and 5,000 alarms. Each pass comes once a second, or twice.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use support::{World, service_key};
use trireme_controllers::{AlarmController, Autoscaler, Controller, Observed, UsageSample};
use trireme_state::Command;
use trireme_state::command::{AlarmCommand, AutoscalingCommand, ScalableTargetChange};
use trireme_state::object::*;
use trireme_types::{Real, Scope, Timestamp};

const SERVICES: usize = 2_000;
const ALARMS: usize = 5_000;
const ROUNDS: usize = 9;

/// The median of some passes, of which each is given what its controller asks for.
fn time(what: &str, controller: &impl Controller, world: &World, observed: &Observed) {
    let view = world.view();
    let mut spent: Vec<Duration> = Vec::new();
    let mut commands = 0;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let (tasks, queries) = (controller.measured(&view), controller.queried(&view));
        let plan = controller.plan(&view, observed, world.now);
        spent.push(started.elapsed());
        assert!(tasks.len() + queries.len() > 0);
        commands = plan.commands.len();
    }
    spent.sort_unstable();
    println!("{what:<44} {:>9.3} ms, {commands} commands", spent[ROUNDS / 2].as_secs_f64() * 1_000.0);
}

fn autoscaling() {
    let mut world = World::new();
    world.agents_per_zone(20, 65_536, 65_536);
    let definition = world.register("web", 64, 64, None);
    for number in 0..SERVICES {
        let name = format!("s{number}");
        world.create(&name, &definition, 4, (200, 100));
        let change = ScalableTargetChange { min: Some(1), max: Some(10), ..ScalableTargetChange::default() };
        let service = service_key(&name);
        let register = AutoscalingCommand::Register { service: service.clone(), change, tags: Tags::new() };
        world.user(Command::Autoscaling(Box::new(register)));
        let tracking = TargetTracking {
            target: Real::from(50),
            metric: TrackedMetric::Cpu { high_resolution: false },
            scale_out_cooldown: None,
            scale_in_cooldown: None,
            disable_scale_in: false,
        };
        let spec = ScalingPolicySpec::TargetTracking(tracking);
        let put = AutoscalingCommand::PutPolicy { service, name: "cpu".to_owned(), spec };
        world.user(Command::Autoscaling(Box::new(put)));
    }
    for _ in 0..3 {
        let plan = world.services.plan(&world.view(), &Observed::default(), world.now);
        plan.commands.into_iter().for_each(|command| {
            world.user(command);
        });
        world.agents_work(|_| true);
        world.agents_work(|_| true);
        world.advance(Duration::from_secs(45));
    }
    let half = |steps_ago| UsageSample { steps_ago, cpu_millis: 30, memory_bytes: 32 << 20 };
    let tasks = Autoscaler.measured(&world.view());
    let usage: BTreeMap<_, Vec<_>> = tasks.iter().map(|id| (*id, (0..24).map(half).collect())).collect();
    let observed = Observed { usage, ..Observed::default() };
    time(
        &format!("{SERVICES} targets, {} tasks, near their target", tasks.len()),
        &Autoscaler,
        &world,
        &observed,
    );
    let full = |steps_ago| UsageSample { steps_ago, cpu_millis: 64, memory_bytes: 32 << 20 };
    let usage = tasks.iter().map(|id| (*id, (0..24).map(full).collect())).collect();
    let observed = Observed { usage, ..Observed::default() };
    time("the same, all full at once", &Autoscaler, &world, &observed);
}

fn alarms() {
    let mut world = World::new();
    for number in 0..ALARMS {
        let key = AlarmKey { scope: Scope::development(), name: format!("a{number}") };
        let metric = MetricKey {
            scope: Scope::development(),
            namespace: "App".to_owned(),
            name: format!("m{number}"),
            dimensions: BTreeMap::new(),
        };
        let spec = AlarmSpec {
            query: MetricQuery { metric, statistic: Statistic::Average, period_seconds: 60, unit: None },
            evaluation_periods: 3,
            datapoints_to_alarm: Some(2),
            threshold: Real::from(5),
            comparison: Comparison::Greater,
            missing_data: None,
            description: None,
            actions_enabled: true,
            alarm_actions: Vec::new(),
            ok_actions: Vec::new(),
            insufficient_data_actions: Vec::new(),
        };
        let put = AlarmCommand::Put { key, spec: Box::new(spec), tags: Tags::new() };
        world.user(Command::Alarm(Box::new(put)));
    }
    world.advance(Duration::from_secs(3_600));
    let minute = world.now.millis() / 60_000;
    let point = |ago: u64, value: u32| Datapoint {
        at: Timestamp::from_millis((minute - ago) * 60_000),
        value: Real::from(value),
    };
    let observed = |value: u32| {
        let asked = AlarmController.queried(&world.view());
        let points = || (0..8).rev().map(|ago| point(ago, value)).collect();
        let metrics = asked.into_iter().map(|(query, _)| (query, points())).collect();
        Observed { metrics, deciding_for: Duration::from_secs(60), ..Observed::default() }
    };
    time(&format!("{ALARMS} alarms, all OK for the first time"), &AlarmController, &world, &observed(1));
    time("the same, all in ALARM at once", &AlarmController, &world, &observed(9));
}

fn main() {
    autoscaling();
    alarms();
}
