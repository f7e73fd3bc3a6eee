//! The `trireme` binary: arguments, and the development cluster.
//!
//! Reading order: [`server`] and [`agent`] (one process of a cluster) · [`dev`] (a whole cluster on one machine) · [`recover`] · [`verify`] · [`chaos`]
//! (a fault on a cluster of one's own) · [`process`]
//! (processes that outlive who started them). The operator's verbs are in `trireme-cli`.

mod agent;
mod chaos;
mod dev;
mod image_args;
mod process;
mod recover;
mod server;
mod verify;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A commit makes and drops hundreds of small objects on several threads; the system's allocator takes twice as long over it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// This binary's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A container orchestrator with the Amazon ECS API that you run yourself.
#[derive(Debug, Parser)]
#[command(name = "trireme", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a control node, or found one.
    Server(server::ServerArgs),
    /// Run an agent: the side of a machine that runs containers.
    Agent(agent::AgentArgs),
    /// Run a whole cluster on this machine.
    Dev(dev::DevArgs),
    /// Show zones, control nodes, agents, services and tasks.
    Status(trireme_cli::status::StatusArgs),
    /// Show what happened, from the history.
    Events(trireme_cli::events::EventsArgs),
    /// Show how much of the history is kept, or set it.
    Retention(trireme_cli::retention::RetentionArgs),
    /// Show or set what holds for an ECS cluster, beyond what ECS's API knows.
    Cluster(trireme_cli::cluster::ClusterArgs),
    /// Show subnets, add one, or remove one: in them tasks of network mode awsvpc have their addresses.
    Subnet(trireme_cli::subnet::SubnetArgs),
    /// Make a backup of a running cluster.
    Backup(trireme_cli::backup::BackupArgs),
    /// Make an empty data folder the first control node of a cluster that comes back from a backup.
    Restore(server::RestoreArgs),
    /// Check everything that is kept: of a running cluster, of a control node that is stopped, or in a backup.
    Verify(verify::VerifyArgs),
    /// Say why a task is where it is and why it stopped, or why a service has not all of its tasks.
    Explain(trireme_cli::explain::ExplainArgs),
    /// Say what a change would do, before anybody makes it.
    Plan(trireme_cli::plan::PlanArgs),
    /// Empty a container instance, or say what that would move.
    Drain(trireme_cli::drain::DrainArgs),
    /// Say what a loss would come to.
    Whatif(trireme_cli::whatif::WhatifArgs),
    /// Show the cluster as it was at a moment, or why something was as it was.
    At(trireme_cli::at::AtArgs),
    /// Show what changed between two moments.
    Diff(trireme_cli::diff::DiffArgs),
    /// Show what instances, services and tasks use, beside what is reserved; or what one task used in the last hours.
    Top(trireme_cli::top::TopArgs),
    /// Make a fault on a cluster of your own, with guard rails.
    Chaos(chaos::ChaosArgs),
    /// Run a command in a task's container, with this terminal.
    Exec(trireme_cli::exec::ExecArgs),
    /// Show what a task's containers wrote.
    Logs(trireme_cli::logs::LogsArgs),
    /// Wait until a service is whole: all its tasks RUNNING, on machines that live.
    Wait(trireme_cli::wait::WaitArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let long_lived = matches!(arguments.verb, Verb::Server(_) | Verb::Agent(_));
    // Their other exit codes say something else: what a command said that was run, or what a change would come to.
    let failure = match &arguments.verb {
        Verb::Exec(_) => ExitCode::from(trireme_cli::exec::FAILED),
        Verb::Plan(_) | Verb::Whatif(_) => ExitCode::from(trireme_cli::forecast::FAILED),
        Verb::Drain(drain) if drain.plan => ExitCode::from(trireme_cli::forecast::FAILED),
        _ => ExitCode::FAILURE,
    };
    start_log(long_lived);
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            if !is_closed_pipe(&error) {
                eprintln!("error: {error:#}");
            }
            failure
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    // Few threads: three control nodes and their agents may share one small machine, and Raft has threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(verb(arguments.verb));
    // What still blocks a thread, such as a sync of a slow disk, must not keep the process alive.
    runtime.shutdown_background();
    result
}

async fn verb(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Exec(args) => return Ok(Box::pin(trireme_cli::exec::run(&args)).await?),
        Verb::Logs(args) => return Ok(Box::pin(trireme_cli::logs::run(&args)).await?),
        Verb::Plan(args) => return Ok(Box::pin(trireme_cli::plan::run(&args)).await?),
        Verb::Drain(args) => return Ok(Box::pin(trireme_cli::drain::run(&args)).await?),
        Verb::Whatif(args) => return Ok(Box::pin(trireme_cli::whatif::run(&args)).await?),
        other => plain(other).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A verb whose exit code says only whether it failed.
async fn plain(verb: Verb) -> Result<()> {
    match verb {
        Verb::Server(args) => Box::pin(server::run(args)).await,
        Verb::Agent(args) => Box::pin(agent::run(args)).await,
        Verb::Dev(args) => Box::pin(dev::run(args)).await,
        Verb::Chaos(args) => Box::pin(chaos::run(args)).await,
        Verb::Status(args) => Ok(trireme_cli::status::run(&args).await?),
        Verb::Events(args) => Ok(trireme_cli::events::run(&args).await?),
        Verb::Top(args) => Ok(trireme_cli::top::run(&args).await?),
        Verb::Retention(args) => Ok(trireme_cli::retention::run(&args).await?),
        Verb::Cluster(args) => Ok(trireme_cli::cluster::run(&args).await?),
        Verb::Subnet(args) => Ok(trireme_cli::subnet::run(&args).await?),
        Verb::Backup(args) => Ok(trireme_cli::backup::run(&args, verify::check).await?),
        Verb::Restore(args) => Box::pin(server::restore(args)).await,
        Verb::Verify(args) => verify::run(args).await,
        Verb::Wait(args) => Ok(trireme_cli::wait::run(&args).await?),
        Verb::Explain(args) => Ok(Box::pin(trireme_cli::explain::run(&args)).await?),
        Verb::At(args) => Ok(Box::pin(trireme_cli::at::run(&args)).await?),
        Verb::Diff(args) => Ok(Box::pin(trireme_cli::diff::run(&args)).await?),
        Verb::Exec(_) | Verb::Logs(_) | Verb::Plan(_) | Verb::Drain(_) | Verb::Whatif(_) => {
            unreachable!("they have exit codes of their own")
        }
    }
}

/// Logs go to standard error; `TRIREME_LOG` chooses what, as in `TRIREME_LOG=trireme_raft=debug`.
fn start_log(long_lived: bool) {
    let default = if long_lived { "info,openraft=error" } else { "error" };
    let filter = EnvFilter::try_from_env("TRIREME_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// The reader of our output went away, as `head` does: nobody wants to hear of it.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
