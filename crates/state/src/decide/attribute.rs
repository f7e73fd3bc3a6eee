//! Custom attributes of container instances: put, delete.

use std::collections::BTreeMap;

use trireme_types::ContainerInstanceId;

use super::{Decided, Decision};
use crate::command::InstanceAttribute;
use crate::limits::ATTRIBUTES_PER_INSTANCE;
use crate::object::{Attributes, ClusterKey};
use crate::{Event, Rejection, State};

/// The custom attributes of each instance that is named, as they are.
fn of_named(
    state: &State,
    cluster: &ClusterKey,
    named: &[InstanceAttribute],
) -> Result<BTreeMap<ContainerInstanceId, Attributes>, Rejection> {
    state.active_cluster(cluster).ok_or(Rejection::ClusterNotFound)?;
    let of = |one: &InstanceAttribute| {
        let found = state.instance(one.instance).filter(|instance| instance.registration.cluster == *cluster);
        found.ok_or(Rejection::ContainerInstanceNotFound)?;
        Ok((one.instance, (*state.custom_attributes(one.instance)).clone()))
    };
    named.iter().map(of).collect()
}

/// An event for each instance whose attributes are others now.
fn changed(state: &State, after: BTreeMap<ContainerInstanceId, Attributes>) -> Decision {
    let differs = after.into_iter().filter(|(id, attributes)| *state.custom_attributes(*id) != *attributes);
    let event = |(instance, attributes)| Event::InstanceAttributesChanged { instance, attributes };
    Decision::of(differs.map(event).collect())
}

pub(super) fn put(state: &State, cluster: &ClusterKey, attributes: &[InstanceAttribute]) -> Decided {
    let mut after = of_named(state, cluster, attributes)?;
    for one in attributes {
        let known = after.entry(one.instance).or_default();
        known.insert(one.name.clone(), one.value.clone().unwrap_or_default());
        if known.len() > ATTRIBUTES_PER_INSTANCE {
            return Err(Rejection::AttributeLimitExceeded { limit: ATTRIBUTES_PER_INSTANCE as u64 });
        }
    }
    Ok(changed(state, after))
}

pub(super) fn delete(state: &State, cluster: &ClusterKey, attributes: &[InstanceAttribute]) -> Decided {
    let mut after = of_named(state, cluster, attributes)?;
    for one in attributes {
        let known = after.entry(one.instance).or_default();
        if one.value.is_none() || one.value.as_ref() == known.get(&one.name) {
            known.remove(&one.name);
        }
    }
    Ok(changed(state, after))
}
