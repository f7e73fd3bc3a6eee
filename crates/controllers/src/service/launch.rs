//! On what a service's tasks are launched: on any machine of its cluster, on the managed pool, or by a strategy over capacity providers
//! (ECS API: CapacityProviderStrategyItem), whose shares hold over the life of a service: new tasks go to the provider that is furthest
//! below its share, and tasks that are too many are those of the one that is furthest above. A provider without room keeps its share: its
//! tasks wait.

use std::collections::BTreeMap;

use trireme_scheduler::{Explanation, Placed, Request, share};
use trireme_state::object::{Launch, Launching, StrategyItem, Task};
use trireme_state::{Placement, State};
use trireme_types::TaskId;

use super::Look;
use super::pass::Pass;
use crate::unit;

/// What became of a service's new tasks.
#[derive(Default)]
pub struct Launched {
    /// Where those are that found a place, by what they are launched on.
    pub placed: Vec<(Option<Launch>, Vec<Placement>)>,
    /// Why the rest did not.
    pub unplaced: Option<Explanation>,
}

impl Launched {
    fn add(&mut self, launch: Option<Launch>, placed: Placed) {
        if !placed.placements.is_empty() {
            self.placed.push((launch, placed.placements));
        }
        match (&mut self.unplaced, placed.unplaced) {
            (Some(known), Some(more)) => known.unplaced = known.unplaced.saturating_add(more.unplaced),
            (known @ None, more) => *known = more,
            (Some(_), None) => {}
        }
    }
}

/// Places new tasks beside those that are there.
pub fn place<'t>(
    pass: &mut Pass<'_>,
    look: &mut Look<'_>,
    request: Request,
    there: impl Iterator<Item = &'t Task>,
) -> Launched {
    let launching = Launching::of(pass.described);
    let mut launched = Launched::default();
    let strategy = launching.strategy();
    if strategy.is_empty() {
        let launch = (launching == Launching::Fargate).then_some(Launch::Fargate);
        launched.add(launch, on(pass, look, &request));
        return launched;
    }
    let counts = unit::shares(look.view, strategy, there);
    let split = share::split(strategy, &counts, request.count);
    for (item, count) in strategy.iter().zip(split).filter(|(_, count)| *count > 0) {
        let launch = Launch::Provider(item.provider.clone());
        let cluster = &pass.service.key.cluster;
        let wanted = request.wanted.clone().launched(look.view, cluster, Some(&launch));
        let of_item = Request { wanted, count, ..request.clone() };
        launched.add(Some(launch), on(pass, look, &of_item));
    }
    launched
}

fn on(pass: &mut Pass<'_>, look: &mut Look<'_>, request: &Request) -> Placed {
    let placed = look.place(&pass.machines(), request);
    pass.wait_for_place(&placed, request);
    placed
}

/// Which of some tasks stop, given in which order those of one provider do.
pub fn to_stop(
    view: &State,
    strategy: &[StrategyItem],
    tasks: &[&Task],
    count: usize,
    order: impl Fn(&[&Task]) -> Vec<TaskId>,
) -> Vec<TaskId> {
    let mut by_item: BTreeMap<Option<usize>, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        by_item.entry(unit::item_of(view, strategy, task)).or_default().push(task);
    }
    let mut counts = unit::shares(view, strategy, tasks.iter().copied());
    // The first to stop come last, to be taken from there.
    let mut orders: BTreeMap<Option<usize>, Vec<TaskId>> =
        by_item.into_iter().map(|(item, tasks)| (item, order(&tasks).into_iter().rev().collect())).collect();
    let mut stops = orders.remove(&None).unwrap_or_default();
    stops.reverse();
    stops.truncate(count);
    let mut stuck = counts.iter().map(|_| false).collect::<Vec<_>>();
    while stops.len() < count {
        // Who has none that may stop is left out.
        let seen: Vec<u64> =
            counts.iter().zip(&stuck).map(|(count, stuck)| if *stuck { 0 } else { *count }).collect();
        let Some(item) = share::leaves(strategy, &seen) else { break };
        match orders.get_mut(&Some(item)).and_then(Vec::pop) {
            Some(task) => {
                stops.push(task);
                if let Some(count) = counts.get_mut(item) {
                    *count = count.saturating_sub(1);
                }
            }
            None => {
                if let Some(stuck) = stuck.get_mut(item) {
                    *stuck = true;
                }
            }
        }
    }
    stops
}
