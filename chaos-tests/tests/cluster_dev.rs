//! `trireme dev` itself: zones killed and started, a front door that stays, adoption, and the operator's verbs. Containers are
//! simulated here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use chaos_tests::ecs;
use serde_json::Value;
use trireme_testkit::{DevCluster, Options, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn leader_zone(cluster: &DevCluster) -> String {
    cluster.status().unwrap()["leader"]["zone"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_used_broken_and_adopted() {
    let mut cluster = DevCluster::start(Options::with(&["--runtime", "fake"])).unwrap();
    let client = ecs::client(&cluster).unwrap();
    ecs::register_web(&client).await.unwrap();
    ecs::create_service(&client, "web", 6).await.unwrap();
    cluster.run(&["wait", "web", "--timeout", "60"]).unwrap();

    a_second_dev_is_refused(&cluster);
    a_zone_dies_and_returns(&cluster).await;
    a_hung_leader_does_not_hang_the_door(&cluster).await;
    the_history_is_gapless_and_resumable(&cluster);

    // The nodes live on without `trireme dev`, and the next one adopts them.
    let pids: Vec<u32> =
        ["a", "b", "c"].map(|z| cluster.pid(&format!("us-east-1{z}/server.pid")).unwrap()).to_vec();
    cluster.kill_dev().unwrap();
    assert!(cluster.status().unwrap()["leader"].is_object());
    cluster.start_dev().unwrap();
    let adopted: Vec<u32> =
        ["a", "b", "c"].map(|z| cluster.pid(&format!("us-east-1{z}/server.pid")).unwrap()).to_vec();
    assert_eq!(adopted, pids);
    assert_eq!(ecs::service(&client, "web").await.unwrap().running_count(), 6);

    status_works_without_a_quorum(&cluster).await;
    cluster.stop().unwrap();
    assert!(!cluster.trireme(&["status"]).output().unwrap().status.success());
}

fn a_second_dev_is_refused(cluster: &DevCluster) {
    let second = cluster.trireme(&["dev", "--port", "9"]).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("another `trireme dev`"), "{said}");
}

async fn a_zone_dies_and_returns(cluster: &DevCluster) {
    let client = ecs::client(cluster).unwrap();
    let zone = leader_zone(cluster);
    cluster.run(&["dev", "kill", &zone]).unwrap();
    let began = Instant::now();
    ecs::service(&client, "web").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "the front door answers: {:?}", began.elapsed());
    cluster.run(&["wait", "web", "--timeout", "60"]).unwrap();
    let tasks = ecs::tasks(&client, "web").await.unwrap();
    let zones = ecs::running_by_zone(&tasks);
    assert!(
        !zones.contains_key(&zone),
        "wait passes only when no task of the dead zone is RUNNING: {zones:?}"
    );
    assert_eq!(zones.values().sum::<usize>(), 6);
    let status = cluster.status().unwrap();
    let of_zone = |status: &Value| {
        let zones = status["zones"].as_array().unwrap().clone();
        zones.into_iter().find(|it| it["name"] == zone.as_str()).unwrap()
    };
    assert_eq!(
        (&of_zone(&status)["control_nodes"], &of_zone(&status)["agents"]),
        (&Value::from(0), &Value::from(0))
    );
    cluster.run(&["dev", "start", &zone]).unwrap();
    let status = cluster.status().unwrap();
    assert_eq!(
        (&of_zone(&status)["control_nodes"], &of_zone(&status)["agents"]),
        (&Value::from(1), &Value::from(1))
    );
}

async fn a_hung_leader_does_not_hang_the_door(cluster: &DevCluster) {
    let client = ecs::client(cluster).unwrap();
    let zone = leader_zone(cluster);
    let pid = cluster.pid(&format!("{zone}/server.pid")).unwrap();
    signal(pid, "-STOP");
    let began = Instant::now();
    let created = client.create_cluster().cluster_name("while-it-hangs").send().await;
    let took = began.elapsed();
    signal(pid, "-CONT");
    created.unwrap();
    assert!(took < Duration::from_secs(8), "a write while the leader hung took {took:?}");
    wait_for("all three control nodes", LIMIT, || async {
        let status = cluster.status().map_err(|error| format!("{error:#}"))?;
        let roles: Vec<String> =
            status["nodes"].as_array().unwrap().iter().map(|node| node["role"].to_string()).collect();
        let whole =
            status["leader"].is_object() && roles.iter().filter(|role| *role == "\"follower\"").count() == 2;
        if whole { Ok(()) } else { Err(format!("{roles:?}")) }
    })
    .await;
}

fn the_history_is_gapless_and_resumable(cluster: &DevCluster) {
    let sequences = |text: &str| -> Vec<u64> {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["sequence"].as_u64().unwrap()).collect()
    };
    let all = sequences(&cluster.run(&["events", "--json"]).unwrap());
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    assert_eq!(all, expected);
    let middle = (all.len() / 2) as u64;
    let rest = sequences(&cluster.run(&["events", "--json", "--since", &middle.to_string()]).unwrap());
    assert_eq!(rest[0], middle + 1);
}

async fn status_works_without_a_quorum(cluster: &DevCluster) {
    cluster.run(&["dev", "kill", "us-east-1a"]).unwrap();
    cluster.run(&["dev", "kill", "us-east-1b"]).unwrap();
    // A leader notices that it lost its quorum when its lease is over.
    wait_for("status without a quorum", LIMIT, || async {
        let status = cluster.status().map_err(|error| format!("{error:#}"))?;
        let seen = (&status["quorum"], &status["stale"], &status["leader"]);
        if seen == (&false.into(), &true.into(), &Value::Null) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    let text = cluster.run(&["status"]).unwrap();
    assert!(text.contains("NO QUORUM"), "{text}");
    cluster.run(&["dev", "start", "us-east-1a"]).unwrap();
    assert!(cluster.status().unwrap()["leader"].is_object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authentication_a_cluster_can_be_reset() {
    let cluster =
        DevCluster::start(Options::with(&["--runtime", "fake", "--auth", "off", "--zones", "1"])).unwrap();
    let client = ecs::client(&cluster).unwrap();
    client.create_cluster().cluster_name("gone-soon").send().await.unwrap();
    post(&cluster, "/_trireme/reset");
    let listed = client.list_clusters().send().await.unwrap();
    assert!(!listed.cluster_arns().iter().any(|arn| arn.ends_with("/gone-soon")), "{listed:?}");
}

/// A POST without a body, by hand: no SDK knows this path.
fn post(cluster: &DevCluster, path: &str) {
    let address = cluster.endpoint().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
