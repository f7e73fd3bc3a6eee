//! Golden scripts: what a service's owner sees. `UPDATE_EXPECT=1` rewrites them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use expect_test::{Expect, expect};
use support::*;
use trireme_state::Command;
use trireme_state::object::*;

/// What happened, with short names for ids: t1 is the first task mentioned.
struct Story {
    world: World,
    text: String,
    told: usize,
    names: BTreeMap<String, String>,
}

impl Story {
    fn new() -> Self {
        Self { world: World::new(), text: String::new(), told: 0, names: BTreeMap::new() }
    }

    fn name(&mut self, kind: char, id: &str) -> String {
        let count = self.names.values().filter(|name| name.starts_with(kind)).count();
        self.names.entry(id.to_owned()).or_insert_with(|| format!("{kind}{}", count + 1)).clone()
    }

    /// 32 hexadecimal digits are a task or an instance; 19 digits a deployment.
    fn shorten(&mut self, message: &str) -> String {
        let mut short = String::new();
        let mut rest = message;
        while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
            let (before, from) = rest.split_at(at);
            let end = from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            short.push_str(before);
            match word.len() {
                32 if short.ends_with("instance ") => short.push_str(&self.name('i', word)),
                32 => short.push_str(&self.name('t', word)),
                19 => short.push_str(&self.name('d', word)),
                _ => short.push_str(word),
            }
            rest = after;
        }
        short + rest
    }

    fn then(&mut self, what: &str) {
        let _ = writeln!(self.text, "# {what}");
        self.world.settle_healthy();
        self.tell();
    }

    /// Like `then`, but only what happens at once.
    fn at_once(&mut self, what: &str) {
        let _ = writeln!(self.text, "# {what}");
        self.world.settle();
        self.tell();
    }

    fn tell(&mut self) {
        let service = self.world.service("web");
        let events: Vec<String> = service.events.iter().rev().map(|event| event.message.clone()).collect();
        for message in &events[self.told.min(events.len())..] {
            let line = self.shorten(message);
            let _ = writeln!(self.text, "{line}");
        }
        self.told = events.len();
        let zones: Vec<String> =
            self.world.by_zone("web").iter().map(|(zone, count)| format!("{zone} {count}")).collect();
        let deployments: Vec<String> = service
            .deployments
            .iter()
            .map(|one| format!("{} {:?} {:?}", one.task_definition.revision, one.status, one.rollout))
            .collect();
        let _ = writeln!(
            self.text,
            "= {}/{} running; {}; deployments: {}",
            self.world.running("web"),
            service.spec.desired_count,
            zones.join(", "),
            deployments.join(", ")
        );
    }

    fn is(&self, golden: Expect) {
        golden.assert_eq(&self.text);
        let plan = self.world.plan();
        assert!(plan.commands.is_empty(), "a satisfied state plans nothing: {plan:?}");
    }
}

fn three_zones() -> (Story, TaskDefinitionKey) {
    let mut story = Story::new();
    story.world.agents_per_zone(2, 4096, 4096);
    let definition = story.world.register("web", 256, 256, None);
    (story, definition)
}

#[test]
fn six_tasks_over_three_zones_and_a_zone_is_lost_and_comes_back() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 6, (200, 100));
    story.then("create 6");
    let lost = story.world.agents[2..4].to_vec();
    lost.iter().for_each(|instance| story.world.lose(*instance));
    story.then("zone b is lost");
    lost.iter().for_each(|instance| story.world.return_from_the_dead(*instance));
    story.world.scale("web", 8);
    story.then("zone b is back, scale to 8");
    story.is(expect![[r#"
        # create 6
        (service web) has started 6 tasks: (task t1) (task t2) (task t3) (task t4) (task t5) (task t6).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 6/6 running; us-east-1a 2, us-east-1b 2, us-east-1c 2; deployments: 1 Primary Completed
        # zone b is lost
        (service web) has started 2 tasks: (task t7) (task t8).
        (service web) has reached a steady state.
        = 6/6 running; us-east-1a 3, us-east-1c 3; deployments: 1 Primary Completed
        # zone b is back, scale to 8
        (service web) has started 2 tasks: (task t9) (task t10).
        (service web) has reached a steady state.
        = 8/8 running; us-east-1a 3, us-east-1b 2, us-east-1c 3; deployments: 1 Primary Completed
    "#]]);
}

#[test]
fn a_rolling_update_starts_first() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 3, (200, 100));
    story.then("create 3");
    let next = story.world.register("web", 256, 256, None);
    story.world.deploy("web", &next);
    story.then("deploy revision 2");
    story.is(expect![[r#"
        # create 3
        (service web) has started 3 tasks: (task t1) (task t2) (task t3).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 3/3 running; us-east-1a 1, us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # deploy revision 2
        (service web) has started 3 tasks: (task t4) (task t5) (task t6).
        (service web) has stopped 3 running tasks: (task t1) (task t3) (task t2).
        (service web) (deployment ecs-svc/d2) deployment completed.
        (service web) has reached a steady state.
        = 3/3 running; us-east-1a 1, us-east-1b 1, us-east-1c 1; deployments: 2 Primary Completed
    "#]]);
}

#[test]
fn a_rolling_update_within_tight_limits() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 4, (100, 50));
    story.then("create 4, maximum 100, minimum 50");
    let next = story.world.register("web", 256, 256, None);
    story.world.deploy("web", &next);
    story.then("deploy revision 2");
    story.is(expect![[r#"
        # create 4, maximum 100, minimum 50
        (service web) has started 4 tasks: (task t1) (task t2) (task t3) (task t4).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 4/4 running; us-east-1a 1, us-east-1b 1, us-east-1c 2; deployments: 1 Primary Completed
        # deploy revision 2
        (service web) has stopped 2 running tasks: (task t4) (task t1).
        (service web) has started 2 tasks: (task t5) (task t6).
        (service web) has stopped 2 running tasks: (task t3) (task t2).
        (service web) has started 2 tasks: (task t7) (task t8).
        (service web) (deployment ecs-svc/d2) deployment completed.
        (service web) has reached a steady state.
        = 4/4 running; us-east-1a 1, us-east-1b 1, us-east-1c 2; deployments: 2 Primary Completed
    "#]]);
}

#[test]
fn limits_that_allow_no_step_are_told() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 1, (150, 100));
    story.then("create 1, maximum 150, minimum 100");
    let next = story.world.register("web", 256, 256, None);
    story.world.deploy("web", &next);
    story.then("deploy revision 2");
    story.is(expect![[r#"
        # create 1, maximum 150, minimum 100
        (service web) has started 1 tasks: (task t1).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 1/1 running; us-east-1b 1; deployments: 1 Primary Completed
        # deploy revision 2
        (service web) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.
        = 1/1 running; us-east-1b 1; deployments: 2 Primary InProgress, 1 Active Completed
    "#]]);
}

#[test]
fn scale_in_keeps_the_zones_even() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 7, (200, 100));
    story.then("create 7");
    story.world.scale("web", 3);
    story.then("scale to 3");
    story.world.scale("web", 0);
    story.then("scale to 0");
    story.is(expect![[r#"
        # create 7
        (service web) has started 7 tasks: (task t1) (task t2) (task t3) (task t4) (task t5) (task t6) (task t7).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 7/7 running; us-east-1a 2, us-east-1b 3, us-east-1c 2; deployments: 1 Primary Completed
        # scale to 3
        (service web) has stopped 4 running tasks: (task t7) (task t6) (task t4) (task t1).
        (service web) has reached a steady state.
        = 3/3 running; us-east-1a 1, us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # scale to 0
        (service web) has stopped 3 running tasks: (task t5) (task t3) (task t2).
        (service web) has reached a steady state.
        = 0/0 running; ; deployments: 1 Primary Completed
    "#]]);
}

#[test]
fn what_finds_no_place_says_why_once() {
    let (mut story, _) = three_zones();
    let large = story.world.register("large", 256, 3000, None);
    story.world.create("web", &large, 8, (200, 100));
    story.then("create 8, but 6 fit");
    story.world.advance(Duration::from_secs(3_600));
    story.then("an hour later");
    let fits = story.world.agent(ZONES[0], 4096, 8192);
    story.world.advance(Duration::from_secs(1));
    story.then("a larger agent registers");
    assert_eq!(story.world.view().tasks_of_instance(fits).len(), 2);
    story.is(expect![[r#"
        # create 8, but 6 fit
        (service web) has started 6 tasks: (task t1) (task t2) (task t3) (task t4) (task t5) (task t6).
        (service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance i1) has insufficient memory available. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.
        = 6/8 running; us-east-1a 2, us-east-1b 2, us-east-1c 2; deployments: 1 Primary InProgress
        # an hour later
        = 6/8 running; us-east-1a 2, us-east-1b 2, us-east-1c 2; deployments: 1 Primary InProgress
        # a larger agent registers
        (service web) has started 2 tasks: (task t7) (task t8).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 8/8 running; us-east-1a 4, us-east-1b 2, us-east-1c 2; deployments: 1 Primary Completed
    "#]]);
}

#[test]
fn an_update_that_needs_the_old_tasks_ports_makes_room() {
    let mut story = Story::new();
    story.world.agents_per_zone(1, 4096, 4096);
    let web = story.world.register("web", 256, 256, Some(8080));
    story.world.create("web", &web, 3, (200, 66));
    story.then("create 3 on port 8080");
    let next = story.world.register("web", 256, 256, Some(8080));
    story.world.deploy("web", &next);
    story.then("deploy revision 2");
    story.is(expect![[r#"
        # create 3 on port 8080
        (service web) has started 3 tasks: (task t1) (task t2) (task t3).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 3/3 running; us-east-1a 1, us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # deploy revision 2
        (service web) has stopped 1 running tasks: (task t3).
        (service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance i1) is already using a port required by your task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.
        (service web) has started 1 tasks: (task t4).
        (service web) has stopped 1 running tasks: (task t1).
        (service web) has started 1 tasks: (task t5).
        (service web) has stopped 1 running tasks: (task t2).
        (service web) has started 1 tasks: (task t6).
        (service web) (deployment ecs-svc/d2) deployment completed.
        (service web) has reached a steady state.
        = 3/3 running; us-east-1a 1, us-east-1b 1, us-east-1c 1; deployments: 2 Primary Completed
    "#]]);
}

#[test]
fn tasks_that_never_run_back_off() {
    let (mut story, web) = three_zones();
    story.world.broken.insert(web.clone());
    story.world.create("web", &web, 2, (200, 100));
    story.at_once("create 2 of a broken image");
    let mut waits = Vec::new();
    for _ in 0..13 {
        let at = story.world.plan().wake_at.expect("it waits");
        waits.push(at.since(story.world.now).as_secs_f64().round());
        story.world.advance(at.since(story.world.now));
        story.world.settle();
        story.world.reap();
    }
    assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 1620.0, 1620.0]);
    let primary = story.world.service("web").deployments[0].clone();
    assert_eq!((primary.failed_tasks, primary.back_off.unwrap().failures), (30, 15));
    story.told = story.world.service("web").events.len();
    let good = story.world.register("web", 256, 256, None);
    story.world.deploy("web", &good);
    story.then("deploy a good image");
    story.is(expect![[r#"
        # create 2 of a broken image
        (service web) has started 2 tasks: (task t1) (task t2).
        (service web) has started 2 tasks: (task t3) (task t4).
        (service web) is unable to consistently start tasks successfully.
        = 0/2 running; ; deployments: 1 Primary InProgress
        # deploy a good image
        (service web) has started 2 tasks: (task t5) (task t6).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 2/2 running; us-east-1b 1, us-east-1c 1; deployments: 2 Primary Completed
    "#]]);
}

#[test]
fn a_machine_that_cannot_start_a_task_is_not_tried_for_ever() {
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    // As when a stranger has the host port that the tasks need.
    let web = world.register("web", 256, 256, Some(8080));
    world.refusing.insert(world.agents[2]);
    world.create("web", &web, 2, (200, 100));
    world.live(Duration::from_secs(60));
    assert_eq!(world.running("web"), 2, "{:?}", world.by_zone("web"));
    assert!(world.started <= 6, "{} tasks started for two", world.started);
}

#[test]
fn an_update_to_a_crashing_revision_leaves_the_old_tasks() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 3, (200, 100));
    story.then("create 3");
    let crashing = story.world.register("web", 256, 256, None);
    story.world.crashing.insert(crashing.clone(), Duration::from_millis(300));
    story.world.deploy("web", &crashing);
    story.at_once("deploy revision 2, which exits after 300 ms");
    story.world.live(Duration::from_secs(120));
    let tasks = story.world.view();
    let mut starts: Vec<_> = tasks.tasks().filter(|task| task.definition == crashing).collect();
    starts.sort_by_key(|task| task.times.created_at);
    starts.dedup_by_key(|task| task.times.created_at);
    let gaps = starts.windows(2).map(|two| two[1].times.created_at.since(two[0].times.created_at));
    assert_eq!(gaps.map(|gap| gap.as_secs()).collect::<Vec<_>>(), [0, 1, 2, 4, 8, 16, 30, 30]);
    let old = story.world.tasks("web").iter().filter(|task| task.wanted() && task.definition == web).count();
    assert_eq!(old, 3);
    assert_eq!(story.world.service("web").deployments[0].rollout, RolloutState::InProgress);
    let primary = story.world.service("web").deployments[0].clone();
    assert_eq!((primary.failed_tasks, primary.back_off.unwrap().failures), (0, 7), "they did start");
    story.told = story.world.service("web").events.len();
    let good = story.world.register("web", 256, 256, None);
    story.world.deploy("web", &good);
    story.then("deploy revision 3, which is good");
    story.is(expect![[r#"
        # create 3
        (service web) has started 3 tasks: (task t1) (task t2) (task t3).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 3/3 running; us-east-1a 1, us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # deploy revision 2, which exits after 300 ms
        (service web) has started 3 tasks: (task t4) (task t5) (task t6).
        = 6/3 running; us-east-1a 2, us-east-1b 2, us-east-1c 2; deployments: 2 Primary InProgress, 1 Active Completed
        # deploy revision 3, which is good
        (service web) has started 3 tasks: (task t7) (task t8) (task t9).
        (service web) has stopped 3 running tasks: (task t1) (task t3) (task t2).
        (service web) (deployment ecs-svc/d2) deployment completed.
        (service web) has reached a steady state.
        = 3/3 running; us-east-1a 1, us-east-1b 1, us-east-1c 1; deployments: 3 Primary Completed
    "#]]);
}

#[test]
fn a_service_that_comes_and_goes_is_called_steady_now_and_then() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 2, (200, 100));
    story.then("create 2");
    story.world.live(Duration::from_secs(60));
    for _ in 0..60 {
        let running =
            story.world.tasks("web").into_iter().find(|task| task.last_status == TaskStatus::Running);
        running.iter().for_each(|task| story.world.exit(task));
        story.world.live(Duration::from_secs(1));
    }
    story.then("a task of two exits again and again, for a minute");
    story.is(expect![[r#"
        # create 2
        (service web) has started 2 tasks: (task t1) (task t2).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 2/2 running; us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # a task of two exits again and again, for a minute
        (service web) has started 1 tasks: (task t3).
        (service web) has reached a steady state.
        (service web) has started 1 tasks: (task t4).
        (service web) has started 1 tasks: (task t5).
        (service web) has started 1 tasks: (task t6).
        (service web) has started 2 tasks: (task t7) (task t8).
        (service web) has started 2 tasks: (task t9) (task t10).
        (service web) has started 2 tasks: (task t11) (task t12).
        (service web) has started 2 tasks: (task t13) (task t14).
        (service web) has started 2 tasks: (task t15) (task t16).
        (service web) has reached a steady state.
        = 2/2 running; us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
    "#]]);
}

#[test]
fn a_zone_lost_amid_failures_is_replaced_at_once() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 6, (200, 100));
    story.then("create 6");
    for _ in 0..6 {
        // The newest one fails each time, as if its instance were bad.
        let tasks = story.world.tasks("web");
        let newest = tasks.iter().max_by_key(|task| task.times.created_at).unwrap().clone();
        story.world.exit(&newest);
        story.world.settle();
        let wait = story.world.plan().wake_at.map(|at| at.since(story.world.now));
        if story.world.running("web") < 6 {
            story.world.live(wait.expect("it waits"));
        }
    }
    let tasks = story.world.tasks("web");
    let newest = tasks.iter().max_by_key(|task| task.times.created_at).unwrap().clone();
    story.world.exit(&newest);
    story.at_once("a task has failed again and again");
    let lost = story.world.agents[2..4].to_vec();
    lost.iter().for_each(|instance| story.world.lose(*instance));
    story.at_once("zone b is lost");
    story.world.live(Duration::from_secs(30));
    story.then("half a minute later");
    story.is(expect![[r#"
        # create 6
        (service web) has started 6 tasks: (task t1) (task t2) (task t3) (task t4) (task t5) (task t6).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 6/6 running; us-east-1a 2, us-east-1b 2, us-east-1c 2; deployments: 1 Primary Completed
        # a task has failed again and again
        (service web) has started 1 tasks: (task t7).
        (service web) has started 1 tasks: (task t8).
        (service web) has started 1 tasks: (task t9).
        (service web) has started 1 tasks: (task t10).
        (service web) has started 1 tasks: (task t11).
        (service web) has started 1 tasks: (task t12).
        = 5/6 running; us-east-1a 1, us-east-1b 2, us-east-1c 2; deployments: 1 Primary Completed
        # zone b is lost
        (service web) has started 2 tasks: (task t13) (task t14).
        = 5/6 running; us-east-1a 2, us-east-1c 3; deployments: 1 Primary Completed
        # half a minute later
        (service web) has started 1 tasks: (task t15).
        (service web) has reached a steady state.
        = 6/6 running; us-east-1a 3, us-east-1c 3; deployments: 1 Primary Completed
    "#]]);
}

#[test]
fn a_task_that_ran_is_replaced_at_once() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 2, (200, 100));
    story.then("create 2");
    for _ in 0..3 {
        let task = story.world.tasks("web")[0].clone();
        story.world.exit(&task);
        story.then("a container exits");
    }
    story.is(expect![[r#"
        # create 2
        (service web) has started 2 tasks: (task t1) (task t2).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 2/2 running; us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # a container exits
        (service web) has started 1 tasks: (task t3).
        (service web) has reached a steady state.
        = 2/2 running; us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # a container exits
        (service web) has started 1 tasks: (task t4).
        (service web) has reached a steady state.
        = 2/2 running; us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # a container exits
        (service web) has started 1 tasks: (task t5).
        (service web) has reached a steady state.
        = 2/2 running; us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
    "#]]);
}

#[test]
fn a_draining_instance_is_left_start_first() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 3, (200, 100));
    story.then("create 3");
    let drained = story.world.tasks("web")[0].instance;
    story.world.set_status(drained, InstanceStatus::Draining);
    story.then("one instance drains");
    assert!(story.world.view().tasks_of_instance(drained).is_empty());
    story.is(expect![[r#"
        # create 3
        (service web) has started 3 tasks: (task t1) (task t2) (task t3).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 3/3 running; us-east-1a 1, us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # one instance drains
        (service web) has started 1 tasks: (task t4).
        (service web) has stopped 1 running tasks: (task t2).
        (service web) has reached a steady state.
        = 3/3 running; us-east-1a 1, us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
    "#]]);
}

#[test]
fn a_deleted_service_stops_its_tasks_and_is_inactive() {
    let (mut story, web) = three_zones();
    story.world.create("web", &web, 2, (200, 100));
    story.then("create 2");
    story.world.user(Command::DeleteService { key: service_key("web"), force: true });
    story.then("delete");
    assert_eq!(story.world.service("web").status, ServiceStatus::Inactive);
    story.is(expect![[r#"
        # create 2
        (service web) has started 2 tasks: (task t1) (task t2).
        (service web) (deployment ecs-svc/d1) deployment completed.
        (service web) has reached a steady state.
        = 2/2 running; us-east-1b 1, us-east-1c 1; deployments: 1 Primary Completed
        # delete
        (service web) has stopped 2 running tasks: (task t2) (task t1).
        = 0/0 running; ; deployments: 
    "#]]);
}
