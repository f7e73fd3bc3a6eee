//! Invariants: what is true of every state, and of every step from one to the next. Each is a function with a name, so that
//! a failure says what broke. Property tests, simulation and chaos tests use the same ones; the decider runs
//! [`check_step`] before it proposes.

mod capacity;
mod delivery;

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_types::{CapacityProviderName, ContainerInstanceId, DeploymentId, TaskId};

pub use capacity::{capacity_has_its_objects, tasks_run_where_they_were_launched};
pub use delivery::deliveries_have_their_targets;

use crate::event::{DeploymentEvent, NetworkEvent};
use crate::object::{
    CapacityProviderKey, ClusterStatus, DeploymentStatus, DesiredStatus, Hold, ImagePin, Lifecycles, Service,
    ServiceKey, ServiceStatus, Task, TaskDefinitionStatus, TaskSet, TaskSetStatus, TaskStatus,
};
use crate::{Event, FeatureLevel, State};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant {name} does not hold: {detail}")]
pub struct Violation {
    /// The invariant's function.
    pub name: &'static str,
    /// Where it fails.
    pub detail: String,
}

type Check = Result<(), Violation>;

fn hold(name: &'static str, holds: bool, detail: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Violation { name, detail: detail() }) }
}

/// The invariants of what `events` touched on the way from `before` to `after`. Its cost follows the events, not the state.
pub fn check_step(before: &State, after: &State, events: &[Event]) -> Check {
    let (mut tasks, mut instances, mut services) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for event in events {
        touched(event, &mut tasks, &mut instances, &mut services);
    }
    history_and_level_only_go_forward(before, after)?;
    for id in tasks {
        let (old, new) = (before.task(id), after.task(id));
        if let (Some(old), Some(new)) = (old, new) {
            task_state_never_goes_back(old, new)?;
            placement_is_for_ever(old, new)?;
        }
        if let Some(task) = new {
            stopped_tasks_want_nothing(task)?;
            addresses_belong_to_one_task(after, task.id)?;
            if old.is_none() {
                new_tasks_have_their_gpus(after, task)?;
                tasks_run_where_they_were_launched(after, task)?;
            }
            instances.insert(task.instance);
        }
    }
    for id in instances {
        epoch_never_falls(before, after, id)?;
        who_is_away_is_waited_for(before, after, id)?;
        instance_holds_what_fits(after, id)?;
        gpus_belong_to_one_task(after, id)?;
        lost_instances_hold_nothing(after, id)?;
    }
    for key in services {
        if let Some(service) = after.service(&key) {
            one_primary_deployment(after, service)?;
            service_tasks_have_a_deployment(after, service)?;
            at_most_one_primary_task_set(after, service)?;
            pins_have_their_revision(after, service)?;
        }
        pins_are_for_ever(before, after, &key)?;
    }
    Ok(())
}

fn touched(
    event: &Event,
    tasks: &mut BTreeSet<TaskId>,
    instances: &mut BTreeSet<ContainerInstanceId>,
    services: &mut BTreeSet<ServiceKey>,
) {
    match event {
        Event::TaskCreated { task } => {
            tasks.insert(task.id);
        }
        Event::TaskStopRequested { task, .. }
        | Event::TaskLost { task, .. }
        | Event::Network(NetworkEvent::TaskAttached { task, .. }) => {
            tasks.insert(*task);
        }
        Event::TaskProgressed { report } => {
            tasks.insert(report.task);
        }
        Event::SessionOpened { instance, .. }
        | Event::InstanceRegistered { instance, .. }
        | Event::InstanceLost { instance, .. }
        | Event::InstanceAbsent { instance, .. } => {
            instances.insert(*instance);
        }
        Event::ServiceCreated { key, .. }
        | Event::ServiceUpdated { key, .. }
        | Event::ServiceDraining { key }
        | Event::ServiceInactive { key }
        | Event::ServiceWithTaskSetsCreated { key, .. }
        | Event::TaskSetCreated { key, .. }
        | Event::TaskSetDraining { key, .. }
        | Event::TaskSetDeleted { key, .. }
        | Event::PrimaryTaskSetChanged { key, .. }
        | Event::ImagesPinned { key, .. }
        | Event::ServiceDeploymentStarted { key, .. }
        | Event::DeploymentRetired { key, .. }
        | Event::Deployment(DeploymentEvent::DeploymentFailed { key, .. }) => {
            services.insert(key.clone());
        }
        _ => {}
    }
}

/// All invariants of one state. Its cost follows the whole state: for tests, and after a restart.
pub fn check_state(state: &State) -> Check {
    for task in state.tasks() {
        stopped_tasks_want_nothing(task)?;
        task_instance_is_known(state, task)?;
        task_definition_is_known(state, task)?;
        addresses_belong_to_one_task(state, task.id)?;
    }
    for instance in state.instances() {
        instance_holds_what_fits(state, instance.id)?;
        gpus_belong_to_one_task(state, instance.id)?;
        lost_instances_hold_nothing(state, instance.id)?;
        instance_cluster_is_active(state, instance.id)?;
    }
    for service in state.services() {
        one_primary_deployment(state, service)?;
        service_tasks_have_a_deployment(state, service)?;
        at_most_one_primary_task_set(state, service)?;
        service_events_are_bounded(service)?;
        pins_have_their_revision(state, service)?;
    }
    revisions_are_counted(state)?;
    requests_are_bounded(state)?;
    configuration_has_its_objects(state)?;
    capacity_has_its_objects(state)?;
    deliveries_have_their_targets(state)?;
    lives_have_their_deployments(state)?;
    nothing_is_above_its_level(state)?;
    index_matches_objects(state)
}

/// The feature level never falls, what was trimmed never comes back, and what happened last is kept.
pub fn history_and_level_only_go_forward(before: &State, after: &State) -> Check {
    let forward = after.level() >= before.level() && after.trimmed() >= before.trimmed();
    let kept = after.trimmed() < after.position().sequence.max(trireme_types::Sequence::new(1));
    hold("history_and_level_only_go_forward", forward && kept, || {
        format!("level {}, trimmed up to {}", after.level(), after.trimmed())
    })
}

/// A task's status and desired status only go forward, and its version rises.
pub fn task_state_never_goes_back(old: &Task, new: &Task) -> Check {
    let forward = new.last_status >= old.last_status && new.desired_status >= old.desired_status;
    hold("task_state_never_goes_back", forward && new.version >= old.version, || {
        format!("task {}: {:?} to {:?}", old.id, old.last_status, new.last_status)
    })
}

/// A task never moves, and never changes what it is made from.
pub fn placement_is_for_ever(old: &Task, new: &Task) -> Check {
    let same = old.instance == new.instance
        && old.zone == new.zone
        && old.definition == new.definition
        && old.reservation == new.reservation
        && old.origin == new.origin;
    hold("placement_is_for_ever", same, || format!("task {}", old.id))
}

/// A STOPPED task wants nothing, and says when it stopped.
pub fn stopped_tasks_want_nothing(task: &Task) -> Check {
    let stopped = task.last_status == TaskStatus::Stopped;
    let holds =
        !stopped || (task.desired_status == DesiredStatus::Stopped && task.times.stopped_at.is_some());
    hold("stopped_tasks_want_nothing", holds, || format!("task {}", task.id))
}

/// A task holds the address of its interface until it is STOPPED, and nobody else does; the address is one of its subnet's.
pub fn addresses_belong_to_one_task(state: &State, id: TaskId) -> Check {
    let (Some(task), Some(interface)) = (state.task(id), state.interface(id)) else { return Ok(()) };
    let address = u32::from(interface.address);
    let load = state.index().addresses().of(interface.subnet);
    let holder = load.and_then(|load| load.held.get(&address));
    let stopped = task.last_status == TaskStatus::Stopped;
    let holds = (interface.hold == Hold::Task) != stopped && (stopped || holder == Some(&id));
    let within = stopped
        || state.subnet(interface.subnet).is_some_and(|subnet| {
            let (first, last) = subnet.usable();
            (first..=last).contains(&address) && subnet.zone == task.zone
        });
    hold("addresses_belong_to_one_task", holds && within, || {
        format!("task {id}: {} of {}", interface.address, interface.subnet)
    })
}

/// A task that is not STOPPED is on an instance that is registered.
pub fn task_instance_is_known(state: &State, task: &Task) -> Check {
    let known = task.last_status == TaskStatus::Stopped || state.instance(task.instance).is_some();
    hold("task_instance_is_known", known, || format!("task {} on {}", task.id, task.instance))
}

/// A task's definition is there.
pub fn task_definition_is_known(state: &State, task: &Task) -> Check {
    let known = state.task_definition(&task.definition).is_some();
    hold("task_definition_is_known", known, || format!("task {}", task.id))
}

/// An instance's tasks hold no more cpu, memory and ports than it has, and no port twice.
pub fn instance_holds_what_fits(state: &State, id: ContainerInstanceId) -> Check {
    let Some(instance) = state.instance(id) else { return Ok(()) };
    let load = state.index().instance_load(id);
    let resources = &instance.registration.resources;
    let fits = load.cpu <= resources.cpu && load.memory <= resources.memory;
    let asked: usize = state.tasks_of_instance(id).iter().map(|task| task.reservation.ports.len()).sum();
    let free = resources.reserved_ports.iter().all(|port| !load.ports.contains(port));
    hold("instance_holds_what_fits", fits && free && asked == load.ports.len(), || {
        format!("instance {id}: {} cpu, {} MiB, {asked} ports", load.cpu, load.memory)
    })
}

/// An instance's tasks have GPUs that it has, and none is given twice.
pub fn gpus_belong_to_one_task(state: &State, id: ContainerInstanceId) -> Check {
    let Some(instance) = state.instance(id) else { return Ok(()) };
    let load = state.index().instance_load(id);
    if load.gpus.is_empty() {
        return Ok(());
    }
    let tasks = state.tasks_of_instance(id);
    let given: usize = tasks
        .iter()
        .flat_map(|task| state.task_gpus(task.id).values().map(Vec::len).collect::<Vec<_>>())
        .sum();
    let has = instance.registration.gpus();
    let there = load.gpus.iter().all(|gpu| has.contains(gpu));
    hold("gpus_belong_to_one_task", there && given == load.gpus.len(), || {
        format!("instance {id}: {given} given, {} held of {}", load.gpus.len(), has.len())
    })
}

/// A new task has as many GPUs as its containers ask for. Below their level nobody is given any.
pub fn new_tasks_have_their_gpus(state: &State, task: &Task) -> Check {
    let asked = state.task_definition(&task.definition).map_or(0, |definition| definition.spec.gpus());
    let given: usize = state.task_gpus(task.id).values().map(Vec::len).sum();
    let holds = state.level() < FeatureLevel::SERVICES || u32::try_from(given) == Ok(asked);
    hold("new_tasks_have_their_gpus", holds, || format!("task {}: {given} given of {asked}", task.id))
}

/// An instance that is not connected holds no tasks: losing it stopped them.
pub fn lost_instances_hold_nothing(state: &State, id: ContainerInstanceId) -> Check {
    let lost = state.instance(id).is_some_and(|instance| !instance.connected);
    let holds = !lost || state.index().instance_load(id).tasks.is_empty();
    hold("lost_instances_hold_nothing", holds, || format!("instance {id}"))
}

/// An instance's cluster is active.
pub fn instance_cluster_is_active(state: &State, id: ContainerInstanceId) -> Check {
    let Some(instance) = state.instance(id) else { return Ok(()) };
    let cluster = state.cluster(&instance.registration.cluster);
    let active = cluster.is_some_and(|cluster| cluster.status == ClusterStatus::Active);
    hold("instance_cluster_is_active", active, || format!("instance {id}"))
}

/// An instance's epoch never falls.
pub fn epoch_never_falls(before: &State, after: &State, id: ContainerInstanceId) -> Check {
    let (Some(old), Some(new)) = (before.instance(id), after.instance(id)) else { return Ok(()) };
    hold("epoch_never_falls", new.epoch >= old.epoch, || format!("instance {id}"))
}

/// An instance whose agent said that it goes away is not lost before its time is over.
pub fn who_is_away_is_waited_for(before: &State, after: &State, id: ContainerInstanceId) -> Check {
    let away = before.absence(id).is_some_and(|until| until > after.clock());
    let is_lost = after.instance(id).is_some_and(|instance| !instance.connected);
    hold("who_is_away_is_waited_for", !(away && is_lost), || format!("instance {id}"))
}

/// A service that is not inactive has one primary deployment, in front; an inactive one has none, and neither has one with task
/// sets.
pub fn one_primary_deployment(state: &State, service: &Service) -> Check {
    let primary = |status| status == DeploymentStatus::Primary;
    let count = service.deployments.iter().filter(|one| primary(one.status)).count();
    let first = service.deployments.first().is_some_and(|one| primary(one.status));
    let holds = match service.status {
        ServiceStatus::Inactive => service.deployments.is_empty(),
        _ if state.task_sets(&service.key).is_some() => service.deployments.is_empty(),
        ServiceStatus::Active | ServiceStatus::Draining => count == 1 && first,
    };
    hold("one_primary_deployment", holds, || format!("service {}", service.key.name))
}

/// Of a service's task sets one is primary at most, which says what the service is made from; they are bounded, and gone with it.
pub fn at_most_one_primary_task_set(state: &State, service: &Service) -> Check {
    let Some(all) = state.task_sets(&service.key) else { return Ok(()) };
    let primary = |set: &&TaskSet| set.status == TaskSetStatus::Primary;
    let one = all.sets.iter().filter(primary).count() <= 1;
    let made = all.primary().map(|set| &set.spec.task_definition);
    let same = match service.status {
        ServiceStatus::Active => {
            made.map_or(service.spec.task_definition.is_none(), |made| *made == service.spec.task_definition)
        }
        ServiceStatus::Draining => made.is_none(),
        ServiceStatus::Inactive => all.sets.is_empty(),
    };
    let bounded = all.sets.len() <= crate::limits::TASK_SETS_PER_SERVICE;
    hold("at_most_one_primary_task_set", one && same && bounded, || format!("service {}", service.key.name))
}

/// A service's tasks that are not STOPPED belong to deployments, or to task sets, that it still has.
pub fn service_tasks_have_a_deployment(state: &State, service: &Service) -> Check {
    let sets = state.task_sets(&service.key);
    let has = |id: DeploymentId| {
        service.deployments.iter().any(|one| state.run_the_same(&service.key, one.id, id))
            || sets.is_some_and(|sets| sets.set(id).is_some())
    };
    let load = state.index().service_load(&service.key);
    let holds = load.counts_by_deployment().all(|(id, _)| has(id));
    hold("service_tasks_have_a_deployment", holds, || format!("service {}", service.key.name))
}

/// What a revision of a service runs never changes while it has that revision.
pub fn pins_are_for_ever(before: &State, after: &State, key: &ServiceKey) -> Check {
    let (old, new) = (before.image_pins(key), after.image_pins(key));
    let same = |(revision, name, pin): (_, _, &ImagePin)| {
        new.revisions.get(revision).is_none_or(|images| images.get(name) == Some(pin))
    };
    let all = old
        .revisions
        .iter()
        .flat_map(|(revision, images)| images.iter().map(move |(name, pin)| (revision, name, pin)));
    hold("pins_are_for_ever", all.into_iter().all(same), || format!("service {}", key.name))
}

/// Pins are of revisions that the service has.
pub fn pins_have_their_revision(state: &State, service: &Service) -> Check {
    let pins = state.image_pins(&service.key);
    let has = pins.revisions.is_empty() || {
        let revisions = state.revisions_of(&service.key);
        pins.revisions.keys().all(|revision| revisions.contains(revision))
    };
    hold("pins_have_their_revision", has, || format!("service {}", service.key.name))
}

/// A service keeps at most 100 events.
pub fn service_events_are_bounded(service: &Service) -> Check {
    let bounded = service.events.len() <= crate::limits::EVENTS_PER_SERVICE;
    hold("service_events_are_bounded", bounded, || format!("service {}", service.key.name))
}

/// No revision is above its family's counter, so that none is given out twice.
pub fn revisions_are_counted(state: &State) -> Check {
    for definition in state.task_definitions() {
        let key = &definition.key;
        let last = state.families.get(&(key.scope.clone(), key.family.clone())).copied().unwrap_or(0);
        hold("revisions_are_counted", key.revision <= last, || format!("{}:{}", key.family, key.revision))?;
    }
    Ok(())
}

/// The timed idempotency keys are bounded, and each of them is there.
pub fn requests_are_bounded(state: &State) -> Check {
    let bounded = state.request_order.len() <= crate::limits::REQUESTS_MAX;
    let there = state.request_order.iter().all(|name| state.requests.contains_key(name));
    hold("requests_are_bounded", bounded && there, || format!("{} keys", state.request_order.len()))
}

/// How deployments go is known of those whose records are there, or that their services still have.
pub fn lives_have_their_deployments(state: &State) -> Check {
    let has = |(key, lives): (&ServiceKey, &Arc<Lifecycles>)| {
        let history = state.deployment_history(key);
        let listed =
            |id| state.service(key).is_some_and(|one| one.deployments.iter().any(|one| one.id == id));
        lives.deployments.keys().all(|id| history.record_of(*id).is_some() || listed(*id))
    };
    let broken = state.lifecycles.iter().find(|one| !has(*one)).map(|(key, _)| key.name.to_string());
    hold("lives_have_their_deployments", broken.is_none(), || {
        format!("service {}", broken.clone().unwrap_or_default())
    })
}

/// What is said of an object goes with it: attributes with their instance, protection, health and leave to run commands with their task, a cluster's configuration
/// with the cluster, a deployment history with its service, an absence with an instance that has a session; and the capacity providers that an active cluster names are there.
pub fn configuration_has_its_objects(state: &State) -> Check {
    let attributes = state.custom_attributes.keys().all(|id| state.instance(*id).is_some());
    let protections = state.task_protections.keys().all(|id| state.task(*id).is_some());
    let commands = state.tasks_allowing_commands.keys().all(|id| state.task(*id).is_some());
    let health = state.task_health.iter().all(|(id, health)| {
        let has =
            |task: &Arc<Task>| health.keys().all(|name| task.containers.iter().any(|one| one.name == *name));
        !health.is_empty() && state.task(*id).is_some_and(has)
    });
    let histories = state.deployment_histories.iter().all(|(key, history)| {
        let bounded = history.deployments.len() / 2 <= crate::limits::DEPLOYMENTS_PER_SERVICE;
        let named = history.deployments.iter().all(|one| {
            let back = one.rollback.iter().map(|rollback| rollback.revision);
            one.sources
                .iter()
                .copied()
                .chain([one.target])
                .chain(back)
                .all(|id| history.revision(id).is_some())
        });
        state.service(key).is_some() && bounded && named
    });
    let sets = state.task_sets.keys().all(|key| state.service(key).is_some());
    let pins = state.image_pins.keys().all(|key| state.service(key).is_some());
    let absences =
        state.absences.keys().all(|id| state.instance(*id).is_some_and(|instance| instance.connected));
    let patience = state.lost_after.keys().all(|key| state.cluster(key).is_some());
    let rules = state.placement_rules.keys().all(|id| state.task(*id).is_some());
    let interfaces = state.interfaces.keys().all(|id| state.task(*id).is_some());
    let gpus = state.task_gpus.keys().all(|id| state.task(*id).is_some());
    let moves = state.zone_moves.keys().all(|key| state.service(key).is_some());
    let deleted = state.deleted_definitions.keys().all(|key| {
        let definition = state.task_definition(key);
        definition.is_some_and(|one| one.status == TaskDefinitionStatus::DeleteInProgress)
    });
    let deleting =
        state.task_definitions().filter(|one| one.status == TaskDefinitionStatus::DeleteInProgress);
    let deleted = deleted && deleting.count() == state.deleted_definitions.len();
    let clusters = state.cluster_configurations.iter().all(|(key, configuration)| {
        let there = |name: &CapacityProviderName| {
            let key = CapacityProviderKey { scope: key.scope.clone(), name: name.clone() };
            key.is_built_in() || state.capacity_provider(&key).is_some()
        };
        let active = state.active_cluster(key).is_some();
        state.cluster(key).is_some() && (!active || configuration.capacity_providers.iter().all(there))
    });
    let kept = [
        ("attributes", attributes),
        ("protections", protections),
        ("commands", commands),
        ("health", health),
        ("clusters", clusters),
        ("histories", histories),
        ("deleted definitions", deleted),
        ("task sets", sets),
        ("image pins", pins),
        ("absences", absences),
        ("lost after", patience),
        ("interfaces", interfaces),
        ("zone moves", moves),
        ("placement rules", rules),
        ("GPUs", gpus),
    ];
    let broken = || kept.iter().filter(|(_, holds)| !holds).map(|(what, _)| *what);
    hold("configuration_has_its_objects", broken().next().is_none(), || {
        broken().collect::<Vec<_>>().join(", ")
    })
}

/// Below the second feature level there is nothing that the first layout of a snapshot has no place for, and nothing below any level
/// of what came with it.
pub fn nothing_is_above_its_level(state: &State) -> Check {
    let empty = state.cluster_configurations.is_empty()
        && state.custom_attributes.is_empty()
        && state.task_protections.is_empty()
        && state.capacity_providers.is_empty()
        && state.account_settings.is_empty()
        && state.deployment_histories.is_empty()
        && state.deleted_definitions.is_empty();
    let node_services = state.log_groups.is_empty()
        && state.image_pins.is_empty()
        && state.tasks_allowing_commands.is_empty()
        && state.absences.is_empty()
        && state.lost_after.is_empty();
    let holds = (empty || state.level() >= FeatureLevel::CONFIGURATION)
        && (state.task_sets.is_empty() || state.level() >= FeatureLevel::TASK_SETS)
        && (state.task_health.is_empty() || state.level() >= FeatureLevel::CONTAINERS)
        && (node_services || state.level() >= FeatureLevel::NODE_SERVICES)
        && (state.subnets.is_empty() && state.interfaces.is_empty()
            || state.level() >= FeatureLevel::TASK_NETWORKS)
        && (state.zone_moves.is_empty() || state.level() >= FeatureLevel::SERVICES)
        && (state.task_gpus.is_empty() || state.level() >= FeatureLevel::SERVICES)
        && (state.placement_rules.is_empty() || state.level() >= FeatureLevel::SERVICES)
        && (state.lifecycles.is_empty() || state.level() >= FeatureLevel::SERVICES)
        && (state.scalable_targets.is_empty()
            && state.scaling_activities.is_empty()
            && state.alarms.is_empty()
            && state.triggered_alarms.is_empty()
            || state.level() >= FeatureLevel::SCALING);
    hold("nothing_is_above_its_level", holds, || format!("at level {}", state.level()))
}

/// The indexes are what the objects give.
pub fn index_matches_objects(state: &State) -> Check {
    hold("index_matches_objects", state.rebuilt_index() == state.index, || {
        format!("at sequence {}", state.position().sequence)
    })
}
