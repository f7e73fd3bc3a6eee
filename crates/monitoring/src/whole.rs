//! From when on a node has all samples. It lacks what was put before it started, and what could not be sent to it; it has them again once
//! another node gave it a copy.

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

    /// Something before `now` was missed.
    pub(crate) fn missed(&mut self, now: Timestamp) {
        self.since = self.since.max(now);
        self.lacks = true;
        self.gap = self.gap.wrapping_add(1);
    }

    /// What a copy is to fill, if one is wanted.
    pub(crate) fn gap(&self) -> Option<Gap> {
        self.lacks.then_some(Gap(self.gap))
    }

    /// A gap is filled by who has everything from `since` on, or by nobody. What was missed meanwhile is not in it.
    pub(crate) fn filled(&mut self, gap: Gap, since: Timestamp) {
        if self.gap() == Some(gap) {
            self.since = self.since.min(since);
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
    fn what_was_missed_is_filled_by_a_copy_that_began_later() {
        let mut whole = Wholeness::default();
        assert_eq!((whole.since(), whole.gap()), (at(0), None));
        whole.missed(at(100));
        let first = whole.gap().unwrap();
        whole.missed(at(200));
        whole.filled(first, at(50));
        assert_eq!(whole.since(), at(200), "the second gap is not in a copy that was begun before");
        let second = whole.gap().unwrap();
        whole.filled(second, at(300));
        assert_eq!((whole.since(), whole.gap()), (at(200), None), "who copied has less than there is here");
        whole.missed(at(400));
        whole.filled(whole.gap().unwrap(), at(50));
        assert_eq!((whole.since(), whole.gap()), (at(50), None));
    }
}
