//! Thousands of simulated agents, and how long their tasks take to be RUNNING.

use clap::Parser;
use trireme_bench::fleet;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    fleet::run(&fleet::Args::parse()).await
}
