//! `trireme chaos run`: one fault on an operator's own cluster, with guard rails: never the last quorum, always an undo, a kill
//! switch, and a dry run.
//!
//! On a cluster of `trireme dev` the faults are made here. On any other they are the operator's own commands: one that makes the
//! fault and one that ends it; what they do is not known here, so the operator says how many control nodes they take.
//!
//! Two runs could each take what the other leaves. On one machine the second is refused; on two machines nobody sees both, and
//! the operator has to.
//!
//! Reading order: [`guard`] (whether it may be done) · [`lock`] (one run at a time) · [`fault`] (how it is done and undone) ·
//! [`strike`] (doing it, and watching) · [`switch`] (what ends it early).

mod fault;
mod guard;
mod lock;
mod strike;
mod switch;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use trireme_cli::client::ask_all;
use trireme_cli::target::{Target, TargetArgs};

use fault::Fault;
use guard::View;
use strike::Strike;
use switch::Switch;

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
    /// Refused unless the cluster is whole, keeps a quorum, and has no other run from this machine; do not run it from two
    /// machines at once. Ctrl-C, SIGTERM, SIGHUP, or a file named chaos-stop in the data folder, undoes it at once. The exit code
    /// says whether the cluster healed in time.
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
    /// The cluster must be whole within so many seconds after the undo began.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    heal: u64,
    /// Undo it at once when nobody led for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    leaderless: u64,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// For `command`: makes the fault, by the shell.
    #[arg(long, value_name = "COMMAND", required_if_eq("fault", "command"))]
    inject: Option<String>,
    /// For `command`: ends it, by the shell; it runs whatever happens, also when the first failed half way.
    #[arg(long, value_name = "COMMAND", required_if_eq("fault", "command"))]
    undo: Option<String>,
    /// For `command`: how many control nodes it takes at most.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN)]
    takes: NonZeroUsize,
    /// For `command`: it takes no control node. Nobody checks that.
    #[arg(long, conflicts_with = "takes")]
    takes_none: bool,
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
/// For a node that is a little behind, or that an election is just over on, to be whole.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// Runs `trireme chaos`.
pub async fn run(args: ChaosArgs) -> Result<()> {
    let ChaosVerb::Run(args) = args.verb;
    let target = args.target.resolve()?;
    let Some(cluster) = look(&target).await.report.cluster_uuid else {
        bail!("no control node answers");
    };
    let _alone = lock::take(&cluster)?;
    // After the lock: another run may have been under way until then.
    let before = settled(&target).await?;
    let fault = Fault::choose(&args, &target, &before.report)?;
    guard::check(&before, &fault)?;
    let file = args.target.data.join("chaos-stop");
    tell(&format!("fault: {fault}, for {} s; then: {}", args.hold, fault.undoing()));
    tell(&format!("kill switch: Ctrl-C, or the file {}", file.display()));
    if args.dry_run {
        tell("dry run: nothing was done");
        return Ok(());
    }
    if file.exists() {
        bail!("{} is there: nothing was done", file.display());
    }
    let strike = Strike {
        fault: &fault,
        target: &target,
        hold: Duration::from_secs(args.hold),
        heal: Duration::from_secs(args.heal),
        leaderless: Duration::from_secs(args.leaderless),
    };
    strike.run(&before, Switch::new(file)?).await
}

async fn look(target: &Target) -> View {
    View::of(&ask_all(target).await, target.cluster.as_ref())
}

/// The cluster, once it is whole.
async fn settled(target: &Target) -> Result<View> {
    let began = Instant::now();
    loop {
        let view = look(target).await;
        let Err(missing) = guard::whole(&view, &view) else { return Ok(view) };
        if began.elapsed() > SETTLE_LIMIT {
            bail!("the cluster is not whole, so nothing is done to it: {missing}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says it if anybody listens. A terminal that is gone must not end a run before its undo.
fn tell(text: &str) {
    use std::io::Write as _;
    let _nobody_listens = writeln!(std::io::stdout(), "{text}");
}
