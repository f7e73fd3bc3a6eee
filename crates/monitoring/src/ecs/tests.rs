//! What is said of services and clusters, of a small state.

use trireme_state::object::{
    ClusterConfiguration, DeploymentConfiguration, DesiredStatus, InstanceRegistration, InstanceResources,
    PropagateTags, Reservation, ServiceSpec, Tags, Task, TaskDefinitionKey, TaskOrigin, TaskOverrides,
    TaskTimes,
};
use trireme_state::{Event, State, apply_event};
use trireme_types::{
    ClusterName, ContainerInstanceId, CpuUnits, DeploymentId, Family, Mebibytes, Scope, ServiceName,
    SessionEpoch, Zone,
};

use super::*;

const INSTANCE: ContainerInstanceId = ContainerInstanceId::from_bits(1);

fn cluster() -> ClusterKey {
    ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() }
}

fn definition() -> TaskDefinitionKey {
    TaskDefinitionKey { scope: Scope::development(), family: Family::new("web").unwrap(), revision: 1 }
}

fn service() -> ServiceKey {
    ServiceKey { cluster: cluster(), name: ServiceName::new("web").unwrap() }
}

fn task(number: u128, cpu: u32, status: TaskStatus) -> Task {
    Task {
        id: TaskId::from_bits(number),
        cluster: cluster(),
        definition: definition(),
        origin: TaskOrigin::Service { name: service().name, deployment: DeploymentId::from_random(1) },
        instance: INSTANCE,
        zone: Zone::new("us-east-1a").unwrap(),
        reservation: Reservation { cpu: CpuUnits::new(cpu), memory: Mebibytes::new(100), ports: Vec::new() },
        overrides: TaskOverrides::default(),
        group: "service:web".to_owned(),
        started_by: None,
        tags: Tags::new(),
        desired_status: DesiredStatus::Running,
        last_status: status,
        times: TaskTimes::default(),
        stop_code: None,
        stopped_reason: None,
        containers: Vec::new(),
        version: 1,
    }
}

/// A machine of 4096 units and 1000 MiB with these tasks of one service.
fn state(tasks: Vec<Task>, insights: bool) -> State {
    let mut state = State::new();
    let registration = InstanceRegistration {
        cluster: cluster(),
        name: "agent".to_owned(),
        zone: Zone::new("us-east-1a").unwrap(),
        resources: InstanceResources {
            cpu: CpuUnits::new(4_096),
            memory: Mebibytes::new(1_000),
            reserved_ports: Vec::new(),
        },
        attributes: BTreeMap::new(),
        agent_version: String::new(),
        docker_version: String::new(),
    };
    let spec = ServiceSpec {
        task_definition: definition(),
        desired_count: 3,
        deployment_configuration: DeploymentConfiguration::default(),
        propagate_tags: PropagateTags::None,
        enable_ecs_managed_tags: false,
        health_check_grace_period_seconds: None,
        role_arn: None,
        described: BTreeMap::new(),
    };
    let mut events = vec![
        Event::ClusterCreated { cluster: cluster(), tags: Tags::new() },
        Event::SessionOpened {
            instance: INSTANCE,
            epoch: SessionEpoch::new(1),
            registration: Box::new(registration),
        },
        Event::ServiceCreated {
            key: service(),
            spec,
            tags: Tags::new(),
            created_by: String::new(),
            deployment: DeploymentId::from_random(1),
        },
    ];
    if insights {
        let container_insights = ContainerInsights::Enabled;
        let configuration =
            Box::new(ClusterConfiguration { container_insights, ..ClusterConfiguration::default() });
        events.push(Event::ClusterConfigured { cluster: cluster(), configuration });
    }
    events.extend(tasks.into_iter().map(|task| Event::TaskCreated { task: Box::new(task) }));
    events.iter().for_each(|event| apply_event(&mut state, Timestamp::from_millis(5), event));
    state
}

fn told(state: &State, used: &[(u128, u32, u64)]) -> Vec<(String, usize, f64)> {
    let used = used.iter().map(|(number, cpu_millis, mebibytes)| {
        let memory_bytes = mebibytes * 1_048_576;
        (TaskId::from_bits(*number), Used { cpu_millis: *cpu_millis, memory_bytes })
    });
    let samples = samples(state, &used.collect(), Timestamp::from_millis(9));
    samples.into_iter().map(|one| (one.metric.name, one.metric.dimensions.len(), one.set.sum)).collect()
}

#[test]
fn utilisation_is_of_what_running_tasks_reserve_and_may_be_more_than_all_of_it() {
    let tasks = vec![
        task(1, 256, TaskStatus::Running),
        task(2, 256, TaskStatus::Running),
        task(3, 256, TaskStatus::Pending),
    ];
    let state = state(tasks, false);
    // One of them uses a whole processor; of the second nothing is known, and the third does not run.
    let told = told(&state, &[(1, 1_000, 50), (3, 1_000, 50)]);
    let of = |name: &str, dimensions: usize| {
        told.iter().find(|one| one.0 == name && one.1 == dimensions).map(|one| one.2)
    };
    assert_eq!((of(CPU, 2), of(MEMORY, 2)), (Some(400.0), Some(50.0)));
    assert_eq!((of(CPU, 1), of(MEMORY, 1)), (Some(50.0), Some(10.0)), "of the machine: by all its tasks");
}

#[test]
fn of_what_nobody_measured_nothing_is_said() {
    let state = state(vec![task(1, 256, TaskStatus::Running)], false);
    assert_eq!(told(&state, &[]), []);
    let without_cpu = self::state(vec![task(1, 0, TaskStatus::Running)], false);
    let names: Vec<_> = told(&without_cpu, &[(1, 500, 10)]).into_iter().filter(|one| one.1 == 2).collect();
    assert_eq!(names, [(MEMORY.to_owned(), 2, 10.0)], "nothing reserved, no share of it");
}

#[test]
fn counts_of_tasks_are_told_where_insights_are_on() {
    let tasks = vec![task(1, 256, TaskStatus::Running), task(2, 256, TaskStatus::Pending)];
    let told = told(&state(tasks, true), &[]);
    let counts: Vec<(&str, f64)> = told.iter().map(|one| (one.0.as_str(), one.2)).collect();
    assert_eq!(counts, [("DesiredTaskCount", 3.0), ("RunningTaskCount", 1.0), ("PendingTaskCount", 1.0)]);
}
