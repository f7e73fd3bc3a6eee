//! Ending what runs: a zone at once, or the whole cluster in good order.

//!
//! What fails on the way is told at the end: a broken agent or a Docker Engine that does not answer keeps nothing else alive.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use nix::sys::signal::Signal;
use trireme_cli::cluster_file::{ClusterFile, ZoneFile};

use super::launch::{Launcher, agent_name};
use super::layout::{Layout, Role};
use super::{lock, plan};
use crate::process::{self, Process};

/// For a process to die of SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// For a process to end by itself after SIGTERM.
const TERM_LIMIT: Duration = Duration::from_secs(10);
/// For the `trireme dev` in the foreground to stop everything.
const DEV_LIMIT: Duration = Duration::from_secs(90);
/// For the ports of the dead to be free.
const PORT_LIMIT: Duration = Duration::from_secs(3);
/// For Docker to kill and remove one agent's containers.
const CONTAINERS_LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// What failed, while everything else went on.
#[derive(Default)]
struct Troubles(Vec<Error>);

impl Troubles {
    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    fn into_result(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = self.0.iter().map(|error| format!("{error:#}")).collect();
        Err(anyhow!(texts.join("\n  and: ")))
    }
}

/// `trireme dev kill ZONE`: SIGKILL to its control node and agents, then to their containers. Returns when all of it is dead.
pub async fn kill_zone(data: &Path, zone: &str) -> Result<()> {
    let (launcher, zone) = open(data, zone)?;
    let mut troubles = Troubles::default();
    let _lock = troubles.note(lock::zone(&launcher.layout, &zone.name).await);
    if let Some(processes) = troubles.note(processes(&launcher, &zone)) {
        kill(&processes, &mut troubles).await;
    }
    remove_pid_files(&launcher, &zone);
    kill_containers(&launcher, std::slice::from_ref(&zone), &mut troubles).await;
    troubles.note(all_is_dead(&launcher, &zone).await);
    troubles.into_result()?;
    say!("{} is dead", zone.name);
    Ok(())
}

/// Every process of a zone, whether its pid file tells of it or not.
fn processes(launcher: &Launcher, zone: &ZoneFile) -> Result<Vec<Process>> {
    process::all_in(&launcher.layout.zone(&zone.name))
}

/// Nothing of the zone runs, and its addresses are free.
async fn all_is_dead(launcher: &Launcher, zone: &ZoneFile) -> Result<()> {
    if let Some(process) = processes(launcher, zone)?.first() {
        bail!("{}: {process} runs still", zone.name);
    }
    let until = Instant::now() + PORT_LIMIT;
    for address in [&zone.api, &zone.grpc].into_iter().chain(&zone.agent_metrics) {
        while TcpListener::bind(address).is_err() {
            if Instant::now() > until {
                bail!("{}: its processes are dead, but something else listens on {address}", zone.name);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
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

/// The cluster of a data folder; when its file is damaged, what the folders in it tell of it.
pub fn known(layout: &Layout) -> Option<ClusterFile> {
    ClusterFile::read(layout.root()).unwrap_or_else(|error| {
        say!("{error}; what there is to end is told by the zones' folders");
        Some(plan::from_folders(layout))
    })
}

/// `trireme dev stop`: by the `trireme dev` in the foreground if there is one, else here.
pub async fn stop(data: &Path) -> Result<()> {
    if !ClusterFile::path(data).exists() {
        ClusterFile::require(data)?;
    }
    let layout = Layout::open(data)?;
    let cluster = known(&layout).context("there is no cluster any more")?;
    let launcher = Launcher::new(layout.clone(), cluster)?;
    let mut troubles = Troubles::default();
    troubles.note(end_foreground(&layout).await);
    // It may have been killed earlier, or now, and left its nodes alive.
    let _lock = troubles.note(lock::take(&layout));
    troubles.note(stop_all(&launcher).await);
    troubles.into_result()?;
    say!("stopped");
    Ok(())
}

/// Tells the `trireme dev` in the foreground to stop everything, if there is one; kills it when it takes too long.
async fn end_foreground(layout: &Layout) -> Result<()> {
    let until = Instant::now() + DEV_LIMIT;
    let mut told = None;
    while let Some(holder) = lock::holder(layout)? {
        let late = Instant::now() > until;
        if late || told != Some(holder) {
            let signal = if late { Signal::SIGKILL } else { Signal::SIGTERM };
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(holder), signal)
                .context("cannot stop the `trireme dev` that holds the data folder")?;
            told = Some(holder);
        }
        if Instant::now() > until + KILL_LIMIT {
            bail!("`trireme dev` (process {holder}) cannot be killed");
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Stops every process and container of the cluster: agents first, so that none of them takes the end of its containers for
/// news.
pub async fn stop_all(launcher: &Launcher) -> Result<()> {
    let zones = &launcher.cluster.zones;
    let mut troubles = Troubles::default();
    let mut locks = Vec::new();
    for zone in zones {
        locks.extend(troubles.note(lock::zone(&launcher.layout, &zone.name).await));
    }
    let mut agents = Vec::new();
    for zone in zones {
        for role in Launcher::roles(zone).filter(|role| *role != Role::Server) {
            agents.extend(troubles.note(launcher.find(&zone.name, role)).flatten());
        }
    }
    end(&agents, &mut troubles).await;
    kill_containers(launcher, zones, &mut troubles).await;
    // The control nodes, and whatever else runs in the zones' folders.
    let mut rest = Vec::new();
    for zone in zones {
        rest.extend(troubles.note(processes(launcher, zone)).unwrap_or_default());
    }
    end(&rest, &mut troubles).await;
    for zone in zones {
        remove_pid_files(launcher, zone);
    }
    troubles.into_result()
}

/// Whether any process of the cluster runs.
pub fn any_running(launcher: &Launcher) -> Result<bool> {
    for zone in &launcher.cluster.zones {
        if !processes(launcher, zone)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// SIGTERM, and SIGKILL to those that do not end in time.
async fn end(processes: &[Process], troubles: &mut Troubles) {
    for process in processes {
        troubles.note(process.signal(Signal::SIGTERM));
    }
    let until = Instant::now() + TERM_LIMIT;
    for process in processes {
        // Who is late is killed below.
        let _late = process.wait_dead(until.saturating_duration_since(Instant::now())).await;
    }
    kill(processes, troubles).await;
}

/// SIGKILL to those that live.
async fn kill(processes: &[Process], troubles: &mut Troubles) {
    for process in processes {
        troubles.note(process.signal(Signal::SIGKILL));
    }
    for process in processes {
        troubles.note(process.wait_dead(KILL_LIMIT).await);
    }
}

/// A pid file without a process says nothing.
fn remove_pid_files(launcher: &Launcher, zone: &ZoneFile) {
    for role in Launcher::roles(zone) {
        let _gone_already = std::fs::remove_file(launcher.layout.pid_file(&zone.name, role));
    }
}

async fn kill_containers(launcher: &Launcher, zones: &[ZoneFile], troubles: &mut Troubles) {
    if launcher.cluster.runtime != "docker" {
        return;
    }
    // Any control node's folder tells it; without it the agents' own folders have to.
    let names = launcher.cluster.zones.iter().map(|zone| launcher.layout.data(&zone.name, Role::Server));
    let uuid = names.into_iter().find_map(|data| trireme_server::cluster_of(&data));
    for zone in zones {
        for role in Launcher::roles(zone) {
            let Role::Agent(number) = role else { continue };
            let data = launcher.layout.data(&zone.name, role);
            let name = agent_name(&zone.name, number);
            let removing = crate::agent::remove_containers(&data, &name, uuid.as_deref());
            let removed = tokio::time::timeout(CONTAINERS_LIMIT, removing).await;
            let removed = removed.unwrap_or_else(|_| Err(anyhow!("Docker takes too long")));
            troubles.note(removed.with_context(|| format!("cannot kill the containers of {name}")));
        }
    }
}
