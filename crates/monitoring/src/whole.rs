//! From when on a node has all samples. It lacks what was put before it started until another node gave it a copy. What could not be sent to it
//! while it ran is copied too; such a gap is small, and soon filled, so that nothing waits for it.

use trireme_types::Timestamp;

/// From when on, and whether a copy is wanted.
#[derive(Debug, Default)]
pub(crate) struct Wholeness {
    since: Timestamp,
    lacks: bool,
    /// How often something was missed.
    gap: u64,
}

/// What had been missed when a copy was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap(u64);

impl Wholeness {
    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }

    /// There is nothing from before `now`.
    pub(crate) fn starts(&mut self, now: Timestamp) {
        self.since = now;
        self.missed();
    }

    /// Something was missed.
    pub(crate) fn missed(&mut self) {
        self.lacks = true;
        self.gap = self.gap.wrapping_add(1);
    }

    /// What a copy is to fill, if one is wanted.
    pub(crate) fn gap(&self) -> Option<Gap> {
        self.lacks.then_some(Gap(self.gap))
    }

    /// All that somebody has is here too, who has everything from `since` on.
    pub(crate) fn reaches(&mut self, since: Timestamp) {
        self.since = self.since.min(since);
    }

    /// No copy is wanted any more, unless something was missed meanwhile.
    pub(crate) fn filled(&mut self, gap: Gap) {
        if self.gap() == Some(gap) {
            self.lacks = false;
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
        whole.filled(whole.gap().unwrap());
        assert_eq!(whole.gap(), None);
    }

    #[test]
    fn what_was_missed_during_a_copy_wants_another() {
        let mut whole = Wholeness::default();
        whole.missed();
        let first = whole.gap().unwrap();
        whole.missed();
        whole.filled(first);
        let second = whole.gap().unwrap();
        assert_ne!(first, second);
        whole.filled(second);
        assert_eq!((whole.since(), whole.gap()), (at(0), None), "nothing waits for a gap of a moment");
    }
}
