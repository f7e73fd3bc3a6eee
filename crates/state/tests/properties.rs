//! Any sequence of commands keeps the invariants, and replay gives equal state and equal snapshot bytes, also through a
//! snapshot half-way.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "properties/alarms.rs"]
mod alarms;
#[path = "properties/autoscaling.rs"]
mod autoscaling;
#[path = "properties/capacity.rs"]
mod capacity;
#[path = "properties/configuration.rs"]
mod configuration;
#[path = "properties/deployments.rs"]
mod deployments;
#[path = "properties/gpus.rs"]
mod gpus;
#[path = "properties/schedules.rs"]
mod schedules;
#[path = "properties/subnets.rs"]
mod subnets;
mod support;
#[path = "properties/task_sets.rs"]
mod task_sets;

use alarms::{alarm_command, alarm_step};
use autoscaling::{autoscaling_command, autoscaling_step};
use capacity::{capacity_command, capacity_step, run_on};
use configuration::{configuration_command, configuration_step};
use deployments::{deployment_command, deployment_step};
use gpus::{gpu_command, gpu_step};
use proptest::prelude::*;
use schedules::{schedule_command, schedule_step};
use subnets::{subnet_command, subnet_step};
use support::*;
use task_sets::{task_set_command, task_set_step};
use trireme_state::command::{
    AutoScalingGroupChange, ClusterChange, Command, InstanceAttribute, LogGroupChange, ServiceChange,
    ServiceProgress, TaskHealthReport, TaskImages, TaskReport,
};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

/// A step names its objects by a number; the test takes the one that many places along in the state.
#[derive(Debug, Clone)]
enum Step {
    Schedule { name: u8, delete: bool },
    Rule { name: u8, delete: bool },
    Fire { trigger: usize, instance: usize, defer: bool, next: u64, on: Option<(u8, usize)> },
    Deliver { delivery: usize, ahead: u64, instance: Option<usize> },
    Connect { name: u8, delete: bool },
    Register { family: u8, port: Option<u16> },
    Deregister { family: u8, revision: u32 },
    CreateService { name: u8, family: u8, count: u32, token: Option<u8> },
    UpdateService { name: u8, count: Option<u32>, revision: Option<u32>, force: bool },
    DeleteService { name: u8, force: bool },
    Open { zone: u8 },
    Reopen { instance: usize, zone: u8 },
    Lose { instance: usize, stale: bool },
    Away { instance: usize, seconds: u64 },
    Patience { seconds: Option<u64> },
    Drain { instance: usize, drain: bool },
    DeregisterInstance { instance: usize, force: bool },
    Run { family: u8, instances: Vec<usize>, token: Option<u8> },
    Start { name: u8, instances: Vec<usize> },
    StopSome { name: u8, tasks: Vec<usize> },
    Stop { task: usize },
    Report { task: usize, status: usize, exit: Option<i32> },
    Health { task: usize, healthy: Option<bool> },
    Pin { task: usize, image: u8 },
    Retire { name: u8 },
    Reap { task: usize },
    Tag { task: usize },
    DeleteCluster,
    Trim { back: u64 },
    Retain { events: u64 },
    Wait { seconds: u64 },
    Reset,
    Raise,
    Configure { insights: bool, provider: Option<u8> },
    Provider { name: u8, step: Option<u32> },
    DropProvider { name: u8 },
    Attribute { instance: usize, name: u8, delete: bool },
    Protect { task: usize, minutes: Option<u32> },
    Setting { principal: Option<u8>, value: Option<u8> },
    LogGroup { name: u8, days: Option<u32>, delete: bool },
    DeleteDefinition { family: u8, revision: u32 },
    Forget { family: u8, revision: u32 },
    RegisterInstance { zone: u8, again: Option<usize> },
    RollBack { name: u8, back: usize },
    Describe { name: u8, value: Option<u8> },
    Complete { name: u8 },
    CreateExternal { name: u8, count: u32 },
    CreateSet { name: u8, family: u8, percent: u8, token: Option<u8> },
    ScaleSet { name: u8, set: usize, percent: u8 },
    DeleteSet { name: u8, set: usize, force: bool },
    Choose { name: u8, set: usize },
    StartOfSet { name: u8, set: usize, instances: Vec<usize> },
    TagSet { name: u8, set: usize },
    RecordSet { name: u8, set: usize, steady: Option<bool>, gone: bool },
    AddSubnet { number: u8, zone: u8 },
    RemoveSubnet { number: u8 },
    RunInSubnets { instances: Vec<usize>, subnets: Vec<u8> },
    ServeInSubnets { name: u8, subnets: Vec<u8> },
    Ask { name: u8, beside: bool },
    Live { name: u8, stage: Option<usize>, failed: Option<u8>, failures: u32 },
    Answer { name: u8, back: usize, on: bool },
    StartOf { name: u8, back: usize, instances: Vec<usize> },
    Bound { name: u8, min: u32, more: u32 },
    Policy { name: u8, step: bool, value: u32 },
    Scale { name: u8, to: u32, seen: bool },
    Action { name: u8, what: u8 },
    Unscale { name: u8, what: u8 },
    PutAlarm { name: u8, threshold: u32 },
    MoveAlarm { name: u8, state: u8, seen: bool },
    EndAlarm { name: u8, delete: bool },
    Listen { name: u8, rollback: bool },
    Fit { instance: usize, count: usize },
    RunWithGpus { instances: Vec<usize>, count: u32 },
    OpenManaged { zone: u8 },
    Join { instance: usize, leave: bool },
    Grow { name: u8 },
    RunOn { instances: Vec<usize>, provider: Option<u8>, waiting: usize, token: Option<u8> },
    PlaceWaiting { run: usize, instance: usize },
    EndWaiting { run: usize, how: u8 },
    Size { name: u8, wanted: u32, instance: usize, idle: bool },
    ServeOn { name: u8, provider: Option<u8> },
    StartOn { name: u8, instances: Vec<usize>, provider: Option<u8> },
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0u8..3;
    let at = || 0usize..6;
    let port = || proptest::option::of(8080u16..8083);
    prop_oneof![
        3 => (name(), port()).prop_map(|(family, port)| Step::Register { family, port }),
        1 => (name(), 1u32..4).prop_map(|(family, revision)| Step::Deregister { family, revision }),
        3 => (name(), name(), 0u32..5, proptest::option::of(0u8..3))
            .prop_map(|(name, family, count, token)| Step::CreateService { name, family, count, token }),
        3 => (name(), proptest::option::of(0u32..5), proptest::option::of(1u32..4), any::<bool>())
            .prop_map(|(name, count, revision, force)| Step::UpdateService { name, count, revision, force }),
        1 => (name(), any::<bool>()).prop_map(|(name, force)| Step::DeleteService { name, force }),
        2 => (0u8..3).prop_map(|zone| Step::Open { zone }),
        2 => (at(), 0u8..3).prop_map(|(instance, zone)| Step::Reopen { instance, zone }),
        2 => (at(), any::<bool>()).prop_map(|(instance, stale)| Step::Lose { instance, stale }),
        2 => (at(), 1u64..900).prop_map(|(instance, seconds)| Step::Away { instance, seconds }),
        1 => proptest::option::of(1u64..60).prop_map(|seconds| Step::Patience { seconds }),
        1 => (at(), any::<bool>()).prop_map(|(instance, drain)| Step::Drain { instance, drain }),
        1 => (at(), any::<bool>()).prop_map(|(instance, force)| Step::DeregisterInstance { instance, force }),
        4 => (name(), proptest::collection::vec(at(), 1..4), proptest::option::of(0u8..3))
            .prop_map(|(family, instances, token)| Step::Run { family, instances, token }),
        6 => (name(), proptest::collection::vec(at(), 1..4))
            .prop_map(|(name, instances)| Step::Start { name, instances }),
        2 => (name(), proptest::collection::vec(0usize..20, 1..4))
            .prop_map(|(name, tasks)| Step::StopSome { name, tasks }),
        1 => (0usize..20).prop_map(|task| Step::Stop { task }),
        10 => (0usize..20, 0usize..8, proptest::option::of(0i32..3))
            .prop_map(|(task, status, exit)| Step::Report { task, status, exit }),
        3 => (0usize..20, proptest::option::of(any::<bool>()))
            .prop_map(|(task, healthy)| Step::Health { task, healthy }),
        3 => (0usize..20, 0u8..3).prop_map(|(task, image)| Step::Pin { task, image }),
        3 => name().prop_map(|name| Step::Retire { name }),
        2 => (0usize..20).prop_map(|task| Step::Reap { task }),
        1 => (0usize..20).prop_map(|task| Step::Tag { task }),
        1 => Just(Step::DeleteCluster),
        1 => (0u64..50).prop_map(|back| Step::Trim { back }),
        1 => (900u64..1_100).prop_map(|events| Step::Retain { events }),
        1 => (1u64..200).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Reset),
        2 => Just(Step::Raise),
        9 => configuration_step(),
        8 => task_set_step(),
        8 => subnet_step(),
        8 => gpu_step(),
        6 => alarm_step(),
        6 => autoscaling_step(),
        6 => schedule_step(),
        8 => deployment_step(),
        10 => capacity_step(),
    ]
}

fn family(number: u8) -> String {
    format!("family-{number}")
}

fn service_name(number: u8) -> ServiceKey {
    service(&format!("service-{number}"))
}

fn placement(state: &State, number: usize) -> Option<Placement> {
    let count = state.instances().count();
    let instance = state.instances().nth(number.checked_rem(count)?)?;
    Some(Placement { instance: instance.id, epoch: instance.epoch })
}

fn task(state: &State, number: usize) -> Option<TaskId> {
    let count = state.tasks().count();
    state.tasks().nth(number.checked_rem(count)?).map(|task| task.id)
}

fn placements(state: &State, numbers: &[usize]) -> Vec<Placement> {
    numbers.iter().filter_map(|number| placement(state, *number)).collect()
}

fn update_service(
    state: &State,
    name: u8,
    count: Option<u32>,
    revision: Option<u32>,
    force: bool,
) -> Option<Command> {
    let old = state.service(&service_name(name))?;
    let task_definition =
        revision.map(|revision| TaskDefinitionKey { revision, ..old.spec.task_definition.clone() });
    let change = ServiceChange {
        desired_count: count,
        task_definition,
        force_new_deployment: force,
        ..ServiceChange::default()
    };
    Some(Command::UpdateService { key: service_name(name), change })
}

/// The command of a step, if its objects are there.
fn command(state: &State, step: &Step) -> Option<Command> {
    Some(match step {
        Step::Register { family: f, port } => register(&family(*f), *port),
        Step::Deregister { family: f, revision } => {
            Command::DeregisterTaskDefinition { key: definition(&family(*f), *revision) }
        }
        Step::CreateService { name, family: f, count, .. } => {
            let Command::CreateService { spec, tags, created_by, .. } =
                create_service("x", definition(&family(*f), 1), *count)
            else {
                return None;
            };
            Command::CreateService { key: service_name(*name), spec, tags, created_by }
        }
        Step::UpdateService { name, count, revision, force } => {
            update_service(state, *name, *count, *revision, *force)?
        }
        Step::DeleteService { name, force } => {
            Command::DeleteService { key: service_name(*name), force: *force }
        }
        Step::Run { family: f, instances, .. } => {
            let run = run_tasks(definition(&family(*f), 1), placements(state, instances));
            match instances.len() {
                1 if state.level() >= FeatureLevel::NODE_SERVICES => {
                    Command::RunAllowingCommands(Box::new(run))
                }
                2 if state.level() >= FeatureLevel::SERVICES => {
                    let constraints = vec![PlacementConstraint::DistinctInstance];
                    let rules = Box::new(PlacementRules { constraints, strategy: Vec::new() });
                    Command::RunTasksByRules { run: Box::new(run), rules }
                }
                _ => run,
            }
        }
        Step::Start { name, instances } => {
            let found = state.service(&service_name(*name))?;
            Command::StartServiceTasks {
                service: service_name(*name),
                version: found.version,
                deployment: found.deployments.first()?.id,
                placements: placements(state, instances),
            }
        }
        Step::StopSome { name, tasks } => Command::StopServiceTasks {
            service: service_name(*name),
            version: state.service(&service_name(*name))?.version,
            tasks: tasks.iter().filter_map(|number| task(state, *number)).collect(),
            reason: "Scaling activity".to_owned(),
        },
        Step::Stop { task: number } => {
            Command::StopTask { cluster: cluster("default"), task: task(state, *number)?, reason: None }
        }
        Step::Reap { task: number } => Command::ReapTasks { tasks: vec![task(state, *number)?] },
        Step::Tag { task: number } => Command::TagResource {
            resource: command::TaggedResource::Task(task(state, *number)?),
            tags: Tags::from([("k".to_owned(), number.to_string())]),
        },
        Step::Trim { back } => {
            Command::TrimHistory { to: Sequence::new(state.position().sequence.get().saturating_sub(*back)) }
        }
        Step::Retain { events } => {
            // One, the other, or both.
            let millis = (events % 3 != 0).then_some(1_000 + events % 7);
            Command::SetRetention { events: (events % 3 != 1).then_some(*events), millis }
        }
        Step::DeleteCluster => Command::DeleteCluster { cluster: cluster("default") },
        Step::Reset => Command::Reset,
        Step::Raise => Command::RaiseFeatureLevel { level: FeatureLevel::LATEST },
        Step::Wait { .. } => return None,
        other => return other_command(state, other),
    })
}

/// Of the steps that have rooms of their own.
fn other_command(state: &State, step: &Step) -> Option<Command> {
    instance_command(state, step)
        .or_else(|| configuration_command(state, step))
        .or_else(|| task_set_command(state, step))
        .or_else(|| subnet_command(state, step))
        .or_else(|| gpu_command(state, step))
        .or_else(|| alarm_command(state, step))
        .or_else(|| autoscaling_command(state, step))
        .or_else(|| schedule_command(state, step))
        .or_else(|| deployment_command(state, step))
        .or_else(|| capacity_command(state, step))
}

/// An agent says that all images of its task are this one.
fn pin(state: &State, number: usize, image: u8) -> Option<Command> {
    let found = state.task(task(state, number)?)?;
    let pin = ImagePin::Manifest(ContentDigest::from_bytes([image; 32]));
    let images = found.containers.iter().map(|container| (container.name.clone(), pin)).collect();
    let epoch = state.instance(found.instance)?.epoch;
    let images = vec![TaskImages { task: found.id, images }];
    Some(Command::PinImages { instance: found.instance, epoch, images })
}

/// An agent says what the check of its task's first container says.
fn health(state: &State, number: usize, healthy: Option<bool>) -> Option<Command> {
    let found = state.task(task(state, number)?)?;
    let status = healthy.map(|well| if well { HealthStatus::Healthy } else { HealthStatus::Unhealthy });
    let of_first = found.containers.first().zip(status);
    let health = of_first.map(|(container, status)| (container.name.clone(), status));
    let report = TaskHealthReport { task: found.id, health: health.into_iter().collect() };
    let epoch = state.instance(found.instance)?.epoch;
    Some(Command::ReportTaskHealth { instance: found.instance, epoch, reports: vec![report] })
}

fn instance_command(state: &State, step: &Step) -> Option<Command> {
    let zone = |number: u8| format!("us-east-1{}", char::from(b'a' + number));
    Some(match step {
        Step::Open { zone: number } => Command::OpenSession {
            instance: None,
            registration: Box::new(registration("agent", &zone(*number))),
        },
        Step::Reopen { instance, zone: number } => {
            let id = placement(state, *instance)?.instance;
            let before = state.instance(id)?.registration.clone();
            let registration =
                Box::new(InstanceRegistration { zone: Zone::new(&zone(*number)).ok()?, ..before });
            Command::OpenSession { instance: Some(id), registration }
        }
        Step::Lose { instance, stale } => {
            let Placement { instance, epoch } = placement(state, *instance)?;
            let epoch = if *stale { epoch.next() } else { epoch };
            Command::LoseInstance { instance, epoch, reason: "silent".to_owned() }
        }
        Step::Drain { instance, drain } => Command::SetInstanceStatus {
            cluster: cluster("default"),
            instance: placement(state, *instance)?.instance,
            status: if *drain { InstanceStatus::Draining } else { InstanceStatus::Active },
        },
        Step::DeregisterInstance { instance, force } => Command::DeregisterInstance {
            cluster: cluster("default"),
            instance: placement(state, *instance)?.instance,
            force: *force,
        },
        Step::Report { task: number, status, exit } => {
            let found = state.task(task(state, *number)?)?;
            let containers = found.containers.iter().cloned().map(|known| ContainerReport {
                exit_code: *exit,
                runtime_id: Some("id".to_owned()),
                ..known
            });
            let report = TaskReport {
                task: found.id,
                status: TaskStatus::ALL[*status],
                containers: containers.collect(),
                stop_code: exit.map(|_| StopCode::EssentialContainerExited),
                stopped_reason: exit.map(|_| "Essential container in task exited".to_owned()),
                pull_started_at: None,
                pull_stopped_at: None,
                execution_stopped_at: None,
            };
            let epoch = state.instance(found.instance)?.epoch;
            Command::ReportTasks { instance: found.instance, epoch, reports: vec![report] }
        }
        Step::Health { task: number, healthy } => health(state, *number, *healthy)?,
        Step::Pin { task: number, image } => pin(state, *number, *image)?,
        Step::Retire { name } => {
            let found = state.service(&service_name(*name))?;
            let progress = ServiceProgress {
                retired: found.deployments.iter().skip(1).map(|one| one.id).collect(),
                inactive: found.status == ServiceStatus::Draining,
                ..ServiceProgress::default()
            };
            let version = found.version;
            Command::RecordProgress { service: service_name(*name), version, progress: Box::new(progress) }
        }
        _ => return None,
    })
}

fn token(step: &Step) -> Option<command::IdempotencyKey> {
    match step {
        Step::CreateService { token, .. } => token.map(|token| key(&format!("create-{token}"), 1)),
        Step::CreateSet { token, .. } => token.map(|token| key(&format!("set-{token}"), 1)),
        Step::RunOn { token, .. } => token.map(|token| key(&format!("run-on-{token}"), 1)),
        Step::Run { token, .. } => token.map(|token| key(&format!("run-{token}"), 1)),
        Step::Register { port, .. } => {
            let invocation = key(&format!("{port:?}"), 1);
            Some(command::IdempotencyKey { is_client_token: false, ..invocation })
        }
        _ => None,
    }
}

fn play(steps: &[Step]) -> Node {
    play_on(Node::new(), steps)
}

fn play_on(mut node: Node, steps: &[Step]) -> Node {
    for step in steps {
        node.now = node.now.plus(std::time::Duration::from_millis(10));
        if let Step::Wait { seconds } = step {
            node.now = node.now.plus(std::time::Duration::from_secs(*seconds));
        }
        if let Some(command) = command(&node.state, step) {
            let before = node.state.position();
            let rejected = node.propose_with(command, token(step)).is_err();
            assert!(!rejected || node.state.position() == before, "a rejection changes nothing");
        }
        invariant::check_state(&node.state).unwrap();
        gpus::no_two_live_tasks_share_a_gpu(&node.state);
    }
    node
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_keeps_the_invariants_and_replays_equal(
        steps in proptest::collection::vec(step(), 1..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let node = play(&steps);
        let bytes = codec::encode_snapshot(&node.state);

        let mut replayed = State::new();
        for entry in &node.log {
            prop_assert_eq!(apply_entry(&mut replayed, entry), Applied::Applied);
        }
        prop_assert_eq!(&replayed, &node.state);
        prop_assert_eq!(&codec::encode_snapshot(&replayed), &bytes);

        let half = cut.index(node.log.len() + 1);
        let mut through = State::new();
        for entry in &node.log[..half] {
            apply_entry(&mut through, entry);
        }
        let mut restored = codec::decode_snapshot(&codec::encode_snapshot(&through)).unwrap();
        prop_assert_eq!(&restored, &through);
        for entry in &node.log[half..] {
            prop_assert_eq!(apply_entry(&mut restored, entry), Applied::Applied);
        }
        prop_assert_eq!(&codec::encode_snapshot(&restored), &bytes);
    }

    /// However the log is cut into parts, following a state from part to part gives the hash that a look at the whole gives;
    /// and every entry changes it.
    #[test]
    fn a_states_hash_does_not_depend_on_the_way_there(
        steps in proptest::collection::vec(step(), 1..80),
        looks in proptest::collection::vec(any::<bool>(), 80),
    ) {
        let node = play(&steps);
        let (mut state, mut hasher) = (State::new(), StateHasher::default());
        let mut before = hash::state_hash(&state);
        for (entry, look) in node.log.iter().zip(looks.iter().cycle()) {
            apply_entry(&mut state, entry);
            let whole = hash::state_hash(&state);
            prop_assert_ne!(whole, before);
            before = whole;
            if *look {
                prop_assert_eq!(hasher.advance(&state), whole);
            }
        }
        let restored = codec::decode_snapshot(&codec::encode_snapshot(&state)).unwrap();
        prop_assert_eq!(hasher.advance(&state), before);
        prop_assert_eq!(hasher.advance(&restored), before);
    }

    #[test]
    fn every_event_survives_its_bytes(steps in proptest::collection::vec(step(), 1..80)) {
        for sealed in play(&steps).log.iter().flat_map(|entry| &entry.events) {
            prop_assert_eq!(&codec::decode_event(sealed.bytes()).unwrap(), sealed.event());
        }
    }
}
