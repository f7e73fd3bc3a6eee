//! Three nodes in one process, over real gRPC and real RocksDB.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use support::{TestCluster, cluster_key, create, create_once, delete, settings, wait_for};
use trireme_raft::Settings;
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Command, Rejection};
use trireme_types::Sequence;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proposed_is_committed_applied_and_answered() {
    let cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    let committed = cluster.propose(leader, create("one")).await.unwrap();
    assert_eq!(committed.sequence, Sequence::new(1));
    let view = cluster.nodes[&leader].store().view();
    assert!(view.cluster(&cluster_key("one")).is_some());
    cluster.wait_equal().await;
}

/// Many commands wait together, and one Raft entry has no room for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_one_entry_goes_into_the_next() {
    let cluster = TestCluster::start(3, settings()).await;
    let store = cluster.nodes[&cluster.leader().await].store();
    let proposed = (0..80).map(|number| {
        let mut proposal = create(&format!("large{number}"));
        let Command::CreateCluster { tags, .. } = &mut proposal.command else { panic!("not a cluster") };
        *tags = (0..50).map(|tag| (format!("key{tag}"), "v".repeat(900 + number))).collect();
        store.propose(proposal)
    });
    let sequences: BTreeSet<Sequence> = futures_util::future::join_all(proposed)
        .await
        .into_iter()
        .map(|done| done.unwrap().sequence)
        .collect();
    assert_eq!(sequences.len(), 80);
    cluster.wait_equal().await;
    let view = store.view();
    assert!((0..80).all(|number| view.cluster(&cluster_key(&format!("large{number}"))).is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_forwards_and_reads_its_own_writes() {
    let cluster = TestCluster::start(3, settings()).await;
    let follower = cluster.follower().await;
    for number in 0..20 {
        let name = format!("c{number}");
        cluster.made(follower, &name).await;
        let view = cluster.nodes[&follower].store().view();
        assert!(view.cluster(&cluster_key(&name)).is_some());
        for node in cluster.nodes.values() {
            let read = node.store().read().await.unwrap();
            assert!(read.cluster(&cluster_key(&name)).is_some());
        }
    }
    let rejected = cluster.propose(follower, delete("none")).await;
    assert_eq!(rejected, Err(ProposeError::Rejected(Rejection::ClusterNotFound)));
    let repeated = cluster.propose(follower, create("c1")).await.unwrap();
    assert_eq!(repeated.sequence, Sequence::new(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_survives_the_leaders_death() {
    let mut cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let store = cluster.nodes[&follower].store();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        let mut longest = Duration::ZERO;
        let mut last = tokio::time::Instant::now();
        for number in 0.. {
            if *stopped.borrow() {
                break;
            }
            let name = format!("c{number}");
            if store.propose(create(&name)).await.is_ok() {
                acknowledged.push(name);
                longest = longest.max(last.elapsed());
                last = tokio::time::Instant::now();
            }
        }
        (acknowledged, longest)
    });
    let before = cluster.nodes[&follower].store().view().position().sequence.get();
    cluster.kill(leader).await;
    wait_for("writes go on", || async {
        let now = cluster.nodes[&follower].store().view().position().sequence.get();
        if now > before + 50 { Ok(()) } else { Err(format!("{before} then {now}")) }
    })
    .await;
    stop.send_replace(true);
    let (acknowledged, longest) = writer.await.unwrap();
    println!("{} writes acknowledged, longest gap {longest:?}", acknowledged.len());
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    cluster.restart(leader).await;
    cluster.wait_equal().await;
    for node in cluster.nodes.values() {
        let view = node.store().view();
        for name in &acknowledged {
            assert!(view.cluster(&cluster_key(name)).is_some(), "{name} is lost");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_restarts_from_disk_with_its_history() {
    let mut cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    for number in 0..30 {
        cluster.made(leader, &format!("c{number}")).await;
    }
    let before = cluster.nodes[&leader].store().view();
    let ids: Vec<u64> = cluster.nodes.keys().copied().collect();
    for id in &ids {
        cluster.kill(*id).await;
    }
    for id in &ids {
        cluster.restart(*id).await;
    }
    let leader = cluster.leader().await;
    cluster.wait_equal().await;
    assert_eq!(cluster.nodes[&leader].store().view(), before);
    for node in cluster.nodes.values() {
        let records = node.store().history(Sequence::new(1), 100).await.unwrap();
        assert_eq!(records.len(), 30);
        assert_eq!(records.last().unwrap().hash, before.position().hash);
    }
    cluster.propose(leader, create("after")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lags_too_far_gets_a_snapshot_and_then_the_history() {
    let few = Settings { snapshot_after: 20, keep_entries: 5, ..settings() };
    let mut cluster = TestCluster::start(3, few).await;
    let follower = cluster.follower().await;
    cluster.propose(follower, create("first")).await.unwrap();
    cluster.wait_equal().await;
    cluster.kill(follower).await;
    let leader = cluster.leader().await;
    for number in 0..120 {
        cluster.made(leader, &format!("c{number}")).await;
    }
    let leader = cluster.leader().await;
    wait_for("the log is purged", || async {
        let purged = cluster.nodes[&leader].raft().metrics().borrow_watched().purged;
        if purged.is_some_and(|id| id.index > 30) { Ok(()) } else { Err(format!("{purged:?}")) }
    })
    .await;
    cluster.restart(follower).await;
    cluster.wait_equal().await;
    let node = &cluster.nodes[&follower];
    assert!(node.store().applied().resets > 0, "it was brought up by a snapshot");
    // Older records come from a peer until they are here.
    let records = node.store().history(Sequence::new(1), 200).await.unwrap();
    assert_eq!(records.len(), 121);
    cluster.kill(leader).await;
    let node = &cluster.nodes[&follower];
    let records = node.store().history(Sequence::new(1), 200).await.unwrap();
    assert_eq!(records.last().unwrap().hash, node.store().view().position().hash);
    cluster.kill(follower).await;
    cluster.restart(follower).await;
    cluster.wait_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_taken_after_many_events_however_few_entries_hold_them() {
    let by_events = Settings { snapshot_after: 1_000_000, snapshot_events: 500, ..settings() };
    let cluster = TestCluster::start(1, by_events).await;
    let node = &cluster.nodes[&1];
    let covered = || node.raft().metrics().borrow_watched().snapshot.map_or(0, |id| id.index);
    let many = |from: usize| async move {
        let store = node.store();
        let proposals = (from..from + 600).map(|number| store.propose(create(&format!("c{number}"))));
        futures_util::future::join_all(proposals).await.into_iter().for_each(|done| drop(done.unwrap()));
    };
    many(0).await;
    wait_for("a snapshot", || async { if covered() > 0 { Ok(()) } else { Err("none".to_owned()) } }).await;
    let first = covered();
    many(600).await;
    wait_for("another one", || async {
        if covered() > first { Ok(()) } else { Err(format!("still that of entry {first}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_and_leave_while_it_runs() {
    let mut cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, create("one")).await.unwrap();
    let fourth = cluster.join().await;
    assert_eq!(fourth, 4);
    cluster.wait_voters(4).await;
    cluster.wait_equal().await;
    let follower = cluster.follower().await;
    cluster.nodes[&leader].leave(fourth).await.unwrap();
    cluster.kill(fourth).await;
    cluster.wait_voters(3).await;
    // Ids are never used twice.
    assert_eq!(cluster.join().await, 5);
    cluster.wait_voters(4).await;
    // A leader may leave too, and it is asked through another node.
    let leader = cluster.leader().await;
    cluster.nodes[&5].leave(leader).await.unwrap();
    cluster.kill(leader).await;
    cluster.wait_voters(3).await;
    let someone = *cluster.nodes.keys().next().unwrap();
    cluster.propose(someone, create("two")).await.unwrap();
    assert_ne!(follower, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_leaves_no_live_quorum_is_refused() {
    let mut cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = cluster.nodes.keys().copied().filter(|id| *id != leader).collect();
    cluster.kill(others[0]).await;
    wait_for("the leader misses it", || async {
        match cluster.nodes[&leader].leave(others[1]).await {
            Err(trireme_raft::Error::Refused { reason }) => Ok(reason),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    cluster.propose(leader, create("one")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_without_a_lost_write() {
    let cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    let store = cluster.nodes[&leader].store();
    let writes = tokio::spawn(async move {
        for number in 0..100 {
            store.propose(create_once(&format!("c{number}"))).await.unwrap();
        }
    });
    cluster.nodes[&leader].handover().await.unwrap();
    writes.await.unwrap();
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    cluster.wait_equal().await;
    assert_eq!(
        cluster.nodes[&next].store().view().position().sequence,
        Sequence::new(200),
        "each leaves its key too, once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_acknowledged_and_status_still_answers() {
    let quick =
        Settings { propose_limit: Duration::from_secs(1), call_limit: Duration::from_secs(1), ..settings() };
    let mut cluster = TestCluster::start(3, quick).await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = cluster.nodes.keys().copied().filter(|id| *id != leader).collect();
    for id in &others {
        cluster.kill(*id).await;
    }
    let refused = cluster.propose(leader, create("one")).await;
    assert!(
        matches!(refused, Err(ProposeError::Unknown { .. } | ProposeError::Unavailable { .. })),
        "{refused:?}"
    );
    assert!(cluster.nodes[&leader].store().read().await.is_err());
    let status = cluster.nodes[&leader].status();
    assert!(!status.has_quorum);
    assert_eq!(status.members.len(), 3);
    cluster.restart(others[0]).await;
    wait_for("writes go on", || async {
        cluster.propose(leader, create("two")).await.map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_node_is_refused() {
    let one = TestCluster::start(1, settings()).await;
    let two = TestCluster::start(1, settings()).await;
    let peers = one.nodes[&1].peers();
    let mut client = peers.control(&two.address(1)).unwrap();
    let request = trireme_rpc::control::ReadIndexRequest {
        cluster_id: trireme_rpc::convert::cluster_to_bytes(peers.cluster()),
    };
    let status = client.read_index(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert!(status.message().contains("belongs to cluster"), "{}", status.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_can_be_followed() {
    use futures_util::StreamExt;
    let cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, create("one")).await.unwrap();
    let follower = cluster.follower().await;
    let peers = cluster.nodes[&follower].peers();
    let mut client = peers.control(&cluster.address(follower)).unwrap();
    let request = trireme_rpc::control::HistoryRequest {
        cluster_id: trireme_rpc::convert::cluster_to_bytes(peers.cluster()),
        from_sequence: 1,
        limit: 0,
        follow: true,
    };
    let mut stream = client.history(request).await.unwrap().into_inner();
    for number in 2..20u64 {
        let record = tokio::time::timeout(support::LIMIT, stream.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(record.sequence, number - 1);
        cluster.made(leader, &format!("c{number}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_leave_at_once_are_judged_one_after_the_other() {
    let mut cluster = TestCluster::start(4, settings()).await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = cluster.nodes.keys().copied().filter(|id| *id != leader).collect();
    cluster.kill(others[0]).await;
    let node = cluster.nodes[&leader].clone();
    let (one, two) = tokio::join!(node.leave(others[1]), node.leave(others[2]));
    let left = [&one, &two].iter().filter(|result| result.is_ok()).count();
    assert_eq!(left, 1, "{one:?} {two:?}");
    cluster.propose(leader, create_once("after")).await.unwrap();
}

/// A cluster with a stopped follower that needs a snapshot; the leader; that follower.
async fn with_a_laggard() -> (TestCluster, u64, u64) {
    let few = Settings { snapshot_after: 20, keep_entries: 5, ..settings() };
    let mut cluster = TestCluster::start(3, few).await;
    let follower = cluster.follower().await;
    cluster.kill(follower).await;
    let leader = cluster.leader().await;
    for number in 0..100 {
        cluster.made(leader, &format!("c{number}")).await;
    }
    let leader = cluster.leader().await;
    wait_for("the log is purged", || async {
        let purged = cluster.nodes[&leader].raft().metrics().borrow_watched().purged;
        if purged.is_some_and(|id| id.index > 30) { Ok(()) } else { Err(format!("{purged:?}")) }
    })
    .await;
    (cluster, leader, follower)
}

fn snapshot_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(folder.join("snapshots")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "snapshot")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaders_damaged_snapshot_is_built_anew_and_hurts_nobody() {
    let (mut cluster, leader, follower) = with_a_laggard().await;
    for path in snapshot_files(&cluster.folder(leader)) {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    cluster.restart(follower).await;
    cluster.wait_equal().await;
    assert!(cluster.nodes[&follower].store().applied().resets > 0, "it was brought up by a snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_from_a_leader_is_refused_and_the_node_lives_on() {
    use trireme_rpc::raft;
    let (cluster, leader, _) = with_a_laggard().await;
    let target = *cluster.nodes.keys().find(|id| **id != leader).unwrap();
    let file = snapshot_files(&cluster.folder(leader)).pop().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let peers = cluster.nodes[&leader].peers();
    let cluster_id = trireme_rpc::convert::cluster_to_bytes(peers.cluster());
    let start = raft::SnapshotStart {
        route: Some(raft::Route { cluster_id, from: leader, to: target }),
        vote: Some(trireme_rpc::log::Vote {
            leader: Some(trireme_rpc::log::LeaderId { term: 99, node: leader }),
            committed: true,
        }),
        last: Some(trireme_rpc::log::LogId {
            leader: Some(trireme_rpc::log::LeaderId { term: 98, node: leader }),
            index: 5_000,
        }),
        membership: Some(Default::default()),
        length: bytes.len() as u64,
        crc32c: crc32c::crc32c(&bytes),
    };
    let parts = [raft::snapshot_part::Part::Start(start), raft::snapshot_part::Part::Chunk(bytes.into())];
    let parts = parts.map(|part| raft::SnapshotPart { part: Some(part) });
    let address = format!("http://{}", cluster.address(target));
    let mut client = raft::raft_client::RaftClient::connect(address).await.unwrap();
    let status = client.snapshot(futures_util::stream::iter(parts)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::DataLoss, "{status}");
    cluster.propose(target, create_once("after")).await.unwrap();
    cluster.wait_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_while_it_was_away_stops_and_says_why() {
    let mut cluster = TestCluster::start(3, settings()).await;
    let follower = cluster.follower().await;
    cluster.kill(follower).await;
    let leader = cluster.leader().await;
    wait_for("it is removed", || async {
        cluster.nodes[&leader].leave(follower).await.map_err(|error| error.to_string())
    })
    .await;
    cluster.restart(follower).await;
    let fatal = tokio::time::timeout(support::LIMIT, cluster.nodes[&follower].fatal()).await;
    let fatal = fatal.expect("it stops").to_string();
    assert!(fatal.contains("is no member of this cluster"), "{fatal}");
    cluster.propose(leader, create_once("after")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_was_cut_short_starts_anew() {
    let place = tempfile::tempdir().unwrap();
    let folder = trireme_raft::Folder::new(place.path().join("n"));
    let settings = settings();
    let member = support::member("127.0.0.1:1", 1);
    let cut =
        trireme_raft::init_with(&folder, member.clone(), &settings, async |node: &trireme_raft::Node| {
            node.store().propose(create("of-the-first-try")).await.unwrap();
            Err::<(), _>(trireme_raft::Error::Refused { reason: "cut short".to_owned() })
        });
    assert!(cut.await.is_err());
    let refused = trireme_raft::Node::open(&folder, settings.clone()).await;
    assert!(matches!(refused, Err(trireme_raft::Error::NotInitialised { .. })));
    trireme_raft::init(&folder, member, &settings).await.unwrap();
    let node = trireme_raft::Node::open(&folder, settings.clone()).await.unwrap();
    assert!(node.store().read().await.unwrap().cluster(&cluster_key("of-the-first-try")).is_none());
    node.halt().await;
}
