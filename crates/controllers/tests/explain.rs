//! Why tasks are where they are, and why services have not all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use support::*;
use trireme_controllers::explain::{Cause, ServiceAnswer, service, task};
use trireme_scheduler::{Answer, NodeAnswer};
use trireme_state::object::*;

fn explained(world: &World, name: &str) -> ServiceAnswer {
    let view = world.view();
    service::explain(&view, view.service(&service_key(name)).unwrap(), world.now)
}

fn cause(world: &World, name: &str) -> Cause {
    explained(world, name).missing.into_iter().next().unwrap().cause
}

fn refusal(answer: &NodeAnswer) -> Option<String> {
    match &answer.answer {
        Answer::Refused { refusal, .. } => Some(refusal.to_string()),
        Answer::Scored(_) => None,
    }
}

#[test]
fn a_placed_task_is_where_the_explanation_says_that_it_belongs() {
    let mut world = World::new();
    world.agents_per_zone(2, 1_024, 1_024);
    let small = world.agent(ZONES[0], 100, 1_024);
    let definition = world.register("web", 256, 64, None);
    world.create("web", &definition, 7, (200, 100));
    // Each placement is explained by the state just before it.
    let plan = world.plan();
    let mut before = world.view();
    for command in plan.commands {
        let placed = world.user(command);
        let trireme_state::Outcome::Tasks(ids) = placed else { continue };
        for id in ids {
            let after = world.view();
            let one = after.task(id).unwrap();
            let answers = task::placement(&before, one, (&PlacementRules::default(), None)).unwrap();
            let chosen: Vec<_> =
                answers.iter().filter(|node| node.chosen).map(|node| node.instance).collect();
            assert_eq!((chosen, answers.len()), (vec![one.instance], 7));
            let refused = answers.iter().find(|node| node.instance == small).unwrap();
            assert_eq!(refusal(refused).unwrap(), "cpu: wants 256 units, 100 free");
            // The tasks of one command come one after the other.
            let created = trireme_state::Event::TaskCreated { task: Box::new((**one).clone()) };
            let mut next = (*before).clone();
            trireme_state::apply_event(&mut next, world.now, &created);
            before = std::sync::Arc::new(next);
        }
    }
    world.settle_healthy();
    let whole = explained(&world, "web");
    assert_eq!((whole.missing, whole.desired, whole.running, whole.pending), (Vec::new(), 7, 7, 0));
}

#[test]
fn a_task_without_a_place_is_told_with_numbers_and_the_closest_in_front() {
    let mut world = World::new();
    world.agent(ZONES[0], 512, 256);
    world.agent(ZONES[1], 128, 4_096);
    let drained = world.agent(ZONES[2], 4_096, 4_096);
    world.set_status(drained, InstanceStatus::Draining);
    let definition = world.register("web", 512, 512, None);
    world.create("web", &definition, 2, (200, 100));
    world.settle();
    let Cause::NoPlace(answers) = cause(&world, "web") else { panic!("{:?}", cause(&world, "web")) };
    let reasons: Vec<String> = answers.iter().filter_map(refusal).collect();
    assert_eq!(
        reasons,
        ["memory: wants 512 MiB, 256 free", "cpu: wants 512 units, 128 free", "is not ACTIVE"]
    );
}

#[test]
fn a_service_waits_for_its_tasks_for_the_end_of_a_back_off_for_health_or_for_its_limits() {
    let mut world = World::new();
    world.agents_per_zone(1, 4_096, 4_096);
    let definition = world.register("web", 64, 64, None);
    world.create("web", &definition, 2, (100, 100));
    assert_eq!(cause(&world, "web"), Cause::Nothing);
    world.pass();
    assert!(matches!(cause(&world, "web"), Cause::Starting(tasks) if tasks.len() == 2));
    world.settle_healthy();
    let second = world.register("web", 64, 64, None);
    world.deploy("web", &second);
    world.settle();
    let stuck = explained(&world, "web");
    assert_eq!(stuck.missing[0].cause, Cause::Limits { maximum: 2, minimum: 2 });
    assert_eq!(stuck.outgoing.len(), 2);
    let change = trireme_state::command::ServiceChange {
        deployment_configuration: Some(configuration((200, 100))),
        ..Default::default()
    };
    world.update("web", change);
    world.settle();
    let until = world.now.plus(Duration::from_secs(40));
    assert!(matches!(cause(&world, "web"), Cause::Health { until: Some(at) } if at <= until));

    let third = world.register("web", 64, 64, None);
    world.broken.insert(third.clone());
    world.deploy("web", &third);
    world.live(Duration::from_secs(20));
    let failing = explained(&world, "web");
    assert!(
        matches!(failing.missing[0].cause, Cause::BackOff { until, failures } if until > world.now && failures > 1)
    );
    assert!(failing.failed.iter().all(|task| task.stop_code == Some(StopCode::TaskFailedToStart)));
    assert_eq!(failing.failed.len(), 5);
}

#[test]
fn of_a_daemon_only_the_machines_without_it_are_asked() {
    let mut world = World::new();
    world.agent(ZONES[0], 1_024, 1_024);
    let full = world.agent(ZONES[1], 64, 1_024);
    let definition = world.register("watch", 128, 64, None);
    let strategy = [(SCHEDULING_STRATEGY, "\"DAEMON\"")];
    world.create_described("watch", &definition, 0, (100, 0), &strategy);
    world.settle();
    let answer = explained(&world, "watch");
    assert_eq!((answer.desired, answer.running), (2, 1));
    let Cause::NoPlace(answers) = &answer.missing[0].cause else { panic!("{answer:?}") };
    assert_eq!(answers.iter().map(|node| node.instance).collect::<Vec<_>>(), [full]);
    assert_eq!(refusal(&answers[0]).unwrap(), "cpu: wants 128 units, 64 free");
}

#[test]
fn a_green_deployment_is_told_by_its_stage() {
    let mut world = World::new();
    world.agents_per_zone(2, 4_096, 4_096);
    let (blue, green) = (world.register("web", 64, 64, None), world.register("web", 64, 64, None));
    let hooks = r#"[{"targetType":"PAUSE","lifecycleStages":["PRE_SCALE_UP","POST_SCALE_UP"]}]"#;
    world.create_with("web", &blue, 3, &[(DEPLOYMENT_STRATEGY, "\"BLUE_GREEN\""), (BAKE_TIME, "5")]);
    world.settle_healthy();
    world.live(Duration::from_secs(600));
    let hooks = [(LIFECYCLE_HOOKS.to_owned(), Some(hooks.to_owned()))];
    let change = trireme_state::command::ServiceChange { described: hooks.into(), ..Default::default() };
    world.update("web", change);
    world.deploy("web", &green);
    // Before the controllers have looked, and at the first hook: nothing of it is to start yet.
    let first = explained(&world, "web");
    assert_eq!(first.missing[0].cause, Cause::Stage { stage: None, until: None });
    for (tasks, at) in [(3, LifecycleStage::PreScaleUp), (0, LifecycleStage::PostScaleUp)] {
        world.settle_healthy();
        let answer = explained(&world, "web");
        let [missing] = &answer.missing[..] else { panic!("{answer:?}") };
        let Cause::Hook { stage, hook, until } = &missing.cause else { panic!("{answer:?}") };
        assert_eq!((missing.tasks, *stage), (tasks, at));
        assert!(*until > world.now, "{answer:?}");
        let deployment = world.view().deployment_history(&service_key("web")).deployments[0].id;
        let word = trireme_state::command::ContinueDeployment {
            service: service_key("web"),
            deployment,
            hook: hook.clone(),
            action: HookAction::Continue,
        };
        world.user(trireme_state::Command::ContinueDeployment(Box::new(word)));
    }
    world.settle_healthy();
    let baking = explained(&world, "web");
    let [missing] = &baking.missing[..] else { panic!("{baking:?}") };
    assert!(
        matches!(missing.cause, Cause::Stage { stage: Some(LifecycleStage::BakeTime), until: Some(at) } if at > world.now)
    );
    world.live(Duration::from_secs(600));
    assert_eq!(explained(&world, "web").missing, []);
}
