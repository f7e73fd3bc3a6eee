//! `trireme whatif`: what would be lost, what would run elsewhere then, and what would not.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;
use trireme_rpc::explain::{Verdict, ZoneLossRequest, ZoneLossResponse};

use crate::forecast::{self, Shown, Task};
use crate::target::TargetArgs;
use crate::{Error, explainer, output};

/// The arguments of `trireme whatif`.
#[derive(Debug, Clone, clap::Args)]
pub struct WhatifArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// If a zone were lost, with its control nodes and its machines. Exit codes: 0: it is survivable for certain; 1: it is not, or it is
    /// not certain; 255: it could not be found out.
    ZoneLoss(ZoneLossArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct ZoneLossArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The zone, such as us-east-1a.
    zone: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Loss {
    zone: String,
    survivable: bool,
    container_instances: u32,
    tasks_lost: u64,
    tasks_started_elsewhere: u64,
    tasks_without_a_place: u64,
    voters: u32,
    voters_in_zone: u32,
    keeps_quorum: bool,
    standalone_lost: Vec<Task>,
    #[serde(flatten)]
    forecast: Shown,
}

/// Runs `trireme whatif`.
///
/// # Errors
/// It could not be found out.
pub async fn run(args: &WhatifArgs) -> Result<ExitCode, Error> {
    let Verb::ZoneLoss(args) = &args.verb;
    let target = args.target.resolve()?;
    let request = ZoneLossRequest { zone: args.zone.clone() };
    let request = &request;
    let ask = |mut client: explainer::Client| async move { client.zone_loss(request.clone()).await };
    let loss = explainer::ask(&target, ask).await?;
    if args.json {
        output::json(&shown(&loss))?
    } else {
        output::line(text(&loss))?
    }
    Ok(if loss.survivable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(loss: &ZoneLossResponse) -> Loss {
    let forecast = loss.forecast.clone().unwrap_or_default();
    let sum = |of: fn(&trireme_rpc::explain::ServiceOutlook) -> u32| {
        forecast.services.iter().map(|one| u64::from(of(one))).sum::<u64>()
    };
    Loss {
        zone: loss.zone.clone(),
        survivable: loss.survivable,
        container_instances: loss.instances,
        tasks_lost: sum(|one| one.lost) + forecast.tasks.len() as u64,
        tasks_started_elsewhere: sum(|one| one.started),
        tasks_without_a_place: sum(|one| one.unplaced),
        voters: loss.voters,
        voters_in_zone: loss.voters_in_zone,
        keeps_quorum: loss.keeps_quorum,
        standalone_lost: forecast.tasks.iter().map(Task::from).collect(),
        forecast: Shown::from(&forecast),
    }
}

fn text(loss: &ZoneLossResponse) -> String {
    let (forecast, sums) = (loss.forecast.clone().unwrap_or_default(), shown(loss));
    let mut parts = vec![format!(
        "If {} were lost: {} container instances and {} tasks with them; {} start elsewhere, {} find no place.\n\
         Control plane: {} of {} voters are there; the others {} a quorum.",
        loss.zone,
        loss.instances,
        sums.tasks_lost,
        sums.tasks_started_elsewhere,
        sums.tasks_without_a_place,
        loss.voters_in_zone,
        loss.voters,
        if loss.keeps_quorum { "are" } else { "are NOT" },
    )];
    if !forecast.services.is_empty() {
        parts.push(forecast::services(&forecast));
    }
    parts.extend(forecast::refusals(&forecast));
    if !forecast.tasks.is_empty() {
        parts
            .push(format!("{} tasks of no service are lost; nobody starts them anew.", forecast.tasks.len()));
    }
    parts.push(match (loss.survivable, loss.keeps_quorum) {
        (true, _) => {
            "SURVIVABLE: every service is whole again elsewhere, in whatever order things happen.".to_owned()
        }
        (false, false) => {
            "NOT SURVIVABLE: without a quorum nothing is started anew; tasks elsewhere run on.".to_owned()
        }
        (false, true) if forecast.verdict() == Verdict::Uncertain => format!("NOT CERTAIN: {}", forecast.why),
        (false, true) => format!("NOT SURVIVABLE: {}", forecast.why),
    });
    let failing = forecast.services.iter().find(|one| one.verdict() != Verdict::Fits);
    if let Some(one) = failing.filter(|one| !one.was_whole) {
        parts.push(format!(
            "next: trireme explain {} --cluster {} (it is not whole even now)",
            one.name, one.cluster
        ));
    }
    parts.join("\n\n")
}
