//! Three nodes in one process, over real gRPC and real RocksDB.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use support::{TestCluster, cluster_key, create, delete, settings, wait_for};
use trireme_raft::Settings;
use trireme_state::Rejection;
use trireme_state::store::{ProposeError, Store};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_forwards_and_reads_its_own_writes() {
    let cluster = TestCluster::start(3, settings()).await;
    let follower = cluster.follower().await;
    for number in 0..20 {
        let name = format!("c{number}");
        cluster.propose(follower, create(&name)).await.unwrap();
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
