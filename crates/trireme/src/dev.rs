//! `trireme dev`: a whole cluster on one machine, each control node and each agent a process of its own.
//!
//! Reading order: [`layout`] (what lies where) · [`lock`] · [`ports`] · [`plan`] (a new cluster's shape) · [`launch`] · [`zone`] ·
//! [`subnets`] · [`stop`] · [`victims`] · [`door`] · [`env_file`].

/// Prints a line. Who reads it may be gone, as a `tee` that the same Ctrl-C ended; stopping must go on all the same.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _reader_gone = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod door;
mod env_file;
mod launch;
mod layout;
mod lock;
mod plan;
mod ports;
mod stop;
mod subnets;
pub mod victims;
mod zone;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use trireme_cli::cluster_file::ClusterFile;
use trireme_cli::subnet::Subnet;
use trireme_server::AccessKeyFile;

use crate::process;
use door::{Door, Nodes};
use launch::{Launcher, Running};
use layout::Layout;

/// A three-zone cluster on this machine.
///
/// Runs in the foreground and holds the front door. Ctrl-C stops all of it, containers too. If it is killed, the control
/// nodes and agents live on, and the next `trireme dev` adopts them. It restarts nothing.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DevArgs {
    #[command(subcommand)]
    verb: Option<DevVerb>,
    #[command(flatten)]
    run: RunArgs,
}

/// How the cluster is to be.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The front door's port for the ECS API; the next one is for the operator's verbs. Default: as before, else 8080.
    #[arg(long)]
    port: Option<u16>,
    /// Zones. Default: as before, else 3.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
    zones: Option<u8>,
    /// Agents in each zone. Default: as before, else 1.
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=1000))]
    agents_per_zone: Option<u16>,
    /// Further agents in each zone that are of the managed pool: they run FARGATE tasks, and are in no cluster. Default: as before,
    /// else none.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=100))]
    managed_agents: Option<u16>,
    /// A program that the control nodes call when a capacity provider's pool is to have another size. Default: as before, else none.
    #[arg(long, value_name = "PATH")]
    scaling_hook: Option<PathBuf>,
    /// Run containers with Docker, or pretend to. Default: as before, else docker.
    #[arg(long, value_enum)]
    runtime: Option<Runtime>,
    /// Whether requests must be signed. Default: as before, else sigv4.
    #[arg(long, value_enum)]
    auth: Option<Auth>,
    /// Cpu units that each agent offers. They are shares, so agents may offer more than the machine has. Default: 1024 for
    /// each processor, at least 4096.
    #[arg(long, value_name = "UNITS", value_parser = clap::value_parser!(u32).range(128..))]
    agent_cpu: Option<u32>,
    /// Memory in MiB that each agent offers. Default: three quarters of the machine's, shared among the agents.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    agent_memory: Option<u32>,
    /// Instances that each agent process stands for, each with its own session; with the fake runtime only.
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u32).range(1..=2000))]
    fake_agents: Option<u32>,
    /// Stop what runs, forget everything, and begin anew.
    #[arg(long)]
    fresh: bool,
}

/// Which cluster.
#[derive(Debug, Clone, Args)]
struct DataArgs {
    /// The cluster's data folder.
    #[arg(long, value_name = "DIR", env = "TRIREME_DATA", default_value = ".trireme")]
    data: PathBuf,
}

#[derive(Debug, Subcommand)]
enum DevVerb {
    /// Kill a zone: SIGKILL to its control node and agents, and their containers killed.
    Kill {
        /// Such as us-east-1b.
        zone: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Start a zone again; returns when it has caught up and its agents are registered.
    Start {
        /// Such as us-east-1b.
        zone: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Stop all of it, containers too. The data stay.
    Stop {
        #[command(flatten)]
        data: DataArgs,
    },
}

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// Nothing: tasks are only said to run.
    Fake,
}

impl Runtime {
    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Fake => "fake",
        }
    }
}

/// Whether requests must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// AWS signature version 4.
    Sigv4,
    /// Anybody on this machine may do anything.
    Off,
}

impl Auth {
    fn name(self) -> &'static str {
        match self {
            Self::Sigv4 => "sigv4",
            Self::Off => "off",
        }
    }
}

/// Runs `trireme dev` or one of its verbs.
pub async fn run(args: DevArgs) -> Result<()> {
    match args.verb {
        None => foreground(args.run).await,
        Some(DevVerb::Kill { zone, data }) => stop::kill_zone(&data.data, &zone).await,
        Some(DevVerb::Start { zone, data }) => zone::start_zone(&data.data, &zone).await,
        Some(DevVerb::Stop { data }) => stop::stop(&data.data).await,
    }
}

async fn foreground(args: RunArgs) -> Result<()> {
    // From here on a signal is an order to stop in good order, also while things are being started.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let layout = Layout::create(&args.data.data)?;
    let _lock = lock::take(&layout)?;
    if args.fresh {
        wipe(&layout).await?;
    }
    let before = ClusterFile::read(layout.root())?;
    let running = match &before {
        Some(cluster) => stop::any_running(&Launcher::new(layout.clone(), cluster.clone())?)?,
        None => false,
    };
    let cluster = plan::cluster(&args, before.as_ref(), running)?;
    let door = Door::bind(cluster.front_door.parse()?, cluster.front_door_grpc.parse()?).await?;
    cluster.write(layout.root())?;
    let launcher = Launcher::new(layout, cluster)?;
    let result = tokio::select! {
        result = bring_up(&launcher, door) => match result {
            Ok(()) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                Ok(())
            }
            Err(error) => Err(error),
        },
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    if running && result.is_err() {
        // What was alive before stays alive: it may be whole but for one zone.
        return result;
    }
    if let Err(error) = &result {
        let _reader_gone = writeln!(std::io::stderr(), "error: {error:#}");
    }
    say!("stopping");
    tokio::select! {
        stopped = stop::stop_all(&launcher) => stopped?,
        _ = interrupt.recv() => anyhow::bail!("interrupted while stopping; `trireme dev stop` finishes it"),
    }
    say!("stopped");
    result.map_err(|_| anyhow::anyhow!("the cluster did not come up"))
}

/// Stops and forgets the cluster that was here. What is in the way of that, short of a process that lives, is only told.
async fn wipe(layout: &Layout) -> Result<()> {
    let Some(cluster) = stop::known(layout) else { return Ok(()) };
    let zones: Vec<String> = cluster.zones.iter().map(|zone| zone.name.clone()).collect();
    let launcher = Launcher::new(layout.clone(), cluster)?;
    if let Err(error) = stop::stop_all(&launcher).await {
        if stop::any_running(&launcher)? {
            return Err(error);
        }
        let _reader_gone =
            writeln!(std::io::stderr(), "warning: what was here is not wholly gone: {error:#}");
    }
    layout.wipe(&zones)
}

async fn bring_up(launcher: &Launcher, door: Door) -> Result<()> {
    let cluster = &launcher.cluster;
    say!("zones: {}", cluster.zones.iter().map(|zone| zone.name.as_str()).collect::<Vec<_>>().join(", "));
    let mut running = found_cluster(launcher).await?;
    running.extend(zone::start(launcher, &cluster.zones).await?);
    door.open(&Nodes::watch(cluster));
    let key = AccessKeyFile::read(&launcher.layout.access_key())?;
    let env_file = |subnets: &[Subnet]| {
        env_file::write(&launcher.layout, &cluster.front_door, launcher.bin(), &key, subnets)
    };
    env_file(&[])?;
    zone::wait_ready(launcher, &mut running).await?;
    // Everything but tasks of network mode awsvpc runs without.
    let subnets = subnets::ensure(cluster).await.unwrap_or_else(|error| {
        let _reader_gone = writeln!(std::io::stderr(), "warning: there are no subnets: {error:#}");
        Vec::new()
    });
    env_file(&subnets)?;
    tokio::spawn(tell_ends(launcher.clone(), running));
    say!("ECS API:  http://{}", cluster.front_door);
    say!("gRPC:     {}", cluster.front_door_grpc);
    for subnet in &subnets {
        say!("subnet:   {} {} {}", subnet.id, subnet.zone, subnet.cidr);
    }
    say!("try:      . {}", shown(&launcher.layout.env()));
    say!("ready");
    Ok(())
}

/// Relative to the current folder when that is shorter.
fn shown(path: &std::path::Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// Makes the control nodes' data where there are none: the first node's by `init`, the others' by `join`.
async fn found_cluster(launcher: &Launcher) -> Result<Vec<Running>> {
    let zones = &launcher.cluster.zones;
    let first = zones.first().context("no zones")?;
    let mut running = Vec::new();
    if !launcher.layout.access_key().exists() {
        // What an interrupted founding left: nobody was ever given its key.
        launcher.layout.wipe_server(&first.name)?;
        launcher.init(first).await?;
    }
    let key = launcher.layout.cluster_key(&first.name);
    for zone in &zones[1..] {
        if launcher.layout.is_founded(&zone.name) {
            continue;
        }
        running.push(zone::start_server(launcher, first).await?);
        launcher.join(zone, &first.grpc, &key).await?;
        // It votes from the moment it answers; the next one joins three living nodes, not two dead ones.
        running.push(zone::start_server(launcher, zone).await?);
    }
    Ok(running)
}

/// How often it is looked for processes that began or ended.
const WATCH: Duration = Duration::from_millis(500);

/// Says when a process ends, also one that was started by `trireme dev start` meanwhile. Nothing is restarted: who kills a zone
/// wants it dead.
async fn tell_ends(launcher: Launcher, mut running: Vec<Running>) {
    loop {
        tokio::time::sleep(WATCH).await;
        running.retain_mut(|it| match it.ended() {
            Some(how) => {
                say!("{}: {} ended ({how})", it.zone, it.role);
                false
            }
            None => true,
        });
        for zone in &launcher.cluster.zones {
            for role in Launcher::roles(zone) {
                let Ok(Some(process)) = process::named_in(&launcher.layout.pid_file(&zone.name, role)) else {
                    continue;
                };
                if !running.iter().any(|it| it.process == process) {
                    running.push(Running { zone: zone.name.clone(), role, process, child: None });
                }
            }
        }
    }
}
