//! `trireme chaos run`: one fault on an operator's own cluster, with guard rails: never the last quorum, always an undo, a kill
//! switch, and a dry run.
//!
//! On a cluster of `trireme dev` the faults are made here. On any other they are the operator's own commands: one that makes the
//! fault and one that ends it; what they do is not known here, so the operator says how many control nodes they take.
//!
//! Reading order: [`guard`] (whether it may be done) · [`fault`] (how it is done and undone) · here (doing it, and watching).

mod fault;
mod guard;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use trireme_cli::client::ask_all;
use trireme_cli::report::Report;
use trireme_cli::target::{Target, TargetArgs};

use fault::Fault;

/// Faults on a cluster of one's own, to see that it lives through them.
#[derive(Debug, Args)]
pub struct ChaosArgs {
    #[command(subcommand)]
    verb: ChaosVerb,
}

#[derive(Debug, Subcommand)]
enum ChaosVerb {
    /// Make one fault, hold it, undo it, and wait until the cluster is whole again.
    ///
    /// Refused unless the cluster is whole and keeps a quorum. Ctrl-C, or a file named chaos-stop in the data folder, undoes it at
    /// once. The exit code says whether the cluster healed in time.
    Run(RunArgs),
}

#[derive(Debug, Clone, Args)]
struct RunArgs {
    /// What to do.
    #[arg(value_enum)]
    fault: FaultArg,
    #[command(flatten)]
    target: TargetArgs,
    /// Hold the fault for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    hold: u64,
    /// The cluster must be whole within so many seconds after it.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    heal: u64,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// For `command`: makes the fault, by the shell.
    #[arg(long, value_name = "COMMAND", required_if_eq("fault", "command"))]
    inject: Option<String>,
    /// For `command`: ends it, by the shell; it runs whatever happens.
    #[arg(long, value_name = "COMMAND", required_if_eq("fault", "command"))]
    undo: Option<String>,
    /// For `command`: how many control nodes it takes at most.
    #[arg(long, value_name = "N", default_value_t = 1)]
    takes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FaultArg {
    /// SIGKILL to the control node that leads.
    KillLeader,
    /// SIGKILL to a control node that follows.
    KillFollower,
    /// SIGSTOP to the control node that leads, then SIGCONT.
    FreezeLeader,
    /// SIGKILL to the agents of one zone; their containers run on.
    KillAgents,
    /// SIGKILL to everything in the leader's zone, containers too.
    KillZone,
    /// Commands of your own.
    Command,
}

const PAUSE: Duration = Duration::from_millis(200);

/// Runs `trireme chaos`.
pub async fn run(args: ChaosArgs) -> Result<()> {
    let ChaosVerb::Run(args) = args.verb;
    let target = args.target.resolve()?;
    let report = look(&target).await;
    let fault = Fault::choose(&args, &target, &report)?;
    guard::check(&report, &fault)?;
    println!("fault: {fault}, for {} s; then: {}", args.hold, fault.undoing());
    let switch = args.target.data.join("chaos-stop");
    println!("kill switch: Ctrl-C, or the file {}", switch.display());
    if args.dry_run {
        println!("dry run: nothing was done");
        return Ok(());
    }
    if switch.exists() {
        bail!("{} is there: nothing was done", switch.display());
    }
    let made = fault.make().await;
    let leaderless = match &made {
        Ok(()) => Some(hold(&target, Duration::from_secs(args.hold), &switch).await),
        Err(_) => None,
    };
    // Whatever happened: what was begun is undone.
    fault.undo().await?;
    made?;
    let healed = heal(&target, &report, Duration::from_secs(args.heal)).await?;
    let leaderless = leaderless.unwrap_or_default().as_secs_f64();
    println!(
        "without a leader for about {leaderless:.1} s; whole again {:.1} s after the undo",
        healed.as_secs_f64()
    );
    Ok(())
}

async fn look(target: &Target) -> Report {
    Report::of(&ask_all(target).await, target.cluster.as_ref())
}

/// Watches until the time is over or somebody pulls the switch; gives how long nobody led, as far as was seen.
async fn hold(target: &Target, time: Duration, switch: &Path) -> Duration {
    let began = Instant::now();
    let (mut leaderless, mut looked) = (Duration::ZERO, began);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    while began.elapsed() < time {
        if switch.exists() {
            println!("{} is there: undoing", switch.display());
            break;
        }
        tokio::select! {
            _ = &mut interrupted => {
                println!("interrupted: undoing");
                break;
            }
            report = look(target) => {
                if !report.quorum {
                    leaderless += looked.elapsed();
                }
                looked = Instant::now();
            }
        }
        tokio::time::sleep(PAUSE.min(time.saturating_sub(began.elapsed()))).await;
    }
    leaderless
}

async fn heal(target: &Target, before: &Report, limit: Duration) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let missing = match guard::whole(&look(target).await, before) {
            Ok(()) => return Ok(began.elapsed()),
            Err(missing) => missing,
        };
        if began.elapsed() > limit {
            bail!("the cluster is not whole {} s after the undo: {missing}", limit.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
