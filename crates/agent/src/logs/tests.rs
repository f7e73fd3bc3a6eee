use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use proptest::prelude::*;

use super::read::{Span, place};
use super::store::{NewRecord, Store, folder_of};
use super::{Limits, StreamName};

fn name(stream: &str) -> StreamName {
    StreamName { region: "us-east-1".into(), group: "/web".into(), stream: stream.into() }
}

fn small() -> Limits {
    Limits { segment: 256, stream: 1_024, total: 4_096, streams: 8 }
}

fn line(at: u64, message: &str) -> NewRecord {
    NewRecord { at, stamps: vec![at * 1_000_000], message: message.to_owned() }
}

fn span() -> Span {
    Span { limit: 1_000, bytes: u64::MAX, ..Span::default() }
}

fn open(folder: &Path, limits: Limits) -> Store {
    Store::open(folder, limits, false).unwrap()
}

fn messages(store: &Store, stream: &str, span: &Span) -> Vec<String> {
    let (found, _) = store.read(&[name(stream)], span).unwrap();
    found.into_iter().map(|(_, record)| record.message).collect()
}

/// The newest file of a stream.
fn newest(folder: &Path, stream: &str) -> std::path::PathBuf {
    let folder = folder.join(folder_of(&name(stream)));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap()
}

#[test]
fn records_are_there_after_a_restart_in_the_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Limits::default());
    store.append(&name("a/b/c"), vec![line(20, "second"), line(10, "first")], false).unwrap();
    drop(store);
    let store = open(folder.path(), Limits::default());
    store.append(&name("a/b/c"), vec![line(30, "third")], true).unwrap();
    assert_eq!(messages(&store, "a/b/c", &span()), ["first", "second", "third"]);
    let about = store.streams("us-east-1", "/web", 0);
    assert_eq!((about[0].name.as_str(), about[0].first_event, about[0].last_event), ("a/b/c", 10, 30));
    assert!(store.streams("us-east-1", "/we", 0).is_empty());
}

#[test]
fn the_oldest_goes_and_the_bounds_hold() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    for at in 0..200 {
        for stream in ["a", "b", "c", "d", "e", "f"] {
            store.append(&name(stream), vec![line(at, &format!("line {at}"))], false).unwrap();
        }
    }
    let mut total = 0;
    for stream in store.streams("us-east-1", "/web", 0) {
        assert!(stream.bytes <= small().stream, "{}", stream.bytes);
        total += stream.bytes;
    }
    assert!(total <= small().total, "{total}");
    let left = messages(&store, "a", &span());
    assert_eq!(left.last().unwrap(), "line 199");
    assert!(left.len() < 100, "{}", left.len());
    for stream in 0..20 {
        store.append(&name(&stream.to_string()), vec![line(1, "x")], false).unwrap();
    }
    assert_eq!(store.names().len(), small().streams);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        small().streams,
        "nothing is left of the others"
    );
}

#[test]
fn a_torn_end_is_cut_off_and_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Limits::default());
    store.append(&name("a"), vec![line(1, "one"), line(2, "two")], false).unwrap();
    drop(store);
    let path = newest(folder.path(), "a");
    let length = std::fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
    let store = open(folder.path(), Limits::default());
    store.append(&name("a"), vec![line(3, "three")], false).unwrap();
    assert_eq!(messages(&store, "a", &span()), ["one", "three"]);
}

#[test]
fn a_damaged_record_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Limits::default());
    store.append(&name("a"), vec![line(1, "one"), line(2, "two")], false).unwrap();
    drop(store);
    let path = newest(folder.path(), "a");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(messages(&open(folder.path(), Limits::default()), "a", &span()), ["one"]);
}

#[test]
fn what_was_noted_is_not_read_again_and_what_came_after_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Limits::default());
    store.append(&name("a"), vec![line(1, "one")], false).unwrap();
    assert!(store.is_dirty());
    store.sync();
    assert!(!store.is_dirty());
    store.append(&name("a"), vec![line(2, "two")], false).unwrap();
    drop(store);
    let path = newest(folder.path(), "a");
    let length = std::fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let store = open(folder.path(), Limits::default());
    store.append(&name("a"), vec![line(3, "three")], false).unwrap();
    assert_eq!(messages(&store, "a", &span()), ["one", "three"]);
    drop(store);
    // A disk that lost more than was noted: nothing of the note holds.
    File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
    let store = open(folder.path(), Limits::default());
    store.append(&name("a"), vec![line(4, "four")], false).unwrap();
    assert_eq!(messages(&store, "a", &span()), ["four"]);
}

#[test]
fn lines_that_are_there_are_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Limits::default());
    let of = |stamps: &[u64]| NewRecord { at: 1, stamps: stamps.to_vec(), message: "x".into() };
    let base = 100_000_000_000;
    store.append(&name("a"), vec![of(&[base]), of(&[base + 1, base + 1]), of(&[base - 2])], false).unwrap();
    drop(store);
    let mut seen = open(folder.path(), Limits::default()).seen(&name("a")).unwrap();
    assert!(seen.from <= base - 2, "the runtime is asked from before the newest line");
    assert!(!seen.take(&[base - 1]), "it came late, and is new");
    assert!(seen.take(&[base]) && seen.take(&[base + 1]) && seen.take(&[base + 1]));
    assert!(!seen.take(&[base + 1]), "a third line of the same moment is new");
    assert!(seen.take(&[base - 2]), "it came late, but it came");
    assert!(!seen.take(&[1]), "all that was there is past: the clock went back");
    let mut seen = store_of(&folder).seen(&name("a")).unwrap();
    assert!(seen.take(&[seen.from - 1]), "what is older was there, or was given up");
}

fn store_of(folder: &tempfile::TempDir) -> Store {
    open(folder.path(), Limits::default())
}

#[test]
fn what_a_group_does_not_keep_goes_and_what_is_deleted_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    for at in 0..20 {
        store.append(&name("a"), vec![line(at, &"x".repeat(100))], false).unwrap();
    }
    let before = messages(&store, "a", &span()).len();
    assert!(before > 5, "{before}");
    store.expire("us-east-1", "/web", 18);
    let after = messages(&store, "a", &span()).len();
    assert!(after < before && after >= 2, "{before}, then {after}");
    assert!(store.delete(&name("a")).unwrap());
    assert!(!store.delete(&name("a")).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_goes_unshipped_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small(), true).unwrap();
    store.append(&name("a"), vec![line(1, "one"), line(2, "two")], false).unwrap();
    let waiting = store.unshipped();
    assert_eq!(waiting, [(name("a"), 0)]);
    let records = store.after(&name("a"), 0, 1, 1_000).unwrap();
    assert_eq!((records.len(), records[0].message.as_str()), (1, "one"));
    store.ship(&name("a"), records[0].number);
    let rest = store.after(&name("a"), records[0].number, 10, 1_000).unwrap();
    assert_eq!(rest.len(), 1);
    store.ship(&name("a"), rest[0].number);
    assert!(store.unshipped().is_empty());
}

proptest! {
    /// Page by page in both directions is the same as all at once, whatever the order in which records came.
    #[test]
    fn pages_give_each_record_once(times in proptest::collection::vec(0u64..30, 1..60), limit in 1usize..7, cut in 0u64..30) {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), Limits { segment: 200, ..Limits::default() });
        for (index, at) in times.iter().enumerate() {
            store.append(&name(if index % 3 == 0 { "a" } else { "b" }), vec![line(*at, &index.to_string())], false).unwrap();
        }
        let names = [name("a"), name("b")];
        let all = Span { start: cut, ..span() };
        let (all, more) = store.read(&names, &all).unwrap();
        prop_assert!(!more);
        let all: Vec<_> = all.into_iter().map(|(_, record)| record).collect();
        prop_assert!(all.is_sorted_by_key(place));
        let mut known = BTreeMap::new();
        for at in &times {
            *known.entry(*at).or_insert(0) += u32::from(*at >= cut);
        }
        prop_assert_eq!(all.len() as u32, known.values().sum::<u32>());
        for newest in [false, true] {
            let mut pages = Vec::new();
            let mut edge = None;
            loop {
                let (after, before) = if newest { (None, edge) } else { (edge, None) };
                let page = Span { start: cut, after, before, newest, limit, ..span() };
                let (found, more) = store.read(&names, &page).unwrap();
                let found: Vec<_> = found.into_iter().map(|(_, record)| record).collect();
                prop_assert!(found.len() <= limit);
                edge = if newest { found.first() } else { found.last() }.map(place).or(edge);
                if newest { pages.splice(0..0, found) } else { pages.splice(pages.len().., found) };
                if !more { break; }
            }
            prop_assert_eq!(&pages, &all);
        }
    }
}
