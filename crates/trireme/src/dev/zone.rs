//! Bringing zones up, and telling when they are whole.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use trireme_cli::client::ask_all;
use trireme_cli::cluster_file::{ClusterFile, ZoneFile};
use trireme_cli::report::Report;
use trireme_cli::target::Target;

use super::launch::{Launcher, Running, agent_name};
use super::layout::Role;
use super::stop;

/// For the cluster to have a leader and all agents.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// So long nobody else has to be heard before a zone is up without a quorum.
const ALONE_FOR: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);
/// Heartbeats come each second, and by way of a follower half a second later.
const HEARD_WITHIN: Duration = Duration::from_millis(2_500);
/// A heartbeat's age does not count its way between control nodes.
const MARGIN: Duration = Duration::from_millis(250);

/// Starts whatever of these zones does not run: the control nodes, and once they answer the agents. Gives all that run.
pub async fn start(launcher: &Launcher, zones: &[ZoneFile]) -> Result<Vec<Running>> {
    let mut servers = Vec::new();
    for zone in zones {
        servers.push(launcher.server(zone).await?);
    }
    for (zone, server) in zones.iter().zip(&mut servers) {
        launcher.wait_answers(zone, server).await?;
    }
    let mut agents = Vec::new();
    for (zone, server) in zones.iter().zip(&servers) {
        agents.extend(launcher.agents(zone, &server.process).await?);
    }
    servers.extend(agents);
    Ok(servers)
}

/// Starts a zone's control node alone, unless it runs, and waits for its first answer.
pub async fn start_server(launcher: &Launcher, zone: &ZoneFile) -> Result<Running> {
    let mut server = launcher.server(zone).await?;
    launcher.wait_answers(zone, &mut server).await?;
    Ok(server)
}

/// `trireme dev start ZONE`: returns when its control node has applied what the leader had at the start, and its agents are
/// registered. While fewer than a majority of the control nodes answer there is nobody to catch up with and no registration:
/// then it returns when its own control node answers.
pub async fn start_zone(data: &Path, zone: &str) -> Result<()> {
    let (launcher, zone) = stop::open(data, zone)?;
    let target = Target::of_cluster(launcher.cluster.clone());
    let before = report(&target).await;
    let mut running = start(&launcher, std::slice::from_ref(&zone)).await?;
    // Without a quorum so far there was no leader to catch up with; what counts is the first one that there is now.
    let mut goal = before.quorum.then_some(before.applied);
    let mut alone_since = None;
    let up = wait(&launcher, &target, &mut running, |report, running, asked| {
        if let Some(answering) = too_few(report, &zone) {
            let since = *alone_since.get_or_insert(asked);
            let up = format!("up; no quorum yet: {answering}");
            return if since.elapsed() > ALONE_FOR {
                Ok(up)
            } else {
                Err("no control node leads".to_owned())
            };
        }
        alone_since = None;
        require_leader(report)?;
        let goal = *goal.get_or_insert(report.applied);
        let applied =
            report.nodes.iter().find(|node| node.address == zone.grpc).and_then(|node| node.applied);
        if applied.is_none_or(|applied| applied < goal) {
            return Err(format!("{}'s control node has not caught up", zone.name));
        }
        agents_there(report, &launcher.cluster, running, asked)?;
        Ok("up".to_owned())
    })
    .await?;
    say!("{} is {up}", zone.name);
    Ok(())
}

/// How few control nodes answer, when this zone's does but those that do are no majority.
fn too_few(report: &Report, zone: &ZoneFile) -> Option<String> {
    let answers = report.nodes.iter().filter(|node| node.error.is_none());
    let own = answers.clone().any(|node| node.address == zone.grpc);
    let (count, all) = (answers.count(), report.nodes.len());
    let verb = if count == 1 { "answers" } else { "answer" };
    (own && !report.quorum && count * 2 <= all).then(|| format!("{count} of {all} control nodes {verb}"))
}

/// Waits until the cluster is whole: a leader, every control node a voter that has applied what the leader had, no change of
/// the membership under way, and every agent registered.
pub async fn wait_ready(launcher: &Launcher, running: &mut [Running]) -> Result<()> {
    let target = Target::of_cluster(launcher.cluster.clone());
    let mut goal = None;
    wait(launcher, &target, running, |report, running, asked| {
        require_leader(report)?;
        if report.membership_changing {
            return Err("the membership is changing".to_owned());
        }
        let goal = *goal.get_or_insert(report.applied);
        for node in &report.nodes {
            let short = match (&node.error, node.voter, node.applied) {
                (Some(_), ..) => "does not answer",
                (None, false, _) => "does not vote yet",
                (None, true, applied) if applied.is_none_or(|applied| applied < goal) => "has not caught up",
                _ => continue,
            };
            return Err(format!("{}'s control node {short}", node.zone));
        }
        agents_there(report, &launcher.cluster, running, asked)
    })
    .await
}

fn require_leader(report: &Report) -> Result<(), String> {
    if report.quorum { Ok(()) } else { Err("no control node leads".to_owned()) }
}

async fn report(target: &Target) -> Report {
    Report::of(&ask_all(target).await, target.cluster.as_ref())
}

/// Waits until a view passes, and all processes live on after it; the error of `judge` says what is missing. `judge` is told
/// when the view was asked for.
async fn wait<T>(
    launcher: &Launcher,
    target: &Target,
    running: &mut [Running],
    mut judge: impl FnMut(&Report, &[Running], Instant) -> Result<T, String>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        let report = report(target).await;
        let judged = judge(&report, running, asked);
        for process in running.iter_mut() {
            if let Some(how) = process.ended() {
                let Running { zone, role, .. } = process;
                bail!("{zone}: {role} ended ({how}){}", launcher.last_lines(zone, *role));
            }
        }
        let missing = match judged {
            Ok(passed) => return Ok(passed),
            Err(missing) => missing,
        };
        if began.elapsed() > READY_LIMIT {
            bail!("not ready after {} s: {missing}", READY_LIMIT.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether every agent among these processes has a session: registered, connected, and heard by the leader since it was
/// started. A session that was open when an earlier process of it died stays "connected" until it is lost, and the heartbeats
/// of that one are not this one's.
fn agents_there(
    report: &Report,
    cluster: &ClusterFile,
    running: &[Running],
    asked: Instant,
) -> Result<(), String> {
    let per_agent = usize::try_from(cluster.agent.instances).unwrap_or(usize::MAX);
    for agent in running {
        let Role::Agent(number) = agent.role else { continue };
        let name = agent_name(&agent.zone, number);
        // Its age when the view was asked for.
        let age = agent.process.age().saturating_sub(asked.elapsed());
        let heard = report.agents.iter().filter(|it| is_of(&it.name, &name, per_agent) && it.connected);
        let heard = heard.filter(|it| {
            let silent = it.silent_for_ms.map(Duration::from_millis);
            silent.is_some_and(|silent| silent < HEARD_WITHIN && silent + MARGIN < age)
        });
        let heard = heard.count();
        if heard < per_agent {
            return Err(match per_agent {
                1 => format!("{name} is not registered"),
                _ => format!("{name}: {heard} of {per_agent} instances are registered"),
            });
        }
    }
    Ok(())
}

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
