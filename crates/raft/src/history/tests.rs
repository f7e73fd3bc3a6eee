#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use super::*;
use crate::checkpoint::Checkpoints;
use crate::error::Error;
use crate::storage::memory::MemoryDisk;
use crate::storage::rocks::RocksKv;
use trireme_state::object::{ClusterKey, Tags};
use trireme_state::{Actor, Event, State, apply_entry};
use trireme_types::{ClusterName, ClusterUuid, RequestId, Scope};

/// A history that is written event by event, and the states on the way.
struct Story {
    kv: Arc<dyn Kv>,
    history: History,
    checkpoints: Arc<Checkpoints>,
    states: Vec<State>,
}

fn event(number: u64, filler: &str) -> Event {
    let name = ClusterName::new(&format!("c{}", number % 20)).unwrap();
    let cluster = ClusterKey { scope: Scope::development(), name };
    if number % 3 == 2 {
        return Event::ClusterDeleted { cluster };
    }
    Event::ClusterCreated { cluster, tags: Tags::from([("filler".to_owned(), filler.to_owned())]) }
}

fn following(state: &State, event: Event) -> Entry {
    let number = state.position().sequence.get();
    Entry {
        base: state.position(),
        at: Timestamp::from_millis(1_000 + number * 10),
        actor: Actor::Operator,
        request_id: RequestId::from_bits(u128::from(number)),
        events: vec![SealedEvent::seal(event)],
    }
}

impl Story {
    fn begin(kv: Arc<dyn Kv>, disk: &MemoryDisk) -> Self {
        let history = History::open(Arc::clone(&kv)).unwrap();
        let checkpoints = Checkpoints::open(disk.storage().checkpoints, ClusterUuid::from_bits(1)).unwrap();
        Self { kv, history, checkpoints, states: vec![State::new()] }
    }

    fn in_memory(disk: &MemoryDisk) -> Self {
        Self::begin(disk.storage().kv, disk)
    }

    fn write(&mut self, count: u64, filler: impl Fn(u64) -> String) {
        let mut ops = Vec::new();
        for _ in 0..count {
            let mut state = self.now().clone();
            let number = state.position().sequence.get();
            let entry = following(&state, event(number, &filler(number)));
            self.history.record(&entry, &mut ops);
            apply_entry(&mut state, &entry);
            self.states.push(state);
            if ops.len() >= 500 {
                self.kv.write(std::mem::take(&mut ops)).unwrap();
            }
        }
        self.kv.write(ops).unwrap();
    }

    fn now(&self) -> &State {
        self.states.last().unwrap()
    }

    fn at(&self, sequence: u64) -> &State {
        &self.states[sequence as usize]
    }

    fn checkpoint(&self, sequence: u64) -> Position {
        self.checkpoints.write(self.at(sequence).clone()).unwrap()
    }

    /// Everything from the first kept record on verifies, and can be replayed if it begins at a checkpoint.
    fn verify(&self, history: &History) {
        let applied = self.now().position();
        let start = history.extent().start;
        assert_eq!(start, self.at(start.sequence.get()).position());
        let mut next = start.sequence.next();
        while next <= applied.sequence {
            let Part::Records(records) = history.read(next, 5_000, applied).unwrap() else {
                panic!("at {next}")
            };
            next = Sequence::new(records.last().unwrap().sequence).next();
        }
        if start.sequence.get() > 0 {
            let before = history.read(start.sequence, 1, applied).unwrap();
            assert!(matches!(before, Part::Trimmed { first } if first == start.sequence.next()));
        }
    }

    fn replayed(&self, sequence: u64) -> Result<State, Error> {
        self.history.state_at(&self.checkpoints, Sequence::new(sequence), self.now().position())
    }

    fn trim_all(&self, to: Position) {
        while self.history.trim(to).unwrap() {}
    }

    fn records_on_disk(&self) -> usize {
        let mut count = 0;
        self.kv
            .scan(Family::History, &keys::number(0), &keys::end(), &mut |_, _| {
                count += 1;
                Ok(true)
            })
            .unwrap();
        count
    }
}

fn small(_: u64) -> String {
    "x".to_owned()
}

#[test]
fn after_each_batch_the_history_verifies_from_its_start() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(21_000, small);
    let checkpoint = story.checkpoint(20_000);
    let mut batches = 0;
    loop {
        let more = story.history.trim(checkpoint).unwrap();
        batches += 1;
        story.verify(&story.history);
        // What a restart finds is the same.
        story.verify(&History::open(disk.storage().kv).unwrap());
        if !more {
            break;
        }
    }
    assert_eq!(batches, 3);
    assert_eq!(story.records_on_disk(), 1_000);
    assert!(!story.history.trim(checkpoint).unwrap(), "once is enough");
}

#[test]
fn a_crash_before_the_sync_loses_the_whole_batch_and_nothing_else() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(3_000, small);
    let checkpoint = story.checkpoint(2_000);
    disk.sync().unwrap();
    story.trim_all(checkpoint);
    disk.lose_power();
    let history = History::open(disk.storage().kv).unwrap();
    assert_eq!(history.extent(), Extent::default());
    story.verify(&history);
    while history.trim(checkpoint).unwrap() {}
    disk.sync().unwrap();
    disk.lose_power();
    let history = History::open(disk.storage().kv).unwrap();
    assert_eq!(history.extent().start, checkpoint);
    story.verify(&history);
}

#[test]
fn a_log_that_is_applied_again_brings_nothing_back() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(100, small);
    let checkpoint = story.checkpoint(60);
    story.trim_all(checkpoint);
    // The last five are lost with the machine.
    for number in 96..=100 {
        story.kv.write(vec![Op::Delete(Family::History, keys::number(number))]).unwrap();
    }
    let history = History::open(disk.storage().kv).unwrap();
    let mut ops = Vec::new();
    for number in 50..100 {
        history.record(&following(story.at(number), event(number, "x")), &mut ops);
    }
    assert_eq!(ops.len(), 5, "those, and neither what was trimmed nor what is there");
    story.kv.write(ops).unwrap();
    assert_eq!(story.records_on_disk(), 40);
    story.verify(&history);
}

#[test]
fn a_checkpoint_of_another_history_deletes_nothing() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(100, small);
    let mut wrong = story.at(60).position();
    wrong.hash.0[0] ^= 1;
    assert!(story.history.trim(wrong).unwrap_err().to_string().contains("another history"));
    // Nor does one that lies behind the end.
    let beyond = Position { sequence: Sequence::new(500), ..wrong };
    story.history.trim(beyond).unwrap_err();
    assert_eq!(story.records_on_disk(), 100);
}

#[test]
fn the_state_at_any_kept_event_is_the_one_that_was() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(10_000, small);
    for sequence in [0, 1, 4_095, 4_096, 4_097, 9_999, 10_000] {
        assert_eq!(story.replayed(sequence).unwrap(), *story.at(sequence), "at {sequence}");
    }
    let (first, second) = (story.checkpoint(3_000), story.checkpoint(7_000));
    story.trim_all(first);
    for sequence in [3_000, 3_001, 6_999, 7_000, 7_001, 10_000] {
        assert_eq!(story.replayed(sequence).unwrap(), *story.at(sequence), "at {sequence}");
    }
    let gone = story.replayed(2_999);
    assert!(matches!(gone, Err(Error::Trimmed { first, .. }) if first.get() == 3_001), "{gone:?}");
    assert!(matches!(story.replayed(10_001), Err(Error::NotYet { .. })));
    // A changed record is found, wherever the replay passes it; a checkpoint behind it does not need it.
    let key = keys::number(6_000);
    let mut record =
        log::HistoryRecord::decode(story.kv.get(Family::History, &key).unwrap().unwrap()).unwrap();
    record.at_millis += 1;
    story.kv.write(vec![Op::Put(Family::History, key, record.encode_to_vec().into())]).unwrap();
    assert_eq!(story.replayed(5_998).unwrap(), *story.at(5_998));
    for sequence in [6_000, 6_500] {
        let damaged = story.replayed(sequence);
        assert!(matches!(damaged, Err(Error::History { .. })), "{damaged:?}");
    }
    assert_eq!(story.replayed(7_500).unwrap(), *story.at(7_500));
    assert_eq!(second, story.at(7_000).position());
}

#[test]
fn a_gap_is_trimmed_over_and_filled_from_the_new_start() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(1_000, small);
    let all = story.history.read(Sequence::new(1), 1_000, story.now().position()).unwrap();
    let Part::Records(all) = all else { panic!() };
    // Another node: it has the first 100, a snapshot brought it to 900.
    let other = MemoryDisk::new();
    let mut late = Story::in_memory(&other);
    late.write(100, small);
    late.history.jump(story.at(900).position()).unwrap();
    late.states = story.states.clone();
    let elsewhere = late.replayed(500);
    assert!(matches!(elsewhere, Err(Error::Elsewhere { .. })), "{elsewhere:?}");
    assert_eq!(late.replayed(100).unwrap(), *story.at(100));
    late.trim_all(late.checkpoint(400));
    let extent = late.history.extent();
    assert_eq!(extent.start, story.at(400).position());
    assert_eq!(extent.gap, Some((story.at(400).position(), story.at(900).position())));
    assert_eq!(late.records_on_disk(), 0);
    // Records that do not follow are refused.
    late.history.fill(&all[500..600]).unwrap_err();
    assert!(!late.history.fill(&all[400..600]).unwrap());
    assert!(late.history.fill(&all[600..1_000]).unwrap());
    assert_eq!(late.records_on_disk(), 500);
    assert_eq!(
        late.history.state_at(&late.checkpoints, Sequence::new(700), story.at(900).position()).unwrap(),
        *story.at(700)
    );
    // A checkpoint behind a gap ends it.
    let third = MemoryDisk::new();
    let later = Story { states: story.states.clone(), ..Story::in_memory(&third) };
    later.history.jump(story.at(900).position()).unwrap();
    later.trim_all(later.checkpoint(900));
    assert_eq!(later.history.extent(), Extent { start: story.at(900).position(), gap: None });
}

#[test]
fn the_age_is_found_by_halves() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(1_000, small);
    let last = Sequence::new(1_000);
    let older = |millis| story.history.last_before(Timestamp::from_millis(millis), last).unwrap().get();
    // Event n happened at 1000 + 10 (n - 1).
    assert_eq!(older(0), 0);
    assert_eq!(older(1_000), 0);
    assert_eq!(older(1_001), 1);
    assert_eq!(older(6_000), 500);
    assert_eq!(older(u64::MAX), 1_000);
    story.trim_all(story.checkpoint(600));
    assert_eq!(older(6_000), 600, "what is gone is not asked for");
    assert_eq!(older(8_000), 700);
}

#[test]
fn what_is_missing_is_not_old_only_because_it_is_missing() {
    let mut story = Story::in_memory(&MemoryDisk::new());
    story.write(100, small);
    let mut whole = Story::in_memory(&MemoryDisk::new());
    whole.write(1_000, small);
    story.history.jump(whole.at(900).position()).unwrap();
    let older = |millis, last| {
        story.history.last_before(Timestamp::from_millis(millis), Sequence::new(last)).unwrap().get()
    };
    // Nothing is known behind the gap yet.
    assert_eq!(older(u64::MAX, 900), 100);
    let mut ops = Vec::new();
    for number in 900..1_000 {
        whole.history.record(&following(whole.at(number), event(number, "x")), &mut ops);
    }
    story.kv.write(ops).unwrap();
    assert_eq!(older(1_501, 1_000), 51);
    assert_eq!(older(9_000, 1_000), 100, "what is behind the gap is younger, and the gap may be");
    assert_eq!(older(10_501, 1_000), 951, "what is behind the gap is older, and so is the gap");
    // Where nothing is missing from there on, it begins.
    assert_eq!(story.history.extent().first(), Sequence::new(901));
    assert_eq!(whole.history.extent().first(), Sequence::new(1));
}

fn damage(story: &Story, sequence: u64) {
    story
        .kv
        .write(vec![Op::Put(Family::History, keys::number(sequence), bytes::Bytes::from_static(b"\xff"))])
        .unwrap();
}

#[test]
fn a_damaged_record_at_the_end_of_a_batch_goes_with_all_others() {
    let mut story = Story::in_memory(&MemoryDisk::new());
    story.write(21_000, small);
    let checkpoint = story.checkpoint(20_000);
    // The end of the first batch, the one behind it, and the checkpoint's own.
    for place in [8_192, 16_385, 20_000] {
        damage(&story, place);
    }
    assert!(!story.history.trim(checkpoint).unwrap());
    assert_eq!(story.history.extent().start, checkpoint);
    assert_eq!(story.records_on_disk(), 1_000);
    story.verify(&story.history);
}

#[test]
fn a_damaged_record_counts_as_young_unless_a_later_one_is_old() {
    let mut story = Story::in_memory(&MemoryDisk::new());
    story.write(1_000, small);
    let older = |millis| {
        story.history.last_before(Timestamp::from_millis(millis), Sequence::new(1_000)).unwrap().get()
    };
    // Those where the search by halves begins.
    for place in [500, 501, 750] {
        damage(&story, place);
    }
    assert_eq!(older(6_001), 499);
    assert_eq!(older(6_021), 503, "they lie between old ones");
    assert_eq!(older(u64::MAX), 1_000);
}

/// Storage whose writes wait until they may go on, and that counts what room it was asked to give back.
struct Slow {
    inner: Arc<dyn Kv>,
    gate: std::sync::Mutex<()>,
    writing: std::sync::atomic::AtomicBool,
    /// Somebody has looked for a record.
    looked: std::sync::atomic::AtomicBool,
    reclaims: AtomicU64,
}

impl Kv for Slow {
    fn write(&self, ops: Vec<Op>) -> io::Result<()> {
        self.writing.store(true, Ordering::SeqCst);
        let _open = self.gate.lock().unwrap();
        self.inner.write(ops)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<bytes::Bytes>> {
        let found = self.inner.get(family, key);
        self.looked.store(true, Ordering::SeqCst);
        found
    }
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        more: &mut dyn FnMut(&[u8], bytes::Bytes) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.inner.scan(family, from, to, more)
    }
    fn last(&self, family: Family, from: &[u8]) -> io::Result<Option<(bytes::Bytes, bytes::Bytes)>> {
        self.inner.last(family, from)
    }
    fn reclaim(&self, _family: Family, _from: &[u8], _last: &[u8]) -> io::Result<()> {
        self.reclaims.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn slow(disk: &MemoryDisk) -> Arc<Slow> {
    Arc::new(Slow {
        inner: disk.storage().kv,
        gate: Default::default(),
        writing: Default::default(),
        looked: Default::default(),
        reclaims: AtomicU64::new(0),
    })
}

/// Trims, and does something while that waits for its write, the lock held and nothing shown yet.
fn while_trimming(kv: &Slow, history: &History, checkpoint: Position, meanwhile: impl FnOnce()) {
    let closed = kv.gate.lock().unwrap();
    std::thread::scope(|scope| {
        let trimming = scope.spawn(|| history.trim(checkpoint).unwrap());
        until(&kv.writing);
        meanwhile();
        drop(closed);
        trimming.join().unwrap();
    });
}

fn until(flag: &std::sync::atomic::AtomicBool) {
    while !flag.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
}

#[test]
fn readers_of_the_extent_do_not_wait_for_a_write() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(100, small);
    let checkpoint = story.checkpoint(60);
    let kv = slow(&disk);
    let history = History::open(kv.clone()).unwrap();
    while_trimming(&kv, &history, checkpoint, || {
        assert_eq!(history.extent(), Extent::default(), "what is not written is not shown");
    });
    assert_eq!(history.extent().start, checkpoint);
}

/// A reader that meets the deletion before it is shown waits for it, and learns why the record is gone.
#[test]
fn who_reads_what_is_being_trimmed_is_told_so() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(100, small);
    let (checkpoint, applied) = (story.checkpoint(60), story.states.last().unwrap().position());
    let kv = slow(&disk);
    let history = History::open(kv.clone()).unwrap();
    std::thread::scope(|scope| {
        let mut reading = None;
        while_trimming(&kv, &history, checkpoint, || {
            // As the write does it.
            let gone = Op::DeleteRange(Family::History, keys::number(1), keys::number(61));
            kv.inner.write(vec![gone]).unwrap();
            kv.looked.store(false, Ordering::SeqCst);
            reading = Some(scope.spawn(|| history.read(Sequence::new(10), 5, applied)));
            // It has found nothing before the trimming goes on.
            until(&kv.looked);
        });
        let read = reading.unwrap().join().unwrap().unwrap();
        let Part::Trimmed { first } = read else { panic!("{read:?}") };
        assert_eq!(first, Sequence::new(61));
    });
}

#[test]
fn room_is_given_back_once_and_not_at_each_start() {
    let disk = MemoryDisk::new();
    let mut story = Story::in_memory(&disk);
    story.write(100, small);
    let kv = slow(&disk);
    let history = History::open(kv.clone()).unwrap();
    history.reclaim().unwrap();
    assert_eq!(kv.reclaims.load(Ordering::SeqCst), 0, "nothing is deleted");
    history.trim(story.checkpoint(60)).unwrap();
    for _ in 0..3 {
        History::open(kv.clone()).unwrap().reclaim().unwrap();
    }
    assert_eq!(kv.reclaims.load(Ordering::SeqCst), 1);
    history.trim(story.checkpoint(80)).unwrap();
    history.reclaim().unwrap();
    assert_eq!(kv.reclaims.load(Ordering::SeqCst), 2);
}

fn size(folder: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    files.sum()
}

#[test]
fn the_room_comes_back_on_rocksdb() {
    use rand::Rng;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("db");
    let kv = Arc::new(RocksKv::open(&path).unwrap());
    let mut story = Story::begin(kv.clone(), &MemoryDisk::new());
    // What cannot be compressed.
    let filler = |_| (0..2_000).map(|_| rand::rng().sample(rand::distr::Alphanumeric) as char).collect();
    story.write(30_000, filler);
    kv.sync().unwrap();
    let before = size(&path);
    story.trim_all(story.checkpoint(28_000));
    kv.sync().unwrap();
    story.history.reclaim().unwrap();
    let after = size(&path);
    println!("{before} bytes, then {after}");
    assert!(after < before / 4, "{before} bytes, then {after}");
    story.verify(&story.history);
    kv.close();
    let kv = Arc::new(RocksKv::open(&path).unwrap());
    story.verify(&History::open(kv.clone()).unwrap());
    kv.close();
}
