//! Three nodes, and the power is lost under all of them in the middle of their writes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/child.rs"]
mod child;
mod support;

use std::sync::Arc;

use child::{Sync, Watched};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use trireme_raft::storage::Storage;
use trireme_raft::storage::memory::MemoryDisk;
use trireme_raft::{Error, Identity, Node, World};
use trireme_rpc::control::control_client::ControlClient;
use trireme_rpc::control::{JoinRequest, join_response};
use trireme_state::store::Store;

/// A machine: its disk, its address.
struct Machine {
    disk: MemoryDisk,
    sync: Sync,
    address: String,
    identity: Identity,
}

impl Machine {
    async fn start(&self, listener: TcpListener) -> Result<Node, Error> {
        let storage = self.disk.storage();
        let kv = Arc::new(Watched { inner: storage.kv.clone(), sync: self.sync });
        let storage = Storage { kv, ..storage };
        let settings = support::settings();
        let node = Node::start(self.identity, storage, settings.clone(), World::real(&settings)).await?;
        tokio::spawn(node.serve(listener, node.routes()));
        Ok(node)
    }

    async fn restart(&self) -> Result<Node, Error> {
        let listener = support::wait_for("the port is free", || async {
            TcpListener::bind(&self.address).await.map_err(|error| error.to_string())
        });
        self.start(listener.await).await
    }
}

async fn join(seed: &str, address: &str, number: u8) -> u64 {
    let request = JoinRequest {
        zone: format!("z{number}"),
        peer_address: address.to_owned(),
        token: vec![number; 16].into(),
        supported_level: trireme_state::FeatureLevel::LATEST.get(),
        ..JoinRequest::default()
    };
    support::wait_for("it may join", || async {
        let mut client =
            ControlClient::connect(format!("http://{seed}")).await.map_err(|error| error.to_string())?;
        let answer = client.join(request.clone()).await.map_err(|status| status.to_string())?;
        match answer.into_inner().result {
            Some(join_response::Result::Joined(joined)) => Ok(joined.node_id),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn three(sync: Sync) -> (Vec<Machine>, Vec<Node>) {
    let (mut machines, mut nodes): (Vec<Machine>, Vec<Node>) = (Vec::new(), Vec::new());
    for number in 1..=3u8 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let node_id = match machines.first() {
            None => 1,
            Some(first) => join(&first.address, &address, number).await,
        };
        let identity = Identity { node_id, ..child::identity() };
        let machine = Machine { disk: MemoryDisk::new(), sync, address: address.clone(), identity };
        let node = machine.start(listener).await.unwrap();
        if number == 1 {
            node.initialise(support::member(&address, 1)).await.unwrap();
        }
        machines.push(machine);
        nodes.push(node);
    }
    support::wait_for("all vote", || async {
        let voters: Vec<usize> = nodes
            .iter()
            .map(|node| node.status().members.iter().filter(|member| member.voter).count())
            .collect();
        if voters == [3, 3, 3] { Ok(()) } else { Err(format!("{voters:?}")) }
    })
    .await;
    (machines, nodes)
}

/// Writes until so much is acknowledged, then cuts the power; returns what was acknowledged.
async fn write_and_cut(machines: &[Machine], nodes: &[Node], count: usize) -> Vec<String> {
    let (sender, mut acknowledged) = mpsc::channel(1_000);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, sender) = (nodes[writer % nodes.len()].store(), sender.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("w{writer}-{number}");
                    if store.propose(support::create(&name)).await.is_err()
                        || sender.send(name).await.is_err()
                    {
                        return;
                    }
                }
            })
        })
        .collect();
    drop(sender);
    let mut names = Vec::new();
    while names.len() < count {
        names.push(acknowledged.recv().await.expect("writes go on"));
    }
    machines.iter().for_each(|machine| machine.disk.power_off());
    acknowledged.close();
    while let Some(name) = acknowledged.recv().await {
        names.push(name);
    }
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    for node in nodes {
        node.halt().await;
    }
    machines.iter().for_each(|machine| machine.disk.power_on());
    names
}

/// Which of these are not there after a restart of all.
async fn missing(nodes: &[Node], names: &[String]) -> Vec<String> {
    let state = support::wait_for("it is read", || async {
        nodes[0].store().read().await.map_err(|error| error.to_string())
    })
    .await;
    let missing = names.iter().filter(|name| state.cluster(&support::cluster_key(name)).is_none());
    missing.cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_the_loss_of_power_everywhere() {
    let (machines, mut nodes) = three(Sync::Honest).await;
    let names = write_and_cut(&machines, &nodes, 300).await;
    nodes.clear();
    for machine in &machines {
        nodes.push(machine.restart().await.unwrap());
    }
    assert_eq!(missing(&nodes, &names).await, Vec::<String>::new());
    for node in &nodes {
        node.halt().await;
    }
}

/// The test above means something only if it fails when the flusher's sync is taken out.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_flushers_sync_the_loss_is_noticed() {
    let (machines, mut nodes) = three(Sync::Missing).await;
    let names = write_and_cut(&machines, &nodes, 300).await;
    nodes.clear();
    for machine in &machines {
        match machine.restart().await {
            Ok(node) => nodes.push(node),
            Err(error) => {
                assert!(matches!(error, Error::Shortened { .. }), "{error:?}");
                println!("noticed: {error}");
                return;
            }
        }
    }
    // Nothing at all was durable: nobody even knows a member any more.
    let state = nodes[0].store().view();
    assert!(names.iter().any(|name| state.cluster(&support::cluster_key(name)).is_none()));
}
