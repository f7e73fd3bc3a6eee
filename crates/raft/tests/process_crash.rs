//! Real processes that die by SIGKILL, and by loss of power.
//!
//! A process writes as fast as it can and prints what was acknowledged; it dies; opened again, everything that was
//! acknowledged must be there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/child.rs"]
mod child;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use child::Sync;
use trireme_raft::Error;
use trireme_state::store::Store;

#[tokio::test(flavor = "multi_thread")]
async fn child_process() {
    child::child_main().await;
}

/// Opens the folder here; returns which of these names are missing, or what else is.
async fn missing(folder: &Path, names: &[String]) -> Result<Vec<String>, String> {
    let node = child::open(folder, Sync::Honest).await.map_err(|error| error.to_string())?;
    let found = look(&node, names).await;
    node.halt().await;
    drop(node);
    support::wait_closed(&trireme_raft::Folder::new(folder)).await;
    found
}

async fn look(node: &trireme_raft::Node, names: &[String]) -> Result<Vec<String>, String> {
    let state = node.store().read().await.map_err(|error| error.to_string())?;
    let records = node.store().history(trireme_types::Sequence::new(1), usize::MAX).await;
    let records = records.map_err(|error| error.to_string())?;
    assert_eq!(records.last().map_or_else(Default::default, |record| record.hash), state.position().hash);
    let missing = names.iter().filter(|name| state.cluster(&support::cluster_key(name)).is_none());
    Ok(missing.cloned().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_loses_nothing_that_was_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("n");
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let sync = if round % 2 == 0 { Sync::Slow } else { Sync::Honest };
        let count = 20 + 37 * round as usize;
        let running = child::spawn("child_process", &folder, round, sync, &[]);
        acknowledged.extend(running.kill_after(count));
        assert_eq!(
            missing(&folder, &acknowledged).await.unwrap(),
            Vec::<String>::new(),
            "after round {round}"
        );
    }
    println!("{} writes acknowledged, none lost", acknowledged.len());
}

/// The preloaded library and its journal.
struct PowerLoss {
    library: PathBuf,
    journal: PathBuf,
    folder: PathBuf,
}

/// What the journal says of one file.
#[derive(Debug, Clone, Default)]
struct Durable {
    length: u64,
    named: bool,
}

impl PowerLoss {
    fn new(place: &Path, folder: &Path) -> Self {
        let library = place.join("power_loss.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/power_loss.c");
        let built = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .status()
            .expect("a C compiler is there: RocksDB needs one too");
        assert!(built.success());
        Self { library, journal: place.join("journal"), folder: folder.to_owned() }
    }

    fn run(&self, round: u32, sync: Sync, count: usize) -> Vec<String> {
        fs::write(&self.journal, "").unwrap();
        let before = files(&self.folder);
        let environment = [
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("POWER_LOSS_JOURNAL", self.journal.to_str().unwrap()),
            ("POWER_LOSS_FOLDER", self.folder.to_str().unwrap()),
        ];
        let names = child::spawn("child_process", &self.folder, round, sync, &environment).kill_after(count);
        self.lose(before);
        names
    }

    /// Takes away everything that no sync has covered.
    fn lose(&self, before: BTreeMap<PathBuf, u64>) {
        let known = before.into_iter().map(|(path, length)| (path, Durable { length, named: true }));
        let mut durable: BTreeMap<PathBuf, Durable> = known.collect();
        let mut renames: Vec<(PathBuf, PathBuf, String)> = Vec::new();
        let journal = fs::read_to_string(&self.journal).unwrap();
        assert!(journal.lines().any(|line| line.starts_with("C ")), "the library was not loaded");
        for line in journal.lines() {
            let (kind, rest) = line.split_once(' ').unwrap();
            match kind {
                "C" => {
                    let named = durable.get(Path::new(rest)).is_some_and(|file| file.named);
                    durable.insert(rest.into(), Durable { length: 0, named });
                }
                "S" => {
                    let (length, path) = rest.split_once(' ').unwrap();
                    let file = durable.entry(path.into()).or_default();
                    file.length = length.parse().unwrap();
                }
                "D" => {
                    let folder = Path::new(rest);
                    renames.retain(|(_, new, _)| new.parent() != Some(folder));
                    let inside = durable.iter_mut().filter(|(path, _)| path.parent() == Some(folder));
                    inside.for_each(|(_, file)| file.named = true);
                }
                "R" => {
                    let words: Vec<&str> = rest.splitn(3, ' ').collect();
                    let file = durable.remove(Path::new(words[1])).unwrap_or_default();
                    renames.push((words[1].into(), words[2].into(), words[0].to_owned()));
                    durable.insert(words[2].into(), Durable { length: file.length, named: false });
                }
                "U" => drop(durable.remove(Path::new(rest))),
                other => panic!("the journal says {other}"),
            }
        }
        for (_, new, saved) in renames.into_iter().rev() {
            let kept = PathBuf::from(format!("{}.{saved}", self.journal.display()));
            let _gone = fs::remove_file(&new);
            durable.remove(&new);
            if kept.exists() {
                fs::rename(&kept, &new).unwrap();
                durable
                    .insert(new.clone(), Durable { length: fs::metadata(&new).unwrap().len(), named: true });
            }
        }
        for (path, length) in files(&self.folder) {
            match durable.get(&path) {
                Some(file) if file.named && file.length < length => {
                    fs::File::options().write(true).open(&path).unwrap().set_len(file.length).unwrap();
                }
                Some(file) if file.named => {}
                _ => fs::remove_file(&path).unwrap(),
            }
        }
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), metadata.len());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_of_power_loses_nothing_that_was_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("n");
    // The folder and its node are there; what follows is what the power is lost in.
    let node = child::open(&folder, Sync::Honest).await.unwrap();
    node.halt().await;
    drop(node);
    support::wait_closed(&trireme_raft::Folder::new(&folder)).await;
    let power = PowerLoss::new(place.path(), &folder);
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        acknowledged.extend(power.run(round, Sync::Honest, 60 + 41 * round as usize));
        assert_eq!(
            missing(&folder, &acknowledged).await.unwrap(),
            Vec::<String>::new(),
            "after round {round}"
        );
    }
    println!("{} writes acknowledged, none lost", acknowledged.len());
}

/// The test above means something only if it fails when the flusher's sync is taken out.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_flushers_sync_loss_of_power_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("n");
    let node = child::open(&folder, Sync::Honest).await.unwrap();
    node.halt().await;
    drop(node);
    support::wait_closed(&trireme_raft::Folder::new(&folder)).await;
    let power = PowerLoss::new(place.path(), &folder);
    let acknowledged = power.run(0, Sync::Missing, 200);
    match child::open(&folder, Sync::Honest).await {
        Err(error @ (Error::Shortened { .. } | Error::Damaged { .. })) => {
            println!("the loss is noticed: {error}")
        }
        Err(other) => panic!("not what a lost write looks like: {other:?}"),
        Ok(node) => {
            let looked = look(&node, &acknowledged).await;
            node.halt().await;
            match looked {
                Ok(missing) => {
                    assert!(!missing.is_empty(), "nothing was lost of {}", acknowledged.len());
                    println!("{} of {} are lost", missing.len(), acknowledged.len());
                }
                // A snapshot has a sync of its own: it may be past a history that is lost.
                Err(reason) => {
                    assert!(reason.contains("is not here, and no peer has it"), "{reason}");
                    println!("the loss is noticed: {reason}");
                }
            }
        }
    }
}
