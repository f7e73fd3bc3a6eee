//! Whether the nodes hold the same state. Each hashes its own at the end of every entry that reaches a multiple of 1,024
//! events, beside the work on a clone, and compares with what the others say of the same events.
//!
//! A node that differs from a majority of the voters stops: its memory or its disk is damaged, or it has a defect.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};
use trireme_rpc::control;
use trireme_state::{State, StateHash, StateHasher};
use trireme_types::Sequence;

use crate::error::Error;
use crate::log::keys;
use crate::snapshot::blocking;
use crate::storage::{Family, Kv, Op};

/// States that wait to be hashed at most; more are left out.
const QUEUE: usize = 4;
/// Hashes that are remembered.
const KEPT: usize = 32;

/// A state's hash and the last event in it.
pub(crate) type Hashed = (Sequence, StateHash);

/// A state that is to be hashed.
#[derive(Debug)]
pub struct Sample {
    state: State,
    /// Who waits for the hash; nobody for those that are compared between nodes.
    asked: Option<oneshot::Sender<StateHash>>,
}

/// Takes the states that are to be hashed.
#[derive(Debug, Clone)]
pub struct Sampler(mpsc::Sender<Sample>);

impl Sampler {
    /// The two ends of the queue.
    pub fn pair() -> (Self, mpsc::Receiver<Sample>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// The hash of a state, as it follows from the states before it: each object was hashed when it was new, so that one
    /// which was damaged in memory since then shows. `None` when nobody hashes here.
    pub(crate) async fn hash_of(&self, state: &State) -> Option<StateHash> {
        let (asked, answer) = oneshot::channel();
        self.0.send(Sample { state: state.clone(), asked: Some(asked) }).await.ok()?;
        answer.await.ok()
    }

    /// Hands a state over. Applying never waits for hashing: one more is left out then.
    pub fn offer(&self, state: &State) {
        if self.0.try_send(Sample { state: state.clone(), asked: None }).is_err() {
            metrics::counter!("trireme_state_hashes_skipped_total").increment(1);
        }
    }
}

/// The hashes of this node's newest states.
#[derive(Clone, Default)]
pub(crate) struct Hashes(Arc<Mutex<VecDeque<Hashed>>>);

impl Hashes {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Hashed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, hashed: Hashed) {
        let mut kept = self.lock();
        kept.push_back(hashed);
        while kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// All that is remembered, the oldest first.
    pub(crate) fn newest(&self) -> Vec<Hashed> {
        self.lock().iter().copied().collect()
    }

    pub(crate) fn to_wire(&self) -> Vec<control::StateHash> {
        let wire = |(sequence, hash): Hashed| control::StateHash {
            sequence: sequence.get(),
            hash: bytes::Bytes::copy_from_slice(&hash.0),
        };
        self.newest().into_iter().map(wire).collect()
    }
}

/// What a peer said; hashes of a length that nobody knows are left out.
pub(crate) fn from_wire(hashes: &[control::StateHash]) -> Vec<Hashed> {
    let known = |hash: &control::StateHash| {
        let bytes: [u8; 16] = hash.hash.as_ref().try_into().ok()?;
        Some((Sequence::new(hash.sequence), StateHash(bytes)))
    };
    hashes.iter().filter_map(known).collect()
}

/// Hashes what comes, until nobody sends any more.
pub(crate) async fn keep_hashes(mut samples: mpsc::Receiver<Sample>, hashes: Hashes) {
    let mut hasher = StateHasher::default();
    while let Some(Sample { state, asked }) = samples.recv().await {
        let sequence = state.position().sequence;
        let hashed = blocking(move || {
            let hash = hasher.advance(&state);
            Ok((hasher, hash))
        });
        match hashed.await {
            Ok((next, hash)) => {
                hasher = next;
                if let Some(asked) = asked {
                    let _gone = asked.send(hash);
                    continue;
                }
                hashes.push((sequence, hash));
                metrics::gauge!("trireme_state_hash_sequence").set(sequence.get() as f64);
            }
            Err(error) => {
                tracing::error!(%error, "hashing the state failed; it begins anew");
                hasher = StateHasher::default();
            }
        }
    }
}

/// The write that remembers that this node's state differed from the majority's.
pub(crate) fn put_difference(sequence: Sequence) -> Op {
    let bytes = bytes::Bytes::copy_from_slice(&sequence.get().to_be_bytes());
    Op::Put(Family::Meta, keys::DIFFERENCE.to_vec(), bytes)
}

/// Refuses storage whose state was found to differ.
pub(crate) fn check_storage(kv: &dyn Kv) -> Result<(), Error> {
    let Some(bytes) = kv.get(Family::Meta, keys::DIFFERENCE).map_err(Error::Storage)? else {
        return Ok(());
    };
    let sequence = bytes.as_ref().try_into().map_or(0, u64::from_be_bytes);
    Err(Error::Differs { sequence: Sequence::new(sequence) })
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to compare, or all that was compared is equal.
    Equal,
    /// Someone differs, and no majority says who is right.
    Differs {
        /// The last event in the state.
        sequence: Sequence,
        /// Who has another hash.
        nodes: Vec<u64>,
    },
    /// A majority of the voters holds another state than this node.
    Alone {
        /// The last event in the state.
        sequence: Sequence,
        /// This node's hash.
        own: StateHash,
        /// The majority's.
        theirs: StateHash,
    },
}

/// Compares this node's hashes with what the others say; each with whether it is one of the `voters`.
pub(crate) fn judge(own: &[Hashed], voters: usize, others: &BTreeMap<u64, (bool, Vec<Hashed>)>) -> Verdict {
    let majority = voters / 2 + 1;
    let mut verdict = Verdict::Equal;
    for (sequence, hash) in own {
        let mut nodes = Vec::new();
        let mut votes: BTreeMap<StateHash, usize> = BTreeMap::new();
        for (id, (is_voter, theirs)) in others {
            let Some((_, their)) = theirs.iter().find(|(other, _)| other == sequence) else { continue };
            if their != hash {
                nodes.push(*id);
                let count = votes.entry(*their).or_default();
                *count = count.saturating_add(usize::from(*is_voter));
            }
        }
        if let Some((theirs, _)) = votes.into_iter().find(|(_, count)| *count >= majority) {
            return Verdict::Alone { sequence: *sequence, own: *hash, theirs };
        }
        if !nodes.is_empty() {
            verdict = Verdict::Differs { sequence: *sequence, nodes };
        }
    }
    verdict
}

/// The newest event at which a majority of the voters held this node's state, itself counted if it `votes`.
pub(crate) fn agreed(
    own: &[Hashed],
    votes: bool,
    voters: usize,
    others: &BTreeMap<u64, (bool, Vec<Hashed>)>,
) -> Option<Sequence> {
    let majority = voters / 2 + 1;
    let held = |hashed: &&Hashed| {
        let same = others.values().filter(|(is_voter, theirs)| *is_voter && theirs.contains(hashed)).count();
        same.saturating_add(usize::from(votes)) >= majority
    };
    own.iter().rev().find(held).map(|(sequence, _)| *sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64, byte: u8) -> Hashed {
        (Sequence::new(sequence), StateHash([byte; 16]))
    }

    fn others(all: &[(u64, bool, &[Hashed])]) -> BTreeMap<u64, (bool, Vec<Hashed>)> {
        all.iter().map(|(id, votes, hashes)| (*id, (*votes, hashes.to_vec()))).collect()
    }

    #[test]
    fn equal_states_and_those_at_other_events_say_nothing() {
        let own = [at(1_024, 1), at(2_048, 2)];
        let peers = others(&[(2, true, &[at(1_024, 1), at(3_000, 9)]), (3, true, &[])]);
        assert_eq!(judge(&own, 3, &peers), Verdict::Equal);
    }

    #[test]
    fn who_differs_from_a_majority_is_alone() {
        let own = [at(1_024, 7)];
        let peers = others(&[(2, true, &[at(1_024, 1)]), (3, true, &[at(1_024, 1)])]);
        let alone = |verdict| matches!(verdict, Verdict::Alone { .. });
        assert!(alone(judge(&own, 3, &peers)));
        // Of two voters that agree with each other, a learner that differs is alone; a voter among three is not yet.
        assert!(alone(judge(&own, 2, &peers)));
    }

    #[test]
    fn what_a_majority_holds_is_agreed() {
        let own = [at(1_024, 1), at(2_048, 2)];
        let peers = others(&[(2, true, &[at(1_024, 1)]), (3, true, &[at(1_024, 9), at(2_048, 9)])]);
        assert_eq!(agreed(&own, true, 3, &peers), Some(Sequence::new(1_024)));
        assert_eq!(agreed(&own, false, 3, &peers), None, "a learner has no voice of its own");
        assert_eq!(agreed(&own, true, 1, &others(&[])), Some(Sequence::new(2_048)));
    }

    #[test]
    fn a_state_is_hashed_as_it_came_about() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sampler, samples) = Sampler::pair();
            let hashes = Hashes::default();
            tokio::spawn(keep_hashes(samples, hashes.clone()));
            let state = State::new();
            assert_eq!(sampler.hash_of(&state).await, Some(trireme_state::hash::state_hash(&state)));
            assert!(hashes.newest().is_empty(), "it is not one of those that are compared");
        });
        let nobody = Sampler::pair().0;
        assert_eq!(runtime.block_on(nobody.hash_of(&State::new())), None);
    }

    #[test]
    fn without_a_majority_nobody_is_right() {
        let own = [at(1_024, 7)];
        let peers = others(&[(2, true, &[at(1_024, 1)]), (3, true, &[at(1_024, 2)])]);
        let differs = Verdict::Differs { sequence: Sequence::new(1_024), nodes: vec![2, 3] };
        assert_eq!(judge(&own, 3, &peers), differs);
        // The majority is right, and this node is in it.
        let peers = others(&[(2, true, &[at(1_024, 7)]), (3, true, &[at(1_024, 2)])]);
        let differs = Verdict::Differs { sequence: Sequence::new(1_024), nodes: vec![3] };
        assert_eq!(judge(&own, 3, &peers), differs);
        // Learners have no voice.
        let peers = others(&[(2, false, &[at(1_024, 1)]), (3, false, &[at(1_024, 1)]), (4, true, &[])]);
        assert!(matches!(judge(&own, 3, &peers), Verdict::Differs { .. }));
    }
}
