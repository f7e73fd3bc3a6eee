//! One node that trims its history, on a simulated disk and on RocksDB: the power is cut at every step of it, checkpoints are
//! damaged, time passes, the disk fills.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/child.rs"]
mod child;
mod support;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use prost::Message;
use support::ahead::Ahead;
use support::whole::chained;
use support::{create, delete, wait_for};
use trireme_raft::checkpoint::Checkpoints;
use trireme_raft::history::{self, History, Part};
use trireme_raft::storage::memory::MemoryDisk;
use trireme_raft::storage::{Blob, Family, File, FileWriter, Files, Kv, Op, Storage};
use trireme_raft::{Error, Folder, Member, Node, RaftStore, World};
use trireme_rpc::log::HistoryRecord;
use trireme_state::object::Retention;
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Actor, Command, Position, Proposal};
use trireme_types::{RequestId, Sequence};

/// What is left of the power: so many more changes of the disk are made.
#[derive(Clone)]
struct Power {
    left: Arc<AtomicI64>,
    off: Arc<dyn Fn() + Send + Sync>,
}

impl Power {
    fn new(off: impl Fn() + Send + Sync + 'static) -> Self {
        Self { left: Arc::new(AtomicI64::new(i64::MAX)), off: Arc::new(off) }
    }

    fn cut_after(&self, changes: i64) {
        self.left.store(changes, Ordering::SeqCst);
    }

    fn is_off(&self) -> bool {
        self.left.load(Ordering::SeqCst) <= 0
    }

    fn spend(&self) -> io::Result<()> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left == 1 {
            (self.off)();
        }
        if left <= 1 { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn watch(&self, storage: Storage) -> Storage {
        let watched = |inner| Watched { inner, power: self.clone() };
        Storage {
            kv: Arc::new(watched(Arc::clone(&storage.kv))),
            checkpoints: Arc::new(Watched { inner: storage.checkpoints, power: self.clone() }),
            ..storage
        }
    }
}

struct Watched<T: ?Sized> {
    inner: Arc<T>,
    power: Power,
}

impl Kv for Watched<dyn Kv> {
    fn write(&self, ops: Vec<Op>) -> io::Result<()> {
        self.power.spend()?;
        self.inner.write(ops)
    }
    fn sync(&self) -> io::Result<()> {
        self.power.spend()?;
        self.inner.sync()
    }
    fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<Bytes>> {
        self.inner.get(family, key)
    }
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        more: &mut dyn FnMut(&[u8], Bytes) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.inner.scan(family, from, to, more)
    }
    fn last(&self, family: Family, from: &[u8]) -> io::Result<Option<(Bytes, Bytes)>> {
        self.inner.last(family, from)
    }
    fn reclaim(&self, family: Family, from: &[u8], last: &[u8]) -> io::Result<()> {
        self.power.spend()?;
        self.inner.reclaim(family, from, last)
    }
    fn close(&self) {
        self.inner.close();
    }
}

impl Files for Watched<dyn Files> {
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn open(&self, name: &str) -> io::Result<Blob> {
        self.inner.open(name)
    }
    fn create(&self) -> io::Result<Box<dyn FileWriter>> {
        self.power.spend()?;
        Ok(Box::new(WatchedWriter { inner: self.inner.create()?, power: self.power.clone() }))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.power.spend()?;
        self.inner.remove(name)
    }
}

struct WatchedWriter {
    inner: Box<dyn FileWriter>,
    power: Power,
}

impl FileWriter for WatchedWriter {
    fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.inner.write(part)
    }
    fn finish(self: Box<Self>) -> io::Result<Blob> {
        self.power.spend()?;
        Ok(Arc::new(Watched { inner: self.inner.finish()?, power: self.power }))
    }
}

impl File for Watched<dyn File> {
    fn length(&self) -> u64 {
        self.inner.length()
    }
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        self.inner.read(offset, length)
    }
    fn name(&self) -> Option<String> {
        self.inner.name()
    }
    fn commit(&self, name: &str) -> io::Result<()> {
        self.power.spend()?;
        self.inner.commit(name)
    }
}

async fn start(storage: Storage, world: World) -> Node {
    let node = Node::start(child::identity(), storage, child::settings(), world).await.unwrap();
    if !node.raft().is_initialized().await.unwrap() {
        let member =
            Member { zone: "a".to_owned(), peer_address: "127.0.0.1:1".to_owned(), ..Member::default() };
        node.initialise(member).await.unwrap();
    }
    wait_for("it decides", || async {
        if node.store().leadership().deciding { Ok(()) } else { Err("not yet") }.map_err(str::to_owned)
    })
    .await;
    node
}

fn world() -> World {
    World::real(&child::settings())
}

fn proposal(command: Command) -> Proposal {
    Proposal { actor: Actor::Operator, request_id: RequestId::from_bits(rand::random()), key: None, command }
}

async fn keep(store: &RaftStore, retention: Retention) {
    let command = Command::SetRetention { events: Some(retention.events), millis: Some(retention.millis) };
    settle(store, || proposal(command.clone())).await;
}

/// Proposes until it is known what came of it: on a busy machine leadership may move.
async fn settle(store: &RaftStore, proposal: impl Fn() -> Proposal) {
    while !matches!(store.propose(proposal()).await, Ok(_) | Err(ProposeError::Rejected(_))) {}
}

/// Writes so many events, many at once.
async fn write(store: &RaftStore, count: u64) {
    const WRITERS: u64 = 100;
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

/// Everything from the start on is there and chained, and can be replayed from its checkpoint. It is read anew when it is
/// trimmed meanwhile.
async fn verify(store: &RaftStore) {
    while !is_whole(store).await {}
}

async fn is_whole(store: &RaftStore) -> bool {
    let Some((start, applied)) = chained(store).await else { return false };
    assert_eq!(store.state_at(applied.sequence).await.unwrap().position(), applied);
    match store.state_at(start.sequence).await {
        Ok(state) => assert_eq!(state.position(), start),
        Err(Error::Trimmed { .. }) => return false,
        Err(other) => panic!("{other:?}"),
    }
    true
}

/// The same of a disk that nobody uses: a node that starts would mend it before one can look.
fn verify_disk(storage: &Storage) {
    let history = History::open(Arc::clone(&storage.kv)).unwrap();
    let checkpoints = Checkpoints::open(Arc::clone(&storage.checkpoints), child::identity().cluster).unwrap();
    let extent = history.extent();
    let from = (extent.start.sequence.get() + 1).to_be_bytes();
    let last = match storage.kv.last(Family::History, &from).unwrap() {
        None => extent.start,
        Some((_, value)) => {
            let record = history::decode(HistoryRecord::decode(value).unwrap()).unwrap();
            Position { sequence: record.sequence, hash: record.hash }
        }
    };
    let mut next = extent.start.sequence.next();
    while next <= last.sequence {
        let Part::Records(records) = history.read(next, 2_000, last).unwrap() else { panic!("at {next}") };
        next = Sequence::new(records.last().unwrap().sequence).next();
    }
    for position in [extent.start, last] {
        assert_eq!(history.state_at(&checkpoints, position.sequence, last).unwrap().position(), position);
    }
}

fn newest_checkpoint(store: &RaftStore) -> Sequence {
    store.checkpoints().last().map_or(Sequence::default(), |position| position.sequence)
}

/// Trims again and again, and cuts the power after ever more changes of the disk; each time the node starts again on what
/// is left, which is whole, and ends what it had begun.
async fn cut_at_each_step(open: impl Fn() -> (Storage, Power), on: impl Fn(), cuts: std::ops::Range<i64>) {
    let (mut storage, mut power) = open();
    let mut node = start(power.watch(storage), world()).await;
    keep(&node.store(), Retention { events: 1_000_000, ..Retention::default() }).await;
    let mut finished = 0;
    for cut in cuts {
        let store = node.store();
        let before = newest_checkpoint(&store);
        keep(&store, Retention { events: 1_000, millis: Retention::default().millis + 1 + cut as u64 }).await;
        write(&store, 1_300).await;
        wait_for("there is a new checkpoint", || async {
            // Snapshots are made of what was written; a little more makes another.
            write(&store, 2).await;
            let found = newest_checkpoint(&store);
            if found > before { Ok(()) } else { Err(format!("{found}")) }
        })
        .await;
        let goal = newest_checkpoint(&store);
        // What happened last is always kept, so the checkpoint must not be the end.
        write(&store, 1).await;
        power.cut_after(cut);
        let to = store.view().position().sequence;
        let asked = {
            let store = store.clone();
            tokio::spawn(async move {
                let command = Command::TrimHistory { to: Sequence::new(to.get() - 1) };
                let _cut_short = store.propose(proposal(command)).await;
            })
        };
        wait_for("it is cut or done", || async {
            let start = store.history_extent().start.sequence;
            let done =
                start >= goal && store.checkpoints().first().is_some_and(|first| first.sequence == start);
            if power.is_off() || done { Ok(()) } else { Err(format!("{start} of {goal}")) }
        })
        .await;
        asked.abort();
        finished += u32::from(!power.is_off());
        node.halt().await;
        // What still runs of the old process does no more.
        power.cut_after(-1);
        drop((node, store));
        on();
        (storage, power) = open();
        verify_disk(&storage);
        let kv = Arc::clone(&storage.kv);
        node = start(power.watch(storage), world()).await;
        verify(&node.store()).await;
        if node.store().view().trimmed() >= goal {
            wait_for("what was begun is ended", || async {
                let store = node.store();
                let seen = (store.history_extent().start.sequence, store.checkpoints());
                if seen.0 >= goal && seen.1.iter().all(|position| position.sequence >= seen.0) {
                    Ok(())
                } else {
                    Err(format!("{seen:?}"))
                }
            })
            .await;
            let mut oldest = None;
            kv.scan(Family::History, &[0; 8], &[0xff; 9], &mut |key, _| {
                oldest = Some(u64::from_be_bytes(key.try_into().unwrap()));
                Ok(false)
            })
            .unwrap();
            assert_eq!(oldest, Some(node.store().history_extent().start.sequence.next().get()));
        }
    }
    println!("{finished} were not cut any more");
    assert!(finished > 0, "the cuts did not reach the end");
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn power_that_is_cut_at_any_step_leaves_a_whole_history() {
    let disk = MemoryDisk::new();
    let open = || {
        let under = disk.clone();
        (disk.storage(), Power::new(move || under.power_off()))
    };
    cut_at_each_step(open, || disk.power_on(), 1..22).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_step_leaves_a_whole_history_on_rocksdb() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(place.path().join("n"));
    folder.create(child::identity()).unwrap();
    let open = || (folder.open(child::identity()).unwrap(), Power::new(|| {}));
    cut_at_each_step(open, || {}, 4..20).await;
}

fn flip(folder: &Path, sequence: Sequence) {
    let prefix = format!("{:020}-", sequence.get());
    let files = std::fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let mut found = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix));
    let path = found.next().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_is_never_trimmed_to_and_never_replayed_from() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(place.path().join("n"));
    folder.create(child::identity()).unwrap();
    let node = start(folder.open(child::identity()).unwrap(), world()).await;
    let store = node.store();
    keep(&store, Retention { events: 5_000, ..Retention::default() }).await;
    wait_for("there are checkpoints", || async {
        write(&store, 300).await;
        let found = store.checkpoints().len();
        if found >= 3 { Ok(()) } else { Err(format!("{found}")) }
    })
    .await;
    let checkpoints = store.checkpoints();
    flip(folder.path(), checkpoints[1].sequence);
    let after = checkpoints[1].sequence.next();
    assert_eq!(store.state_at(after).await.unwrap().position().sequence, after, "an older one serves");
    flip(folder.path(), checkpoints[2].sequence);
    let to = store.view().position().sequence;
    store.propose(proposal(Command::TrimHistory { to: Sequence::new(to.get() - 1) })).await.unwrap();
    // To a sound one: the first, or one that came after the damaged ones.
    wait_for("it is trimmed to a sound one", || async {
        let start = store.history_extent().start;
        if start.sequence.get() > 0 { Ok(()) } else { Err(format!("{start:?}")) }
    })
    .await;
    let start = store.history_extent().start;
    assert!(!checkpoints[1..3].contains(&start), "{start:?} is damaged");
    verify(&store).await;
    // Now where the records begin: what stood before the first one cannot be known any more, and that is said.
    let mut flipped = std::collections::BTreeSet::new();
    while flipped.insert(store.history_extent().start.sequence) {
        flip(folder.path(), store.history_extent().start.sequence);
    }
    let damaged = store.state_at(store.history_extent().start.sequence.next()).await;
    assert!(matches!(damaged, Err(Error::History { .. })), "{damaged:?}");
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_goes_however_little_there_is() {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    let clock = Ahead::default();
    let ahead = Arc::clone(&clock.millis);
    let disk = MemoryDisk::new();
    let node = start(disk.storage(), World { clock: Arc::new(clock), ..world() }).await;
    let store = node.store();
    keep(&store, Retention { events: 6_000, millis: 2 * DAY }).await;
    wait_for("there is a checkpoint", || async {
        write(&store, 200).await;
        let found = newest_checkpoint(&store);
        if found.get() > 1_500 { Ok(()) } else { Err(format!("{found}")) }
    })
    .await;
    let old = store.view().position().sequence.get();
    ahead.fetch_add(DAY, Ordering::Relaxed);
    write(&store, 1_000).await;
    assert_eq!(store.view().trimmed(), Sequence::default());
    ahead.fetch_add(DAY + DAY / 2, Ordering::Relaxed);
    wait_for("the old ones may go", || async {
        let trimmed = store.view().trimmed();
        if trimmed.get() == old { Ok(()) } else { Err(format!("{trimmed}, and {old} are old")) }
    })
    .await;
    let record = store.records(store.view().position().sequence, 1).await.unwrap().remove(0);
    assert_eq!(record.actor, Actor::Controller("history".to_owned()));
    wait_for("they are deleted as far as a checkpoint allows", || async {
        let start = store.history_extent().start.sequence.get();
        if start > 1_500 && start <= old { Ok(()) } else { Err(format!("{start}")) }
    })
    .await;
    verify(&store).await;
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_nearly_full_lets_the_history_go_without_a_checkpoint_near_by() {
    let disk = MemoryDisk::new();
    let node = start(disk.storage(), world()).await;
    let store = node.store();
    write(&store, 15_000).await;
    assert_eq!(store.checkpoints(), Vec::new(), "the retention is far away, and so are its checkpoints");
    disk.set_free(500 * 1024 * 1024);
    wait_for("the history goes", || async {
        let (start, trimmed) = (store.history_extent().start.sequence, store.view().trimmed());
        if start.get() > 4_000 && start == trimmed {
            Ok(())
        } else {
            Err(format!("{start}, {trimmed} may go"))
        }
    })
    .await;
    wait_for("and the present is a checkpoint", || async {
        let found = newest_checkpoint(&store);
        if found.get() > 14_000 { Ok(()) } else { Err(format!("{found}")) }
    })
    .await;
    verify(&store).await;
    node.halt().await;
}
