//! `trireme plan`: what an update of a service would do, before anybody makes it.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;
use trireme_rpc::explain::{PlanServiceRequest, Verdict};

use crate::forecast::{self, Shown};
use crate::target::TargetArgs;
use crate::{Error, explainer, output};

/// The arguments of `trireme plan`.
#[derive(Debug, Clone, clap::Args)]
pub struct PlanArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// What UpdateService would do: which tasks start where and which stop, in which order, how many healthy ones are left, and what
    /// finds no place. Exit codes: 0: nothing would change; 1: something would, and all fits, in whatever order it happens; 255: not
    /// all fits, or it is not certain, or it could not be found out.
    Service(ServiceArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct ServiceArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The service's name or ARN.
    name: String,
    /// Its cluster.
    #[arg(long, default_value = "default")]
    cluster: String,
    /// How many tasks it is to have.
    #[arg(long, value_name = "N")]
    desired_count: Option<u32>,
    /// What its tasks are to be made from: FAMILY, FAMILY:REVISION or an ARN.
    #[arg(long, value_name = "DEFINITION")]
    task_definition: Option<String>,
    /// Begin a deployment even without a change.
    #[arg(long)]
    force_new_deployment: bool,
    /// deploymentConfiguration.maximumPercent.
    #[arg(long, value_name = "PERCENT")]
    maximum_percent: Option<u32>,
    /// deploymentConfiguration.minimumHealthyPercent.
    #[arg(long, value_name = "PERCENT")]
    minimum_healthy_percent: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Plan {
    changes: bool,
    begins_a_deployment: bool,
    #[serde(flatten)]
    forecast: Shown,
}

/// Runs `trireme plan`.
///
/// # Errors
/// It could not be found out.
pub async fn run(args: &PlanArgs) -> Result<ExitCode, Error> {
    let Verb::Service(args) = &args.verb;
    let target = args.target.resolve()?;
    let request = PlanServiceRequest {
        cluster: args.cluster.clone(),
        service: args.name.clone(),
        desired_count: args.desired_count,
        task_definition: args.task_definition.clone().unwrap_or_default(),
        force_new_deployment: args.force_new_deployment,
        maximum_percent: args.maximum_percent,
        minimum_healthy_percent: args.minimum_healthy_percent,
    };
    let request = &request;
    let ask = |mut client: explainer::Client| async move { client.plan_service(request.clone()).await };
    let plan = explainer::ask(&target, ask).await?;
    let moves = !plan.moves.is_empty();
    if args.json {
        let forecast = Shown::from(&plan);
        output::json(&Plan { changes: plan.changes, begins_a_deployment: plan.deploys, forecast })?;
        return Ok(forecast::exit_code(&plan, plan.changes || moves));
    }
    let what = match (plan.changes, plan.deploys) {
        (false, _) if !moves => format!("Nothing would change of service {}.", args.name),
        (false, _) => format!(
            "Nothing would change of what is asked of service {}; it goes on with what is under way.",
            args.name
        ),
        (true, true) => format!("Service {} would begin a deployment.", args.name),
        (true, false) => format!("Service {} would change without a deployment.", args.name),
    };
    let mut parts = vec![what];
    if moves {
        parts.extend([forecast::services(&plan), forecast::moves(&plan)]);
    }
    parts.extend(forecast::refusals(&plan));
    parts.push(forecast::verdict(&plan));
    if plan.verdict() != Verdict::Fits {
        parts.push(format!("next: trireme explain {} --cluster {}", args.name, args.cluster));
    }
    output::line(parts.join("\n\n"))?;
    Ok(forecast::exit_code(&plan, plan.changes || moves))
}
