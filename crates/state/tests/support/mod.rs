//! Builders for tests of the state: commands in few words, and a node that decides and applies.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use trireme_state::command::{Command, IdempotencyKey, RunTasks, TaskReport};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

pub fn cluster(name: &str) -> ClusterKey {
    ClusterKey { scope: Scope::development(), name: ClusterName::new(name).unwrap() }
}

pub fn service(name: &str) -> ServiceKey {
    ServiceKey { cluster: cluster("default"), name: ServiceName::new(name).unwrap() }
}

pub fn container(name: &str, port: Option<u16>) -> ContainerDefinition {
    let mapping = |port| PortMapping {
        container_port: Port::new(80),
        host_port: Some(Port::new(port)),
        protocol: Protocol::Tcp,
        name: None,
    };
    ContainerDefinition {
        name: ContainerName::new(name).unwrap(),
        image: "busybox:1".to_owned(),
        cpu: CpuUnits::new(100),
        memory: Some(Mebibytes::new(64)),
        memory_reservation: None,
        essential: true,
        port_mappings: port.map(mapping).into_iter().collect(),
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
        described: BTreeMap::new(),
    }
}

pub fn provider(name: &str) -> CapacityProviderKey {
    CapacityProviderKey { scope: Scope::development(), name: CapacityProviderName::new(name).unwrap() }
}

/// Its pool is `group-1` if its name says no number, else that of the number.
pub fn create_provider(name: &str) -> Command {
    let group = AutoScalingGroup {
        arn: format!("group-{}", name.rsplit_once('-').map_or("1", |(_, number)| number)),
        managed_scaling: ManagedScaling::default(),
        managed_termination_protection: false,
        managed_draining: true,
    };
    Command::CreateCapacityProvider { key: provider(name), group: Box::new(group), tags: Tags::new() }
}

pub fn register(family: &str, port: Option<u16>) -> Command {
    Command::RegisterTaskDefinition {
        scope: Scope::development(),
        family: Family::new(family).unwrap(),
        spec: Arc::new(TaskDefinitionSpec {
            containers: vec![container("main", port)],
            network_mode: None,
            cpu: None,
            memory: None,
            requires_compatibilities: Vec::new(),
            task_role_arn: None,
            execution_role_arn: None,
            described: BTreeMap::new(),
        }),
        tags: Tags::new(),
        registered_by: "arn:aws:iam::123456789012:root".to_owned(),
    }
}

/// A definition with a container for each number, which asks for so many GPUs and little else.
pub fn register_with_gpus(family: &str, gpus: &[u32]) -> Command {
    let mut command = register(family, None);
    if let Command::RegisterTaskDefinition { spec, .. } = &mut command {
        let containers = gpus.iter().enumerate().map(|(at, gpus)| {
            let mut made = container(&format!("c{at}"), None);
            (made.cpu, made.memory) = (CpuUnits::new(10), Some(Mebibytes::new(8)));
            let json = format!(r#"[{{"type":"GPU","value":"{gpus}"}}]"#);
            made.described.extend((*gpus > 0).then(|| ("resourceRequirements".to_owned(), json)));
            made
        });
        Arc::make_mut(spec).containers = containers.collect();
    }
    command
}

pub fn definition(family: &str, revision: u32) -> TaskDefinitionKey {
    TaskDefinitionKey { scope: Scope::development(), family: Family::new(family).unwrap(), revision }
}

pub fn registration(name: &str, zone: &str) -> InstanceRegistration {
    InstanceRegistration {
        cluster: cluster("default"),
        name: name.to_owned(),
        zone: Zone::new(zone).unwrap(),
        resources: InstanceResources {
            cpu: CpuUnits::new(400),
            memory: Mebibytes::new(512),
            reserved_ports: vec![(Protocol::Tcp, Port::new(22))],
        },
        attributes: BTreeMap::new(),
        agent_version: "0".to_owned(),
        docker_version: "0".to_owned(),
    }
}

pub fn spec(definition: TaskDefinitionKey, desired_count: u32) -> ServiceSpec {
    ServiceSpec {
        task_definition: definition,
        desired_count,
        deployment_configuration: DeploymentConfiguration::default(),
        propagate_tags: PropagateTags::None,
        enable_ecs_managed_tags: false,
        health_check_grace_period_seconds: None,
        role_arn: None,
        described: BTreeMap::new(),
    }
}

pub fn create_service(name: &str, definition: TaskDefinitionKey, desired_count: u32) -> Command {
    Command::CreateService {
        key: service(name),
        spec: spec(definition, desired_count),
        tags: Tags::new(),
        created_by: "arn:aws:iam::123456789012:root".to_owned(),
    }
}

pub fn run_tasks(definition: TaskDefinitionKey, placements: Vec<Placement>) -> Command {
    Command::RunTasks(Box::new(RunTasks {
        cluster: cluster("default"),
        definition,
        overrides: TaskOverrides::default(),
        group: None,
        started_by: None,
        tags: Tags::new(),
        placements,
    }))
}

pub fn key(token: &str, parameters: u8) -> IdempotencyKey {
    IdempotencyKey {
        principal: "p".to_owned(),
        operation: "Op".to_owned(),
        token: token.to_owned(),
        is_client_token: true,
        parameters: [parameters; 32],
    }
}

/// One node: decides, applies, keeps the log, and checks every invariant on the way.
pub struct Node {
    pub state: State,
    pub log: Vec<Entry>,
    pub now: Timestamp,
    pub ids: IdSource,
}

impl Node {
    pub fn new() -> Self {
        let now = Timestamp::from_millis(1_000_000);
        Self { state: State::new(), log: Vec::new(), now, ids: IdSource::from_seed([7; 32]) }
    }

    /// A node whose cluster has the highest level.
    pub fn at_latest_level() -> Self {
        let mut node = Self::new();
        node.propose(Command::RaiseFeatureLevel { level: FeatureLevel::LATEST }).unwrap();
        node
    }

    pub fn propose(&mut self, command: Command) -> Result<Outcome, Rejection> {
        self.propose_with(command, None)
    }

    pub fn propose_with(
        &mut self,
        command: Command,
        key: Option<IdempotencyKey>,
    ) -> Result<Outcome, Rejection> {
        let request_id = RequestId::from_bits(self.log.len() as u128);
        let proposal = Proposal { actor: Actor::Operator, request_id, key, command };
        let mut stamp = Stamp { now: self.now, ids: self.ids.clone() };
        let decision = decide(&self.state, &proposal, &mut stamp)?;
        self.ids = stamp.ids;
        if decision.events.is_empty() {
            return Ok(decision.outcome);
        }
        let before = self.state.clone();
        let entry = Entry {
            base: before.position(),
            at: self.now,
            actor: Actor::Operator,
            request_id,
            events: decision.events.iter().cloned().map(SealedEvent::seal).collect(),
        };
        assert_eq!(apply_entry(&mut self.state, &entry), Applied::Applied);
        assert_eq!(self.state.position(), entry.end());
        invariant::check_step(&before, &self.state, &decision.events).unwrap();
        self.log.push(entry);
        Ok(decision.outcome)
    }

    pub fn open(&mut self, name: &str, zone: &str) -> Placement {
        self.session(None, name, zone)
    }

    /// The agent of an instance is back.
    pub fn open_again(&mut self, at: &Placement, name: &str, zone: &str) -> Placement {
        self.session(Some(at.instance), name, zone)
    }

    fn session(&mut self, instance: Option<ContainerInstanceId>, name: &str, zone: &str) -> Placement {
        let registration = Box::new(registration(name, zone));
        match self.propose(Command::OpenSession { instance, registration }) {
            Ok(Outcome::Session { instance, epoch }) => Placement { instance, epoch },
            other => panic!("no session: {other:?}"),
        }
    }
}

/// What an agent says of a task of which it knows nothing but the status.
pub fn report(task: TaskId, status: TaskStatus) -> TaskReport {
    TaskReport {
        task,
        status,
        containers: Vec::new(),
        stop_code: None,
        stopped_reason: None,
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    }
}

pub fn log_group(name: &str) -> LogGroupKey {
    LogGroupKey { scope: Scope::development(), name: name.to_owned() }
}

/// A time at which something is due, without a window.
pub fn due_at(millis: u64) -> Due {
    Due { at: Timestamp::from_millis(millis), fires_at: Timestamp::from_millis(millis) }
}

/// A target that runs one task of `web:1`.
pub fn schedule_target(id: &str) -> Target {
    Target {
        id: id.to_owned(),
        described: r#"{"Arn":"c"}"#.to_owned(),
        invokes: Invocation::Tasks(Box::new(TargetTasks {
            cluster: cluster("default"),
            scope: Scope::development(),
            family: Family::new("web").unwrap(),
            revision: Some(1),
            count: 1,
            overrides: TaskOverrides::default(),
            group: None,
            launching: Some(Launching::Strategy(vec![StrategyItem {
                provider: provider("machines").name,
                weight: 2,
                base: 1,
            }])),
            network: None,
            rules: PlacementRules::default(),
            tags: Tags::new(),
            propagates: true,
            managed_tags: false,
            allows_commands: false,
        })),
        input: TargetInput::Event,
        retry: RetryPolicy::default(),
    }
}

pub fn schedule_spec(target: Target) -> ScheduleSpec {
    ScheduleSpec {
        expression: "cron(0 12 * * ? *)".to_owned(),
        zone: "UTC".to_owned(),
        start: None,
        end: Some(Timestamp::from_millis(9_000)),
        window_minutes: 0,
        enabled: true,
        delete_after: false,
        description: None,
        kms_key_arn: None,
        anchor: Timestamp::from_millis(5),
        target,
    }
}

pub fn rule_spec() -> RuleSpec {
    RuleSpec {
        expression: Some("rate(1 minute)".to_owned()),
        pattern: Some(r#"{"source":["aws.ecs"]}"#.to_owned()),
        enabled: true,
        description: Some("d".to_owned()),
        role_arn: None,
        anchor: Timestamp::from_millis(5),
    }
}

pub fn connection(name: &str) -> ConnectionKey {
    ConnectionKey { scope: Scope::development(), name: name.to_owned() }
}

pub fn connection_spec() -> ConnectionSpec {
    let secret = || SealedSecret { nonce: [1; 12], ciphertext: vec![2, 3] };
    ConnectionSpec {
        description: Some("d".to_owned()),
        authorization: Authorization::Basic { username: "u".to_owned(), password: secret() },
        parameters: vec![HttpParameter {
            place: HttpPlace::Query,
            name: "q".to_owned(),
            value: secret(),
            is_secret: true,
        }],
    }
}

pub fn destination(name: &str) -> ApiDestinationKey {
    ApiDestinationKey { scope: Scope::development(), name: name.to_owned() }
}

pub fn destination_spec(connection: ConnectionKey) -> ApiDestinationSpec {
    ApiDestinationSpec {
        description: None,
        connection,
        endpoint: "https://events.test/*".to_owned(),
        method: "POST".to_owned(),
        rate: 300,
    }
}

/// A target that calls a destination.
pub fn called(id: &str, destination: ApiDestinationKey) -> Target {
    let text = |text: &str| text.to_owned();
    let call = ApiDestinationCall {
        destination,
        path_values: vec![text("a b")],
        headers: BTreeMap::from([(text("x-h"), text("1"))]),
        query: BTreeMap::from([(text("q"), text("2"))]),
    };
    Target {
        id: text(id),
        described: text("{}"),
        invokes: Invocation::ApiDestination(call),
        input: TargetInput::Template {
            paths: BTreeMap::from([(text("task"), text("$.detail.taskArn"))]),
            template: text("<task>"),
        },
        retry: RetryPolicy::default(),
    }
}
