//! A leader makes itself heard more often than it gives up on an answer, and says when no quorum answers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::*;
use trireme_raft::Settings;
use trireme_rpc::control::MemberStatus;

/// What the nodes log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn hold(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// openraft itself sends one heartbeat in each `heartbeat_limit`: six in all the time that this test gives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_leader_is_heard_more_often_than_it_gives_up_on_an_answer() {
    let settings = Settings {
        heartbeat: Duration::from_millis(20),
        heartbeat_limit: Duration::from_millis(1500),
        election_min: Duration::from_millis(2000),
        election_max: Duration::from_millis(2500),
        ..settings()
    };
    let limit = settings.heartbeat_limit * 6;
    let cluster = TestCluster::start(3, settings).await;
    cluster.wait_equal().await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let seen = Mutex::new((0, 0));
    trireme_testkit::wait_for("forty heartbeats are answered", limit, || async {
        let status = cluster.nodes[&leader].status();
        let is_follower = |one: &&MemberStatus| one.member.as_ref().is_some_and(|m| m.id == follower);
        let member = status.members.iter().find(is_follower).unwrap();
        let ago = member.heard_millis_ago.ok_or("never heard")?;
        let (answers, last) = &mut *seen.lock().unwrap();
        // The two clocks of one answer are read one after the other: a little later is the same answer.
        if status.now_millis - ago > *last + 10 {
            (*answers, *last) = (*answers + 1, status.now_millis - ago);
        }
        if *answers >= 40 { Ok(()) } else { Err(format!("{answers} answers")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_no_quorum_answers_says_so() {
    const SAID: &str = "no quorum answers this leader";
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).init();
    let mut cluster = TestCluster::start(3, settings()).await;
    let leader = cluster.leader().await;
    assert!(!lines.hold(SAID), "while both others answer there is nothing to say");
    let others: Vec<u64> = cluster.nodes.keys().copied().filter(|id| *id != leader).collect();
    for id in others {
        cluster.kill(id).await;
    }
    wait_for("it is said", || async {
        if lines.hold(SAID) { Ok(()) } else { Err("nothing yet".to_owned()) }
    })
    .await;
}
