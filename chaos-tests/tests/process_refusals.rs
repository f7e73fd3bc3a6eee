//! What a control node and an agent refuse to start with, and what they say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn trireme(arguments: &[&str]) -> Output {
    Command::new(trireme_testkit::cluster::binary().unwrap()).args(arguments).output().unwrap()
}

/// Fails, and says this.
fn refused(arguments: &[&str], says: &str) {
    let output = trireme(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    assert!(error.contains(says), "{arguments:?} says: {error}");
}

const NODE: [&str; 6] =
    ["--zone", "us-east-1a", "--listen-api", "127.0.0.1:29001", "--listen-grpc", "127.0.0.1:29002"];

fn server<'a>(verb: Option<&'a str>, data: &'a Path) -> Vec<&'a str> {
    let mut arguments = vec!["server"];
    arguments.extend(verb);
    arguments.extend(["--data", data.to_str().unwrap()]);
    arguments.extend(NODE);
    arguments
}

fn initialised() -> TempDir {
    let folder = TempDir::new().unwrap();
    let output = trireme(&server(Some("init"), &folder.path().join("node")));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("AWS_SECRET_ACCESS_KEY="), "the first key is printed once: {printed}");
    folder
}

#[test]
fn an_empty_folder_is_no_control_node() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("cluster.key"), "0".repeat(64)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("cluster.key"), mode).unwrap();
    refused(&server(None, folder.path()), "trireme server init");
}

#[test]
fn a_cluster_is_founded_once() {
    let folder = initialised();
    refused(&server(Some("init"), &folder.path().join("node")), "holds a control node already");
}

#[test]
fn damaged_data_are_refused() {
    let folder = initialised();
    let node = folder.path().join("node");
    let identity = node.join("identity");
    let text = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, text.replace("node 1", "node 2")).unwrap();
    refused(&server(None, &node), "damaged");
    std::fs::write(&identity, &text).unwrap();
    std::fs::remove_dir_all(node.join("db")).unwrap();
    refused(&server(None, &node), "damaged");
}

#[test]
fn another_clusters_data_are_refused() {
    let (one, two) = (initialised(), initialised());
    let (one, two) = (one.path().join("node"), two.path().join("node"));
    std::fs::copy(two.join("identity"), one.join("identity")).unwrap();
    refused(&server(None, &one), "belongs to");
}

#[test]
fn another_address_than_the_peers_know_is_refused() {
    let folder = initialised();
    let node = folder.path().join("node");
    let mut arguments = server(None, &node);
    let last = arguments.len() - 1;
    arguments[last] = "127.0.0.1:29012";
    refused(&arguments, "joined with 127.0.0.1:29002");
}

#[test]
fn nothing_listens_unprotected() {
    let folder = TempDir::new().unwrap();
    let mut open = server(None, folder.path());
    let last = open.len() - 1;
    open[last] = "0.0.0.0:29002";
    refused(&open, "loopback");
    let mut open = server(None, folder.path());
    let api = open.iter().position(|argument| *argument == "127.0.0.1:29001").unwrap();
    open[api] = "0.0.0.0:29001";
    open.extend(["--auth", "off"]);
    refused(&open, "loopback");
}

#[test]
fn an_agent_without_docker_says_so() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let socket = folder.path().join("no.sock");
    let arguments =
        ["agent", "--data", data, "--zone", "us-east-1a", "--server", "127.0.0.1:29002", "--docker-socket"];
    let mut arguments = arguments.to_vec();
    arguments.push(socket.to_str().unwrap());
    refused(&arguments, "Docker");
}

#[test]
fn verbs_without_a_cluster_say_how_to_start_one() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("none");
    for verb in [vec!["status"], vec!["events"], vec!["wait", "web"], vec!["dev", "kill", "us-east-1a"]] {
        let mut arguments = verb;
        arguments.extend(["--data", data.to_str().unwrap()]);
        refused(&arguments, "trireme dev");
    }
}
