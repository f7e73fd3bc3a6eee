//! The core beside etcd's.

use clap::Parser;
use trireme_bench::beside_etcd;

/// The client has its share of the machine: the less it takes, the more is left for both.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    beside_etcd::run(&beside_etcd::Args::parse()).await
}
