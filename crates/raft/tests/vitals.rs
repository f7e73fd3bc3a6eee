//! What the nodes tell each other of themselves, and what follows: nothing grows while a disk is nearly full, the feature level
//! rises when every node supports it, and a node with another state than the majority stops.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use prost::Message;
use support::*;
use trireme_raft::Error;
use trireme_raft::storage::memory::MemoryDisk;
use trireme_rpc::log;
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Event, FeatureLevel, Rejection, apply_event, codec, hash};
use trireme_types::Timestamp;

const MIB: u64 = 1024 * 1024;

/// One object more than there should be, with every checksum, the position and the state's hash right: what no log can repair.
fn change_snapshot(folder: &Path) {
    let path = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&path).unwrap();
    let length = u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let mut header = log::SnapshotHeader::decode(&bytes[12..12 + length]).unwrap();
    let mut state = codec::decode_snapshot(&bytes[16 + length..]).unwrap();
    let event = Event::ClusterCreated { cluster: cluster_key("never-created"), tags: Default::default() };
    apply_event(&mut state, Timestamp::from_millis(1), &event);
    let hash = hash::state_hash(&state);
    let state = codec::encode_snapshot(&state);
    header.state_hash = hash.0.to_vec().into();
    header.state_length = state.len() as u64;
    header.state_crc32c = crc32c::crc32c(&state);
    let header = header.encode_to_vec();
    let mut changed = bytes[..8].to_vec();
    changed.extend((header.len() as u32).to_be_bytes());
    changed.extend(&header);
    changed.extend(crc32c::crc32c(&header).to_be_bytes());
    changed.extend(state);
    std::fs::write(path, changed).unwrap();
}

fn is_disk_full(result: Result<impl std::fmt::Debug, ProposeError>) -> Result<(), String> {
    match result {
        Err(ProposeError::Rejected(Rejection::DiskFull { node: 3, free_mib: 900 })) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_voters_disk_is_nearly_full_nothing_grows_and_all_else_goes_on() {
    let cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, create("before")).await.unwrap();
    cluster.rooms.set(3, Some(900 * MIB));
    let names = std::cell::Cell::new(0);
    wait_for("growth is refused, with the node's name", || async {
        names.set(names.get() + 1);
        is_disk_full(cluster.propose(leader, create(&format!("more-{}", names.get()))).await)
    })
    .await;
    // Through another node, too; and what takes away is taken.
    let follower = cluster.follower().await;
    is_disk_full(cluster.propose(follower, create("through-another")).await).unwrap();
    cluster.propose(follower, delete("before")).await.unwrap();
    // A new leader knows as much after its own look.
    cluster.nodes[&leader].handover().await.unwrap();
    let next = cluster.leader().await;
    wait_for("the new leader refuses growth too", || async {
        names.set(names.get() + 1);
        is_disk_full(cluster.propose(next, create(&format!("more-{}", names.get()))).await)
    })
    .await;
    cluster.rooms.set(3, None);
    wait_for("there is room again", || async {
        cluster.propose(next, create("after")).await.map_err(|error| format!("{error:?}"))
    })
    .await;
}

#[tokio::test]
async fn the_room_of_a_real_folder_is_measured() {
    let place = tempfile::tempdir().unwrap();
    let free =
        trireme_raft::storage::Space::free(&trireme_raft::storage::disk::DiskSpace(place.path().to_owned()));
    let output = std::process::Command::new("df").args(["-B1", "--output=avail"]).arg(place.path()).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let told: u64 = text.lines().last().unwrap().trim().parse().unwrap();
    // Others write meanwhile.
    assert!(free.unwrap().abs_diff(told) < 1024 * MIB);
    let disk = MemoryDisk::new();
    disk.set_free(7);
    assert_eq!(trireme_raft::storage::Space::free(&disk).unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feature_level_rises_once_every_node_supports_it() {
    let (old, new) = (FeatureLevel::LATEST, FeatureLevel::new(FeatureLevel::LATEST.get() + 1));
    let mut cluster = TestCluster::start(3, settings()).await;
    let level = |cluster: &TestCluster, id: u64| cluster.nodes[&id].store().view().level();
    let at = |cluster: &TestCluster, wanted: FeatureLevel| {
        let levels: Vec<FeatureLevel> = (1..=3).map(|id| level(cluster, id)).collect();
        if levels == [wanted; 3] { Ok(()) } else { Err(format!("{levels:?}")) }
    };
    wait_for("every node is at this build's level", || async { at(&cluster, old) }).await;
    // A rolling upgrade: one node after the other.
    for id in 1..=3 {
        let leader = cluster.leader().await;
        assert_eq!(level(&cluster, leader), old, "before node {id} is upgraded");
        cluster.kill(id).await;
        cluster.supports.insert(id, new);
        cluster.restart(id).await;
        cluster.wait_voters(3).await;
    }
    wait_for("every node is at the new level", || async { at(&cluster, new) }).await;
    // An older binary neither joins nor starts any more, and says why.
    let refused = cluster.try_join(old).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused { reason } if reason.contains(&format!("at feature level {new}"))),
        "{refused}"
    );
    cluster.kill(2).await;
    cluster.supports.insert(2, old);
    match cluster.open(2).await {
        Err(Error::FeatureLevel { cluster, supported }) => assert_eq!((cluster, supported), (new, old)),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a binary that supports less has started"),
    }
    cluster.supports.insert(2, new);
    cluster.restart(2).await;
    cluster.wait_voters(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_holds_another_state_than_the_majority_stops() {
    let mut cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, create("same")).await.unwrap();
    cluster.wait_equal().await;
    let victim = cluster.follower().await;
    cluster.nodes[&victim].raft().trigger().snapshot().await.unwrap();
    wait_for("the victim has a snapshot", || async {
        let index = cluster.nodes[&victim].status().snapshot_index;
        if index > 0 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await;
    cluster.kill(victim).await;
    change_snapshot(&cluster.folder(victim).join("snapshots"));
    // Only the history tells, and those who ask it.
    let report = trireme_raft::verify::folder(&trireme_raft::Folder::new(cluster.folder(victim))).unwrap();
    let told =
        report.problems.iter().any(|problem| problem.reason.contains("a replay of the history comes to"));
    assert!(told, "{:?}", report.problems);
    cluster.restart(victim).await;
    for number in 0..1_100 {
        cluster.made(leader, &format!("c{number}")).await;
    }
    let node = cluster.nodes[&victim].clone();
    let fatal = tokio::time::timeout(LIMIT, node.fatal()).await.expect("the node must stop");
    assert!(fatal.to_string().contains("a majority of the voters has"), "{fatal}");
    // It does not come back with the same damage, and the others go on.
    drop(node);
    cluster.kill(victim).await;
    match cluster.open(victim).await {
        Err(Error::Differs { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a node that differs has started again"),
    }
    cluster.propose(leader, create("after")).await.unwrap();
}
