//! Whether what a node keeps of the history is whole.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use trireme_raft::{Error, RaftStore};
use trireme_state::Position;
use trireme_state::store::Store;

/// All that this node keeps, read through itself: whole, and chained up to its state. Read anew when it is trimmed meanwhile.
pub async fn verify(store: &RaftStore) {
    while chained(store).await.is_none() {}
}

/// Where what was read begins and ends; `None` when it was trimmed meanwhile.
pub async fn chained(store: &RaftStore) -> Option<(Position, Position)> {
    let (start, applied) = (store.history_extent().start, store.view().position());
    let mut next = start.sequence.next();
    let mut last = start.hash;
    while next <= applied.sequence {
        let records = match store.records(next, 2_000).await {
            Ok(records) => records,
            Err(Error::Trimmed { first, .. }) if first > start.sequence.next() => return None,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(records.first().unwrap().sequence, next);
        // What was written since is there too.
        let known = records.iter().take_while(|record| record.sequence <= applied.sequence);
        let end = known.last().unwrap();
        (next, last) = (end.sequence.next(), end.hash);
    }
    assert_eq!(last, applied.hash);
    Some((start, applied))
}
