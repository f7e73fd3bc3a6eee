//! The session's protocol, spoken by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use trireme_dispatcher::{Dispatcher, DispatcherConfig, HeartbeatTable};
use trireme_rpc::agent as wire;
use trireme_rpc::agent::agent_message::Message as FromAgent;
use trireme_rpc::agent::agents_client::AgentsClient;
use trireme_rpc::agent::control_message::Message as ToAgent;
use trireme_state::command::RunTasks;
use trireme_state::object::{
    ClusterKey, ContainerDefinition, HealthStatus, TaskDefinitionSpec, TaskOverrides, TaskStatus,
};
use trireme_state::store::{
    BoxFuture, BoxStream, Committed, Leadership, LocalStore, ProposeError, ReadError, Record, Store,
};
use trireme_state::{Actor, Command, FeatureLevel, Outcome, Placement, Proposal, Rejection, State};
use trireme_types::{
    ClusterName, ClusterUuid, ContainerInstanceId, ContainerName, CpuUnits, Family, Mebibytes, RequestId,
    Scope, Sequence, TaskId, Timestamp,
};

/// Instead of the definition's.
const FILES: &str = r#"[{"value":"arn:aws:s3:::b/k.env","type":"s3"}]"#;

struct World {
    store: LocalStore,
    heartbeats: Arc<HeartbeatTable>,
    client: AgentsClient<tonic::transport::Channel>,
    /// What the node is told of later incarnations.
    later: watch::Receiver<u64>,
    _stop: tokio_util::sync::DropGuard,
}

struct Agent {
    out: mpsc::Sender<wire::AgentMessage>,
    inbound: Streaming<wire::ControlMessage>,
}

impl Agent {
    async fn say(&self, message: FromAgent) {
        self.out.send(wire::AgentMessage { message: Some(message) }).await.unwrap();
    }

    async fn hear(&mut self) -> Result<ToAgent, Status> {
        let message = tokio::time::timeout(Duration::from_secs(10), self.inbound.message()).await;
        message.expect("something within ten seconds").map(|message| message.unwrap().message.unwrap())
    }

    async fn welcome(&mut self) -> (ContainerInstanceId, u64) {
        match self.hear().await.unwrap() {
            ToAgent::Welcome(welcome) => (welcome.container_instance_id.parse().unwrap(), welcome.epoch),
            other => panic!("{other:?}"),
        }
    }

    async fn assignments(&mut self) -> wire::Assignments {
        match self.hear().await.unwrap() {
            ToAgent::Assignments(assignments) => assignments,
            other => panic!("{other:?}"),
        }
    }

    async fn goodbye(&mut self) -> wire::Goodbye {
        match self.hear().await.unwrap() {
            ToAgent::Goodbye(goodbye) => goodbye,
            other => panic!("{other:?}"),
        }
    }
}

fn hello() -> wire::Hello {
    wire::Hello {
        account: "123456789012".into(),
        region: "us-east-1".into(),
        cluster: "default".into(),
        name: "a".into(),
        zone: "us-east-1a".into(),
        cpu_units: 4096,
        memory_mib: 4096,
        registration_token: format!("{:032x}", 9),
        ..wire::Hello::default()
    }
}

fn cluster() -> ClusterKey {
    ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() }
}

/// A store whose first health report gets lost on its way, and may come later.
#[derive(Clone)]
struct Detour {
    inner: LocalStore,
    lost: Arc<Mutex<Option<Proposal>>>,
}

impl Store for Detour {
    fn view(&self) -> Arc<State> {
        self.inner.view()
    }

    fn watch(&self) -> BoxStream<'static, Arc<State>> {
        self.inner.watch()
    }

    fn read(&self) -> BoxFuture<'_, Result<Arc<State>, ReadError>> {
        self.inner.read()
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, ProposeError>> {
        let mut lost = self.lost.lock().unwrap();
        if matches!(proposal.command, Command::ReportTaskHealth { .. }) && lost.is_none() {
            *lost = Some(proposal);
            let reason = "the leader did not answer in time".to_owned();
            return Box::pin(async { Err(ProposeError::Unknown { reason }) });
        }
        self.inner.propose(proposal)
    }

    fn leadership(&self) -> Leadership {
        self.inner.leadership()
    }

    fn watch_leadership(&self) -> BoxStream<'static, Leadership> {
        self.inner.watch_leadership()
    }

    fn now(&self) -> Option<Timestamp> {
        self.inner.now()
    }

    fn history(&self, from: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>> {
        self.inner.history(from, limit)
    }
}

impl World {
    async fn start() -> Self {
        Self::with(|store| Arc::new(store)).await
    }

    async fn with(over: impl FnOnce(LocalStore) -> Arc<dyn Store>) -> Self {
        let store = LocalStore::new([3; 32], Timestamp::from_millis(1_800_000_000_000));
        let heartbeats = Arc::new(HeartbeatTable::new());
        let config = DispatcherConfig::new(ClusterUuid::from_bits(0xc1));
        let later = config.later_incarnation.subscribe();
        let dispatcher = Dispatcher::new(over(store.clone()), heartbeats.clone(), config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tonic::transport::Server::builder().add_service(dispatcher.service());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        tokio::spawn(dispatcher.run(stop.clone()));
        let client = AgentsClient::connect(format!("http://{address}")).await.unwrap();
        Self { store, heartbeats, client, later, _stop: stop.drop_guard() }
    }

    async fn open(&self, first: FromAgent) -> Agent {
        let (out, receiver) = mpsc::channel(8);
        out.send(wire::AgentMessage { message: Some(first) }).await.unwrap();
        let answer = self.client.clone().session(ReceiverStream::new(receiver)).await.unwrap();
        Agent { out, inbound: answer.into_inner() }
    }

    fn propose(&self, command: Command) -> Outcome {
        let request_id = RequestId::from_bits(1);
        let proposal = Proposal { actor: Actor::Operator, request_id, key: None, command };
        self.store.propose_now(&proposal).unwrap().outcome
    }

    fn place(&self, instance: ContainerInstanceId) -> TaskId {
        let container = ContainerDefinition {
            name: ContainerName::new("app").unwrap(),
            image: "busybox:1".into(),
            cpu: CpuUnits::new(10),
            memory: Some(Mebibytes::new(16)),
            memory_reservation: None,
            essential: true,
            port_mappings: Vec::new(),
            entry_point: None,
            command: None,
            environment: vec![("A".into(), "1".into()), ("B".into(), "2".into())],
            working_directory: None,
            user: None,
            hostname: None,
            docker_labels: BTreeMap::new(),
            stop_timeout: None,
            readonly_root_filesystem: None,
            interactive: None,
            pseudo_terminal: None,
            described: BTreeMap::new(),
        };
        let spec = TaskDefinitionSpec {
            containers: vec![container],
            network_mode: None,
            cpu: None,
            memory: None,
            requires_compatibilities: Vec::new(),
            task_role_arn: None,
            execution_role_arn: None,
            described: BTreeMap::new(),
        };
        let definition = match self.propose(Command::RegisterTaskDefinition {
            scope: Scope::development(),
            family: Family::new("web").unwrap(),
            spec: Arc::new(spec),
            tags: BTreeMap::new(),
            registered_by: String::new(),
        }) {
            Outcome::TaskDefinition(key) => key,
            other => panic!("{other:?}"),
        };
        let epoch = self.store.view().instance(instance).unwrap().epoch;
        let change = trireme_state::object::ContainerOverride {
            name: ContainerName::new("app").unwrap(),
            command: Some(vec!["true".into()]),
            environment: vec![("B".into(), "3".into()), ("C".into(), "4".into())],
            cpu: None,
            memory: None,
            memory_reservation: None,
        };
        let change = change.with_environment_files(FILES.to_owned());
        let overrides = TaskOverrides { containers: vec![change], ..TaskOverrides::default() };
        let run = RunTasks {
            cluster: cluster(),
            definition,
            overrides,
            group: None,
            started_by: None,
            tags: BTreeMap::new(),
            placements: vec![Placement { instance, epoch }],
        };
        match self.propose(Command::RunTasks(Box::new(run))) {
            Outcome::Tasks(tasks) => tasks[0],
            other => panic!("{other:?}"),
        }
    }
}

fn status(epoch: u64, batch: u64, task: TaskId, status: wire::TaskStatus) -> FromAgent {
    let report =
        wire::TaskReport { task_id: task.to_string(), status: status.into(), ..wire::TaskReport::default() };
    FromAgent::Status(wire::StatusBatch { epoch, batch, reports: vec![report] })
}

#[tokio::test]
async fn nonsense_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let bad = [
        (FromAgent::Heartbeat(wire::Heartbeat { epoch: 1 }), Code::InvalidArgument),
        (FromAgent::Hello(wire::Hello { cluster: "a b".into(), ..hello() }), Code::InvalidArgument),
        (FromAgent::Hello(wire::Hello { zone: String::new(), ..hello() }), Code::InvalidArgument),
        (
            FromAgent::Hello(wire::Hello { container_instance_id: "x".into(), ..hello() }),
            Code::InvalidArgument,
        ),
        (
            FromAgent::Hello(wire::Hello { cluster_uuid: format!("{:032x}", 0xbad), ..hello() }),
            Code::FailedPrecondition,
        ),
        (
            // The cluster was restored, and this node is of what was given up.
            FromAgent::Hello(wire::Hello { incarnation: 2, ..hello() }),
            Code::FailedPrecondition,
        ),
    ];
    for (first, code) in bad {
        let refused = world.open(first.clone()).await.hear().await.unwrap_err();
        assert_eq!(refused.code(), code, "{first:?}: {}", refused.message());
    }
    assert_eq!(world.store.view().position().sequence.get(), 0);
    assert_eq!(*world.later.borrow(), 0, "whoever names no cluster is not believed");
}

#[tokio::test]
async fn a_later_incarnation_is_believed_when_most_agents_have_seen_it() {
    let world = World::start().await;
    let mut instances = Vec::new();
    for number in 0..4u8 {
        let token = format!("{:032x}", 0x100 + u32::from(number));
        let hello = wire::Hello { name: format!("agent{number}"), registration_token: token, ..hello() };
        instances.push(world.open(FromAgent::Hello(hello)).await.welcome().await.0);
    }
    let say = async |instance: String, incarnation| {
        let cluster_uuid = format!("{:032x}", 0xc1);
        let hello = wire::Hello { container_instance_id: instance, incarnation, cluster_uuid, ..hello() };
        let refused = world.open(FromAgent::Hello(hello)).await.hear().await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        *world.later.borrow()
    };
    for _ in 0..3 {
        assert_eq!(say(format!("{:032x}", 5), 2).await, 0, "a stranger has no voice");
    }
    assert_eq!(say(instances[0].to_string(), 9).await, 0);
    assert_eq!(say(instances[0].to_string(), 9).await, 0, "however often it says so");
    assert_eq!(say(instances[1].to_string(), 2).await, 0, "half of them");
    let epoch = world.store.view().instance(instances[3]).unwrap().epoch;
    world.propose(Command::LoseInstance { instance: instances[3], epoch, reason: "silent".into() });
    let said = say(instances[1].to_string(), 2).await;
    assert_eq!(said, 2, "two of the three that are not lost: this node is of the life before");
}

#[tokio::test]
async fn first_all_then_the_differences() {
    let world = World::start().await;
    let mut agent = world.open(FromAgent::Hello(hello())).await;
    let (instance, epoch) = agent.welcome().await;
    let first = agent.assignments().await;
    assert!(first.full && first.tasks.is_empty());

    let task = world.place(instance);
    let second = agent.assignments().await;
    assert!(!second.full && second.sequence > first.sequence && second.epoch == epoch);
    let assigned = &second.tasks[0];
    assert_eq!(assigned.task_id, task.to_string());
    assert!(assigned.desired_running);
    assert_eq!(
        (assigned.network_mode.as_str(), assigned.known_status()),
        ("bridge", wire::TaskStatus::Pending)
    );
    let environment: Vec<_> =
        assigned.containers[0].environment.iter().map(|one| format!("{}={}", one.name, one.value)).collect();
    assert_eq!(environment, ["A=1", "B=3", "C=4"]);
    assert_eq!(assigned.containers[0].settings["environmentFiles"], FILES);
    assert_eq!(assigned.containers[0].command.as_ref().unwrap().values, ["true"]);

    agent.say(status(epoch, 1, task, wire::TaskStatus::Running)).await;
    assert!(matches!(agent.hear().await.unwrap(), ToAgent::StatusAck(wire::StatusAck { batch: 1 })));
    assert_eq!(world.store.view().task(task).unwrap().last_status, TaskStatus::Running);

    // That a task runs changes nothing for its agent; that it is to stop does.
    world.propose(Command::StopTask { cluster: cluster(), task, reason: None });
    let third = agent.assignments().await;
    assert!(!third.tasks[0].desired_running);
    agent.say(status(epoch, 2, task, wire::TaskStatus::Stopped)).await;
    let (mut acknowledged, mut removed) = (false, Vec::new());
    while !acknowledged || removed.is_empty() {
        match agent.hear().await.unwrap() {
            ToAgent::StatusAck(ack) => acknowledged = ack.batch == 2,
            ToAgent::Assignments(assignments) => removed = assignments.removed,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(removed, [task.to_string()]);
    assert!(world.heartbeats.snapshot().contains_key(&instance));
}

#[tokio::test]
async fn a_repeated_registration_is_one_instance() {
    let world = World::start().await;
    let (first, _) = world.open(FromAgent::Hello(hello())).await.welcome().await;
    let (again, _) = world.open(FromAgent::Hello(hello())).await.welcome().await;
    assert_eq!(first, again);
    assert_eq!(world.store.view().instances().count(), 1);
    // And when that session is over meanwhile, it is a new one of the same instance.
    let epoch = world.store.view().instance(first).unwrap().epoch;
    world.propose(Command::LoseInstance { instance: first, epoch, reason: "silent".into() });
    let (third, later) = world.open(FromAgent::Hello(hello())).await.welcome().await;
    assert_eq!(third, first);
    assert!(later > epoch.next().get());
}

#[tokio::test]
async fn an_older_session_ends_when_a_newer_one_opens() {
    let world = World::start().await;
    let mut old = world.open(FromAgent::Hello(hello())).await;
    let (instance, epoch) = old.welcome().await;
    old.assignments().await;
    let back = wire::Hello { container_instance_id: instance.to_string(), ..hello() };
    let mut new = world.open(FromAgent::Hello(back)).await;
    assert_eq!(new.welcome().await, (instance, epoch + 1));
    let goodbye = old.goodbye().await;
    assert!(!goodbye.unknown_instance && goodbye.reason.contains("epoch"), "{goodbye:?}");
}

#[tokio::test]
async fn an_unknown_instance_is_told_so() {
    let world = World::start().await;
    let stranger = wire::Hello { container_instance_id: format!("{:032x}", 5), ..hello() };
    assert!(world.open(FromAgent::Hello(stranger)).await.goodbye().await.unknown_instance);

    let mut agent = world.open(FromAgent::Hello(hello())).await;
    let (instance, _) = agent.welcome().await;
    agent.assignments().await;
    world.propose(Command::DeregisterInstance { cluster: cluster(), instance, force: true });
    assert!(agent.goodbye().await.unknown_instance);
}

#[tokio::test]
async fn reports_of_a_lost_instance_change_nothing() {
    let world = World::start().await;
    let mut agent = world.open(FromAgent::Hello(hello())).await;
    let (instance, epoch) = agent.welcome().await;
    agent.assignments().await;
    let task = world.place(instance);
    agent.assignments().await;
    let known = world.store.view().instance(instance).unwrap().epoch;
    world.propose(Command::LoseInstance { instance, epoch: known, reason: "silent".into() });
    agent.say(status(epoch, 1, task, wire::TaskStatus::Running)).await;
    agent.goodbye().await;
    assert_eq!(world.store.view().task(task).unwrap().last_status, TaskStatus::Stopped);
}

#[tokio::test]
async fn an_agent_is_told_of_its_own_tasks_only_and_under_its_own_epoch() {
    let world = World::start().await;
    let mut agent = world.open(FromAgent::Hello(hello())).await;
    let (instance, epoch) = agent.welcome().await;
    let task = world.place(instance);
    let question =
        wire::TaskQuestion { container_instance_id: instance.to_string(), epoch, task_id: task.to_string() };
    let mut client = world.client.clone();
    assert!(client.tags(question.clone()).await.unwrap().into_inner().task.is_empty());
    let refused = [
        (wire::TaskQuestion { epoch: epoch + 1, ..question.clone() }, Code::FailedPrecondition),
        (
            wire::TaskQuestion { container_instance_id: format!("{:032x}", 7), ..question.clone() },
            Code::FailedPrecondition,
        ),
        (wire::TaskQuestion { task_id: format!("{:032x}", 7), ..question.clone() }, Code::NotFound),
        (wire::TaskQuestion { task_id: "x".into(), ..question.clone() }, Code::InvalidArgument),
    ];
    let before = world.store.view().position();
    let change = Some(wire::ProtectionChange { enabled: true, minutes: None });
    for (question, code) in refused {
        assert_eq!(client.tags(question.clone()).await.unwrap_err().code(), code, "{question:?}");
        let request = wire::ProtectionRequest { task: Some(question.clone()), change };
        assert_eq!(client.protection(request).await.unwrap_err().code(), code, "{question:?}");
    }
    // No service stops it, so that nothing protects it.
    let request = wire::ProtectionRequest { task: Some(question), change };
    assert!(client.protection(request).await.unwrap().into_inner().not_valid);
    assert_eq!(world.store.view().position(), before, "nothing was changed");
}

#[tokio::test]
async fn the_last_word_of_who_goes_away_comes_after_its_reports_and_ends_the_session() {
    let world = World::start().await;
    let mut agent = world.open(FromAgent::Hello(hello())).await;
    let (instance, epoch) = agent.welcome().await;
    agent.assignments().await;
    let task = world.place(instance);
    agent.assignments().await;
    agent.say(status(epoch, 1, task, wire::TaskStatus::Running)).await;
    agent.say(FromAgent::Absence(wire::Absence { epoch: epoch + 1, millis: 1 })).await;
    agent.say(FromAgent::Absence(wire::Absence { epoch, millis: 120_000 })).await;
    assert!(matches!(agent.hear().await.unwrap(), ToAgent::StatusAck(wire::StatusAck { batch: 1 })));
    let goodbye = agent.goodbye().await;
    assert!(goodbye.absence_noted && !goodbye.unknown_instance, "{goodbye:?}");
    let view = world.store.view();
    assert_eq!(view.task(task).unwrap().last_status, TaskStatus::Running);
    assert_eq!(view.absence(instance), Some(view.clock().plus(Duration::from_secs(120))));
    // It counts for nothing in what is told of silence, and is there again with its next session.
    assert!(world.heartbeats.oldest_ages(&view, Duration::from_secs(60)).is_empty());
    let back = wire::Hello { container_instance_id: instance.to_string(), ..hello() };
    world.open(FromAgent::Hello(back)).await.welcome().await;
    assert_eq!(world.store.view().absence(instance), None);
}

#[tokio::test]
async fn a_health_report_that_comes_late_does_not_overwrite_a_newer_one() {
    let lost = Arc::new(Mutex::new(None));
    let way = Arc::clone(&lost);
    let world = World::with(|inner| Arc::new(Detour { inner, lost: way })).await;
    world.propose(Command::RaiseFeatureLevel { level: FeatureLevel::LATEST });
    let mut agent = world.open(FromAgent::Hello(hello())).await;
    let (instance, epoch) = agent.welcome().await;
    agent.assignments().await;
    let task = world.place(instance);
    agent.assignments().await;
    let says = |epoch: u64, health: wire::Health| {
        let container = wire::ContainerReport {
            name: "app".into(),
            status: wire::TaskStatus::Running.into(),
            health: health.into(),
            ..wire::ContainerReport::default()
        };
        let report = wire::TaskReport {
            task_id: task.to_string(),
            status: wire::TaskStatus::Running.into(),
            containers: vec![container],
            ..wire::TaskReport::default()
        };
        FromAgent::Status(wire::StatusBatch { epoch, batch: 1, reports: vec![report] })
    };
    agent.say(says(epoch, wire::Health::Unhealthy)).await;
    // It cannot be said again while it may still come: the agent does so under another epoch.
    let reason = agent.goodbye().await.reason;
    assert!(reason.contains("outcome unknown"), "{reason}");
    let known = wire::Hello { container_instance_id: instance.to_string(), ..hello() };
    let mut agent = world.open(FromAgent::Hello(known)).await;
    let (again, next) = agent.welcome().await;
    assert!(again == instance && next > epoch);
    agent.assignments().await;
    agent.say(says(next, wire::Health::Healthy)).await;
    assert!(matches!(agent.hear().await.unwrap(), ToAgent::StatusAck(wire::StatusAck { batch: 1 })));
    let late = lost.lock().unwrap().take().unwrap();
    let refused = world.store.propose_now(&late).unwrap_err();
    assert_eq!(refused, ProposeError::Rejected(Rejection::StaleEpoch));
    let health = world.store.view().task_health(task).clone();
    assert_eq!(health.values().collect::<Vec<_>>(), [&HealthStatus::Healthy]);
    assert!(!late.command.may_be_repeated());
}
