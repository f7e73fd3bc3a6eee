//! `trireme drain`: empties a machine, and shows how far it is; or only says what that would move.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use trireme_rpc::explain::{DrainResponse, Forecast, InstanceRequest};

use crate::forecast::{self, Shown, Task};
use crate::target::{Target, TargetArgs};
use crate::{Error, explainer, output};

/// The arguments of `trireme drain`.
#[derive(Debug, Clone, clap::Args)]
pub struct DrainArgs {
    /// The container instance: its name, such as us-east-1a/agent-1, its id or its ARN.
    pub node: String,
    /// Its cluster, where several have an instance of that name.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Only say what draining would move, and whether all of it fits elsewhere. Exit codes: 0: nothing would move; 1: something would,
    /// and all fits, in whatever order it happens; 255: not all fits, or it is not certain, or it could not be found out.
    #[arg(long)]
    pub plan: bool,
    /// Give up waiting after so many seconds. The instance stays DRAINING.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    pub timeout: u64,
    /// Do not wait until it is empty.
    #[arg(long, conflicts_with = "plan")]
    pub detach: bool,
    /// Print JSON; of the progress, a line for each change.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    /// Which control nodes.
    pub target: TargetArgs,
}

const PAUSE: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Plan {
    /// Tasks that stay on the machine.
    stays: Vec<Task>,
    #[serde(flatten)]
    forecast: Shown,
}

#[derive(Serialize)]
struct Progress<'a> {
    instance: &'a str,
    service_tasks: u32,
    standalone_tasks: u32,
    stopping: u32,
}

/// Runs `trireme drain`.
///
/// # Errors
/// It could not be begun, or found out.
pub async fn run(args: &DrainArgs) -> Result<ExitCode, Error> {
    let target = args.target.resolve()?;
    let cluster = args.cluster.clone().unwrap_or_default();
    let request = InstanceRequest { cluster, instance: args.node.clone() };
    if args.plan { plan(args, &target, &request).await } else { drain(args, &target, &request).await }
}

async fn plan(args: &DrainArgs, target: &Target, request: &InstanceRequest) -> Result<ExitCode, Error> {
    let ask = |mut client: explainer::Client| async move { client.plan_drain(request.clone()).await };
    let plan = explainer::ask(target, ask).await?;
    let code = forecast::exit_code(&plan, !plan.moves.is_empty());
    if args.json {
        let stays = plan.tasks.iter().map(Task::from).collect();
        output::json(&Plan { stays, forecast: Shown::from(&plan) })?;
    } else {
        output::line(text(args, &plan))?;
    }
    Ok(code)
}

fn text(args: &DrainArgs, plan: &Forecast) -> String {
    let mut parts = Vec::new();
    if plan.moves.is_empty() {
        parts.push(format!("Nothing would move from {}.", args.node));
    } else {
        parts.extend([forecast::services(plan), forecast::moves(plan)]);
    }
    parts.extend(forecast::refusals(plan));
    let standalone = plan.tasks.iter().filter(|task| task.service.is_empty()).count();
    if standalone > 0 {
        parts.push(format!("{standalone} tasks of no service stay until somebody stops them."));
    }
    parts.push(forecast::verdict(plan));
    parts.join("\n\n")
}

/// Has it drained, and waits until it is empty.
async fn drain(args: &DrainArgs, target: &Target, request: &InstanceRequest) -> Result<ExitCode, Error> {
    let began = Instant::now();
    let ask = |mut client: explainer::Client| async move { client.drain(request.clone()).await };
    let mut said = None;
    loop {
        let now = explainer::ask(target, ask).await?;
        if said.as_ref() != Some(&now) {
            say(args, &now, began)?;
        }
        if args.detach || now.service_tasks + now.standalone_tasks == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        if now.service_tasks == 0 {
            let what = format!(
                "{} tasks of no service stay until somebody stops them (aws ecs stop-task)",
                now.standalone_tasks
            );
            output::notice(what);
            return Ok(ExitCode::SUCCESS);
        }
        if began.elapsed() >= Duration::from_secs(args.timeout) {
            output::notice(format!("next: trireme drain {} --plan; trireme explain <service>", args.node));
            return Err(Error::NotEmpty {
                seconds: args.timeout,
                node: args.node.clone(),
                tasks: now.service_tasks,
            });
        }
        said = Some(now);
        tokio::time::sleep(PAUSE).await;
    }
}

fn say(args: &DrainArgs, now: &DrainResponse, began: Instant) -> Result<(), Error> {
    let instance = forecast::name_of(now.place.as_ref());
    let (service_tasks, standalone_tasks, stopping) = (now.service_tasks, now.standalone_tasks, now.stopping);
    if args.json {
        let progress = Progress { instance: &instance, service_tasks, standalone_tasks, stopping };
        let text = serde_json::to_string(&progress).map_err(|error| Error::Output(error.into()))?;
        return output::line(text);
    }
    let after = began.elapsed().as_secs_f64();
    output::line(match service_tasks + standalone_tasks {
        0 => format!("{instance} is DRAINING and empty after {after:.1} s"),
        tasks => {
            format!("{instance} is DRAINING: {tasks} tasks on it, {stopping} of them stopping ({after:.1} s)")
        }
    })
}
