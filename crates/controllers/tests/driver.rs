//! The driver: in office only, by the tick alone, a lane at a time, and never on a view that lacks its own work.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use support::*;
use tokio::sync::watch;
use tokio::time::Instant;
use trireme_controllers::{
    Controller, Heard, Limits, NodeHealth, Observed, Observer, Plan, ServiceController, Stopwatch,
    UsageSample, run,
};
use trireme_state::object::*;
use trireme_state::store::*;
use trireme_state::{Command, Proposal, State};
use trireme_types::*;

/// Tokio's clock, which tests pause.
struct Ears {
    began: Instant,
    heard: Mutex<BTreeMap<ContainerInstanceId, Heard>>,
}

impl Ears {
    fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), heard: Mutex::default() })
    }
}

impl Observer for Ears {
    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    fn heartbeats(&self) -> BTreeMap<ContainerInstanceId, Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn usage(&self, _tasks: &[TaskId]) -> BTreeMap<TaskId, Vec<UsageSample>> {
        BTreeMap::new()
    }

    fn lacks_metrics(&self) -> bool {
        false
    }

    fn metrics_since(&self) -> Timestamp {
        Timestamp::default()
    }

    fn metrics(&self, _queries: &[(MetricQuery, usize)]) -> BTreeMap<MetricQuery, Vec<Datapoint>> {
        BTreeMap::new()
    }

    fn quorum_held_for(&self) -> Option<Duration> {
        Some(self.began.elapsed())
    }
}

/// A local store whose leadership, watch and answers a test controls.
struct Moody {
    inner: LocalStore,
    leadership: watch::Sender<Leadership>,
    deaf: bool,
    unknown: AtomicBool,
    /// What `view` shows instead of what is, while it lags.
    behind: Mutex<Option<Arc<State>>>,
    proposals: AtomicUsize,
}

impl Moody {
    fn new(inner: LocalStore, deaf: bool, deciding: bool) -> Arc<Self> {
        let leadership = watch::Sender::new(Leadership { leader: Some(NodeId::new(1)), term: 1, deciding });
        let (unknown, proposals) = (AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Self { inner, leadership, deaf, unknown, behind: Mutex::default(), proposals })
    }
}

impl Store for Moody {
    fn view(&self) -> Arc<State> {
        let behind = self.behind.lock().unwrap().clone();
        behind.unwrap_or_else(|| self.inner.view())
    }

    fn watch(&self) -> BoxStream<'static, Arc<State>> {
        if self.deaf { Box::pin(futures_util::stream::pending()) } else { self.inner.watch() }
    }

    fn read(&self) -> BoxFuture<'_, Result<Arc<State>, ReadError>> {
        self.inner.read()
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, ProposeError>> {
        Box::pin(async move {
            self.proposals.fetch_add(1, Ordering::SeqCst);
            pass(Duration::from_millis(3)).await;
            let done = self.inner.propose_now(&proposal);
            if self.unknown.load(Ordering::SeqCst) {
                return Err(ProposeError::Unknown { reason: "no answer".to_owned() });
            }
            done
        })
    }

    fn leadership(&self) -> Leadership {
        *self.leadership.borrow()
    }

    fn watch_leadership(&self) -> BoxStream<'static, Leadership> {
        let watch = self.leadership.subscribe();
        Box::pin(futures_util::stream::unfold((watch, true), |(mut watch, first)| async move {
            if !first && watch.changed().await.is_err() {
                return None;
            }
            let now = *watch.borrow_and_update();
            Some((now, (watch, false)))
        }))
    }

    fn now(&self) -> Option<Timestamp> {
        self.leadership().deciding.then(|| self.inner.now().unwrap_or_default())
    }

    fn history(&self, from: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>> {
        self.inner.history(from, limit)
    }
}

/// Lets paused time pass; everyone else's timers go off meanwhile.
async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

/// Waits on a condition with a limit, in paused time.
async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if condition() {
            return;
        }
        pass(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

fn world() -> World {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let web = world.register("web", 64, 64, None);
    world.create("web", &web, 6, (200, 100));
    world
}

fn drive(store: Arc<Moody>, observer: Arc<Ears>) -> tokio::task::JoinHandle<()> {
    let mut services = ServiceController::new(Stopwatch::stopped());
    // The store's clock stands still.
    services.healthy_after = Duration::ZERO;
    tokio::spawn(run(services, store, observer, Limits::default()))
}

fn tasks(store: &Moody) -> usize {
    store.view().tasks_of_service(&service_key("web")).len()
}

#[tokio::test(start_paused = true)]
async fn it_converges_without_any_notification() {
    let mut world = world();
    let store = Moody::new(world.store.clone(), true, true);
    let driver = drive(store.clone(), Ears::new());
    until("six tasks", || tasks(&store) == 6).await;
    world.agents_work(|_| true);
    until("steady", || world.service("web").steady).await;
    let task = world.tasks("web")[0].clone();
    world.exit(&task);
    until("replaced", || tasks(&store) == 6).await;
    world.agents_work(|_| true);
    until("steady again", || world.service("web").steady).await;
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_it_before_the_tick() {
    let mut world = world();
    let store = Moody::new(world.store.clone(), false, true);
    let driver = drive(store.clone(), Ears::new());
    until("six tasks", || tasks(&store) == 6).await;
    world.agents_work(|_| true);
    until("steady", || world.service("web").steady).await;
    let began = Instant::now();
    let task = world.tasks("web")[0].clone();
    world.exit(&task);
    until("replaced", || tasks(&store) == 6).await;
    assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn it_works_in_office_only() {
    let world = world();
    let store = Moody::new(world.store.clone(), false, false);
    let driver = drive(store.clone(), Ears::new());
    pass(Duration::from_secs(10)).await;
    assert_eq!(store.proposals.load(Ordering::SeqCst), 0);
    store.leadership.send_modify(|leadership| leadership.deciding = true);
    until("six tasks", || tasks(&store) == 6).await;
    store.leadership.send_modify(|leadership| leadership.deciding = false);
    pass(Duration::from_secs(1)).await;
    let before = store.proposals.load(Ordering::SeqCst);
    world.store.clone().watch().next().await;
    pass(Duration::from_secs(10)).await;
    assert_eq!(store.proposals.load(Ordering::SeqCst), before);
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_came_starts_nothing_twice() {
    let world = world();
    let store = Moody::new(world.store.clone(), false, true);
    store.unknown.store(true, Ordering::SeqCst);
    let driver = drive(store.clone(), Ears::new());
    pass(Duration::from_secs(30)).await;
    assert_eq!(tasks(&store), 6);
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn a_view_that_lacks_its_own_work_is_not_planned_on() {
    let world = world();
    let store = Moody::new(world.store.clone(), false, true);
    *store.behind.lock().unwrap() = Some(store.inner.view());
    let driver = drive(store.clone(), Ears::new());
    pass(Duration::from_secs(10)).await;
    *store.behind.lock().unwrap() = None;
    pass(Duration::from_secs(10)).await;
    assert_eq!(tasks(&store), 6);
    driver.abort();
}

/// Plans one command that is always refused.
struct Stubborn;

impl Controller for Stubborn {
    const NAME: &'static str = "stubborn";

    fn plan(&self, _: &State, _: &Observed, _: Timestamp) -> Plan {
        let missing = ServiceKey { cluster: cluster(), name: ServiceName::new("missing").unwrap() };
        let stop = |tasks| Command::StopServiceTasks {
            service: missing.clone(),
            version: 1,
            tasks,
            reason: String::new(),
        };
        Plan { commands: vec![stop(Vec::new()), stop(vec![TaskId::from_bits(1)])], ..Plan::default() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_its_lane_and_slows_the_next_pass() {
    let store = Moody::new(World::new().store.clone(), false, true);
    let driver = tokio::spawn(run(Stubborn, store.clone() as Arc<dyn Store>, Ears::new(), Limits::default()));
    pass(Duration::from_secs(10)).await;
    let proposals = store.proposals.load(Ordering::SeqCst);
    assert!((8..30).contains(&proposals), "one a pass, a pass a second in the end: {proposals}");
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_listens_first() {
    let mut world = world();
    world.advance(Duration::from_secs(3_600));
    let ears = Ears::new();
    let hear = |age: Duration| {
        let heard = |id: &ContainerInstanceId| (*id, Heard { epoch: SessionEpoch::new(1), age });
        *ears.heard.lock().unwrap() = world.agents.iter().map(heard).collect();
    };
    hear(Duration::ZERO);
    let store = Moody::new(world.store.clone(), false, true);
    let dyn_store: Arc<dyn Store> = store.clone();
    let driver = tokio::spawn(run(NodeHealth::default(), dyn_store, ears.clone(), Limits::default()));
    pass(Duration::from_secs(30)).await;
    // Ten seconds pass in one step: no pulse of the driver falls between.
    tokio::time::advance(Duration::from_secs(10)).await;
    let silent = world.agents[0];
    ears.heard
        .lock()
        .unwrap()
        .insert(silent, Heard { epoch: SessionEpoch::new(1), age: Duration::from_secs(10) });
    let stood_still = Instant::now();
    until("lost", || !store.view().instance(silent).unwrap().connected).await;
    let after = stood_still.elapsed();
    assert!(after >= Duration::from_secs(4) && after < Duration::from_secs(7), "{after:?}");
    driver.abort();
}
