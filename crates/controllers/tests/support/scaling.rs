//! A service under load, second by second: what its tasks use is what the load makes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use trireme_controllers::{Autoscaler, Controller, Observed, USAGE_STEP, USAGE_STEPS, UsageSample};
use trireme_state::command::{AutoscalingCommand as C, ScalableTargetChange};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

use super::{World, service_key};

/// How often agents look.
const LOOK: u64 = 5;

/// What autoscaling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub at: Timestamp,
    pub from: u32,
    pub to: u32,
}

pub struct Story {
    pub world: World,
    /// What all tasks together have to do, in percent of one task's reservation.
    pub load: f64,
    /// Agents say nothing of what tasks use.
    pub silent: bool,
    /// Nobody leads.
    pub headless: bool,
    pub changes: Vec<Change>,
    /// What is asked of metrics is answered by this.
    pub metrics: BTreeMap<MetricQuery, Vec<Datapoint>>,
    pub began: Timestamp,
    samples: BTreeMap<TaskId, Vec<(u64, u32)>>,
}

pub fn web() -> ServiceKey {
    service_key("web")
}

pub fn cpu(target: f64) -> TargetTracking {
    TargetTracking {
        target: Real::new(target).unwrap(),
        metric: TrackedMetric::Cpu { high_resolution: false },
        scale_out_cooldown: None,
        scale_in_cooldown: None,
        disable_scale_in: false,
    }
}

impl Story {
    /// A service of `count` tasks that is deployed, on machines that have room.
    pub fn new(count: u32, (min, max): (u32, u32)) -> Self {
        let mut world = World::new();
        world.agents_per_zone(2, 64 * 1024, 64 * 1024);
        let definition = world.register("web", 512, 256, None);
        world.create("web", &definition, count, (200, 100));
        world.settle_healthy();
        let began = world.now;
        let mut story = Self {
            world,
            load: 0.0,
            silent: false,
            headless: false,
            changes: Vec::new(),
            metrics: BTreeMap::new(),
            began,
            samples: BTreeMap::new(),
        };
        story.ask(bounds(min, max));
        story
    }

    pub fn ask(&mut self, command: C) {
        self.world.user(Command::Autoscaling(Box::new(command)));
    }

    pub fn policy(&mut self, name: &str, spec: ScalingPolicySpec) {
        self.ask(C::PutPolicy { service: web(), name: name.to_owned(), spec });
    }

    pub fn track(&mut self, name: &str, tracking: TargetTracking) {
        self.policy(name, ScalingPolicySpec::TargetTracking(tracking));
    }

    pub fn desired(&self) -> u32 {
        self.world.service("web").spec.desired_count
    }

    pub fn running(&self) -> u32 {
        self.world.running("web") as u32
    }

    pub fn causes(&self) -> Vec<String> {
        let activities = self.world.view().scaling_activities(&web());
        activities.iter().map(|activity| activity.cause.clone()).collect()
    }

    pub fn live(&mut self, seconds: u64) {
        (0..seconds).for_each(|_| self.second());
    }

    /// Seconds until something is so; `None` when it is not within a limit.
    pub fn until(&mut self, limit: u64, so: impl Fn(&Self) -> bool) -> Option<u64> {
        for seconds in 0..=limit {
            if so(self) {
                return Some(seconds);
            }
            self.second();
        }
        None
    }

    pub fn second(&mut self) {
        self.world.advance(Duration::from_secs(1));
        self.world.agents_work(|_| true);
        self.look();
        if self.headless {
            return;
        }
        while self.world.pass() {}
        self.autoscale();
    }

    /// Agents look at what their tasks use. Nothing is known of a task's first look.
    fn look(&mut self) {
        let now = self.world.now;
        let tasks = self.world.tasks("web");
        let running = tasks.iter().filter(|task| task.wanted() && task.last_status == TaskStatus::Running);
        let running: Vec<_> = running.collect();
        let each = self.load / running.len().max(1) as f64;
        for task in &running {
            let Some(started) = task.times.started_at else { continue };
            let age = now.since(started).as_secs();
            if age > LOOK && age.is_multiple_of(LOOK) && !self.silent {
                // 512 cpu units are half a processor.
                let millis = (each * 5.0).round() as u32;
                self.samples.entry(task.id).or_default().push((now.millis(), millis));
            }
        }
    }

    pub fn observed(&self) -> Observed {
        let step = USAGE_STEP.as_millis() as u64;
        let now = self.world.now.millis() / step;
        let of = |task: TaskId| {
            let known = self.samples.get(&task).map_or(&[][..], Vec::as_slice).iter().rev();
            let samples = known.map(|(at, cpu_millis)| UsageSample {
                steps_ago: u32::try_from(now - at / step).unwrap(),
                cpu_millis: *cpu_millis,
                memory_bytes: u64::from(*cpu_millis) * 1_048_576 / 4,
            });
            // A step has one sample.
            let mut samples: Vec<_> = samples.filter(|sample| sample.steps_ago <= USAGE_STEPS).collect();
            samples.dedup_by_key(|sample| sample.steps_ago);
            (task, samples)
        };
        let usage = Autoscaler.measured(&self.world.view()).into_iter().map(of).collect();
        Observed { usage, metrics: self.metrics.clone(), ..Observed::default() }
    }

    fn autoscale(&mut self) {
        let (view, observed, now) = (self.world.view(), self.observed(), self.world.now);
        let plan = Autoscaler.plan(&view, &observed, now);
        assert_eq!(plan, Autoscaler.plan(&view, &observed, now), "the same view, another plan");
        for command in plan.commands {
            let from = self.desired();
            let actor = Actor::Controller(Autoscaler::NAME.to_owned());
            if let Err(why) = self.world.try_propose(actor, command.clone()) {
                panic!("refused ({why}): {command:?}");
            }
            let to = self.desired();
            if to != from {
                self.changes.push(Change { at: now, from, to });
            }
        }
    }
}

pub fn bounds(min: u32, max: u32) -> C {
    let change = ScalableTargetChange { min: Some(min), max: Some(max), ..ScalableTargetChange::default() };
    C::Register { service: web(), change, tags: Tags::new() }
}
