#![allow(clippy::unwrap_used)]

use super::*;
use crate::storage::disk::DiskFiles;
use trireme_state::store::{LocalStore, Store};
use trireme_state::{Actor, Command, Proposal};
use trireme_types::{ClusterName, RequestId, Scope, Timestamp};

const CLUSTER: ClusterUuid = ClusterUuid::from_bits(7);

/// States after 1, 2, … events.
fn states(count: u64) -> Vec<State> {
    let store = LocalStore::new([1; 32], Timestamp::EPOCH);
    let one = |number| {
        let name = ClusterName::new(&format!("c{number}")).unwrap();
        let cluster = trireme_state::object::ClusterKey { scope: Scope::development(), name };
        let command = Command::CreateCluster { cluster, tags: Default::default() };
        let request_id = RequestId::from_bits(u128::from(number));
        store.propose_now(&Proposal { actor: Actor::Operator, request_id, key: None, command }).unwrap();
        State::clone(&store.view())
    };
    (1..=count).map(one).collect()
}

fn sequences(checkpoints: &Checkpoints) -> Vec<u64> {
    checkpoints.positions().into_iter().map(|position| position.sequence.get()).collect()
}

#[test]
fn damage_is_found_and_an_older_one_is_used() {
    let place = tempfile::tempdir().unwrap();
    let open = || {
        let files = Arc::new(DiskFiles::open(place.path()).unwrap());
        Checkpoints::open(files, CLUSTER).unwrap()
    };
    let checkpoints = open();
    let states = states(40);
    for number in [10, 20, 30, 40] {
        checkpoints.write(states[number - 1].clone()).unwrap();
    }
    assert_eq!(sequences(&open()), [10, 20, 30, 40]);
    let flip = |number: u64, place_from_end: usize| {
        let entries = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path());
        let prefix = format!("{number:020}-");
        let mut found =
            entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix));
        let path = found.next().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = if place_from_end == 0 { 20 } else { bytes.len() - place_from_end };
        bytes[at] ^= 4;
        std::fs::write(path, bytes).unwrap();
    };
    flip(40, 9);
    let newest = checkpoints.newest_sound(Sequence::new(1), Sequence::new(100)).unwrap();
    assert_eq!(newest, Some(states[29].position()));
    assert_eq!(sequences(&checkpoints), [10, 20, 30], "it is forgotten");
    flip(20, 3);
    checkpoints.load(states[19].position()).unwrap_err();
    assert_eq!(checkpoints.load(states[9].position()).unwrap(), states[9]);
    // A broken header is found at once.
    flip(30, 0);
    let again = open();
    assert_eq!(sequences(&again), [10]);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    // Nor is another cluster's used.
    let files = Arc::new(DiskFiles::open(place.path()).unwrap());
    assert_eq!(sequences(&Checkpoints::open(files, ClusterUuid::from_bits(8)).unwrap()), Vec::<u64>::new());
}

#[test]
fn there_are_never_many_and_the_first_and_the_last_stay() {
    let disk = crate::storage::memory::MemoryDisk::new();
    let checkpoints = Checkpoints::open(disk.storage().checkpoints, CLUSTER).unwrap();
    for state in states(50) {
        checkpoints.write(state).unwrap();
        checkpoints.prune(Sequence::new(0), MOST).unwrap();
        assert!(checkpoints.positions().len() <= MOST);
    }
    let kept = sequences(&checkpoints);
    assert_eq!((kept.first(), kept.last()), (Some(&1), Some(&50)));
    // A pressed disk has room for the first and the last only.
    checkpoints.prune(Sequence::new(0), MOST_PRESSED).unwrap();
    assert_eq!(sequences(&checkpoints), [1, 50]);
    checkpoints.prune(Sequence::new(40), MOST).unwrap();
    assert!(sequences(&checkpoints).iter().all(|sequence| *sequence >= 40));
    assert_eq!(disk.storage().checkpoints.list().unwrap().len(), sequences(&checkpoints).len());
}

#[test]
fn a_wish_holds_until_a_checkpoint_that_fulfils_it_is_durable() {
    let disk = crate::storage::memory::MemoryDisk::new();
    let checkpoints = Checkpoints::open(disk.storage().checkpoints, CLUSTER).unwrap();
    let states = states(30);
    checkpoints.want(Sequence::new(20));
    checkpoints.write(states[9].clone()).unwrap();
    assert_eq!(checkpoints.wanted(), Some(Sequence::new(20)), "an older one does not count");
    disk.power_off();
    checkpoints.write(states[24].clone()).unwrap_err();
    assert_eq!(checkpoints.wanted(), Some(Sequence::new(20)), "nor one that was not written");
    disk.power_on();
    checkpoints.write(states[24].clone()).unwrap();
    assert_eq!(checkpoints.wanted(), None);
}

#[test]
fn without_room_none_is_written_but_a_snapshots_file_is_taken_over() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let snapshots = DiskFiles::open(one.path()).unwrap();
    let checkpoints = Checkpoints::open(Arc::new(DiskFiles::open(other.path()).unwrap()), CLUSTER).unwrap();
    checkpoints.room.measured_by(&Arc::new(Mutex::new(Some(1_000))));
    let states = states(2);
    let full = checkpoints.write(states[0].clone()).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    let content = Content { meta: Default::default(), highest_node_id: 0, state: states[1].clone() };
    let snapshot = file::write(CLUSTER, &content, None, &snapshots).unwrap();
    snapshot.commit("snapshot").unwrap();
    checkpoints.copy(states[1].position(), &snapshot).unwrap();
    assert_eq!(checkpoints.load(states[1].position()).unwrap(), states[1]);
    // It stays when the snapshot goes.
    snapshots.remove("snapshot").unwrap();
    assert_eq!(checkpoints.load(states[1].position()).unwrap(), states[1]);
}

#[test]
fn a_state_that_was_damaged_in_memory_is_neither_written_nor_taken() {
    let place = tempfile::tempdir().unwrap();
    let files = DiskFiles::open(place.path()).unwrap();
    let states = states(2);
    let content =
        |state: &State| Content { meta: Default::default(), highest_node_id: 0, state: state.clone() };
    let hash = trireme_state::hash::state_hash(&states[1]);
    let error = file::write(CLUSTER, &content(&states[0]), Some(hash), &files).err().unwrap();
    assert!(error.to_string().contains("and should have"), "{error}");
    // One that a leader wrote all the same: the checksums are those of what is in it.
    let sound: Blob = file::write(CLUSTER, &content(&states[1]), Some(hash), &files).unwrap();
    let (bytes, old) = (sound.read(0, 1 << 20).unwrap(), hash.0);
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    let mut forged = bytes.to_vec();
    forged[at] ^= 1;
    let end = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let sum = crc32c::crc32c(&forged[12..end]).to_be_bytes();
    forged[end..end + 4].copy_from_slice(&sum);
    let mut writer = files.create().unwrap();
    writer.write(&forged).unwrap();
    let forged = writer.finish().unwrap();
    assert!(file::verify(CLUSTER, &forged).is_ok(), "every checksum is right");
    assert!(file::read(CLUSTER, &forged).err().unwrap().to_string().contains("and should have"));
    assert_eq!(file::read(CLUSTER, &sound).unwrap().state, states[1]);
}
