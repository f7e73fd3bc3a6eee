//! A lost quorum: the cluster lives on from one node's log, and the others are fenced.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use openraft::async_runtime::WatchReceiver;
use support::TestCluster;
use tokio::net::TcpListener;
use trireme_raft::recover::{self, Living};
use trireme_raft::storage::{Family, Op};
use trireme_raft::{Error, Folder, Identity, Node, Settings, verify};
use trireme_rpc::control::control_client::ControlClient;
use trireme_rpc::{control, convert};
use trireme_state::Event;
use trireme_state::object::RestoreSource;
use trireme_state::store::Store;
use trireme_types::Sequence;

async fn bind(address: &str) -> TcpListener {
    support::wait_for("the port is free", || async {
        TcpListener::bind(address).await.map_err(|error| error.to_string())
    })
    .await
}

/// What a node says to a read by someone who believes in this incarnation.
async fn ask(address: &str, identity: Identity, incarnation: u64) -> Result<(), tonic::Status> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = ControlClient::new(channel.connect().await.unwrap());
    let cluster_id = convert::life_to_bytes(identity.cluster, incarnation);
    client.read_index(control::ReadIndexRequest { cluster_id }).await.map(drop)
}

/// Kills all three, the leader last, and gives who it was.
async fn lose_all(cluster: &mut TestCluster) -> u64 {
    let leader = cluster.leader().await;
    for id in [1, 2, 3] {
        if id != leader {
            cluster.kill(id).await;
        }
    }
    cluster.kill(leader).await;
    leader
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_lives_on_from_one_log_and_the_others_are_fenced() {
    let mut cluster = TestCluster::start(3, support::settings()).await;
    let leader = cluster.leader().await;
    for number in 0..120 {
        cluster.made(leader, &format!("c{number}")).await;
    }
    let survivor = lose_all(&mut cluster).await;
    let folder = Folder::new(cluster.folder(survivor));
    let before = recover::look(&folder).unwrap();
    assert!(before.report.is_sound());
    assert_eq!((before.members.len(), before.begun), (3, None));
    let began = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let recovered = recover::force(&folder, &cluster.settings, Living::Heeded).await.unwrap();
    let (later, own) = (recovered.identity.incarnation, recovered.identity.node_id);
    assert!(later >= began && own == survivor, "{later} is not of now");
    assert_eq!(recovered.from.last_index(), before.last_index());
    support::wait_closed(&folder).await;
    assert_eq!(verify::folder(&folder).unwrap().problems, []);

    let listener = bind(&cluster.address(survivor)).await;
    let node = Node::open(&folder, cluster.settings.clone()).await.unwrap();
    tokio::spawn(node.serve(listener, node.routes()));
    let state = node.store().read().await.unwrap();
    for number in 0..120 {
        assert!(state.cluster(&support::cluster_key(&format!("c{number}"))).is_some(), "c{number} is lost");
    }
    let all = node.store().records(Sequence::new(1), 1_000).await.unwrap();
    let told = all.iter().filter_map(|record| match &record.event {
        Event::ClusterRestored { incarnation, source } => Some((*incarnation, *source)),
        _ => None,
    });
    let told = told.collect::<Vec<_>>();
    assert!(
        matches!(told[..], [(incarnation, RestoreSource::Survivor { node_id, log_index, .. })]
            if incarnation == later && node_id == survivor && log_index == before.last_index()),
        "{told:?}"
    );

    fenced(&mut cluster, &node, survivor).await;
    joined_anew(&cluster, &node, survivor).await;
    node.halt().await;
}

/// An old member hears of the new incarnation, stops, and does not start again. Neither answers the other.
async fn fenced(cluster: &mut TestCluster, node: &Node, survivor: u64) {
    let identity = node.identity();
    let lives_on = format!("lives on as incarnation {}", identity.incarnation);
    let old: Vec<u64> = [1, 2, 3].into_iter().filter(|id| *id != survivor).collect();
    // Two of three: they would make a quorum of their own.
    for id in &old {
        cluster.restart(*id).await;
    }
    let refused = ask(&cluster.address(survivor), identity, 1).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains(&lives_on), "{}", refused.message());
    for id in &old {
        let stopped = tokio::time::timeout(support::LIMIT, cluster.nodes[id].fatal()).await;
        let reason = stopped.expect("it stops").to_string();
        assert!(reason.contains(&lives_on), "node {id}: {reason}");
    }
    for id in &old {
        cluster.kill(*id).await;
        let error = cluster.open(*id).await.err().expect("it stays fenced");
        assert!(matches!(error, Error::Fenced { own: 1, later } if later == identity.incarnation), "{error}");
        let recovery = recover::look(&Folder::new(cluster.folder(*id))).unwrap();
        assert!(!recovery.report.is_sound(), "nobody recovers from what is given up");
    }
    node.store().propose(support::create("goes-on")).await.unwrap();
}

async fn joined_anew(cluster: &TestCluster, node: &Node, survivor: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let member = support::member(&listener.local_addr().unwrap().to_string(), 2);
    let folder = Folder::new(cluster.place.path().join("anew"));
    let seeds = [cluster.address(survivor)];
    let identity = trireme_raft::join(&folder, member, &seeds, &cluster.settings).await.unwrap();
    assert_eq!(
        (identity.incarnation, identity.node_id),
        (node.identity().incarnation, 4),
        "no id is given twice"
    );
    support::wait_closed(&folder).await;
    let second = Node::open(&folder, cluster.settings.clone()).await.unwrap();
    tokio::spawn(second.serve(listener, second.routes()));
    support::wait_for("the nodes are equal", || async {
        let (one, two) = (node.store().view(), second.store().view());
        if one == two { Ok(()) } else { Err(format!("{:?}", two.position())) }
    })
    .await;
    // A node of the later incarnation is refused by one of the earlier, and the other way round.
    let address = &cluster.address(survivor);
    assert_eq!(
        ask(address, identity, identity.incarnation + 1).await.unwrap_err().code(),
        tonic::Code::FailedPrecondition
    );
    second.halt().await;
}

/// Nothing is done, and the reason says so.
async fn refused(cluster: &TestCluster, id: u64, says: &[&str]) {
    let folder = Folder::new(cluster.folder(id));
    let error = recover::force(&folder, &cluster.settings, Living::Heeded).await.unwrap_err().to_string();
    for part in says {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    assert_eq!(folder.identity().unwrap().unwrap().incarnation, 1, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_that_answers_is_not_lost() {
    let mut cluster = TestCluster::start(3, support::settings()).await;
    let one = cluster.follower().await;
    cluster.kill(one).await;
    refused(&cluster, one, &["they are a quorum", "a quorum hears it"]).await;
    cluster.restart(one).await;
    cluster.wait_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_that_the_node_itself_completes_is_not_lost() {
    let mut cluster = TestCluster::start(3, support::settings()).await;
    let leader = cluster.leader().await;
    let (dead, stopped) = (leader, cluster.follower().await);
    cluster.propose(leader, support::create("one")).await.unwrap();
    cluster.wait_equal().await;
    cluster.kill(stopped).await;
    cluster.kill(dead).await;
    refused(&cluster, stopped, &["with this one, once it is started, they are a quorum"]).await;
    cluster.restart(stopped).await;
    cluster.leader().await;
    cluster.wait_equal().await;

    // Who insists gives up the one that lives.
    cluster.kill(stopped).await;
    let folder = Folder::new(cluster.folder(stopped));
    let recovered = recover::force(&folder, &cluster.settings, Living::GivenUp).await.unwrap();
    assert_eq!(recovered.alive, cluster.nodes.keys().copied().collect::<Vec<_>>());
    assert!(!recovered.against.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_left_behind_finds_the_cluster_that_lives_without_it() {
    let mut cluster = TestCluster::start(3, support::settings()).await;
    let away = cluster.follower().await;
    cluster.kill(away).await;
    // Of those whom it knows only one is left in the end.
    cluster.leave(away).await;
    cluster.join().await;
    cluster.join().await;
    cluster.wait_voters(4).await;
    let leader = cluster.leader().await;
    let gone = [1, 2, 3].into_iter().find(|id| ![leader, away].contains(id)).unwrap();
    cluster.leave(gone).await;
    cluster.kill(gone).await;
    let before = recover::look(&Folder::new(cluster.folder(away))).unwrap();
    let known: Vec<u64> = before.members.iter().map(|(id, ..)| *id).collect();
    assert_eq!(known, [1, 2, 3], "it knows the old ones");
    refused(&cluster, away, &[&format!("knows the cluster without node {away}"), "a quorum hears it"]).await;
}

/// As a recovery leaves it that dies before its last step: the database is of the later incarnation, the node is not.
async fn cut_short(cluster: &TestCluster, id: u64) -> u64 {
    let path = cluster.folder(id);
    let identity = std::fs::read(path.join("identity")).unwrap();
    let folder = Folder::new(&path);
    let recovered = recover::force(&folder, &cluster.settings, Living::Heeded).await.unwrap();
    support::wait_closed(&folder).await;
    std::fs::write(path.join("identity"), identity).unwrap();
    recovered.identity.incarnation
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_was_cut_short_is_repeated_with_what_was_known_before_it() {
    let mut cluster = TestCluster::start(3, support::settings()).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, support::create("one")).await.unwrap();
    let survivor = lose_all(&mut cluster).await;
    let folder = Folder::new(cluster.folder(survivor));
    let before = recover::look(&folder).unwrap();
    let begun = cut_short(&cluster, survivor).await;
    assert!(Node::open(&folder, cluster.settings.clone()).await.is_err(), "until then it is no node's");
    let again = recover::look(&folder).unwrap();
    assert_eq!((again.begun, again.identity), (Some(begun), before.identity));
    assert_eq!(
        (again.last, again.committed, again.position),
        (before.last, before.committed, before.position)
    );
    assert_eq!(again.members, before.members, "not alone, as it is in its own eyes by now");

    // Meanwhile the others came back.
    let others: Vec<u64> = [1, 2, 3].into_iter().filter(|id| *id != survivor).collect();
    for id in &others {
        cluster.restart(*id).await;
    }
    cluster.leader().await;
    refused(&cluster, survivor, &["they are a quorum", "join anew"]).await;
    for id in others {
        cluster.kill(id).await;
    }
    let recovered = recover::force(&folder, &cluster.settings, Living::Heeded).await;
    let recovered = recovered.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(recovered.identity.incarnation, begun);
    support::wait_closed(&folder).await;
    let node = Node::open(&folder, cluster.settings.clone()).await.unwrap();
    assert!(node.store().read().await.unwrap().cluster(&support::cluster_key("one")).is_some());
    let all = node.store().records(Sequence::new(1), 1_000).await.unwrap();
    let told = all.iter().filter_map(|record| match &record.event {
        Event::ClusterRestored { source: RestoreSource::Survivor { log_index, .. }, .. } => Some(*log_index),
        _ => None,
    });
    let told: Vec<u64> = told.collect();
    assert!(!told.is_empty() && told.iter().all(|index| *index == before.last_index()), "{told:?}");
    node.halt().await;
}

/// A log as it is stored.
type Stored = Vec<(Vec<u8>, bytes::Bytes)>;

fn stored(folder: &Folder) -> Stored {
    let storage = folder.open(folder.require_identity().unwrap()).unwrap();
    let mut found = Vec::new();
    let take = &mut |key: &[u8], value| {
        found.push((key.to_vec(), value));
        Ok(true)
    };
    storage.kv.scan(Family::Log, &[], &[0xff; 9], take).unwrap();
    storage.kv.close();
    found
}

/// As a power cut leaves it right after a snapshot was installed: the snapshot is durable, the purge of the log before it is not.
fn unpurged(folder: &Folder, log: Stored, mark: &[u8]) {
    let storage = folder.open(folder.require_identity().unwrap()).unwrap();
    let mut ops = vec![Op::DeleteRange(Family::Log, vec![], vec![0xff; 9])];
    ops.extend(["purged", "committed"].map(|key| Op::Delete(Family::Meta, key.as_bytes().to_vec())));
    ops.extend(log.into_iter().map(|(key, value)| Op::Put(Family::Log, key, value)));
    storage.kv.write(ops).unwrap();
    storage.kv.sync().unwrap();
    storage.kv.close();
    std::fs::write(folder.path().join("durable"), mark).unwrap();
}

/// A cluster of which one node was away and got a snapshot, and all of which is lost by now; that node, and its log and mark
/// from before.
async fn lost_after_a_snapshot() -> (TestCluster, u64, Stored, Vec<u8>) {
    let few = Settings { snapshot_after: 20, keep_entries: 5, ..support::settings() };
    let mut cluster = TestCluster::start(3, few).await;
    let away = cluster.follower().await;
    cluster.kill(away).await;
    let folder = Folder::new(cluster.folder(away));
    let (log, mark) = (stored(&folder), std::fs::read(folder.path().join("durable")).unwrap());
    let leader = cluster.leader().await;
    for number in 0..100 {
        cluster.made(leader, &format!("c{number}")).await;
    }
    let leader = cluster.leader().await;
    let raft = cluster.nodes[&leader].raft().clone();
    support::wait_for("a snapshot of all, and a log without most of it", || async {
        raft.trigger().snapshot().await.map_err(|error| error.to_string())?;
        let metrics = raft.metrics().borrow_watched().clone();
        let (snapshot, purged) = (metrics.snapshot.map(|id| id.index), metrics.purged.map(|id| id.index));
        let whole = snapshot == metrics.last_log_index && purged.is_some_and(|index| index > 40);
        if whole { Ok(()) } else { Err(format!("{snapshot:?}, {purged:?}, {:?}", metrics.last_log_index)) }
    })
    .await;
    cluster.restart(away).await;
    cluster.wait_equal().await;
    assert!(cluster.nodes[&away].store().applied().resets > 0, "it was brought up by a snapshot");
    for id in [1, 2, 3] {
        cluster.kill(id).await;
    }
    (cluster, away, log, mark)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_reaches_beyond_the_log_is_what_the_cluster_lives_on_from() {
    let (cluster, away, log, mark) = lost_after_a_snapshot().await;
    let folder = Folder::new(cluster.folder(away));
    let log_end = u64::from_be_bytes(log.last().unwrap().0.clone().try_into().unwrap());
    unpurged(&folder, log, &mark);
    let before = recover::look(&folder).unwrap();
    assert_eq!(before.report.problems, []);
    assert!(before.last_index() >= 100 && before.last_index() > log_end, "{before:?}");
    assert_eq!(before.committed, before.last);
    recover::force(&folder, &cluster.settings, Living::Heeded).await.unwrap();
    support::wait_closed(&folder).await;
    assert_eq!(verify::folder(&folder).unwrap().problems, []);
    let node = Node::open(&folder, cluster.settings.clone()).await.unwrap();
    let state = node.store().read().await.unwrap();
    assert!((0..100).all(|number| state.cluster(&support::cluster_key(&format!("c{number}"))).is_some()));
    node.store().propose(support::create("goes-on")).await.unwrap();
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_node_is_not_recovered_from() {
    let mut cluster = TestCluster::start(1, support::settings()).await;
    cluster.propose(1, support::create("one")).await.unwrap();
    cluster.kill(1).await;
    let folder = Folder::new(cluster.folder(1));
    let mark: &Path = &cluster.folder(1).join("durable");
    std::fs::write(mark, b"junk").unwrap();
    let error = recover::force(&folder, &cluster.settings, Living::Heeded).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(folder.identity().unwrap().unwrap().incarnation, 1, "nothing was changed");
}
