//! Ending what runs: a zone at once, or the whole cluster in good order.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use trireme_cli::cluster_file::{ClusterFile, ZoneFile};

use super::launch::Launcher;
use super::layout::Layout;
use super::lock;
use crate::process::Process;

/// For a process to die of SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// For a process to end by itself after SIGTERM.
const TERM_LIMIT: Duration = Duration::from_secs(10);
/// For the `trireme dev` in the foreground to stop everything.
const DEV_LIMIT: Duration = Duration::from_secs(90);

/// `trireme dev kill ZONE`: SIGKILL to its control node and agents, then to their containers. Returns when all of it is dead.
pub async fn kill_zone(data: &Path, zone: &str) -> Result<()> {
    let (launcher, zone) = open(data, zone)?;
    kill_processes(&launcher, std::slice::from_ref(&zone)).await?;
    kill_containers(&launcher, std::slice::from_ref(&zone)).await?;
    say!("{} is dead", zone.name);
    Ok(())
}

/// Opens a running cluster's data folder and one of its zones.
pub fn open(data: &Path, zone: &str) -> Result<(Launcher, ZoneFile)> {
    let cluster = ClusterFile::require(data)?;
    let Some(found) = cluster.zone(zone).cloned() else {
        let names: Vec<&str> = cluster.zones.iter().map(|zone| zone.name.as_str()).collect();
        bail!("there is no zone {zone}; there are {}", names.join(", "));
    };
    Ok((Launcher::new(Layout::open(data)?, cluster)?, found))
}

/// `trireme dev stop`: by the `trireme dev` in the foreground if there is one, else here.
pub async fn stop(data: &Path) -> Result<()> {
    let cluster = ClusterFile::require(data)?;
    let layout = Layout::open(data)?;
    let launcher = Launcher::new(layout.clone(), cluster)?;
    let until = Instant::now() + DEV_LIMIT;
    while let Some(holder) = lock::holder(&layout)? {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(holder), Signal::SIGTERM)
            .context("cannot stop the `trireme dev` that holds the data folder")?;
        while lock::holder(&layout)? == Some(holder) {
            if Instant::now() > until {
                bail!("`trireme dev` (process {holder}) still runs after {} s", DEV_LIMIT.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // It may have been killed earlier and left its nodes alive.
    let _lock = lock::take(&layout)?;
    stop_all(&launcher).await?;
    say!("stopped");
    Ok(())
}

/// Stops every process and container of the cluster: agents first, so that none of them takes the end of its containers for
/// news.
pub async fn stop_all(launcher: &Launcher) -> Result<()> {
    let zones = launcher.cluster.zones.clone();
    let mut agents = Vec::new();
    let mut servers = Vec::new();
    for zone in &zones {
        for role in Launcher::roles(zone) {
            let kind = if role == super::layout::Role::Server { &mut servers } else { &mut agents };
            kind.extend(launcher.find(&zone.name, role)?);
        }
    }
    end(&agents).await?;
    kill_containers(launcher, &zones).await?;
    end(&servers).await?;
    for zone in &zones {
        remove_pid_files(launcher, zone);
    }
    Ok(())
}

/// SIGTERM, and SIGKILL to those that do not end in time.
async fn end(processes: &[Process]) -> Result<()> {
    for process in processes {
        process.signal(Signal::SIGTERM)?;
    }
    let until = Instant::now() + TERM_LIMIT;
    for process in processes {
        if process.wait_dead(until.saturating_duration_since(Instant::now())).await.is_err() {
            process.signal(Signal::SIGKILL)?;
        }
    }
    for process in processes {
        process.wait_dead(KILL_LIMIT).await?;
    }
    Ok(())
}

async fn kill_processes(launcher: &Launcher, zones: &[ZoneFile]) -> Result<()> {
    let mut processes = Vec::new();
    for zone in zones {
        for role in Launcher::roles(zone) {
            processes.extend(launcher.find(&zone.name, role)?);
        }
    }
    for process in &processes {
        process.signal(Signal::SIGKILL)?;
    }
    for process in &processes {
        process.wait_dead(KILL_LIMIT).await?;
    }
    for zone in zones {
        remove_pid_files(launcher, zone);
    }
    Ok(())
}

/// A pid file without a process says nothing.
fn remove_pid_files(launcher: &Launcher, zone: &ZoneFile) {
    for role in Launcher::roles(zone) {
        let _gone_already = std::fs::remove_file(launcher.layout.pid_file(&zone.name, role));
    }
}

async fn kill_containers(launcher: &Launcher, zones: &[ZoneFile]) -> Result<()> {
    if launcher.cluster.runtime != "docker" {
        return Ok(());
    }
    for zone in zones {
        for role in Launcher::roles(zone) {
            if role == super::layout::Role::Server {
                continue;
            }
            let data = launcher.layout.data(&zone.name, role);
            crate::agent::remove_containers(&data)
                .await
                .with_context(|| format!("cannot kill the containers of {}/{role}", zone.name))?;
        }
    }
    Ok(())
}
