//! A fleet: three control nodes, thousands of simulated agents, each with a session of its own, and how long services take from
//! CreateService until all of their tasks are RUNNING.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use crate::api::{Client, Signed};
use crate::beside_etcd::target::Target as _;
use crate::processes::Process;
use crate::trireme::Cluster;

/// Between two looks: a look at a cluster costs nothing, but it is one more call.
const PAUSE: Duration = Duration::from_millis(100);
/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(900);
/// Calls of CreateService under way at once, as Terraform has it.
const CALLS: usize = 10;
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];
const MIB: u64 = 1024 * 1024;

/// The arguments of `bench-fleet`.
#[derive(Debug, Clone, clap::Parser)]
pub struct Args {
    /// The release binary.
    #[arg(long)]
    trireme: PathBuf,
    /// Agents in all.
    #[arg(long, default_value_t = 5_000)]
    agents: u32,
    /// Services.
    #[arg(long, default_value_t = 20)]
    services: u32,
    /// Tasks of each.
    #[arg(long, default_value_t = 5_000)]
    tasks: u32,
}

/// Runs it once and prints the figures beside their targets.
///
/// # Errors
/// Something did not start, or tasks did not run.
pub async fn run(args: &Args) -> Result<()> {
    let folder = tempfile::tempdir().context("a folder")?;
    let cluster = Cluster::start(&args.trireme, folder.path(), "region").await?;
    let began = Instant::now();
    let agents = start_agents(args, &cluster, folder.path())?;
    let client = Client::new(&cluster)?.at(cluster.leader_api().await?);
    until("agents", &client, &cluster, |found| found["registeredContainerInstancesCount"] == args.agents)
        .await?;
    println!("{} agents registered after {:.1} s", args.agents, began.elapsed().as_secs_f64());
    let container = json!({ "name": "main", "image": "busybox", "cpu": 64, "memory": 64 });
    call(
        &client,
        "RegisterTaskDefinition",
        &json!({ "family": "fleet", "containerDefinitions": [container] }),
    )
    .await?;
    let (began, busy) = (Instant::now(), processor_time(&cluster, &agents));
    create_services(args, &client).await?;
    let created = began.elapsed();
    let all = u64::from(args.services) * u64::from(args.tasks);
    until("tasks", &client, &cluster, |found| found["runningTasksCount"] == all).await?;
    let taken = began.elapsed();
    let (nodes, fleet) = processor_time(&cluster, &agents);
    let mut memory = cluster.peak_memory();
    memory.sort_unstable();
    println!(
        "{all} tasks of {} services from CreateService to RUNNING: {:.1} s (target: under 60 s for 100,000 on 5,000 agents and two \
         cores); the last CreateService was answered after {:.1} s",
        args.services,
        taken.as_secs_f64(),
        created.as_secs_f64()
    );
    println!(
        "processor time meanwhile: control nodes {:.1} s, agents {:.1} s",
        nodes.saturating_sub(busy.0).as_secs_f64(),
        fleet.saturating_sub(busy.1).as_secs_f64()
    );
    let memory: Vec<String> = memory.iter().map(|bytes| format!("{} MiB", bytes / MIB)).collect();
    println!(
        "most resident memory of the control nodes: {} (target: each under 1,024 MiB)",
        memory.join(", ")
    );
    Ok(())
}

async fn create_services(args: &Args, client: &Signed) -> Result<()> {
    let calls = (0..args.services).map(|number| async move {
        let name = format!("fleet-{number}");
        let service = json!({ "serviceName": name, "taskDefinition": "fleet", "desiredCount": args.tasks });
        call(client, "CreateService", &service).await.map(drop)
    });
    futures_util::stream::iter(calls).buffer_unordered(CALLS).try_collect().await
}

/// One process for each zone.
fn start_agents(args: &Args, cluster: &Cluster, folder: &Path) -> Result<Vec<Process>> {
    let start = |(at, zone): (usize, &&str)| {
        let left = usize::from((args.agents as usize % ZONES.len()) > at);
        let count = args.agents as usize / ZONES.len() + left;
        let mut agent = Command::new(&args.trireme);
        agent.args(["agent", "--zone", zone, "--runtime", "fake", "--fake-agents", &count.to_string()]);
        agent.args(["--cpu", "65536", "--memory", "262144", "--oversubscribe", "--no-metadata"]);
        agent.arg("--data").arg(folder.join(format!("agents-{zone}")));
        for server in cluster.servers() {
            agent.args(["--server", &server]);
        }
        Process::start(&mut agent, &folder.join(format!("agents-{zone}.log")))
    };
    ZONES.iter().enumerate().map(start).collect()
}

fn processor_time(cluster: &Cluster, agents: &[Process]) -> (Duration, Duration) {
    (cluster.processor_time(), agents.iter().map(Process::processor_time).sum())
}

async fn call(client: &Signed, operation: &str, request: &Value) -> Result<Value> {
    let answer = client.call(operation, request.to_string()).await.with_context(|| operation.to_owned())?;
    serde_json::from_slice(&answer).with_context(|| operation.to_owned())
}

/// Looks at the default cluster until it is as wanted. A busy node may say that it is to be asked again.
async fn until(
    what: &str,
    client: &Signed,
    cluster: &Cluster,
    wanted: impl Fn(&Value) -> bool,
) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    let mut client = client.clone();
    loop {
        let seen = call(&client, "DescribeClusters", &json!({})).await;
        match &seen {
            Ok(found) if wanted(&found["clusters"][0]) => return Ok(()),
            Ok(_) => {}
            Err(_) => client = Client::new(cluster)?.at(cluster.leader_api().await?),
        }
        if Instant::now() > deadline {
            bail!("waited in vain for {what}; last seen: {seen:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
