//! Bringing zones up, and telling when they are whole.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::process::Child;
use trireme_cli::client::ask_all;
use trireme_cli::cluster_file::{ClusterFile, ZoneFile};
use trireme_cli::report::Report;
use trireme_cli::target::Target;

use super::launch::{Launched, Launcher, agent_name};
use super::layout::Role;
use super::stop;

/// For the cluster to have a leader and all agents.
const READY_LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);

/// A process that was started, and who it is.
pub struct Started {
    pub zone: String,
    pub role: Role,
    pub child: Child,
}

/// Starts whatever of these zones does not run: the control nodes, and once they answer the agents. Gives those that were
/// started.
pub async fn start(launcher: &Launcher, zones: &[ZoneFile]) -> Result<Vec<Started>> {
    let mut servers = Vec::new();
    for zone in zones {
        let child = match launcher.server(zone)? {
            Launched::Adopted => None,
            Launched::Started(child) => Some(child),
        };
        servers.push((zone, child));
    }
    let mut started = Vec::new();
    for (zone, mut child) in servers {
        launcher.wait_answers(zone, &mut child).await?;
        started.extend(child.map(|child| Started { zone: zone.name.clone(), role: Role::Server, child }));
    }
    for zone in zones {
        for role in Launcher::roles(zone) {
            let Role::Agent(number) = role else { continue };
            if let Launched::Started(child) = launcher.agent(zone, number)? {
                started.push(Started { zone: zone.name.clone(), role, child });
            }
        }
    }
    Ok(started)
}

/// Starts a zone's control node alone, unless it runs, and waits for its first answer.
pub async fn start_server(launcher: &Launcher, zone: &ZoneFile) -> Result<Option<Started>> {
    let Launched::Started(child) = launcher.server(zone)? else { return Ok(None) };
    let mut child = Some(child);
    launcher.wait_answers(zone, &mut child).await?;
    Ok(child.map(|child| Started { zone: zone.name.clone(), role: Role::Server, child }))
}

/// `trireme dev start ZONE`: returns when its control node has applied what the leader had at the start, and its agents are
/// registered.
pub async fn start_zone(data: &Path, zone: &str) -> Result<()> {
    let (launcher, zone) = stop::open(data, zone)?;
    let target = Target::of_cluster(launcher.cluster.clone());
    let before = report(&target).await;
    let mut started = start(&launcher, std::slice::from_ref(&zone)).await?;
    // Without a quorum so far there was no leader to catch up with; what counts is the one that there is now.
    let goal = if before.quorum { before.applied } else { 0 };
    wait(&launcher, &target, &mut started, |report| {
        let applied = report
            .nodes
            .iter()
            .find(|node| node.address == zone.grpc)
            .and_then(|node| node.applied)
            .filter(|applied| *applied >= goal);
        if applied.is_none() {
            return Err(format!("{}'s control node has not caught up", zone.name));
        }
        agents_there(report, &launcher.cluster, std::slice::from_ref(&zone))
    })
    .await?;
    say!("{} is up", zone.name);
    Ok(())
}

/// Waits until there is a leader and every agent is registered.
pub async fn wait_ready(launcher: &Launcher, started: &mut [Started]) -> Result<()> {
    let target = Target::of_cluster(launcher.cluster.clone());
    wait(launcher, &target, started, |report| {
        if let Some(node) = report.nodes.iter().find(|node| node.error.is_some()) {
            return Err(format!("{}'s control node does not answer", node.zone));
        }
        agents_there(report, &launcher.cluster, &launcher.cluster.zones)
    })
    .await
}

async fn report(target: &Target) -> Report {
    Report::of(&ask_all(target).await, target.cluster.as_ref())
}

/// Waits until the leader's view passes; the error of `judge` says what is missing. A process that ends meanwhile ends the wait.
async fn wait(
    launcher: &Launcher,
    target: &Target,
    started: &mut [Started],
    judge: impl Fn(&Report) -> Result<(), String>,
) -> Result<()> {
    let began = Instant::now();
    loop {
        let report = report(target).await;
        let missing = match report.quorum {
            true => match judge(&report) {
                Ok(()) => return Ok(()),
                Err(missing) => missing,
            },
            false => "no control node leads".to_owned(),
        };
        for Started { zone, role, child } in started.iter_mut() {
            if let Some(status) = child.try_wait()? {
                bail!("{zone}: {role} ended ({status}){}", launcher.last_lines(zone, *role));
            }
        }
        if began.elapsed() > READY_LIMIT {
            bail!("not ready after {} s: {missing}", READY_LIMIT.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether every agent of these zones has a session: registered, connected, and heard by the leader.
fn agents_there(report: &Report, cluster: &ClusterFile, zones: &[ZoneFile]) -> Result<(), String> {
    let per_agent = usize::try_from(cluster.agent.instances).unwrap_or(usize::MAX);
    for zone in zones {
        for (index, _) in zone.agent_metrics.iter().enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let name = agent_name(&zone.name, number);
            let there =
                report.agents.iter().filter(|agent| is_of(&agent.name, &name, per_agent) && agent.connected);
            // A session that was open when its agent died stays "connected" until it is lost: only a heartbeat proves life.
            let heard =
                there.filter(|agent| agent.silent_for_ms.is_some_and(|silent| silent < HEARD_WITHIN_MS));
            let heard = heard.count();
            if heard < per_agent {
                return Err(match per_agent {
                    1 => format!("{name} is not registered"),
                    _ => format!("{name}: {heard} of {per_agent} instances are registered"),
                });
            }
        }
    }
    Ok(())
}

/// Heartbeats come each second, and by way of a follower half a second later.
const HEARD_WITHIN_MS: u64 = 2_500;

/// Whether an instance is the agent `name`, or one of the many that it stands for.
fn is_of(instance: &str, name: &str, per_agent: usize) -> bool {
    match instance.strip_prefix(name) {
        Some(rest) if per_agent == 1 => rest.is_empty(),
        Some(rest) => {
            rest.strip_prefix('-').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_told_by_name() {
        assert!(is_of("us-east-1a/agent-1", "us-east-1a/agent-1", 1));
        assert!(!is_of("us-east-1a/agent-12", "us-east-1a/agent-1", 1));
        assert!(is_of("us-east-1a/agent-1-12", "us-east-1a/agent-1", 100));
        assert!(!is_of("us-east-1a/agent-12", "us-east-1a/agent-1", 100));
    }
}
