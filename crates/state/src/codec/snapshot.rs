//! A snapshot's layouts.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};
use trireme_types::{Family, Scope, Sequence, Timestamp, planted};

use super::sections::{self, Section};
use super::{CodecError, Layout, decode_payload, encode_payload};
use crate::entry::Position;
use crate::object::{AccessKey, Cluster, ContainerInstance, Retention, Service, Task, TaskDefinition};
use crate::state::RequestName;
use crate::{FeatureLevel, RecordedRequest, State};

#[derive(Serialize, Deserialize)]
struct SnapshotV1 {
    position: Position,
    clock: Timestamp,
    level: FeatureLevel,
    retention: Retention,
    trimmed: Sequence,
    clusters: Vec<Arc<Cluster>>,
    families: Vec<((Scope, Family), u32)>,
    task_definitions: Vec<Arc<TaskDefinition>>,
    services: Vec<Arc<Service>>,
    tasks: Vec<Arc<Task>>,
    instances: Vec<Arc<ContainerInstance>>,
    access_keys: Vec<Arc<AccessKey>>,
    requests: Vec<(RequestName, Arc<RecordedRequest>)>,
    request_order: Vec<RequestName>,
}

pub(super) fn encode(layout: Layout, state: &State) -> Vec<u8> {
    match layout {
        Layout::V1 => encode_payload(&v1(state)),
        Layout::V2 => encode_payload(&(v1(state), sections::of(state))),
        #[cfg(feature = "next-level")]
        Layout::V3 => encode_payload(&(NEXT, v1(state), sections::of(state))),
    }
}

pub(super) fn decode(layout: Layout, payload: &[u8]) -> Result<State, CodecError> {
    match layout {
        Layout::V1 => Ok(whole(from_v1(decode_payload(payload)?))),
        Layout::V2 => {
            let (snapshot, sections): (SnapshotV1, Vec<Section>) = decode_payload(payload)?;
            from_v2(snapshot, sections)
        }
        #[cfg(feature = "next-level")]
        Layout::V3 => {
            let (_, snapshot, sections): (u64, SnapshotV1, Vec<Section>) = decode_payload(payload)?;
            from_v2(snapshot, sections)
        }
    }
}

/// Something that only the next layout has.
#[cfg(feature = "next-level")]
const NEXT: u64 = 7;

fn v1(state: &State) -> SnapshotV1 {
    SnapshotV1 {
        position: state.position,
        clock: state.clock,
        level: state.level,
        retention: state.retention,
        trimmed: state.trimmed,
        clusters: state.clusters.values().cloned().collect(),
        families: state.families.iter().map(|(family, revision)| (family.clone(), *revision)).collect(),
        task_definitions: state.task_definitions.values().cloned().collect(),
        services: state.services.values().cloned().collect(),
        tasks: state.tasks.values().cloned().collect(),
        instances: state.instances.values().cloned().collect(),
        access_keys: state.access_keys.values().cloned().collect(),
        requests: state.requests.iter().map(|(name, request)| (name.clone(), request.clone())).collect(),
        request_order: state.request_order.iter().cloned().collect(),
    }
}

fn from_v2(snapshot: SnapshotV1, sections: Vec<Section>) -> Result<State, CodecError> {
    let mut state = from_v1(snapshot);
    for section in sections {
        sections::into(&mut state, &section)?;
    }
    Ok(whole(state))
}

/// With the indexes, which are made of all objects.
fn whole(mut state: State) -> State {
    state.index = state.rebuilt_index();
    state
}

fn from_v1(snapshot: SnapshotV1) -> State {
    let requests: OrdMap<RequestName, Arc<RecordedRequest>> =
        snapshot.requests.into_iter().filter(|_| !planted::is("requests-lost-in-a-snapshot")).collect();
    let shared = |name| requests.get_key_value(&name).map_or(name, |(shared, _)| Arc::clone(shared));
    State {
        position: snapshot.position,
        clock: snapshot.clock,
        level: snapshot.level,
        retention: snapshot.retention,
        trimmed: snapshot.trimmed,
        clusters: snapshot.clusters.into_iter().map(|cluster| (cluster.key.clone(), cluster)).collect(),
        families: snapshot.families.into_iter().collect(),
        task_definitions: snapshot.task_definitions.into_iter().map(|one| (one.key.clone(), one)).collect(),
        services: snapshot.services.into_iter().map(|service| (service.key.clone(), service)).collect(),
        tasks: snapshot.tasks.into_iter().map(|task| (task.id, task)).collect(),
        instances: snapshot.instances.into_iter().map(|instance| (instance.id, instance)).collect(),
        access_keys: snapshot.access_keys.into_iter().map(|key| (key.id.clone(), key)).collect(),
        request_order: snapshot.request_order.into_iter().map(shared).collect::<Vector<_>>(),
        requests,
        ..State::default()
    }
}
