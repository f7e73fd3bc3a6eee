//! Three zones of a hundred agents, each with a session of its own: a service of five thousand tasks.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, which tells a story")]

use std::time::{Duration, Instant};

use chaos_tests::ecs;
use trireme_testkit::{DevCluster, Options, wait_for};

const TASKS: i32 = 5_000;
const LIMIT: Duration = Duration::from_secs(240);

/// A process's resident memory in MiB.
fn resident_mib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_tasks_on_three_hundred_agents() {
    let began = Instant::now();
    let cluster = DevCluster::start(Options::with(&["--runtime", "fake", "--fake-agents", "100"])).unwrap();
    println!("300 agents registered after {:.2} s", began.elapsed().as_secs_f64());
    let client = ecs::client(&cluster).unwrap();
    ecs::register_web(&client).await.unwrap();
    let began = Instant::now();
    ecs::create_service(&client, "fleet", TASKS).await.unwrap();
    wait_for("5,000 tasks RUNNING", LIMIT, || ecs::stable(&client, "fleet")).await;
    println!("{TASKS} tasks RUNNING {:.2} s after CreateService", began.elapsed().as_secs_f64());
    let status = cluster.status().unwrap();
    let zone = status["leader"]["zone"].as_str().unwrap();
    let pid = cluster.pid(&format!("{zone}/server.pid")).unwrap();
    println!("the leader's resident memory: {} MiB", resident_mib(pid));
    let zones: Vec<u64> = status["zones"]
        .as_array()
        .unwrap()
        .iter()
        .map(|zone| zone["running_tasks"].as_u64().unwrap())
        .collect();
    println!("tasks by zone: {zones:?}");
    assert_eq!(zones.iter().sum::<u64>(), 5_000);
    assert!(zones.iter().max().unwrap() - zones.iter().min().unwrap() <= 1, "spread evenly: {zones:?}");
}
