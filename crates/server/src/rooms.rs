//! What works by itself on a control node: the agents' dispatcher, the relay of their heartbeats and of what tasks use, the controllers, the
//! delivery of events, the gauges.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trireme_controllers::{
    AlarmController, Autoscaler, CapacityController, Limits, NodeHealth, Observer, Reaper,
    ScheduleController, ServiceController, Stopwatch,
};
use trireme_delivery::{Delivery, Reach};
use trireme_dispatcher::{Dispatcher, DispatcherConfig, HeartbeatTable};
use trireme_iam::SealingKey;
use trireme_monitoring::Monitoring;
use trireme_raft::Node;
use trireme_state::store::Store;

use crate::Error;
use crate::metrics::StateGauges;
use crate::monitoring::OtherNodes;
use crate::observer::NodeObserver;
use crate::past::History;
use crate::relay::{IntoTables, ToLeader};

/// How often the gauges are read off the state.
const GAUGES: Duration = Duration::from_secs(1);

/// What others are to be given of what was started.
pub struct Rooms {
    /// The agents' sessions; its service is the caller's to mount.
    pub dispatcher: Dispatcher,
    /// The metrics that the API answers from.
    pub monitoring: Monitoring,
}

/// Starts everything that works by itself, until `stop`; agents are sent to other control nodes from `leaving` on.
pub fn start(
    node: &Node,
    heartbeats: &Arc<HeartbeatTable>,
    leaving: &CancellationToken,
    stop: &CancellationToken,
) -> Rooms {
    let store: Arc<dyn Store> = Arc::new(node.store());
    let incarnation = node.identity().incarnation;
    let (later_incarnation, later) = watch::channel(0);
    tokio::spawn(stop.clone().run_until_cancelled_owned(hear_of_later(node.clone(), later)));
    let config = DispatcherConfig {
        incarnation,
        later_incarnation,
        control_nodes: node.voters(),
        ..DispatcherConfig::new(node.identity().cluster)
    };
    let dispatcher = Dispatcher::new(store.clone(), heartbeats.clone(), config);
    let usage = dispatcher.usage().clone();
    let others = OtherNodes::new(node.clone());
    let monitoring = Monitoring { table: Arc::default(), others: Arc::new(others.clone()) };
    crate::monitoring::start(node, (&monitoring, others), usage.clone(), stop);
    node.set_relay_sink(Arc::new(IntoTables {
        store: store.clone(),
        heartbeats: heartbeats.clone(),
        usage: usage.clone(),
        metrics: monitoring.table.clone(),
        time: node.store().time(),
    }));
    tokio::spawn(dispatcher.clone().run(leaving.clone()));
    let to_leader = ToLeader { node: node.clone() };
    tokio::spawn(trireme_dispatcher::relay(heartbeats.clone(), to_leader.clone(), stop.clone()));
    let viewed = store.clone();
    let view = move || viewed.view();
    tokio::spawn(trireme_dispatcher::usage::relay(usage.clone(), view, to_leader, stop.clone()));

    let observer =
        Arc::new(NodeObserver::new(heartbeats.clone(), usage, monitoring.table.clone(), node.store().time()));
    tokio::spawn(observer.clone().watch_quorum(node.clone(), stop.clone()));
    let clock = observer.clone();
    let services = ServiceController::new(Stopwatch::new(move || clock.monotonic()));
    let run = |future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled_owned(future).await })
    };
    let limits = Limits::default();
    run(Box::pin(trireme_controllers::run(services, store.clone(), observer.clone(), limits)));
    run(Box::pin(trireme_controllers::run(Autoscaler, store.clone(), observer.clone(), limits)));
    run(Box::pin(trireme_controllers::run(NodeHealth::default(), store.clone(), observer.clone(), limits)));
    run(Box::pin(trireme_controllers::run(AlarmController, store.clone(), observer.clone(), limits)));
    let capacity = CapacityController::default();
    run(Box::pin(trireme_controllers::run(capacity, store.clone(), observer.clone(), limits)));
    run(Box::pin(trireme_controllers::run(Reaper::default(), store.clone(), observer.clone(), limits)));
    run(Box::pin(trireme_controllers::run(ScheduleController, store.clone(), observer, limits)));
    run(Box::pin(keep_gauges(store, heartbeats.clone())));
    Rooms { dispatcher, monitoring }
}

/// Tells targets of rules what happened, whenever this node leads, until `stop`. An HTTP endpoint on a loopback address is called only where
/// `to_loopback` says so.
///
/// # Errors
/// The HTTP client cannot be made.
pub fn deliver(
    node: &Node,
    sealing_key: Arc<SealingKey>,
    to_loopback: bool,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let delivery = Delivery {
        store: Arc::new(node.store()),
        past: Arc::new(History(node.store())),
        sealing_key,
        reach: Reach { loopback: to_loopback },
    };
    trireme_delivery::start(delivery, stop).map_err(|error| Error::HttpClient { reason: error.to_string() })
}

/// Passes on what agents say of the cluster's incarnation.
async fn hear_of_later(node: Node, mut later: watch::Receiver<u64>) {
    while later.changed().await.is_ok() {
        let incarnation = *later.borrow_and_update();
        node.heard_of_incarnation(incarnation);
    }
}

async fn keep_gauges(store: Arc<dyn Store>, heartbeats: Arc<HeartbeatTable>) {
    let mut gauges = StateGauges::default();
    let mut ticks = tokio::time::interval(GAUGES);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        gauges.set(&store.view(), &heartbeats, store.leadership().deciding, now);
    }
}
