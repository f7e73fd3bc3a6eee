//! Where a daemon is to run: on every instance that is what its tasks ask for, whether there is room just now or not (ECS API:
//! SchedulingStrategy DAEMON).

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_state::State;
use trireme_state::object::{
    ContainerInstance, InstanceStatus, PlacementConstraint, PlacementRules, Reservation, Task,
};
use trireme_types::ContainerInstanceId;

use crate::answer::{Answer, NodeAnswer, explain_all};
use crate::explain::{Explanation, NodeRefusal, Refusal};
use crate::expression::Expression;
use crate::filter;
use crate::place::{Ask, Placed, Request};
use crate::requirement::{Addresses, Wanted};
use crate::view::Nodes;

/// The instances of a cluster that are ready and fit a daemon's tasks, but for what others hold there; and those whose agents are away for
/// a while: of its `tasks`, what runs there runs on. The `request` is for one of them.
pub fn seats(
    view: &State,
    nodes: &mut Nodes,
    request: &Request,
    tasks: &[Arc<Task>],
) -> BTreeSet<ContainerInstanceId> {
    let Wanted { gpus, ref requirements, ref addresses, .. } = request.wanted;
    let constraints = request.rules.constraints.iter();
    let others = constraints.filter(|one| **one != PlacementConstraint::DistinctInstance);
    let request = Request {
        wanted: Wanted {
            reservation: Reservation::default(),
            gpus: 0,
            requirements: requirements.clone(),
            addresses: addresses.clone().map(Addresses::plenty),
        },
        group: request.group.clone().unseen(),
        rules: PlacementRules { strategy: Vec::new(), constraints: others.cloned().collect() },
        count: 1,
    };
    let expressions: Vec<Expression> = request.rules.constraints.iter().filter_map(expression).collect();
    // Of one that is full it is not said what its constraints come to.
    let is_meant = |id: ContainerInstanceId| {
        let holds = |instance: &Arc<ContainerInstance>| {
            let others = |task: &Task| task.group != request.group.name();
            expressions.iter().all(|one| one.holds_of(others, view, instance, view.clock()))
        };
        view.instance(id).is_some_and(holds)
    };
    let fits = |node: &NodeAnswer| match &node.answer {
        Answer::Scored(_) => true,
        Answer::Refused { refusal, .. } => {
            matches!(refusal, Refusal::TaskLimit { .. }) && is_meant(node.instance)
        }
    };
    let answers = explain_all(nodes, &request).into_iter();
    // A machine that has too few GPUs will not have more when others are gone.
    let has_gpus = |id: &ContainerInstanceId| {
        let all = || view.instance(*id).map_or(0, |instance| instance.registration.gpus().len());
        gpus == 0 || u32::try_from(all()).is_ok_and(|all| gpus <= all)
    };
    let ready = answers.filter(fits).map(|node| node.instance).filter(has_gpus);
    let away = tasks.iter().filter_map(|task| view.instance(task.instance)).filter(|instance| {
        let active = instance.status == InstanceStatus::Active;
        active && instance.connected && !view.is_present(instance)
    });
    ready.chain(away.map(|instance| instance.id)).collect()
}

/// What cannot be read is not looked at here: a machine that is not full refuses it as any placement does.
fn expression(constraint: &PlacementConstraint) -> Option<Expression> {
    match constraint {
        PlacementConstraint::MemberOf(text) => Expression::parse(text).ok(),
        PlacementConstraint::DistinctInstance => None,
    }
}

/// Places a request's tasks on these instances, at most one on each, in their order. What is explained is why the others refuse.
pub fn place_each(nodes: &mut Nodes, request: &Request, on: &[ContainerInstanceId]) -> Placed {
    let mut ask = Ask::new(nodes, request);
    let (mut placements, mut refusals) = (Vec::new(), Vec::new());
    for id in on {
        if placements.len() >= request.count {
            break;
        }
        let Some(node) = nodes.find(*id) else { continue };
        match filter::first_refusal(node, &ask) {
            None => {
                placements.push(node.placement());
                ask.took(node);
                let place = node.place();
                nodes.in_cells(&[], None).take(place, &request.wanted);
            }
            Some((passed, refusal)) => refusals.push(NodeRefusal {
                instance: node.id(),
                name: node.instance().registration.name.clone(),
                zone: node.zone().clone(),
                passed,
                refusal,
            }),
        }
    }
    nodes.remember(request.group.name(), ask.placed());
    let unplaced = request.count.saturating_sub(placements.len());
    let unplaced = (unplaced > 0).then(|| Explanation::of_refusals(refusals, unplaced));
    Placed { placements, unplaced }
}
