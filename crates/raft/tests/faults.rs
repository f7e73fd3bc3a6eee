//! One node on a simulated disk: what is wrong inside it is noticed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/child.rs"]
mod child;
mod support;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use trireme_raft::clock::{Clock, SystemClock};
use trireme_raft::decider::Rules;
use trireme_raft::storage::memory::MemoryDisk;
use trireme_raft::storage::{Family, Kv, Op};
use trireme_raft::{Member, Node, World};
use trireme_rpc::log::HistoryRecord;
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Command, Decision, FeatureLevel, Proposal, Rejection, Stamp, State, decide};
use trireme_types::{Sequence, Timestamp};

async fn alone(disk: &MemoryDisk, world: World) -> Node {
    let node = Node::start(child::identity(), disk.storage(), child::settings(), world).await.unwrap();
    let member = Member { zone: "a".to_owned(), peer_address: "127.0.0.1:1".to_owned(), ..Member::default() };
    node.initialise(member).await.unwrap();
    node
}

/// Changes a record so that it is still well-formed and names the right record before it.
fn tamper(disk: &MemoryDisk, sequence: u64) {
    let key = sequence.to_be_bytes().to_vec();
    let bytes = disk.get(Family::History, &key).unwrap().unwrap();
    let mut record = HistoryRecord::decode(bytes).unwrap();
    record.at_millis += 1;
    disk.write(vec![Op::Put(Family::History, key, record.encode_to_vec().into())]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_record_breaks_the_chain_wherever_one_looks() {
    let disk = MemoryDisk::new();
    let node = alone(&disk, World::real(&child::settings())).await;
    // The node raises the level by itself: not while records are counted.
    let before = support::wait_for("the latest feature level", || async {
        let view = node.store().view();
        let level = view.level();
        if level == FeatureLevel::LATEST {
            Ok(view.position().sequence.get())
        } else {
            Err(level.to_string())
        }
    })
    .await;
    for number in 0..10 {
        node.store().propose(support::create(&format!("c{number}"))).await.unwrap();
    }
    let history = async |from: u64| node.store().history(Sequence::new(before + from), 100).await;
    let broken_at = |number: u64| format!("broken at record {}", before + number);
    assert_eq!(history(1).await.unwrap().len(), 10);
    tamper(&disk, before + 5);
    let error = history(6).await.unwrap_err();
    assert!(error.to_string().contains(&broken_at(6)), "{error}");
    assert_eq!(history(7).await.unwrap().len(), 4);
    tamper(&disk, before + 10);
    let error = history(7).await.unwrap_err();
    assert!(error.to_string().contains(&broken_at(10)), "{error}");
}

thread_local! {
    /// Whether this thread has just decided that there is a cluster "two".
    static DECIDED: Cell<bool> = const { Cell::new(false) };
}

/// As usual, and remembers what it decided.
fn remembers(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Result<Decision, Rejection> {
    DECIDED.set(
        matches!(&proposal.command, Command::CreateCluster { cluster, .. } if cluster.name.as_str() == "two"),
    );
    decide(state, proposal, stamp)
}

/// A clock that panics where nothing catches it: not while that command is decided, but when it is sent off. The decider
/// asks it on the same thread, before anything else runs there.
struct Failing(SystemClock);

impl Clock for Failing {
    fn wall(&self) -> Timestamp {
        self.0.wall()
    }
    fn monotonic(&self) -> Duration {
        assert!(!DECIDED.take(), "a defect in the decider");
        self.0.monotonic()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decider_that_panics_stops_the_node_and_what_has_no_key_is_not_sent_again() {
    let rules = Rules { decide: remembers, ..Rules::default() };
    let world =
        World { clock: Arc::new(Failing(SystemClock::default())), rules, ..World::real(&child::settings()) };
    let node = alone(&MemoryDisk::new(), world).await;
    node.store().propose(support::create("one")).await.unwrap();
    let started = tokio::time::Instant::now();
    let unknown = node.store().propose(support::create("two")).await;
    assert!(matches!(unknown, Err(ProposeError::Unknown { .. })), "{unknown:?}");
    assert!(started.elapsed() < child::settings().propose_limit / 3, "it was sent again and again");
    let fatal = tokio::time::timeout(support::LIMIT, node.fatal()).await.expect("the node stops");
    assert!(fatal.to_string().contains("the decider panicked"), "{fatal}");
}
