//! `kill -9` of everything, and a restart from disk: containers are untouched where only control nodes died.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, which tells a story")]

use std::time::{Duration, Instant};

use chaos_tests::{docker, ecs};
use trireme_testkit::{DevCluster, Options, wait_for};

const LIMIT: Duration = Duration::from_secs(60);
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

fn kill(cluster: &DevCluster, file: &str) {
    let pid = cluster.pid(file).unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_is_killed() {
    let mut cluster = DevCluster::start(Options::default()).unwrap();
    let client = ecs::client(&cluster).unwrap();
    ecs::register_web(&client).await.unwrap();
    ecs::create_service(&client, "web", 6).await.unwrap();
    wait_for("the service to be stable", LIMIT, || ecs::stable(&client, "web")).await;
    let uuid = cluster.status().unwrap()["cluster_uuid"].as_str().unwrap().to_owned();
    let before = docker::started(&uuid).unwrap();
    assert_eq!(before.len(), 6);

    for zone in ZONES {
        kill(&cluster, &format!("{zone}/server.pid"));
    }
    let status = cluster.trireme(&["status"]).output().unwrap();
    assert!(!status.status.success(), "status says that nobody answers");
    assert_eq!(docker::started(&uuid).unwrap(), before, "without a control plane everything keeps running");
    cluster.kill_dev().unwrap();
    let began = Instant::now();
    cluster.start_dev().unwrap();
    println!("three control nodes back from disk after {:.2} s", began.elapsed().as_secs_f64());
    cluster.run(&["wait", "web", "--timeout", "60"]).unwrap();
    assert_eq!(docker::started(&uuid).unwrap(), before, "the same containers, started when they were");
    println!("containers untouched: {}", before.len());

    cluster.kill_dev().unwrap();
    for zone in ZONES {
        kill(&cluster, &format!("{zone}/server.pid"));
        kill(&cluster, &format!("{zone}/agent-1.pid"));
    }
    let began = Instant::now();
    cluster.start_dev().unwrap();
    cluster.run(&["wait", "web", "--timeout", "60"]).unwrap();
    println!("whole after kill -9 of every process in {:.2} s", began.elapsed().as_secs_f64());
    let equal = || ecs::tasks_equal_containers(&client, "web", &uuid);
    let tasks = wait_for("tasks equal containers", LIMIT, equal).await;
    assert_eq!(tasks.len(), 6);
}
