//! Network namespaces, a bridge, and the link of each machine to it.

use std::fs::File;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sched::CloneFlags;

use super::host::Host;

/// Every namespace of ours begins so.
pub const PREFIX: &str = "trireme-chaos-";
const SWITCH: &str = "trireme-chaos-switch";
const BRIDGE: &str = "sw0";

/// A machine's namespace.
pub fn namespace(host: Host) -> String {
    format!("{PREFIX}{}", host.short())
}

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// It failed; the error has what it said.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command to run on a machine.
pub fn on(host: Host, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", namespace(host))).arg(program);
    command
}

/// Runs a command on a machine to its end.
///
/// # Errors
/// It failed.
pub fn run_on(host: Host, program: &str, arguments: &[&str]) -> Result<String> {
    let place = format!("--net=/run/netns/{}", namespace(host));
    let mut all = vec![place.as_str(), program];
    all.extend(arguments);
    run("nsenter", &all)
}

/// Makes all namespaces and links.
///
/// # Errors
/// Not root, or a kernel without namespaces, veth or bridges.
pub fn build() -> Result<()> {
    run("ip", &["netns", "add", SWITCH])?;
    run("ip", &["-n", SWITCH, "link", "add", BRIDGE, "type", "bridge"])?;
    run("ip", &["-n", SWITCH, "link", "set", BRIDGE, "up"])?;
    Host::all().into_iter().try_for_each(add)
}

fn add(host: Host) -> Result<()> {
    let name = namespace(host);
    let (short, address) = (host.short(), host.address());
    run("ip", &["netns", "add", &name])?;
    let ip = |arguments: &[&str]| run("ip", &[&["-n", name.as_str()], arguments].concat());
    run(
        "ip",
        &["-n", SWITCH, "link", "add", &short, "type", "veth", "peer", "name", "eth0", "netns", &name],
    )?;
    run("ip", &["-n", SWITCH, "link", "set", &short, "master", BRIDGE, "up"])?;
    ip(&["link", "set", "lo", "up"])?;
    // All of 127/8 but one address goes over the wire.
    ip(&["addr", "add", "127.0.0.1/32", "dev", "lo"])?;
    ip(&["addr", "del", "127.0.0.1/8", "dev", "lo"])?;
    let route = ["net.ipv4.conf.all.route_localnet=1", "net.ipv4.conf.eth0.route_localnet=1"];
    run_on(host, "sysctl", &[&["-q", "-w"], route.as_slice()].concat())?;
    ip(&["addr", "add", &format!("{address}/16"), "dev", "eth0"])?;
    // For what may not use loopback addresses: a peer that is measured beside us.
    ip(&["addr", "add", &format!("{}/24", plain_address(host)), "dev", "eth0"])?;
    ip(&["link", "set", "eth0", "up"])?;
    Ok(())
}

/// A machine's address beside its loopback one.
pub fn plain_address(host: Host) -> String {
    match host {
        Host::Control(zone) => format!("10.213.7.{zone}"),
        Host::Agent(zone) => format!("10.213.7.1{zone}"),
        Host::Client => "10.213.7.99".to_owned(),
    }
}

/// Moves this thread, and the threads that it starts from now on, into a machine's namespace.
///
/// # Errors
/// The namespace is not there, or this is not root.
pub fn enter(host: Host) -> Result<()> {
    let path = format!("/run/netns/{}", namespace(host));
    let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    nix::sched::setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {path}"))
}

/// The namespaces of ours that there are.
pub fn existing() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(PREFIX)).collect()
}
