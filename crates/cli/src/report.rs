//! The nodes' answers in one: who leads, what each zone has, and whether any of it may be old.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use trireme_rpc::operator::{ClusterStatusResponse, Instance};

use crate::client::{self, NodeAnswer};
use crate::cluster_file::ClusterFile;

/// The cluster, as `trireme status --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// A leader that hears a quorum answered.
    pub quorum: bool,
    /// What follows is a follower's view, or nobody's: it may be old.
    pub stale: bool,
    /// The control plane's identity, when a node answers.
    pub cluster_uuid: Option<String>,
    /// Who leads.
    pub leader: Option<LeaderReport>,
    /// A change of the membership is under way.
    pub membership_changing: bool,
    /// How far the history is applied on the node whose view this is.
    pub applied: u64,
    /// Zone by zone.
    pub zones: Vec<ZoneReport>,
    /// Every control node, living or not.
    pub nodes: Vec<NodeReport>,
    /// Every container instance.
    pub agents: Vec<AgentReport>,
    /// Every service that is not deleted.
    pub services: Vec<ServiceReport>,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaderReport {
    /// Its id.
    pub node: u64,
    /// Its zone.
    pub zone: String,
}

/// One zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ZoneReport {
    /// Its name.
    pub name: String,
    /// Control nodes that answer.
    pub control_nodes: u64,
    /// Container instances whose agents are connected.
    pub agents: u64,
    /// Tasks that are RUNNING.
    pub running_tasks: u64,
    /// All tasks by status.
    pub tasks: BTreeMap<String, u64>,
}

/// One control node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its id, if anybody knows it.
    pub node: Option<u64>,
    /// Its zone.
    pub zone: String,
    /// Its gRPC address.
    pub address: String,
    /// Whether it votes, as far as is known.
    pub voter: bool,
    /// leader, follower, learner, candidate, stopped or unreachable.
    pub role: String,
    /// How far it has applied the history.
    pub applied: Option<u64>,
    /// Room on its disk, in bytes, as far as is known.
    pub disk_free_bytes: Option<u64>,
    /// The cluster's feature level, as it has applied it.
    pub feature_level: Option<u32>,
    /// The cluster's incarnation, as it knows it.
    pub incarnation: Option<u64>,
    /// The newest event at which a majority of the control nodes held its state, as far as they were compared.
    pub agreed: Option<u64>,
    /// Another control node held another state than this one.
    pub differs: bool,
    /// Why it did not answer.
    pub error: Option<String>,
}

/// One container instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentReport {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Its cluster.
    pub cluster: String,
    /// Its id.
    pub container_instance: String,
    /// ACTIVE or DRAINING.
    pub status: String,
    /// Whether its agent is heard.
    pub connected: bool,
    /// Until when it said that it is away, in milliseconds since 1970 on the control plane's clock.
    pub absent_until_ms: Option<u64>,
    /// Milliseconds since its last heartbeat, as far as is known.
    pub silent_for_ms: Option<u64>,
    /// Its tasks that are RUNNING.
    pub running_tasks: u32,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceReport {
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// ACTIVE or DRAINING.
    pub status: String,
    /// Tasks that are wanted.
    pub desired: u32,
    /// Tasks that are RUNNING.
    pub running: u32,
    /// Tasks on their way.
    pub pending: u32,
    /// Deployments; one when no update is under way.
    pub deployments: u32,
    /// `family:revision` of the primary deployment.
    pub task_definition: String,
}

impl Report {
    /// Puts the answers together. `cluster` adds zones and nodes that nobody named.
    pub fn of(answers: &[NodeAnswer], cluster: Option<&ClusterFile>) -> Self {
        let leading = client::leader(answers);
        let best = leading.map(|(_, response)| response).or_else(|| most_applied(answers));
        let leader = leading.and_then(|(_, response)| response.node.as_ref());
        let nodes = node_reports(answers, best);
        Self {
            quorum: leader.is_some(),
            stale: leader.is_none(),
            cluster_uuid: best.and_then(|best| best.node.as_ref()).map(|node| node.cluster_uuid.clone()),
            leader: leader.map(|node| LeaderReport { node: node.id, zone: node.zone.clone() }),
            membership_changing: leader.is_some_and(|node| node.membership_changing),
            applied: best.and_then(|best| best.node.as_ref()).map_or(0, |node| node.applied_sequence),
            zones: zone_reports(&nodes, best, cluster),
            nodes,
            agents: best.map(|best| best.instances.iter().map(agent_report).collect()).unwrap_or_default(),
            services: best.map(service_reports).unwrap_or_default(),
        }
    }

    /// Whether any node answered.
    pub fn reachable(&self) -> bool {
        self.nodes.iter().any(|node| node.error.is_none())
    }
}

fn most_applied(answers: &[NodeAnswer]) -> Option<&ClusterStatusResponse> {
    let responses = answers.iter().filter_map(|answer| answer.answer.as_ref().ok());
    responses.max_by_key(|response| response.node.as_ref().map_or(0, |node| node.applied_sequence))
}

fn node_reports(answers: &[NodeAnswer], best: Option<&ClusterStatusResponse>) -> Vec<NodeReport> {
    let member_at = |address: &str| {
        best.and_then(|best| best.members.iter().find(|member| member.grpc_address == address))
    };
    let votes = |id| best.is_some_and(|best| best.members.iter().any(|it| it.id == id && it.voter));
    let mut nodes: Vec<NodeReport> = answers
        .iter()
        .map(|answer| match &answer.answer {
            Ok(response) => {
                let node = response.node.clone().unwrap_or_default();
                NodeReport {
                    voter: votes(node.id),
                    node: Some(node.id),
                    zone: node.zone,
                    address: answer.node.address.clone(),
                    role: node.role,
                    applied: Some(node.applied_sequence),
                    disk_free_bytes: node.disk_free_bytes,
                    feature_level: Some(node.feature_level),
                    incarnation: Some(node.incarnation),
                    agreed: node.agreed_sequence,
                    differs: node.state_differs,
                    error: None,
                }
            }
            Err(error) => NodeReport {
                node: member_at(&answer.node.address).map(|member| member.id),
                voter: member_at(&answer.node.address).is_some_and(|member| member.voter),
                zone: answer.node.zone.clone().unwrap_or_default(),
                address: answer.node.address.clone(),
                role: "unreachable".to_owned(),
                applied: None,
                disk_free_bytes: None,
                feature_level: None,
                incarnation: None,
                agreed: None,
                differs: false,
                error: Some(error.clone()),
            },
        })
        .collect();
    nodes.sort_by(|a, b| (&a.zone, a.node).cmp(&(&b.zone, b.node)));
    nodes
}

pub(crate) fn zone_reports(
    nodes: &[NodeReport],
    best: Option<&ClusterStatusResponse>,
    cluster: Option<&ClusterFile>,
) -> Vec<ZoneReport> {
    let mut names: BTreeSet<&str> = nodes.iter().map(|node| node.zone.as_str()).collect();
    names.extend(cluster.iter().flat_map(|file| &file.zones).map(|zone| zone.name.as_str()));
    if let Some(best) = best {
        names.extend(best.members.iter().map(|member| member.zone.as_str()));
        names.extend(best.instances.iter().map(|instance| instance.zone.as_str()));
        names.extend(best.tasks.iter().map(|count| count.zone.as_str()));
    }
    names.remove("");
    names.into_iter().map(|name| zone_report(name, nodes, best)).collect()
}

fn zone_report(name: &str, nodes: &[NodeReport], best: Option<&ClusterStatusResponse>) -> ZoneReport {
    let living = nodes.iter().filter(|node| node.zone == name && node.error.is_none());
    let mut zone =
        ZoneReport { name: name.to_owned(), control_nodes: living.count() as u64, ..Default::default() };
    if let Some(best) = best {
        let connected = |instance: &&Instance| instance.zone == name && instance.connected;
        zone.agents = best.instances.iter().filter(connected).count() as u64;
        for count in best.tasks.iter().filter(|count| count.zone == name) {
            zone.tasks.insert(count.status.clone(), count.count);
        }
        zone.running_tasks = zone.tasks.get("RUNNING").copied().unwrap_or(0);
    }
    zone
}

pub(crate) fn agent_report(instance: &Instance) -> AgentReport {
    AgentReport {
        name: instance.name.clone(),
        zone: instance.zone.clone(),
        cluster: instance.cluster.clone(),
        container_instance: instance.id.clone(),
        status: if instance.active { "ACTIVE" } else { "DRAINING" }.to_owned(),
        connected: instance.connected,
        absent_until_ms: instance.absent_until_ms,
        silent_for_ms: instance.silent_for_ms,
        running_tasks: instance.running_tasks,
    }
}

pub(crate) fn service_reports(best: &ClusterStatusResponse) -> Vec<ServiceReport> {
    let kept = best.services.iter().filter(|service| service.status != "INACTIVE");
    kept.map(|service| ServiceReport {
        cluster: service.cluster.clone(),
        name: service.name.clone(),
        status: service.status.clone(),
        desired: service.desired,
        running: service.running,
        pending: service.pending,
        deployments: service.deployments,
        task_definition: service.task_definition.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use trireme_rpc::operator::{Member, Node, TaskCount};

    use super::*;
    use crate::target::KnownNode;

    fn answer(id: u64, zone: &str, role: &str, applied: u64) -> NodeAnswer {
        let node = Node {
            id,
            zone: zone.to_owned(),
            role: role.to_owned(),
            has_quorum: role == "leader",
            applied_sequence: applied,
            ..Default::default()
        };
        let member = |id: u64, zone: &str| Member {
            id,
            zone: zone.to_owned(),
            grpc_address: format!("127.0.0.1:{id}"),
            ..Default::default()
        };
        let response = ClusterStatusResponse {
            node: Some(node),
            members: vec![member(1, "a"), member(2, "b")],
            tasks: vec![TaskCount { zone: "b".to_owned(), status: "RUNNING".to_owned(), count: applied }],
            ..Default::default()
        };
        let known = KnownNode { address: format!("127.0.0.1:{id}"), zone: Some(zone.to_owned()) };
        NodeAnswer { node: known, answer: Ok(response) }
    }

    fn silence(id: u64, zone: &str) -> NodeAnswer {
        let known = KnownNode { address: format!("127.0.0.1:{id}"), zone: Some(zone.to_owned()) };
        NodeAnswer { node: known, answer: Err("no connection".to_owned()) }
    }

    #[test]
    fn the_leaders_view_wins() {
        let report = Report::of(&[answer(1, "a", "leader", 5), answer(2, "b", "follower", 7)], None);
        assert_eq!(report.leader, Some(LeaderReport { node: 1, zone: "a".to_owned() }));
        assert_eq!((report.applied, report.quorum, report.stale), (5, true, false));
        assert_eq!(report.zones.iter().map(|zone| zone.running_tasks).collect::<Vec<_>>(), [0, 5]);
    }

    #[test]
    fn without_a_quorum_the_newest_view_is_shown_as_stale() {
        let report = Report::of(&[silence(1, "a"), answer(2, "b", "candidate", 7)], None);
        assert_eq!((report.leader.as_ref(), report.quorum, report.stale), (None, false, true));
        assert_eq!(report.applied, 7);
        assert_eq!(report.nodes[0].node, Some(1), "known from the other's members");
        assert_eq!(report.zones.iter().map(|zone| zone.control_nodes).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn nobody_answers() {
        let report = Report::of(&[silence(1, "a"), silence(2, "b")], None);
        assert!(!report.reachable());
        assert_eq!(report.zones.len(), 2);
    }
}
