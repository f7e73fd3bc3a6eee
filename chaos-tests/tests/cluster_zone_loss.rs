//! The main job, end to end: under a stream of writes the leader's zone is killed, and nothing that was acknowledged is lost.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, which tells a story")]

use std::time::{Duration, Instant};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::retry::RetryConfig;
use chaos_tests::writer::Writer;
use chaos_tests::{docker, ecs, metrics};
use serde_json::Value;
use trireme_testkit::{DevCluster, Options, wait_for};

const TASKS: i32 = 6;
const LIMIT: Duration = Duration::from_secs(60);

/// What the cluster's own status says of its identity.
fn cluster_uuid(cluster: &DevCluster) -> String {
    cluster.status().unwrap()["cluster_uuid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_zone_is_lost_under_writes() {
    let mut cluster = DevCluster::start(Options::default()).unwrap();
    let client = ecs::client(&cluster).unwrap();
    ecs::register_web(&client).await.unwrap();
    ecs::create_service(&client, "web", TASKS).await.unwrap();
    wait_for("the service to be stable", LIMIT, || ecs::stable(&client, "web")).await;
    docker_calls_are_timed(&cluster);
    let uuid = cluster_uuid(&cluster);
    println!("tasks by zone before: {:?}", ecs::running_by_zone(&ecs::tasks(&client, "web").await.unwrap()));

    let writer = Writer::start(client.clone(), "write");
    let zone = kill_the_leaders_zone(&cluster, &client).await;
    let written = writer.finish().await.unwrap();
    println!(
        "writes: {} acknowledged, {} of unknown outcome; the longest gap {:.3} s",
        written.acknowledged.len(),
        written.failed.len(),
        written.longest_gap.as_secs_f64()
    );
    assert_eq!(
        written.failed,
        Vec::<String>::new(),
        "the front door repeats what a dead node did not answer"
    );
    assert!(written.longest_gap < Duration::from_secs(5), "no API gap is longer than 5 s");

    let equal = || ecs::tasks_equal_containers(&client, "web", &uuid);
    let tasks = wait_for("tasks equal containers", LIMIT, equal).await;
    println!("tasks equal `docker ps`: {}", tasks.len());

    let began = Instant::now();
    cluster.run(&["dev", "start", &zone]).unwrap();
    println!("{zone} came back in {:.2} s", began.elapsed().as_secs_f64());
    let status = cluster.status().unwrap();
    let zones = status["zones"].as_array().unwrap();
    assert!(zones.iter().all(|zone| zone["control_nodes"] == 1 && zone["agents"] == 1), "{zones:?}");

    everything_is_on_every_node_after_a_restart(&mut cluster, &written.acknowledged).await;
    cluster.run(&["wait", "web", "--timeout", "60"]).unwrap();
    cluster.stop().unwrap();
    assert_eq!(
        docker::running(&uuid).unwrap(),
        Vec::<String>::new(),
        "a stopped cluster leaves no containers"
    );
}

/// What `cluster_metrics` cannot see, as its containers are simulated.
fn docker_calls_are_timed(cluster: &DevCluster) {
    let file = cluster.cluster_file().unwrap();
    let text = metrics::read(file["zones"][0]["agent_metrics"][0].as_str().unwrap()).unwrap();
    assert!(metrics::has(&text, "trireme_docker_call_seconds", &["call", "result"]), "{text}");
    match metrics::check(&text) {
        Some(judged) => judged.unwrap(),
        None => println!("promtool is not installed: nobody checked the form of an agent's metrics"),
    }
}

/// Once writes flow, kills the zone that leads and waits until the service is whole without it.
async fn kill_the_leaders_zone(cluster: &DevCluster, client: &Client) -> String {
    wait_for("the first hundred writes", LIMIT, || async {
        let clusters = client.list_clusters().max_results(100).send().await;
        let count = clusters.map_err(|error| error.to_string())?.cluster_arns().len();
        if count >= 100 { Ok(()) } else { Err(format!("{count} clusters")) }
    })
    .await;
    let status = cluster.status().unwrap();
    let zone = status["leader"]["zone"].as_str().unwrap().to_owned();
    let killed = Instant::now();
    cluster.run(&["dev", "kill", &zone]).unwrap();
    println!("killed {zone}, the leader's zone, in {:.2} s", killed.elapsed().as_secs_f64());
    wait_for("all tasks RUNNING elsewhere", LIMIT, || async {
        let tasks = ecs::tasks(client, "web").await.map_err(|error| format!("{error:#}"))?;
        let zones = ecs::running_by_zone(&tasks);
        let running: usize = zones.values().sum();
        let elsewhere = !zones.contains_key(&zone);
        if elsewhere && running == TASKS as usize { Ok(()) } else { Err(format!("{zones:?}")) }
    })
    .await;
    println!("all {TASKS} tasks RUNNING elsewhere after {:.2} s", killed.elapsed().as_secs_f64());
    cluster.run(&["wait", "web", "--timeout", "60"]).unwrap();
    zone
}

/// Kills every control node, starts them from disk, and asks each of them directly.
async fn everything_is_on_every_node_after_a_restart(cluster: &mut DevCluster, acknowledged: &[String]) {
    cluster.kill_dev().unwrap();
    let file = cluster.cluster_file().unwrap();
    let zones: Vec<Value> = file["zones"].as_array().unwrap().clone();
    for zone in &zones {
        let pid = cluster.pid(&format!("{}/server.pid", zone["name"].as_str().unwrap())).unwrap();
        assert!(
            std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success()
        );
    }
    cluster.start_dev().unwrap();
    for zone in &zones {
        let endpoint = format!("http://{}", zone["api"].as_str().unwrap());
        let client = ecs::client_at(cluster, &endpoint, RetryConfig::standard()).unwrap();
        for names in acknowledged.chunks(100) {
            let described =
                client.describe_clusters().set_clusters(Some(names.to_vec())).send().await.unwrap();
            assert_eq!(described.failures(), [], "{}", zone["name"]);
            assert_eq!(described.clusters().len(), names.len(), "{}", zone["name"]);
        }
        println!(
            "{}: all {} acknowledged writes after a restart from disk",
            zone["name"],
            acknowledged.len()
        );
    }
}
