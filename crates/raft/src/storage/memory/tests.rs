//! Power that fails at an exact call.
#![allow(clippy::unwrap_used)]

use super::*;

fn put(key: u8) -> Vec<Op> {
    vec![Op::Put(Family::Log, vec![key], Bytes::from_static(b"x"))]
}

fn keys(disk: &MemoryDisk) -> Vec<u8> {
    let mut found = Vec::new();
    let more = &mut |key: &[u8], _| {
        found.extend_from_slice(key);
        Ok(true)
    };
    disk.scan(Family::Log, &[0], &[255], more).unwrap();
    found
}

fn after(disk: &MemoryDisk) -> Vec<u8> {
    assert!(disk.has_failed());
    disk.power_off();
    disk.power_on();
    assert!(!disk.has_failed());
    keys(disk)
}

#[test]
fn the_call_at_which_power_fails_is_made_or_not_and_none_after_it() {
    for (done, kept, left) in [(true, 0, vec![1]), (true, 1000, vec![1, 2, 3]), (false, 1000, vec![1, 2])] {
        let disk = MemoryDisk::new();
        Kv::write(&disk, put(1)).unwrap();
        disk.sync().unwrap();
        disk.fail_at(Some(Failure { call: Some(Call::Write), after: 1, done, kept }));
        Kv::write(&disk, put(2)).unwrap();
        assert_eq!(Kv::write(&disk, put(3)).is_ok(), done, "an answered call is a call that was made");
        assert!(Kv::write(&disk, put(4)).is_err() && disk.sync().is_err());
        assert_eq!(after(&disk), left, "{done} {kept}");
    }
}

#[test]
fn only_calls_of_its_kind_count_and_it_may_be_called_off() {
    let disk = MemoryDisk::new();
    disk.fail_at(Some(Failure { call: Some(Call::Mark), after: 0, done: true, kept: 0 }));
    Kv::write(&disk, put(1)).unwrap();
    disk.sync().unwrap();
    Kv::write(&disk, put(2)).unwrap();
    assert!(!disk.has_failed());
    MarkFile::write(&disk, b"mark").unwrap();
    assert_eq!(after(&disk), vec![1], "the mark says more than there is");
    disk.fail_at(Some(Failure { call: None, after: 0, done: true, kept: 0 }));
    disk.fail_at(None);
    Kv::write(&disk, put(3)).unwrap();
    assert!(!disk.has_failed());
}
