//! The bytes of each event kind, as first released. A change here breaks every log that was ever written: add a version
//! instead. `UPDATE_EXPECT=1` writes lines for kinds that have none yet, and touches no other.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "golden/configuration.rs"]
mod configuration;
#[path = "golden/scaling.rs"]
mod scaling;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use configuration::{configuration_events, network_events, placement_events};
use scaling::{alarm_events, autoscaling_events, capacity_events, delivery_events, schedule_events};
use support::*;
use trireme_state::command::{Command, TaggedResource, TaskReport};
use trireme_state::event::{DeploymentEvent, ExecuteCommandEvent, LogGroupEvent};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/events-v1.txt");

fn text(text: &str) -> String {
    text.to_owned()
}

fn task_id() -> TaskId {
    TaskId::from_bits(0x1111)
}

fn instance_id() -> ContainerInstanceId {
    ContainerInstanceId::from_bits(0x2222)
}

fn deployment_id() -> DeploymentId {
    DeploymentId::from_random(0x3333)
}

fn report() -> ContainerReport {
    ContainerReport {
        name: ContainerName::new("main").unwrap(),
        runtime_id: Some(text("c0ffee")),
        image_digest: Some(text("sha256:00")),
        status: TaskStatus::Running,
        exit_code: Some(-1),
        reason: Some(text("OutOfMemoryError: x")),
        network_bindings: vec![NetworkBinding {
            bind_ip: text("0.0.0.0"),
            container_port: Port::new(80),
            host_port: Port::new(32768),
            protocol: Protocol::Udp,
        }],
    }
}

fn task() -> Task {
    let at = |millis| Some(Timestamp::from_millis(millis));
    Task {
        id: task_id(),
        cluster: cluster("default"),
        definition: definition("web", 3),
        origin: TaskOrigin::Service { name: service("web").name, deployment: deployment_id() },
        instance: instance_id(),
        zone: Zone::new("us-east-1a").unwrap(),
        reservation: Reservation {
            cpu: CpuUnits::new(100),
            memory: Mebibytes::new(64),
            ports: vec![(Protocol::Tcp, Port::new(8080))],
        },
        overrides: TaskOverrides {
            containers: vec![ContainerOverride {
                name: ContainerName::new("main").unwrap(),
                command: Some(vec![text("sh")]),
                environment: vec![(text("A"), text("b"))],
                cpu: Some(CpuUnits::new(1)),
                memory: None,
                memory_reservation: Some(Mebibytes::new(2)),
            }],
            cpu: Some(CpuUnits::new(256)),
            memory: Some(Mebibytes::new(512)),
            task_role_arn: Some(text("arn:aws:iam::123456789012:role/t")),
            execution_role_arn: None,
        },
        group: text("service:web"),
        started_by: Some(text("ecs-svc/1")),
        tags: Tags::from([(text("k"), text("v"))]),
        desired_status: DesiredStatus::Running,
        last_status: TaskStatus::Pending,
        times: TaskTimes {
            created_at: Timestamp::from_millis(1),
            pull_started_at: at(2),
            pull_stopped_at: at(3),
            started_at: at(4),
            stopping_at: at(5),
            execution_stopped_at: at(6),
            stopped_at: at(7),
        },
        stop_code: Some(StopCode::UserInitiated),
        stopped_reason: Some(text("because")),
        containers: vec![report()],
        version: 9,
    }
}

fn described(member: &str, json: &str) -> Described {
    Described::from([(text(member), text(json))])
}

fn full_container() -> ContainerDefinition {
    ContainerDefinition {
        memory_reservation: Some(Mebibytes::new(32)),
        entry_point: Some(vec![text("/bin/sh")]),
        command: Some(vec![text("-c"), text("true")]),
        environment: vec![(text("A"), text("b"))],
        working_directory: Some(text("/srv")),
        user: Some(text("1000:1000")),
        hostname: Some(text("host")),
        docker_labels: BTreeMap::from([(text("l"), text("m"))]),
        stop_timeout: Some(5),
        readonly_root_filesystem: Some(true),
        interactive: Some(false),
        pseudo_terminal: Some(true),
        described: described("privileged", "false"),
        ..container("main", Some(8080))
    }
}

fn task_events() -> Vec<Event> {
    let reason = || text("because");
    vec![
        Event::TaskCreated { task: Box::new(task()) },
        Event::TaskStopRequested { task: task_id(), code: StopCode::TaskFailedToStart, reason: reason() },
        Event::TaskProgressed {
            report: Box::new(TaskReport {
                task: task_id(),
                status: TaskStatus::Stopped,
                containers: vec![report()],
                stop_code: Some(StopCode::EssentialContainerExited),
                stopped_reason: Some(reason()),
                pull_started_at: Some(Timestamp::from_millis(1)),
                pull_stopped_at: Some(Timestamp::from_millis(2)),
                execution_stopped_at: Some(Timestamp::from_millis(3)),
            }),
        },
        Event::TaskLost { task: task_id(), code: StopCode::InfrastructureHealth, reason: reason() },
        Event::TaskReaped { task: task_id() },
        Event::SessionOpened {
            instance: instance_id(),
            epoch: SessionEpoch::new(2),
            registration: Box::new(registration("agent-1", "us-east-1a")),
        },
        Event::InstanceLost { instance: instance_id(), epoch: SessionEpoch::new(3) },
        Event::InstanceStatusChanged { instance: instance_id(), status: InstanceStatus::Draining },
        Event::InstanceDeregistered { instance: instance_id() },
    ]
}

fn service_events() -> Vec<Event> {
    let key = || service("web");
    let back_off = BackOff { failures: 2, not_before: Timestamp::from_millis(9) };
    vec![
        Event::ServiceCreated {
            key: key(),
            spec: ServiceSpec {
                health_check_grace_period_seconds: Some(7),
                role_arn: Some(text("arn")),
                described: described("placementStrategy", "[]"),
                propagate_tags: PropagateTags::Service,
                ..spec(definition("web", 1), 6)
            },
            tags: Tags::from([(text("k"), text("v"))]),
            created_by: text("arn:aws:iam::123456789012:root"),
            deployment: deployment_id(),
        },
        Event::ServiceUpdated {
            key: key(),
            spec: spec(definition("web", 2), 3),
            deployment: Some(deployment_id()),
        },
        Event::ServiceDraining { key: key() },
        Event::ServiceInactive { key: key() },
        Event::ServiceEventRecorded { key: key(), id: 5, message: text("(service web) …") },
        Event::ServiceSteadinessChanged { key: key(), steady: true },
        Event::DeploymentProgressed {
            key: key(),
            deployment: deployment_id(),
            rollout: RolloutState::Completed,
        },
        Event::DeploymentRetired { key: key(), deployment: deployment_id() },
        Event::ServiceDeploymentStarted {
            key: key(),
            deployment: deployment_id(),
            revision: ServiceRevisionId::of(DeploymentId::from_random(0x4444)),
            sources: vec![ServiceRevisionId::of(DeploymentId::from_random(0x5555))],
        },
        Event::ServiceDeploymentRolledBack {
            key: key(),
            deployment: deployment_id(),
            by: DeploymentId::from_random(0x6666),
            revision: ServiceRevisionId::of(DeploymentId::from_random(0x5555)),
            reason: text("because"),
        },
        Event::DeploymentBackedOff {
            key: key(),
            deployment: deployment_id(),
            back_off: Some(back_off),
            failed_tasks: 4,
        },
    ]
}

fn task_set_events() -> Vec<Event> {
    // Beside the service of the other events, whose deployments are not task sets.
    let key = || service("external");
    let id = DeploymentId::from_random(0x7777);
    let set = TaskSet {
        id,
        spec: TaskSetSpec {
            task_definition: definition("web", 2),
            scale: Scale::from_percent(33.3).unwrap(),
            external_id: Some(text("release-7")),
            described: described("loadBalancers", "[]"),
        },
        status: TaskSetStatus::Active,
        tags: Tags::from([(text("k"), text("v"))]),
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(2),
        steady: true,
        steady_changed_at: Timestamp::from_millis(3),
        completed: true,
        failed_tasks: 4,
        back_off: Some(BackOff { failures: 2, not_before: Timestamp::from_millis(9) }),
    };
    vec![
        Event::ServiceWithTaskSetsCreated {
            key: key(),
            spec: spec(TaskDefinitionKey::none(&Scope::development()), 3),
            tags: Tags::from([(text("k"), text("v"))]),
            created_by: text("arn:aws:iam::123456789012:root"),
        },
        Event::TaskSetCreated { key: key(), set: Box::new(set) },
        Event::TaskSetScaled { key: key(), id, scale: Scale::WHOLE },
        Event::TaskSetDraining { key: key(), id },
        Event::TaskSetDeleted { key: key(), id },
        Event::PrimaryTaskSetChanged { key: key(), id },
        Event::TaskSetBackedOff { key: key(), id, back_off: None, failed_tasks: 5 },
        Event::TaskSetSteadinessChanged { key: key(), id, steady: true },
        Event::TaskSetTagged { key: key(), id, tags: Tags::from([(text("k"), text("w"))]) },
    ]
}

/// Commands in containers.
fn command_events() -> Vec<Event> {
    vec![
        Event::ExecuteCommand(ExecuteCommandEvent::CommandStarted {
            execution: 7,
            task: task_id(),
            container: ContainerName::new("main").unwrap(),
            command: vec![text("sh"), text("-c")],
            by: text("ops@host"),
            forced: true,
        }),
        Event::ExecuteCommand(ExecuteCommandEvent::CommandEnded {
            execution: 7,
            task: task_id(),
            container: ContainerName::new("main").unwrap(),
            exit_code: Some(3),
            reason: text("gone"),
        }),
        Event::ExecuteCommand(ExecuteCommandEvent::TasksAllowCommands { tasks: vec![task_id()] }),
    ]
}

fn log_group_events() -> Vec<Event> {
    vec![
        Event::LogGroup(LogGroupEvent::LogGroupCreated {
            key: log_group("/web"),
            tags: Tags::from([(text("k"), text("v"))]),
        }),
        Event::LogGroup(LogGroupEvent::LogGroupDeleted { key: log_group("/web") }),
        Event::LogGroup(LogGroupEvent::LogGroupRetentionChanged { key: log_group("/web"), days: Some(30) }),
        Event::LogGroup(LogGroupEvent::LogGroupTagged {
            key: log_group("/web"),
            tags: Tags::from([(text("k"), text("w"))]),
        }),
    ]
}

fn deployment_events() -> Vec<Event> {
    let (key, deployment) = (|| service("web"), deployment_id());
    let events = vec![
        DeploymentEvent::LifecycleStageEntered {
            key: key(),
            deployment,
            stage: LifecycleStage::PostScaleUp,
            hooks: vec![LifecycleHook {
                id: 0x77,
                status: HookStatus::AwaitingAction,
                expires_at: Timestamp::from_millis(86_400_000),
                timeout_action: HookAction::Continue,
            }],
        },
        DeploymentEvent::LifecycleHookEnded {
            key: key(),
            deployment,
            hook: 0x77,
            status: HookStatus::TimedOut,
        },
        DeploymentEvent::TaskFailuresCounted {
            key: key(),
            deployment,
            failures: TaskFailures {
                count: 3,
                seen_to: Timestamp::from_millis(5),
                seen_then: 2,
                healthy_at: Some(Timestamp::from_millis(4)),
            },
        },
        DeploymentEvent::DeploymentFailed {
            key: key(),
            deployment,
            cause: FailureCause::HookFailed(LifecycleStage::PreScaleUp),
            record: Some((ServiceDeploymentStatus::Stopped, text("why"))),
        },
    ];
    events.into_iter().map(Event::Deployment).collect()
}

/// One event of each kind, with something in every member.
fn samples() -> Vec<Event> {
    let spec = TaskDefinitionSpec {
        containers: vec![full_container()],
        network_mode: Some(NetworkMode::Host),
        cpu: Some(CpuUnits::new(256)),
        memory: Some(Mebibytes::new(512)),
        requires_compatibilities: vec![Compatibility::Ec2, Compatibility::External],
        task_role_arn: Some(text("t")),
        execution_role_arn: Some(text("e")),
        described: described("runtimePlatform", "{}"),
    };
    let mut events = vec![
        Event::ClusterCreated { cluster: cluster("prod"), tags: Tags::from([(text("k"), text("v"))]) },
        Event::ClusterDeleted { cluster: cluster("prod") },
        Event::TaskDefinitionRegistered {
            key: definition("web", 1),
            spec: Arc::new(spec),
            tags: Tags::from([(text("k"), text("v"))]),
            registered_by: text("arn"),
        },
        Event::TaskDefinitionDeregistered { key: definition("web", 1) },
        Event::ResourceTagged {
            resource: TaggedResource::Service(service("web")),
            tags: Tags::from([(text("k"), text("v"))]),
        },
        Event::ResourceUntagged { resource: TaggedResource::Task(task_id()), keys: vec![text("k")] },
        Event::RequestRecorded { key: key("token", 8), outcome: Outcome::Tasks(vec![task_id()]) },
        Event::AccessKeyCreated {
            key: Box::new(AccessKey {
                id: AccessKeyId::new("AKIA"),
                account: AccountId::development(),
                principal: text("arn"),
                secret: SealedSecret { nonce: [1; 12], ciphertext: vec![2, 3] },
                created_at: Timestamp::from_millis(4),
            }),
        },
        Event::Reset {},
        Event::FeatureLevelRaised { level: FeatureLevel::new(2) },
        Event::RetentionSet { retention: Retention { events: 5_000, millis: 60_000 } },
        Event::HistoryTrimmed { to: Sequence::new(4_096) },
        Event::ClusterRestored {
            incarnation: 2,
            source: RestoreSource::Survivor { node_id: 3, log_index: 70_000, log_term: 9 },
        },
    ];
    events.extend(configuration_events());
    events.extend(network_events());
    events.extend(placement_events());
    events.extend(capacity_events());
    events.extend(deployment_events());
    events.extend(log_group_events());
    events.extend(alarm_events());
    events.extend(schedule_events());
    events.extend(delivery_events());
    events.extend(command_events());
    events.extend(autoscaling_events());
    events.extend(service_events());
    events.extend(task_set_events());
    events.extend(task_events());
    events
}

#[test]
fn every_kind_keeps_its_bytes() {
    let stored = std::fs::read_to_string(FILE).unwrap_or_default();
    let mut golden: BTreeMap<u32, String> = stored
        .lines()
        .filter_map(|line| Some((line.split(' ').next()?.parse().ok()?, line.to_owned())))
        .collect();
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let events = samples();
    for (kind, name) in codec::KINDS {
        let event = events.iter().find(|event| event.kind() == *kind);
        let event = event.unwrap_or_else(|| panic!("no sample of {name}: add one"));
        let line = format!("{kind} {name} {}", hex::encode(codec::encode_event(event)));
        if update {
            golden.entry(*kind).or_insert_with(|| line.clone());
        }
        assert_eq!(golden.get(kind), Some(&line), "{name}: its layout changed; add a version instead");
        let bytes = hex::decode(line.rsplit(' ').next().unwrap()).unwrap();
        assert_eq!(codec::decode_event(&bytes).as_ref(), Ok(event));
    }
    if update {
        let lines: String = golden.values().map(|line| format!("{line}\n")).collect();
        std::fs::write(FILE, lines).unwrap();
    }
}

const STORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/story-v1.txt");

/// A short life of a cluster, the same each time: its log, and the snapshot that it leads to.
fn story() -> Node {
    let mut node = Node::new();
    let at = node.open("agent-1", "us-east-1a");
    node.propose(register("web", Some(8080))).unwrap();
    node.propose_with(create_service("web", definition("web", 1), 1), Some(key("token", 1))).unwrap();
    let found = node.state.service(&service("web")).unwrap().clone();
    let start = Command::StartServiceTasks {
        service: service("web"),
        version: found.version,
        deployment: found.deployments[0].id,
        placements: vec![at.clone()],
    };
    node.propose(start).unwrap();
    let reason = text("silent");
    node.propose(Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason }).unwrap();
    node.propose(Command::DeleteService { key: service("web"), force: true }).unwrap();
    node
}

/// A newer binary replays an older log to the same state: the lines are `at actor request event…`, the last two
/// are the snapshot and the state's hash.
#[test]
fn an_old_log_replays_to_the_recorded_snapshot() {
    if std::env::var_os("UPDATE_EXPECT").is_some() && !std::path::Path::new(STORY).exists() {
        let node = story();
        let mut lines = String::new();
        for entry in &node.log {
            let events: Vec<String> = entry.events.iter().map(|event| hex::encode(event.bytes())).collect();
            lines.push_str(&format!("{} {}\n", entry.at.millis(), events.join(" ")));
        }
        lines.push_str(&format!("{}\n", hex::encode(codec::encode_snapshot(&node.state))));
        lines.push_str(&format!("{}\n", hash::state_hash(&node.state)));
        std::fs::write(STORY, lines).unwrap();
    }
    let stored = std::fs::read_to_string(STORY).unwrap();
    let (rest, recorded_hash) = stored.trim_end().rsplit_once('\n').unwrap();
    let (log, snapshot) = rest.rsplit_once('\n').unwrap();
    let mut state = State::new();
    for (number, line) in log.lines().enumerate() {
        let (at, events) = line.split_once(' ').unwrap();
        let open = |event| SealedEvent::open(hex::decode(event).unwrap().into()).unwrap();
        let entry = Entry {
            base: state.position(),
            at: Timestamp::from_millis(at.parse().unwrap()),
            actor: Actor::Operator,
            request_id: RequestId::from_bits(number as u128),
            events: events.split(' ').map(open).collect(),
        };
        assert_eq!(apply_entry(&mut state, &entry), Applied::Applied);
    }
    assert_eq!(hex::encode(codec::encode_snapshot(&state)), snapshot);
    assert_eq!(hash::state_hash(&state).to_string(), recorded_hash);
    assert_eq!(codec::decode_snapshot(&hex::decode(snapshot).unwrap()), Ok(state));
}
