//! Who of the cluster answers, and what speaks against giving up on the others. The folder of a node that was away may know an
//! old membership: those whom the answers name are asked as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use trireme_rpc::control::control_client::ControlClient;
use trireme_rpc::control::{StatusRequest, StatusResponse};
use trireme_rpc::convert;

use super::Outlook;
use crate::network::peers::{Connect, Lane};
use crate::store::within;

/// For another member to say that it lives, each time it is asked: whoever is far away or busy is not dead.
const ANSWER: Duration = Duration::from_secs(5);
/// For a connection to it: less, so that the next try begins with a new one.
pub(super) const CONNECT: Duration = Duration::from_secs(4);
/// How often one that says nothing is asked.
const TRIES: usize = 3;
/// Before it is asked again.
const PAUSE: Duration = Duration::from_millis(250);
/// Addresses that are asked at most.
const MOST: usize = 64;

/// What asking came to.
pub(super) struct Census {
    /// Nodes of this node's own incarnation that answer.
    pub alive: Vec<u64>,
    /// Why the cluster should not be given up.
    pub against: Vec<String>,
}

/// Asks everyone of whom this node knows, and everyone of whom those know.
pub(super) async fn take(outlook: &Outlook, connect: &dyn Connect) -> Census {
    judge(outlook, &ask_all(outlook, connect).await)
}

async fn ask_all(outlook: &Outlook, connect: &dyn Connect) -> BTreeMap<u64, StatusResponse> {
    let cluster = convert::cluster_to_bytes(outlook.identity.cluster);
    let (mut asked, mut answers) = (BTreeSet::new(), BTreeMap::new());
    // This node's own address too: a copy of its folder may run there.
    let mut next: Vec<String> =
        outlook.members.iter().map(|(_, member, _)| member.peer_address.clone()).collect();
    while !next.is_empty() {
        let fresh = next.drain(..).filter(|address| asked.len() < MOST && asked.insert(address.clone()));
        let asking = fresh.map(|address| async move { ask(connect, &address).await });
        for answer in join_all(asking).await.into_iter().flatten() {
            if answer.cluster_id != cluster {
                continue;
            }
            let members = answer.members.iter().filter_map(|member| member.member.as_ref());
            next.extend(members.map(|member| member.peer_address.clone()));
            answers.insert(answer.node_id, answer);
        }
    }
    answers
}

async fn ask(connect: &dyn Connect, address: &str) -> Option<StatusResponse> {
    let channel = connect.connect(address, Lane::Control).ok()?;
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let mut client = ControlClient::new(channel.clone());
        if let Some(Ok(answer)) = within(ANSWER, client.status(StatusRequest {})).await {
            return Some(answer.into_inner());
        }
    }
    None
}

fn judge(outlook: &Outlook, answers: &BTreeMap<u64, StatusResponse>) -> Census {
    let own = outlook.identity;
    let mut against = Vec::new();
    for (id, answer) in answers {
        if answer.incarnation > own.incarnation {
            let later = answer.incarnation;
            against.push(format!("node {id} answers, and the cluster lives on there as incarnation {later}"));
        } else if answer.incarnation == own.incarnation {
            against.extend(objections(outlook, answer));
        }
    }
    let equal = answers.values().filter(|answer| answer.incarnation == own.incarnation);
    let alive: Vec<u64> =
        equal.clone().map(|answer| answer.node_id).filter(|id| *id != own.node_id).collect();
    let known = std::iter::once(outlook.voters()).chain(equal.map(voters));
    // This node is sound, so it is one of them once it runs.
    let sound: BTreeSet<u64> = alive.iter().copied().chain([own.node_id]).collect();
    if let Some(voters) = known.into_iter().find(|voters| is_quorum(voters, &sound)) {
        let others: Vec<u64> = voters.iter().filter(|id| alive.contains(id)).copied().collect();
        if !others.is_empty() {
            against.push(format!(
                "nodes {others:?} of the cluster answer, and with this one, once it is started, they are a quorum: nothing is lost"
            ));
        }
    }
    Census { alive, against }
}

/// What one answer of the same incarnation says against it.
fn objections(outlook: &Outlook, answer: &StatusResponse) -> Vec<String> {
    let (own, id) = (outlook.identity.node_id, answer.node_id);
    if id == own {
        return vec![format!("node {own} itself answers: it runs from another data folder")];
    }
    let mut found = Vec::new();
    if answer.has_quorum {
        found.push(format!("node {id} leads, and a quorum hears it"));
    } else if answer.leader_id != 0 {
        found.push(format!("node {id} answers, and its leader is node {}", answer.leader_id));
    }
    let mut members = answer.members.iter().filter_map(|member| member.member.as_ref());
    if !answer.members.is_empty() && !members.any(|member| member.id == own) {
        found.push(format!("node {id} answers, and knows the cluster without node {own}"));
    }
    let last = outlook.last.map_or((0, 0), |last| (last.leader_id.term, last.index));
    let theirs = (answer.last_log_term, answer.last_log_index);
    if theirs > last {
        found.push(format!(
            "node {id} answers, and its log goes on to index {} of term {}, this one's to index {} of term {}",
            theirs.1, theirs.0, last.1, last.0
        ));
    }
    found
}

fn voters(answer: &StatusResponse) -> BTreeSet<u64> {
    let voters = answer.members.iter().filter(|member| member.voter);
    voters.filter_map(|member| Some(member.member.as_ref()?.id)).collect()
}

fn is_quorum(voters: &BTreeSet<u64>, sound: &BTreeSet<u64>) -> bool {
    !voters.is_empty() && voters.intersection(sound).count() > voters.len() / 2
}
