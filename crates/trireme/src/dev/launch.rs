//! Starting the cluster's processes, and telling when they are there.
//!
//! Each runs in a process group of its own: what ends `trireme dev`, Ctrl-C at its terminal included, does not end them. Each
//! is started under its zone's lock, and only when none of its role runs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use trireme_cli::client::cluster_status;
use trireme_cli::cluster_file::{ClusterFile, ZoneFile};

use super::layout::{Layout, Role};
use super::lock;
use crate::process::{self, PID_FILE_FLAG, Process};

/// For a control node to answer its first question.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(25);

/// Starts processes from one binary.
#[derive(Clone)]
pub struct Launcher {
    pub layout: Layout,
    pub cluster: ClusterFile,
    binary: PathBuf,
}

/// A process of the cluster that runs.
pub struct Running {
    pub zone: String,
    pub role: Role,
    pub process: Process,
    /// It was started here and now; else it ran already.
    pub child: Option<Child>,
}

impl Running {
    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            return Some(status.to_string());
        }
        (!self.process.alive()).then(|| "nobody saw how".to_owned())
    }
}

impl Launcher {
    pub fn new(layout: Layout, cluster: ClusterFile) -> Result<Self> {
        let binary = std::env::current_exe().context("cannot tell where this binary is")?;
        Ok(Self { layout, cluster, binary })
    }

    /// The folder of the running binary.
    pub fn bin(&self) -> &Path {
        self.binary.parent().unwrap_or(Path::new("/"))
    }

    /// The living process of a role, if there is one.
    pub fn find(&self, zone: &str, role: Role) -> Result<Option<Process>> {
        process::find(&self.layout.pid_file(zone, role))
    }

    /// Every role of a zone: the control node first.
    pub fn roles(zone: &ZoneFile) -> impl Iterator<Item = Role> {
        let agents = u32::try_from(zone.agent_metrics.len()).unwrap_or(u32::MAX);
        std::iter::once(Role::Server).chain((1..=agents).map(Role::Agent))
    }

    /// Starts a zone's control node, unless it runs.
    pub async fn server(&self, zone: &ZoneFile) -> Result<Running> {
        let _lock = lock::zone(&self.layout, &zone.name).await?;
        let mut arguments = vec!["server".to_owned()];
        arguments.extend(self.server_arguments(zone));
        arguments.extend(["--auth".to_owned(), self.cluster.auth.clone()]);
        // The front door notices at once.
        arguments.extend(["--drain-seconds", "0"].map(str::to_owned));
        // All that there is to call is on this machine.
        arguments.push("--deliver-to-loopback".to_owned());
        if let Some(hook) = &self.cluster.scaling_hook {
            arguments.extend(["--scaling-hook".to_owned(), hook.display().to_string()]);
        }
        self.start(&zone.name, Role::Server, arguments)
    }

    /// Makes the first control node's data and the cluster's first access key.
    pub async fn init(&self, zone: &ZoneFile) -> Result<()> {
        let _lock = lock::zone(&self.layout, &zone.name).await?;
        let mut arguments = vec!["server".to_owned(), "init".to_owned()];
        arguments.extend(self.server_arguments(zone));
        arguments.push("--access-key-file".to_owned());
        arguments.push(self.layout.access_key().display().to_string());
        self.complete(&zone.name, arguments).await
    }

    /// Makes a further control node's data. A living control node has to answer at `peer`.
    pub async fn join(&self, zone: &ZoneFile, peer: &str, cluster_key: &Path) -> Result<()> {
        let _lock = lock::zone(&self.layout, &zone.name).await?;
        let mut arguments = vec!["server".to_owned(), "join".to_owned()];
        arguments.extend(self.server_arguments(zone));
        arguments.extend(["--peer".to_owned(), peer.to_owned()]);
        arguments.extend(["--cluster-key".to_owned(), cluster_key.display().to_string()]);
        self.complete(&zone.name, arguments).await
    }

    fn server_arguments(&self, zone: &ZoneFile) -> Vec<String> {
        let data = self.layout.data(&zone.name, Role::Server).display().to_string();
        let pairs = [
            ("--data", data.as_str()),
            ("--zone", &zone.name),
            ("--listen-api", &zone.api),
            ("--listen-grpc", &zone.grpc),
            ("--timing", "local"),
        ];
        pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]).collect()
    }

    /// Starts a zone's agents, those that do not run; none when its control node was killed meanwhile.
    pub async fn agents(&self, zone: &ZoneFile, server: &Process) -> Result<Vec<Running>> {
        let _lock = lock::zone(&self.layout, &zone.name).await?;
        if !server.alive() {
            bail!("{}: the control node was ended meanwhile", zone.name);
        }
        let roles = Self::roles(zone).filter_map(|role| match role {
            Role::Server => None,
            Role::Agent(number) => Some(self.agent(zone, number)),
        });
        roles.collect()
    }

    fn agent(&self, zone: &ZoneFile, number: u32) -> Result<Running> {
        let role = Role::Agent(number);
        let index = usize::try_from(number.saturating_sub(1))?;
        let metrics = zone.agent_metrics.get(index).context("there is no such agent")?;
        // They share the machine.
        let mut arguments = ["agent", "--oversubscribe"].map(str::to_owned).to_vec();
        let size = self.cluster.agent;
        let pairs = [
            ("--data", self.layout.data(&zone.name, role).display().to_string()),
            ("--zone", zone.name.clone()),
            ("--name", agent_name(&zone.name, number)),
            ("--runtime", self.cluster.runtime.clone()),
            ("--cpu", size.cpu_units.to_string()),
            ("--memory", size.memory_mib.to_string()),
            ("--fake-agents", size.instances.to_string()),
            ("--listen-metrics", metrics.clone()),
        ];
        arguments.extend(pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        if index.saturating_add(self.cluster.managed_agents) >= zone.agent_metrics.len() {
            arguments.extend(["--pool", "managed"].map(str::to_owned));
        }
        // Its own zone's control node first; the others when that one is gone.
        let others = self.cluster.zones.iter().filter(|other| other.name != zone.name);
        for node in std::iter::once(zone).chain(others) {
            arguments.extend(["--server".to_owned(), node.grpc.clone()]);
        }
        self.start(&zone.name, role, arguments)
    }

    /// Starts a process, unless it runs. Its zone's lock must be held.
    fn start(&self, zone: &str, role: Role, mut arguments: Vec<String>) -> Result<Running> {
        let running = |process, child| Running { zone: zone.to_owned(), role, process, child };
        if let Some(process) = self.find(zone, role)? {
            return Ok(running(process, None));
        }
        std::fs::create_dir_all(self.layout.data(zone, role))?;
        let pid_file = self.layout.pid_file(zone, role);
        arguments.extend([PID_FILE_FLAG.to_owned(), pid_file.display().to_string()]);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.layout.log_file(zone, role))
            .context("cannot open a log file")?;
        let mut command = Command::new(&self.binary);
        command.args(&arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?;
        let process = child.id().and_then(|pid| Process::of(i32::try_from(pid).ok()?));
        let ended = || format!("{zone}: {role} ended at once{}", self.last_lines(zone, role));
        Ok(running(process.with_context(ended)?, Some(child)))
    }

    /// Runs a command of the binary to its end.
    async fn complete(&self, zone: &str, arguments: Vec<String>) -> Result<()> {
        std::fs::create_dir_all(self.layout.zone(zone))?;
        let mut command = Command::new(&self.binary);
        command.args(&arguments).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        let output =
            command.output().await.with_context(|| format!("cannot start {}", self.binary.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            bail!("{zone}: `trireme {} {}` failed: {said}", arguments[0], arguments[1]);
        }
        Ok(())
    }

    /// Waits until a zone's control node answers; when it ends instead, says what it logged last.
    pub async fn wait_answers(&self, zone: &ZoneFile, server: &mut Running) -> Result<()> {
        let until = Instant::now() + ANSWER_LIMIT;
        loop {
            let answer = cluster_status(&zone.grpc).await;
            if let Some(how) = server.ended() {
                let lines = self.last_lines(&zone.name, Role::Server);
                bail!("{}: the control node ended ({how}){lines}", zone.name);
            }
            let Err(error) = answer else { return Ok(()) };
            if Instant::now() > until {
                let seconds = ANSWER_LIMIT.as_secs();
                bail!("{}: the control node does not answer after {seconds} s: {error}", zone.name);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The end of a process's log, to show why it ended.
    pub fn last_lines(&self, zone: &str, role: Role) -> String {
        const LINES: usize = 12;
        let path = self.layout.log_file(zone, role);
        let log = std::fs::read(&path).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(8 << 10)..]).into_owned();
        let mut lines: Vec<&str> = tail.lines().rev().take(LINES).collect();
        lines.reverse();
        format!("; the end of {}:\n{}", path.display(), lines.join("\n"))
    }
}

/// The name under which an agent registers. One process that stands for many adds their numbers to it.
pub fn agent_name(zone: &str, number: u32) -> String {
    format!("{zone}/agent-{number}")
}
