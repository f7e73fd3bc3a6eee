//! Logs that were lost behind the node's back: a file of the write-ahead log that is gone or cut, a follower or a
//! leader that forgot what it had acknowledged. Such a node stops and says why; it never goes on as if it were new.
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
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use tokio::net::TcpListener;
use trireme_raft::batch::Batch;
use trireme_raft::config::{LeaderId, LogEntry, LogId, TypeConfig};
use trireme_raft::log::flusher::Flusher;
use trireme_raft::log::mark::Mark;
use trireme_raft::log::store::LogStore;
use trireme_raft::storage::memory::MemoryDisk;
use trireme_raft::storage::rocks::RocksKv;
use trireme_raft::storage::{Kv, MarkFile};
use trireme_raft::{Error, Folder, Member, Node, World};
use trireme_rpc::raft::raft_client::RaftClient;
use trireme_rpc::{convert, log, raft};
use trireme_state::store::Store;

fn newest_wal(database: &Path) -> PathBuf {
    let files = fs::read_dir(database).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    files.sort();
    files.pop().unwrap()
}

fn cut(path: &Path, length: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

async fn filled(folder: &Path, count: u32) -> Node {
    let node = child::open(folder, Sync::Honest).await.unwrap();
    for number in 0..count {
        node.store().propose(support::create(&format!("c{number}"))).await.unwrap();
    }
    node
}

async fn must_be_refused(folder: &Path) {
    match child::open(folder, Sync::Honest).await {
        Err(error @ (Error::Shortened { .. } | Error::Damaged { .. })) => println!("refused: {error}"),
        Err(other) => panic!("another error: {other:?}"),
        Ok(node) => {
            node.close();
            panic!("a shortened log was accepted");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_shorter_than_at_the_orderly_stop_is_refused() {
    for half in [true, false] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("n");
        let node = filled(&folder, 20).await;
        node.halt().await;
        drop(node);
        support::wait_closed(&Folder::new(&folder)).await;
        // Looking whether it is closed has recovered the log into tables; what comes now is in the new file only.
        let node = filled(&folder, 40).await;
        node.store().propose(support::create("last")).await.unwrap();
        node.halt().await;
        drop(node);
        let wal = newest_wal(&folder.join("db"));
        let length = fs::metadata(&wal).unwrap().len();
        assert!(length > 0);
        if half {
            cut(&wal, length / 2)
        } else {
            fs::remove_file(&wal).unwrap()
        }
        must_be_refused(&folder).await;
        // Who refuses lets go of the database: the next one is not told that it is locked.
        must_be_refused(&folder).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_durable_for_a_while_is_known_without_an_orderly_stop() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("n");
    let mark = folder.join("durable");
    let node = filled(&folder, 10).await;
    let before = fs::read(&mark).unwrap();
    node.store().propose(support::create("one-more")).await.unwrap();
    support::wait_for("the mark is raised", || async {
        if fs::read(&mark).unwrap() != before { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    node.close();
    drop(node);
    cut(&newest_wal(&folder.join("db")), 0);
    must_be_refused(&folder).await;
}

fn entry(index: u64) -> LogEntry {
    LogEntry {
        log_id: LogId { leader_id: LeaderId { term: 1, node_id: 1 }, index },
        payload: EntryPayload::Normal(Batch::from_encoded(Bytes::from(vec![index as u8; 700]))),
    }
}

fn open(path: &Path, mark: Arc<dyn MarkFile>) -> Result<(Arc<RocksKv>, LogStore), Error> {
    let kv = Arc::new(RocksKv::open(path)?);
    let flusher = Flusher::thread(kv.clone()).unwrap();
    let log = LogStore::open(kv.clone(), flusher, Mark::open(mark).map_err(Error::Storage)?);
    if log.is_err() {
        kv.close();
    }
    Ok((kv, log?))
}

async fn append(log: &mut LogStore, index: u64) {
    let (sender, receiver) = TypeConfig::oneshot();
    log.append([entry(index)], IOFlushed::signal(sender)).await.unwrap();
    receiver.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_behind_the_mark_is_accepted_and_one_before_it_is_not() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("db");
    let mark = MemoryDisk::new().storage().mark;
    let (kv, mut log) = open(&path, mark.clone()).unwrap();
    for index in 0..30 {
        append(&mut log, index).await;
    }
    let marked = fs::metadata(newest_wal(&path)).unwrap().len();
    log.watch().mark(async { kv.sync() }).await.unwrap();
    for index in 30..34 {
        append(&mut log, index).await;
    }
    kv.close();
    drop(log);
    cut(&newest_wal(&path), marked - 10);
    assert!(matches!(open(&path, mark.clone()), Err(Error::Shortened { .. })));
    // Looking at it has recovered what was left: the same again, cut behind the mark.
    let place = tempfile::tempdir().unwrap();
    let other = place.path().join("db");
    let (kv, mut log) = open(&other, MemoryDisk::new().storage().mark).unwrap();
    for index in 0..34 {
        append(&mut log, index).await;
    }
    kv.close();
    drop(log);
    let wal = newest_wal(&other);
    cut(&wal, fs::metadata(&wal).unwrap().len() - 10);
    let (kv, mut log) = open(&other, mark.clone()).unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id.unwrap().index, 32);
    // A leader may cut what is not committed; the mark goes down first, and up again.
    log.truncate_after(Some(entry(20).log_id)).await.unwrap();
    kv.sync().unwrap();
    kv.close();
    drop(log);
    let (kv, mut log) = open(&other, mark.clone()).unwrap();
    log.save_committed(Some(entry(15).log_id)).await.unwrap();
    assert!(log.truncate_after(Some(entry(10).log_id)).await.is_err(), "what is committed is never cut");
    kv.close();
}

/// A node alone, with its Raft service on a port.
struct Alone {
    node: Node,
    client: RaftClient<tonic::transport::Channel>,
}

async fn alone(initialised: bool) -> Alone {
    let settings = child::settings();
    let disk = MemoryDisk::new();
    let node = Node::start(child::identity(), disk.storage(), settings.clone(), World::real(&settings))
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(node.serve(listener, node.routes()));
    if initialised {
        let member = Member { zone: "a".to_owned(), peer_address: address.to_string(), ..Member::default() };
        node.initialise(member).await.unwrap();
        for number in 0..10 {
            node.store().propose(support::create(&format!("c{number}"))).await.unwrap();
        }
    }
    let client = RaftClient::connect(format!("http://{address}")).await.unwrap();
    Alone { node, client }
}

fn id(term: u64, node: u64, index: u64) -> Option<log::LogId> {
    Some(log::LogId { leader: Some(log::LeaderId { term, node }), index })
}

/// What a leader in a later term sends.
fn from_leader(previous: Option<log::LogId>, acknowledged: Option<log::LogId>) -> raft::AppendRequest {
    let cluster_id = convert::cluster_to_bytes(child::identity().cluster);
    raft::AppendRequest {
        route: Some(raft::Route { cluster_id, from: 2, to: 1 }),
        vote: Some(log::Vote { leader: Some(log::LeaderId { term: 9, node: 2 }), committed: true }),
        previous,
        entries: Vec::new(),
        committed: None,
        acknowledged,
    }
}

async fn stops(alone: &mut Alone, request: raft::AppendRequest, wanted: &str) {
    let status = alone.client.append(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::DataLoss, "{status}");
    let fatal = tokio::time::timeout(support::LIMIT, alone.node.fatal()).await.expect("the node stops");
    assert!(fatal.to_string().contains(wanted), "{fatal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_forgot_what_is_applied_here_stops_this_node() {
    for index in [3, 8] {
        let mut alone = alone(true).await;
        stops(&mut alone, from_leader(id(9, 2, index), None), "is applied here").await;
    }
    let mut healthy = alone(true).await;
    let applied = healthy.node.store().applied().log_id.unwrap();
    let same = id(applied.leader_id.term, applied.leader_id.node_id, applied.index);
    healthy.client.append(from_leader(same, same)).await.unwrap();
    // A leader of the past is refused as ever, whatever it says.
    let mut old = from_leader(id(1, 7, 3), id(1, 7, 99));
    old.vote = Some(log::Vote { leader: Some(log::LeaderId { term: 0, node: 2 }), committed: true });
    healthy.client.append(old).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_forgot_what_it_acknowledged_stops() {
    let mut alone = alone(false).await;
    stops(&mut alone, from_leader(None, id(9, 2, 5)), "was acknowledged").await;
}
