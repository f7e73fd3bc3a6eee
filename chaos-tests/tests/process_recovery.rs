//! A cluster that loses its quorum for good lives on from one node; a backup comes back as it was. Real processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test, which tells a story"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_ecs::Client;
use chaos_tests::ecs;
use trireme_testkit::{DevCluster, Options, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

fn trireme(arguments: &[&str]) -> Output {
    let mut command = Command::new(trireme_testkit::cluster::binary().unwrap());
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn run(arguments: &[&str]) -> String {
    let output = trireme(arguments);
    assert!(output.status.success(), "trireme {arguments:?}: {}", said(&output));
    said(&output)
}

/// The cluster, and what the verbs have to be told of its zones.
struct Zones {
    cluster: DevCluster,
    file: serde_json::Value,
}

impl Zones {
    fn start() -> Self {
        let cluster = DevCluster::start(Options::with(&["--runtime", "fake"])).unwrap();
        let file = cluster.cluster_file().unwrap();
        Self { cluster, file }
    }

    fn address(&self, zone: &str, which: &str) -> String {
        let zones = self.file["zones"].as_array().unwrap();
        let found = zones.iter().find(|known| known["name"] == zone).unwrap();
        found[which].as_str().unwrap().to_owned()
    }

    fn data(&self, zone: &str) -> PathBuf {
        self.cluster.data().join(zone).join("server")
    }

    fn kill(&self, zone: &str) {
        let pid = self.cluster.pid(&format!("{zone}/server.pid")).unwrap().to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    }

    fn leader(&self) -> String {
        self.cluster.status().unwrap()["leader"]["zone"].as_str().unwrap().to_owned()
    }

    /// `trireme server VERB..` for a zone.
    fn server(&self, verb: &[&str], data: &Path, zone: &str, more: &[&str]) -> Output {
        let (api, grpc) = (self.address(zone, "api"), self.address(zone, "grpc"));
        let place =
            ["--data", data.to_str().unwrap(), "--zone", zone, "--listen-api", &api, "--listen-grpc", &grpc];
        trireme(&[&["server"], verb, &place, &["--timing", "local"], more].concat())
    }

    fn start_zone(&self, zone: &str) {
        self.cluster.run(&["dev", "start", zone]).unwrap();
    }
}

/// Creates clusters until it is told to stop; gives those that were acknowledged.
async fn write(client: Client, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("w{number}");
        if client.create_cluster().cluster_name(&name).send().await.is_ok() {
            acknowledged.push(name);
        }
    }
    acknowledged
}

async fn all_there(client: &Client, names: &[String]) {
    for names in names.chunks(100) {
        let described = client.describe_clusters().set_clusters(Some(names.to_vec())).send().await.unwrap();
        let missing: Vec<_> =
            described.failures().iter().map(|failure| failure.arn().unwrap_or_default()).collect();
        assert!(missing.is_empty(), "acknowledged, and lost: {missing:?}");
        assert_eq!(described.clusters().len(), names.len());
    }
}

fn hash(text: &str, line: &str) -> String {
    let line = text.lines().find(|one| one.contains(line)).unwrap_or_else(|| panic!("no {line} in {text}"));
    line.split("state hash ").nth(1).unwrap().to_owned()
}

/// Empty control nodes join by way of the one that is left.
fn join_anew(zones: &Zones, survivor: &str, lost: &[&str], key: &Path) {
    let peer = zones.address(survivor, "grpc");
    for zone in lost {
        let joined = zones.server(
            &["join"],
            &zones.data(zone),
            zone,
            &["--peer", &peer, "--cluster-key", key.to_str().unwrap()],
        );
        assert!(joined.status.success(), "{}", said(&joined));
        zones.start_zone(zone);
    }
}

/// The backup comes back, to a folder of its own, with the state that it had.
fn comes_back(zones: &Zones, file: &str, key: &Path, zone: &str) {
    let restored = zones.cluster.data().join("restored");
    let place =
        ["--zone", zone, "--listen-api", "127.0.0.1:9", "--listen-grpc", "127.0.0.1:10", "--timing", "local"];
    let to = ["restore", file, "--cluster-key", key.to_str().unwrap(), "--data", restored.to_str().unwrap()];
    println!("{}", run(&[to.as_slice(), place.as_slice()].concat()));
    let held = hash(&run(&["verify", file]), "state: event");
    assert_eq!(hash(&run(&["verify", "--data", restored.to_str().unwrap()]), "snapshot: event"), held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_is_lost_for_good() {
    let began = Instant::now();
    let zones = Zones::start();
    let client = ecs::client(&zones.cluster).unwrap();
    ecs::register_web(&client).await.unwrap();
    ecs::create_service(&client, "web", 6).await.unwrap();
    wait_for("the service to be stable", LIMIT, || ecs::stable(&client, "web")).await;
    let backup = zones.cluster.data().join("backup");
    let (stop, file) = (Arc::new(AtomicBool::new(false)), backup.to_str().unwrap());
    let writing = tokio::spawn(write(client.clone(), stop.clone()));
    wait_for("writes", LIMIT, || async {
        let applied =
            zones.cluster.status().map_err(|error| format!("{error:#}"))?["applied"].as_u64().unwrap();
        if applied > 200 { Ok(()) } else { Err(applied.to_string()) }
    })
    .await;
    println!("{}", zones.cluster.run(&["backup", "--to", file]).unwrap());
    let mode = std::fs::metadata(&backup).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    assert!(zones.cluster.run(&["backup", "--to", file]).is_err(), "a backup is never overwritten");

    // All that was acknowledged is in the leader's log: it dies last.
    let survivor = zones.leader();
    let lost: Vec<&str> = ZONES.into_iter().filter(|zone| *zone != survivor).collect();
    lost.iter().for_each(|zone| zones.kill(zone));
    zones.kill(&survivor);
    stop.store(true, Ordering::Relaxed);
    let old = lost[0];
    let aside = zones.cluster.data().join("old");
    std::fs::rename(zones.data(old), &aside).unwrap();
    std::fs::remove_dir_all(zones.data(lost[1])).unwrap();

    let data = zones.data(&survivor);
    let dry = run(&["server", "recover", "--data", data.to_str().unwrap()]);
    assert!(dry.contains("Nothing was changed"), "{dry}");
    let refused = trireme(&["server", "recover", "--force-new-cluster", "--data", data.to_str().unwrap()]);
    assert!(!refused.status.success(), "it is not done unasked: {}", said(&refused));
    let told = run(&["server", "recover", "--force-new-cluster", "--yes", "--data", data.to_str().unwrap()]);
    println!("{told}");
    assert!(told.contains("acknowledged writes after log index"), "{told}");
    zones.start_zone(&survivor);
    let taken = trireme(&["server", "recover", "--data", data.to_str().unwrap()]);
    assert!(said(&taken).contains("another process uses"), "{}", said(&taken));

    // The old member hears of it, stops, and stays so; its agents are the others' by now.
    for _ in 0..2 {
        let fenced = zones.server(&[], &aside, old, &[]);
        assert!(!fenced.status.success());
        assert!(said(&fenced).contains("lives on as incarnation"), "{}", said(&fenced));
    }
    let key = data.join("cluster.key");
    join_anew(&zones, &survivor, &lost, &key);
    let acknowledged = writing.await.unwrap();
    println!("{} writes were acknowledged", acknowledged.len());
    all_there(&client, &acknowledged).await;
    wait_for("the service to be stable", LIMIT, || ecs::stable(&client, "web")).await;
    let status = zones.cluster.status().unwrap();
    let nodes = status["nodes"].as_array().unwrap();
    assert!(nodes[0]["incarnation"].as_u64().unwrap() > 1, "{status}");
    assert!(nodes.iter().all(|node| node["incarnation"] == nodes[0]["incarnation"]), "{status}");
    let events = zones.cluster.run(&["events", "--json"]).unwrap();
    assert_eq!(events.lines().filter(|line| line.contains("ClusterRestored")).count(), 1);
    println!("{}", zones.cluster.run(&["verify"]).unwrap());

    comes_back(&zones, file, &key, old);
    println!("all of it took {:.1} s", began.elapsed().as_secs_f64());
}
