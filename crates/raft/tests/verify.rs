//! Verifying a folder, and damage to any of its files: what is wrong is told, and never served.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/child.rs"]
mod child;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use child::Sync;
use futures_util::future::join_all;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trireme_raft::storage::rocks::RocksKv;
use trireme_raft::storage::{Family, Kv, Op};
use trireme_raft::verify::{self, Report};
use trireme_raft::{Folder, Node};
use trireme_rpc::log::HistoryRecord;
use trireme_state::hash::state_hash;
use trireme_state::store::{Record, Store};
use trireme_state::{Command, Event, Proposal, SealedEvent, State};
use trireme_types::Sequence;

/// Events of the node that is damaged: enough for a checkpoint.
const EVENTS: usize = 1_300;

/// A node with so many events, stopped; and the state that it had.
async fn stopped(folder: &Path, events: usize) -> State {
    let node = child::open(folder, Sync::Honest).await.unwrap();
    let store = node.store();
    // Checkpoints lie a quarter of what is kept apart.
    let retention = Command::SetRetention { events: Some(4_000), millis: None };
    store.propose(Proposal { command: retention, ..support::create("unused") }).await.unwrap();
    for part in (1..events).collect::<Vec<_>>().chunks(64) {
        let proposals = part.iter().map(|number| store.propose(support::create(&format!("c{number}"))));
        join_all(proposals).await.into_iter().for_each(|done| drop(done.unwrap()));
    }
    if events >= EVENTS {
        // Many commands ride in one entry of the log: there are too few of those for one by itself.
        node.raft().trigger().snapshot().await.unwrap();
        support::wait_for("a checkpoint", || async {
            if store.checkpoints().is_empty() { Err("none".to_owned()) } else { Ok(()) }
        })
        .await;
    }
    let state = State::clone(&store.view());
    halt(node, folder).await;
    state
}

async fn halt(node: Node, folder: &Path) {
    node.halt().await;
    drop(node);
    support::wait_closed(&Folder::new(folder)).await;
}

fn report(folder: &Path) -> Report {
    let report = verify::folder(&Folder::new(folder)).unwrap();
    for problem in &report.problems {
        println!("  {problem}");
    }
    report
}

/// Every file of a folder with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_folder_verifies_and_is_not_touched() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("n");
    let state = stopped(&folder, EVENTS).await;
    let before = contents(&folder);
    let report = report(&folder);
    assert!(report.is_sound());
    assert_eq!((report.position, report.state_hash), (state.position(), Some(state_hash(&state))));
    report.checked.iter().for_each(|line| println!("{line}"));
    let history = report.checked.iter().find(|line| line.starts_with("history: ")).unwrap();
    assert!(history.contains(&format!("{} replayed", state.position().sequence)), "{history}");
    assert!(before == contents(&folder), "the folder was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_verifies_itself_beside_its_work() {
    let place = tempfile::tempdir().unwrap();
    let node = child::open(&place.path().join("n"), Sync::Honest).await.unwrap();
    let store = node.store();
    for number in 0..100 {
        store.propose(support::create(&format!("c{number}"))).await.unwrap();
    }
    let writing = store.clone();
    let writes = tokio::spawn(async move {
        for number in 100..300 {
            writing.propose(support::create(&format!("c{number}"))).await.unwrap();
        }
    });
    let (one, two) = tokio::join!(node.verify(), node.verify());
    let refused = [&one, &two].into_iter().filter(|report| report.is_err()).count();
    assert!(refused <= 1, "one at a time");
    let report = one.or(two).unwrap();
    assert_eq!(report.problems, []);
    assert!(report.position.sequence >= Sequence::new(100));
    writes.await.unwrap();
    assert!(node.verify().await.unwrap().is_sound());
    node.close();
}

fn record(kv: &RocksKv, sequence: u64) -> HistoryRecord {
    let value = kv.get(Family::History, &sequence.to_be_bytes()).unwrap().unwrap();
    HistoryRecord::decode(value).unwrap()
}

fn put(kv: &RocksKv, record: &HistoryRecord) {
    let key = record.sequence.to_be_bytes().to_vec();
    kv.write(vec![Op::Put(Family::History, key, record.encode_to_vec().into())]).unwrap();
}

/// Another cluster was created than really was, with every checksum as it should be.
fn edited(record: HistoryRecord) -> HistoryRecord {
    let event = Event::ClusterCreated { cluster: support::cluster_key("forged"), tags: Default::default() };
    HistoryRecord { event: SealedEvent::seal(event).bytes().to_vec().into(), ..record }
}

fn names(records: &[Record]) -> String {
    format!("{records:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_event_with_right_checksums_is_found_and_never_served() {
    for back in [0u64, 1, 37] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("n");
        let last = stopped(&folder, 130).await.position().sequence.get();
        let target = last - back;
        let kv = RocksKv::open(&folder.join("db")).unwrap();
        put(&kv, &edited(record(&kv, target)));
        kv.sync().unwrap();
        kv.close();
        println!("event {target} of {last} edited:");
        let report = report(&folder);
        let told = report.problems.iter().any(|problem| {
            problem.part == "history"
                && [target, target + 1].iter().any(|at| problem.place.contains(&at.to_string()))
        });
        assert!(told, "{:?}", report.problems);
        // The log behind the snapshot is applied again at the start, and with it written again what it says.
        let node = child::open(&folder, Sync::Honest).await.unwrap();
        let store = node.store();
        store.read().await.unwrap();
        for (from, limit) in [(target, 1), (target, 10), (target.saturating_sub(5).max(1), 6), (1, 1_000)] {
            if let Ok(records) = store.records(Sequence::new(from), limit).await {
                assert!(!names(&records).contains("forged"), "{limit} events from {from} on were served");
            }
        }
        for at in [target, last] {
            if let Ok(state) = store.state_at(Sequence::new(at)).await {
                assert!(state.cluster(&support::cluster_key("forged")).is_none());
            }
        }
        node.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_forged_to_its_end_does_not_lead_to_the_state() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("n");
    let last = stopped(&folder, 130).await.position().sequence.get();
    let kv = RocksKv::open(&folder.join("db")).unwrap();
    for sequence in last - 100..=last {
        let mut next = record(&kv, sequence);
        if sequence == last - 100 {
            next = edited(next);
        } else {
            let before = own_hash(&record(&kv, sequence - 1));
            next.previous_hash = bytes::Bytes::copy_from_slice(&before.0);
        }
        put(&kv, &next);
    }
    kv.sync().unwrap();
    kv.close();
    let report = report(&folder);
    assert!(
        report.problems.iter().any(|problem| problem.reason.contains("was changed")),
        "{:?}",
        report.problems
    );
}

fn own_hash(record: &HistoryRecord) -> trireme_state::ChainHash {
    let previous = trireme_state::ChainHash(record.previous_hash.as_ref().try_into().unwrap());
    let at = trireme_types::Timestamp::from_millis(record.at_millis);
    let request = trireme_rpc::convert::request_from_bytes(&record.request_id).unwrap();
    previous.next(at, &trireme_state::Actor::Operator, request, &record.event)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_checkpoint_or_record_is_told() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("n");
    stopped(&folder, 130).await;
    let kv = RocksKv::open(&folder.join("db")).unwrap();
    kv.write(vec![Op::Delete(Family::History, 50u64.to_be_bytes().to_vec())]).unwrap();
    kv.sync().unwrap();
    kv.close();
    let report = report(&folder);
    assert!(
        report.problems.iter().any(|problem| problem.place.contains("event 51")),
        "{:?}",
        report.problems
    );
}

/// What a node on this folder serves, or why it does not.
async fn served(folder: &Path, original: &State, records: &[Record]) -> String {
    let node = match child::open(folder, Sync::Honest).await {
        Err(error) => return format!("refused: {error}"),
        Ok(node) => node,
    };
    let store = node.store();
    let state = tokio::select! {
        state = store.read() => state.map_err(|error| error.to_string()),
        error = node.fatal() => Err(error.to_string()),
    };
    let outcome = match state {
        Err(reason) => format!("not served: {reason}"),
        Ok(state) => {
            assert_eq!(state.position(), original.position());
            assert_eq!(state_hash(&state), state_hash(original), "a changed state was served");
            let mut next = node.store().history_extent().first();
            let mut outcome = "served unchanged".to_owned();
            while next <= original.position().sequence {
                match node.store().records(next, 512).await {
                    Ok(found) => {
                        for record in found {
                            let number = usize::try_from(record.sequence.get()).unwrap();
                            assert_eq!(record, records[number - 1], "a changed event was served");
                            next = record.sequence.next();
                        }
                    }
                    Err(error) => {
                        outcome = format!("state served unchanged; {error}");
                        break;
                    }
                }
            }
            outcome
        }
    };
    node.halt().await;
    node.close();
    outcome
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// One bit of one file is turned over, or its end is torn off. Whatever it is: the node refuses to start, or to serve, or serves
/// what was there before. And verifying finds nothing wrong only where the node serves what was there.
#[tokio::test(flavor = "multi_thread")]
async fn no_damaged_bit_is_ever_served() {
    let seed =
        std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u32>);
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(24u32);
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(u64::from(seed));
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("n");
    let state = stopped(&folder, EVENTS).await;
    // Recovery writes what is in the write-ahead log into tables; then there is more in the log again.
    let node = child::open(&folder, Sync::Honest).await.unwrap();
    node.store().read().await.unwrap();
    let records = node.store().records(Sequence::new(1), EVENTS).await.unwrap();
    assert_eq!(records.len(), EVENTS);
    halt(node, &folder).await;
    let mut files: Vec<PathBuf> =
        contents(&folder).into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(path, _)| path).collect();
    // RocksDB's own remarks are nobody's data.
    files.retain(|path| !path.file_name().unwrap().to_str().unwrap().starts_with("LOG"));
    let (mut found, mut harmless) = (0, 0);
    for round in 0..rounds {
        let copied = place.path().join(format!("r{round}"));
        copy(&folder, &copied);
        let file = &files[random.random_range(0..files.len())];
        let name = file.strip_prefix(&folder).unwrap();
        let target = copied.join(name);
        let mut bytes = fs::read(&target).unwrap();
        let at = random.random_range(0..bytes.len());
        let torn = random.random_range(0..6) == 0;
        if torn {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        fs::write(&target, &bytes).unwrap();
        println!("round {round}: {} {} at {at}", name.display(), if torn { "torn" } else { "flipped" });
        let sound = match verify::folder(&Folder::new(&copied)) {
            Ok(report) => {
                report.problems.iter().for_each(|problem| println!("  verify: {problem}"));
                report.is_sound()
            }
            Err(error) => {
                println!("  verify: {error}");
                false
            }
        };
        let outcome = served(&copied, &state, &records).await;
        println!("  node: {outcome}");
        if sound {
            harmless += 1;
            assert_eq!(outcome, "served unchanged", "SEED={seed}, round {round}: verifying saw nothing");
        } else {
            found += 1;
        }
        // A node that refused may still be closing it; then it goes with the rest at the end.
        let _later = fs::remove_dir_all(&copied);
    }
    println!("{found} found, {harmless} of no use");
    assert!(found > 0, "nothing was ever damaged");
}
