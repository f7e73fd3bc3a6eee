//! A lost quorum: the cluster lives on from one node's log, and the others are fenced.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use support::TestCluster;
use tokio::net::TcpListener;
use trireme_raft::{Error, Folder, Identity, Node, recover, verify};
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
        cluster.propose(leader, support::create(&format!("c{number}"))).await.unwrap();
    }
    let survivor = lose_all(&mut cluster).await;
    let folder = Folder::new(cluster.folder(survivor));
    let before = recover::look(&folder).unwrap();
    assert!(before.report.is_sound());
    assert_eq!((before.members.len(), before.begun), (3, None));
    let recovered = recover::force(&folder, &cluster.settings).await.unwrap();
    assert_eq!((recovered.identity.incarnation, recovered.identity.node_id), (2, survivor));
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
        matches!(told[..], [(2, RestoreSource::Survivor { node_id, log_index, .. })]
            if node_id == survivor && log_index == before.last_index()),
        "{told:?}"
    );

    fenced(&mut cluster, &node, survivor).await;
    joined_anew(&cluster, &node, survivor).await;
    node.halt().await;
}

/// An old member hears of the new incarnation, stops, and does not start again. Neither answers the other.
async fn fenced(cluster: &mut TestCluster, node: &Node, survivor: u64) {
    let identity = node.identity();
    let old: Vec<u64> = [1, 2, 3].into_iter().filter(|id| *id != survivor).collect();
    // Two of three: they would make a quorum of their own.
    for id in &old {
        cluster.restart(*id).await;
    }
    let refused = ask(&cluster.address(survivor), identity, 1).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("lives on as incarnation 2"), "{}", refused.message());
    for id in &old {
        let stopped = tokio::time::timeout(support::LIMIT, cluster.nodes[id].fatal()).await;
        let reason = stopped.expect("it stops").to_string();
        assert!(reason.contains("lives on as incarnation 2"), "node {id}: {reason}");
    }
    for id in &old {
        cluster.kill(*id).await;
        let error = cluster.open(*id).await.err().expect("it stays fenced");
        assert!(matches!(error, Error::Fenced { own: 1, later: 2 }), "{error}");
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
    assert_eq!((identity.incarnation, identity.node_id), (2, 4), "no id is given twice");
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
    assert_eq!(ask(address, identity, 3).await.unwrap_err().code(), tonic::Code::FailedPrecondition);
    second.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_that_answers_is_not_lost() {
    let mut cluster = TestCluster::start(3, support::settings()).await;
    let one = cluster.follower().await;
    cluster.kill(one).await;
    let error = recover::force(&Folder::new(cluster.folder(one)), &cluster.settings).await.unwrap_err();
    assert!(error.to_string().contains("they are a quorum"), "{error}");
    cluster.restart(one).await;
    cluster.wait_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_was_cut_short_is_repeated() {
    let mut cluster = TestCluster::start(3, support::settings()).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, support::create("one")).await.unwrap();
    let survivor = lose_all(&mut cluster).await;
    let path = cluster.folder(survivor);
    let folder = Folder::new(&path);
    let identity = std::fs::read(path.join("identity")).unwrap();
    recover::force(&folder, &cluster.settings).await.unwrap();
    support::wait_closed(&folder).await;
    // As if it had died before the last step.
    std::fs::write(path.join("identity"), identity).unwrap();
    assert!(Node::open(&folder, cluster.settings.clone()).await.is_err(), "until then it is no node's");
    assert_eq!(recover::look(&folder).unwrap().begun, Some(2));
    recover::force(&folder, &cluster.settings).await.unwrap_or_else(|error| panic!("{error}"));
    support::wait_closed(&folder).await;
    let node = Node::open(&folder, cluster.settings.clone()).await.unwrap();
    assert!(node.store().read().await.unwrap().cluster(&support::cluster_key("one")).is_some());
    assert_eq!(node.identity().incarnation, 2);
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
    let error = recover::force(&folder, &cluster.settings).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(folder.identity().unwrap().unwrap().incarnation, 1, "nothing was changed");
}
