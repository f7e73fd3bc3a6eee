//! Whether a fault may be made: only on a cluster that is whole, and only when what is left of it has a quorum.

use anyhow::{Result, bail};
use trireme_cli::report::Report;

use super::fault::Fault;

/// Refuses what could take the last quorum, or would hit a cluster that is hit already.
pub fn check(report: &Report, fault: &Fault) -> Result<()> {
    if let Err(missing) = whole(report, report) {
        bail!("the cluster is not whole, so nothing is done to it: {missing}");
    }
    let voters = report.nodes.iter().filter(|node| node.voter);
    let (all, living) = (voters.clone().count(), voters.filter(|node| node.error.is_none()).count());
    let left = living.saturating_sub(fault.takes());
    if left * 2 <= all {
        bail!("{fault} would leave {left} of {all} voters, which is no quorum");
    }
    if fault.takes_agents() && report.zones.iter().filter(|zone| zone.agents > 0).count() < 2 {
        bail!("{fault} would leave no agent");
    }
    Ok(())
}

/// Whether all control nodes answer, one leads, and agents and services are as they were; the error says what is missing.
pub fn whole(report: &Report, before: &Report) -> Result<(), String> {
    if !report.quorum {
        return Err("no control node leads".to_owned());
    }
    if report.membership_changing {
        return Err("the membership is changing".to_owned());
    }
    if let Some(node) = report.nodes.iter().find(|node| node.error.is_some()) {
        return Err(format!("{}'s control node does not answer", node.zone));
    }
    let connected = |report: &Report| report.agents.iter().filter(|agent| agent.connected).count();
    if connected(report) < connected(before) {
        return Err(format!("{} of {} agents are connected", connected(report), connected(before)));
    }
    let short = report.services.iter().find(|service| service.running < service.desired);
    short.map_or(Ok(()), |it| {
        Err(format!("service {}: {} of {} tasks RUNNING", it.name, it.running, it.desired))
    })
}

#[cfg(test)]
mod tests {
    use trireme_cli::report::{LeaderReport, NodeReport};

    use super::*;

    fn cluster(voters: usize, dead: usize) -> Report {
        let node = |number: usize| NodeReport {
            node: Some(number as u64),
            zone: format!("zone-{number}"),
            address: String::new(),
            voter: true,
            role: "follower".to_owned(),
            applied: Some(1),
            disk_free_bytes: None,
            feature_level: None,
            incarnation: None,
            agreed: None,
            differs: false,
            error: (number < dead).then(|| "no connection".to_owned()),
        };
        Report {
            quorum: true,
            stale: false,
            cluster_uuid: None,
            leader: Some(LeaderReport { node: 2, zone: "zone-2".to_owned() }),
            membership_changing: false,
            applied: 1,
            zones: Vec::new(),
            nodes: (0..voters).map(node).collect(),
            agents: Vec::new(),
            services: Vec::new(),
        }
    }

    fn taking(count: usize) -> Fault {
        Fault::Command { inject: "true".to_owned(), undo: "true".to_owned(), takes: count }
    }

    #[test]
    fn the_last_quorum_is_never_taken() {
        assert!(check(&cluster(3, 0), &taking(1)).is_ok());
        assert!(check(&cluster(3, 0), &taking(2)).is_err());
        assert!(check(&cluster(5, 0), &taking(2)).is_ok());
        assert!(check(&cluster(2, 0), &taking(1)).is_err());
        assert!(check(&cluster(1, 0), &taking(1)).is_err());
    }

    #[test]
    fn a_cluster_that_is_hit_already_is_left_alone() {
        assert!(check(&cluster(5, 1), &taking(1)).is_err());
        let mut leaderless = cluster(3, 0);
        leaderless.quorum = false;
        assert!(check(&leaderless, &taking(0)).is_err());
    }
}
