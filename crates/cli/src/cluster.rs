//! `trireme cluster set`: what an operator sets of an ECS cluster, beyond what ECS's API knows.

use std::time::Duration;

use serde::Serialize;
use trireme_rpc::operator::{SetClusterRequest, SetClusterResponse};

use crate::Error;
use crate::client;
use crate::duration::duration;
use crate::output;
use crate::target::TargetArgs;

/// The arguments of `trireme cluster`.
#[derive(Debug, Clone, clap::Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    /// Show what holds for a cluster, or set it.
    Set(SetArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct SetArgs {
    /// The ECS cluster's name, or its ARN.
    name: String,
    #[command(flatten)]
    target: TargetArgs,
    /// Take a container instance for lost, and replace its tasks, when its agent was silent for so long: 2s to 1h, or `default` for
    /// 5s. An agent that is stopped with SIGTERM says for how long it goes, and is waited for.
    #[arg(long, value_name = "TIME", value_parser = lost_after)]
    lost_after: Option<Duration>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// No time at all means the usual one.
fn lost_after(text: &str) -> Result<Duration, String> {
    if text == "default" { Ok(Duration::ZERO) } else { duration(text).and_then(above_zero) }
}

fn above_zero(time: Duration) -> Result<Duration, String> {
    if time.as_millis() > 0 { Ok(time) } else { Err("it is a time above 0, or `default`".to_owned()) }
}

#[derive(Debug, Serialize)]
struct Shown {
    cluster: String,
    lost_after_ms: u64,
}

/// Runs `trireme cluster`.
pub async fn run(args: &ClusterArgs) -> Result<(), Error> {
    let Verb::Set(args) = &args.verb;
    let target = args.target.resolve()?;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let request =
        SetClusterRequest { cluster: args.name.clone(), lost_after_ms: args.lost_after.map(millis) };
    let set = |address: String| {
        let request = request.clone();
        async move { client::set_cluster(&address, request).await }
    };
    show(client::leader_first(&target, set).await?, args.json)
}

fn show(response: SetClusterResponse, json: bool) -> Result<(), Error> {
    let shown = Shown { cluster: response.cluster_arn, lost_after_ms: response.lost_after_ms };
    if json {
        return output::json(&shown);
    }
    let seconds = shown.lost_after_ms as f64 / 1000.0;
    output::line(format!("{}: an agent that is silent for {seconds} s is lost", shown.cluster))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_time_is_asked_for_by_its_name() {
        assert_eq!(lost_after("default"), Ok(Duration::ZERO));
        assert_eq!(lost_after("30s"), Ok(Duration::from_secs(30)));
        assert!(lost_after("0").is_err() && lost_after("0.0001s").is_err());
    }
}
