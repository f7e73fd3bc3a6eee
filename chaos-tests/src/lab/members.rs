//! Changes of what a laboratory is made of: other binaries, a second control node in a zone, agents by the hundred.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use trireme_cli::report::NodeReport;
use trireme_testkit::try_wait;

use super::cluster::Lab;
use super::host::{Host, grpc, second_api, second_grpc, zone_name};
use super::net;
use super::proc::Proc;

/// For a process that was told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// The ECS cluster of the simulated agents.
pub const FLEET: &str = "fleet";

impl Lab {
    /// The binary of a machine.
    pub fn binary_on(&self, host: Host) -> &Path {
        self.binaries.get(&host).unwrap_or(&self.binary)
    }

    /// What is started on a machine from now on is this binary.
    pub fn use_binary(&mut self, host: Host, binary: &Path) {
        self.binaries.insert(host, binary.to_owned());
    }

    /// SIGTERM to a zone's control node; gives how long it took to end.
    ///
    /// # Errors
    /// It does not end, or ends with an error.
    pub async fn stop_server(&mut self, zone: u8) -> Result<Duration> {
        let server = self.servers.get_mut(&zone).context("there is no control node")?;
        stop(server).await.with_context(|| format!("zone {zone}'s control node"))
    }

    /// SIGTERM to a zone's agent; gives how long it took to end.
    ///
    /// # Errors
    /// It does not end, or ends with an error.
    pub async fn stop_agent(&mut self, zone: u8) -> Result<Duration> {
        let agent = self.agents.get_mut(&zone).context("there is no agent")?;
        stop(agent).await.with_context(|| format!("zone {zone}'s agent"))
    }

    /// Waits until a zone's control node, which was told to stop, has ended; gives how long that took.
    ///
    /// # Errors
    /// It does not end, or ends with an error.
    pub async fn await_end(&mut self, zone: u8) -> Result<Duration> {
        let server = self.servers.get_mut(&zone).context("there is no control node")?;
        wait_ended(server).await.with_context(|| format!("zone {zone}'s control node"))
    }

    /// Only the signal; the control node has yet to end.
    pub fn terminate_server(&self, zone: u8) {
        if let Some(server) = self.servers.get(&zone) {
            server.signal(Signal::SIGTERM);
        }
    }

    /// The process of a zone's control node.
    pub fn server_pid(&self, zone: u8) -> Option<u32> {
        self.servers.get(&zone).map(Proc::pid)
    }

    fn second_data(&self, zone: u8) -> PathBuf {
        self.ground.zone(zone).join("server-2")
    }

    /// Makes a second control node in a zone a member, and starts it.
    ///
    /// # Errors
    /// It is refused.
    pub fn add_second(&mut self, zone: u8, peer: u8) -> Result<()> {
        let key = self.server_data(peer).join("cluster.key").display().to_string();
        let data = self.second_data(zone).display().to_string();
        let (name, api, own) = (zone_name(zone), second_api(zone), second_grpc(zone));
        let place = ["--data", &data, "--zone", &name, "--listen-api", &api, "--listen-grpc", &own];
        let timing = ["--timing", self.timing];
        let binary = self.binary_on(Host::Control(zone)).display().to_string();
        let join = ["server", "join", "--peer", &grpc(peer), "--cluster-key", &key];
        net::run_on(Host::Control(zone), &binary, &[join.as_slice(), &place, &timing].concat())?;
        let mut command = net::on(Host::Control(zone), &binary);
        command.arg("server").args(place).args(timing).args(["--auth", "sigv4"]);
        let process = Proc::start(command, &self.ground.zone(zone).join("server-2.log"))?;
        self.seconds.insert(zone, process);
        Ok(())
    }

    /// `kill -9` of a zone's second control node.
    pub fn kill_second(&mut self, zone: u8) {
        self.seconds.get_mut(&zone).map(Proc::kill);
    }

    /// Waits until a zone's second control node has ended by itself, and removes its data; gives its last words.
    ///
    /// # Errors
    /// It runs on.
    pub async fn bury_second(&mut self, zone: u8) -> Result<String> {
        let mut second = self.seconds.remove(&zone).context("there is no second control node")?;
        let began = Instant::now();
        // One that is no member any more ends with an error: it says why.
        while second.ended().is_none() && began.elapsed() < STOP_LIMIT {
            trireme_testkit::hold(Duration::from_millis(20)).await;
        }
        let (ended, log) = (second.ended(), second.last_lines(2));
        second.kill();
        std::fs::remove_dir_all(self.second_data(zone))?;
        match ended {
            Some(_) => Ok(log),
            None => bail!("it still runs: {log}"),
        }
    }

    /// Starts a process of so many simulated agents in a zone; they register in a cluster of their own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_fleet(&mut self, zone: u8, agents: u32, cpu: u32, memory: u32) -> Result<()> {
        let binary = self.binary_on(Host::Agent(zone)).display().to_string();
        let mut command = net::on(Host::Agent(zone), &binary);
        command.args(["agent", "--runtime", "fake", "--cluster", FLEET, "--zone", &zone_name(zone)]);
        command.arg("--data").arg(self.ground.zone(zone).join(FLEET));
        command.args(["--name", &format!("{FLEET}/{}", zone_name(zone))]);
        command.args(["--fake-agents", &agents.to_string()]);
        command.args(["--cpu", &cpu.to_string(), "--memory", &memory.to_string()]);
        for step in 0..3 {
            command.args(["--server", &grpc((zone + step - 1) % 3 + 1)]);
        }
        command.env("TRIREME_LOG", "error");
        let process = Proc::start(command, &self.ground.zone(zone).join("fleet.log"))?;
        self.fleets.insert(zone, process);
        Ok(())
    }

    /// `kill -9` of a zone's simulated agents.
    pub fn kill_fleet(&mut self, zone: u8) {
        self.fleets.get_mut(&zone).map(Proc::kill);
    }

    /// What is known of the control node at this address.
    pub async fn node_at(&self, address: &str) -> Option<NodeReport> {
        self.report().await.nodes.into_iter().find(|node| node.address == address)
    }

    /// Waits until so many control nodes vote, and have applied what the leader has; gives how long it took.
    ///
    /// # Errors
    /// They do not; the text says how it stands.
    pub async fn wait_voters(&self, count: usize) -> Result<Duration> {
        let began = Instant::now();
        let waited = try_wait("the control nodes to vote", Duration::from_secs(60), || async {
            let report = self.report().await;
            let voting = report.nodes.iter().filter(|node| {
                let near = node.applied.is_some_and(|applied| applied + 200 >= report.applied);
                node.voter && node.error.is_none() && near
            });
            match voting.count() {
                voting if voting == count && report.quorum && !report.membership_changing => Ok(()),
                voting => Err(format!("{voting} of {count} vote, quorum {}", report.quorum)),
            }
        });
        waited.await.map_err(|text| anyhow::anyhow!(text))?;
        Ok(began.elapsed())
    }
}

async fn stop(process: &mut Proc) -> Result<Duration> {
    process.signal(Signal::SIGTERM);
    wait_ended(process).await
}

async fn wait_ended(process: &mut Proc) -> Result<Duration> {
    let began = Instant::now();
    loop {
        match process.ended() {
            Some(status) if status.success() => return Ok(began.elapsed()),
            Some(status) => bail!("it ended with {status}:\n{}", process.last_lines(5)),
            None if began.elapsed() > STOP_LIMIT => bail!("it still runs:\n{}", process.last_lines(5)),
            None => trireme_testkit::hold(Duration::from_millis(20)).await,
        }
    }
}
