//! A node's parts, and how they are put together: what each of them knows of the others, and the tasks that run.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::inspection::Inspection;
use super::{Node, World};
use crate::agreement::{self, Sample};
use crate::checkpoint::Checkpoints;
use crate::clock::OfficeClock;
use crate::config::{Raft, Settings};
use crate::control::ControlService;
use crate::decider::{self, Decider, Heads};
use crate::fault::Fault;
use crate::guard::{Guard, Pressure};
use crate::history::History;
use crate::identity::Identity;
use crate::log::flusher::Flusher;
use crate::log::store::LogWatch;
use crate::machine::View;
use crate::membership::Keeper;
use crate::network::peers::Peers;
use crate::network::server::RaftService;
use crate::read::{Reader, Rounds};
use crate::snapshot::Snapshots;
use crate::storage::{Files, Kv};
use crate::store::RaftStore;
use crate::upkeep::{self, Belonging, HistoryKeeper, Janitor};
use crate::verify;
use crate::vitals::{Memory, Vitals, Watcher};
use crate::voters_clock::VotersClock;
use crate::watchers;

/// What a node is assembled from.
pub(super) struct Parts {
    pub identity: Identity,
    pub settings: Settings,
    pub world: World,
    pub raft: Raft,
    pub view: watch::Receiver<Arc<View>>,
    pub history: Arc<History>,
    pub checkpoints: Arc<Checkpoints>,
    pub snapshots: Arc<Snapshots>,
    pub peers: Peers,
    pub kv: Arc<dyn Kv>,
    pub files: Arc<dyn Files>,
    pub checkpoint_files: Arc<dyn Files>,
    pub flusher: Flusher,
    pub log: LogWatch,
    pub vitals: Vitals,
    pub samples: mpsc::Receiver<Sample>,
    pub heads: Heads,
}

impl Parts {
    fn start_decider(
        &self,
        keeper: &Keeper,
        fault: &Fault,
        office: watch::Sender<Option<OfficeClock>>,
        queue: decider::Requests,
        guard: Guard,
        stop: CancellationToken,
    ) {
        let fitness = upkeep::fitness(
            self.raft.clone(),
            self.identity.node_id,
            self.peers.clone(),
            keeper.clone(),
            Arc::clone(&self.world.clock),
            self.settings.clone(),
            self.view.clone(),
        );
        let decider = Decider {
            raft: self.raft.clone(),
            node_id: self.identity.node_id,
            view: self.view.clone(),
            clock: Arc::clone(&self.world.clock),
            random: Arc::clone(&self.world.random),
            rules: self.world.rules,
            guard,
            heads: self.heads.clone(),
            fitness,
            refuse: self.world.simulation.as_ref().map(|simulation| Arc::clone(&simulation.refuse)),
            office,
        };
        fault.spawn("the decider", async move {
            tokio::select! {
                () = decider.run(queue) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    fn start_reader(&self, fault: &Fault) -> Reader {
        let (raft, node_id, peers) = (self.raft.clone(), self.identity.node_id, self.peers.clone());
        Reader::start(Rounds { raft, node_id, peers, limit: self.settings.call_limit / 4 }, fault)
    }

    fn raft_service(&self, store: &RaftStore, fault: &Fault, heard: &Arc<AtomicU64>) -> RaftService {
        RaftService {
            raft: self.raft.clone(),
            fence: self.peers.fence().clone(),
            snapshots: Arc::clone(&self.snapshots),
            view: store.watch_applied(),
            log: self.log.clone(),
            fault: fault.clone(),
            heard: Arc::clone(heard),
        }
    }

    fn start_history(
        &self,
        store: &RaftStore,
        pressed: watch::Receiver<Option<Pressure>>,
        fault: &Fault,
        stop: &CancellationToken,
    ) {
        self.snapshots.room.measured_by(&self.vitals.free);
        self.checkpoints.room.measured_by(&self.vitals.free);
        let janitor = Janitor {
            store: store.clone(),
            clock: Arc::clone(&self.world.clock),
            random: Arc::clone(&self.world.random),
            pressed: pressed.clone(),
        };
        let keeper = HistoryKeeper {
            store: store.clone(),
            raft: self.raft.clone(),
            snapshots: Arc::clone(&self.snapshots),
            flusher: self.flusher.clone(),
            identity: self.identity,
            clock: Arc::clone(&self.world.clock),
            pressed,
        };
        upkeep::keep_history(keeper, janitor, fault, stop);
    }

    fn start_upkeep(
        &self,
        store: &RaftStore,
        keeper: &Keeper,
        heard: Arc<AtomicU64>,
        fault: &Fault,
        stop: &CancellationToken,
    ) {
        let (raft, identity) = (self.raft.clone(), self.identity);
        let belonging = Belonging { store: store.clone(), raft: raft.clone(), identity, heard };
        let watched = upkeep::watch_belonging(belonging, fault.clone(), stop.clone());
        fault.spawn("the watch over this node's membership", watched);
        let fence = self.peers.fence().clone();
        let heeded = upkeep::heed_fence(fence, Arc::clone(&self.kv), fault.clone(), stop.clone());
        fault.spawn("the watch for a later incarnation", heeded);
        let marked = upkeep::keep_mark(self.log.clone(), self.flusher.clone(), fault.clone(), stop.clone());
        fault.spawn("the keeper of the mark", marked);
        let heartbeats = upkeep::keep_heartbeats(raft.clone(), self.settings.clone(), stop.clone());
        fault.spawn("the heartbeats", heartbeats);
        let events = self.settings.snapshot_events;
        upkeep::bound_replay(raft.clone(), store, &self.snapshots, events, fault, stop.clone());
        upkeep::watch_disk(store.clone(), keeper.clone(), self.flusher.clone(), fault, stop.clone());
        upkeep::start(store.clone(), raft, keeper.clone(), identity, fault, stop.clone());
    }

    fn inspection(&self) -> Inspection {
        let stored = verify::Parts {
            kv: Arc::clone(&self.kv),
            snapshots: Arc::clone(&self.files),
            checkpoints: Arc::clone(&self.checkpoint_files),
        };
        Inspection::new(stored, Arc::clone(&self.world.clock))
    }

    pub(super) fn assemble(self) -> Node {
        let (raft, settings, node_id) = (self.raft.clone(), self.settings.clone(), self.identity.node_id);
        let (stop, fault) = (CancellationToken::new(), Fault::new());
        let (office_sender, office) = watch::channel(None::<OfficeClock>);
        let (requests, queue) = decider::queue();
        let leader = watchers::leader(raft.clone(), node_id, office.clone(), &fault);
        let keeper = Keeper::new(raft.clone(), node_id, self.view.clone(), settings.clone());
        let (pressure, pressed) = watch::channel(None);
        self.start_decider(&keeper, &fault, office_sender, queue, Guard::new(pressed.clone()), stop.clone());
        let reader = self.start_reader(&fault);
        let store = RaftStore {
            view: self.view.clone(),
            requests,
            leader,
            office,
            reader: reader.clone(),
            history: Arc::clone(&self.history),
            checkpoints: Arc::clone(&self.checkpoints),
            peers: self.peers.clone(),
            settings: settings.clone(),
            time: Arc::new(VotersClock::new(Arc::clone(&self.world.clock), self.view.clone())),
        };
        let heard = Arc::new(AtomicU64::new(0));
        let raft_service = self.raft_service(&store, &fault, &heard);
        self.start_history(&store, pressed, &fault, &stop);
        self.start_upkeep(&store, &keeper, heard, &fault, &stop);
        let (inspection, sink) = (self.inspection(), Arc::new(OnceLock::new()));
        let control = ControlService {
            raft: raft.clone(),
            identity: self.identity,
            store: store.clone(),
            reader,
            keeper: keeper.clone(),
            history: self.history,
            clock: Arc::clone(&self.world.clock),
            settings: settings.clone(),
            sink: Arc::clone(&sink),
            vitals: self.vitals.clone(),
            log: self.log.clone(),
        };
        let hashing = agreement::keep_hashes(self.samples, self.vitals.hashes.clone());
        fault.spawn("the hashing of states", hashing);
        let watcher = Watcher {
            vitals: self.vitals,
            store: store.clone(),
            keeper: keeper.clone(),
            identity: self.identity,
            pressure,
            fault: fault.clone(),
            kv: Arc::clone(&self.kv),
            clock: self.world.clock,
            answer_limit: settings.answer_limit(),
            memory: Memory::default(),
        };
        fault.spawn("the look at the other nodes", watcher.run(stop.clone()));
        Node {
            identity: self.identity,
            fatal: watchers::fatal(raft.clone(), &fault),
            voters: watchers::voters(raft.clone(), &fault),
            raft,
            store,
            keeper,
            raft_service,
            control,
            sink,
            stop,
            kv: self.kv,
            log: self.log,
            flusher: self.flusher,
            inspection,
        }
    }
}
