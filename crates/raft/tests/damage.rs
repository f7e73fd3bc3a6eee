//! Damaged disks: a torn tail, flipped bits, a full disk, a disk whose syncs fail. What is wrong is noticed and
//! never served; what was acknowledged is there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/child.rs"]
mod child;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use child::Sync;
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use trireme_raft::batch::Batch;
use trireme_raft::config::{LeaderId, LogEntry, LogId, TypeConfig};
use trireme_raft::log::flusher::Flusher;
use trireme_raft::log::mark::Mark;
use trireme_raft::log::store::LogStore;
use trireme_raft::storage::Kv;
use trireme_raft::storage::memory::MemoryDisk;
use trireme_raft::storage::rocks::RocksKv;
use trireme_raft::{Error, Folder, Member, Node, World};
use trireme_state::store::Store;

fn entry(index: u64, bytes: usize) -> LogEntry {
    LogEntry {
        log_id: LogId { leader_id: LeaderId { term: 1, node_id: 1 }, index },
        payload: EntryPayload::Normal(Batch::from_encoded(Bytes::from(vec![index as u8; bytes]))),
    }
}

/// Appends, and waits for the disk when `durable`.
async fn append(log: &mut LogStore, entry: LogEntry, durable: bool) -> std::io::Result<()> {
    if !durable {
        return log.append([entry], IOFlushed::noop()).await;
    }
    let (sender, receiver) = TypeConfig::oneshot();
    log.append([entry], IOFlushed::signal(sender)).await?;
    receiver.await.unwrap()
}

/// Closes the database at the end, whoever still holds it: its threads must end before the test's process does.
struct Closing(Arc<RocksKv>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn open(path: &Path) -> Result<(Closing, LogStore), Error> {
    let kv = Arc::new(RocksKv::open(path)?);
    let flusher = Flusher::thread(kv.clone()).unwrap();
    let mark = Mark::open(MemoryDisk::new().storage().mark).map_err(Error::Storage)?;
    let log = LogStore::open(kv.clone(), flusher, mark)?;
    Ok((Closing(kv), log))
}

fn newest(folder: &Path, extension: &str) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == extension)).collect();
    files.sort();
    files.pop().unwrap()
}

fn flip(path: &Path, offset: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset as usize] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_costs_only_what_nobody_was_told() {
    for cut in [1u64, 7, 100, 1000, 2500] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("db");
        let (kv, mut log) = open(&path).unwrap();
        for index in 0..50 {
            append(&mut log, entry(index, 700), true).await.unwrap();
        }
        let wal = newest(&path, "log");
        let synced = fs::metadata(&wal).unwrap().len();
        for index in 50..54 {
            append(&mut log, entry(index, 700), false).await.unwrap();
        }
        drop((kv, log));
        let whole = fs::metadata(&wal).unwrap().len();
        let length = whole.saturating_sub(cut).max(synced);
        fs::File::options().write(true).open(&wal).unwrap().set_len(length).unwrap();
        let (_kv, mut log) = open(&path).unwrap();
        let entries = log.get_log_reader().await.try_get_log_entries(0..100).await.unwrap();
        assert!(entries.len() >= 50 && entries.len() < 54, "{} of 54 after a cut of {cut}", entries.len());
        assert_eq!(entries.last().unwrap().log_id.index as usize, entries.len() - 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_write_ahead_log_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("db");
    let (kv, mut log) = open(&path).unwrap();
    for index in 0..100 {
        append(&mut log, entry(index, 700), true).await.unwrap();
    }
    drop((kv, log));
    let wal = newest(&path, "log");
    flip(&wal, fs::metadata(&wal).unwrap().len() / 2);
    match open(&path) {
        Err(Error::Damaged { reason, .. }) => println!("refused: {reason}"),
        other => panic!("it was opened: {:?}", other.err()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_table_is_never_served() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("db");
    let (kv, mut log) = open(&path).unwrap();
    for index in 0..100 {
        append(&mut log, entry(index, 700), true).await.unwrap();
    }
    drop((kv, log));
    // Recovery writes what it found into a table.
    let (kv, log) = open(&path).unwrap();
    drop((kv, log));
    let table = newest(&path, "sst");
    flip(&table, fs::metadata(&table).unwrap().len() / 3);
    let outcome = match open(&path) {
        Err(error) => format!("refused: {error}"),
        Ok((_kv, mut log)) => match log.get_log_reader().await.try_get_log_entries(0..100).await {
            Err(error) => format!("not read: {error}"),
            Ok(entries) => {
                assert_eq!(entries, (0..100).map(|index| entry(index, 700)).collect::<Vec<_>>());
                "the bit was of no use".to_owned()
            }
        },
    };
    println!("{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_snapshot_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("n");
    let node = child::open(&folder, Sync::Honest).await.unwrap();
    for number in 0..100 {
        node.store().propose(support::create(&format!("c{number}"))).await.unwrap();
    }
    support::wait_for("a snapshot is there", || async {
        if node.status().snapshot_index > 0 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await;
    node.halt().await;
    drop(node);
    support::wait_closed(&Folder::new(&folder)).await;
    let snapshot = newest(&folder.join("snapshots"), "snapshot");
    let length = fs::metadata(&snapshot).unwrap().len();
    for offset in [0, 20, length / 2, length - 1] {
        flip(&snapshot, offset);
        match child::open(&folder, Sync::Honest).await {
            Err(error) => println!("refused: {error}"),
            Ok(_) => panic!("byte {offset} of the snapshot was wrong, and it was opened"),
        }
        flip(&snapshot, offset);
        support::wait_closed(&Folder::new(&folder)).await;
    }
    child::open(&folder, Sync::Honest).await.unwrap().close();
}

fn mount(arguments: &[&str]) -> bool {
    std::process::Command::new("mount").args(arguments).status().is_ok_and(|status| status.success())
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _done = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_node_and_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("small");
    fs::create_dir(&folder).unwrap();
    if !mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder.to_str().unwrap()]) {
        println!("skipped: only root may mount");
        return;
    }
    let _unmount = Unmount(folder.clone());
    let path = folder.join("db");
    let (kv, mut log) = open(&path).unwrap();
    let mut acknowledged = 0u64;
    let failure = loop {
        match append(&mut log, entry(acknowledged, 60_000), true).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000, "the disk never filled");
    };
    println!("{acknowledged} entries, then: {failure}");
    assert!(acknowledged > 10);
    drop((kv, log));
    assert!(mount(&["-o", "remount,size=256m", folder.to_str().unwrap()]));
    let (_kv, mut log) = open(&path).unwrap();
    let entries = log.get_log_reader().await.try_get_log_entries(0..acknowledged).await.unwrap();
    assert_eq!(entries.len() as u64, acknowledged);
    assert_eq!(entries.last().unwrap(), &entry(acknowledged - 1, 60_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_stops_the_node_and_is_never_tried_again() {
    let disk = MemoryDisk::new();
    let settings = child::settings();
    let node = Node::start(child::identity(), disk.storage(), settings.clone(), World::real(&settings))
        .await
        .unwrap();
    let member = Member { zone: "a".to_owned(), peer_address: "127.0.0.1:1".to_owned(), ..Member::default() };
    node.initialise(member).await.unwrap();
    node.store().propose(support::create("one")).await.unwrap();
    disk.fail_syncs(true);
    let store = node.store();
    let lost = tokio::spawn(async move { store.propose(support::create("two")).await });
    let fatal = tokio::time::timeout(support::LIMIT, node.fatal()).await.expect("the failure is told");
    println!("{fatal}");
    let syncs = disk.syncs();
    disk.fail_syncs(false);
    lost.abort();
    assert!(node.store().propose(support::create("three")).await.is_err());
    node.halt().await;
    assert_eq!(disk.syncs(), syncs, "a sync was tried again");
    disk.lose_power();
    let node = Node::start(child::identity(), disk.storage(), settings.clone(), World::real(&settings))
        .await
        .unwrap();
    let state = node.store().read().await.unwrap();
    assert!(state.cluster(&support::cluster_key("one")).is_some());
}

#[test]
fn the_simulated_disk_forgets_what_was_not_synced() {
    use trireme_raft::storage::{Family, Op};
    let disk = MemoryDisk::new();
    let put = |key: &[u8]| Op::Put(Family::Meta, key.to_vec(), Bytes::from_static(b"value"));
    disk.write(vec![put(b"kept")]).unwrap();
    disk.sync().unwrap();
    disk.write(vec![put(b"lost")]).unwrap();
    assert!(disk.get(Family::Meta, b"lost").unwrap().is_some());
    disk.lose_power();
    assert!(disk.get(Family::Meta, b"lost").unwrap().is_none());
    assert!(disk.get(Family::Meta, b"kept").unwrap().is_some());
}
