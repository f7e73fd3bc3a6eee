//! `trireme at`: the cluster as it was at a moment, or why something was as it was then.

use clap::Subcommand;
use serde::Serialize;
use trireme_rpc::explain::{Moment, StatusAtRequest, StatusAtResponse};
use trireme_rpc::operator::ClusterStatusResponse;

use crate::diff::At;
use crate::explain::{self, ExplainArgs};
use crate::report::{AgentReport, ServiceReport, ZoneReport};
use crate::target::{Target, TargetArgs};
use crate::{Error, explainer, output, report, status};

/// The arguments of `trireme at`.
#[derive(Debug, Clone, clap::Args)]
pub struct AtArgs {
    /// The number of an event, a time such as 2026-11-29T04:14:49Z, or how long ago, such as 5m.
    #[arg(value_parser = explainer::moment)]
    moment: Moment,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Zones, agents, services and tasks as they were.
    Status {
        #[command(flatten)]
        target: TargetArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Why a task was where it was, or why a service had not all of its tasks.
    Explain(ExplainArgs),
}

#[derive(Serialize)]
struct Shown {
    as_of: At,
    zones: Vec<ZoneReport>,
    agents: Vec<AgentReport>,
    services: Vec<ServiceReport>,
}

/// Runs `trireme at`.
///
/// # Errors
/// It is no longer kept, or nobody answers.
pub async fn run(args: &AtArgs) -> Result<(), Error> {
    match &args.verb {
        Verb::Status { target, json } => show(&target.resolve()?, args.moment, *json).await,
        Verb::Explain(subject) => explain::ask(subject, Some(args.moment)).await,
    }
}

async fn show(target: &Target, moment: Moment, json: bool) -> Result<(), Error> {
    let request = StatusAtRequest { at: Some(moment) };
    let ask = |mut client: explainer::Client| async move { client.status_at(request).await };
    let StatusAtResponse { point, status } = explainer::ask(target, ask).await?;
    let (point, status) = (point.unwrap_or_default(), status.unwrap_or_default());
    let shown = shown(point.into(), &status);
    if json {
        return output::json(&shown);
    }
    let head = format!("as of event {} ({})", point.sequence, output::date(point.at_millis));
    let rows = shown.zones.iter().map(|zone| {
        let others = zone.tasks.iter().filter(|(status, count)| *status != "RUNNING" && **count > 0);
        let others: Vec<String> = others.map(|(status, count)| format!("{count} {status}")).collect();
        vec![zone.name.clone(), zone.agents.to_string(), zone.running_tasks.to_string(), others.join(", ")]
    });
    let zones = output::table(&["zone", "agents", "running tasks", "other tasks"], rows);
    let parts = [head, zones, status::agents(&shown.agents, true), status::services(&shown.services)];
    output::line(parts.join("\n\n"))
}

fn shown(as_of: At, status: &ClusterStatusResponse) -> Shown {
    // Whether an agent was heard the history does not know; that it was lost, it does.
    let agent = |instance| AgentReport { silent_for_ms: Some(0), ..report::agent_report(instance) };
    Shown {
        as_of,
        zones: report::zone_reports(&[], Some(status), None),
        agents: status.instances.iter().map(agent).collect(),
        services: report::service_reports(status),
    }
}
