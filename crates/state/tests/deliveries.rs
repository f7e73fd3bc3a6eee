//! Stories of the delivery of events: where a target begins, how it goes on, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;
use trireme_state::command::{Command, DeliveryCommand, Mark, Outcome, ScheduleCommand};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn ask(node: &mut Node, command: ScheduleCommand) -> Result<Outcome, Rejection> {
    node.propose(Command::Schedule(Box::new(command)))
}

fn rule() -> RuleKey {
    RuleKey { scope: Scope::development(), name: "r".to_owned() }
}

fn put(node: &mut Node, enabled: bool, pattern: bool) {
    let pattern = pattern.then(|| r#"{"source":["aws.ecs"]}"#.to_owned());
    let spec = Box::new(RuleSpec { enabled, pattern, ..rule_spec() });
    let command = ScheduleCommand::PutRule { key: rule(), spec, next: None, tags: Tags::new(), seen: None };
    ask(node, command).unwrap();
}

fn target(node: &mut Node, put: Vec<Target>, remove: &[&str]) {
    let remove = remove.iter().map(ToString::to_string).collect();
    ask(node, ScheduleCommand::ChangeTargets { key: rule(), put, remove }).unwrap();
}

/// Of the targets that are told of events, where each stands.
fn seen(node: &Node) -> Vec<(String, u64)> {
    node.state.deliveries().map(|(key, delivery)| (key.target.clone(), delivery.seen.get())).collect()
}

fn head(node: &Node) -> u64 {
    node.state.position().sequence.get()
}

fn mark(target: &str, from: u64, to: u64) -> Mark {
    let key = DeliveryKey { rule: rule(), target: target.to_owned() };
    let (from, to) = ((Sequence::new(from), 0), (Sequence::new(to), 0));
    Mark { key, from, to, delivered: 2, dropped: 1, error: None }
}

fn node() -> Node {
    let mut node = Node::at_latest_level();
    let (key, spec) = (connection("c"), Box::new(connection_spec()));
    let command = DeliveryCommand::PutConnection { key, spec, known: None };
    ask(&mut node, ScheduleCommand::Deliver(command)).unwrap();
    node
}

#[test]
fn a_target_begins_where_it_is_put_and_ends_with_its_rule() {
    let mut node = node();
    put(&mut node, true, true);
    let before = head(&node);
    target(&mut node, vec![schedule_target("tasks"), called("http", destination("d"))], &[]);
    assert_eq!(seen(&node), vec![("http".to_owned(), before), ("tasks".to_owned(), before)]);
    put(&mut node, true, false);
    assert_eq!(
        seen(&node),
        vec![("http".to_owned(), before)],
        "tasks are started at times alone: a firing's"
    );
    let later = head(&node);
    put(&mut node, true, true);
    assert_eq!(seen(&node), vec![("http".to_owned(), before), ("tasks".to_owned(), later)]);
    put(&mut node, false, true);
    assert!(seen(&node).is_empty(), "nothing is told while it is switched off");
    let on = head(&node);
    put(&mut node, true, true);
    assert_eq!(seen(&node), vec![("http".to_owned(), on), ("tasks".to_owned(), on)], "from then on");
    target(&mut node, Vec::new(), &["http", "tasks"]);
    assert!(seen(&node).is_empty());
}

#[test]
fn a_mark_goes_on_from_where_its_target_stands_or_is_left_out() {
    let mut node = node();
    put(&mut node, true, true);
    target(&mut node, vec![called("a", destination("d")), called("b", destination("d"))], &[]);
    let at = seen(&node)[0].1;
    put(&mut node, true, true);
    let marks = vec![mark("a", at, at + 1), mark("b", at - 1, at + 1), mark("gone", at, at + 1)];
    ask(&mut node, ScheduleCommand::Deliver(DeliveryCommand::Advance(marks))).unwrap();
    assert_eq!(seen(&node), vec![("a".to_owned(), at + 1), ("b".to_owned(), at)]);
    let log = head(&node);
    ask(&mut node, ScheduleCommand::Deliver(DeliveryCommand::Advance(vec![mark("b", at, log + 1)]))).unwrap();
    assert_eq!(head(&node), log, "what has not happened was not told");
    let key = DeliveryKey { rule: rule(), target: "a".to_owned() };
    let delivery = node.state.delivery(&key).unwrap();
    assert_eq!((delivery.delivered, delivery.dropped), (2, 1));
}

#[test]
fn tasks_start_with_their_mark_or_not_at_all() {
    let mut node = node();
    let place = node.open("agent", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    put(&mut node, true, true);
    target(&mut node, vec![schedule_target("a")], &[]);
    let (at, to) = (seen(&node)[0].1, head(&node));
    let run = run_tasks(definition("web", 1), vec![place]);
    let version = node.state.rule(&rule()).unwrap().version;
    let start = |version, from| {
        let (mark, run) = (Mark { delivered: 1, dropped: 0, ..mark("a", from, to) }, Box::new(run.clone()));
        ScheduleCommand::Deliver(DeliveryCommand::Start { mark, version, run })
    };
    for stale in [start(version + 1, at), start(version, at - 1)] {
        assert!(matches!(ask(&mut node, stale), Err(Rejection::Stale { .. })));
    }
    assert!(matches!(ask(&mut node, start(version, at)), Ok(Outcome::Tasks(tasks)) if tasks.len() == 1));
    assert!(matches!(ask(&mut node, start(version, at)), Err(Rejection::Stale { .. })), "once");
    let stands = seen(&node)[0].1;
    assert_eq!(stands, to);
    let half = |from: (u64, u32), to: (u64, u32)| {
        let of = |(sequence, part): (u64, u32)| (Sequence::new(sequence), part);
        let mark = Mark { from: of(from), to: of(to), delivered: 1, dropped: 0, ..mark("a", 0, 0) };
        ScheduleCommand::Deliver(DeliveryCommand::Start { mark, version, run: Box::new(run.clone()) })
    };
    assert!(ask(&mut node, half((stands, 0), (stands, 1))).is_ok(), "the first of what an event comes to");
    assert!(ask(&mut node, half((stands, 0), (stands, 1))).is_err(), "once too");
    assert!(ask(&mut node, half((stands, 1), (stands, 2))).is_ok(), "the second");
    assert_eq!(node.state.tasks().count(), 3);
    let two = (Sequence::new(stands), 2);
    let wrong = ScheduleCommand::Deliver(DeliveryCommand::Start {
        mark: Mark { delivered: 1, dropped: 0, from: two, ..mark("a", stands, stands + 1) },
        version,
        run: Box::new(run_tasks(definition("nothing", 1), Vec::new())),
    });
    ask(&mut node, wrong).unwrap();
    let key = DeliveryKey { rule: rule(), target: "a".to_owned() };
    let delivery = node.state.delivery(&key).unwrap();
    assert_eq!((delivery.delivered, delivery.dropped), (3, 1), "what never will be is given up");
    assert!(delivery.error.is_some());
}

#[test]
fn connections_and_destinations_are_made_once_and_changed_by_their_ids() {
    let mut node = node();
    let put = |known| {
        let spec = Box::new(connection_spec());
        ScheduleCommand::Deliver(DeliveryCommand::PutConnection { key: connection("c"), spec, known })
    };
    let known = node.state.connection(&connection("c")).unwrap().clone();
    assert!(matches!(ask(&mut node, put(None)), Err(Rejection::ScheduleExists { .. })));
    assert!(matches!(ask(&mut node, put(Some((known.id ^ 1, known.version)))), Err(Rejection::Stale { .. })));
    ask(&mut node, put(Some((known.id, known.version)))).unwrap();
    let again = ask(&mut node, put(Some((known.id, known.version))));
    assert!(matches!(again, Err(Rejection::Stale { .. })), "another change came first");
    assert_eq!(node.state.connection(&connection("c")).unwrap().id, known.id);
    let destinations = |of: &str| {
        let spec = Box::new(destination_spec(connection(of)));
        let key = destination("d");
        ScheduleCommand::Deliver(DeliveryCommand::PutApiDestination { key, spec, known: None })
    };
    assert!(matches!(ask(&mut node, destinations("no")), Err(Rejection::ScheduleNotFound { .. })));
    ask(&mut node, destinations("c")).unwrap();
    assert!(matches!(ask(&mut node, destinations("c")), Err(Rejection::ScheduleExists { .. })));
    let delete = || ScheduleCommand::Deliver(DeliveryCommand::DeleteApiDestination { key: destination("d") });
    ask(&mut node, delete()).unwrap();
    assert!(matches!(ask(&mut node, delete()), Err(Rejection::ScheduleNotFound { .. })));
}
