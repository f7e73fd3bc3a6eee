//! The speed of the core beside etcd's: three nodes each, on the same machine, in the same run, with fsync, in turn.
//!
//! A write is one unary gRPC call from this process over one of 16 connections: 256 bytes on one of 10,000 objects, answered
//! after it is synced on a quorum and applied. Calls are counted, never events. A read is linearizable. Each figure is the
//! median of several rounds, in which the two take turns, so that noise of the machine meets both.
//!
//! Reading order: [`figures`] · [`target`] · [`load`] · [`crate::trireme`] · [`etcd`] · [`crate::api`] · [`gap`].

mod etcd;
pub(crate) mod figures;
mod gap;
mod load;
pub(crate) mod target;

/// etcd's messages.
#[allow(missing_docs, clippy::all)]
mod wire {
    tonic::include_proto!("etcdserverpb");
}

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use crate::{api, trireme};
use figures::{Rounds, Table};
use target::Target;

/// Measures Trireme's core beside etcd's.
#[derive(Debug, Clone, Parser)]
pub struct Args {
    /// The release binary of trireme.
    #[arg(long, env = "TRIREME_BIN")]
    trireme: PathBuf,
    /// etcd's binary.
    #[arg(long, default_value = "/usr/bin/etcd")]
    etcd: PathBuf,
    /// Where the nodes' data go; the file system is what is measured. Default: a new folder under the temporary one.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Clients at once, in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    clients: Vec<usize>,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that one measurement takes.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// How often the leader is killed; the median counts. 0: not at all.
    #[arg(long, default_value_t = 5)]
    kills: usize,
    /// Write the figures to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Measures, and prints the table.
///
/// # Errors
/// A cluster does not start, or does not answer.
pub async fn run(args: &Args) -> Result<()> {
    let place = tempfile::Builder::new().prefix("bench-core").tempdir().context("no temporary folder")?;
    let data = args.data.clone().unwrap_or_else(|| place.path().to_owned());
    let mut trireme = trireme::Cluster::start(&args.trireme, &data.join("trireme"), "local").await?;
    trireme.fill().await?;
    let mut etcd = etcd::Cluster::start(&args.etcd, &data.join("etcd")).await?;
    let mut rounds = Rounds::default();
    for round in 0..args.rounds {
        for clients in &args.clients {
            eprintln!("round {} of {}, {clients} clients", round + 1, args.rounds);
            let time = Duration::from_secs_f64(args.seconds);
            measure(&trireme, "trireme", *clients, time, &mut rounds).await?;
            measure(&etcd, "etcd", *clients, time, &mut rounds).await?;
            let through_api = api::Client::new(&trireme)?;
            let figure = load::run(&through_api, load::Kind::Write, *clients, time).await?;
            rounds.add("trireme, HTTP and SigV4", "write", *clients, figure);
        }
    }
    for kill in 0..args.kills {
        eprintln!("kill {} of {}", kill + 1, args.kills);
        rounds.add_gap("trireme", gap::measure(&mut trireme).await?);
        rounds.add_gap("etcd", gap::measure(&mut etcd).await?);
    }
    let memory = [("trireme", trireme.memory()), ("etcd", etcd.memory())];
    let table = Table::of(&rounds, &memory);
    println!("{table}");
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&table.json()).context("figures as JSON")?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

async fn measure<T: Target>(
    target: &T,
    name: &str,
    clients: usize,
    time: Duration,
    rounds: &mut Rounds,
) -> Result<()> {
    for (kind, label) in [(load::Kind::Write, "write"), (load::Kind::Read, "read")] {
        let figure = load::run(target, kind, clients, time).await?;
        rounds.add(name, label, clients, figure);
    }
    Ok(())
}
