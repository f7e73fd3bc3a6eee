//! Writes a fixture: the data folder of a node as this build leaves it, and what is in it. Every later build must replay it to
//! the same state: `tests/fixtures.rs`. Run it once for each release that brings a kind of event or a layout:
//!
//! ```text
//! cargo run -p trireme-raft --example fixture -- v2
//! ```
//!
//! The node is a real one; only its rules are not. Each command puts one of the golden events of `crates/state/tests/golden`
//! into the log, so that the fixture has every kind there is, with something in every member.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a tool for developers"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use trireme_raft::{Folder, Identity, Member, Node, Settings, World};
use trireme_state::codec::{self, KINDS};
use trireme_state::object::{ClusterKey, Retention};
use trireme_state::store::Store;
use trireme_state::{
    Actor, Command, Decision, Event, FeatureLevel, Outcome, Proposal, Rejection, Stamp, State, hash,
};
use trireme_types::{ClusterName, ClusterUuid, RequestId, Scope, Sequence};

const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// Kinds that make something that stays: they come again after all others.
const MAKERS: [&str; 26] = [
    "ClusterCreated",
    "ClusterConfigured",
    "ClusterLostAfterSet",
    "CapacityProviderCreated",
    "TaskDefinitionRegistered",
    "ServiceCreated",
    "ImagesPinned",
    "SubnetAdded",
    "ServiceWithTaskSetsCreated",
    "TaskSetCreated",
    "LifecycleStageEntered",
    "TaskFailuresCounted",
    "ZoneMoveChanged",
    "SessionOpened",
    "InstanceAbsent",
    "InstanceAttributesChanged",
    "TaskCreated",
    "TaskAttached",
    "TasksPlaced",
    "GpusAssigned",
    "RequestRecorded",
    "TasksAllowCommands",
    "TaskHealthChanged",
    "ResourceTagged",
    "AccountSettingChanged",
    "LogGroupCreated",
];
const AGE: u64 = 100 * 365 * 24 * 3600 * 1000;

/// The golden event of a kind. Those that would have the node do something by itself are tamer here.
fn event(name: &str) -> Event {
    match name {
        "FeatureLevelRaised" => return Event::FeatureLevelRaised { level: FeatureLevel::LATEST },
        "RetentionSet" => {
            return Event::RetentionSet { retention: Retention { events: 1_000_000, millis: AGE } };
        }
        "HistoryTrimmed" => return Event::HistoryTrimmed { to: Sequence::new(1) },
        _ => {}
    }
    let file = format!("{HERE}/../state/tests/golden/events-v1.txt");
    let golden = std::fs::read_to_string(&file).expect("the golden events");
    let line = golden.lines().find(|line| line.split(' ').nth(1) == Some(name));
    let hex = line.and_then(|line| line.rsplit(' ').next()).unwrap_or_else(|| panic!("{file} has no {name}"));
    codec::decode_event(&hex::decode(hex).expect("hexadecimal")).expect("a golden event")
}

/// The command's cluster has the name of the kind.
fn decide(_: &State, proposal: &Proposal, _: &mut Stamp) -> Result<Decision, Rejection> {
    let Command::CreateCluster { cluster, .. } = &proposal.command else {
        return Ok(Decision::default());
    };
    Ok(Decision { events: vec![event(cluster.name.as_str())], outcome: Outcome::Done })
}

fn order() -> Vec<&'static str> {
    let all = KINDS.iter().map(|(_, name)| *name);
    // First, lest it takes everything away again; the level before what needs it; an instance before its tasks.
    let first = ["FeatureLevelRaised", "RetentionSet", "Reset", "SessionOpened"];
    first.into_iter().chain(all.filter(move |name| !first.contains(name))).chain(MAKERS).collect()
}

async fn propose(node: &Node, name: &str, number: usize) {
    let cluster = ClusterKey { scope: Scope::development(), name: ClusterName::new(name).unwrap() };
    let actors = [
        Actor::Operator,
        Actor::Principal("arn:aws:iam::123456789012:root".to_owned()),
        Actor::Controller("service".to_owned()),
    ];
    let proposal = Proposal {
        actor: actors[number % actors.len()].clone(),
        request_id: RequestId::from_bits(number as u128),
        key: None,
        command: Command::CreateCluster { cluster, tags: Default::default() },
    };
    node.store().propose(proposal).await.expect("it is committed");
}

#[tokio::main]
async fn main() {
    let name = std::env::args().nth(1).expect("the fixture's name, such as v2");
    let to = PathBuf::from(HERE).join("tests/fixtures").join(&name);
    assert!(!to.exists(), "{} is there already: a fixture is never written again", to.display());
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(place.path());
    let settings = Settings::local();
    let identity = Identity { cluster: ClusterUuid::from_bits(0x7213), incarnation: 1, node_id: 1 };
    folder.create(identity).unwrap();
    let mut world = World::real(&settings);
    world.rules.decide = decide;
    world.rules.check = |_, _, _| Ok(());
    let node = Node::start(identity, folder.open(identity).unwrap(), settings, world).await.unwrap();
    let member = Member { zone: "z".to_owned(), peer_address: "127.0.0.1:1".to_owned(), ..Member::default() };
    node.initialise(member).await.unwrap();
    let order = order();
    for (number, name) in order.iter().enumerate() {
        propose(&node, name, number).await;
        if number == order.len() / 2 {
            node.raft().trigger().snapshot().await.unwrap();
            let wait = node.raft().wait(Some(Duration::from_secs(10)));
            wait.metrics(|metrics| metrics.snapshot.is_some(), "a snapshot").await.unwrap();
        }
    }
    let state = node.store().view();
    let known = format!(
        "sequence {}\nhash {}\nstate {}\n",
        state.position().sequence,
        state.position().hash,
        hash::state_hash(&state)
    );
    node.halt().await;
    std::fs::create_dir_all(&to).unwrap();
    let pack = pack(place.path());
    println!("{}: {} bytes\n{known}", to.display(), pack.len());
    std::fs::write(to.join("node.pack"), pack).unwrap();
    std::fs::write(to.join("known.txt"), known).unwrap();
}

/// Every file of a folder, in the order of their names: a line with path and length, and the bytes. RocksDB's own log, and the
/// copies of its options, are nobody's data.
fn pack(folder: &Path) -> Vec<u8> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut pack = Vec::new();
    for file in files {
        let relative = file.strip_prefix(folder).unwrap().display().to_string();
        let last = file.file_name().unwrap().to_string_lossy().into_owned();
        if last.starts_with("LOG") || last.starts_with("OPTIONS") || last == "LOCK" {
            continue;
        }
        let bytes = std::fs::read(&file).unwrap();
        pack.extend_from_slice(format!("{relative} {}\n", bytes.len()).as_bytes());
        pack.extend_from_slice(&bytes);
    }
    pack
}
