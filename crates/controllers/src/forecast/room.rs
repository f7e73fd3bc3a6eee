//! Room: whether all tasks that are still to be placed find a place in whatever order they come, and wherever the others go.
//!
//! A course is one order. In another one small tasks may lie where a large one would have fitted. So the worst is assumed of all
//! tasks but one: they lie where they are most in its way. On how many machines can they be so? If that is fewer than there are for
//! it, it finds a place whatever happens; and if that holds for one task of each kind, all do.
//!
//! To be in the way on one machine costs cpu units, or memory, or GPUs, or a port, or slots there. What it costs at least is known by
//! machine, and what all the others have together is known too: the cheapest machines are counted until that is used up. This may
//! count too many machines, and never too few: a "no" means that it is not certain.
//!
//! Services whose zones are made even move tasks that are there already. There are two ways to be certain in spite of that: no more
//! tasks move than are uneven now, or come to be by being placed; or all of their tasks are counted as still to be placed, and what
//! they hold as free. Moves come to an end, and what is true of every order of placing is true then.

mod others;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trireme_scheduler::{Node, Nodes, Request, fitting};
use trireme_state::command::TaskReport;
use trireme_state::limits::TASKS_PER_INSTANCE;
use trireme_state::object::{
    ClusterKey, InstanceStatus, Launching, PlacementConstraint, SchedulingStrategy, Service, ServiceKey,
    Task, TaskStatus, is_rebalanced,
};
use trireme_state::{Event, State, apply_event};
use trireme_types::{ContainerInstanceId, Timestamp, Zone};

use crate::unit::Unit;
use others::{Others, cheapest};

/// Tasks of one kind that are still to be placed.
struct Kind {
    service: ServiceKey,
    request: Request,
    count: u64,
    /// Of a daemon: where.
    seats: Option<BTreeSet<ContainerInstanceId>>,
}

/// Services of which a task might find no place, in some order of events. A service whose tasks are made from nothing is among them.
pub fn doubtful(view: &State, now: Timestamp) -> BTreeSet<ServiceKey> {
    let mut doubtful = BTreeSet::new();
    let clusters: BTreeSet<&ClusterKey> = view.services().map(|service| &service.key.cluster).collect();
    for cluster in clusters {
        let first = of_cluster(view, cluster, now, Moves::Bounded);
        if first.is_empty() {
            continue;
        }
        let freed = without_movable(view, cluster, now);
        let second = of_cluster(&freed, cluster, now, Moves::Any);
        doubtful.extend(first.intersection(&second).cloned());
    }
    doubtful
}

/// How tasks that move from zone to zone are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moves {
    /// As many as can become uneven.
    Bounded,
    /// They are all to be placed.
    Any,
}

fn of_cluster(view: &State, cluster: &ClusterKey, now: Timestamp, moves: Moves) -> BTreeSet<ServiceKey> {
    let mut doubtful = BTreeSet::new();
    let mut kinds: Vec<Kind> = Vec::new();
    for service in view.services_of_cluster(cluster) {
        for unit in Unit::of_service(view, service) {
            match kind(view, &unit, now, moves) {
                Some(kind) if kind.count > 0 => {
                    let launching = unit.launching();
                    // Whose machines are some of the cluster's only, or other clusters' too, is certain of none of them.
                    if launching != Launching::Instances {
                        doubtful.insert(service.key.clone());
                    }
                    if !launching.is_fargate() {
                        kinds.push(kind);
                    }
                }
                Some(_) => {}
                None => {
                    doubtful.insert(service.key.clone());
                }
            }
        }
    }
    let mut nodes = Nodes::of_cluster(view, cluster);
    for kind in &kinds {
        if !is_certain(&mut nodes, kind, &kinds) {
            doubtful.insert(kind.service.clone());
        }
    }
    doubtful
}

/// `None` when there is nothing to make its tasks from, though there are to be some.
fn kind(view: &State, unit: &Unit<'_>, now: Timestamp, moves: Moves) -> Option<Kind> {
    let service = unit.service;
    let tasks = view.tasks_of_service(&service.key);
    let there: Vec<&Arc<Task>> = tasks.iter().filter(|task| unit.holds(view, task)).collect();
    let missing = unit.missing(&there) as u64;
    let seats = unit.seats.as_ref().map(|_| unit.empty_seats(&there));
    let moving = match moves {
        Moves::Bounded if moves_tasks(service) => missing.saturating_add(uneven(view, unit, &there)),
        Moves::Bounded | Moves::Any => 0,
    };
    let count = missing.saturating_add(moving);
    match unit.request(view, there.into_iter().map(|task| &**task), 1, now) {
        Some(request) => Some(Kind { service: service.key.clone(), request, count, seats }),
        None if count > 0 => None,
        None => Some(Kind { service: service.key.clone(), request: nothing(unit), count, seats }),
    }
}

/// A request of nobody.
fn nothing(unit: &Unit<'_>) -> Request {
    Request {
        wanted: Default::default(),
        group: crate::unit::group(unit.service, std::iter::empty()),
        rules: Default::default(),
        count: 0,
    }
}

/// Whether a service's tasks may be moved from zone to zone.
fn moves_tasks(service: &Service) -> bool {
    let (spec, limits) = (&service.spec, service.spec.deployment_configuration);
    is_rebalanced(&spec.described)
        && SchedulingStrategy::of(&spec.described) == SchedulingStrategy::Replica
        && limits.maximum(spec.desired_count) > spec.desired_count
}

/// How many of a unit's tasks are more in their zones than there would be if all zones with machines had as many.
fn uneven(view: &State, unit: &Unit<'_>, there: &[&Arc<Task>]) -> u64 {
    let instances = view.index().instances_of_cluster(&unit.machines());
    let ready = instances
        .iter()
        .filter_map(|id| view.instance(*id))
        .filter(|instance| instance.status == InstanceStatus::Active && view.is_present(instance));
    let mut zones: BTreeMap<&Zone, u64> = ready.map(|instance| (&instance.registration.zone, 0)).collect();
    for task in there {
        let count = zones.entry(&task.zone).or_default();
        *count = count.saturating_add(1);
    }
    let even = u64::from(unit.desired).checked_div(zones.len() as u64).unwrap_or_default();
    zones.values().fold(0, |sum: u64, count| sum.saturating_add(count.saturating_sub(even)))
}

/// The state without the tasks that may be moved.
fn without_movable(view: &State, cluster: &ClusterKey, now: Timestamp) -> State {
    let mut without = view.clone();
    for service in view.services_of_cluster(cluster).filter(|service| moves_tasks(service)) {
        for unit in Unit::of_service(view, service) {
            let tasks = view.tasks_of_service(&service.key);
            take_away(&mut without, tasks.iter().filter(|task| unit.holds(view, task)), now);
        }
    }
    without
}

/// Takes tasks out of a state that nobody else has.
pub fn take_away<'a>(state: &mut State, tasks: impl Iterator<Item = &'a Arc<Task>>, now: Timestamp) {
    for task in tasks {
        let report = Box::new(TaskReport::of(task, TaskStatus::Stopped, None));
        apply_event(state, now, &Event::TaskProgressed { report });
    }
}

/// Whether a task of `kind` finds a place while all others of `kinds` are as much in its way as they can be.
fn is_certain(nodes: &mut Nodes, kind: &Kind, kinds: &[Kind]) -> bool {
    if kind.request.rules.constraints.iter().any(follows_tasks) {
        return false;
    }
    let wanted = &kind.request.wanted;
    let addressed = kinds.iter().filter(|other| other.request.wanted.addresses.is_some());
    let addresses = addressed.fold(0, |sum: u64, other| sum.saturating_add(other.count));
    let has_address = |node: &&Node| {
        let left = |zone: &Zone| wanted.addresses.as_ref().map(|all| u64::from(all.left_in(zone)));
        left(node.zone()).is_none_or(|left| left >= addresses)
    };
    let usable: Vec<&Node> = fitting(nodes, &kind.request).into_iter().filter(has_address).collect();
    let others = Others::of(kind, kinds);
    if let Some(seats) = &kind.seats {
        // Each has but one place, and anybody who comes before may be in its way.
        let fit = |seat: &ContainerInstanceId| usable.iter().any(|node| node.id() == *seat);
        return others.count.saturating_add(1) == kind.count && seats.iter().all(fit);
    }
    let by_slot = cheapest(usable.iter().map(|node| slots(node)), u128::from(others.count));
    let by_task = others.one_each(kind).saturating_add(by_slot);
    let by_size = others.by_size(kind, &usable).saturating_add(others.by_gpus(kind, &usable));
    by_size.saturating_add(by_task) < usable.len()
}

/// Whether what a constraint means changes with the tasks that are there.
fn follows_tasks(constraint: &PlacementConstraint) -> bool {
    match constraint {
        PlacementConstraint::MemberOf(text) => text.contains("runningTasksCount") || text.contains("task:"),
        PlacementConstraint::DistinctInstance => false,
    }
}

/// How many tasks more make a node full.
fn slots(node: &Node) -> u128 {
    TASKS_PER_INSTANCE.saturating_sub(node.tasks()).max(1) as u128
}
