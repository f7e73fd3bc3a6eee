//! Faults: how each is made, and how it is undone.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;
use trireme_cli::report::Report;
use trireme_cli::target::Target;

use super::{FaultArg, RunArgs};
use crate::dev::victims;

/// A fault on a known victim.
#[derive(Debug, Clone)]
pub enum Fault {
    /// SIGKILL to a zone's control node.
    KillServer { data: PathBuf, zone: String },
    /// SIGSTOP to a zone's control node.
    FreezeServer { data: PathBuf, zone: String },
    /// SIGKILL to a zone's agents.
    KillAgents { data: PathBuf, zone: String },
    /// SIGKILL to all of a zone.
    KillZone { data: PathBuf, zone: String },
    /// The operator's commands.
    Command { inject: String, undo: String, takes: usize },
}

impl Fault {
    /// The fault that is asked for, with the victim that it has now.
    pub fn choose(args: &RunArgs, target: &Target, report: &Report) -> Result<Self> {
        if args.fault == FaultArg::Command {
            let (inject, undo) = (args.inject.clone(), args.undo.clone());
            let (inject, undo) = (inject.context("--inject is missing")?, undo.context("--undo is missing")?);
            let takes = if args.takes_none { 0 } else { args.takes.get() };
            return Ok(Self::Command { inject, undo, takes });
        }
        if target.cluster.is_none() {
            bail!(
                "only a cluster of `trireme dev` can be hit from here; for others there is the fault `command`"
            );
        }
        let leader = report.leader.as_ref().context("no control node leads")?.zone.clone();
        let other = report.zones.iter().map(|zone| zone.name.clone()).find(|zone| *zone != leader);
        let data = args.target.data.clone();
        Ok(match args.fault {
            FaultArg::KillLeader => Self::KillServer { data, zone: leader },
            FaultArg::KillFollower => {
                Self::KillServer { data, zone: other.context("there is one zone only")? }
            }
            FaultArg::FreezeLeader => Self::FreezeServer { data, zone: leader },
            FaultArg::KillAgents => Self::KillAgents { data, zone: other.unwrap_or(leader) },
            FaultArg::KillZone | FaultArg::Command => Self::KillZone { data, zone: leader },
        })
    }

    /// How many control nodes it takes at most.
    pub fn takes(&self) -> usize {
        match self {
            Self::KillServer { .. } | Self::FreezeServer { .. } | Self::KillZone { .. } => 1,
            Self::KillAgents { .. } => 0,
            Self::Command { takes, .. } => *takes,
        }
    }

    /// Whether it takes agents.
    pub fn takes_agents(&self) -> bool {
        matches!(self, Self::KillAgents { .. } | Self::KillZone { .. })
    }

    /// What ends it, for people.
    pub fn undoing(&self) -> String {
        match self {
            Self::FreezeServer { zone, .. } => format!("SIGCONT to {zone}'s control node"),
            Self::Command { undo, .. } => format!("`{undo}`"),
            Self::KillServer { zone, .. } | Self::KillAgents { zone, .. } | Self::KillZone { zone, .. } => {
                format!("start what is dead in {zone}")
            }
        }
    }

    /// Makes it.
    pub async fn make(&self) -> Result<()> {
        match self {
            Self::KillServer { data, zone } => victims::signal_server(data, zone, Signal::SIGKILL),
            Self::FreezeServer { data, zone } => victims::signal_server(data, zone, Signal::SIGSTOP),
            Self::KillAgents { data, zone } => victims::signal_agents(data, zone, Signal::SIGKILL),
            Self::KillZone { data, zone } => victims::kill_zone(data, zone).await,
            Self::Command { inject, .. } => shell(inject, inject, true).await,
        }
    }

    /// Ends it.
    pub async fn undo(&self) -> Result<()> {
        match self {
            Self::FreezeServer { data, zone } => victims::signal_server(data, zone, Signal::SIGCONT),
            Self::KillServer { data, zone }
            | Self::KillAgents { data, zone }
            | Self::KillZone { data, zone } => victims::start_zone(data, zone).await,
            Self::Command { undo, .. } => {
                // A terminal's Ctrl-C comes to it too, and must not end it.
                shell(undo, &format!("trap '' INT TERM HUP\n{undo}"), false).await
            }
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::KillServer { zone, .. } => write!(f, "SIGKILL to {zone}'s control node"),
            Self::FreezeServer { zone, .. } => write!(f, "SIGSTOP to {zone}'s control node"),
            Self::KillAgents { zone, .. } => write!(f, "SIGKILL to {zone}'s agents"),
            Self::KillZone { zone, .. } => write!(f, "SIGKILL to everything in {zone}"),
            Self::Command { inject, .. } => write!(f, "`{inject}`"),
        }
    }
}

/// A command and all that it started, ended when nobody waits for it any more: what is left of it might come after the undo.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _gone = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs a command. One that is `mortal` ends, with all that it started, when nobody waits for it any more.
async fn shell(named: &str, command: &str, mortal: bool) -> Result<()> {
    // In a session of its own, without a terminal: one that asks for a password there fails at once.
    let program: &[&str] = if mortal { &["setsid", "sh"] } else { &["sh"] };
    let mut sh = Command::new(program[0]);
    sh.args(&program[1..]).args(["-c", command]).kill_on_drop(mortal);
    let mut child = sh.spawn().with_context(|| format!("cannot start {}", program.join(" ")))?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut group = Group(leader.filter(|_| mortal));
    let status = child.wait().await.context("cannot wait for sh")?;
    group.0 = None;
    if status.success() { Ok(()) } else { bail!("`{named}` failed: {status}") }
}
