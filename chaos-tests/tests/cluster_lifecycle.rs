//! The verbs of `trireme dev` at the same time, without a quorum, and when what they work on is broken.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use chaos_tests::processes;
use serde_json::Value;
use trireme_testkit::{DevCluster, Options, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

fn fake() -> DevCluster {
    DevCluster::start(Options::with(&["--runtime", "fake"])).unwrap()
}

fn living(cluster: &DevCluster, zone: &str) -> usize {
    processes::naming(&cluster.data().canonicalize().unwrap().join(zone)).len()
}

/// What a failed command said.
fn fails(cluster: &DevCluster, arguments: &[&str]) -> String {
    let Output { status, stderr, stdout } = cluster.trireme(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success(), "{arguments:?} succeeded: {}", String::from_utf8_lossy(&stdout));
    said
}

fn at_once(cluster: &DevCluster, verbs: &[&[&str]]) -> Vec<Output> {
    let start =
        |verb: &&[&str]| cluster.trireme(verb).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = verbs.iter().map(start).collect();
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_verbs_leave_no_process_behind() {
    let cluster = fake();
    let zone = ZONES[1];
    cluster.run(&["dev", "kill", zone]).unwrap();
    assert_eq!(living(&cluster, zone), 0);
    let start: &[&str] = &["dev", "start", zone];
    for output in at_once(&cluster, &[start; 4]) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(living(&cluster, zone), 2, "a control node and an agent");

    // Dead means dead, whatever the pid files say.
    for file in ["server.pid", "agent-1.pid"] {
        std::fs::remove_file(cluster.data().join(zone).join(file)).unwrap();
    }
    cluster.run(&["dev", "kill", zone]).unwrap();
    assert_eq!(living(&cluster, zone), 0);

    let kill: &[&str] = &["dev", "kill", zone];
    at_once(&cluster, &[start, kill, start, kill, start]);
    cluster.run(&["dev", "kill", zone]).unwrap();
    assert_eq!(living(&cluster, zone), 0);
    cluster.run(&["dev", "start", zone]).unwrap();
    assert_eq!(living(&cluster, zone), 2);

    the_foreground_tells_of_it(&cluster, zone).await;
    a_missing_service_ends_a_wait(&cluster);
}

async fn the_foreground_tells_of_it(cluster: &DevCluster, zone: &str) {
    let log = cluster.data().parent().unwrap().join("dev.log");
    let text = || std::fs::read_to_string(&log).unwrap();
    let before = text().len();
    cluster.run(&["dev", "kill", zone]).unwrap();
    wait_for("news of the zone's end", LIMIT, || async {
        let news = text()[before..].to_owned();
        let told = ["server", "agent-1"].iter().all(|role| news.contains(&format!("{zone}: {role} ended")));
        if told { Ok(()) } else { Err(news) }
    })
    .await;
    cluster.run(&["dev", "start", zone]).unwrap();
}

fn a_missing_service_ends_a_wait(cluster: &DevCluster) {
    let began = Instant::now();
    let said = fails(cluster, &["wait", "nosuch"]);
    assert!(said.contains("there is no service nosuch"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zones_come_back_without_a_quorum() {
    let cluster = fake();
    for zone in ZONES {
        cluster.run(&["dev", "kill", zone]).unwrap();
    }
    let began = Instant::now();
    let said = cluster.run(&["dev", "start", ZONES[0]]).unwrap();
    assert!(said.contains("up; no quorum yet: 1 of 3 control nodes answers"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let status = cluster.run(&["status"]).unwrap();
    assert!(status.contains("NO QUORUM") && status.contains("last known: "), "{status}");
    let said = cluster.run(&["dev", "start", ZONES[1]]).unwrap();
    assert!(!said.contains("no quorum"), "{said}");
    cluster.run(&["dev", "start", ZONES[2]]).unwrap();
    assert_eq!(cluster.status().unwrap()["quorum"], true);

    what_dies_at_the_start_is_not_up(&cluster);
}

fn what_dies_at_the_start_is_not_up(cluster: &DevCluster) {
    let zone = ZONES[2];
    let file = cluster.cluster_file().unwrap();
    let metrics = file["zones"][2]["agent_metrics"][0].as_str().unwrap().to_owned();
    cluster.run(&["dev", "kill", zone]).unwrap();
    let stranger = TcpListener::bind(&metrics).unwrap();
    // The heartbeats of the agent that was killed are still fresh.
    let said = fails(cluster, &["dev", "start", zone]);
    assert!(said.contains("agent-1 ended"), "{said}");
    let said = fails(cluster, &["dev", "kill", zone]);
    assert!(said.contains(&format!("something else listens on {metrics}")), "{said}");
    assert_eq!(living(cluster, zone), 0, "dead all the same");
    drop(stranger);
    cluster.run(&["dev", "start", zone]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_everything_whatever_is_broken() {
    let mut cluster = fake();
    cluster.kill_dev().unwrap();
    let path = cluster.data().join("cluster.json");
    let sound = std::fs::read_to_string(&path).unwrap();

    // Nobody knows whose containers there may be.
    std::fs::write(&path, sound.replace("\"fake\"", "\"docker\"")).unwrap();
    for zone in ZONES {
        std::fs::write(cluster.data().join(zone).join("server/identity"), "x").unwrap();
        std::fs::write(cluster.data().join(zone).join("agent-1/ledger.json"), "{").unwrap();
    }
    let said = fails(&cluster, &["dev", "kill", ZONES[0]]);
    assert!(said.contains("cannot kill the containers of us-east-1a/agent-1"), "{said}");
    assert_eq!(living(&cluster, ZONES[0]), 0);
    let said = fails(&cluster, &["dev", "stop"]);
    assert!(ZONES.iter().all(|zone| said.contains(&format!("containers of {zone}/agent-1"))), "{said}");
    assert!(ZONES.iter().all(|zone| living(&cluster, zone) == 0));

    // A fresh start needs nothing of what was; nor does a stop.
    std::fs::write(&path, "{").unwrap();
    cluster.start_dev_with(&["--fresh", "--runtime", "fake"]).unwrap();
    assert_eq!(cluster.status().unwrap()["quorum"], Value::Bool(true));
    cluster.kill_dev().unwrap();
    let sound = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, "{").unwrap();
    cluster.run(&["dev", "stop"]).unwrap();
    assert!(ZONES.iter().all(|zone| living(&cluster, zone) == 0));
    std::fs::write(&path, sound).unwrap();
}
