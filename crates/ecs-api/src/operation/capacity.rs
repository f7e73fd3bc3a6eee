//! RunTask on the managed pool, and by a capacity provider strategy: each provider gets its share of the tasks, and what finds no room there
//! waits in PROVISIONING if the pool grows.

use trireme_ecs_model::shapes::Failure;
use trireme_scheduler::{Explanation, Nodes, Placed, Request, place_on, share};
use trireme_state::State;
use trireme_state::limits::{WAITING_RUNS, WAITING_RUNS_PER_CLUSTER};
use trireme_state::object::{ClusterKey, Launch, Launching};

use super::task_run::{Places, failures, is_active};
use crate::error::{Error, Result};

/// Where so many tasks go.
pub(super) fn place(
    state: &State,
    cluster: &ClusterKey,
    launching: &Launching,
    request: &Request,
) -> Result<Places> {
    let mut nodes = Nodes::of_cluster(state, &launching.machines(cluster));
    let mut places = Places::default();
    if *launching == Launching::Fargate {
        let placed = place_on(&mut nodes, request);
        places.placed(placed, &Launch::Fargate);
        return Ok(places);
    }
    let strategy = launching.strategy();
    let split = share::split(strategy, &vec![0; strategy.len()], request.count);
    for (item, count) in strategy.iter().zip(split).filter(|(_, count)| *count > 0) {
        let launch = Launch::Provider(item.provider.clone());
        let wanted = request.wanted.clone().launched(state, cluster, Some(&launch));
        let placed = place_on(&mut nodes, &Request { wanted, count, ..request.clone() });
        if launch.is_fargate() {
            places.placed(placed, &launch);
        } else {
            places.of_pool(state, cluster, placed, &launch);
        }
    }
    // Two providers refuse for the same machines.
    places.failures.dedup();
    if places.placements.is_empty() && places.waiting.is_empty() && places.failures.is_empty() {
        return Err(Error::invalid("No Container Instances were found in your capacity provider."));
    }
    Ok(places)
}

impl Places {
    fn add(&mut self, placed: Placed, launch: &Launch) -> Option<Explanation> {
        self.launches.extend(placed.placements.iter().map(|_| launch.clone()));
        self.placements.extend(placed.placements);
        placed.unplaced
    }

    /// On the managed pool, which nobody waits for.
    fn placed(&mut self, placed: Placed, launch: &Launch) {
        if let Some(why) = self.add(placed, launch) {
            self.failures.push(Failure {
                arn: None,
                reason: Some(
                    "Capacity is unavailable at this time. Please try again later or in a different availability zone"
                        .to_owned(),
                ),
                detail: Some(match why.refusals.is_empty() {
                    true => "The managed pool has no agents (trireme agent --pool managed).".to_owned(),
                    false => format!("The managed pool: {why}."),
                }),
            });
        }
    }

    /// On a provider's pool, which may grow.
    fn of_pool(&mut self, state: &State, cluster: &ClusterKey, placed: Placed, launch: &Launch) {
        let Some(why) = self.add(placed, launch) else { return };
        let provider = launch.provider().and_then(|name| state.provider_of_cluster(cluster, name));
        let grows = provider.is_some_and(|provider| provider.group.managed_scaling.enabled);
        let more = self.waiting.len().saturating_add(why.unplaced);
        let room = state.waiting_runs_of(cluster).count().saturating_add(more) <= WAITING_RUNS_PER_CLUSTER
            && state.waiting_runs().count().saturating_add(more) <= WAITING_RUNS;
        if grows && room {
            self.waiting.extend(std::iter::repeat_n(launch.clone(), why.unplaced));
            return;
        }
        let of_pool = |id| {
            let instance = state.instance(id);
            instance.is_some_and(|one| is_active(state, id) && state.takes(one, cluster, Some(launch)))
        };
        let near = why.refusals.iter().filter(|node| of_pool(node.instance)).cloned().collect();
        self.failures.extend(failures(state, cluster, &Explanation { refusals: near, ..why }));
    }
}
