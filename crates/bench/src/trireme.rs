//! Three control nodes on loopback, written to by gRPC: one command is one call.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use tonic::transport::{Channel, Endpoint};
use trireme_rpc::control::control_client::ControlClient;
use trireme_rpc::control::{ProposeRequest, ReadIndexRequest, StatusRequest, StatusResponse};
use trireme_rpc::control::{propose_response, read_index_response};
use trireme_rpc::tcp;
use trireme_state::command::TaggedResource;
use trireme_state::object::{ClusterKey, Tags};
use trireme_state::{Actor, Command as Change, Proposal, codec};
use trireme_types::{ClusterName, RequestId, Scope};

use crate::beside_etcd::target::{Connection, Killable, OBJECTS, Target};
use crate::processes::{Process, free_port};

const LIMIT: Duration = Duration::from_secs(60);

/// The cluster.
pub(crate) struct Cluster {
    binary: PathBuf,
    folder: PathBuf,
    grpc: Vec<u16>,
    api: Vec<u16>,
    nodes: Vec<Option<Process>>,
    cluster_id: Bytes,
    timing: &'static str,
}

impl Cluster {
    /// Starts it, empty, with Raft's times for `timing`.
    pub(crate) async fn start(binary: &Path, folder: &Path, timing: &'static str) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let ports = |_| free_port();
        let mut cluster = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            grpc: (0..3).map(ports).collect::<Result<_>>()?,
            api: (0..3).map(ports).collect::<Result<_>>()?,
            nodes: Vec::new(),
            cluster_id: Bytes::new(),
            timing,
        };
        cluster.found().await?;
        Ok(cluster)
    }

    /// The access key that `server init` made.
    pub(crate) fn access_key(&self) -> Result<(String, String)> {
        let text = std::fs::read(self.folder.join("key.json")).context("the access key's file")?;
        let key: serde_json::Value = serde_json::from_slice(&text).context("the access key's file")?;
        let field = |name: &str| key[name].as_str().map(str::to_owned).context("the access key's file");
        Ok((field("access_key_id")?, field("secret_access_key")?))
    }

    /// Where the leader serves the API.
    pub(crate) async fn leader_api(&self) -> Result<u16> {
        Ok(self.api[self.leader().await?])
    }

    /// Where agents may dial.
    pub(crate) fn servers(&self) -> impl Iterator<Item = String> {
        self.grpc.iter().map(|port| format!("127.0.0.1:{port}"))
    }

    pub(crate) fn memory(&self) -> Vec<u64> {
        self.nodes.iter().flatten().map(Process::memory).collect()
    }

    pub(crate) fn peak_memory(&self) -> Vec<u64> {
        self.nodes.iter().flatten().map(Process::peak_memory).collect()
    }

    async fn found(&mut self) -> Result<()> {
        let key = self.folder.join("key.json");
        self.complete(0, &["init", "--access-key-file", &key.display().to_string()])?;
        self.nodes.push(Some(self.spawn(0)?));
        self.wait("the first node leads", |all| all[0].as_ref().is_some_and(|one| one.role == "leader"))
            .await?;
        let cluster_key = self.folder.join("n0/cluster.key").display().to_string();
        let peer = format!("127.0.0.1:{}", self.grpc[0]);
        for node in 1..3 {
            self.complete(node, &["join", "--peer", &peer, "--cluster-key", &cluster_key])?;
            let process = self.spawn(node)?;
            self.nodes.push(Some(process));
        }
        let all = self.wait("all vote", whole).await?;
        self.cluster_id = all.into_iter().flatten().next().context("a node's status")?.cluster_id;
        Ok(())
    }

    fn arguments(&self, node: usize) -> Vec<String> {
        let data = self.folder.join(format!("n{node}")).display().to_string();
        let zone = format!("us-east-1{}", ["a", "b", "c"][node]);
        let (api, grpc) = (format!("127.0.0.1:{}", self.api[node]), format!("127.0.0.1:{}", self.grpc[node]));
        [
            "--data",
            &data,
            "--zone",
            &zone,
            "--listen-api",
            &api,
            "--listen-grpc",
            &grpc,
            "--timing",
            self.timing,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Runs `server VERB` to its end.
    fn complete(&self, node: usize, verb: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(["server", verb[0]]).args(self.arguments(node)).args(&verb[1..]);
        let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
        if !output.status.success() {
            bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn spawn(&self, node: usize) -> Result<Process> {
        let mut command = Command::new(&self.binary);
        command.arg("server").args(self.arguments(node));
        Process::start(&mut command, &self.folder.join(format!("n{node}.log")))
    }

    async fn ask_all(&self) -> Vec<Option<StatusResponse>> {
        let mut all = Vec::new();
        for port in &self.grpc {
            let ask = async { channel(*port).ok()?.status(StatusRequest {}).await.ok() };
            let answer = tokio::time::timeout(Duration::from_secs(1), ask).await.ok().flatten();
            all.push(answer.map(tonic::Response::into_inner));
        }
        all
    }

    async fn wait(
        &self,
        what: &str,
        condition: impl Fn(&[Option<StatusResponse>]) -> bool,
    ) -> Result<Vec<Option<StatusResponse>>> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let all = self.ask_all().await;
            if condition(&all) {
                return Ok(all);
            }
            if Instant::now() > deadline {
                bail!("waited in vain until {what}; the nodes' logs are in {}", self.folder.display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn leader(&self) -> Result<usize> {
        let leads = |one: &Option<StatusResponse>| one.as_ref().is_some_and(|one| one.has_quorum);
        let all = self.wait("a node leads", |all| all.iter().any(leads)).await?;
        all.iter().position(leads).context("a leader")
    }

    /// Makes the objects: clusters, whose tags are the values.
    pub(crate) async fn fill(&self) -> Result<()> {
        let wire = self.connect(1).await?.remove(0);
        let numbers: Vec<u64> = (0..OBJECTS).collect();
        for part in numbers.chunks(256) {
            let made = part.iter().map(|object| {
                let mut wire = wire.clone();
                let cluster = object_key(*object);
                tokio::spawn(async move {
                    wire.propose(Change::CreateCluster { cluster: cluster?, tags: Tags::new() }).await
                })
            });
            for one in made.collect::<Vec<_>>() {
                one.await??;
            }
        }
        Ok(())
    }

    fn wire(&self, port: u16) -> Result<Wire> {
        Ok(Wire { client: channel(port)?, cluster_id: self.cluster_id.clone() })
    }
}

fn whole(all: &[Option<StatusResponse>]) -> bool {
    let voters = |one: &StatusResponse| one.members.iter().filter(|member| member.voter).count();
    all.iter().all(|one| one.as_ref().is_some_and(|one| voters(one) == 3 && !one.membership_changing))
}

fn channel(port: u16) -> Result<ControlClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).context("an address")?;
    Ok(ControlClient::new(tcp::connect_lazy(&endpoint)))
}

/// An object's name, as a cluster.
pub(crate) fn object_name(object: u64) -> String {
    format!("bench-{object:05}")
}

fn object_key(object: u64) -> Result<ClusterKey> {
    Ok(ClusterKey { scope: Scope::development(), name: ClusterName::new(&object_name(object))? })
}

/// A connection to one node.
#[derive(Clone)]
pub(crate) struct Wire {
    client: ControlClient<Channel>,
    cluster_id: Bytes,
}

impl Wire {
    async fn propose(&mut self, command: Change) -> Result<()> {
        let proposal =
            Proposal { actor: Actor::Operator, request_id: RequestId::from_bits(1), key: None, command };
        let request = ProposeRequest {
            cluster_id: self.cluster_id.clone(),
            proposal: codec::encode_proposal(&proposal).into(),
            limit_millis: 10_000,
        };
        let answer = self.client.propose(request).await.context("propose")?.into_inner();
        match answer.result {
            Some(propose_response::Result::Success(_)) => Ok(()),
            other => Err(anyhow!("{other:?}")),
        }
    }
}

impl Connection for Wire {
    async fn write(&mut self, object: u64, value: &str) -> Result<()> {
        let tags = Tags::from([("value".to_owned(), value.to_owned())]);
        self.propose(Change::TagResource { resource: TaggedResource::Cluster(object_key(object)?), tags })
            .await
    }

    /// What makes a read linearizable: the leader's index, confirmed by a quorum. The look into the state behind it takes no
    /// time to speak of.
    async fn read(&mut self, _object: u64) -> Result<()> {
        let request = ReadIndexRequest { cluster_id: self.cluster_id.clone() };
        let answer = self.client.read_index(request).await.context("read index")?.into_inner();
        match answer.result {
            Some(read_index_response::Result::Index(_)) => Ok(()),
            other => Err(anyhow!("{other:?}")),
        }
    }
}

impl Target for Cluster {
    type Connection = Wire;

    async fn connect(&self, count: usize) -> Result<Vec<Wire>> {
        let port = self.grpc[self.leader().await?];
        (0..count).map(|_| self.wire(port)).collect()
    }

    fn processor_time(&self) -> Duration {
        self.nodes.iter().flatten().map(Process::processor_time).sum()
    }
}

impl Killable for Cluster {
    async fn connect_each(&self) -> Result<Vec<Wire>> {
        self.grpc.iter().map(|port| self.wire(*port)).collect()
    }

    async fn kill_leader(&mut self) -> Result<usize> {
        let leader = self.leader().await?;
        if let Some(mut process) = self.nodes[leader].take() {
            process.kill();
        }
        Ok(leader)
    }

    async fn revive(&mut self, node: usize) -> Result<()> {
        self.nodes[node] = Some(self.spawn(node)?);
        self.wait("all vote", whole).await.map(drop)
    }
}
