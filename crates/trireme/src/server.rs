//! `trireme server`: a control node, and how one is founded.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use trireme_server::{Auth, FileConfig, ServerConfig, Timing};

/// A control node.
///
/// Its data folder is made once: by `server init` for the first node of a new cluster, by `server join` for the others.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ServerArgs {
    #[command(subcommand)]
    verb: Option<ServerVerb>,
    #[command(flatten)]
    node: NodeArgs,
    #[arg(long, value_name = "FILE", hide = true)]
    pid_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ServerVerb {
    /// Found a new cluster: its identity, its key, its first access key. Once.
    Init {
        #[command(flatten)]
        node: NodeArgs,
        /// Write the first access key here, with mode 0600, instead of printing it.
        #[arg(long, value_name = "FILE")]
        access_key_file: Option<PathBuf>,
    },
    /// Join a running cluster.
    Join {
        #[command(flatten)]
        node: NodeArgs,
        /// The gRPC address of a control node. May be given several times.
        #[arg(long = "peer", value_name = "HOST:PORT", required = true)]
        peers: Vec<String>,
        /// A copy of the cluster's key: the file cluster.key in another control node's data folder.
        #[arg(long, value_name = "FILE")]
        cluster_key: PathBuf,
    },
    /// Remove a control node from its cluster by its number, which `trireme status` shows: one that is dead, or that is to go.
    /// Refused when the rest would have no living quorum.
    Remove {
        /// The node's number. It is never used again.
        #[arg(long, value_name = "N")]
        node: u64,
        /// The gRPC address of any control node that stays.
        #[arg(long, value_name = "HOST:PORT")]
        peer: String,
    },
    /// Move leadership to another control node, such as before work on the machine of the one that leads.
    TransferLeader {
        /// The number of the node that is to lead. Default: the one whose log is furthest.
        #[arg(long, value_name = "N")]
        to: Option<u64>,
        /// The gRPC address of any control node.
        #[arg(long, value_name = "HOST:PORT")]
        peer: String,
    },
    /// Remove this control node from its cluster. Refused when the rest would have no living quorum.
    Leave {
        /// The data folder of the node that leaves.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The gRPC address of any control node of the cluster.
        #[arg(long, value_name = "HOST:PORT")]
        peer: String,
    },
    /// Show what is in the data folder of a control node that is stopped; with --force-new-cluster, let the cluster live on
    /// from it. For a quorum that is lost for good.
    Recover(crate::recover::RecoverArgs),
}

/// Make an empty data folder the first control node of a cluster that comes back from a backup.
///
/// The cluster keeps its identity and gets a later incarnation: control nodes of the one before are refused and stop, agents
/// come over with their containers. What was acknowledged after the backup was taken is lost. The other control nodes are then
/// to join with empty data folders.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup.
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    #[command(flatten)]
    node: NodeArgs,
    /// A copy of the cluster's key, which the backup does not hold: the file cluster.key of a control node's data folder.
    #[arg(long, value_name = "FILE")]
    cluster_key: PathBuf,
    /// The incarnation that begins. It must be higher than any that the cluster had, in every restore and recovery: agents follow
    /// only a higher one. Default: the seconds since 1970, or the backup's and one if that is higher.
    #[arg(long, value_name = "N")]
    incarnation: Option<u64>,
}

/// What a control node needs to know; the configuration file may say it too.
#[derive(Debug, Clone, Args)]
struct NodeArgs {
    /// A TOML file with these settings (listen_api = "127.0.0.1:8000" and so on). Flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The availability zone.
    #[arg(long)]
    zone: Option<String>,
    /// Where to serve the ECS API, /healthz and /metrics.
    #[arg(long, value_name = "IP:PORT")]
    listen_api: Option<SocketAddr>,
    /// Where to serve gRPC to control nodes, agents and operators. A loopback address: there is no mTLS yet.
    #[arg(long, value_name = "IP:PORT")]
    listen_grpc: Option<SocketAddr>,
    /// Whether API requests must be signed; `off` on a loopback address only. Default: sigv4.
    #[arg(long, value_enum)]
    auth: Option<AuthArg>,
    /// How fast control nodes expect each other's answers. Default: region.
    #[arg(long, value_enum)]
    timing: Option<TimingArg>,
    /// While less than this is free on any control node's disk, in MiB, nothing that makes the state larger is taken. Default:
    /// 1024.
    #[arg(long, value_name = "MIB")]
    disk_reserve_mib: Option<u64>,
    /// Make a Raft snapshot after so many log entries. Default: 20000.
    #[arg(long, value_name = "COUNT")]
    snapshot_entries: Option<u64>,
    /// For how many seconds it still answers after SIGTERM: `/healthz` says 503 at once, leadership moves, agents go elsewhere,
    /// and balancers have so long to notice. A second SIGTERM ends it at once. Default: 5.
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<u64>,
    /// A program that makes pools of machines as large as they are to be: called while this node leads, for capacity providers with
    /// managed scaling. It is told the pool, the wanted number of machines, a request id, and which machines may go (README,
    /// "Capacity"). An absolute path; give it to every control node.
    #[arg(long, value_name = "PATH")]
    scaling_hook: Option<PathBuf>,
    /// Also call API destinations on this machine's own loopback addresses: whoever may put a rule then reaches what listens there.
    #[arg(long)]
    deliver_to_loopback: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AuthArg {
    Sigv4,
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TimingArg {
    /// Control nodes on machines in the zones of one region.
    Region,
    /// All on one machine.
    Local,
    /// Control nodes in regions that are far apart: messages may take up to a third of a second each way.
    Wide,
}

impl NodeArgs {
    fn complete(self) -> Result<ServerConfig> {
        let file = self.config.as_deref().map(FileConfig::read).transpose()?.unwrap_or_default();
        let flags = FileConfig {
            data: self.data,
            zone: self.zone,
            listen_api: self.listen_api,
            listen_grpc: self.listen_grpc,
            auth: self.auth.map(|auth| match auth {
                AuthArg::Sigv4 => Auth::Sigv4,
                AuthArg::Off => Auth::Off,
            }),
            timing: self.timing.map(|timing| match timing {
                TimingArg::Region => Timing::Region,
                TimingArg::Local => Timing::Local,
                TimingArg::Wide => Timing::Wide,
            }),
            disk_reserve_mib: self.disk_reserve_mib,
            snapshot_entries: self.snapshot_entries,
            drain_seconds: self.drain_seconds,
            scaling_hook: self.scaling_hook,
            deliver_to_loopback: self.deliver_to_loopback.then_some(true),
        };
        Ok(flags.or(file).complete()?)
    }
}

/// Makes the data folder of a control node to be, unless it is there, and claims it: only what is there can be claimed.
async fn found(data: &std::path::Path) -> Result<crate::process::Claim> {
    trireme_server::make_folder(data)?;
    crate::process::claim(data, None).await
}

/// Runs `trireme restore`.
pub async fn restore(args: RestoreArgs) -> Result<()> {
    let config = args.node.complete()?;
    let existed = config.data.exists();
    let _claim = found(&config.data).await?;
    let restored = trireme_server::restore(&config, &args.backup, &args.cluster_key, args.incarnation).await;
    if restored.is_err() && !existed {
        // It is empty, or something in it is not from here.
        let _kept = std::fs::remove_dir(&config.data);
    }
    let restored = restored?;
    let (identity, backup) = (restored.identity, restored.backup);
    println!(
        "restored as {identity}, at event {}; what was acknowledged after {} is lost",
        backup.position.sequence, backup.taken_at
    );
    println!(
        "now run `trireme server` on this data folder; the other control nodes join with empty ones (`trireme server join`)"
    );
    Ok(())
}

/// Runs `trireme server` or one of its verbs.
pub async fn run(args: ServerArgs) -> Result<()> {
    match args.verb {
        None => {
            let config = args.node.complete()?;
            let _claim = crate::process::claim(&config.data, args.pid_file.as_deref()).await?;
            Ok(Box::pin(trireme_server::run(config, crate::VERSION)).await?)
        }
        Some(ServerVerb::Recover(args)) => crate::recover::run(args).await,
        Some(ServerVerb::Init { node, access_key_file }) => init(node, access_key_file).await,
        Some(ServerVerb::Join { node, peers, cluster_key }) => {
            let config = node.complete()?;
            let _claim = found(&config.data).await?;
            let id = trireme_server::join(&config, &peers, &cluster_key).await?;
            println!("joined as node {id}; now run `trireme server` on this data folder");
            Ok(())
        }
        Some(ServerVerb::Remove { node, peer }) => {
            trireme_server::remove(node, &peer).await?;
            println!(
                "node {node} is no member any more; if it runs it stops by itself, and its data may be removed"
            );
            Ok(())
        }
        Some(ServerVerb::TransferLeader { to, peer }) => {
            let leader = trireme_server::transfer_leader(to, &peer).await?;
            println!("node {leader} leads");
            Ok(())
        }
        Some(ServerVerb::Leave { data, peer }) => {
            let id = trireme_server::leave(&data, &peer).await?;
            println!("node {id} has left; stop it and remove {}", data.display());
            Ok(())
        }
    }
}

async fn init(node: NodeArgs, access_key_file: Option<PathBuf>) -> Result<()> {
    if let Some(path) = access_key_file.as_ref().filter(|path| path.exists()) {
        bail!("{} exists already", path.display());
    }
    let config = node.complete()?;
    let _claim = found(&config.data).await?;
    let key = trireme_server::init(&config).await?;
    match access_key_file {
        Some(path) => key.write(&path)?,
        None => {
            println!("AWS_ACCESS_KEY_ID={}", key.access_key_id);
            println!("AWS_SECRET_ACCESS_KEY={}", key.secret_access_key);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(data: &std::path::Path) -> RestoreArgs {
        let place = data.parent().unwrap();
        let node = NodeArgs {
            config: None,
            data: Some(data.to_owned()),
            zone: Some("us-east-1a".to_owned()),
            listen_api: Some(([127, 0, 0, 1], 9).into()),
            listen_grpc: Some(([127, 0, 0, 1], 10).into()),
            auth: None,
            timing: Some(TimingArg::Local),
            disk_reserve_mib: None,
            snapshot_entries: None,
            drain_seconds: None,
            scaling_hook: None,
            deliver_to_loopback: false,
        };
        RestoreArgs { backup: place.join("backup"), node, cluster_key: place.join("key"), incarnation: None }
    }

    #[tokio::test]
    async fn a_restore_needs_the_folder_for_itself_and_leaves_none_when_it_fails() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        Box::pin(restore(args(&data))).await.unwrap_err();
        assert!(!data.exists(), "it was not there before");
        std::fs::create_dir(&data).unwrap();
        let held = crate::process::claim(&data, None).await.unwrap();
        let error = Box::pin(restore(args(&data))).await.unwrap_err();
        assert!(error.to_string().contains("another process uses the data folder"), "{error:#}");
        assert!(data.exists(), "it is the other's");
        drop(held);
        Box::pin(restore(args(&data))).await.unwrap_err();
        assert!(data.exists(), "it was there before");
    }
}
