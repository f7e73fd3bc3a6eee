//! A connection that stands still, as over a link that loses packets, holds up no write: the entries go over another one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use support::links::Links;
use support::{TestCluster, create_once};
use trireme_raft::Settings;
use trireme_state::store::Store;

/// A connection that is not answered is given up after two seconds, by Raft and by HTTP/2: it was not that.
const SOONER: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
async fn entries_go_over_another_connection_when_the_first_stands_still() {
    // Nobody stands for election meanwhile.
    let settings = Settings {
        heartbeat_limit: Duration::from_millis(200),
        election_min: Duration::from_secs(4),
        election_max: Duration::from_secs(5),
        ..Settings::default()
    };
    let links = Links::new(&settings);
    let cluster = TestCluster::start_over(3, settings, Some(links.clone())).await;
    let leader = cluster.leader().await;
    let store = cluster.nodes[&leader].store();
    store.propose(create_once("before")).await.unwrap();
    links.stand_still();
    let written = tokio::time::timeout(SOONER, store.propose(create_once("still"))).await;
    written.expect("it does not wait for the connection to be given up").unwrap();
    assert_eq!(cluster.leader().await, leader, "no other was elected");
}
