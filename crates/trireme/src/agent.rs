//! `trireme agent`: the side of a machine that runs containers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use trireme_agent::{AgentConfig, Allowed, RuntimeConfig};
use trireme_server::metrics::Metrics;

use crate::image_args::ImageArgs;

/// An agent.
///
/// It dials a control node, registers this machine as a container instance, and runs what it is assigned. Without a control
/// node it keeps everything running.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// The gRPC address of a control node. Give several: the first that answers is used.
    #[arg(long = "server", value_name = "HOST:PORT", required = true)]
    servers: Vec<String>,
    /// The data folder: by what is in it a restarted agent finds its containers again.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The availability zone.
    #[arg(long)]
    zone: String,
    /// A name for people. Default: the zone and this machine's name.
    #[arg(long)]
    name: Option<String>,
    /// The ECS cluster to register in. It is created when it does not exist.
    #[arg(long, default_value = "default")]
    cluster: String,
    /// The pool that this machine belongs to: what a capacity provider's autoScalingGroupArn names; or `managed`: then it is in no
    /// cluster, and runs the FARGATE tasks of every cluster and account.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// The region of the tasks.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// The account of the tasks.
    #[arg(long, default_value = "123456789012")]
    account: String,
    /// What runs containers.
    #[arg(long, value_enum, default_value = "docker")]
    runtime: RuntimeArg,
    /// Docker's socket.
    #[arg(long, value_name = "PATH", default_value = "/var/run/docker.sock")]
    docker_socket: PathBuf,
    /// Cpu units to offer. Default: 1024 for each processor, less what is kept for the system.
    #[arg(long, value_name = "UNITS")]
    cpu: Option<u32>,
    /// Memory to offer, in MiB. Default: the machine's, less what is kept for the system.
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Cpu units to keep for the system.
    #[arg(long, value_name = "UNITS")]
    reserve_cpu: Option<u32>,
    /// Memory to keep for the system, in MiB. Default, without --memory: a twentieth of the machine's, at most 1024.
    #[arg(long, value_name = "MIB")]
    reserve_memory: Option<u32>,
    /// Offer more than the machine has. Without it such an agent does not start. For several agents that share a machine.
    #[arg(long)]
    oversubscribe: bool,
    /// The ids of the GPUs to offer, with commas between them: NVIDIA's (`GPU-…`), or names of the Container Device Interface
    /// (`amd.com/gpu=0`). Nothing: none. Default: those of NVIDIA's driver; none with --oversubscribe, for agents that share a machine
    /// must not share its GPUs.
    #[arg(long, value_name = "ID,ID")]
    gpus: Option<String>,
    /// Run containers that ask for all of the machine's rights. Without it they are placed elsewhere, with the reason ATTRIBUTE.
    #[arg(long)]
    allow_privileged: bool,
    /// Give containers the devices of the machine that they ask for. Without it they are placed elsewhere, with the reason ATTRIBUTE.
    #[arg(long)]
    allow_host_devices: bool,
    /// Give containers the paths of the machine that their volumes name. Without it they are placed elsewhere, with the reason
    /// ATTRIBUTE.
    #[arg(long)]
    allow_host_paths: bool,
    /// Do not answer containers that ask for their metadata at 169.254.170.2. To answer them takes port 80 there, which all agents of a
    /// machine share, and the right to give the loopback device that address.
    #[arg(long)]
    no_metadata: bool,
    #[command(flatten)]
    images: ImageArgs,
    /// Told to stop with SIGTERM or SIGINT, the agent says that it is away for so long: its tasks run on, and are not replaced unless it
    /// stays away longer. At most 10m count. 0: it says nothing, and is lost like one that is killed.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = trireme_cli::duration::duration)]
    absence: Duration,
    /// Give containers the machine's namespaces of processes and of their communication when their task asks for them. Without it
    /// they are placed elsewhere, with the reason ATTRIBUTE.
    #[arg(long)]
    allow_host_namespaces: bool,
    /// Read objects that tasks name as those of S3 (files of environment variables) from DIR/BUCKET/KEY. Without it such tasks are
    /// placed elsewhere, with the reason ATTRIBUTE.
    #[arg(long, value_name = "DIR")]
    object_dir: Option<PathBuf>,
    /// Ship every line of tasks off this machine: `syslog://HOST:PORT` (UDP), `syslog+tcp://HOST:PORT`, or `http://HOST:PORT/PATH`
    /// (batches of JSON lines). What nobody takes waits on the disk, within bounds.
    #[arg(long, value_name = "URL", env = "TRIREME_LOG_FORWARD")]
    log_forward: Option<String>,
    /// Serve /metrics here.
    #[arg(long, value_name = "IP:PORT")]
    listen_metrics: Option<SocketAddr>,
    /// Stand for so many instances, each with a session of its own; with the fake runtime only.
    #[arg(long, value_name = "N", hide = true, default_value_t = 1)]
    fake_agents: u32,
    #[arg(long, value_name = "FILE", hide = true)]
    pid_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RuntimeArg {
    /// A Docker Engine.
    Docker,
    /// Containers in memory only.
    Fake,
}

/// Runs `trireme agent` until it is told to stop. What runs goes on without it.
pub async fn run(args: AgentArgs) -> Result<()> {
    if args.fake_agents == 0 || (args.fake_agents > 1 && args.runtime != RuntimeArg::Fake) {
        bail!("--fake-agents above 1 needs --runtime fake");
    }
    std::fs::create_dir_all(&args.data)
        .with_context(|| format!("cannot make the data folder {}", args.data.display()))?;
    let _claim = crate::process::claim(&args.data, args.pid_file.as_deref()).await?;
    if let Some(address) = args.listen_metrics {
        Metrics::install(crate::VERSION)?.serve(address).await?;
    }
    let stop = CancellationToken::new();
    let mut agents = tokio::task::JoinSet::new();
    for number in 1..=args.fake_agents {
        let (config, stop) = (config(&args, number), stop.clone());
        agents.spawn(trireme_agent::run(config, stop));
    }
    let requested = trireme_server::shutdown::requested()?;
    let mut result = Ok(());
    tokio::select! {
        () = requested => {}
        // One that cannot run ends all of them.
        ended = agents.join_next() => result = ended.context("no agents")?.context("the agent panicked")?,
    }
    stop.cancel();
    while agents.join_next().await.is_some() {}
    Ok(result?)
}

fn config(args: &AgentArgs, number: u32) -> AgentConfig {
    let name = args.name.clone().unwrap_or_else(|| format!("{}/{}", args.zone, machine_name()));
    let (name, data) = match args.fake_agents {
        1 => (name, args.data.clone()),
        _ => (format!("{name}-{number}"), args.data.join(number.to_string())),
    };
    AgentConfig {
        endpoints: args.servers.iter().map(|server| with_scheme(server)).collect(),
        cluster: args.cluster.clone(),
        zone: args.zone.clone(),
        name,
        region: args.region.clone(),
        account: args.account.clone(),
        data_dir: Some(data),
        runtime: match args.runtime {
            RuntimeArg::Docker => RuntimeConfig::Docker { socket: args.docker_socket.clone() },
            RuntimeArg::Fake => RuntimeConfig::fake(),
        },
        cpu_units: args.cpu,
        memory_mib: args.memory,
        reserve_cpu_units: args.reserve_cpu,
        reserve_memory_mib: args.reserve_memory,
        oversubscribe: args.oversubscribe,
        gpus: args
            .gpus
            .as_ref()
            .map(|ids| ids.split(',').filter(|_| !ids.is_empty()).map(str::to_owned).collect()),
        allow: Allowed {
            privileged: args.allow_privileged,
            host_devices: args.allow_host_devices,
            host_paths: args.allow_host_paths,
            host_namespaces: args.allow_host_namespaces,
        },
        metadata: !args.no_metadata,
        images: args.images.config(),
        // Many in one process would say it all at once, and their containers end with them.
        absence_ms: match args.fake_agents {
            1 => u64::try_from(args.absence.as_millis()).unwrap_or(u64::MAX),
            _ => 0,
        },
        pool: args.pool.clone(),
        object_dir: args.object_dir.clone(),
        log_forward: args.log_forward.clone(),
        ..AgentConfig::default()
    }
}

fn with_scheme(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "agent-1".to_owned() } else { name.to_owned() }
}

/// Kills and removes the containers of the agent of this name, whose data folder this is: by what is in it, and by the control
/// plane's identity if that is known. The agent itself must be dead, or it would take their end for news.
pub async fn remove_containers(data: &Path, name: &str, cluster_uuid: Option<&str>) -> Result<()> {
    let config = AgentConfig {
        name: name.to_owned(),
        data_dir: Some(data.to_owned()),
        runtime: RuntimeConfig::docker(),
        ..AgentConfig::default()
    };
    trireme_agent::remove_containers(&config, cluster_uuid).await?;
    Ok(())
}
