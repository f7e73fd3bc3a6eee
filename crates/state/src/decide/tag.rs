//! Tags: add, remove.

use super::{Decided, Decision};
use crate::command::TaggedResource;
use crate::limits::TAGS_PER_RESOURCE;
use crate::object::Tags;
use crate::{Event, Rejection, State};

/// ECS API: at most 50 tags on a resource. Those that ECS sets itself do not count.
pub(super) fn check_limit(tags: &Tags) -> Result<(), Rejection> {
    check_count(tags.keys())
}

/// The same of what is not of ECS: all tags count.
pub(super) fn check_all(tags: &Tags, of: &str) -> Result<(), Rejection> {
    if tags.len() > TAGS_PER_RESOURCE {
        return Err(Rejection::LimitExceeded {
            what: format!("tags on {of}"),
            limit: TAGS_PER_RESOURCE as u64,
        });
    }
    Ok(())
}

/// What tags of such a thing come to; `None` when that is what they are.
pub(super) fn changed(
    before: &Tags,
    add: &Tags,
    remove: &[String],
    of: &str,
) -> Result<Option<Tags>, Rejection> {
    let mut tags = before.clone();
    tags.retain(|name, _| !remove.contains(name));
    tags.extend(add.clone());
    check_all(&tags, of)?;
    Ok((tags != *before).then_some(tags))
}

fn check_count<'a>(keys: impl Iterator<Item = &'a String>) -> Result<(), Rejection> {
    if keys.filter(|key| !key.starts_with("aws:")).count() <= TAGS_PER_RESOURCE {
        return Ok(());
    }
    Err(Rejection::LimitExceeded { what: "tags on a resource".to_owned(), limit: TAGS_PER_RESOURCE as u64 })
}

pub(super) fn add(state: &State, resource: &TaggedResource, tags: &Tags) -> Decided {
    let known = state.tags(resource).ok_or(Rejection::ResourceNotFound)?;
    check_count(known.keys().chain(tags.keys().filter(|key| !known.contains_key(*key))))?;
    if tags.iter().all(|(key, value)| known.get(key) == Some(value)) {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(
        whole(resource, || {
            let mut all = known.clone();
            all.extend(tags.clone());
            all
        })
        .unwrap_or_else(|| Event::ResourceTagged { resource: resource.clone(), tags: tags.clone() }),
    ))
}

pub(super) fn remove(state: &State, resource: &TaggedResource, keys: &[String]) -> Decided {
    let known = state.tags(resource).ok_or(Rejection::ResourceNotFound)?;
    if !keys.iter().any(|key| known.contains_key(key)) {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(
        whole(resource, || {
            let mut all = known.clone();
            all.retain(|key, _| !keys.contains(key));
            all
        })
        .unwrap_or_else(|| Event::ResourceUntagged { resource: resource.clone(), keys: keys.to_vec() }),
    ))
}

/// What came after the first level has kinds of its own, with all of the tags: nodes of that level, which read the tags of all else,
/// do not know it.
fn whole(resource: &TaggedResource, tags: impl FnOnce() -> Tags) -> Option<Event> {
    match resource {
        TaggedResource::CapacityProvider(key) => {
            Some(Event::CapacityProviderTagged { key: key.clone(), tags: tags() })
        }
        TaggedResource::TaskSet(key, id) => {
            Some(Event::TaskSetTagged { key: key.clone(), id: *id, tags: tags() })
        }
        TaggedResource::Cluster(_)
        | TaggedResource::Service(_)
        | TaggedResource::Task(_)
        | TaggedResource::ContainerInstance(_)
        | TaggedResource::TaskDefinition(_) => None,
    }
}
