//! The entry: a request for so many places, answered.
//!
//! Reading order: this file · `ask` (the request, held against the nodes) · `search` (the best node, task after task).

mod ask;
pub(crate) mod search;

use trireme_state::object::{ClusterKey, PlacementRules};
use trireme_state::{Placement, State};
use trireme_types::ContainerInstanceId;

use crate::explain::{Explanation, Refusal};
use crate::filter;
use crate::group::Group;
use crate::rank::Chain;
use crate::requirement::Wanted;
use crate::view::{Node, Nodes};

pub use ask::Ask;
use search::Search;

/// So many tasks of one shape.
#[derive(Debug, Clone)]
pub struct Request {
    /// What each asks of its machine.
    pub wanted: Wanted,
    /// Whose tasks to spread, and to keep apart.
    pub group: Group,
    /// Constraints and strategies: the service's or RunTask's, and the task definition's.
    pub rules: PlacementRules,
    /// How many.
    pub count: usize,
}

/// What a request came to. Places and unplaced tasks add up to the count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed {
    /// One for each task that found a place, in the order of choice.
    pub placements: Vec<Placement>,
    /// Why the rest did not.
    pub unplaced: Option<Explanation>,
}

/// Places tasks on the nodes of a cluster.
pub fn place(view: &State, cluster: &ClusterKey, request: &Request) -> Placed {
    place_on(&mut Nodes::of_cluster(view, cluster), request)
}

/// Whether one task fits on one node of the state, for callers who chose it themselves (ECS API: StartTask): no constraint is asked. `None`
/// when there is no such node.
pub fn check(
    view: &State,
    instance: ContainerInstanceId,
    wanted: &Wanted,
) -> Option<Result<Placement, Refusal>> {
    let found = view.instance(instance)?.clone();
    let mut nodes = Nodes::new(std::iter::once((found, view.index().instance_load(instance))));
    let (wanted, rules) = (wanted.clone(), PlacementRules::default());
    let request = Request { wanted, group: Group::default(), rules, count: 1 };
    let ask = Ask::new(&mut nodes, &request);
    let node = nodes.find(instance)?;
    Some(match filter::first_refusal(node, &ask) {
        Some((_, refusal)) => Err(refusal),
        None => Ok(node.placement()),
    })
}

/// Where the first task of a request would be placed on a working copy, which stays as it is.
pub fn choose(nodes: &mut Nodes, request: &Request) -> Option<Placement> {
    let chain = Chain::of(&request.rules.strategy);
    let (_, place) = Search::new(nodes, request, &chain).best()?;
    nodes.at(place).map(Node::placement)
}

/// Places tasks on a working copy, which then holds them.
pub fn place_on(nodes: &mut Nodes, request: &Request) -> Placed {
    let chain = Chain::of(&request.rules.strategy);
    let mut search = Search::new(nodes, request, &chain);
    let found = std::iter::from_fn(|| search.place());
    let placements: Vec<Placement> = found.take(request.count).collect();
    let ask = search.finish();
    let missing = request.count.saturating_sub(placements.len());
    if !placements.is_empty() {
        nodes.remember(request.group.name(), ask.placed());
    }
    let unplaced = (missing > 0).then(|| Explanation::of(nodes, &ask, missing));
    Placed { placements, unplaced }
}
