//! What makes a node let go of its history: a disk that gets full, and time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use support::ahead::Ahead;
use support::{TestCluster, create, delete, settings, wait_for};
use trireme_raft::storage::memory::MemoryDisk;
use trireme_raft::storage::{Blob, FileWriter, Files, Storage};
use trireme_raft::{Identity, Member, Node, RaftStore, Settings, World};
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Actor, Command, Proposal};
use trireme_types::{ClusterUuid, RequestId};

const MIB: u64 = 1024 * 1024;
/// A little more than the reserve: nothing is refused yet.
const TIGHT: u64 = 1_100 * MIB;
const DAY: u64 = 24 * 60 * 60 * 1_000;

/// Only what a test asks for makes a snapshot.
fn seldom() -> Settings {
    Settings { snapshot_after: 10_000_000, keep_entries: 100, ..settings() }
}

async fn settle(store: &RaftStore, proposal: impl Fn() -> Proposal) {
    loop {
        match store.propose(proposal()).await {
            Err(ProposeError::Rejected(rejection)) => {
                // An earlier try may have done it.
                assert!(!rejection.to_string().contains("disk"), "{rejection}");
                return;
            }
            Ok(_) => return,
            Err(_) => {}
        }
    }
}

/// Writes so many events, many at once, and leaves the state as it was.
async fn write(store: &RaftStore, count: u64) {
    const WRITERS: u64 = 50;
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let name = format!("w{writer}");
            for _ in 0..count.div_ceil(2 * WRITERS) {
                settle(&store, || create(&name)).await;
                settle(&store, || delete(&name)).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

async fn start(storage: Storage, world: World) -> Node {
    let identity = Identity { cluster: ClusterUuid::from_bits(42), incarnation: 1, node_id: 1 };
    let node = Node::start(identity, storage, seldom(), world).await.unwrap();
    let member = Member { zone: "a".to_owned(), peer_address: "127.0.0.1:1".to_owned(), ..Member::default() };
    node.initialise(member).await.unwrap();
    wait_for("it decides", || async {
        if node.store().leadership().deciding { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    node
}

/// All that may go is gone, and it is much.
async fn wait_gone(store: &RaftStore, at_least: u64) {
    wait_for("what may go is gone", || async {
        let (start, trimmed) = (store.history_extent().start.sequence, store.view().trimmed());
        if start == trimmed && start.get() >= at_least {
            Ok(())
        } else {
            Err(format!("{start}, {trimmed} may go"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_disk_gets_tight_every_node_lets_go_before_anything_is_refused() {
    let cluster = TestCluster::start(3, seldom()).await;
    let leader = cluster.leader().await;
    let store = cluster.nodes[&leader].store();
    write(&store, 13_000).await;
    let tight = cluster.follower().await;
    cluster.rooms.set(tight, Some(TIGHT));
    for node in cluster.nodes.values() {
        wait_gone(&node.store(), 2_000).await;
    }
    wait_for("the log is let go too, and there is a checkpoint to trim to next", || async {
        let all = cluster.nodes.values().map(|node| (node.status().snapshot_index, node.store()));
        let lacking = |(index, store): (u64, RaftStore)| {
            let newest = store.checkpoints().last().map(|newest| newest.sequence);
            (index == 0 || newest <= Some(store.view().trimmed())).then_some((index, newest))
        };
        let lacking: Vec<_> = all.filter_map(lacking).collect();
        if lacking.is_empty() { Ok(()) } else { Err(format!("{lacking:?}")) }
    })
    .await;
    let snapshots =
        || -> Vec<u64> { cluster.nodes.values().map(|node| node.status().snapshot_index).collect() };
    let before = snapshots();
    let mut most = 0;
    for _ in 0..20 {
        write(&store, 200).await;
        most = cluster.nodes.values().map(|node| node.store().checkpoints().len()).max().unwrap().max(most);
    }
    for node in cluster.nodes.values() {
        wait_gone(&node.store(), 5_000).await;
    }
    assert_eq!(snapshots(), before, "one to trim to is enough");
    assert!(most <= 3, "{most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_it_no_snapshot_is_begun() {
    let disk = MemoryDisk::new();
    let node = start(disk.storage(), World::real(&seldom())).await;
    let store = node.store();
    write(&store, 1_000).await;
    disk.set_free(10 * MIB);
    wait_for("it is measured", || async {
        let free = node.status().disk_free_bytes;
        if free == Some(10 * MIB) { Ok(()) } else { Err(format!("{free:?}")) }
    })
    .await;
    node.raft().trigger().snapshot().await.unwrap();
    // What is applied after it has seen it.
    let command = Command::SetRetention { events: Some(5_000), millis: None };
    let request_id = RequestId::from_bits(rand::random());
    store.propose(Proposal { actor: Actor::Operator, request_id, key: None, command }).await.unwrap();
    assert_eq!(node.status().snapshot_index, 0);
    disk.set_free(10_000 * MIB);
    wait_for("with room there is one", || async {
        node.raft().trigger().snapshot().await.unwrap();
        if node.status().snapshot_index > 0 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await;
    assert!(tokio::time::timeout(Duration::from_millis(1), node.fatal()).await.is_err(), "it lives");
    node.halt().await;
}

/// Files of which the next few cannot be made.
struct Full {
    inner: Arc<dyn Files>,
    failures: AtomicI64,
}

impl Files for Full {
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn open(&self, name: &str) -> io::Result<Blob> {
        self.inner.open(name)
    }
    fn create(&self) -> io::Result<Box<dyn FileWriter>> {
        if self.failures.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.create()
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trimming_that_failed_is_tried_again_though_nothing_else_happens() {
    let disk = MemoryDisk::new();
    let storage = disk.storage();
    let full = Arc::new(Full { inner: Arc::clone(&storage.checkpoints), failures: AtomicI64::new(3) });
    let checkpoints = Arc::clone(&full) as Arc<dyn Files>;
    let node = start(Storage { checkpoints, ..storage }, World::real(&seldom())).await;
    let store = node.store();
    write(&store, 13_000).await;
    disk.set_free(TIGHT);
    wait_gone(&store, 2_000).await;
    assert!(full.failures.load(Ordering::SeqCst) < 0);
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_old_events_go_too_and_not_long_after_their_time() {
    let clock = Ahead::default();
    let ahead = Arc::clone(&clock.millis);
    let world = World { clock: Arc::new(clock), ..World::real(&seldom()) };
    let node = start(MemoryDisk::new().storage(), world).await;
    let store = node.store();
    let command = Command::SetRetention { events: None, millis: Some(2 * DAY) };
    let request_id = RequestId::from_bits(rand::random());
    store.propose(Proposal { actor: Actor::Operator, request_id, key: None, command }).await.unwrap();
    write(&store, 100).await;
    let old = store.view().position().sequence;
    ahead.fetch_add(DAY, Ordering::Relaxed);
    write(&store, 2_000).await;
    // At their age, and a little over it, they may still be there.
    ahead.fetch_add(DAY + DAY / 24, Ordering::Relaxed);
    write(&store, 100).await;
    assert_eq!(store.view().trimmed().get(), 0);
    ahead.fetch_add(DAY / 16, Ordering::Relaxed);
    wait_for("they may go", || async {
        let trimmed = store.view().trimmed();
        if trimmed == old { Ok(()) } else { Err(format!("{trimmed}, and {old} are old")) }
    })
    .await;
    assert_eq!(store.history_extent().start.sequence.get(), 0, "a checkpoint for so few is not worth it yet");
    ahead.fetch_add(DAY / 5, Ordering::Relaxed);
    wait_gone(&store, old.get()).await;
    assert_eq!(store.history_extent().start.sequence, old);
    assert_eq!(store.state_at(old).await.unwrap().position().sequence, old);
    node.halt().await;
}
