//! The history's retention on three nodes in one process, over real gRPC and real RocksDB: it grows no further, can be
//! replayed from its checkpoints, and a node that joins late begins where the others do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use support::whole::verify;
use support::{TestCluster, cluster_key, create, delete, settings, wait_for};
use trireme_raft::{Error, RaftStore, Settings};
use trireme_rpc::control::HistoryRequest;
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Actor, Command, Proposal, State};
use trireme_types::{RequestId, Sequence};

/// So few that a test reaches it.
const KEPT: u64 = 1_000;

fn proposal(command: Command) -> Proposal {
    Proposal { actor: Actor::Operator, request_id: RequestId::from_bits(rand::random()), key: None, command }
}

fn often() -> Settings {
    Settings { snapshot_after: 100, keep_entries: 20, ..settings() }
}

async fn keep_little(store: &RaftStore) {
    let command = Command::SetRetention { events: Some(KEPT), millis: None };
    store.propose(proposal(command)).await.unwrap();
}

/// Proposes until it is known what came of it: on a busy machine leadership may move.
async fn settle(store: &RaftStore, proposal: impl Fn() -> Proposal) {
    while !matches!(store.propose(proposal()).await, Ok(_) | Err(ProposeError::Rejected(_))) {}
}

/// Writes so many events, many at once: clusters that come and go, so that the state stays small.
async fn write(store: &RaftStore, count: u64) {
    let writers = (0..40u64).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let name = format!("w{writer}");
            for _ in 0..count / 80 {
                settle(&store, || create(&name)).await;
                settle(&store, || delete(&name)).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

/// Writes events that are long.
async fn write_long(store: &RaftStore, count: u64) {
    let tags = (0..40).map(|number| (format!("tag{number}"), "x".repeat(200)));
    let tags: trireme_state::object::Tags = tags.collect();
    let all = futures_util::stream::iter(0..count).for_each_concurrent(50, |number| {
        let command =
            Command::CreateCluster { cluster: cluster_key(&format!("l{number}")), tags: tags.clone() };
        async move { settle(store, || proposal(command.clone())).await }
    });
    all.await;
}

/// What may go is gone here, up to `at_least`.
async fn wait_trimmed(store: &RaftStore, at_least: u64) -> Sequence {
    wait_for("the history is trimmed", || async {
        // What may go does so up to a checkpoint; there are more of them as more happens.
        write(store, 80).await;
        let start = store.history_extent().start.sequence;
        let seen = (start, store.view().trimmed(), store.checkpoints());
        if start.get() >= at_least { Ok(start) } else { Err(format!("{seen:?}")) }
    })
    .await
}

/// The states that watchers saw, by the number of the last event in them.
async fn watched(store: &RaftStore, work: impl Future<Output = ()>) -> BTreeMap<Sequence, Arc<State>> {
    let mut states = store.watch();
    let mut seen = BTreeMap::new();
    tokio::pin!(work);
    loop {
        tokio::select! {
            () = &mut work => return seen,
            Some(state) = states.next() => { seen.insert(state.position().sequence, state); }
        }
    }
}

/// Compares some of the states that were seen with those that are replayed now; returns how many are still kept.
async fn compare(store: &RaftStore, seen: &BTreeMap<Sequence, Arc<State>>) -> usize {
    let start = store.history_extent().start.sequence;
    let step = (seen.len() / 40).max(1);
    let mut kept = 0;
    for (sequence, state) in seen.iter().step_by(step) {
        match store.state_at(*sequence).await {
            Ok(found) => {
                assert_eq!(found, **state, "at {sequence}");
                kept += 1;
            }
            Err(Error::Trimmed { first, .. }) => {
                assert!(*sequence < first, "{sequence} is kept from {first} on");
                assert!(*sequence < store.history_extent().start.sequence);
            }
            Err(other) => panic!("at {sequence}, from {start} on: {other:?}"),
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_grows_no_further_than_it_may_on_any_node() {
    let mut cluster = TestCluster::start(3, often()).await;
    let leader = cluster.leader().await;
    let store = cluster.nodes[&leader].store();
    keep_little(&store).await;
    let (total, mut most) = (10_000u64, 0u64);
    for _ in 0..total / 2_000 {
        let seen = watched(&store, write(&store, 2_000)).await;
        compare(&store, &seen).await;
        // The start first: it goes on meanwhile.
        let start = store.history_extent().start.sequence.get();
        let kept = store.view().position().sequence.get() - start;
        most = most.max(kept);
    }
    cluster.wait_equal().await;
    // What is kept; a step of the janitor, the distance of checkpoints, and of snapshots, and what was written since.
    let bound = KEPT + 1_024 + 1_024 + 3_000;
    for node in cluster.nodes.values() {
        let store = node.store();
        let last = store.view().position().sequence.get();
        let start = wait_trimmed(&store, last - bound).await;
        verify(&store).await;
        wait_for("older checkpoints are removed", || async {
            let (extent, checkpoints) = (store.history_extent(), store.checkpoints());
            assert!(checkpoints.len() <= 8);
            let useless = checkpoints.iter().any(|position| *position < extent.start);
            if useless { Err(format!("{extent:?} {checkpoints:?}")) } else { Ok(()) }
        })
        .await;
        let gone = store.records(Sequence::new(start.get()), 10).await;
        assert!(matches!(gone, Err(Error::Trimmed { first, .. }) if first > start), "{gone:?}");
    }
    println!("{most} events were kept at most");
    assert!(most <= bound + 2_000, "{most} events were kept");
    // A peer and a follower are told so too, with where it begins.
    let node = &cluster.nodes[&leader];
    let mut client = node.peers().control(&cluster.address(leader)).unwrap();
    let cluster_id = trireme_rpc::convert::cluster_to_bytes(node.peers().cluster());
    let request = HistoryRequest { cluster_id, from_sequence: 1, limit: 0, follow: true };
    let refused = client.history(request).await.unwrap().into_inner().next().await.unwrap().unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused}");
    assert!(refused.message().contains("event 1 is no longer kept: the history begins at"), "{refused}");
    // All of it survives a restart.
    let ids: Vec<u64> = cluster.nodes.keys().copied().collect();
    for id in &ids {
        cluster.kill(*id).await;
    }
    for id in &ids {
        cluster.restart(*id).await;
    }
    cluster.leader().await;
    cluster.wait_equal().await;
    for node in cluster.nodes.values() {
        verify(&node.store()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_as_of_any_kept_event_is_the_one_that_was_seen_then() {
    let mut cluster = TestCluster::start(3, often()).await;
    let leader = cluster.leader().await;
    let store = cluster.nodes[&leader].store();
    let mut seen = watched(&store, write(&store, 4_000)).await;
    cluster.wait_equal().await;
    for node in cluster.nodes.values() {
        assert_eq!(compare(&node.store(), &seen).await, seen.len().div_ceil((seen.len() / 40).max(1)));
    }
    keep_little(&store).await;
    seen.extend(watched(&store, write(&store, 2_000)).await);
    cluster.wait_equal().await;
    for node in cluster.nodes.values() {
        let trimmed = async { assert!(wait_trimmed(&node.store(), 1_000).await.get() >= 1_000) };
        seen.extend(watched(&store, trimmed).await);
    }
    cluster.wait_equal().await;
    for node in cluster.nodes.values() {
        assert!(compare(&node.store(), &seen).await > 0);
    }
    drop(store);
    cluster.kill(leader).await;
    cluster.restart(leader).await;
    cluster.leader().await;
    cluster.wait_equal().await;
    let store = cluster.nodes[&leader].store();
    assert!(compare(&store, &seen).await > 0);
    let last = store.view().position().sequence;
    assert_eq!(store.state_at(last).await.unwrap(), *store.view());
    assert!(matches!(store.state_at(last.next()).await, Err(Error::NotYet { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_after_trimming_begins_at_a_peers_checkpoint() {
    let mut cluster = TestCluster::start(3, often()).await;
    let leader = cluster.leader().await;
    let store = cluster.nodes[&leader].store();
    keep_little(&store).await;
    let mut seen = watched(&store, write(&store, 6_000)).await;
    wait_trimmed(&store, 1_500).await;
    let joined = cluster.join().await;
    cluster.wait_voters(4).await;
    seen.extend(watched(&store, write(&store, 200)).await);
    cluster.wait_equal().await;
    let late = cluster.nodes[&joined].store();
    assert!(late.applied().resets > 0, "it was brought up by a snapshot");
    wait_for("its history is whole", || async {
        let extent = late.history_extent();
        if extent.gap.is_none() && extent.start.sequence.get() > 0 {
            Ok(())
        } else {
            Err(format!("{extent:?}"))
        }
    })
    .await;
    // From here on it needs nobody.
    let others: Vec<u64> = cluster.nodes.keys().copied().filter(|id| *id != joined).collect();
    for id in others {
        cluster.kill(id).await;
    }
    verify(&late).await;
    let start = wait_for("it is replayed from its own checkpoint", || async {
        let (start, checkpoints) = (late.history_extent().start, late.checkpoints());
        if checkpoints.first() == Some(&start) {
            Ok(start)
        } else {
            Err(format!("{start:?} {checkpoints:?}"))
        }
    })
    .await;
    assert_eq!(late.state_at(start.sequence).await.unwrap().position(), start);
    assert!(compare(&late, &seen).await > 0);
    // And it is the same after a restart.
    cluster.kill(joined).await;
    drop(late);
    cluster.restart(joined).await;
    let late = cluster.nodes[&joined].store();
    assert_eq!(late.history_extent().start, start);
    wait_for("it has its state again", || async {
        let last = *seen.last_key_value().unwrap().0;
        // Without a quorum nothing new is committed, but what its snapshot covers is there.
        let now = late.view().position().sequence;
        if now.get() + 500 > last.get() { Ok(()) } else { Err(format!("{now} of {last}")) }
    })
    .await;
    assert!(late.state_at(start.sequence).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_the_history_that_is_overtaken_is_told_and_sees_no_hole() {
    let cluster = TestCluster::start(1, often()).await;
    let store = cluster.nodes[&1].store();
    // More than the connection takes before its reader reads.
    write_long(&store, 2_000).await;
    write(&store, 2_000).await;
    let node = &cluster.nodes[&1];
    let mut client = node.peers().control(&cluster.address(1)).unwrap();
    let cluster_id = trireme_rpc::convert::cluster_to_bytes(node.peers().cluster());
    let request = HistoryRequest { cluster_id, from_sequence: 1, limit: 0, follow: true };
    let mut stream = client.history(request).await.unwrap().into_inner();
    assert_eq!(stream.next().await.unwrap().unwrap().sequence, 1);
    keep_little(&store).await;
    write(&store, 4_000).await;
    let start = wait_trimmed(&store, 4_500).await;
    let mut last = 1;
    let refused = loop {
        let next = tokio::time::timeout(support::LIMIT, stream.next()).await.expect("it is told");
        match next.expect("it does not end by itself") {
            Ok(record) => {
                assert_eq!(record.sequence, last + 1, "a hole");
                last = record.sequence;
            }
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), tonic::Code::OutOfRange, "after {last}: {refused}");
    assert!(last < start.get());
}
