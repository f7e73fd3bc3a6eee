//! I4, I11, I14 at the end: each node's own history is whole, its chain holds from the first event to the last, and a state
//! that goes through a snapshot's bytes is the same state.

use trireme_raft::Node;
use trireme_state::codec;
use trireme_types::Sequence;

use super::truth::Truth;
use super::{Check, Violation, hold};

/// A node that has caught up.
///
/// # Errors
/// Its history or its state is not the one that all share.
pub fn check(name: &str, node: &Node, truth: &Truth) -> Check {
    let failed = |error: String| Violation::new("history_is_whole", format!("{name}: {error}"));
    let mut next = 1;
    while next <= truth.length() {
        let records = node.records(Sequence::new(next), 1000).map_err(|error| failed(error.to_string()))?;
        let records = records.ok_or_else(|| failed(format!("record {next} is not here")))?;
        for record in &records {
            hold("history_is_whole", record.sequence.get() == next, || {
                format!("{name}: record {} in place of {next}", record.sequence)
            })?;
            hold("history_is_one", truth.hash(record.sequence) == Some(record.hash), || {
                format!("{name} has another record {next}")
            })?;
            next += 1;
        }
        hold("history_is_whole", !records.is_empty(), || format!("{name} ends before record {next}"))?;
    }
    let state = node.store().applied().state.clone();
    let bytes = codec::encode_snapshot(&state);
    hold("replay_gives_the_same_bytes", bytes == codec::encode_snapshot(truth.state()), || name.to_owned())?;
    let read = codec::decode_snapshot(&bytes);
    hold("a_snapshot_reads_as_it_was", read.as_ref().is_ok_and(|read| *read == *state), || name.to_owned())
}
