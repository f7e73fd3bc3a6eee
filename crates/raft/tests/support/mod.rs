//! A cluster in one process: real gRPC over loopback, real RocksDB in a temporary folder.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

pub mod ahead;
pub mod links;
pub mod whole;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use trireme_raft::storage::{Space, Storage};
use trireme_raft::{Folder, Member, Node, Settings, World, init, join_with};
use trireme_state::FeatureLevel;
use trireme_state::object::ClusterKey;
use trireme_state::store::{Committed, ProposeError, Store};
use trireme_state::{Actor, Command, IdempotencyKey, Proposal};
use trireme_types::{ClusterName, RequestId, Scope};

pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits for a condition, and says what was seen last when it does not come.
pub async fn wait_for<T, F: Future<Output = Result<T, String>>>(
    what: &str,
    condition: impl FnMut() -> F,
) -> T {
    trireme_testkit::wait_for(what, LIMIT, condition).await
}

pub fn cluster_key(name: &str) -> ClusterKey {
    ClusterKey { scope: Scope::development(), name: ClusterName::new(name).unwrap() }
}

/// A command with one event: a new cluster of that name.
pub fn create(name: &str) -> Proposal {
    Proposal {
        actor: Actor::Operator,
        request_id: RequestId::from_bits(rand::random()),
        key: None,
        command: Command::CreateCluster { cluster: cluster_key(name), tags: Default::default() },
    }
}

/// The same with a key, so that it may be sent again when nobody knows what became of it.
pub fn create_once(name: &str) -> Proposal {
    let key = IdempotencyKey {
        principal: "test".to_owned(),
        operation: "CreateCluster".to_owned(),
        token: format!("{name}-{}", rand::random::<u64>()),
        is_client_token: false,
        parameters: [0; 32],
    };
    Proposal { key: Some(key), ..create(name) }
}

/// A command that is refused unless the cluster is there.
pub fn delete(name: &str) -> Proposal {
    Proposal {
        actor: Actor::Operator,
        request_id: RequestId::from_bits(rand::random()),
        key: None,
        command: Command::DeleteCluster { cluster: cluster_key(name) },
    }
}

pub fn settings() -> Settings {
    Settings { propose_limit: Duration::from_secs(20), ..Settings::local() }
}

/// What the nodes of a test think is free on their disks.
#[derive(Clone, Default)]
pub struct Rooms(Arc<Mutex<BTreeMap<u64, u64>>>);

impl Rooms {
    /// From now on so many bytes are free on that node's disk; `None`: what is really free.
    pub fn set(&self, id: u64, free: Option<u64>) {
        let mut rooms = self.0.lock().unwrap();
        match free {
            Some(free) => rooms.insert(id, free),
            None => rooms.remove(&id),
        };
    }
}

struct Room {
    id: u64,
    rooms: Rooms,
    real: Arc<dyn Space>,
}

impl Space for Room {
    fn free(&self) -> std::io::Result<u64> {
        let set = self.rooms.0.lock().unwrap().get(&self.id).copied();
        set.map_or_else(|| self.real.free(), Ok)
    }
}

pub struct TestCluster {
    pub place: tempfile::TempDir,
    pub settings: Settings,
    pub rooms: Rooms,
    /// Through which the nodes speak to each other, if not directly.
    pub links: Option<links::Links>,
    /// What a node's binary supports, if not the latest level.
    pub supports: BTreeMap<u64, FeatureLevel>,
    pub nodes: BTreeMap<u64, Node>,
    addresses: BTreeMap<u64, String>,
    folders: BTreeMap<u64, PathBuf>,
}

impl TestCluster {
    /// A running cluster of so many voters.
    pub async fn start(count: u64, settings: Settings) -> Self {
        Self::start_over(count, settings, None).await
    }

    /// The same over these links.
    pub async fn start_over(count: u64, settings: Settings, links: Option<links::Links>) -> Self {
        let _first = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let mut cluster = Self {
            place: tempfile::tempdir().unwrap(),
            settings,
            rooms: Rooms::default(),
            links,
            supports: BTreeMap::new(),
            nodes: BTreeMap::new(),
            addresses: BTreeMap::new(),
            folders: BTreeMap::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let folder = Folder::new(cluster.place.path().join("n1"));
        let identity = init(&folder, member(&address, 1), &cluster.settings).await.unwrap();
        cluster.folders.insert(1, folder.path().to_owned());
        cluster.addresses.insert(identity.node_id, address);
        wait_closed(&folder).await;
        cluster.run(1, listener).await;
        for _ in 1..count {
            cluster.join().await;
        }
        cluster.wait_voters(count as usize).await;
        cluster
    }

    /// Adds a node; returns its id.
    pub async fn join(&mut self) -> u64 {
        self.try_join(FeatureLevel::LATEST).await.unwrap()
    }

    /// Adds a node whose binary supports so much.
    pub async fn try_join(&mut self, supports: FeatureLevel) -> Result<u64, trireme_raft::Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let number = self.folders.len() as u64 + 1;
        let folder = Folder::new(self.place.path().join(format!("n{number}")));
        let seeds: Vec<String> = self.nodes.keys().map(|id| self.addresses[id].clone()).collect();
        let world = World { supports, ..World::real(&self.settings) };
        let identity = join_with(&folder, member(&address, number), &seeds, &self.settings, &world).await?;
        self.supports.insert(identity.node_id, supports);
        self.folders.insert(identity.node_id, folder.path().to_owned());
        self.addresses.insert(identity.node_id, address);
        self.run(identity.node_id, listener).await;
        Ok(identity.node_id)
    }

    async fn run(&mut self, id: u64, listener: TcpListener) {
        let node = self.open(id).await.unwrap();
        tokio::spawn(node.serve(listener, node.routes()));
        self.nodes.insert(id, node);
    }

    /// Starts a node on its data, without a listener.
    pub async fn open(&self, id: u64) -> Result<Node, trireme_raft::Error> {
        let folder = Folder::new(&self.folders[&id]);
        let identity = folder.require_identity()?;
        let storage = folder.open(identity)?;
        let space = Room { id, rooms: self.rooms.clone(), real: Arc::clone(&storage.space) };
        let storage = Storage { space: Arc::new(space), ..storage };
        let supports = self.supports.get(&id).copied().unwrap_or(FeatureLevel::LATEST);
        let mut world = World { supports, ..World::real(&self.settings) };
        if let Some(links) = &self.links {
            world.connect = Arc::new(links.clone());
        }
        Node::start(identity, storage, self.settings.clone(), world).await
    }

    /// Stops a node without any grace.
    pub async fn kill(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        node.halt().await;
        drop(node);
        wait_closed(&Folder::new(&self.folders[&id])).await;
    }

    /// Removes a node from the cluster, whether it runs or not.
    pub async fn leave(&self, id: u64) {
        wait_for("it is removed", || async {
            let leader = self.leader().await;
            self.nodes[&leader].leave(id).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Starts a stopped node on its data.
    pub async fn restart(&mut self, id: u64) {
        let address = self.addresses[&id].clone();
        let listener = wait_for("the port is free", || async {
            TcpListener::bind(&address).await.map_err(|error| error.to_string())
        })
        .await;
        self.run(id, listener).await;
    }

    pub fn address(&self, id: u64) -> String {
        self.addresses[&id].clone()
    }

    pub fn folder(&self, id: u64) -> PathBuf {
        self.folders[&id].clone()
    }

    /// The node that decides.
    pub async fn leader(&self) -> u64 {
        wait_for("a node decides", || async {
            let deciding: Vec<u64> = self
                .nodes
                .iter()
                .filter(|(_, node)| node.store().leadership().deciding)
                .map(|(id, _)| *id)
                .collect();
            match deciding.as_slice() {
                [one] => Ok(*one),
                other => Err(format!("deciding: {other:?}")),
            }
        })
        .await
    }

    /// Any node that does not decide.
    pub async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        self.nodes.keys().copied().find(|id| *id != leader).unwrap()
    }

    pub async fn wait_voters(&self, count: usize) {
        wait_for("all nodes vote", || async {
            let seen = self.nodes.values().map(|node| {
                let status = node.status();
                (status.members.iter().filter(|member| member.voter).count(), status.membership_changing)
            });
            let seen: Vec<(usize, bool)> = seen.collect();
            if seen.iter().all(|found| *found == (count, false)) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    }

    pub async fn propose(&self, id: u64, proposal: Proposal) -> Result<Committed, ProposeError> {
        self.nodes[&id].store().propose(proposal).await
    }

    /// Makes a cluster of that name by way of a node, also when the leadership moves meanwhile and nobody knows what became of it: for
    /// one that is there already nothing happens.
    pub async fn made(&self, id: u64, name: &str) {
        wait_for(&format!("{name} is made"), || async {
            self.propose(id, create(name)).await.map_err(|error| format!("{error:?}"))
        })
        .await;
    }

    /// All nodes have applied the same.
    pub async fn wait_equal(&self) {
        wait_for("all nodes are equal", || async {
            let states: Vec<_> = self.nodes.values().map(|node| node.store().view()).collect();
            let equal = states.windows(2).all(|pair| pair[0] == pair[1]);
            if equal {
                Ok(())
            } else {
                Err(format!("{:?}", states.iter().map(|state| state.position()).collect::<Vec<_>>()))
            }
        })
        .await;
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // RocksDB's threads must end before the test's process does.
        self.nodes.values().for_each(Node::close);
    }
}

pub fn member(address: &str, number: u64) -> Member {
    Member {
        zone: format!("us-east-1{}", ["a", "b", "c"][(number as usize + 2) % 3]),
        peer_address: address.to_owned(),
        ..Member::default()
    }
}

/// Waits until nobody holds the folder's database.
pub async fn wait_closed(folder: &Folder) {
    let identity = folder.require_identity().unwrap();
    wait_for("the database is closed", || async {
        folder
            .open(identity)
            .map(drop)
            .map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))
    })
    .await;
}
