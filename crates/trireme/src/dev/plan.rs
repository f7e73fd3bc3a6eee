//! The shape of the cluster: as it was before, and as the arguments want it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use trireme_cli::cluster_file::{AgentSize, ClusterFile, ZoneFile};

use super::layout::{Layout, Role, zone_names};
use super::ports::{Ports, loopback};
use super::{Auth, RunArgs, Runtime};

const DEFAULT_PORT: u16 = 8080;
const DEFAULT_ZONES: u8 = 3;
const DEFAULT_AGENTS: u16 = 1;

/// The cluster to run. What is fixed once it exists, or while any of it runs, must not change.
pub fn cluster(args: &RunArgs, before: Option<&ClusterFile>, running: bool) -> Result<ClusterFile> {
    let port = match (args.port, before) {
        (Some(port), _) => port,
        (None, Some(before)) => before.front_door.parse::<std::net::SocketAddr>()?.port(),
        (None, None) => DEFAULT_PORT,
    };
    if port == 0 || port == u16::MAX {
        bail!("--port must be between 1 and 65534");
    }
    let runtime = args.runtime.map(Runtime::name);
    let auth = args.auth.map(Auth::name);
    let zones = zones(args, before, &mut Ports::after(port))?;
    let agents = zones.iter().map(|zone| zone.agent_metrics.len()).sum::<usize>();
    let cluster = ClusterFile {
        format: 1,
        front_door: loopback(port).to_string(),
        front_door_grpc: loopback(port + 1).to_string(),
        runtime: runtime.or(before.map(|b| b.runtime.as_str())).unwrap_or("docker").to_owned(),
        auth: auth.or(before.map(|b| b.auth.as_str())).unwrap_or("sigv4").to_owned(),
        agent: agent_size(args, before, agents),
        managed_agents: managed(args, before)?,
        scaling_hook: scaling_hook(args, before)?,
        zones,
    };
    if cluster.runtime != "fake" && cluster.agent.instances != 1 {
        bail!("--fake-agents needs --runtime fake");
    }
    if let Some(before) = before.filter(|_| running) {
        refuse_changes(before, &cluster)?;
    }
    Ok(cluster)
}

/// A cluster whose file is damaged, as far as its folders tell: enough to end it, not to start it.
pub fn from_folders(layout: &Layout) -> ClusterFile {
    let mut zones = Vec::new();
    for name in zone_names(u8::MAX) {
        let folder = layout.zone(&name);
        if !folder.is_dir() {
            continue;
        }
        let agents = (1..).take_while(|number| layout.data(&name, Role::Agent(*number)).exists()).count();
        let (api, grpc) = (String::new(), String::new());
        zones.push(ZoneFile { name, api, grpc, agent_metrics: vec![String::new(); agents] });
    }
    ClusterFile {
        format: 1,
        front_door: String::new(),
        front_door_grpc: String::new(),
        runtime: Runtime::Docker.name().to_owned(),
        auth: Auth::Sigv4.name().to_owned(),
        agent: AgentSize { cpu_units: 0, memory_mib: 0, instances: 1 },
        managed_agents: 0,
        scaling_hook: None,
        zones,
    }
}

/// Processes that run already keep their arguments.
fn refuse_changes(before: &ClusterFile, cluster: &ClusterFile) -> Result<()> {
    let changes = [
        ("--runtime", before.runtime != cluster.runtime),
        ("--auth", before.auth != cluster.auth),
        ("--agent-cpu, --agent-memory or --fake-agents", before.agent != cluster.agent),
        ("--scaling-hook", before.scaling_hook != cluster.scaling_hook),
    ];
    if let Some((flag, _)) = changes.iter().find(|(_, changed)| *changed) {
        bail!("{flag} cannot change while nodes of this cluster run: `trireme dev stop` first, or --fresh");
    }
    Ok(())
}

fn zones(args: &RunArgs, before: Option<&ClusterFile>, ports: &mut Ports) -> Result<Vec<ZoneFile>> {
    let mut zones = match before {
        Some(before) => before.zones.clone(),
        None => new_zones(args.zones.unwrap_or(DEFAULT_ZONES), ports)?,
    };
    if args.zones.is_some_and(|count| usize::from(count) != zones.len()) {
        bail!("this cluster has {} zones; --fresh begins anew with another number", zones.len());
    }
    let known = before.and_then(|before| before.zones.first()).map(|zone| zone.agent_metrics.len());
    let managed = managed(args, before)?;
    let agents = match (args.agents_per_zone, known) {
        (Some(agents), _) => usize::from(agents).saturating_add(managed),
        (None, Some(known)) => known,
        (None, None) => usize::from(DEFAULT_AGENTS).saturating_add(managed),
    };
    if managed > 0 && known.is_some_and(|known| known != agents) {
        bail!("the number of agents cannot change beside those of the managed pool; --fresh begins anew");
    }
    for zone in &mut zones {
        if zone.agent_metrics.len() > agents {
            bail!("{} has {} agents; --fresh begins anew with fewer", zone.name, zone.agent_metrics.len());
        }
        while zone.agent_metrics.len() < agents {
            zone.agent_metrics.push(ports.take()?);
        }
    }
    Ok(zones)
}

/// How many agents of each zone are of the managed pool. Which ones they are is a matter of their numbers.
fn managed(args: &RunArgs, before: Option<&ClusterFile>) -> Result<usize> {
    let known = before.map(|before| before.managed_agents);
    match (args.managed_agents.map(usize::from), known) {
        (Some(wanted), Some(known)) if wanted != known => {
            bail!(
                "this cluster has {known} agents of the managed pool in each zone; --fresh begins anew with {wanted}"
            )
        }
        (wanted, known) => Ok(wanted.or(known).unwrap_or(0)),
    }
}

/// An absolute path: control nodes run elsewhere.
fn scaling_hook(args: &RunArgs, before: Option<&ClusterFile>) -> Result<Option<PathBuf>> {
    let known = before.and_then(|before| before.scaling_hook.clone());
    let Some(given) = &args.scaling_hook else { return Ok(known) };
    let path = given.canonicalize().with_context(|| format!("no scaling hook {}", given.display()))?;
    Ok(Some(path))
}

fn new_zones(count: u8, ports: &mut Ports) -> Result<Vec<ZoneFile>> {
    let zone = |name| {
        let (api, grpc) = (ports.take()?, ports.take()?);
        Ok(ZoneFile { name, api, grpc, agent_metrics: Vec::new() })
    };
    zone_names(count).into_iter().map(zone).collect()
}

fn agent_size(args: &RunArgs, before: Option<&ClusterFile>, agents: usize) -> AgentSize {
    let before = before.map(|before| before.agent);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = u32::try_from(processors * 1024).unwrap_or(u32::MAX).max(4096);
    let memory = machine_memory_mib() / 4 * 3 / u64::try_from(agents.max(1)).unwrap_or(1);
    let memory = u32::try_from(memory).unwrap_or(u32::MAX).max(512);
    AgentSize {
        cpu_units: args.agent_cpu.or(before.map(|b| b.cpu_units)).unwrap_or(cpu),
        memory_mib: args.agent_memory.or(before.map(|b| b.memory_mib)).unwrap_or(memory),
        instances: args.fake_agents.or(before.map(|b| b.instances)).unwrap_or(1),
    }
}

/// The machine's memory, as the kernel tells it.
fn machine_memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(4 << 20) / 1024
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn args(line: &[&str]) -> RunArgs {
        Line::parse_from(std::iter::once("dev").chain(line.iter().copied())).run
    }

    #[test]
    fn a_cluster_carries_on_as_it_was() {
        let first = args(&["--port", "22000", "--zones", "2", "--agents-per-zone", "2", "--runtime", "fake"]);
        let before = cluster(&first, None, false).unwrap();
        assert_eq!(before.zones.len(), 2);
        assert_eq!(before.zones[1].name, "us-east-1b");
        assert_eq!(before.zones[1].agent_metrics.len(), 2);
        let again = cluster(&args(&[]), Some(&before), true).unwrap();
        assert_eq!(again, before);
    }

    #[test]
    fn what_is_fixed_does_not_change() {
        let before = cluster(&args(&["--port", "22100"]), None, false).unwrap();
        assert!(cluster(&args(&["--zones", "5"]), Some(&before), false).is_err());
        assert!(cluster(&args(&["--auth", "off"]), Some(&before), true).is_err());
        assert_eq!(cluster(&args(&["--auth", "off"]), Some(&before), false).unwrap().auth, "off");
        assert!(cluster(&args(&["--fake-agents", "3"]), None, false).is_err());
        let managed = cluster(&args(&["--port", "22200", "--managed-agents", "2"]), None, false).unwrap();
        assert_eq!((managed.managed_agents, managed.zones[0].agent_metrics.len()), (2, 3));
        assert_eq!(cluster(&args(&[]), Some(&managed), true).unwrap(), managed);
        assert!(cluster(&args(&["--managed-agents", "1"]), Some(&managed), false).is_err());
    }
}
