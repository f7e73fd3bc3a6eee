//! Assignments: what an instance is to run, from the applied state. The full set first, then the differences to what was
//! sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trireme_rpc::agent as wire;
use trireme_state::State;
use trireme_state::object::{
    ContainerDefinition, ContainerOverride, Described, DesiredStatus, Launch, NetworkMode, Task,
    TaskDefinitionSpec,
};
use trireme_state::query::log_group;
use trireme_types::arn::Resource;
use trireme_types::capability::{SETTINGS, TASK_SETTINGS};
use trireme_types::{
    Arn, ClusterUuid, ContainerInstanceId, CpuUnits, Mebibytes, Protocol, SessionEpoch, TaskId,
};

use crate::convert::status_to_wire;
use crate::image_pin;

/// What one session was sent so far.
pub(crate) struct Assignment {
    /// The control plane and its incarnation.
    life: (ClusterUuid, u64),
    instance: ContainerInstanceId,
    epoch: SessionEpoch,
    /// Of each task what may change.
    sent: Option<BTreeMap<TaskId, Sent>>,
}

/// The parts of an assigned task that ever change.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sent {
    desired: DesiredStatus,
    /// Images that are not pinned. They only get fewer.
    open_images: usize,
}

impl Assignment {
    /// Nothing was sent yet.
    pub(crate) fn new(life: (ClusterUuid, u64), instance: ContainerInstanceId, epoch: SessionEpoch) -> Self {
        Self { life, instance, epoch, sent: None }
    }

    /// What the agent must be told so that it knows what `state` asks of it; `None` when it knows.
    pub(crate) fn next(&mut self, state: &State) -> Option<wire::Assignments> {
        let full = self.sent.is_none();
        let sent = self.sent.get_or_insert_default();
        let wanted = state.index().instance_load(self.instance);
        let gone: BTreeSet<TaskId> = sent.keys().filter(|id| !wanted.tasks.contains(*id)).copied().collect();
        for id in &gone {
            sent.remove(id);
        }
        let mut tasks = Vec::new();
        for task in wanted.tasks.iter().filter_map(|id| state.task(*id)) {
            let last = sent.get(&task.id);
            let open_images = match last {
                Some(Sent { open_images: 0, .. }) => 0,
                _ => image_pin::open(state, task),
            };
            let now = Sent { desired: task.desired_status, open_images };
            if last == Some(&now) {
                continue;
            }
            let Some(assigned) = assigned(state, task) else {
                tracing::warn!(task = %task.id, definition = ?task.definition, "a task without a definition");
                continue;
            };
            sent.insert(task.id, now);
            tasks.push(assigned);
        }
        if !full && tasks.is_empty() && gone.is_empty() {
            return None;
        }
        Some(wire::Assignments {
            cluster_uuid: self.life.0.to_string(),
            incarnation: self.life.1,
            sequence: state.position().sequence.get(),
            epoch: self.epoch.get(),
            full,
            tasks,
            removed: gone.iter().map(ToString::to_string).collect(),
        })
    }
}

fn assigned(state: &State, task: &Task) -> Option<wire::AssignedTask> {
    let spec = &state.task_definition(&task.definition)?.spec;
    let gpus = state.task_gpus(task.id);
    let containers = spec.containers.iter().map(|definition| {
        let change = task.overrides.containers.iter().find(|change| change.name == definition.name);
        let mut assigned = container(spec, definition, change);
        image_pin::assign(state, task, definition, &mut assigned);
        let group = log_group(definition, &task.cluster.scope);
        let log_group_missing = group.is_some_and(|(key, _)| state.log_group(&key).is_none());
        let own = gpus.get(&definition.name).into_iter().flatten();
        wire::Container { log_group_missing, gpu_ids: own.map(ToString::to_string).collect(), ..assigned }
    });
    let cpu = task.overrides.cpu.or(spec.cpu).unwrap_or(CpuUnits::ZERO);
    let memory = task.overrides.memory.or(spec.memory).unwrap_or(Mebibytes::ZERO);
    let arn = Arn::new(&task.cluster.scope, Resource::Task(task.cluster.name.clone(), task.id));
    Some(wire::AssignedTask {
        task_id: task.id.to_string(),
        task_arn: arn.to_string(),
        cluster: task.cluster.name.to_string(),
        family: task.definition.family.to_string(),
        revision: task.definition.revision,
        desired_running: task.desired_status == DesiredStatus::Running,
        network_mode: network_mode(spec).to_owned(),
        containers: containers.collect(),
        cpu_units: cpu.get(),
        memory_mib: memory.get(),
        known_status: status_to_wire(task.last_status).into(),
        settings: settings(&spec.described, &TASK_SETTINGS),
        service_name: task.service().map(|service| service.name.to_string()).unwrap_or_default(),
        network: network(state, task),
        fargate: state.launch(task.id).is_some_and(Launch::is_fargate),
    })
}

fn network(state: &State, task: &Task) -> Option<wire::TaskNetwork> {
    let interface = state.interface(task.id)?;
    let subnet = state.subnet(interface.subnet)?;
    Some(wire::TaskNetwork {
        address: interface.address.to_string(),
        mac_address: interface.mac_address(),
        network: subnet.network.to_string(),
        hostname: interface.private_dns_name(&subnet.scope.region),
    })
}

fn network_mode(spec: &TaskDefinitionSpec) -> &'static str {
    match spec.network_mode {
        None | Some(NetworkMode::Bridge) => "bridge",
        Some(NetworkMode::Host) => "host",
        Some(NetworkMode::None) => "none",
        Some(NetworkMode::Awsvpc) => "awsvpc",
    }
}

fn container(
    spec: &TaskDefinitionSpec,
    definition: &ContainerDefinition,
    change: Option<&ContainerOverride>,
) -> wire::Container {
    let mebibytes = |memory: Option<Mebibytes>| memory.unwrap_or(Mebibytes::ZERO).get();
    let list = |values: &Option<Vec<String>>| values.clone().map(|values| wire::StringList { values });
    let command = change.map_or(&definition.command, |change| match &change.command {
        Some(_) => &change.command,
        None => &definition.command,
    });
    let host = spec.network_mode == Some(NetworkMode::Host);
    let port_mappings = definition.port_mappings.iter().map(|mapping| wire::PortMapping {
        container_port: mapping.container_port.get().into(),
        host_port: if host { mapping.container_port } else { mapping.host_port.unwrap_or_default() }
            .get()
            .into(),
        udp: mapping.protocol == Protocol::Udp,
    });
    let mut settings = settings(&definition.described, &SETTINGS);
    if let Some(files) = change.and_then(ContainerOverride::environment_files) {
        settings.insert("environmentFiles".to_owned(), files.to_owned());
    }
    wire::Container {
        name: definition.name.to_string(),
        image: definition.image.clone(),
        cpu_units: change.and_then(|change| change.cpu).unwrap_or(definition.cpu).get(),
        memory_mib: mebibytes(change.and_then(|change| change.memory).or(definition.memory)),
        memory_reservation_mib: mebibytes(
            change.and_then(|change| change.memory_reservation).or(definition.memory_reservation),
        ),
        essential: definition.essential,
        port_mappings: port_mappings.collect(),
        entry_point: list(&definition.entry_point),
        command: list(command),
        environment: environment(definition, change),
        working_directory: definition.working_directory.clone().unwrap_or_default(),
        user: definition.user.clone().unwrap_or_default(),
        hostname: definition.hostname.clone().unwrap_or_default(),
        docker_labels: definition.docker_labels.clone().into_iter().collect(),
        stop_timeout_seconds: definition.stop_timeout.unwrap_or(0),
        readonly_root_filesystem: definition.readonly_root_filesystem.unwrap_or(false),
        interactive: definition.interactive.unwrap_or(false),
        pseudo_terminal: definition.pseudo_terminal.unwrap_or(false),
        settings,
        pin: None,
        log_group_missing: false,
        gpu_ids: Vec::new(),
    }
}

/// What only the agent sees to, as it was registered.
fn settings(described: &Described, members: &[&str]) -> HashMap<String, String> {
    let all = described.iter().filter(|(member, _)| members.contains(&member.as_str()));
    all.map(|(member, json)| (member.clone(), json.clone())).collect()
}

/// The definition's variables with the override's: the same name replaces, in its place.
fn environment(
    definition: &ContainerDefinition,
    change: Option<&ContainerOverride>,
) -> Vec<wire::EnvironmentVariable> {
    let mut variables = definition.environment.clone();
    for (name, value) in change.iter().flat_map(|change| change.variables()) {
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some(variable) => variable.1.clone_from(value),
            None => variables.push((name.clone(), value.clone())),
        }
    }
    let to_wire = |(name, value)| wire::EnvironmentVariable { name, value };
    variables.into_iter().map(to_wire).collect()
}

#[cfg(test)]
mod tests {
    use trireme_state::event::PlacementEvent;
    use trireme_state::object::*;
    use trireme_state::{Event, apply_event};
    use trireme_types::{ClusterName, ContainerName, Family, Scope, Timestamp, Zone, gpu};

    use super::*;

    fn container(name: &str) -> ContainerDefinition {
        ContainerDefinition {
            name: ContainerName::new(name).unwrap(),
            image: "busybox".to_owned(),
            cpu: CpuUnits::ZERO,
            memory: None,
            memory_reservation: None,
            essential: true,
            port_mappings: Vec::new(),
            entry_point: None,
            command: None,
            environment: Vec::new(),
            working_directory: None,
            user: None,
            hostname: None,
            docker_labels: BTreeMap::new(),
            stop_timeout: None,
            readonly_root_filesystem: None,
            interactive: None,
            pseudo_terminal: None,
            described: Described::new(),
        }
    }

    fn task(definition: &TaskDefinitionKey) -> Task {
        Task {
            id: TaskId::from_bits(1),
            cluster: ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() },
            definition: definition.clone(),
            origin: TaskOrigin::Standalone,
            instance: ContainerInstanceId::from_bits(2),
            zone: Zone::new("us-east-1a").unwrap(),
            reservation: Reservation::default(),
            overrides: TaskOverrides::default(),
            group: "family:train".to_owned(),
            started_by: None,
            tags: Tags::new(),
            desired_status: DesiredStatus::Running,
            last_status: TaskStatus::Pending,
            times: TaskTimes::default(),
            stop_code: None,
            stopped_reason: None,
            containers: Vec::new(),
            version: 1,
        }
    }

    #[test]
    fn each_container_is_told_its_own_gpus() {
        let (scope, family) = (Scope::development(), Family::new("train").unwrap());
        let key = TaskDefinitionKey { scope, family, revision: 1 };
        let spec = TaskDefinitionSpec {
            containers: ["a", "side", "b"].map(container).to_vec(),
            network_mode: None,
            cpu: None,
            memory: None,
            requires_compatibilities: Vec::new(),
            task_role_arn: None,
            execution_role_arn: None,
            described: Described::new(),
        };
        let task = task(&key);
        let gpus = |name: &str, ids: &str| (ContainerName::new(name).unwrap(), gpu::parse(ids).unwrap());
        let own = TaskGpus::from([gpus("a", "GPU-2,GPU-0"), gpus("b", "GPU-1")]);
        let mut state = State::new();
        for event in [
            Event::TaskDefinitionRegistered {
                key,
                spec: spec.into(),
                tags: Tags::new(),
                registered_by: String::new(),
            },
            Event::TaskCreated { task: Box::new(task.clone()) },
            Event::Placement(PlacementEvent::GpusAssigned { tasks: [(task.id, own)].into() }),
        ] {
            apply_event(&mut state, Timestamp::default(), &event);
        }
        let life = (ClusterUuid::from_bits(3), 1);
        let told = Assignment::new(life, task.instance, SessionEpoch::new(1)).next(&state).unwrap();
        let ids: Vec<String> = told.tasks[0].containers.iter().map(|one| one.gpu_ids.join(",")).collect();
        assert_eq!(ids, ["GPU-2,GPU-0", "", "GPU-1"]);
    }
}
