//! On what tasks are launched that are run: on any machine of their cluster, on the managed pool, or by a capacity provider strategy. Each
//! provider gets its share of the tasks, and what finds no room there waits in PROVISIONING if the pool grows (ECS API: RunTask).

use trireme_state::object::{ClusterKey, Launch, Launching, StrategyItem, TaskDefinitionSpec, TaskOverrides};
use trireme_state::{Placement, State};
use trireme_types::{CpuUnits, Mebibytes};

use crate::explain::Explanation;
use crate::fargate;
use crate::place::{Placed, Request, place_on};
use crate::share;
use crate::view::Nodes;

/// Why tasks cannot be launched as they are to be, in ECS's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unlaunchable {
    /// A provider is none of the cluster's.
    #[error(
        "The specified capacity provider strategy contains a capacity provider that is not associated with the cluster. \
         Associate the capacity provider with the cluster and try again."
    )]
    NotAssociated,
    /// Some providers are ECS's own, and some are not.
    #[error(
        "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate \
         providers. Specify one or the other and try again."
    )]
    Mixed,
    /// The definition is not for the managed pool.
    #[error("Task definition does not support launch_type FARGATE.")]
    Incompatible,
    /// The managed pool's machines are not the caller's to choose among.
    #[error("{what} are not supported with FARGATE launch type.")]
    Rules {
        /// What there is.
        what: &'static str,
    },
    /// A task has no size of its own.
    #[error("Fargate requires that 'cpu' be defined at the task level.")]
    NoSize,
    /// It has one that there is not.
    #[error("No Fargate configuration exists for given values: {cpu} CPU, {memory} memory.")]
    NoSuchSize {
        /// Its cpu units.
        cpu: CpuUnits,
        /// Its memory in MiB.
        memory: Mebibytes,
    },
}

/// That a cluster has the providers of a strategy, and that they go together.
///
/// # Errors
///
/// It has not, or they do not.
pub fn check_strategy(
    state: &State,
    cluster: &ClusterKey,
    items: &[StrategyItem],
) -> Result<(), Unlaunchable> {
    let configuration = state.cluster_configuration(cluster);
    if items.iter().any(|item| !configuration.capacity_providers.contains(&item.provider)) {
        return Err(Unlaunchable::NotAssociated);
    }
    let built_in = items.iter().filter(|item| item.provider.as_str().starts_with("FARGATE")).count();
    if built_in > 0 && built_in < items.len() {
        return Err(Unlaunchable::Mixed);
    }
    Ok(())
}

/// That tasks of a definition, with so many constraints and strategies of placement, may run there.
///
/// # Errors
///
/// They may not.
pub fn check_definition(
    launching: &Launching,
    spec: &TaskDefinitionSpec,
    rules: (usize, usize),
) -> Result<(), Unlaunchable> {
    if !launching.is_fargate() {
        return Ok(());
    }
    if !fargate::is_compatible(spec) {
        return Err(Unlaunchable::Incompatible);
    }
    match rules {
        (0, 0) => Ok(()),
        (0, _) => Err(Unlaunchable::Rules { what: "Placement strategies" }),
        _ => Err(Unlaunchable::Rules { what: "Placement constraints" }),
    }
}

/// The same of tasks that are run with changes to their definition.
///
/// # Errors
///
/// They may not, or there is no such size.
pub fn check_tasks(
    launching: &Launching,
    (spec, overrides): (&TaskDefinitionSpec, &TaskOverrides),
    rules: (usize, usize),
) -> Result<(), Unlaunchable> {
    check_definition(launching, spec, rules)?;
    if launching.is_fargate() { fargate::check_size(spec, overrides) } else { Ok(()) }
}

/// Where tasks go.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// One for each task that found a place.
    pub placements: Vec<Placement>,
    /// On what each of them is launched; none: on any machine of the cluster.
    pub launches: Vec<Launch>,
    /// What others wait for.
    pub waiting: Vec<Launch>,
    /// Why the rest found no place, by what they were to be launched on.
    pub unplaced: Vec<(Option<Launch>, Explanation)>,
}

/// Places tasks on a working copy of the machines ([`Launching::machines`]), which then holds them.
pub fn place_launched(
    state: &State,
    nodes: &mut Nodes,
    (cluster, launching): (&ClusterKey, &Launching),
    request: &Request,
) -> Places {
    let mut places = Places::default();
    match launching {
        Launching::Instances => places.add(None, place_on(nodes, request)),
        Launching::Fargate => places.add(Some(Launch::Fargate), place_on(nodes, request)),
        Launching::Strategy(items) => {
            let split = share::split(items, &vec![0; items.len()], request.count);
            for (item, count) in items.iter().zip(split).filter(|(_, count)| *count > 0) {
                let launch = Launch::Provider(item.provider.clone());
                let wanted = request.wanted.clone().launched(state, cluster, Some(&launch));
                let placed = place_on(nodes, &Request { wanted, count, ..request.clone() });
                places.add(Some(launch), placed);
            }
            places.wait(state, cluster);
        }
    }
    places
}

impl Places {
    fn add(&mut self, launch: Option<Launch>, placed: Placed) {
        if let Some(launch) = &launch {
            self.launches.extend(placed.placements.iter().map(|_| launch.clone()));
        }
        self.placements.extend(placed.placements);
        self.unplaced.extend(placed.unplaced.map(|why| (launch, why)));
    }

    /// What found no place in a pool that grows waits for one, as far as there is room to wait. Nobody waits for the managed pool.
    fn wait(&mut self, state: &State, cluster: &ClusterKey) {
        let taken = state.room_to_wait(cluster);
        for (launch, why) in std::mem::take(&mut self.unplaced) {
            let provider = launch.as_ref().and_then(Launch::provider);
            let provider = provider.and_then(|name| state.provider_of_cluster(cluster, name));
            let grows = provider.is_some_and(|provider| provider.group.managed_scaling.enabled);
            let more = self.waiting.len().saturating_add(why.unplaced);
            let room = taken.check(more).is_ok();
            match launch {
                Some(launch) if grows && room => {
                    self.waiting.extend(std::iter::repeat_n(launch, why.unplaced));
                }
                launch => self.unplaced.push((launch, why)),
            }
        }
    }

    /// Why they did not, for people.
    pub fn why(&self) -> String {
        let all = self.unplaced.iter().map(|(launch, why)| match launch {
            None => why.to_string(),
            Some(launch) if launch.is_fargate() => of_managed_pool(why),
            Some(launch) => {
                let name = launch.provider().map(ToString::to_string).unwrap_or_default();
                format!("capacity provider {name}: {why}")
            }
        });
        all.collect::<Vec<_>>().join("; ")
    }

    /// How many tasks found no place, and do not wait for one.
    pub fn missing(&self) -> usize {
        self.unplaced.iter().map(|(_, why)| why.unplaced).fold(0, usize::saturating_add)
    }
}

/// Why the managed pool has no place.
pub fn of_managed_pool(why: &Explanation) -> String {
    match why.refusals.is_empty() {
        true => "the managed pool has no agents (trireme agent --pool managed)".to_owned(),
        false => format!("the managed pool: {why}"),
    }
}
