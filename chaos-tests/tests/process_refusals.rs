//! What a control node and an agent refuse to start with, and what they say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;

/// For a command to fail.
const LIMIT: Duration = Duration::from_secs(30);

fn trireme(arguments: &[&str]) -> Output {
    let mut command = Command::new(trireme_testkit::cluster::binary().unwrap());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let reading = async { tokio::try_join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr)) };
        let ended = tokio::time::timeout(LIMIT, reading).await.is_ok();
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert!(ended, "{arguments:?} does not end; it says: {said}");
        Output { status: child.wait().await.unwrap(), stdout, stderr }
    })
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

/// The files of a node's database whose names are such.
fn files(node: &Path, is: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(node.join("db")).unwrap().map(|entry| entry.unwrap());
    let named = entries.filter(|entry| is(entry.file_name().to_str().unwrap()));
    let mut found: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    found.sort();
    assert!(!found.is_empty(), "no such file");
    found
}

fn is_table(name: &str) -> bool {
    name.ends_with(".sst")
}

fn is_log(name: &str) -> bool {
    name.ends_with(".log")
}

/// Turns a few bits in the middle of a file over.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..middle + 4] {
        *byte = !*byte;
    }
    std::fs::write(path, bytes).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// A node's folder with one file of its database damaged is refused, and nothing is served from it.
fn damage_is_refused(is: impl Fn(&str) -> bool, says: &str, damage: impl Fn(&Path)) {
    let folder = initialised();
    let node = folder.path().join("node");
    for (number, file) in files(&node, is).iter().enumerate() {
        let copy = folder.path().join(format!("copy-{number}"));
        copy_folder(&node, &copy);
        damage(&copy.join("db").join(file.file_name().unwrap()));
        refused(&server(None, &copy), says);
    }
}

#[test]
fn a_damaged_pointer_to_the_manifest_is_refused() {
    damage_is_refused(|name| name == "CURRENT", "damaged", flip);
}

#[test]
fn a_damaged_manifest_is_refused() {
    damage_is_refused(|name| name.starts_with("MANIFEST"), "damaged", flip);
}

#[test]
fn damaged_tables_are_refused() {
    damage_is_refused(is_table, "damaged", flip);
}

#[test]
fn a_damaged_log_is_refused() {
    damage_is_refused(is_log, "damaged", flip);
}

#[test]
fn another_clusters_data_are_refused() {
    let (one, two) = (initialised(), initialised());
    let (one, two) = (one.path().join("node"), two.path().join("node"));
    let own = std::fs::read(one.join("identity")).unwrap();
    std::fs::copy(two.join("identity"), one.join("identity")).unwrap();
    refused(&server(None, &one), "belongs to");
    // And the other way round: its database under this one's identity.
    std::fs::write(one.join("identity"), own).unwrap();
    std::fs::remove_dir_all(one.join("db")).unwrap();
    copy_folder(&two.join("db"), &one.join("db"));
    refused(&server(None, &one), "belongs to");
}

#[test]
fn lost_files_are_refused() {
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    damage_is_refused(is_table, "damaged", remove);
    damage_is_refused(is_log, "the disk was shortened", remove);
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
