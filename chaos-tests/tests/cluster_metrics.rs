//! `/metrics` of control nodes and agents: Prometheus's checker passes them, and what an operator watches is there.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, which tells a story")]

use std::time::Duration;

use chaos_tests::{ecs, metrics};
use trireme_testkit::{DevCluster, Options, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

/// Of a control node that leads, with the labels that tell the samples apart.
const LEADERS: [(&str, &[&str]); 8] = [
    ("trireme_api_requests_total", &["operation", "code"]),
    ("trireme_raft_commit_seconds", &[]),
    ("trireme_raft_leader_changes_total", &[]),
    ("trireme_raft_applied_index", &[]),
    ("trireme_tasks", &["zone", "status"]),
    ("trireme_scheduler_placement_seconds", &[]),
    ("trireme_agent_heartbeat_age_seconds", &[]),
    ("trireme_zone_loss_survivable", &["zone"]),
];

fn judge(whose: &str, text: &str) {
    match metrics::check(text) {
        Some(judged) => judged.unwrap_or_else(|error| panic!("{whose}: {error:#}")),
        None => println!("{whose}: promtool is not installed, so nobody checked the form"),
    }
    println!("{whose}: {} samples", text.lines().filter(|line| !line.starts_with('#')).count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_every_process() {
    let cluster = DevCluster::start(Options::with(&["--runtime", "fake"])).unwrap();
    let client = ecs::client(&cluster).unwrap();
    ecs::register_web(&client).await.unwrap();
    ecs::create_service(&client, "web", 6).await.unwrap();
    cluster.run(&["wait", "web", "--timeout", "60"]).unwrap();

    let leader = cluster.status().unwrap()["leader"]["zone"].as_str().unwrap().to_owned();
    let file = cluster.cluster_file().unwrap();
    for zone in file["zones"].as_array().unwrap() {
        let name = zone["name"].as_str().unwrap();
        let api = zone["api"].as_str().unwrap();
        if name == leader {
            wait_for("the leader's metrics", LIMIT, || async {
                let text = metrics::read(api).map_err(|error| format!("{error:#}"))?;
                let missing = LEADERS.iter().find(|(name, labels)| !metrics::has(&text, name, labels));
                missing.map_or(Ok(()), |missing| Err(format!("{missing:?} is missing in\n{text}")))
            })
            .await;
        }
        judge(&format!("{name}'s control node"), &metrics::read(api).unwrap());
        let agent = zone["agent_metrics"][0].as_str().unwrap();
        let text = metrics::read(agent).unwrap();
        assert!(metrics::has(&text, "trireme_agent_connected", &[]), "{text}");
        judge(&format!("{name}'s agent"), &text);
    }
}
