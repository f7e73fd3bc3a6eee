//! `trireme subnet`: subnets, in which tasks have addresses of their own (network mode awsvpc).

use clap::Subcommand;
use serde::Serialize;
pub use trireme_rpc::operator::{AddSubnetRequest, Subnet};
use trireme_types::SubnetId;
pub use trireme_types::{Cidr, Scope};

use crate::Error;
use crate::client;
use crate::output;
use crate::target::TargetArgs;

/// The arguments of `trireme subnet`.
#[derive(Debug, Clone, clap::Args)]
pub struct SubnetArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Add a subnet to a zone.
    Add(AddArgs),
    /// Show all subnets.
    List {
        #[command(flatten)]
        target: TargetArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a subnet that no task and no service uses.
    Remove {
        #[command(flatten)]
        target: TargetArgs,
        /// Such as subnet-0123456789abcdef0.
        id: String,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The zone whose tasks get its addresses.
    #[arg(long)]
    zone: String,
    /// Its addresses, between /16 and /28, such as 10.1.2.0/24. No other subnet may have any of them, nor may anything else that the
    /// machines reach.
    #[arg(long)]
    cidr: String,
    /// The range that it is a part of: tasks in the subnets of one network reach each other. At most a /16. Default: that of the
    /// account's other subnets, if it is in there; else the /16 around it.
    #[arg(long, value_name = "CIDR")]
    network: Option<String>,
    /// Its id, such as subnet-0123456789abcdef0. Default: a new one.
    #[arg(long)]
    id: Option<String>,
    /// The account of the tasks.
    #[arg(long, default_value = "123456789012")]
    account: String,
    /// The region of the tasks.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    account: String,
    region: String,
    zone: String,
    cidr: String,
    network: String,
    free: u32,
    tasks: u32,
    waiting: u32,
}

impl From<Subnet> for Shown {
    fn from(subnet: Subnet) -> Self {
        let Subnet { id, account, region, zone, cidr, network, free, tasks, waiting } = subnet;
        Self { id, account, region, zone, cidr, network, free, tasks, waiting }
    }
}

fn table(subnets: &[Shown]) -> String {
    let header = ["id", "zone", "cidr", "network", "tasks", "waiting", "free", "account", "region"];
    let row = |one: &Shown| {
        let numbers = [one.tasks, one.waiting, one.free].map(|number| number.to_string());
        let texts = [&one.id, &one.zone, &one.cidr, &one.network, &numbers[0], &numbers[1], &numbers[2]];
        texts.into_iter().chain([&one.account, &one.region]).cloned().collect()
    };
    output::table(&header, subnets.iter().map(row))
}

/// Runs `trireme subnet`.
pub async fn run(args: &SubnetArgs) -> Result<(), Error> {
    match &args.verb {
        Verb::Add(args) => add(args).await,
        Verb::List { target, json } => {
            let target = target.resolve()?;
            let subnets =
                client::leader_first(
                    &target,
                    |address| async move { client::subnets(&address).await.map(Ok) },
                );
            let subnets: Vec<Shown> = subnets.await?.into_iter().map(Shown::from).collect();
            if *json { output::json(&subnets) } else { output::line(table(&subnets)) }
        }
        Verb::Remove { target, id } => {
            let target = target.resolve()?;
            client::leader_first(&target, |address| async move { client::remove_subnet(&address, id).await })
                .await
        }
    }
}

/// The id of a new subnet. It is drawn before anybody is asked: who is asked second may find that the first one has added it.
pub fn drawn_id() -> String {
    SubnetId::from_random(rand::random()).to_string()
}

async fn add(args: &AddArgs) -> Result<(), Error> {
    let target = args.target.resolve()?;
    let request = AddSubnetRequest {
        id: args.id.clone().unwrap_or_else(drawn_id),
        account: args.account.clone(),
        region: args.region.clone(),
        zone: args.zone.clone(),
        cidr: args.cidr.clone(),
        network: args.network.clone().unwrap_or_default(),
    };
    let request = &request;
    let add = |address: String| async move { client::add_subnet(&address, request.clone()).await };
    let added = Shown::from(client::leader_first(&target, add).await?);
    if args.json { output::json(&added) } else { output::line(&added.id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_a_subnet_is_and_what_is_free() {
        let subnet = Subnet {
            id: "subnet-0123456789abcdef0".to_owned(),
            zone: "us-east-1a".to_owned(),
            cidr: "10.1.2.0/24".to_owned(),
            network: "10.1.0.0/16".to_owned(),
            free: 250,
            tasks: 1,
            ..Subnet::default()
        };
        let text = table(&[subnet.into()]);
        let line = text.lines().last().unwrap_or_default();
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["subnet-0123456789abcdef0", "us-east-1a", "10.1.2.0/24", "10.1.0.0/16", "1", "0", "250"]
        );
    }
}
