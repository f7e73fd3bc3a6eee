//! openraft's values as messages: for the disk and for the network.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use openraft::EntryPayload;
use trireme_rpc::log;

use crate::batch::Batch;
use crate::config::{LeaderId, LogEntry, LogId, Membership, StoredMembership, Vote};
use crate::error::corrupt;
use crate::membership::Member;

pub(crate) fn leader_to_wire(leader: LeaderId) -> log::LeaderId {
    log::LeaderId { term: leader.term, node: leader.node_id }
}

pub(crate) fn leader_from_wire(leader: Option<log::LeaderId>) -> io::Result<LeaderId> {
    let leader = leader.ok_or_else(|| corrupt("a leader id is missing"))?;
    Ok(LeaderId { term: leader.term, node_id: leader.node })
}

pub(crate) fn log_id_to_wire(id: LogId) -> log::LogId {
    log::LogId { leader: Some(leader_to_wire(id.leader_id)), index: id.index }
}

pub(crate) fn log_id_from_wire(id: log::LogId) -> io::Result<LogId> {
    Ok(LogId { leader_id: leader_from_wire(id.leader)?, index: id.index })
}

pub(crate) fn some_log_id(id: Option<log::LogId>) -> io::Result<Option<LogId>> {
    id.map(log_id_from_wire).transpose()
}

pub(crate) fn vote_to_wire(vote: &Vote) -> log::Vote {
    log::Vote { leader: Some(leader_to_wire(vote.leader_id)), committed: vote.committed }
}

pub(crate) fn vote_from_wire(vote: Option<log::Vote>) -> io::Result<Vote> {
    let vote = vote.ok_or_else(|| corrupt("a vote is missing"))?;
    Ok(Vote { leader_id: leader_from_wire(vote.leader)?, committed: vote.committed })
}

pub(crate) fn member_to_wire(id: u64, member: &Member) -> log::Member {
    log::Member {
        id,
        zone: member.zone.clone(),
        peer_address: member.peer_address.clone(),
        api_address: member.api_address.clone(),
        token: member.token.clone(),
    }
}

fn member_from_wire(member: log::Member) -> (u64, Member) {
    let id = member.id;
    let member = Member {
        zone: member.zone,
        peer_address: member.peer_address,
        api_address: member.api_address,
        token: member.token,
    };
    (id, member)
}

pub(crate) fn membership_to_wire(membership: &Membership) -> log::Membership {
    let configs = membership.get_joint_config().iter();
    log::Membership {
        configs: configs.map(|set| log::VoterSet { ids: set.iter().copied().collect() }).collect(),
        nodes: membership.nodes().map(|(id, member)| member_to_wire(*id, member)).collect(),
    }
}

pub(crate) fn membership_from_wire(membership: log::Membership) -> io::Result<Membership> {
    let configs: Vec<BTreeSet<u64>> =
        membership.configs.into_iter().map(|set| set.ids.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, Member> = membership.nodes.into_iter().map(member_from_wire).collect();
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(corrupt)
}

pub(crate) fn stored_to_wire(stored: &StoredMembership) -> log::StoredMembership {
    log::StoredMembership {
        log_id: stored.log_id().map(log_id_to_wire),
        membership: Some(membership_to_wire(stored.membership())),
    }
}

pub(crate) fn stored_from_wire(stored: Option<log::StoredMembership>) -> io::Result<StoredMembership> {
    let stored = stored.ok_or_else(|| corrupt("a membership is missing"))?;
    let membership = membership_from_wire(stored.membership.unwrap_or_default())?;
    Ok(StoredMembership::new(some_log_id(stored.log_id)?, membership))
}

pub(crate) fn entry_to_wire(entry: &LogEntry) -> log::LogEntry {
    use log::log_entry::Payload;
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(batch) => Some(Payload::Batch(batch.encoded().clone())),
        EntryPayload::Membership(membership) => Some(Payload::Membership(membership_to_wire(membership))),
    };
    log::LogEntry { id: Some(log_id_to_wire(entry.log_id)), payload }
}

pub(crate) fn entry_from_wire(entry: log::LogEntry) -> io::Result<LogEntry> {
    use log::log_entry::Payload;
    let log_id = log_id_from_wire(entry.id.ok_or_else(|| corrupt("a log entry has no id"))?)?;
    let payload = match entry.payload {
        None => EntryPayload::Blank,
        Some(Payload::Batch(encoded)) => EntryPayload::Normal(Batch::from_encoded(encoded)),
        Some(Payload::Membership(membership)) => EntryPayload::Membership(membership_from_wire(membership)?),
    };
    Ok(LogEntry { log_id, payload })
}
