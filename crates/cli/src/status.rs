//! `trireme status`: the cluster at a glance. It needs no quorum, and says when there is none.

use crate::Error;
use crate::client::{ask_all, unreachable};
use crate::output;
use crate::report::{AgentReport, NodeReport, Report, ServiceReport, ZoneReport};
use crate::target::TargetArgs;

/// The arguments of `trireme status`.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    /// Which cluster.
    pub target: TargetArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Rows of agents and services that a table shows; `--json` has all.
const ROWS: usize = 40;

/// Runs `trireme status`.
pub async fn run(args: &StatusArgs) -> Result<(), Error> {
    let target = args.target.resolve()?;
    let answers = ask_all(&target).await;
    let report = Report::of(&answers, target.cluster.as_ref());
    if args.json {
        output::json(&report)?;
    } else {
        output::line(text(&report))?;
    }
    if report.reachable() { Ok(()) } else { Err(unreachable(&answers)) }
}

fn text(report: &Report) -> String {
    let mut parts = vec![headline(report), zones(&report.zones), nodes(report)];
    if !report.agents.is_empty() {
        parts.push(agents(&report.agents, report.quorum));
    }
    if !report.services.is_empty() {
        parts.push(services(&report.services));
    }
    parts.join("\n\n")
}

fn headline(report: &Report) -> String {
    match &report.leader {
        Some(leader) => {
            format!("leader: node {} in {}, {} events applied", leader.node, leader.zone, report.applied)
        }
        None if report.reachable() => format!(
            "NO QUORUM: no control node leads. Running tasks go on; nothing can be changed.\n\
             What follows is the newest view of a node that answers ({} events applied); it may be old.",
            report.applied
        ),
        None => "NO CONTROL NODE ANSWERS. Running tasks go on; nothing can be changed.".to_owned(),
    }
}

fn zones(zones: &[ZoneReport]) -> String {
    let rows = zones.iter().map(|zone| {
        let others = zone.tasks.iter().filter(|(status, count)| *status != "RUNNING" && **count > 0);
        let others: Vec<String> = others.map(|(status, count)| format!("{count} {status}")).collect();
        vec![
            zone.name.clone(),
            zone.control_nodes.to_string(),
            zone.agents.to_string(),
            zone.running_tasks.to_string(),
            others.join(", "),
        ]
    });
    output::table(&["zone", "control nodes", "agents", "running tasks", "other tasks"], rows)
}

fn nodes(report: &Report) -> String {
    let rows = report.nodes.iter().map(|node| {
        vec![
            node.node.map_or_else(|| "?".to_owned(), |id| id.to_string()),
            node.zone.clone(),
            node.error.as_ref().map_or_else(|| node.role.clone(), |error| format!("{}: {error}", node.role)),
            node.applied.map_or_else(String::new, |applied| applied.to_string()),
            agreement(node),
            node.disk_free_bytes.map_or_else(String::new, free),
            node.address.clone(),
        ]
    });
    output::table(&["control node", "zone", "role", "applied", "state agrees", "disk free", "address"], rows)
}

/// Up to where the others hold the same state.
fn agreement(node: &NodeReport) -> String {
    match (node.differs, node.agreed) {
        (true, _) => "DIFFERS".to_owned(),
        (false, Some(sequence)) => format!("at {sequence}"),
        (false, None) => String::new(),
    }
}

/// The room on a disk, as people read it.
fn free(bytes: u64) -> String {
    let mib = bytes / (1024 * 1024);
    if mib < 10 * 1024 { format!("{mib} MiB") } else { format!("{} GiB", mib / 1024) }
}

pub(crate) fn agents(agents: &[AgentReport], quorum: bool) -> String {
    let rows = agents.iter().map(|agent| {
        vec![
            agent.name.clone(),
            agent.zone.clone(),
            agent.cluster.clone(),
            agent_state(agent, quorum),
            agent.running_tasks.to_string(),
        ]
    });
    let header = ["agent", "zone", "cluster", "state", "running tasks"];
    output::rows(&header, rows.collect(), ROWS, "agents")
}

/// Only a leader with a quorum judges agents. Any other view knows what was so, and not which of them it hears of now.
fn agent_state(agent: &AgentReport, quorum: bool) -> String {
    let absent = agent.absent_until_ms.map(|until| format!("absent until {}", output::clock(until)));
    let known = match &absent {
        Some(absent) => absent.as_str(),
        None if agent.connected => agent.status.as_str(),
        None => "lost",
    };
    match (quorum, agent.connected, agent.silent_for_ms) {
        (false, ..) => format!("last known: {known}"),
        (true, true, None) => "unknown".to_owned(),
        (true, true, Some(silent)) if silent > 2_500 => {
            format!("silent for {:.1} s", silent as f64 / 1000.0)
        }
        (true, ..) => known.to_owned(),
    }
}

pub(crate) fn services(services: &[ServiceReport]) -> String {
    let rows = services.iter().map(|service| {
        vec![
            service.name.clone(),
            service.cluster.clone(),
            service.task_definition.clone(),
            service.desired.to_string(),
            service.running.to_string(),
            service.pending.to_string(),
            service.deployments.to_string(),
        ]
    });
    let header = ["service", "cluster", "task definition", "desired", "running", "pending", "deployments"];
    output::rows(&header, rows.collect(), ROWS, "services")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_state_is_told_as_far_as_it_is_known() {
        let agent = |connected, silent_for_ms| AgentReport {
            name: "us-east-1a/agent-1".to_owned(),
            zone: "us-east-1a".to_owned(),
            cluster: "default".to_owned(),
            container_instance: "1".to_owned(),
            status: "ACTIVE".to_owned(),
            connected,
            absent_until_ms: None,
            silent_for_ms,
            running_tasks: 0,
        };
        assert_eq!(agent_state(&agent(true, Some(900)), true), "ACTIVE");
        assert_eq!(agent_state(&agent(true, Some(3_000)), true), "silent for 3.0 s");
        assert_eq!(agent_state(&agent(true, None), true), "unknown");
        assert_eq!(agent_state(&agent(false, None), true), "lost");
        // The node that answers may have heard only the agents of its own zone.
        assert_eq!(agent_state(&agent(true, None), false), "last known: ACTIVE");
        assert_eq!(agent_state(&agent(true, Some(9_000)), false), "last known: ACTIVE");
        assert_eq!(agent_state(&agent(false, Some(100)), false), "last known: lost");
        let absent = AgentReport { absent_until_ms: Some(3_600_000), ..agent(false, Some(9_000)) };
        assert_eq!(agent_state(&absent, true), "absent until 01:00:00.000Z");
    }
}
