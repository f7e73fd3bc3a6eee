//! A Docker Engine of a zone's own, in the namespace of its agent.

use std::path::Path;

use anyhow::Result;
use trireme_testkit::engine::Setup;
pub use trireme_testkit::engine::{Engine, IMAGE, docker, save_image};

use super::host::{Host, zone_name};
use super::net::on;
use super::sweep::CGROUP;

/// Starts the engine of a zone, on what is in its folder.
///
/// # Errors
/// There is no `dockerd`.
pub fn start(folder: &Path, zone: u8) -> Result<Engine> {
    let setup = Setup { bridge: &format!("172.3{zone}.0.1/24"), cgroup: CGROUP, zone: &zone_name(zone) };
    Engine::start(on(Host::Agent(zone), "dockerd"), folder, &setup)
}
