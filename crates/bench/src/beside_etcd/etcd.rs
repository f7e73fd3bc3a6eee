//! Three etcd nodes on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tonic::transport::{Channel, Endpoint};
use trireme_rpc::tcp;

use super::target::{Connection, Killable, Target};
use super::wire::kv_client::KvClient;
use super::wire::maintenance_client::MaintenanceClient;
use super::wire::{PutRequest, RangeRequest, StatusRequest};
use crate::processes::{Process, free_port};

/// The cluster.
pub(crate) struct Cluster {
    binary: PathBuf,
    folder: PathBuf,
    clients: Vec<u16>,
    peers: Vec<u16>,
    nodes: Vec<Option<Process>>,
}

const LIMIT: Duration = Duration::from_secs(30);

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

impl Cluster {
    pub(crate) async fn start(binary: &Path, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let ports = |_| free_port();
        let mut cluster = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            clients: (0..3).map(ports).collect::<Result<_>>()?,
            peers: (0..3).map(ports).collect::<Result<_>>()?,
            nodes: Vec::new(),
        };
        for node in 0..3 {
            let process = cluster.spawn(node, "new")?;
            cluster.nodes.push(Some(process));
        }
        cluster.leader().await?;
        Ok(cluster)
    }

    fn spawn(&self, node: usize, state: &str) -> Result<Process> {
        let all: Vec<String> =
            self.peers.iter().enumerate().map(|(id, port)| format!("n{id}={}", url(*port))).collect();
        let (client, peer) = (url(self.clients[node]), url(self.peers[node]));
        let mut command = Command::new(&self.binary);
        command.args(["--name", &format!("n{node}")]);
        command.arg("--data-dir").arg(self.folder.join(format!("n{node}")));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", state]);
        command.args(["--logger", "zap"]);
        Process::start(&mut command, &self.folder.join(format!("n{node}.log")))
    }

    /// The node that leads, when every living node says the same.
    async fn leader(&self) -> Result<usize> {
        let deadline = Instant::now() + LIMIT;
        let mut last = "nobody was asked".to_owned();
        while Instant::now() < deadline {
            match self.ask_leader().await {
                Ok(node) => return Ok(node),
                Err(error) => last = format!("{error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("etcd has no leader: {last}")
    }

    async fn ask_leader(&self) -> Result<usize> {
        let mut leads = None;
        for (node, port) in self.clients.iter().enumerate() {
            let mut client = MaintenanceClient::new(channel(*port)?);
            let ask = client.status(StatusRequest {});
            let status = tokio::time::timeout(Duration::from_secs(1), ask).await.context("no answer")??;
            let status = status.into_inner();
            let member = status.header.map_or(0, |header| header.member_id);
            if status.leader != 0 && status.leader == member {
                leads = Some(node);
            }
        }
        leads.context("none of them leads")
    }

    pub(crate) fn memory(&self) -> Vec<u64> {
        self.nodes.iter().flatten().map(Process::memory).collect()
    }
}

/// A connection to one node.
#[derive(Clone)]
pub(crate) struct Wire(KvClient<Channel>);

fn channel(port: u16) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url(port)).context("an address")?;
    Ok(tcp::connect_lazy(&endpoint))
}

fn wire(port: u16) -> Result<Wire> {
    Ok(Wire(KvClient::new(channel(port)?)))
}

fn key(object: u64) -> Vec<u8> {
    format!("/bench/{object:016}").into_bytes()
}

impl Connection for Wire {
    async fn write(&mut self, object: u64, value: &str) -> Result<()> {
        let request = PutRequest { key: key(object), value: value.as_bytes().to_vec() };
        self.0.put(request).await.map(drop).context("put")
    }

    async fn read(&mut self, object: u64) -> Result<()> {
        self.0.range(RangeRequest { key: key(object) }).await.map(drop).context("range")
    }
}

impl Target for Cluster {
    type Connection = Wire;

    async fn connect(&self, count: usize) -> Result<Vec<Wire>> {
        let leader = self.leader().await?;
        (0..count).map(|_| wire(self.clients[leader])).collect()
    }

    fn processor_time(&self) -> Duration {
        self.nodes.iter().flatten().map(Process::processor_time).sum()
    }
}

impl Killable for Cluster {
    async fn connect_each(&self) -> Result<Vec<Wire>> {
        self.clients.iter().map(|port| wire(*port)).collect()
    }

    async fn kill_leader(&mut self) -> Result<usize> {
        let leader = self.leader().await?;
        if let Some(mut process) = self.nodes[leader].take() {
            process.kill();
        }
        Ok(leader)
    }

    async fn revive(&mut self, node: usize) -> Result<()> {
        self.nodes[node] = Some(self.spawn(node, "existing")?);
        self.leader().await.map(drop)
    }
}
