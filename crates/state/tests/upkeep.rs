//! What keeps a cluster in order over time: the feature level, the history's retention, and what may still be done when disks are
//! nearly full.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;
use trireme_state::command::{Command, Growth, ServiceChange};
use trireme_state::object::Retention;
use trireme_state::*;
use trireme_types::*;

#[test]
fn the_feature_level_only_rises() {
    let mut node = Node::new();
    assert_eq!(node.state.level(), FeatureLevel::FIRST);
    let raise = |level| Command::RaiseFeatureLevel { level: FeatureLevel::new(level) };
    node.propose(raise(3)).unwrap();
    node.propose(raise(2)).unwrap();
    assert_eq!(node.state.level(), FeatureLevel::new(3));
    node.propose(Command::Reset).unwrap();
    assert_eq!(
        node.state.level(),
        FeatureLevel::new(3),
        "a reset drops what users made, not what nodes agreed on"
    );
}

#[test]
fn what_some_node_cannot_read_is_not_written() {
    // The table's levels start at 1: a state below them stands for a cluster that is older than every kind.
    let mut state = State::new();
    apply_event(&mut state, Timestamp::from_millis(1), &Event::Reset {});
    let old = codec::encode_snapshot(&state);
    let below = old_level(&old);
    let mut node = Node::new();
    node.state = below;
    match node.propose(register("web", None)) {
        Err(Rejection::FeatureLevel { needed, level }) => {
            assert_eq!((needed, level), (FeatureLevel::FIRST, FeatureLevel::new(0)));
        }
        other => panic!("{other:?}"),
    }
}

/// The same state at level 0.
fn old_level(snapshot: &[u8]) -> State {
    let mut bytes = snapshot.to_vec();
    // Envelope (10 bytes), position (1 + 32 bytes), clock (1 byte), then the level as one byte.
    assert_eq!(bytes[44], 1);
    bytes[44] = 0;
    let end = bytes.len() - 4;
    let sum = crc32c::crc32c(&bytes[..end]).to_be_bytes();
    bytes[end..].copy_from_slice(&sum);
    codec::decode_snapshot(&bytes).unwrap()
}

#[test]
fn the_history_is_trimmed_forwards_and_never_up_to_its_end() {
    let mut node = Node::new();
    for family in 0..5 {
        node.propose(register(&format!("f{family}"), None)).unwrap();
    }
    let last = node.state.position().sequence;
    let trim = |to| Command::TrimHistory { to };
    node.propose(trim(last)).unwrap();
    assert_eq!(node.state.trimmed(), Sequence::new(0), "what happened last stays");
    node.propose(trim(Sequence::new(3))).unwrap();
    node.propose(trim(Sequence::new(2))).unwrap();
    assert_eq!(node.state.trimmed(), Sequence::new(3));
    let keep = |events, millis| Command::SetRetention { events, millis };
    for wrong in [keep(Some(10), Some(5)), keep(Some(10), None), keep(None, Some(0))] {
        assert!(matches!(node.propose(wrong), Err(Rejection::Invalid { .. })));
    }
    // Each of two operators sets one: neither overrules the other.
    let months = node.state.retention().millis;
    node.propose(keep(Some(10_000), None)).unwrap();
    assert_eq!(node.state.retention(), Retention { events: 10_000, millis: months });
    node.propose(keep(None, Some(5))).unwrap();
    assert_eq!(node.state.retention(), Retention { events: 10_000, millis: 5 });
    let before = node.state.position();
    node.propose(keep(None, None)).unwrap();
    node.propose(keep(Some(10_000), Some(5))).unwrap();
    assert_eq!(node.state.position(), before, "what changes nothing is no event");
}

/// Large enough for trees of several levels, whose shared parts are passed over.
#[test]
fn the_hash_of_a_large_state_follows_every_change() {
    let mut node = Node::new();
    let mut hasher = StateHasher::default();
    for number in 0..12_000u32 {
        node.propose(Command::CreateCluster {
            cluster: cluster(&format!("c{number:05}")),
            tags: Default::default(),
        })
        .unwrap();
        if number % 1_000 == 999 {
            assert_eq!(hasher.advance(&node.state), hash::state_hash(&node.state));
        }
    }
    for number in (0..12_000u32).step_by(37) {
        node.propose(Command::DeleteCluster { cluster: cluster(&format!("c{number:05}")) }).unwrap();
        if number % 3 == 0 {
            assert_eq!(hasher.advance(&node.state), hash::state_hash(&node.state));
        }
    }
}

#[test]
fn what_takes_away_or_tells_needs_no_room() {
    let mut node = Node::new();
    let placement = node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    node.propose(create_service("web", definition("web", 1), 3)).unwrap();
    let growth = |command: Command| command.growth(&node.state);
    let scale = |count| Command::UpdateService {
        key: service("web"),
        change: ServiceChange { desired_count: Some(count), ..ServiceChange::default() },
    };
    assert_eq!(growth(scale(4)), Growth::Asked);
    assert_eq!(growth(scale(3)), Growth::None);
    assert_eq!(growth(scale(0)), Growth::None);
    let forced = Command::UpdateService {
        key: service("web"),
        change: ServiceChange {
            desired_count: Some(0),
            force_new_deployment: true,
            ..ServiceChange::default()
        },
    };
    assert_eq!(growth(forced), Growth::Asked, "a new deployment is more, whatever its count");
    assert_eq!(growth(register("web", None)), Growth::Asked);
    assert_eq!(growth(run_tasks(definition("web", 1), vec![placement.clone()])), Growth::Asked);
    assert_eq!(growth(Command::DeleteService { key: service("web"), force: true }), Growth::None);
    let found = node.state.service(&service("web")).unwrap();
    let start = Command::StartServiceTasks {
        service: service("web"),
        version: found.version,
        deployment: found.deployments[0].id,
        placements: vec![placement.clone()],
    };
    assert_eq!(growth(start), Growth::Kept, "a promise that was made before");
    let again = |instance| Command::OpenSession {
        instance,
        registration: Box::new(registration("agent-1", "us-east-1a")),
    };
    assert_eq!(growth(again(Some(placement.instance))), Growth::None, "an agent that comes back");
    assert_eq!(growth(again(None)), Growth::Asked, "a new one");
}

/// What was hashed in one layout cannot be taken away in another: at a level that brings a layout the sum begins anew.
#[test]
fn the_hash_begins_anew_with_the_layout() {
    let mut node = Node::new();
    let mut hasher = StateHasher::default();
    node.propose(Command::CreateCluster { cluster: cluster("a"), tags: Default::default() }).unwrap();
    hasher.advance(&node.state);
    let below = codec::encode_snapshot(&node.state);
    node.propose(Command::RaiseFeatureLevel { level: FeatureLevel::LATEST }).unwrap();
    node.propose(Command::DeleteCluster { cluster: cluster("a") }).unwrap();
    assert_eq!(hasher.advance(&node.state), hash::state_hash(&node.state));
    let above = codec::encode_snapshot(&node.state);
    assert_ne!(below[4..6], above[4..6], "the envelope says which layout it is");
    assert_eq!(codec::decode_snapshot(&above), Ok(node.state));
    assert!(codec::decode_snapshot(&below).is_ok(), "older snapshots are read for ever");
}
