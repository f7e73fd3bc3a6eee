//! From when on a node has all samples. It lacks what was put before it started until another node gave it a copy. What could not be sent to it
//! while it ran is copied too; such a gap is small, and soon filled, so that nothing waits for it.

use std::collections::BTreeSet;

use trireme_types::Timestamp;

/// More nodes than a cluster has.
const TELLERS: usize = 64;

/// From when on, and whether a copy is wanted.
#[derive(Debug, Default)]
pub(crate) struct Wholeness {
    since: Timestamp,
    gap: Option<Gap>,
    /// How often something was missed.
    number: u64,
}

/// What is missing, and who has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gap {
    number: u64,
    /// Whether there is nothing from before the node started.
    pub start: bool,
    /// Nodes that could not send something, and so have it.
    pub tellers: BTreeSet<u64>,
}

impl Wholeness {
    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }

    fn grow(&mut self) -> &mut Gap {
        self.number = self.number.wrapping_add(1);
        let gap = self.gap.get_or_insert_default();
        gap.number = self.number;
        gap
    }

    /// There is nothing from before `now`.
    pub(crate) fn starts(&mut self, now: Timestamp) {
        self.since = now;
        self.grow().start = true;
    }

    /// Something was missed that `teller` has.
    pub(crate) fn missed(&mut self, teller: u64) {
        let gap = self.grow();
        if gap.tellers.len() < TELLERS {
            gap.tellers.insert(teller);
        }
    }

    /// What a copy is to fill, if one is wanted.
    pub(crate) fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// All that somebody has is here too, who has everything from `since` on.
    pub(crate) fn reaches(&mut self, since: Timestamp) {
        self.since = self.since.min(since);
    }

    /// No copy is wanted any more, unless something was missed meanwhile.
    pub(crate) fn filled(&mut self, gap: &Gap) {
        if self.gap.as_ref() == Some(gap) {
            self.gap = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_node_that_starts_has_what_those_have_whom_it_copies() {
        let mut whole = Wholeness::default();
        assert_eq!((whole.since(), whole.gap()), (at(0), None));
        whole.starts(at(100));
        whole.reaches(at(300));
        assert_eq!(whole.since(), at(100), "who has less adds nothing");
        whole.reaches(at(50));
        assert_eq!(whole.since(), at(50));
        let gap = whole.gap().unwrap().clone();
        assert!(gap.start && gap.tellers.is_empty());
        whole.filled(&gap);
        assert_eq!(whole.gap(), None);
    }

    #[test]
    fn what_was_missed_during_a_copy_wants_another() {
        let mut whole = Wholeness::default();
        whole.missed(2);
        let first = whole.gap().unwrap().clone();
        whole.missed(2);
        whole.missed(3);
        whole.filled(&first);
        let second = whole.gap().unwrap().clone();
        assert_eq!((second.start, second.tellers.clone()), (false, BTreeSet::from([2, 3])));
        whole.filled(&second);
        assert_eq!((whole.since(), whole.gap()), (at(0), None), "nothing waits for a gap of a moment");
    }
}
