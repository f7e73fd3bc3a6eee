//! Backups of a cluster that goes on, and what comes back from them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::TestCluster;
use tokio::net::TcpListener;
use trireme_raft::backup::{Part, Summary, check, restore};
use trireme_raft::{Error, Folder, Node, Settings, verify};
use trireme_state::hash::state_hash;
use trireme_state::store::Store;
use trireme_state::{Actor, Command, Event, Proposal};
use trireme_types::{RequestId, Sequence};

/// Writes a backup that `node` makes into a file.
async fn back_up(node: &Node, to: &Path, with_history: bool) -> Result<Summary, Error> {
    let mut parts = node.backup("0.0.0-test", with_history)?;
    let mut file = fs::File::create(to).unwrap();
    let mut written = 0u64;
    loop {
        match parts.recv().await.expect("an end")? {
            Part::Chunk(bytes) => {
                assert!(bytes.len() <= 1024 * 1024);
                written += bytes.len() as u64;
                file.write_all(&bytes).unwrap();
            }
            Part::Done { length, summary, .. } => {
                assert_eq!(length, written);
                return Ok(*summary);
            }
        }
    }
}

async fn restored(file: &Path, to: &Path, settings: &Settings) -> (Node, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let member = support::member(&listener.local_addr().unwrap().to_string(), 1);
    let folder = Folder::new(to);
    restore(&folder, file, member, None, settings, |_| Ok(())).await.unwrap();
    support::wait_closed(&folder).await;
    (Node::open(&folder, settings.clone()).await.unwrap(), listener)
}

async fn write(cluster: &TestCluster, from: usize, count: usize) {
    let id = cluster.leader().await;
    let names: Vec<usize> = (from..from + count).collect();
    for part in names.chunks(64) {
        let made = part.iter().map(|number| async move { cluster.made(id, &format!("c{number}")).await });
        join_all(made).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_writes_comes_back_as_the_next_incarnation() {
    let cluster = TestCluster::start(3, support::settings()).await;
    write(&cluster, 0, 200).await;
    let file = cluster.place.path().join("b");
    let id = cluster.follower().await;
    let node = cluster.nodes[&id].clone();
    let (summary, ()) = tokio::join!(back_up(&node, &file, true), write(&cluster, 200, 200));
    let summary = summary.unwrap();
    assert_eq!(check(&file).unwrap(), summary);
    let at = summary.position.sequence;
    assert!(at >= Sequence::new(200), "what was acknowledged before is in it");
    support::wait_for("the node has applied all", || async {
        let applied = node.store().view().position().sequence;
        if applied >= Sequence::new(400) { Ok(()) } else { Err(applied.to_string()) }
    })
    .await;
    let then = node.store().state_at(at).await.unwrap();
    assert_eq!(state_hash(&then), summary.state_hash);

    let place = cluster.place.path().join("restored");
    let began = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (first, listener) = restored(&file, &place, &cluster.settings).await;
    let identity = first.identity();
    assert_eq!((identity.cluster, identity.node_id), (node.identity().cluster, 4));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((began..=now).contains(&identity.incarnation), "two restores of one backup are told apart");
    let store = first.store();
    store.read().await.unwrap();
    assert_eq!(store.state_at(at).await.unwrap(), then, "the state as it was");
    let records = store.records(Sequence::new(1), 10_000).await.unwrap();
    assert_eq!(
        records[..at.get() as usize],
        node.store().records(Sequence::new(1), at.get() as usize).await.unwrap()
    );
    let told = &records[at.get() as usize];
    assert!(
        matches!(told.event, Event::ClusterRestored { incarnation, .. } if incarnation == identity.incarnation),
        "{told:?}"
    );

    // Others join it empty, and get all of it.
    tokio::spawn(first.serve(listener, first.routes()));
    let seeds = [first.status().members[0].member.clone().unwrap().peer_address];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let member = support::member(&listener.local_addr().unwrap().to_string(), 2);
    let folder = Folder::new(cluster.place.path().join("joined"));
    let joined = trireme_raft::join(&folder, member, &seeds, &cluster.settings).await.unwrap();
    assert_eq!((joined.incarnation, joined.node_id), (identity.incarnation, 5));
    support::wait_closed(&folder).await;
    let second = Node::open(&folder, cluster.settings.clone()).await.unwrap();
    tokio::spawn(second.serve(listener, second.routes()));
    store.propose(support::create("after")).await.unwrap();
    support::wait_for("the second node is equal", || async {
        let (one, two) = (store.view(), second.store().view());
        let whole = second.store().history_extent().gap.is_none();
        if one == two && whole { Ok(()) } else { Err(format!("{:?}, whole: {whole}", two.position())) }
    })
    .await;
    assert!(second.verify().await.unwrap().is_sound());
    first.halt().await;
    second.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_history_the_state_alone_comes_back() {
    let cluster = TestCluster::start(1, support::settings()).await;
    write(&cluster, 0, 150).await;
    let node = cluster.nodes[&1].clone();
    let file = cluster.place.path().join("b");
    let summary = back_up(&node, &file, false).await.unwrap();
    assert_eq!((summary.records, summary.first()), (0, Sequence::new(151)));
    let place = cluster.place.path().join("restored");
    let (first, listener) = restored(&file, &place, &cluster.settings).await;
    let store = first.store();
    store.read().await.unwrap();
    assert_eq!(state_hash(&store.state_at(Sequence::new(150)).await.unwrap()), summary.state_hash);
    assert!(matches!(store.records(Sequence::new(1), 1).await, Err(Error::Trimmed { .. })));
    assert_eq!(store.view().trimmed(), Sequence::new(150), "who joins does not look for what is gone");
    tokio::spawn(first.serve(listener, first.routes()));
    first.halt().await;
    drop(first);
    support::wait_closed(&Folder::new(&place)).await;
    let report = verify::folder(&Folder::new(&place)).unwrap();
    assert_eq!(report.problems, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_history_comes_back_from_its_checkpoint() {
    let cluster = TestCluster::start(1, support::settings()).await;
    let node = cluster.nodes[&1].clone();
    let retention = Proposal {
        actor: Actor::Operator,
        request_id: RequestId::from_bits(1),
        key: None,
        command: Command::SetRetention { events: Some(1_000), millis: None },
    };
    cluster.propose(1, retention).await.unwrap();
    write(&cluster, 0, 1_500).await;
    node.raft().trigger().snapshot().await.unwrap();
    support::wait_for("a checkpoint", || async {
        if node.store().checkpoints().is_empty() { Err("none".to_owned()) } else { Ok(()) }
    })
    .await;
    write(&cluster, 1_500, 2_500).await;
    let start = support::wait_for("the history is trimmed", || async {
        match node.store().history_extent().start.sequence {
            start if start > Sequence::default() => Ok(start),
            _ => Err(format!("{:?}", node.store().checkpoints())),
        }
    })
    .await;
    let file = cluster.place.path().join("b");
    let summary = back_up(&node, &file, true).await.unwrap();
    assert!(summary.history_start.sequence >= start);
    assert_eq!(check(&file).unwrap(), summary);
    let place = cluster.place.path().join("restored");
    let (first, _listener) = restored(&file, &place, &cluster.settings).await;
    let middle = Sequence::new(summary.position.sequence.get() - 500);
    let (one, two) = (first.store().state_at(middle).await, node.store().state_at(middle).await);
    assert_eq!(one.unwrap(), two.unwrap());
    first.halt().await;
}

/// The folder is as it was: not there.
async fn refused(file: &Path, to: PathBuf, settings: &Settings, says: &str) {
    let member = support::member("127.0.0.1:1", 1);
    let error = restore(&Folder::new(&to), file, member, None, settings, |_| Ok(())).await.unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
    assert!(!to.join("identity").exists() && !to.join("db").exists(), "something is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_cut_short_foreign_or_too_new_is_refused() {
    let seed =
        std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u32>);
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(u64::from(seed));
    let cluster = TestCluster::start(1, support::settings()).await;
    write(&cluster, 0, 100).await;
    let (file, bad) = (cluster.place.path().join("b"), cluster.place.path().join("bad"));
    back_up(&cluster.nodes[&1], &file, true).await.unwrap();
    let whole = fs::read(&file).unwrap();
    for _ in 0..40 {
        let mut bytes = whole.clone();
        let at = random.random_range(0..bytes.len());
        if random.random_range(0..4) == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        fs::write(&bad, &bytes).unwrap();
        let error = check(&bad).expect_err(&format!("SEED={seed}: byte {at}"));
        assert!(matches!(error, Error::Backup { .. }), "{error}");
        refused(&bad, cluster.place.path().join("to"), &cluster.settings, "cannot be used").await;
    }
    for (text, says) in [
        ("TRIREME BACKUP 7\nand so on and so forth", "newer"),
        ("-----BEGIN something else-----", "not a backup"),
    ] {
        fs::write(&bad, text).unwrap();
        refused(&bad, cluster.place.path().join("to"), &cluster.settings, says).await;
    }
    let member = || support::member("127.0.0.1:1", 1);
    let to = Folder::new(cluster.place.path().join("to"));
    let no = restore(&to, &file, member(), None, &cluster.settings, |_| Err("not mine".to_owned())).await;
    assert!(no.unwrap_err().to_string().contains("not mine"));
    let low = restore(&to, &file, member(), Some(1), &cluster.settings, |_| Ok(())).await;
    assert!(low.unwrap_err().to_string().contains("must be higher"));
    let taken = Folder::new(cluster.folder(1));
    let taken = restore(&taken, &file, member(), None, &cluster.settings, |_| Ok(())).await;
    assert!(matches!(taken, Err(Error::AlreadyInitialised { .. })));
    let again = restore(&to, &file, member(), Some(7), &cluster.settings, |_| Ok(())).await.unwrap();
    assert_eq!(again.identity.incarnation, 7);
}
