//! Daemons: one task on each instance that fits (ECS API: SchedulingStrategy DAEMON). They are placed before all other services' tasks,
//! and leave an instance that is drained after all others.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_scheduler::{Placed, Request, seats};
use trireme_state::State;
use trireme_state::object::{SchedulingStrategy, Service, Task};
use trireme_types::ContainerInstanceId;

use super::Look;
use super::census::Census;
use super::memory::Machines;
use super::pass::Pass;
use super::room::looks_at_tasks;

/// Where a daemon's tasks belong.
pub struct Seats {
    /// There is to be one on each.
    pub all: BTreeSet<ContainerInstanceId>,
    /// What is there stays until others have left.
    pub last: BTreeSet<ContainerInstanceId>,
}

/// Whether a service is one.
pub fn is_daemon(service: &Service) -> bool {
    SchedulingStrategy::of(&service.spec.described) == SchedulingStrategy::Daemon
}

/// Where the tasks of a daemon belong.
pub fn seats_of(pass: &mut Pass<'_>, look: &mut Look<'_>) -> Seats {
    pass.judged.looked_at(Machines::All);
    let wanted = pass.wanted(look).unwrap_or_default();
    let rules = pass.rules();
    let view = look.view;
    let request = Request { wanted, group: pass.group(std::iter::empty()), rules, count: 1 };
    let all = seats(view, look.nodes(&pass.service.key.cluster), &request, pass.tasks);
    let mut last = BTreeSet::new();
    for task in pass.tasks {
        let Some(instance) = look.view.instance(task.instance) else { continue };
        if look.draining.contains(&instance.id) && has_others(look.view, instance.id) {
            last.insert(instance.id);
        }
    }
    // When the others leave, nothing of the service changes; nor when what a constraint looks at does.
    pass.judged.restless |= !last.is_empty() || request.rules.constraints.iter().any(looks_at_tasks);
    Seats { all, last }
}

/// Whether tasks of services are on an instance that are no daemon's. Those of nobody stay there anyway.
fn has_others(view: &State, instance: ContainerInstanceId) -> bool {
    let of_other = |task: &Arc<Task>| {
        task.service().and_then(|key| view.service(&key)).is_some_and(|service| !is_daemon(service))
    };
    view.tasks_of_instance(instance).iter().any(of_other)
}

/// Places tasks on instances that have none of the primary deployment: first where there is no other either.
pub fn place(pass: &Pass<'_>, look: &mut Look<'_>, census: &Census<'_>, request: &Request) -> Placed {
    let Some(seats) = &pass.seats else { return Placed::default() };
    let of = |tasks: &[&Task]| tasks.iter().map(|task| task.instance).collect::<BTreeSet<_>>();
    let (mut fresh, mut others) = (of(&census.fresh), of(&census.outgoing));
    others.extend(of(&census.sick));
    fresh.extend(look.draining);
    let mut on: Vec<ContainerInstanceId> = seats.all.difference(&fresh).copied().collect();
    on.sort_by_key(|instance| (others.contains(instance), *instance));
    look.place_each(&pass.service.key.cluster, request, &on)
}
