//! The head on its own, with rules that misbehave.

use std::sync::Arc;
use std::time::Duration;

use trireme_state::invariant::Violation;
use trireme_state::object::ClusterKey;
use trireme_state::{Actor, Command, Decision, Event, Proposal, Rejection, Stamp, State, decide, invariant};
use trireme_types::{ClusterName, RequestId, Scope, Timestamp};

use super::head::{Head, Rules, Verdict};
use crate::clock::{Clock, OfficeClock};
use crate::guard::Guard;

struct Fixed;

impl Clock for Fixed {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(1_000)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(5)
    }
}

fn create(name: &str) -> Proposal {
    let cluster = ClusterKey { scope: Scope::development(), name: ClusterName::new(name).unwrap() };
    Proposal {
        actor: Actor::Operator,
        request_id: RequestId::from_bits(1),
        key: None,
        command: Command::CreateCluster { cluster, tags: Default::default() },
    }
}

fn head(rules: Rules) -> Head {
    let clock = OfficeClock::new(Arc::new(Fixed), Duration::ZERO, Timestamp::from_millis(7_000));
    Head::new(State::new(), [1; 32], clock, rules, Guard::new(tokio::sync::watch::channel(None).1))
}

fn is_named(proposal: &Proposal, wanted: &str) -> bool {
    matches!(&proposal.command, Command::CreateCluster { cluster, .. } if cluster.name.as_str() == wanted)
}

#[test]
fn entries_follow_each_other_and_time_is_the_offices() {
    let mut head = head(Rules::default());
    let Verdict::Entry { entry: first, .. } = head.decide(&create("one")) else { panic!("no entry") };
    let Verdict::Entry { entry: second, .. } = head.decide(&create("two")) else { panic!("no entry") };
    assert_eq!(second.base, first.end());
    assert_eq!(first.at, Timestamp::from_millis(7_000), "the log's last entry is later than the wall clock");
    assert!(matches!(head.decide(&create("one")), Verdict::Unchanged(_)));
    head.rebuild(State::new());
    let Verdict::Entry { entry: again, .. } = head.decide(&create("one")) else { panic!("no entry") };
    assert_eq!(again.base, first.base);
}

fn panics(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Result<Decision, Rejection> {
    assert!(!is_named(proposal, "bad"), "a defect in decide");
    decide(state, proposal, stamp)
}

#[test]
fn a_panic_refuses_that_command_alone() {
    let mut head = head(Rules { decide: panics, ..Rules::default() });
    assert!(matches!(head.decide(&create("one")), Verdict::Entry { .. }));
    let before = head.state().clone();
    match head.decide(&create("bad")) {
        Verdict::Rejected(Rejection::Defect { message }) => assert_eq!(message, "a defect in decide"),
        other => panic!("{other:?}"),
    }
    assert_eq!(head.state(), &before);
    assert!(matches!(head.decide(&create("two")), Verdict::Entry { .. }));
}

fn violated(before: &State, after: &State, events: &[Event]) -> Result<(), Violation> {
    if before.position().sequence.get() == 1 {
        return Err(Violation { name: "test", detail: "it was to be".to_owned() });
    }
    invariant::check_step(before, after, events)
}

#[test]
fn a_broken_invariant_stays_out_of_the_log() {
    let mut head = head(Rules { check: violated, ..Rules::default() });
    assert!(matches!(head.decide(&create("one")), Verdict::Entry { .. }));
    let before = head.state().clone();
    assert!(matches!(head.decide(&create("two")), Verdict::Rejected(Rejection::Defect { .. })));
    assert_eq!(head.state(), &before);
}

fn too_many(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Result<Decision, Rejection> {
    let mut decision = decide(state, proposal, stamp)?;
    let one = decision.events[0].clone();
    decision.events = vec![one; trireme_state::limits::EVENTS_PER_COMMAND + 1];
    Ok(decision)
}

#[test]
fn a_command_has_limits() {
    let mut head = head(Rules { decide: too_many, ..Rules::default() });
    assert!(matches!(head.decide(&create("one")), Verdict::Rejected(Rejection::LimitExceeded { .. })));
    assert_eq!(head.state(), &State::new());
}

fn another(_bytes: bytes::Bytes) -> Result<trireme_state::SealedEvent, trireme_state::codec::CodecError> {
    let mut head = head(Rules::default());
    let Verdict::Entry { entry, .. } = head.decide(&create("another")) else { panic!("no entry") };
    Ok(entry.events[0].clone())
}

#[test]
fn an_event_that_reads_otherwise_stays_out_of_the_log() {
    let mut head = head(Rules { open: another, ..Rules::default() });
    match head.decide(&create("one")) {
        Verdict::Rejected(Rejection::Defect { message }) => assert!(message.contains("reads as another")),
        other => panic!("{other:?}"),
    }
    assert_eq!(head.state(), &State::new());
}

fn large(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Result<Decision, Rejection> {
    let mut decision = decide(state, proposal, stamp)?;
    let one = decision.events[0].clone();
    let length = trireme_state::SealedEvent::seal(one.clone()).bytes().len() + 16;
    let bytes = if is_named(proposal, "fits") { 1024 * 1024 - 1 } else { 1024 * 1024 + length };
    decision.events = vec![one; bytes / length];
    Ok(decision)
}

#[test]
fn a_command_may_be_a_whole_entry_long() {
    let with_tags = |name: &str| {
        let mut proposal = create(name);
        let Command::CreateCluster { tags, .. } = &mut proposal.command else { panic!("not a cluster") };
        *tags = (0..50).map(|number| (format!("key{number}"), "v".repeat(60))).collect();
        proposal
    };
    let any: fn(&State, &State, &[Event]) -> Result<(), Violation> = |_, _, _| Ok(());
    let mut head = head(Rules { decide: large, check: any, ..Rules::default() });
    match head.decide(&with_tags("fits")) {
        Verdict::Entry { bytes, .. } => assert!(bytes > 1_000_000, "{bytes}"),
        other => panic!("{other:?}"),
    }
    let refused = head.decide(&with_tags("large"));
    assert!(matches!(refused, Verdict::Rejected(Rejection::LimitExceeded { .. })), "{refused:?}");
}
