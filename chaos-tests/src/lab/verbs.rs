//! What scenarios do to a laboratory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use trireme_testkit::socket::Mode;

use super::cluster::Lab;
use super::engine::{self, Engine};
use super::host::{Host, ZONES, zone_number};
use super::net::namespace;
use super::proc::{Proc, descendants};
use super::rule;
use super::shim::Disturbance;
use super::sweep::{kill_9, pids_in};

impl Lab {
    /// The zone whose control node leads with a quorum.
    ///
    /// # Errors
    /// None does.
    pub async fn leader(&self) -> Result<u8> {
        let report = self.report().await;
        let leader = report.leader.context("no control node leads")?;
        zone_number(&leader.zone).context("the leader is in no zone of ours")
    }

    /// `kill -9` of a zone's control node.
    pub fn kill_server(&mut self, zone: u8) {
        self.servers.get_mut(&zone).map(Proc::kill);
    }

    /// `kill -9` of a zone's agent.
    pub fn kill_agent(&mut self, zone: u8) {
        self.agents.get_mut(&zone).map(Proc::kill);
    }

    /// `kill -9` of a zone's engine.
    pub fn kill_engine(&mut self, zone: u8) {
        self.engines.get_mut(&zone).map(Engine::kill_daemon);
    }

    /// `kill -9` of everything on a zone's machines: control node, agent, engine, containers.
    pub fn kill_zone(&mut self, zone: u8) {
        for host in Host::of_zone(zone) {
            for _ in 0..3 {
                let mut pids = pids_in(&namespace(host));
                pids.extend(descendants(&pids));
                pids.into_iter().for_each(kill_9);
            }
        }
        for process in [self.servers.get_mut(&zone), self.agents.get_mut(&zone)].into_iter().flatten() {
            process.kill();
        }
        self.engines.get_mut(&zone).map(Engine::kill_daemon);
    }

    /// Stops a zone's control node where it stands; it goes on with [`Lab::thaw`].
    pub fn freeze(&self, zone: u8) {
        self.signal(zone, Signal::SIGSTOP);
    }

    /// Lets a frozen control node go on.
    pub fn thaw(&self, zone: u8) {
        self.signal(zone, Signal::SIGCONT);
    }

    fn signal(&self, zone: u8, signal: Signal) {
        if let Some(server) = self.servers.get(&zone) {
            server.signal(signal);
        }
    }

    /// Cuts these machines from all others, the client included.
    ///
    /// # Errors
    /// The kernel takes no such rule.
    pub fn cut_off(&self, hosts: &[Host]) -> Result<()> {
        let others: Vec<Host> = Host::all().into_iter().filter(|other| !hosts.contains(other)).collect();
        hosts.iter().try_for_each(|host| others.iter().try_for_each(|other| rule::cut(*host, *other)))
    }

    /// Moves a control node's clock, or disturbs its disk.
    ///
    /// # Errors
    /// There is no C compiler to build what it takes.
    pub fn disturb(&self, zone: u8, what: Disturbance) -> Result<()> {
        let shim = self.shim.as_ref().map_err(|error| anyhow::anyhow!("no preloaded library: {error:#}"))?;
        shim.set(zone, what)
    }

    /// What the socket between a zone's agent and its engine does from now on.
    pub fn socket(&self, zone: u8, mode: Mode) {
        if let Some(socket) = self.sockets.get(&zone) {
            socket.set(mode);
        }
    }

    /// A zone's control node's log, its last lines.
    pub fn server_log(&self, zone: u8, lines: usize) -> String {
        self.servers.get(&zone).map(|server| server.last_lines(lines)).unwrap_or_default()
    }

    /// Whether a zone's control node has ended.
    pub fn server_ended(&mut self, zone: u8) -> bool {
        self.servers.get_mut(&zone).is_none_or(|server| server.ended().is_some())
    }

    /// Further arguments for a zone's control node from its next start on.
    pub fn server_arguments(&mut self, zone: u8, arguments: &[&str]) {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.server_extra.insert(zone, arguments);
    }

    /// The control nodes have their usual arguments from their next start on.
    pub fn usual_arguments(&mut self) {
        self.server_extra.clear();
    }

    /// Ends every fault: links are whole, nothing is frozen or slow, and what was killed runs again.
    ///
    /// # Errors
    /// Something cannot be started.
    pub async fn heal(&mut self) -> Result<()> {
        rule::clear()?;
        for zone in ZONES {
            self.thaw(zone);
            if self.shim.is_ok() {
                self.disturb(zone, Disturbance::default())?;
            }
            self.socket(zone, Mode::Pass);
        }
        let dead = |(zone, engine): (&u8, &mut Engine)| engine.ended().then_some(*zone);
        let engines: Vec<u8> = self.engines.iter_mut().filter_map(dead).collect();
        for zone in &engines {
            self.engines.insert(*zone, engine::start(&self.engine_folder(*zone), *zone)?);
        }
        for zone in ZONES {
            if self.server_ended(zone) {
                self.start_server(zone)?;
            }
        }
        for zone in engines {
            if let Some(engine) = self.engines.get_mut(&zone) {
                engine.wait_answers().await?;
            }
        }
        for zone in ZONES {
            if self.agents.get_mut(&zone).is_none_or(|agent| agent.ended().is_some()) {
                self.start_agent(zone)?;
            }
        }
        Ok(())
    }

    /// Heals, and waits until the cluster is whole; gives how long that took.
    ///
    /// # Errors
    /// It does not become whole; the text says what is missing.
    pub async fn heal_whole(&mut self, limit: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        self.heal().await.map_err(|error| format!("{error:#}"))?;
        self.wait_whole(limit).await.map(|_| began.elapsed())
    }
}
