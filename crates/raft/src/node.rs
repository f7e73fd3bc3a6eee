//! One control node's Raft, put together: what `server` starts, asks and stops.

mod inspection;
mod parts;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use trireme_rpc::control;
use trireme_rpc::control::control_server::ControlServer;
use trireme_rpc::gather::Gather;
use trireme_rpc::raft::raft_server::RaftServer;
use trireme_rpc::tcp;
use trireme_state::FeatureLevel;
use trireme_types::ClusterUuid;

use crate::agreement::{self, Sampler};
use crate::checkpoint::Checkpoints;
use crate::clock::{Clock, Random, SystemClock, SystemRandom};
use crate::config::{Raft, Settings};
use crate::control::{ControlService, RelaySink};
use crate::decider::{Heads, Rules};
use crate::error::Error;
use crate::history::History;
use crate::identity::{Folder, Identity};
use crate::level;
use crate::log::flusher::Flusher;
use crate::log::mark::Mark;
use crate::log::store::{LogStore, LogWatch};
use crate::machine::Machine;
use crate::membership::{Keeper, Member, Refused};
use crate::network::client::Network;
use crate::network::fence::{self, Fence};
use crate::network::peers::{Connect, MESSAGE_BYTES, Peers, TcpConnect};
use crate::network::server::RaftService;
use crate::simulation::Simulation;
use crate::snapshot::Snapshots;
use crate::storage::{Kv, Storage};
use crate::store::RaftStore;
use crate::upkeep;
use crate::vitals::{Agreement, Vitals};
use inspection::Inspection;
use parts::Parts;

/// What the world gives to a node. A simulation brings its own.
#[derive(Clone)]
pub struct World {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Connections to peers.
    pub connect: Arc<dyn Connect>,
    /// The pure functions of the state.
    pub rules: Rules,
    /// The highest feature level that this node supports.
    pub supports: FeatureLevel,
    /// `None`: a real machine, where a thread syncs. `Some`: a task syncs, and things take as long as this says.
    pub simulation: Option<Simulation>,
}

impl World {
    /// The real one.
    pub fn real(settings: &Settings) -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(SystemRandom),
            connect: Arc::new(TcpConnect::new(settings)),
            rules: Rules::default(),
            supports: FeatureLevel::LATEST,
            simulation: None,
        }
    }
}

/// A running control node's Raft. Clones are handles to the same.
#[derive(Clone)]
pub struct Node {
    identity: Identity,
    raft: Raft,
    store: RaftStore,
    keeper: Keeper,
    raft_service: RaftService,
    control: ControlService,
    sink: Arc<OnceLock<Arc<dyn RelaySink>>>,
    fatal: watch::Receiver<Option<String>>,
    voters: watch::Receiver<Vec<String>>,
    stop: CancellationToken,
    kv: Arc<dyn Kv>,
    log: LogWatch,
    flusher: Flusher,
    inspection: Inspection,
}

/// Makes `folder` the first node of a new cluster, whose only voter it is. Once: a folder that holds a node already
/// is refused.
///
/// # Errors
/// A folder in use, storage that fails.
pub async fn init(folder: &Folder, member: Member, settings: &Settings) -> Result<Identity, Error> {
    init_with(folder, member, settings, async |node: &Node| Ok(node.identity())).await
}

/// The same, with something that the new cluster must hold from its first moment. Until `first` is done the folder
/// holds no node: an attempt that was cut short, or whose `first` failed, may be repeated, and starts anew.
///
/// # Errors
/// A folder in use, storage that fails, or what `first` says.
pub async fn init_with<T, E: From<Error>>(
    folder: &Folder,
    member: Member,
    settings: &Settings,
    first: impl AsyncFnOnce(&Node) -> Result<T, E>,
) -> Result<T, E> {
    let world = World::real(settings);
    folder.require_empty()?;
    let cluster = ClusterUuid::from_bits(random_bits(&*world.random));
    let identity = Identity { cluster, incarnation: 1, node_id: 1 };
    folder.begin(identity)?;
    let storage = folder.open(identity)?;
    let node = Node::start(identity, storage, settings.clone(), world).await?;
    let made = match node.initialise(member).await {
        Ok(()) => first(&node).await,
        Err(error) => Err(error.into()),
    };
    node.shutdown().await;
    let made = made?;
    folder.finish()?;
    Ok(made)
}

/// Joins `folder` to a running cluster, through any of its nodes at `seeds`. The node is a learner until it runs and
/// has caught up. A join that was cut short may be repeated.
///
/// # Errors
/// A folder in use, a cluster that refuses or does not answer.
pub async fn join(
    folder: &Folder,
    member: Member,
    seeds: &[String],
    settings: &Settings,
) -> Result<Identity, Error> {
    join_with(folder, member, seeds, settings, &World::real(settings)).await
}

/// The same in a world of its own.
///
/// # Errors
/// As [`join`].
pub async fn join_with(
    folder: &Folder,
    mut member: Member,
    seeds: &[String],
    settings: &Settings,
    world: &World,
) -> Result<Identity, Error> {
    folder.require_empty()?;
    let token = random_bits(&*world.random).to_be_bytes();
    member.token = folder.token(|| bytes::Bytes::copy_from_slice(&token))?;
    let identity = ask_to_join(&member, seeds, settings, world).await?;
    folder.create(identity)?;
    Ok(identity)
}

/// Asks the cluster of the nodes at `seeds` for an identity. What makes it last is the caller's.
///
/// # Errors
/// A cluster that refuses or does not answer.
pub async fn ask_to_join(
    member: &Member,
    seeds: &[String],
    settings: &Settings,
    world: &World,
) -> Result<Identity, Error> {
    upkeep::ask_to_join(&*world.connect, member, seeds, settings, world.supports).await
}

fn random_bits(random: &dyn Random) -> u128 {
    let seed = random.seed();
    let mut bits = [0u8; 16];
    bits.copy_from_slice(&seed[..16]);
    u128::from_be_bytes(bits)
}

impl Node {
    /// An agent of this cluster has seen this incarnation. A later one than this node's ends it: the cluster was restored or
    /// recovered elsewhere, and nobody but agents may know both.
    pub fn heard_of_incarnation(&self, incarnation: u64) {
        self.store.peers.fence().heard(incarnation);
    }

    /// The voters' peer addresses: now, and whenever they are others.
    pub fn voters(&self) -> watch::Receiver<Vec<String>> {
        self.voters.clone()
    }

    /// Starts the node of `folder`, which `init` or `join` has made.
    ///
    /// # Errors
    /// A folder that holds no node, is damaged, or belongs to someone else.
    pub async fn open(folder: &Folder, settings: Settings) -> Result<Self, Error> {
        let identity = folder.require_identity()?;
        let storage = folder.open(identity)?;
        let world = World::real(&settings);
        let node = Self::start(identity, storage, settings, world).await?;
        if !node.raft.is_initialized().await.unwrap_or(false) {
            tracing::info!(%identity, "no log yet; waiting for the leader's");
        }
        Ok(node)
    }

    /// Starts a node on this storage in this world. It belongs to the runtime on which it is started.
    ///
    /// # Errors
    /// Settings that contradict each other, damaged storage. The storage is closed then.
    pub async fn start(
        identity: Identity,
        storage: Storage,
        settings: Settings,
        world: World,
    ) -> Result<Self, Error> {
        let kv = Arc::clone(&storage.kv);
        let started = Self::start_on(identity, storage, settings, world).await;
        if started.is_err() {
            // The flusher's thread would hold it for longer, perhaps beyond the end of the process, at which RocksDB aborts.
            kv.close();
        }
        started
    }

    async fn start_on(
        identity: Identity,
        storage: Storage,
        settings: Settings,
        world: World,
    ) -> Result<Self, Error> {
        let config = settings.to_openraft()?;
        level::check_storage(&*storage.kv, world.supports)?;
        agreement::check_storage(&*storage.kv)?;
        fence::check_storage(&*storage.kv, identity)?;
        let flusher = match &world.simulation {
            None => Flusher::thread(Arc::clone(&storage.kv)).map_err(Error::Storage)?,
            Some(simulation) => Flusher::task(Arc::clone(&storage.kv), Arc::clone(&simulation.sync)),
        };
        let damaged = |error: std::io::Error| Error::Stopped { reason: error.to_string() };
        let mark = Mark::open(Arc::clone(&storage.mark)).map_err(damaged)?;
        let log = LogStore::open(Arc::clone(&storage.kv), flusher.clone(), mark)?;
        let watch = log.watch();
        let history = Arc::new(History::open(Arc::clone(&storage.kv)).map_err(damaged)?);
        let snapshots = Snapshots::open(Arc::clone(&storage.files), flusher.clone(), identity.cluster)
            .map_err(damaged)?;
        snapshots.check(watch.written().purged)?;
        let checkpoint_files = Arc::clone(&storage.checkpoints);
        let checkpoints = Checkpoints::open(storage.checkpoints, identity.cluster).map_err(damaged)?;
        let kv = Arc::clone(&storage.kv);
        let vitals = Vitals::new(storage.space, world.supports);
        let (sampler, samples) = Sampler::pair();
        let (machine, view) =
            Machine::new(storage.kv, Arc::clone(&history), Arc::clone(&snapshots), sampler, world.supports);
        let heads = Heads::default();
        let machine = machine.with_heads(heads.clone()).behind(watch.committed());
        let machine =
            machine.delayed(world.simulation.as_ref().map(|simulation| Arc::clone(&simulation.apply)));
        let peers = Peers::new(Fence::new(identity, Arc::clone(&world.clock)), Arc::clone(&world.connect));
        let network = Network::new(peers.clone(), &settings);
        let raft = Raft::new(identity.node_id, config, network, log, machine).await;
        let raft = raft.map_err(|error| Error::Stopped { reason: error.to_string() })?;
        let parts = Parts {
            identity,
            settings,
            world,
            raft,
            view,
            history,
            checkpoints,
            snapshots,
            peers,
            kv,
            files: storage.files,
            checkpoint_files,
            flusher,
            log: watch,
            vitals,
            samples,
            heads,
        };
        Ok(parts.assemble())
    }

    /// Makes this node the only voter of a new cluster.
    ///
    /// # Errors
    /// Refused when there is a log already.
    pub async fn initialise(&self, member: Member) -> Result<(), Error> {
        let members = std::collections::BTreeMap::from([(self.identity.node_id, member)]);
        self.raft.initialize(members).await.map_err(|error| Error::Refused { reason: error.to_string() })
    }

    /// Who this is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The store.
    pub fn store(&self) -> RaftStore {
        self.store.clone()
    }

    /// What this node knows of itself and the others; it needs no quorum.
    pub fn status(&self) -> control::StatusResponse {
        self.control.status()
    }

    /// What the last comparison of the control nodes' states came to.
    pub fn agreement(&self) -> Agreement {
        self.control.vitals.agreement()
    }

    /// Connections to the other control nodes.
    pub fn peers(&self) -> Peers {
        self.store.peers.clone()
    }

    /// The log beside openraft.
    pub(crate) fn log(&self) -> &LogWatch {
        &self.log
    }

    /// openraft's handle, for tests.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Where what is relayed goes. The first one given stays.
    pub fn set_relay_sink(&self, sink: Arc<dyn RelaySink>) {
        let _first_stays = self.sink.set(sink);
    }

    /// The gRPC services of this node.
    pub fn routes(&self) -> Routes {
        let raft = RaftServer::new(self.raft_service.clone())
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let control = ControlServer::new(self.control.clone())
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        Routes::new(raft).add_service(control)
    }

    /// Serves `routes`, this node's own with what the caller added to them, until the node stops.
    ///
    /// # Errors
    /// A listener that fails.
    pub fn serve(
        &self,
        listener: TcpListener,
        routes: Routes,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        serve(listener, routes, self.stop.clone())
    }

    /// Resolves with the reason when Raft has stopped for good: storage failed, or a defect. The process must end.
    pub async fn fatal(&self) -> Error {
        let mut fatal = self.fatal.clone();
        let reason = match fatal.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "it was shut down".to_owned(),
        };
        Error::Stopped { reason }
    }

    /// Hands leadership to another voter, if this node leads and another is alive.
    ///
    /// # Errors
    /// No other voter took over.
    pub async fn handover(&self) -> Result<(), Error> {
        match self.keeper.handover(None).await {
            Ok(_) | Err(Refused::NotLeader) => Ok(()),
            Err(Refused::Because(reason)) => Err(Error::Refused { reason }),
        }
    }

    /// Removes this node, or another, from the cluster.
    ///
    /// # Errors
    /// What is left would have no quorum that is alive; no leader answers.
    pub async fn leave(&self, node_id: u64) -> Result<(), Error> {
        upkeep::ask_to_leave(&self.store, &self.keeper, node_id).await
    }

    /// Stops: hands leadership over first, if it can, then ends Raft and syncs what is left.
    pub async fn shutdown(&self) {
        if let Err(error) = self.handover().await {
            tracing::info!(%error, "stopping while leading");
        }
        self.halt().await;
    }

    /// Stops without handing leadership over. The storage is closed then, whoever still holds the node.
    pub async fn halt(&self) {
        self.stop.cancel();
        let _ended = self.raft.shutdown().await;
        // Through the flusher: after a failed sync none is tried again.
        if let Err(error) = self.log.mark(self.flusher.sync()).await {
            tracing::error!(%error, "the last sync failed");
        }
        self.close();
    }

    /// Closes the storage under a running node; for the end of a process that cannot wait.
    pub fn close(&self) {
        self.kv.close();
    }
}

async fn serve(listener: TcpListener, routes: Routes, stop: CancellationToken) -> Result<(), Error> {
    let incoming = tokio_stream::StreamExt::map(TcpListenerStream::new(listener), |stream| {
        stream.and_then(|stream| tcp::prepare(&stream).map(|()| Gather::new(stream)))
    });
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .map_err(|error| Error::Stopped { reason: format!("the listener failed: {error}") })
}
