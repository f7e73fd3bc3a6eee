//! Log groups: made, kept for so long, tagged, deleted.

use super::{Decided, Decision};
use crate::command::LogGroupChange;
use crate::event::LogGroupEvent;
use crate::limits::LOG_GROUPS;
use crate::object::{ClusterKey, LogGroup, LogGroupKey, Tags, TaskDefinition};
use crate::query::log_group;
use crate::{Event, FeatureLevel, Rejection, State};

pub(super) fn create(state: &State, key: &LogGroupKey, tags: &Tags) -> Decided {
    if state.log_group(key).is_some() {
        return Err(Rejection::LogGroupExists);
    }
    if state.log_groups_of(&key.scope).count() >= LOG_GROUPS {
        return Err(Rejection::LimitExceeded { what: "log groups".to_owned(), limit: LOG_GROUPS as u64 });
    }
    super::tag::check_all(tags, "a log group")?;
    Ok(Decision::one(Event::LogGroup(LogGroupEvent::LogGroupCreated {
        key: key.clone(),
        tags: tags.clone(),
    })))
}

pub(super) fn delete(state: &State, key: &LogGroupKey) -> Decided {
    known(state, key)?;
    Ok(Decision::one(Event::LogGroup(LogGroupEvent::LogGroupDeleted { key: key.clone() })))
}

pub(super) fn change(state: &State, key: &LogGroupKey, change: &LogGroupChange) -> Decided {
    match change {
        LogGroupChange::Retention(days) => set_retention(state, key, *days),
        LogGroupChange::Tags { add, remove } => tag(state, key, add, remove),
    }
}

fn set_retention(state: &State, key: &LogGroupKey, days: Option<u32>) -> Decided {
    if known(state, key)?.retention_days == days {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(Event::LogGroup(LogGroupEvent::LogGroupRetentionChanged { key: key.clone(), days })))
}

fn tag(state: &State, key: &LogGroupKey, add: &Tags, remove: &[String]) -> Decided {
    let tags = super::tag::changed(&known(state, key)?.tags, add, remove, "a log group")?;
    let tagged =
        |tags| Decision::one(Event::LogGroup(LogGroupEvent::LogGroupTagged { key: key.clone(), tags }));
    Ok(tags.map_or_else(Decision::nothing, tagged))
}

fn known<'a>(state: &'a State, key: &LogGroupKey) -> Result<&'a LogGroup, Rejection> {
    state.log_group(key).map(std::convert::AsRef::as_ref).ok_or(Rejection::LogGroupNotFound)
}

/// What is to be made so that tasks of a definition have the groups that they are to make themselves (`awslogs-create-group`). A group that
/// cannot be is missing when the task comes to its agent.
pub(super) fn wanted(state: &State, cluster: &ClusterKey, definition: &TaskDefinition) -> Vec<Event> {
    if state.level() < FeatureLevel::NODE_SERVICES {
        return Vec::new();
    }
    let named = definition.spec.containers.iter().filter_map(|one| log_group(one, &cluster.scope));
    let missing: std::collections::BTreeSet<LogGroupKey> =
        named.filter(|(key, create)| *create && state.log_group(key).is_none()).map(|(key, _)| key).collect();
    let room = |key: &LogGroupKey| state.log_groups_of(&key.scope).count() < LOG_GROUPS;
    let created = missing.into_iter().filter(room);
    created.map(|key| Event::LogGroup(LogGroupEvent::LogGroupCreated { key, tags: Tags::new() })).collect()
}
