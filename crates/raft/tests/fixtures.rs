//! Data folders that earlier builds wrote: this one opens each of them, and holds the same state, history and snapshot.
//! `cargo run -p trireme-raft --example fixture -- vN` adds the next one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test, which tells a story"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use trireme_raft::{Folder, Node, Settings};
use trireme_state::store::Store;
use trireme_state::{codec, hash};
use trireme_types::Sequence;

mod support;
use support::wait_for;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn fixtures() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn unpack(pack: &[u8], to: &Path) {
    let mut rest = pack;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        let (path, length) = line.rsplit_once(' ').unwrap();
        let (bytes, after) = rest[end + 1..].split_at(length.parse().unwrap());
        let file = to.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
        rest = after;
    }
}

/// What the build that wrote a fixture knew of it.
struct Known {
    sequence: Sequence,
    hash: String,
    state: String,
}

impl Known {
    fn read(fixture: &Path) -> Self {
        let text = std::fs::read_to_string(fixture.join("known.txt")).unwrap();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name}")).trim().to_owned()
        };
        let sequence = Sequence::new(field("sequence").parse().unwrap());
        Self { sequence, hash: field("hash"), state: field("state") }
    }
}

/// Opens a fixture and holds it against what is known of it; gives the kinds of events in it.
async fn replay(fixture: &Path) -> BTreeSet<u32> {
    let known = Known::read(fixture);
    let place = tempfile::tempdir().unwrap();
    unpack(&std::fs::read(fixture.join("node.pack")).unwrap(), place.path());
    // What is in the snapshot's file is a part of the history.
    let node = Node::open(&Folder::new(place.path()), Settings::local()).await.unwrap();
    let store = node.store();
    wait_for("the log to be applied", || async {
        let at = store.view().position().sequence;
        if at >= known.sequence { Ok(()) } else { Err(format!("{at} of {}", known.sequence)) }
    })
    .await;
    let records = store.records(Sequence::new(1), known.sequence.get() as usize).await.unwrap();
    assert_eq!(records.len() as u64, known.sequence.get(), "the whole history is there");
    assert_eq!(records.last().unwrap().hash.to_string(), known.hash, "the chain of hashes");
    // The log and the snapshot lead where the history leads, even if the node has gone on meanwhile.
    let replayed = store.state_at(known.sequence).await.unwrap();
    assert_eq!(hash::state_hash(&replayed).to_string(), known.state, "the history's state");
    let view = store.view();
    if view.position().sequence == known.sequence {
        assert_eq!(*view, replayed, "the log's state");
    }
    node.halt().await;
    records.iter().map(|record| record.event.kind()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_earlier_builds_wrote_is_replayed_and_no_kind_is_missing() {
    let mut kinds = BTreeSet::new();
    for fixture in fixtures() {
        println!("{}", fixture.display());
        kinds.extend(replay(&fixture).await);
    }
    let missing: Vec<&str> =
        codec::KINDS.iter().filter(|(kind, _)| !kinds.contains(kind)).map(|(_, name)| *name).collect();
    assert!(missing.is_empty(), "no fixture has {missing:?}: write the next one, as this file says");
}
