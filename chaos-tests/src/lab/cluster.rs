//! A three-zone cluster on the laboratory's machines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use trireme_cli::client::ask_all;
use trireme_cli::cluster_file::{AgentSize, ClusterFile, ZoneFile};
use trireme_cli::report::Report;
use trireme_cli::target::{KnownNode, Target};
use trireme_testkit::socket::Socket;
use trireme_testkit::{cluster::binary, try_wait};

use super::engine::{self, Engine, save_image};
use super::host::{Host, ZONES, agent_metrics, api, grpc, zone_name};
use super::lock::{self, Held};
use super::net;
use super::proc::Proc;
use super::shim::Shim;
use super::sweep::sweep;

/// For the cluster to be whole after its start.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// What an agent offers.
pub const AGENT: AgentSize = AgentSize { cpu_units: 4096, memory_mib: 4096, instances: 1 };
/// Seconds after which an agent gives up an image pull that makes no progress: no scenario waits for the usual minute.
const PULL_INACTIVITY: &str = "3";

/// What runs the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// A Docker Engine in each zone.
    Docker,
    /// Containers in the agents' memory.
    Fake,
}

/// The machines, without anything on them yet. They are swept away when this is dropped.
pub struct Ground {
    folder: PathBuf,
    _held: Held,
}

/// The laboratory.
pub struct Lab {
    pub(super) ground: Ground,
    pub(super) binary: PathBuf,
    /// Machines whose binary is another one.
    pub(super) binaries: BTreeMap<Host, PathBuf>,
    /// Second control nodes, by zone.
    pub(super) seconds: BTreeMap<u8, Proc>,
    /// Processes of many simulated agents, by zone.
    pub(super) fleets: BTreeMap<u8, Proc>,
    pub(super) runtime: Runtime,
    pub(super) shim: Result<Shim>,
    pub(super) servers: BTreeMap<u8, Proc>,
    pub(super) agents: BTreeMap<u8, Proc>,
    pub(super) engines: BTreeMap<u8, Engine>,
    pub(super) sockets: BTreeMap<u8, Socket>,
    /// The control nodes' further arguments, by zone.
    pub(super) server_extra: BTreeMap<u8, Vec<String>>,
    /// The control nodes' timing from their next start on: `local`, `region` or `wide`.
    pub timing: &'static str,
    /// The first access key: id and secret.
    pub key: (String, String),
}

impl Ground {
    /// Takes the machine's laboratory, removes what an earlier runner left, builds the network, and moves this thread to the
    /// client's place. What is started from here on is there as well.
    ///
    /// # Errors
    /// Another runner is at it; not root; a kernel without what it takes.
    pub fn take() -> Result<Self> {
        let held = lock::take()?;
        let folder = std::env::temp_dir().join("trireme-chaos");
        sweep(&folder);
        std::fs::create_dir_all(&folder)?;
        let ground = Self { folder, _held: held };
        net::build()?;
        net::enter(Host::Client)?;
        Ok(ground)
    }

    /// Where everything of this run lies. It is removed at the end.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A zone's folder.
    pub fn zone(&self, zone: u8) -> PathBuf {
        self.folder.join(zone.to_string())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        sweep(&self.folder);
    }
}

impl Lab {
    /// Starts a cluster of three zones and waits until it is whole.
    ///
    /// # Errors
    /// It does not become whole.
    pub async fn start(ground: Ground, runtime: Runtime) -> Result<Self> {
        let shim = Shim::build(ground.folder());
        let mut lab = Self {
            ground,
            binary: binary()?,
            binaries: BTreeMap::new(),
            seconds: BTreeMap::new(),
            fleets: BTreeMap::new(),
            runtime,
            shim,
            servers: BTreeMap::new(),
            agents: BTreeMap::new(),
            engines: BTreeMap::new(),
            sockets: BTreeMap::new(),
            server_extra: BTreeMap::new(),
            timing: "local",
            key: (String::new(), String::new()),
        };
        for zone in ZONES {
            std::fs::create_dir_all(lab.ground.zone(zone).join("agent"))?;
        }
        if runtime == Runtime::Docker {
            lab.start_engines().await?;
        }
        lab.found().await?;
        lab.file().write(lab.ground.folder())?;
        for zone in ZONES {
            lab.start_agent(zone)?;
        }
        lab.wait_whole(READY_LIMIT).await.map_err(|text| anyhow::anyhow!(text))?;
        Ok(lab)
    }

    /// Where everything of this run lies.
    pub fn folder(&self) -> &Path {
        self.ground.folder()
    }

    /// The binary under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// A zone's agent's data.
    pub fn agent_data(&self, zone: u8) -> PathBuf {
        self.ground.zone(zone).join("agent")
    }

    /// The folder of a zone's engine.
    pub fn engine_folder(&self, zone: u8) -> PathBuf {
        self.ground.zone(zone).join("docker")
    }

    /// The zones whose engines answer to Docker's own command.
    pub fn engine_folders(&self) -> Vec<(u8, PathBuf)> {
        self.engines.keys().map(|zone| (*zone, self.engine_folder(*zone))).collect()
    }

    async fn start_engines(&mut self) -> Result<()> {
        let archive = self.ground.folder().join("image.tar");
        save_image(&archive)?;
        for zone in ZONES {
            let folder = self.engine_folder(zone);
            self.engines.insert(zone, engine::start(&folder, zone)?);
            let socket = Socket::start(&self.ground.zone(zone).join("docker.sock"), Engine::socket(&folder))?;
            self.sockets.insert(zone, socket);
        }
        for engine in self.engines.values_mut() {
            engine.wait_answers().await?;
            engine.load(&archive)?;
        }
        Ok(())
    }

    /// Makes the three control nodes, one after the other.
    async fn found(&mut self) -> Result<()> {
        let key = self.ground.folder().join("access-key");
        let data = self.server_data(1).display().to_string();
        self.complete(1, &["init", "--data", &data, "--access-key-file", &key.display().to_string()])?;
        let text = std::fs::read(&key).context("there is no access key")?;
        let file: serde_json::Value = serde_json::from_slice(&text)?;
        let part = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
        self.key = (part("access_key_id"), part("secret_access_key"));
        self.start_server(1)?;
        self.wait_answers(1).await?;
        for zone in [2, 3] {
            self.join(zone, 1)?;
            self.start_server(zone)?;
            self.wait_answers(zone).await?;
        }
        Ok(())
    }

    /// Makes a zone's control node a member, by way of another zone's.
    ///
    /// # Errors
    /// It is refused.
    pub fn join(&self, zone: u8, peer: u8) -> Result<()> {
        let key = self.server_data(peer).join("cluster.key").display().to_string();
        let (data, peer) = (self.server_data(zone).display().to_string(), grpc(peer));
        self.complete(zone, &["join", "--data", &data, "--peer", &peer, "--cluster-key", &key])
    }

    fn complete(&self, zone: u8, arguments: &[&str]) -> Result<()> {
        let (name, api, grpc) = (zone_name(zone), api(zone), grpc(zone));
        let place = ["--zone", &name, "--listen-api", &api, "--listen-grpc", &grpc, "--timing", "local"];
        let binary = self.binary_on(Host::Control(zone)).display().to_string();
        net::run_on(Host::Control(zone), &binary, &[&["server"], arguments, &place].concat()).map(drop)
    }

    /// A zone's control node's data.
    pub fn server_data(&self, zone: u8) -> PathBuf {
        self.ground.zone(zone).join("server")
    }

    /// Starts a zone's control node.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_server(&mut self, zone: u8) -> Result<()> {
        let binary = self.binary_on(Host::Control(zone)).display().to_string();
        let mut command = net::on(Host::Control(zone), &binary);
        command.args(["server", "--data"]).arg(self.server_data(zone));
        command.args(["--zone", &zone_name(zone), "--listen-api", &api(zone), "--listen-grpc", &grpc(zone)]);
        command.args(["--timing", self.timing, "--auth", "sigv4"]);
        command.args(self.server_extra.get(&zone).into_iter().flatten());
        if let Ok(shim) = &self.shim {
            command.envs(shim.variables(zone)?);
        }
        let process = Proc::start(command, &self.ground.zone(zone).join("server.log"))?;
        self.servers.insert(zone, process);
        Ok(())
    }

    /// Starts a zone's agent.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_agent(&mut self, zone: u8) -> Result<()> {
        let binary = self.binary_on(Host::Agent(zone)).display().to_string();
        let mut command = net::on(Host::Agent(zone), &binary);
        command.args(["agent", "--oversubscribe", "--data"]).arg(self.ground.zone(zone).join("agent"));
        command.args(["--zone", &zone_name(zone), "--name", &format!("{}/agent", zone_name(zone))]);
        command.args(["--cpu", &AGENT.cpu_units.to_string(), "--memory", &AGENT.memory_mib.to_string()]);
        command.args(["--listen-metrics", &agent_metrics(zone), "--image-pull-inactivity", PULL_INACTIVITY]);
        match self.runtime {
            Runtime::Docker => {
                command.args(["--docker-socket"]).arg(self.ground.zone(zone).join("docker.sock"));
            }
            Runtime::Fake => drop(command.args(["--runtime", "fake"])),
        }
        for step in 0..3 {
            // Its own zone's control node first.
            command.args(["--server", &grpc((zone + step - 1) % 3 + 1)]);
        }
        let process = Proc::start(command, &self.ground.zone(zone).join("agent.log"))?;
        self.agents.insert(zone, process);
        Ok(())
    }

    /// What the operator's verbs need to know.
    pub fn file(&self) -> ClusterFile {
        let zone = |zone: u8| ZoneFile {
            name: zone_name(zone),
            api: api(zone),
            grpc: grpc(zone),
            agent_metrics: vec![agent_metrics(zone)],
        };
        ClusterFile {
            format: 1,
            front_door: api(1),
            front_door_grpc: grpc(1),
            runtime: if self.runtime == Runtime::Docker { "docker" } else { "fake" }.to_owned(),
            auth: "sigv4".to_owned(),
            agent: AGENT,
            managed_agents: 0,
            scaling_hook: None,
            zones: ZONES.into_iter().map(zone).collect(),
        }
    }

    /// The cluster as those control nodes see it that answer.
    pub async fn report(&self) -> Report {
        let file = self.file();
        Report::of(&ask_all(&target()).await, Some(&file))
    }

    /// Waits until a zone's control node answers.
    ///
    /// # Errors
    /// It does not; the error has the end of its log.
    pub async fn wait_answers(&mut self, zone: u8) -> Result<()> {
        let waited = try_wait("a control node to answer", Duration::from_secs(60), || async {
            trireme_cli::client::cluster_status(&grpc(zone)).await
        });
        if let Err(text) = waited.await {
            let log = self.servers.get(&zone).map(|server| server.last_lines(10)).unwrap_or_default();
            bail!("zone {zone}: {text}\n{log}");
        }
        Ok(())
    }

    /// Waits until there is a leader, every control node votes and has caught up, and every agent was heard just now.
    ///
    /// # Errors
    /// The limit is over; the text says what is missing.
    pub async fn wait_whole(&self, limit: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        let mut goal = None;
        let target = target();
        let file = self.file();
        loop {
            let report = Report::of(&ask_all(&target).await, Some(&file));
            let Err(missing) = whole(&report, &mut goal) else { return Ok(began.elapsed()) };
            if began.elapsed() > limit {
                return Err(format!("not whole after {:.0} s: {missing}", limit.as_secs_f64()));
            }
            trireme_testkit::hold(Duration::from_millis(100)).await;
        }
    }
}

/// The three control nodes, by their addresses.
pub fn target() -> Target {
    let node = |zone: u8| KnownNode { address: grpc(zone), zone: Some(zone_name(zone)) };
    Target { nodes: ZONES.into_iter().map(node).collect(), cluster: None }
}

fn whole(report: &Report, goal: &mut Option<u64>) -> Result<(), String> {
    if !report.quorum {
        return Err("no control node leads".to_owned());
    }
    if report.membership_changing {
        return Err("the membership is changing".to_owned());
    }
    let goal = *goal.get_or_insert(report.applied);
    let voting = report.nodes.iter().filter(|node| {
        node.error.is_none() && node.voter && node.applied.is_some_and(|applied| applied >= goal)
    });
    let count = voting.count();
    if count < ZONES.len() {
        return Err(format!("{count} of {} control nodes vote and have caught up", ZONES.len()));
    }
    for zone in ZONES {
        let name = format!("{}/agent", zone_name(zone));
        let heard = report.agents.iter().any(|agent| {
            agent.name == name && agent.connected && agent.silent_for_ms.is_some_and(|silent| silent < 2_000)
        });
        if !heard {
            return Err(format!("{name} is not heard"));
        }
    }
    Ok(())
}
