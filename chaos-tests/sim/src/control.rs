//! A simulated control node: the real Raft, decider, dispatcher, controllers and API, on a disk in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::StreamExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt;
use trireme_dispatcher::HeartbeatTable;
use trireme_ecs_api::{Api, AuthMode};
use trireme_iam::SealingKey;
use trireme_monitoring::Monitoring;
use trireme_raft::config::LogId;
use trireme_raft::probe::Probe;
use trireme_raft::simulation::Simulation;
use trireme_raft::storage::memory::MemoryDisk;
use trireme_raft::{Identity, Member, Node, Settings, VotersClock, World, ask_to_join};
use trireme_rpc::gather::Gather;
use trireme_server::rooms::Rooms;
use trireme_types::{ClusterUuid, Timestamp};

use crate::clock::{SimClock, SimRandom, keep_pace};
use crate::invariant::restart::whole;
use crate::net::{SimConnect, incoming};
use crate::{network, trace};

/// The port of gRPC.
pub const GRPC: u16 = 7100;
/// The port of the ECS API.
pub const API: u16 = 8000;

/// What an operator asks of a control node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Stop in order.
    Stop,
    /// Give leadership away.
    Handover,
    /// Remove this node id from the cluster.
    Remove(u64),
    /// Add the subnets.
    AddSubnets,
}

/// What a process finds on its disk.
#[derive(Debug, Clone)]
pub struct Woke {
    /// Which start of the host it is.
    pub start: u64,
    /// Its log: the last purged entry, and the last one.
    pub probe: Probe,
    /// The index, the term and the node of the last entry that its snapshot covers.
    pub snapshot: Option<(u64, u64, u64)>,
    /// The entries behind the last purged one.
    pub entries: Vec<LogId>,
    /// Its history has no gap.
    pub whole: bool,
}

/// What outlives the process of a control node, and what the outside may do to it.
pub struct ControlHost {
    /// Its number, and its name on the network: `n1`.
    pub number: u64,
    /// Its zone.
    pub zone: String,
    /// Its disk.
    pub disk: MemoryDisk,
    /// Its clocks.
    pub clock: Arc<SimClock>,
    /// How long a sync takes, in microseconds.
    pub sync_micros: Arc<AtomicU64>,
    /// How long it takes to apply what was committed, at most, in milliseconds.
    pub apply_millis: Arc<AtomicU64>,
    /// Thousandths of the proposals that Raft refuses.
    pub refusals: Arc<AtomicU64>,
    /// Raft's settings.
    pub settings: Settings,
    /// Whose cluster it founds, if it is the first.
    pub founds: Option<ClusterUuid>,
    /// Whom it asks to join otherwise.
    pub seeds: RefCell<Vec<String>>,
    /// What it is, once it knows.
    pub identity: Cell<Option<Identity>>,
    /// The node, while the process runs.
    pub node: RefCell<Option<Node>>,
    /// What an operator asks of the running process.
    pub asked: RefCell<VecDeque<Ask>>,
    /// Raised with each of them.
    pub ask: Notify,
    /// What the last process found on its disk at its start.
    pub woke: RefCell<Option<Woke>>,
    /// The machine has lost power since the last start was judged: what was not synced may be gone, a cut of the log, too.
    pub dark: Cell<bool>,
    /// When the last process ended by itself.
    pub over: Cell<Option<Duration>>,
    /// The simulation has made its disk fail.
    pub spoiled: Cell<bool>,
    /// Why the process ended by itself.
    pub ended: RefCell<Option<String>>,
    /// Rises with each start.
    pub starts: Cell<u64>,
}

impl ControlHost {
    /// Its name on the network.
    pub fn name(&self) -> String {
        format!("n{}", self.number)
    }

    fn member(&self) -> Member {
        let mut token = [0u8; 16];
        token[8..].copy_from_slice(&self.number.to_be_bytes());
        token[0] = 1;
        Member {
            zone: self.zone.clone(),
            peer_address: format!("{}:{GRPC}", self.name()),
            api_address: format!("{}:{API}", self.name()),
            token: bytes::Bytes::copy_from_slice(&token),
        }
    }

    fn world(&self) -> World {
        let micros = Arc::clone(&self.sync_micros);
        let (millis, refusals) = (Arc::clone(&self.apply_millis), Arc::clone(&self.refusals));
        let simulation = Simulation {
            sync: Arc::new(move || Duration::from_micros(micros.load(Ordering::Relaxed))),
            apply: Arc::new(move || match millis.load(Ordering::Relaxed) {
                0 => Duration::ZERO,
                most => Duration::from_millis(rand::random_range(0..=most)),
            }),
            refuse: Arc::new(move || {
                let refused = rand::random_range(0..1000) < refusals.load(Ordering::Relaxed);
                refused.then(|| Duration::from_millis(rand::random_range(0..60)))
            }),
        };
        World {
            clock: self.clock.clone(),
            random: Arc::new(SimRandom),
            connect: Arc::new(SimConnect { limit: self.settings.connect_limit }),
            rules: trireme_raft::decider::Rules::default(),
            supports: trireme_state::FeatureLevel::LATEST,
            simulation: Some(simulation),
        }
    }

    /// The process: what `trireme server` runs.
    ///
    /// # Errors
    /// Never: what goes wrong is noted in [`ControlHost::ended`], for the simulation to judge.
    pub async fn run(self: Rc<Self>) -> turmoil::Result {
        self.disk.power_on();
        self.starts.set(self.starts.get() + 1);
        self.over.set(None);
        self.ended.replace(None);
        let ended = self.live().await;
        trace::line(format_args!("{} ends: {ended:?}", self.name()));
        self.node.replace(None);
        self.over.set(Some(turmoil::sim_elapsed().unwrap_or_default()));
        self.ended.replace(ended.err());
        Ok(())
    }

    /// What is on the disk, before anyone has talked to this node.
    fn look(&self, node: &Node) -> Result<Woke, String> {
        let probe = node.probe();
        let first = probe.floor.map_or(0, |id| id.index + 1);
        let last = probe.last.map_or(0, |id| id.index + 1);
        let entries: Result<Vec<Option<LogId>>, _> =
            (first..last).map(|index| node.log_id_at(index)).collect();
        let entries = entries.map_err(|error| format!("its log cannot be read: {error}"))?;
        let entries = entries.into_iter().flatten().collect();
        Ok(Woke { start: self.starts.get(), probe, snapshot: self.snapshot(), entries, whole: whole(node) })
    }

    /// What the newest snapshot's file says by its name.
    fn snapshot(&self) -> Option<(u64, u64, u64)> {
        let name = self.disk.storage().files.list().ok()?.pop()?;
        let mut parts = name.trim_end_matches(".snapshot").split('-').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??, parts.next()??))
    }

    async fn live(&self) -> Result<(), String> {
        tokio::spawn(keep_pace(Arc::clone(&self.clock)));
        let founding = self.identity.get().is_none() && self.founds.is_some();
        let identity = self.become_someone().await?;
        let starting = Node::start(identity, self.disk.storage(), self.settings.clone(), self.world());
        let node = starting.await.map_err(|error| format!("it cannot start: {error:?}"))?;
        if founding {
            node.initialise(self.member()).await.map_err(|error| error.to_string())?;
            self.identity.set(Some(identity));
        }
        self.woke.replace(Some(self.look(&node)?));
        trace::line(format_args!("{} runs as {identity}", self.name()));
        let stop = CancellationToken::new();
        let heartbeats = Arc::new(HeartbeatTable::new());
        let Rooms { dispatcher, monitoring } = trireme_server::rooms::start(&node, &heartbeats, &stop, &stop);
        let key = Arc::new(SealingKey::from_bytes([7; 32]));
        trireme_server::rooms::deliver(&node, key, false, &stop).map_err(|error| error.to_string())?;
        let routes = node.routes().add_service(dispatcher.service());
        serve_grpc(routes, stop.clone()).await?;
        serve_api(&node, monitoring, &stop).await?;
        self.node.replace(Some(node.clone()));
        loop {
            tokio::select! {
                error = node.fatal() => return Err(error.to_string()),
                () = self.ask.notified() => {}
            }
            let asked: Vec<Ask> = self.asked.borrow_mut().drain(..).collect();
            for ask in asked {
                if ask == Ask::Stop {
                    let _handed_over = node.handover().await;
                    stop.cancel();
                    node.halt().await;
                    return Ok(());
                }
                tokio::spawn(carry_out(node.clone(), ask));
            }
        }
    }

    /// As `server init` and `server join`: the identity is on the disk before the node runs.
    async fn become_someone(&self) -> Result<Identity, String> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity);
        }
        if let Some(cluster) = self.founds {
            return Ok(Identity { cluster, incarnation: 1, node_id: 1 });
        }
        let world = self.world();
        loop {
            let seeds = self.seeds.borrow().clone();
            match ask_to_join(&self.member(), &seeds, &self.settings, &world).await {
                Ok(identity) => {
                    self.identity.set(Some(identity));
                    return Ok(identity);
                }
                Err(error) => trace::line(format_args!("{} cannot join yet: {error}", self.name())),
            }
        }
    }
}

async fn carry_out(node: Node, ask: Ask) {
    let done = match ask {
        Ask::Stop => return,
        Ask::Handover => node.handover().await,
        Ask::Remove(id) => node.leave(id).await,
        Ask::AddSubnets => {
            let added = network::add_subnets(&node).await;
            return trace::line(format_args!("node {}: {ask:?}: {added:?}", node.identity().node_id));
        }
    };
    trace::line(format_args!("node {}: {ask:?}: {done:?}", node.identity().node_id));
}

async fn serve_grpc(routes: Routes, stop: CancellationToken) -> Result<(), String> {
    let incoming = incoming(GRPC).await.map_err(|error| error.to_string())?;
    let incoming = incoming.map(|stream| stream.map(Gather::new));
    // As the node itself serves, but over the simulated network.
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
    tokio::spawn(server);
    Ok(())
}

/// As in `trireme server`: a node whose own clock is wrong knows what time it is.
struct VotersTime(Arc<VotersClock>);

impl trireme_ecs_api::Clock for VotersTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

async fn serve_api(node: &Node, monitoring: Monitoring, stop: &CancellationToken) -> Result<(), String> {
    let store = Arc::new(node.store());
    let api = Api {
        store,
        auth: AuthMode::Off,
        sealing_key: Arc::new(SealingKey::from_bytes([7; 32])),
        clock: Arc::new(VotersTime(node.store().time())),
        admission: trireme_ecs_api::Admission::default(),
        logs: Arc::new(trireme_ecs_api::logs::NoNodes),
        monitoring,
    };
    let router = trireme_ecs_api::router(api);
    let incoming = incoming(API).await.map_err(|error| error.to_string())?;
    let accepting = incoming.for_each(move |stream| {
        if let Ok(stream) = stream {
            tokio::spawn(answer(stream, router.clone()));
        }
        async {}
    });
    tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
    Ok(())
}

async fn answer(stream: crate::net::Stream, router: Router) {
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let answered: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
            answered
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    // An error here is the client's: it went away.
    let _over = builder.serve_connection(TokioIo::new(stream), service).await;
}
