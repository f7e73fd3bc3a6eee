//! What `trireme chaos` does to a development cluster.

use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::launch::Launcher;
use super::layout::Role;
pub use super::stop::kill_zone;
pub use super::zone::start_zone;

/// Sends a signal to a zone's control node.
pub fn signal_server(data: &Path, zone: &str, signal: Signal) -> Result<()> {
    let (launcher, zone) = super::stop::open(data, zone)?;
    let process = launcher.find(&zone.name, Role::Server)?;
    process.with_context(|| format!("{}'s control node does not run", zone.name))?.signal(signal)
}

/// Sends a signal to all agents of a zone.
pub fn signal_agents(data: &Path, zone: &str, signal: Signal) -> Result<()> {
    let (launcher, zone) = super::stop::open(data, zone)?;
    for role in Launcher::roles(&zone).filter(|role| *role != Role::Server) {
        if let Some(process) = launcher.find(&zone.name, role)? {
            process.signal(signal)?;
        }
    }
    Ok(())
}
