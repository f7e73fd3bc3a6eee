//! What keeps tasks of one shape running: a service's deployment, or one of its task sets. Who foresees or explains asks the same of
//! all of them, and the service's controller asks it too.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_scheduler::{Group, Nodes, Request, Wanted, seats, share};
use trireme_state::State;
use trireme_state::object::{
    ClusterKey, Deployment, DeploymentStatus, Described, InstanceStatus, Launch, Launching,
    NetworkConfiguration, PlacementRules, SchedulingStrategy, Service, ServiceStatus, StrategyItem, Subnet,
    Task, TaskDefinitionKey, TaskOverrides, TaskSetStatus, TaskStatus,
};
use trireme_state::query::{Checked, SERVICE_GROUP};
use trireme_types::{ContainerInstanceId, DeploymentId, Scope, Timestamp};

use crate::service;

/// So many tasks of one shape.
#[derive(Debug, Clone)]
pub struct Unit<'a> {
    /// The service.
    pub service: &'a Arc<Service>,
    /// What its tasks belong to; a task set as a deployment that has nothing to replace.
    pub deployment: Deployment,
    /// What says where they get network interfaces.
    pub described: Cow<'a, Described>,
    /// How many there are to be.
    pub desired: u32,
    /// It is a task set.
    pub is_set: bool,
    /// Of a daemon: the machines of which each is to have one.
    pub seats: Option<BTreeSet<ContainerInstanceId>>,
}

impl<'a> Unit<'a> {
    /// Those of a service that is active. What is on its way out is none of them.
    pub fn of_service(view: &'a State, service: &'a Arc<Service>) -> Vec<Self> {
        if service.status != ServiceStatus::Active {
            return Vec::new();
        }
        let desired = service.spec.desired_count;
        if let Some(sets) = view.task_sets(&service.key) {
            let living = sets.sets.iter().filter(|set| set.status != TaskSetStatus::Draining);
            let unit = living.map(|set| Self {
                service,
                deployment: service::of_set(set),
                described: Cow::Borrowed(&set.spec.described),
                desired: set.computed_desired_count(desired),
                is_set: true,
                seats: None,
            });
            return unit.collect();
        }
        let one = |deployment: &Deployment, described| Self {
            service,
            deployment: deployment.clone(),
            described,
            desired,
            is_set: false,
            seats: None,
        };
        let primary = service.deployments.iter().find(|one| one.status == DeploymentStatus::Primary);
        let primary = match view.stand_in(service) {
            Some(other) => Some(one(other, Cow::Owned(of_revision(view, service, other)))),
            None => primary.map(|primary| one(primary, Cow::Borrowed(&service.spec.described))),
        };
        let serving = view.is_beside(service).then(|| view.serving(service)).flatten();
        let serving = serving.map(|serving| one(serving, Cow::Owned(of_revision(view, service, serving))));
        let mut units: Vec<Self> = primary.into_iter().chain(serving).collect();
        if SchedulingStrategy::of(&service.spec.described) == SchedulingStrategy::Daemon {
            units.iter_mut().for_each(|unit| unit.take_seats(view));
        }
        units
    }

    /// A daemon's tasks have their machines.
    fn take_seats(&mut self, view: &State) {
        let key = &self.service.key;
        let request = self.request(view, std::iter::empty(), 1, view.clock());
        let mut nodes = Nodes::of_cluster(view, &self.machines());
        let tasks = view.tasks_of_service(key);
        let all = request.map(|request| seats(view, &mut nodes, &request, &tasks));
        let all = all.unwrap_or_default();
        (self.desired, self.seats) = (u32::try_from(all.len()).unwrap_or(u32::MAX), Some(all));
    }

    /// How many are missing, given those that are there.
    pub fn missing(&self, there: &[&Arc<Task>]) -> usize {
        match &self.seats {
            None => (self.desired as usize).saturating_sub(there.len()),
            Some(_) => self.empty_seats(there).len(),
        }
    }

    /// Of a daemon: the machines that have none of those that are there.
    pub fn empty_seats(&self, there: &[&Arc<Task>]) -> BTreeSet<ContainerInstanceId> {
        let mut empty = self.seats.clone().unwrap_or_default();
        there.iter().for_each(|task| {
            empty.remove(&task.instance);
        });
        empty
    }

    /// What its tasks belong to.
    pub fn id(&self) -> DeploymentId {
        self.deployment.id
    }

    /// Whether a task is one of those that stay: it is wanted, of this unit, where it may be, and not called unhealthy by its checks.
    pub fn holds(&self, view: &State, task: &Task) -> bool {
        let stays = |id| view.instance(id).is_some_and(|at| at.status == InstanceStatus::Active);
        let ours = match self.is_set {
            true => task.deployment() == Some(self.id()),
            false => view.runs(&self.service.key, task, self.id()) || self.stands_in_for(view, task),
        };
        task.wanted() && ours && stays(task.instance) && view.checked(task) != Some(Checked::Unhealthy)
    }

    /// Whether a task is of the deployment that has failed, in place of which this one starts what is missing.
    fn stands_in_for(&self, view: &State, task: &Task) -> bool {
        let stands_in = view.stand_in(self.service).is_some_and(|other| other.id == self.id());
        let failed = self.service.deployments.first().filter(|_| stands_in);
        failed.is_some_and(|failed| view.runs(&self.service.key, task, failed.id))
    }

    /// On what its tasks are launched.
    pub fn launching(&self) -> Launching {
        Launching::of(&self.described)
    }

    /// The cluster that its machines are in.
    pub fn machines(&self) -> ClusterKey {
        self.launching().machines(&self.service.key.cluster)
    }

    /// What so many new tasks ask of the machines, beside those of its tasks that are `there`; by a strategy, all of them of the provider to
    /// which the first goes. `None` when there is nothing to make
    /// them from.
    pub fn request<'t>(
        &self,
        view: &State,
        there: impl Iterator<Item = &'t Task>,
        count: usize,
        now: Timestamp,
    ) -> Option<Request> {
        let there: Vec<&Task> = there.collect();
        let launch = next_launch(view, &self.launching(), there.iter().copied());
        self.request_on(view, there.into_iter(), (count, launch.as_ref()), now)
    }

    /// The same of tasks that are launched so.
    pub fn request_on<'t>(
        &self,
        view: &State,
        there: impl Iterator<Item = &'t Task>,
        (count, launch): (usize, Option<&Launch>),
        now: Timestamp,
    ) -> Option<Request> {
        let (scope, definition) = (&self.service.key.cluster.scope, &self.deployment.task_definition);
        let free = |subnet: &Subnet| view.free_addresses(subnet, now);
        let wanted = wanted(view, scope, definition, &self.described, free)?;
        Some(Request {
            wanted: wanted.launched(view, &self.service.key.cluster, launch),
            group: group(self.service, there),
            rules: rules(view, self.service, definition),
            count,
        })
    }
}

/// The item of a strategy that a task was launched by.
pub fn item_of(view: &State, strategy: &[StrategyItem], task: &Task) -> Option<usize> {
    let provider = view.launch(task.id)?.provider()?;
    strategy.iter().position(|item| item.provider == *provider)
}

/// How many tasks were launched by each item of a strategy.
pub fn shares<'t>(
    view: &State,
    strategy: &[StrategyItem],
    tasks: impl Iterator<Item = &'t Task>,
) -> Vec<u64> {
    let mut counts = vec![0_u64; strategy.len()];
    for item in tasks.filter_map(|task| item_of(view, strategy, task)) {
        if let Some(count) = counts.get_mut(item) {
            *count = count.saturating_add(1);
        }
    }
    counts
}

/// What the next task is launched on, beside those that are there.
fn next_launch<'t>(
    view: &State,
    launching: &Launching,
    there: impl Iterator<Item = &'t Task>,
) -> Option<Launch> {
    let strategy = launching.strategy();
    let next = share::next(strategy, &shares(view, strategy, there));
    let item = next.and_then(|next| strategy.get(next));
    let fargate = *launching == Launching::Fargate;
    item.map(|item| Launch::Provider(item.provider.clone())).or(fargate.then_some(Launch::Fargate))
}

/// What an older deployment's tasks are made with: as its revision has it.
pub fn of_revision(view: &State, service: &Service, deployment: &Deployment) -> Described {
    let history = view.deployment_history(&service.key);
    let revision = history.revision(view.revision_of(&service.key, deployment.id));
    revision.map_or(&service.spec, |revision| &revision.spec).described.clone()
}

/// What a new task of a service asks of its machine, given how many addresses of a subnet are free.
pub fn wanted(
    view: &State,
    scope: &Scope,
    definition: &TaskDefinitionKey,
    described: &Described,
    free: impl FnMut(&Subnet) -> u32,
) -> Option<Wanted> {
    let spec = &view.task_definition(definition)?.spec;
    let network = NetworkConfiguration::of(described);
    let wanted = Wanted::of(spec, &TaskOverrides::default());
    Some(wanted.in_subnets(view, scope, spec, network.as_ref(), free))
}

/// Where a service's tasks may be placed: as it says, and as their definition does.
pub fn rules(view: &State, service: &Service, definition: &TaskDefinitionKey) -> PlacementRules {
    let definition = view.task_definition(definition);
    let of_definition = definition.map(|one| PlacementRules::of_definition(&one.spec.described));
    PlacementRules::of_service(&service.spec.described).and(of_definition.unwrap_or_default())
}

/// A service's tasks, with these of them there.
pub fn group<'t>(service: &Service, there: impl Iterator<Item = &'t Task>) -> Group {
    let group = Group::of_tasks(format!("{SERVICE_GROUP}{}", service.key.name), there);
    let daemon = SchedulingStrategy::of(&service.spec.described) == SchedulingStrategy::Daemon;
    if daemon { group.unseen() } else { group }
}

/// Whether a service is as it was asked for: all its tasks run where they may stay, and there are no others.
pub fn is_whole(view: &State, service: &Arc<Service>) -> bool {
    let units = Unit::of_service(view, service);
    let tasks = view.tasks_of_service(&service.key);
    let wanted = units.iter().fold(0_usize, |sum, unit| sum.saturating_add(unit.desired as usize));
    let full = |unit: &Unit<'_>| {
        let runs = |task: &&Arc<Task>| unit.holds(view, task) && task.last_status == TaskStatus::Running;
        let running: Vec<&Arc<Task>> = tasks.iter().filter(runs).collect();
        running.len() == unit.desired as usize && unit.missing(&running) == 0
    };
    tasks.len() == wanted && units.iter().all(full)
}
