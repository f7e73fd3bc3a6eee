//! How many commits a second three nodes in one process make, with real RocksDB and syncs: `cargo bench -p trireme-raft`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use support::{TestCluster, create, settings};
use tokio::time::Instant;
use trireme_state::store::Store;

#[tokio::main]
async fn main() {
    let cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    for (name, node) in [("leader", leader), ("follower", follower)] {
        for clients in [1u32, 64, 256] {
            let end = Instant::now() + Duration::from_secs(4);
            let tasks = (0..clients).map(|client| {
                let store = cluster.nodes[&node].store();
                tokio::spawn(async move {
                    let mut count = 0u64;
                    let mut took = Vec::new();
                    while Instant::now() < end {
                        let started = Instant::now();
                        store.propose(create(&format!("{node}-{clients}-{client}-{count}"))).await.unwrap();
                        took.push(started.elapsed());
                        count += 1;
                    }
                    took
                })
            });
            let mut took = Vec::new();
            for task in tasks.collect::<Vec<_>>() {
                took.extend(task.await.unwrap());
            }
            took.sort_unstable();
            let (rate, middle, worst) = (took.len() / 4, took[took.len() / 2], took[took.len() * 99 / 100]);
            println!("via {name}, {clients} clients: {rate} commits/s, median {middle:?}, 99 % {worst:?}");
        }
    }
}
