//! A store in memory whose history is delivered, and endpoints that answer as a story has it.
#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use trireme_delivery::{Delivery, Gone, Past, Reach};
use trireme_iam::SealingKey;
use trireme_state::command::{Advance, DeliveryCommand, Fire, Placement, ScheduleCommand};
use trireme_state::object::*;
use trireme_state::store::{
    BoxFuture, BoxStream, Committed, Leadership, LocalStore, ProposeError, ReadError, Record, Store,
};
use trireme_state::{Actor, Command, Outcome, Proposal, State, apply_event};
use trireme_types::*;

#[path = "../../../state/tests/support/mod.rs"]
mod objects;

pub use objects::{cluster, definition, register, registration, run_tasks, schedule_target};

const LIMIT: Duration = Duration::from_secs(60);

/// The history of a store in memory, of which the beginning may be gone.
pub struct Replayed {
    store: LocalStore,
    pub first: Arc<Mutex<Sequence>>,
    pub at_once: Arc<Mutex<usize>>,
}

impl Past for Replayed {
    fn state_at(&self, sequence: Sequence) -> BoxFuture<'_, Result<State, Gone>> {
        Box::pin(async move {
            let first = *self.first.lock().unwrap();
            if sequence.next() < first {
                return Err(Gone::Trimmed { first });
            }
            let mut state = State::new();
            let all = self.store.history(Sequence::new(1), usize::MAX).await.unwrap();
            for record in all.into_iter().filter(|record| record.sequence <= sequence) {
                apply_event(&mut state, record.at, &record.event);
            }
            Ok(state)
        })
    }

    fn records(&self, from: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, Gone>> {
        Box::pin(async move {
            let first = *self.first.lock().unwrap();
            if from < first {
                return Err(Gone::Trimmed { first });
            }
            let limit = limit.min(*self.at_once.lock().unwrap());
            Ok(self.store.history(from, limit).await.unwrap())
        })
    }
}

/// The store, which loses its answers to so many commands that start tasks.
pub struct Losing {
    pub inner: LocalStore,
    pub lose: AtomicU32,
}

impl Store for Losing {
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
        let starts = matches!(&proposal.command, Command::Schedule(command)
            if matches!(**command, ScheduleCommand::Deliver(DeliveryCommand::Start { .. })));
        Box::pin(async move {
            let answer = self.inner.propose(proposal).await;
            let take = |left: u32| left.checked_sub(1);
            if starts && self.lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                return Err(ProposeError::Unknown { reason: "the answer is lost".to_owned() });
            }
            answer
        })
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

/// What an endpoint was told, and what it answers.
#[derive(Default)]
pub struct Heard {
    /// What it took, in order.
    pub taken: Mutex<Vec<Value>>,
    pub headers: Mutex<Vec<HeaderMap>>,
    /// What it answers next; then 200.
    pub answers: Mutex<VecDeque<StatusCode>>,
    /// What it answers to all, if something.
    pub always: Mutex<Option<StatusCode>>,
    pub refused: AtomicU32,
}

impl Heard {
    /// The versions of the machine in the events that it took.
    pub fn versions(&self) -> Vec<i64> {
        let of = |event: &Value| event["detail"]["version"].as_i64().unwrap_or(-1);
        self.taken.lock().unwrap().iter().map(of).collect()
    }
}

async fn answer(
    heard: Arc<Heard>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let next = heard.answers.lock().unwrap().pop_front();
    let status = next.or(*heard.always.lock().unwrap()).unwrap_or(StatusCode::OK);
    if status.is_success() {
        heard.taken.lock().unwrap().push(serde_json::from_str(&body).unwrap_or(Value::String(body)));
        heard.headers.lock().unwrap().push(headers);
    } else {
        heard.refused.fetch_add(1, Ordering::Relaxed);
    }
    // No story waits for a pause.
    (status, [("retry-after", "0")])
}

/// An endpoint of a story's own: where it is, and what it hears.
pub async fn endpoint() -> (String, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let hears = heard.clone();
    let router = axum::Router::new().fallback(move |headers, body| answer(hears.clone(), headers, body));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, heard)
}

fn seed(on: Placement) -> Command {
    let mut run = run_tasks(definition("web", 1), vec![on]);
    if let Command::RunTasks(run) = &mut run {
        run.group = Some("seed".to_owned());
    }
    run
}

/// A store with a machine whose changes are what happens.
pub struct World {
    pub store: LocalStore,
    pub first: Arc<Mutex<Sequence>>,
    /// So many events of the history come at once, at most.
    pub at_once: Arc<Mutex<usize>>,
    pub losing: Arc<Losing>,
    machine: ContainerInstanceId,
}

/// What means all changes of the machine.
pub const MACHINE: &str =
    r#"{"detail-type":["ECS Container Instance State Change"],"detail":{"ec2InstanceId":["m"]}}"#;

pub fn rule_key(name: &str) -> RuleKey {
    RuleKey { scope: Scope::development(), name: name.to_owned() }
}

impl World {
    pub fn new() -> Self {
        let store = LocalStore::new([7; 32], Timestamp::from_millis(1_000_000));
        let losing = Arc::new(Losing { inner: store.clone(), lose: AtomicU32::new(0) });
        let mut world = Self {
            store,
            first: Arc::default(),
            at_once: Arc::new(Mutex::new(usize::MAX)),
            losing,
            machine: ContainerInstanceId::from_bits(0),
        };
        world.ask(Command::CreateCluster { cluster: cluster("default"), tags: Tags::new() });
        world.ask(Command::RegisterInstance {
            instance: None,
            registration: Box::new(registration("m", "us-east-1a")),
            tags: Tags::new(),
        });
        world.machine = world.store.view().instances().next().unwrap().id;
        world
    }

    pub fn ask(&self, command: Command) -> Outcome {
        let request_id = RequestId::from_bits(rand::random());
        let proposal = Proposal { actor: Actor::Operator, request_id, key: None, command };
        self.store.propose_now(&proposal).unwrap().outcome
    }

    pub fn schedule(&self, command: ScheduleCommand) {
        self.ask(Command::Schedule(Box::new(command)));
    }

    /// So many things happen: each is one event, with the machine's next version.
    pub fn happen(&self, count: usize) {
        for _ in 0..count {
            let status = match self.store.view().instance(self.machine).unwrap().status {
                InstanceStatus::Active => InstanceStatus::Draining,
                InstanceStatus::Draining => InstanceStatus::Active,
            };
            self.ask(Command::SetInstanceStatus {
                cluster: cluster("default"),
                instance: self.machine,
                status,
            });
        }
    }

    pub fn store_view(&self) -> Arc<State> {
        self.store.view()
    }

    /// The last event of the history.
    pub fn store_head(&self) -> u64 {
        self.store.view().position().sequence.get()
    }

    pub fn version(&self) -> i64 {
        i64::try_from(self.store.view().instance(self.machine).unwrap().version).unwrap()
    }

    /// A rule that means all changes of that machine, with these targets.
    pub fn put_rule(&self, name: &str, targets: Vec<Target>) {
        let spec = RuleSpec {
            expression: None,
            pattern: Some(MACHINE.to_owned()),
            enabled: true,
            description: None,
            role_arn: None,
            anchor: Timestamp::EPOCH,
        };
        let key = rule_key(name);
        let (spec, tags) = (Box::new(spec), Tags::new());
        self.schedule(ScheduleCommand::PutRule { key: key.clone(), spec, next: None, tags, seen: None });
        self.schedule(ScheduleCommand::ChangeTargets { key, put: targets, remove: Vec::new() });
    }

    pub fn change_rule(&self, name: &str, change: impl FnOnce(&mut RuleSpec)) {
        let mut spec = Box::new(self.store.view().rule(&rule_key(name)).unwrap().spec.clone());
        change(&mut spec);
        let (key, tags) = (rule_key(name), Tags::new());
        self.schedule(ScheduleCommand::PutRule { key, spec, next: None, tags, seen: None });
    }

    /// The rule has times too, and is due.
    pub fn schedule_rule(&self, name: &str, next: Option<Due>) {
        let mut spec = Box::new(self.store.view().rule(&rule_key(name)).unwrap().spec.clone());
        spec.expression = Some("rate(1 minute)".to_owned());
        let (key, tags) = (rule_key(name), Tags::new());
        self.schedule(ScheduleCommand::PutRule { key, spec, next, tags, seen: None });
    }

    /// Its time comes, and starts nothing.
    pub fn fire(&self, name: &str, due: Timestamp) {
        let trigger = Trigger::Rule(rule_key(name));
        let version = self.store.view().trigger_version(&trigger).unwrap();
        let advance = Some(Advance { due, next: None, missed: 0, reason: String::new() });
        self.schedule(ScheduleCommand::Fire(Box::new(Fire { trigger, version, advance, runs: Vec::new() })));
    }

    /// A machine with an agent.
    pub fn open(&self, name: &str) -> Placement {
        let registration = Box::new(registration(name, "us-east-1a"));
        match self.ask(Command::OpenSession { instance: None, registration }) {
            Outcome::Session { instance, epoch } => Placement { instance, epoch },
            other => panic!("no session: {other:?}"),
        }
    }

    /// A task of the group `seed` on a machine.
    pub fn seed(&self, on: Placement) {
        self.ask(seed(on));
    }

    /// One in which commands may be run: that is a second event of its entry.
    pub fn seed_allowing_commands(&self, on: Placement) {
        self.ask(Command::RunAllowingCommands(Box::new(seed(on))));
    }

    pub fn drain(&self, instance: ContainerInstanceId) {
        let (cluster, status) = (cluster("default"), InstanceStatus::Draining);
        self.ask(Command::SetInstanceStatus { cluster, instance, status });
    }

    /// A target that calls an address.
    pub fn calls(&self, name: &str, address: &str, retry: RetryPolicy) -> Target {
        let scope = Scope::development();
        let connection = ConnectionKey { scope: scope.clone(), name: name.to_owned() };
        let key = SealingKey::from_bytes([7; 32]);
        let sealed = key.seal(&connection.seal_name(Authorization::SECRET), &scope.account, "k3y").unwrap();
        let value = SealedSecret { nonce: sealed.nonce, ciphertext: sealed.ciphertext };
        let authorization = Authorization::ApiKey { name: "x-key".to_owned(), value };
        let spec = ConnectionSpec { description: None, authorization, parameters: Vec::new() };
        let put =
            DeliveryCommand::PutConnection { key: connection.clone(), spec: Box::new(spec), known: None };
        self.schedule(ScheduleCommand::Deliver(put));
        let destination = ApiDestinationKey { scope, name: name.to_owned() };
        let spec = ApiDestinationSpec {
            description: None,
            connection,
            endpoint: address.to_owned(),
            method: "POST".to_owned(),
            rate: 100_000,
        };
        let put = DeliveryCommand::PutApiDestination {
            key: destination.clone(),
            spec: Box::new(spec),
            known: None,
        };
        self.schedule(ScheduleCommand::Deliver(put));
        let call = ApiDestinationCall {
            destination,
            path_values: Vec::new(),
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
        };
        Target {
            id: name.to_owned(),
            described: "{}".to_owned(),
            invokes: Invocation::ApiDestination(call),
            input: TargetInput::Event,
            retry,
        }
    }

    /// Delivers until the token that comes back is cancelled, or dropped with its guard.
    pub fn deliver(&self) -> tokio_util::sync::DropGuard {
        let stop = CancellationToken::new();
        let delivery = Delivery {
            store: self.losing.clone(),
            past: Arc::new(Replayed {
                store: self.store.clone(),
                first: self.first.clone(),
                at_once: self.at_once.clone(),
            }),
            sealing_key: Arc::new(SealingKey::from_bytes([7; 32])),
            reach: Reach { loopback: true },
        };
        trireme_delivery::start(delivery, &stop).unwrap();
        stop.drop_guard()
    }

    /// How far a rule's target of the same name has come.
    pub fn delivery(&self, name: &str) -> Arc<trireme_state::object::Delivery> {
        let key = DeliveryKey { rule: rule_key(name), target: name.to_owned() };
        self.store.view().delivery(&key).cloned().unwrap_or_default()
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + LIMIT;
    while !is() {
        assert!(tokio::time::Instant::now() < end, "{what}: not within {LIMIT:?}");
        tokio::task::yield_now().await;
    }
}
