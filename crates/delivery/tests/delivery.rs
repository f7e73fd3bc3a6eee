//! Stories of delivery: what happens reaches each target in order, whatever fails, and whoever delivers it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use support::{MACHINE, World, endpoint, register, schedule_target, until};
use trireme_state::object::{Due, Invocation, RetryPolicy, Target};
use trireme_types::{Sequence, Timestamp};

/// The versions after `from`, up to `to`.
fn all(from: i64, to: i64) -> Vec<i64> {
    (from + 1..=to).collect()
}

#[tokio::test]
async fn what_happens_is_told_in_order_though_the_endpoint_fails() {
    let world = World::new();
    let (address, heard) = endpoint().await;
    world.put_rule("r", vec![world.calls("r", &address, RetryPolicy::default())]);
    let from = world.version();
    heard.answers.lock().unwrap().extend([StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED]);
    let _delivering = world.deliver();
    world.happen(5);
    heard.answers.lock().unwrap().push_back(StatusCode::TOO_MANY_REQUESTS);
    world.happen(5);
    until("all is told", || heard.versions().len() == 10).await;
    assert_eq!(heard.versions(), all(from, world.version()));
    assert_eq!(heard.refused.load(Ordering::Relaxed), 3);
    until("it is written down", || world.delivery("r").delivered == 10).await;
    let delivery = world.delivery("r");
    assert_eq!(delivery.dropped, 0);
    assert!(delivery.error.as_ref().unwrap().1.contains("answered"), "{delivery:?}");
    assert_eq!(heard.headers.lock().unwrap()[0]["x-key"], "k3y");
    let ids: BTreeSet<String> =
        heard.taken.lock().unwrap().iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), 10, "each has an id of its own");
}

#[tokio::test]
async fn who_delivers_next_goes_on_where_it_was_written_down() {
    let world = World::new();
    let (address, heard) = endpoint().await;
    world.put_rule("r", vec![world.calls("r", &address, RetryPolicy::default())]);
    let from = world.version();
    world.happen(3);
    let first = world.deliver();
    until("three are written down", || world.delivery("r").delivered == 3).await;
    drop(first);
    world.happen(4);
    let _second = world.deliver();
    until("the others are told", || heard.versions().len() >= 7).await;
    assert_eq!(heard.versions(), all(from, world.version()), "nothing that was written down is told again");
}

#[tokio::test]
async fn a_target_that_fails_holds_up_nobody_and_catches_up() {
    let world = World::new();
    let ((bad, deaf), (good, heard)) = (endpoint().await, endpoint().await);
    *deaf.always.lock().unwrap() = Some(StatusCode::BAD_GATEWAY);
    let patient = RetryPolicy { max_attempts: u32::MAX, ..RetryPolicy::default() };
    let targets = vec![world.calls("bad", &bad, patient), world.calls("good", &good, RetryPolicy::default())];
    world.put_rule("good", targets);
    let from = world.version();
    let _delivering = world.deliver();
    // More than a target's queue holds.
    world.happen(1_500);
    until("the good one knows all", || heard.versions().len() == 1_500).await;
    assert_eq!(heard.versions(), all(from, world.version()));
    assert!(deaf.versions().is_empty());
    *deaf.always.lock().unwrap() = None;
    until("the other one too", || deaf.versions().len() == 1_500).await;
    assert_eq!(deaf.versions(), all(from, world.version()));
}

#[tokio::test]
async fn what_is_refused_for_good_is_dropped_and_the_state_says_why() {
    let world = World::new();
    let (address, heard) = endpoint().await;
    let once = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
    world.put_rule("r", vec![world.calls("r", &address, once)]);
    let from = world.version();
    heard.answers.lock().unwrap().extend([StatusCode::BAD_REQUEST, StatusCode::OK]);
    heard.answers.lock().unwrap().extend([StatusCode::INTERNAL_SERVER_ERROR; 2]);
    let _delivering = world.deliver();
    world.happen(4);
    until("all were seen to", || world.delivery("r").dropped == 2 && world.delivery("r").delivered == 2)
        .await;
    assert_eq!(heard.versions(), vec![from + 2, from + 4], "the first is refused, the third fails twice");
    let delivery = world.delivery("r");
    assert!(delivery.error.as_ref().unwrap().1.contains("it was tried again 1 times"), "{delivery:?}");
}

#[tokio::test]
async fn what_the_history_does_not_keep_is_missed_and_said() {
    let world = World::new();
    let (address, heard) = endpoint().await;
    world.put_rule("r", vec![world.calls("r", &address, RetryPolicy::default())]);
    world.happen(10);
    let head = world.store_head();
    *world.first.lock().unwrap() = Sequence::new(head - 2);
    let _delivering = world.deliver();
    until("what is kept is told", || heard.versions().len() == 3).await;
    assert_eq!(heard.versions(), all(world.version() - 3, world.version()));
    until("it is said", || world.delivery("r").error.is_some()).await;
    let delivery = world.delivery("r");
    assert!(delivery.error.as_ref().unwrap().1.contains("no longer in the history"), "{delivery:?}");
}

#[tokio::test]
async fn a_rule_that_is_new_or_switched_on_tells_what_happens_from_then_on() {
    let world = World::new();
    let (address, heard) = endpoint().await;
    world.happen(3);
    world.put_rule("r", vec![world.calls("r", &address, RetryPolicy::default())]);
    let from = world.version();
    let _delivering = world.deliver();
    world.happen(1);
    until("what happened since is told", || heard.versions().len() == 1).await;
    let switch = |enabled| world.change_rule("r", |spec| spec.enabled = enabled);
    switch(false);
    world.happen(2);
    switch(true);
    world.happen(1);
    until("the next is told", || heard.versions().len() == 2).await;
    assert_eq!(heard.versions(), vec![from + 1, from + 4], "not what happened while it was switched off");
}

#[tokio::test]
async fn a_rule_that_changes_judges_what_happened_as_it_was_then() {
    let world = World::new();
    let (address, heard) = endpoint().await;
    world.put_rule("r", vec![world.calls("r", &address, RetryPolicy::default())]);
    let from = world.version();
    world.happen(3);
    world.change_rule("r", |spec| spec.pattern = Some(r#"{"source":["nobody"]}"#.to_owned()));
    world.happen(2);
    world.change_rule("r", |spec| spec.pattern = Some(MACHINE.to_owned()));
    world.happen(1);
    let _delivering = world.deliver();
    until("all is told", || heard.versions().len() >= 4).await;
    assert_eq!(heard.versions(), vec![from + 1, from + 2, from + 3, from + 6]);
}

/// A target that runs a task of the family `web`.
fn task(id: &str) -> Target {
    let mut target = schedule_target(id);
    if let Invocation::Tasks(tasks) = &mut target.invokes {
        tasks.launching = None;
    }
    target
}

/// Those that events started.
fn followers(world: &World) -> usize {
    world.store_view().tasks().filter(|task| task.started_by.as_deref() == Some("events-rule/run")).count()
}

#[tokio::test]
async fn an_event_starts_its_tasks_once_though_answers_are_lost() {
    let world = World::new();
    world.ask(register("web", None));
    world.open("other");
    world.put_rule("run", vec![task("run")]);
    world.losing.lose.store(2, Ordering::Relaxed);
    let _delivering = world.deliver();
    world.happen(3);
    until("all were seen to", || world.delivery("run").delivered == 3).await;
    assert_eq!(followers(&world), 3, "one for each");
}

#[tokio::test]
async fn what_two_say_of_one_change_starts_two() {
    let world = World::new();
    world.ask(register("web", None));
    world.open("other");
    let third = world.open("third");
    world.put_rule("run", vec![task("run")]);
    // Where a task begins, it and its machine are told of; nothing of this is said of the tasks that follow.
    let pattern = r#"{"$or":[{"detail":{"group":["seed"]}},{"detail":{"ec2InstanceId":["third"]}}]}"#;
    world.change_rule("run", |spec| spec.pattern = Some(pattern.to_owned()));
    let at = world.store_head();
    world.seed(third.clone());
    world.drain(third.instance);
    world.losing.lose.store(3, Ordering::Relaxed);
    let _delivering = world.deliver();
    until("all were seen to", || world.delivery("run").delivered == 3).await;
    assert!(world.delivery("run").seen.get() >= at + 2);
    assert_eq!(followers(&world), 3, "for the task, for its machine, and for the machine that is drained");
}

#[tokio::test]
async fn times_of_a_rule_are_told_to_endpoints_and_start_no_tasks_here() {
    let world = World::new();
    world.ask(register("web", None));
    world.open("other");
    let (address, heard) = endpoint().await;
    world.put_rule("run", vec![task("tasks"), world.calls("run", &address, RetryPolicy::default())]);
    let due = Timestamp::from_millis(60_000);
    let next = Some(Due { at: due, fires_at: due });
    world.schedule_rule("run", next);
    let _delivering = world.deliver();
    world.fire("run", due);
    until("the time is told", || heard.taken.lock().unwrap().len() == 1).await;
    assert_eq!(heard.taken.lock().unwrap()[0]["detail-type"], "Scheduled Event");
    assert_eq!(heard.taken.lock().unwrap()[0]["time"], "1970-01-01T00:01:00Z");
    world.happen(1);
    until("what follows is told", || heard.taken.lock().unwrap().len() == 2).await;
    until("and starts a task", || followers(&world) == 1).await;
}

#[tokio::test]
async fn what_one_entry_says_of_a_task_is_told_with_it_wherever_the_history_is_cut() {
    let world = World::new();
    world.ask(register("web", None));
    let other = world.open("other");
    let (address, heard) = endpoint().await;
    world.put_rule("r", vec![world.calls("r", &address, RetryPolicy::default())]);
    world.change_rule("r", |spec| spec.pattern = Some(r#"{"detail":{"group":["seed"]}}"#.to_owned()));
    for _ in 0..4 {
        world.seed_allowing_commands(other.clone());
    }
    // An entry has two events: every second cut goes through one.
    *world.at_once.lock().unwrap() = 3;
    let _delivering = world.deliver();
    until("all are told", || heard.versions().len() == 4).await;
    let taken = heard.taken.lock().unwrap();
    assert!(taken.iter().all(|event| event["detail"]["enableExecuteCommand"] == true), "{taken:#?}");
}
