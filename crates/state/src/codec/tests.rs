use trireme_types::{ClusterName, Scope};

use super::*;
use crate::object::{ClusterKey, Tags};

fn event() -> Event {
    let cluster = ClusterKey { scope: Scope::development(), name: ClusterName::new("prod").unwrap() };
    Event::ClusterCreated { cluster, tags: Tags::from([("a".to_owned(), "b".to_owned())]) }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let bytes = encode_event(&event());
    assert_eq!(decode_event(&bytes), Ok(event()));
    for at in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert!(decode_event(&damaged).is_err(), "bit {at}");
    }
}

#[test]
fn cut_bytes_are_refused() {
    let bytes = encode_event(&event());
    for length in 0..bytes.len() {
        assert!(decode_event(&bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn unknown_kinds_and_versions_are_never_skipped() {
    assert_eq!(decode_event(&seal(9_999, 1, &[])), Err(CodecError::UnknownKind { kind: 9_999 }));
    let newer = seal(1, 2, &[]);
    assert_eq!(decode_event(&newer), Err(CodecError::UnknownVersion { kind: 1, version: 2 }));
    assert_eq!(
        decode_snapshot(&seal(1, 1, &[])),
        Err(CodecError::WrongKind { expected: SNAPSHOT, found: 1 })
    );
}

#[test]
fn kind_numbers_are_unique() {
    let numbers: std::collections::BTreeSet<u32> = KINDS.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(numbers.len(), KINDS.len());
}
