//! openraft's own storage suite, on RocksDB and on the simulation's disk.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use trireme_raft::agreement::Sampler;
use trireme_raft::config::TypeConfig;
use trireme_raft::history::History;
use trireme_raft::log::flusher::Flusher;
use trireme_raft::log::mark::Mark;
use trireme_raft::log::store::LogStore;
use trireme_raft::machine::Machine;
use trireme_raft::snapshot::Snapshots;
use trireme_raft::storage::disk::DiskFiles;
use trireme_raft::storage::memory::MemoryDisk;
use trireme_raft::storage::rocks::RocksKv;
use trireme_raft::storage::{Kv, Storage};
use trireme_state::FeatureLevel;
use trireme_types::ClusterUuid;

fn parts(storage: Storage, flusher: Flusher) -> (LogStore, Machine) {
    let log =
        LogStore::open(Arc::clone(&storage.kv), flusher.clone(), Mark::open(storage.mark).unwrap()).unwrap();
    let history = Arc::new(History::open(Arc::clone(&storage.kv)).unwrap());
    let snapshots = Snapshots::open(storage.files, flusher, ClusterUuid::from_bits(1)).unwrap();
    let (machine, _view) =
        Machine::new(storage.kv, history, snapshots, Sampler::pair().0, FeatureLevel::LATEST);
    (log, machine)
}

struct OnRocks;

/// Closes the database before its folder goes and the test's process ends.
struct Guard {
    kv: Arc<RocksKv>,
    _place: tempfile::TempDir,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kv.close();
    }
}

impl StoreBuilder<TypeConfig, LogStore, Machine, Guard> for OnRocks {
    async fn build(&self) -> Result<(Guard, LogStore, Machine), StorageError<TypeConfig>> {
        let place = tempfile::tempdir().unwrap();
        let kv = Arc::new(RocksKv::open(&place.path().join("db")).unwrap());
        let files = Arc::new(DiskFiles::open(&place.path().join("snapshots")).unwrap());
        let flusher = Flusher::thread(kv.clone()).unwrap();
        let guard = Guard { kv: kv.clone(), _place: place };
        let (log, machine) = parts(Storage { kv, files, ..MemoryDisk::new().storage() }, flusher);
        Ok((guard, log, machine))
    }
}

struct InMemory;

impl StoreBuilder<TypeConfig, LogStore, Machine, ()> for InMemory {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError<TypeConfig>> {
        let storage = MemoryDisk::new().storage();
        let flusher = Flusher::task(storage.kv.clone(), std::sync::Arc::new(|| Duration::from_micros(1)));
        let (log, machine) = parts(storage, flusher);
        Ok(((), log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rocksdb_passes_openrafts_suite() {
    Suite::test_all(OnRocks).await.unwrap();
}

#[tokio::test]
async fn the_simulated_disk_passes_openrafts_suite() {
    Suite::test_all(InMemory).await.unwrap();
}
