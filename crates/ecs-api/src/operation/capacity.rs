//! Why tasks that are run found no place: on machines of their cluster, on the managed pool, or on a capacity provider's.

use trireme_ecs_model::shapes::Failure;
use trireme_scheduler::{Explanation, NodeRefusal, Places, launch};
use trireme_state::State;
use trireme_state::object::{ClusterKey, InstanceStatus};
use trireme_types::ContainerInstanceId;

use crate::convert;
use crate::error::{Error, Result, sentence};

/// Reasons in one answer, one for each instance.
const FAILURES: usize = 100;

/// What RunTask answers of them.
pub(super) fn failures(state: &State, cluster: &ClusterKey, places: &Places) -> Result<Vec<Failure>> {
    let mut failures: Vec<Failure> = Vec::new();
    for (launch, why) in &places.unplaced {
        match launch {
            None => failures.extend(of_machines(state, cluster, why.refusals.iter())),
            Some(launch) if launch.is_fargate() => failures.push(of_managed_pool(why)),
            Some(launch) => {
                let of_pool = |node: &&NodeRefusal| {
                    let instance = state.instance(node.instance);
                    instance.is_some_and(|one| state.takes(one, cluster, Some(launch)))
                };
                failures.extend(of_machines(state, cluster, why.refusals.iter().filter(of_pool)));
            }
        }
    }
    // Two providers refuse for the same machines.
    failures.dedup();
    let launched = places.unplaced.iter().any(|(launch, _)| launch.is_some());
    let none = places.placements.is_empty() && places.waiting.is_empty() && failures.is_empty();
    if launched && none {
        return Err(Error::invalid("No Container Instances were found in your capacity provider."));
    }
    Ok(failures)
}

/// ECS says nothing of instances that are being drained.
fn of_machines<'a>(
    state: &State,
    cluster: &ClusterKey,
    refusals: impl Iterator<Item = &'a NodeRefusal>,
) -> Vec<Failure> {
    let failure = |node: &NodeRefusal| Failure {
        arn: Some(convert::container_instance::arn(cluster, node.instance)),
        reason: Some(node.refusal.ecs_reason().to_owned()),
        detail: Some(node.refusal.to_string()),
    };
    refusals.filter(|node| is_active(state, node.instance)).take(FAILURES).map(failure).collect()
}

fn of_managed_pool(why: &Explanation) -> Failure {
    Failure {
        arn: None,
        reason: Some(
            "Capacity is unavailable at this time. Please try again later or in a different availability zone"
                .to_owned(),
        ),
        detail: Some(sentence(&launch::of_managed_pool(why))),
    }
}

pub(super) fn is_active(state: &State, id: ContainerInstanceId) -> bool {
    state.instance(id).is_some_and(|instance| instance.status == InstanceStatus::Active)
}
