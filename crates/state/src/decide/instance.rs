//! Container instances: sessions, status, loss, deregistration.

use std::time::Duration;

use trireme_types::{ClusterName, ContainerInstanceId, SessionEpoch, planted};

use super::{Decided, Decision, stale};
use crate::command::{ClusterChange, Outcome};
use crate::limits::{ABSENCE_MILLIS_MAX, INSTANCES_PER_CLUSTER, UNCONNECTED_PER_CLUSTER};
use crate::object::{ClusterKey, ContainerInstance, InstanceRegistration, InstanceStatus, StopCode, Tags};
use crate::{Actor, Event, Rejection, Stamp, State};

pub(super) fn open_session(
    state: &State,
    id: Option<ContainerInstanceId>,
    registration: &InstanceRegistration,
    stamp: &mut Stamp,
) -> Decided {
    super::gpu::check(registration)?;
    let (instance, epoch) = match id {
        Some(id) => {
            let known = state.instance(id).ok_or(Rejection::ContainerInstanceNotFound)?;
            check_return(state, known, registration)?;
            (id, known.epoch.next())
        }
        None => {
            check_room(state, &registration.cluster)?;
            (stamp.ids.container_instance(), SessionEpoch::new(1))
        }
    };
    let mut events = cluster_of(state, registration)?;
    events.push(Event::SessionOpened { instance, epoch, registration: Box::new(registration.clone()) });
    Ok(Decision { events, outcome: Outcome::Session { instance, epoch } })
}

fn check_room(state: &State, cluster: &ClusterKey) -> Result<(), Rejection> {
    // What has no agent takes no agent's place.
    let registered = state.index().instances_of_cluster(cluster).len();
    if registered < INSTANCES_PER_CLUSTER
        || registered.saturating_sub(unconnected(state, cluster)) < INSTANCES_PER_CLUSTER
    {
        return Ok(());
    }
    Err(Rejection::LimitExceeded {
        what: "container instances in a cluster".to_owned(),
        limit: INSTANCES_PER_CLUSTER as u64,
    })
}

/// How many instances of a cluster never had a session.
fn unconnected(state: &State, cluster: &ClusterKey) -> usize {
    let ids = state.index().instances_of_cluster(cluster);
    let never = |id| state.instance(id).is_some_and(|one| one.epoch == SessionEpoch::default());
    ids.iter().filter(|id| never(**id)).count()
}

/// The cluster is created with its first instance, as its account has it.
fn cluster_of(state: &State, registration: &InstanceRegistration) -> Result<Vec<Event>, Rejection> {
    let cluster = &registration.cluster;
    if state.active_cluster(cluster).is_some() {
        return Ok(Vec::new());
    }
    super::cluster::created(state, cluster, &Tags::new(), &ClusterChange::default(), &Actor::Operator)
}

/// ECS API: RegisterContainerInstance. What has a session speaks for itself.
pub(super) fn register(
    state: &State,
    id: Option<ContainerInstanceId>,
    registration: &InstanceRegistration,
    tags: &Tags,
    stamp: &mut Stamp,
) -> Decided {
    super::tag::check_limit(tags)?;
    super::gpu::check(registration)?;
    let instance = match id {
        Some(id) => {
            let known = state.instance(id).ok_or(Rejection::ContainerInstanceNotFound)?;
            check_return(state, known, registration)?;
            if known.epoch > SessionEpoch::default() {
                let message = format!("container instance {id} has an agent, which registers it");
                return Err(Rejection::Invalid { message });
            }
            if known.registration == *registration {
                let outcome = Outcome::Session { instance: id, epoch: known.epoch };
                return Ok(Decision { events: Vec::new(), outcome });
            }
            id
        }
        None => {
            let unconnected = unconnected(state, &registration.cluster);
            if unconnected >= UNCONNECTED_PER_CLUSTER {
                return Err(Rejection::LimitExceeded {
                    what: "container instances without an agent in a cluster".to_owned(),
                    limit: UNCONNECTED_PER_CLUSTER as u64,
                });
            }
            stamp.ids.container_instance()
        }
    };
    // ECS makes the default cluster only.
    if registration.cluster.name != ClusterName::default_cluster() {
        state.active_cluster(&registration.cluster).ok_or(Rejection::ClusterNotFound)?;
    }
    let mut events = cluster_of(state, registration)?;
    let registration = Box::new(registration.clone());
    events.push(Event::InstanceRegistered { instance, registration, tags: tags.clone() });
    Ok(Decision { events, outcome: Outcome::Session { instance, epoch: SessionEpoch::default() } })
}

fn check_return(
    state: &State,
    known: &ContainerInstance,
    registration: &InstanceRegistration,
) -> Result<(), Rejection> {
    if known.registration.cluster != registration.cluster {
        return Err(Rejection::Invalid {
            message: format!(
                "container instance {} belongs to cluster {}; to move it to {}, give its agent an empty data folder",
                known.id, known.registration.cluster.name, registration.cluster.name
            ),
        });
    }
    let load = state.index().instance_load(known.id);
    let resources = &registration.resources;
    let taken = resources.reserved_ports.iter().any(|port| load.ports.contains(port));
    let gpus = registration.gpus();
    let gone = load.gpus.iter().any(|held| !gpus.contains(held));
    if load.cpu > resources.cpu || load.memory > resources.memory || taken || gone {
        return Err(Rejection::Invalid {
            message: format!(
                "container instance {} offers less than its tasks hold; drain it before its resources shrink",
                known.id
            ),
        });
    }
    Ok(())
}

/// An agent's own word on how long it is away.
pub(super) fn announce_absence(
    state: &State,
    id: ContainerInstanceId,
    epoch: SessionEpoch,
    millis: u64,
    stamp: &Stamp,
) -> Decided {
    let instance = state.instance(id).ok_or(Rejection::ContainerInstanceNotFound)?;
    if instance.epoch != epoch || !instance.connected {
        return Err(Rejection::StaleEpoch);
    }
    let until = stamp.now.plus(Duration::from_millis(millis.min(ABSENCE_MILLIS_MAX)));
    // Said again, it does not begin again.
    if state.absence(id).is_some_and(|known| known >= stamp.now) {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(Event::InstanceAbsent { instance: id, until }))
}

pub(super) fn lose(
    state: &State,
    id: ContainerInstanceId,
    epoch: SessionEpoch,
    reason: &str,
    stamp: &Stamp,
) -> Decided {
    let instance = state.instance(id).ok_or(Rejection::ContainerInstanceNotFound)?;
    let away = state.absence(id).is_some_and(|until| until > stamp.now);
    if instance.epoch != epoch || !instance.connected || away {
        return Err(stale(format!("container instance {id}")));
    }
    let next = if planted::is("lost-instance-keeps-its-epoch") { epoch } else { epoch.next() };
    let mut events = vec![Event::InstanceLost { instance: id, epoch: next }];
    events.extend(lose_tasks(state, id, reason));
    Ok(Decision::of(events))
}

fn lose_tasks<'a>(
    state: &'a State,
    id: ContainerInstanceId,
    reason: &'a str,
) -> impl Iterator<Item = Event> + 'a {
    state.tasks_of_instance(id).into_iter().map(move |task| Event::TaskLost {
        task: task.id,
        code: StopCode::InfrastructureHealth,
        reason: reason.to_owned(),
    })
}

fn found<'a>(
    state: &'a State,
    cluster: &ClusterKey,
    id: ContainerInstanceId,
) -> Result<&'a ContainerInstance, Rejection> {
    state.active_cluster(cluster).ok_or(Rejection::ClusterNotFound)?;
    state
        .instance(id)
        .filter(|instance| instance.registration.cluster == *cluster)
        .map(AsRef::as_ref)
        .ok_or(Rejection::ContainerInstanceNotFound)
}

pub(super) fn set_status(
    state: &State,
    cluster: &ClusterKey,
    id: ContainerInstanceId,
    status: InstanceStatus,
) -> Decided {
    let instance = found(state, cluster, id)?;
    if instance.status == status {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(Event::InstanceStatusChanged { instance: id, status }))
}

pub(super) fn deregister(
    state: &State,
    cluster: &ClusterKey,
    id: ContainerInstanceId,
    force: bool,
) -> Decided {
    found(state, cluster, id)?;
    let mut events: Vec<Event> = lose_tasks(state, id, "Container instance deregistered").collect();
    if !events.is_empty() && !force {
        return Err(Rejection::ContainerInstanceBusy);
    }
    events.push(Event::InstanceDeregistered { instance: id });
    Ok(Decision::of(events))
}
