//! The start of tasks beside Docker's own and Swarm's.

use clap::Parser;
use trireme_bench::launch;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    launch::run(&launch::Args::parse()).await
}
