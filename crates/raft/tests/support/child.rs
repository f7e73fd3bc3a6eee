//! A node in a process of its own, to be killed: the test's binary, started again with the child's environment.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trireme_raft::storage::{Family, Kv, Op, Storage};
use trireme_raft::{Folder, Identity, Member, Node, Settings, World};
use trireme_state::store::Store;
use trireme_types::ClusterUuid;

const FOLDER: &str = "TRIREME_CHILD_FOLDER";
const SYNC: &str = "TRIREME_CHILD_SYNC";
const ROUND: &str = "TRIREME_CHILD_ROUND";

/// What the child's fsync does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// What it should.
    Honest,
    /// What it should, later: a kill falls between write and flush.
    Slow,
    /// Nothing, and success is reported.
    Missing,
}

/// A database whose sync does what it is told.
pub struct Watched {
    pub inner: Arc<dyn Kv>,
    pub sync: Sync,
}

impl Kv for Watched {
    fn write(&self, ops: Vec<Op>) -> std::io::Result<()> {
        self.inner.write(ops)
    }
    fn sync(&self) -> std::io::Result<()> {
        match self.sync {
            Sync::Honest => self.inner.sync(),
            Sync::Missing => Ok(()),
            Sync::Slow => {
                // The flusher's own thread; a slow disk is what is tested here.
                std::thread::park_timeout(Duration::from_millis(3));
                self.inner.sync()
            }
        }
    }
    fn get(&self, family: Family, key: &[u8]) -> std::io::Result<Option<Bytes>> {
        self.inner.get(family, key)
    }
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        more: &mut dyn FnMut(&[u8], Bytes) -> std::io::Result<bool>,
    ) -> std::io::Result<()> {
        self.inner.scan(family, from, to, more)
    }
    fn last(&self, family: Family, from: &[u8]) -> std::io::Result<Option<(Bytes, Bytes)>> {
        self.inner.last(family, from)
    }
    fn close(&self) {
        self.inner.close();
    }
}

pub fn identity() -> Identity {
    Identity { cluster: ClusterUuid::from_bits(42), incarnation: 1, node_id: 1 }
}

pub fn settings() -> Settings {
    // Snapshots and purges often, so that kills fall into them.
    Settings { snapshot_after: 40, keep_entries: 10, ..Settings::local() }
}

/// Opens the only node of a cluster, and makes the cluster when the folder is new.
pub async fn open(path: &Path, sync: Sync) -> Result<Node, trireme_raft::Error> {
    let folder = Folder::new(path);
    if folder.identity()?.is_none() {
        folder.create(identity())?;
    }
    let storage = folder.open(identity())?;
    let kv = Arc::new(Watched { inner: storage.kv.clone(), sync });
    let storage = Storage { kv, ..storage };
    let node = Node::start(identity(), storage, settings(), World::real(&settings())).await?;
    if !node.raft().is_initialized().await.unwrap_or(false) {
        node.initialise(Member {
            zone: "a".to_owned(),
            peer_address: "127.0.0.1:1".to_owned(),
            ..Member::default()
        })
        .await?;
    }
    Ok(node)
}

/// The child: proposes from many tasks, and prints each name once it is acknowledged. Returns at once in the parent.
pub async fn child_main() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let round = std::env::var(ROUND).unwrap();
    let sync = match std::env::var(SYNC).unwrap().as_str() {
        "Slow" => Sync::Slow,
        "Missing" => Sync::Missing,
        _ => Sync::Honest,
    };
    let node = open(Path::new(&folder), sync).await.unwrap();
    let tasks = (0..8).map(|task| {
        let (store, round) = (node.store(), round.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let name = format!("r{round}-{task}-{number}");
                store.propose(super::support::create(&name)).await.unwrap();
                println!("\nacknowledged {name}");
                std::io::stdout().flush().unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// A running child.
pub struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

/// Starts the child named `test` of this binary on a folder.
pub fn spawn(test: &str, folder: &Path, round: u32, sync: Sync, environment: &[(&str, &str)]) -> Running {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .env(SYNC, format!("{sync:?}"))
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Running { child, lines }
}

impl Running {
    /// Kills the child once it has acknowledged so many; returns all that it acknowledged.
    pub fn kill_after(mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        let take = |line: std::io::Result<String>, names: &mut Vec<String>| {
            if let Some(name) = line.unwrap_or_default().strip_prefix("acknowledged ") {
                names.push(name.to_owned());
            }
        };
        while names.len() < count {
            match self.lines.next() {
                Some(line) => take(line, &mut names),
                None => panic!("the child ended by itself: {:?}, after {names:?}", self.child.wait()),
            }
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // What it had printed before it died counts too; a torn last line does not.
        let rest: Vec<_> = self.lines.by_ref().collect();
        for line in rest {
            take(line, &mut names);
        }
        names
    }
}
