//! The voters' clock: the time of day that most control nodes agree on. A node whose own clock jumps goes on telling the right
//! time by it, for between two looks at the others it follows the monotonic clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use trireme_types::Timestamp;

use crate::clock::Clock;
use crate::machine::View;

/// The clocks that answered.
pub(crate) struct Offsets {
    /// How many voters there are.
    pub voters: usize,
    /// How far each is ahead of this node's, in milliseconds; its own among them.
    pub millis: Vec<i64>,
}

/// What the clocks say of this node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is so many milliseconds ahead of the median.
    Ahead(i64),
    /// Too few answer to find a median, and they agree.
    Agreed,
    /// Too few answer to tell which one is wrong; so many milliseconds lie between the first and the last.
    Disagreed(u64),
    /// No majority answers.
    TooFew,
}

impl Offsets {
    /// Compares the clocks. What differs by no more than `tolerance` agrees.
    pub(crate) fn judge(mut self, tolerance: Duration) -> Judgement {
        self.millis.sort_unstable();
        let ends = self.millis.last().zip(self.millis.first());
        let spread = ends.map_or(0, |(last, first)| last.saturating_sub(*first)).unsigned_abs();
        metrics::gauge!("trireme_raft_clock_spread_seconds").set(spread as f64 / 1000.0);
        let majority = self.millis.len() > self.voters / 2;
        if majority && self.millis.len() >= 3 {
            let median = self.millis.get(self.millis.len() / 2).copied().unwrap_or(0);
            let ahead = median.saturating_neg();
            metrics::gauge!("trireme_raft_clock_offset_seconds").set(ahead as f64 / 1000.0);
            return Judgement::Ahead(ahead);
        }
        if Duration::from_millis(spread) > tolerance {
            metrics::counter!("trireme_raft_clock_disagreements_total").increment(1);
            return Judgement::Disagreed(spread);
        }
        if majority { Judgement::Agreed } else { Judgement::TooFew }
    }
}

/// How far a clock is ahead that said `theirs` between `before` and `after` on this node's, in milliseconds.
pub(crate) fn ahead(theirs: u64, before: Timestamp, after: Timestamp) -> i64 {
    let middle = before.millis() / 2 + after.millis() / 2;
    let offset = i128::from(theirs) - i128::from(middle);
    i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX })
}

/// The time of day, as the voters agreed when they were last asked.
pub struct VotersClock {
    clock: Arc<dyn Clock>,
    /// A time of day, and the monotonic time then.
    anchor: Mutex<(Timestamp, Duration)>,
    /// What this node has applied.
    view: watch::Receiver<Arc<View>>,
}

impl VotersClock {
    pub(crate) fn new(clock: Arc<dyn Clock>, view: watch::Receiver<Arc<View>>) -> Self {
        let anchor = Mutex::new((clock.wall(), clock.monotonic()));
        Self { clock, anchor, view }
    }

    /// Now. Never before what the log says: a machine that starts with a clock that is late, and finds too few others to correct
    /// it, must not take old signatures for new ones.
    pub fn now(&self) -> Timestamp {
        let (at, since) = *self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let now = at.plus(self.clock.monotonic().saturating_sub(since));
        now.max(self.view.borrow().state.clock())
    }

    /// Takes over what a look at the others found. While nobody knows whose clock is wrong, it goes on as before.
    pub(crate) fn follow(&self, judgement: Judgement) {
        let (wall, monotonic) = (self.clock.wall(), self.clock.monotonic());
        let at = match judgement {
            Judgement::Ahead(millis) if millis >= 0 => {
                Timestamp::from_millis(wall.millis().saturating_sub(millis.unsigned_abs()))
            }
            Judgement::Ahead(millis) => wall.plus(Duration::from_millis(millis.unsigned_abs())),
            Judgement::Agreed => wall,
            Judgement::Disagreed(_) | Judgement::TooFew => return,
        };
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) = (at, monotonic);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(1);

    fn judge(voters: usize, millis: &[i64]) -> Judgement {
        Offsets { voters, millis: millis.to_vec() }.judge(TOLERANCE)
    }

    #[test]
    fn two_clocks_that_disagree_raise_the_alarm_and_three_are_judged() {
        let recorder = Counting::default();
        let seen = Arc::clone(&recorder.alarms);
        metrics::with_local_recorder(&recorder, || {
            assert_eq!(judge(3, &[0, 400]), Judgement::Agreed);
            assert_eq!(judge(1, &[0]), Judgement::Agreed);
            assert_eq!(judge(3, &[0]), Judgement::TooFew);
            assert_eq!(judge(7, &[0, 1, 2]), Judgement::TooFew);
            assert_eq!(seen.load(Ordering::Relaxed), 0);
            assert_eq!(judge(3, &[-5_000, 0]), Judgement::Disagreed(5_000));
            assert_eq!(seen.load(Ordering::Relaxed), 1);
            assert_eq!(judge(3, &[0, -5_000, -4_900]), Judgement::Ahead(4_900));
        });
    }

    /// A machine whose clocks a test sets.
    #[derive(Default)]
    struct Machine {
        wall: AtomicU64,
        monotonic: AtomicU64,
    }

    impl Clock for Machine {
        fn wall(&self) -> Timestamp {
            Timestamp::from_millis(self.wall.load(Ordering::Relaxed))
        }
        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.monotonic.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_jump_of_the_machines_clock_is_not_seen_and_a_slow_drift_is_corrected() {
        const HOUR: u64 = 3_600_000;
        let machine = Arc::new(Machine::default());
        machine.wall.store(10 * HOUR, Ordering::Relaxed);
        let (_applied, view) = watch::channel(Arc::default());
        let clock = VotersClock::new(Arc::clone(&machine) as Arc<dyn Clock>, view);
        let pass = |millis| {
            machine.wall.fetch_add(millis, Ordering::Relaxed);
            machine.monotonic.fetch_add(millis, Ordering::Relaxed);
        };
        pass(500);
        assert_eq!(clock.now().millis(), 10 * HOUR + 500);
        machine.wall.fetch_add(HOUR, Ordering::Relaxed);
        assert_eq!(clock.now().millis(), 10 * HOUR + 500, "before anybody has looked");
        clock.follow(judge(3, &[0, -(HOUR as i64), -(HOUR as i64)]));
        pass(500);
        assert_eq!(clock.now().millis(), 10 * HOUR + 1_000, "and after");
        clock.follow(judge(3, &[0, -(HOUR as i64)]));
        pass(500);
        assert_eq!(clock.now().millis(), 10 * HOUR + 1_500, "and when nobody can tell who is wrong");
        clock.follow(judge(3, &[0, 3, 5]));
        assert_eq!(clock.now().millis(), 11 * HOUR + 1_503, "the others have moved too: so it is late");
    }

    #[test]
    fn the_offset_is_taken_from_the_middle_of_the_question_and_the_answer() {
        let at = Timestamp::from_millis;
        assert_eq!(ahead(1_500, at(1_000), at(1_400)), 300);
        assert_eq!(ahead(0, at(1_000), at(1_000)), -1_000);
        assert_eq!(ahead(u64::MAX, at(0), at(0)), i64::MAX);
    }

    #[derive(Default)]
    struct Counting {
        alarms: Arc<AtomicU64>,
    }

    impl metrics::Recorder for Counting {
        fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn describe_histogram(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
        }
        fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
            assert_eq!(key.name(), "trireme_raft_clock_disagreements_total");
            metrics::Counter::from_arc(Arc::clone(&self.alarms))
        }
        fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
            metrics::Gauge::noop()
        }
        fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
            metrics::Histogram::noop()
        }
    }
}
