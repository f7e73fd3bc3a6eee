//! How many tasks to stop and to start, as arithmetic on counts. Which ones, others decide.
//!
//! - Never more than the maximum with desired status RUNNING; never fewer than the minimum RUNNING by our own stops.
//! - Start first: an outgoing task goes when a new one runs in its place. Only when nothing more may start are running ones
//!   stopped down to the minimum to make room.
//! - A task that does not run yet serves nobody: stopping it costs nothing.

/// A service's tasks that are wanted, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What the user asked for.
    pub desired: usize,
    /// The most with desired status RUNNING.
    pub maximum: usize,
    /// The fewest RUNNING that our stops leave.
    pub minimum: usize,
    /// Of the primary deployment, where they may stay.
    pub fresh: usize,
    /// Of them, RUNNING.
    pub fresh_running: usize,
    /// RUNNING, of an older deployment or on a draining instance.
    pub outgoing: usize,
}

/// What to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    /// Fresh tasks too many.
    pub excess: usize,
    /// Of them, at most so many may be RUNNING.
    pub excess_running: usize,
    /// Outgoing tasks to stop.
    pub retire: usize,
    /// Tasks to start.
    pub start: usize,
    /// The limits allow no step: nothing may start, and nothing may stop.
    pub stuck: bool,
}

/// The next step. `may_start` is false while a back-off lasts: then nothing makes room for tasks that will not come.
pub fn moves(counts: &Counts, may_start: bool) -> Moves {
    let Counts { desired, maximum, minimum, fresh, fresh_running, outgoing } = *counts;
    let minimum = minimum.min(desired);
    let running = fresh_running.saturating_add(outgoing);
    if fresh > desired {
        let excess = fresh.saturating_sub(desired);
        let excess_running = excess.min(running.saturating_sub(minimum)).min(fresh_running);
        // The excess may take them all; what is left above the desired count is outgoing for sure.
        let retire = running.saturating_sub(excess_running).saturating_sub(desired).min(outgoing);
        return Moves { excess, excess_running, retire, ..Moves::default() };
    }
    let replaced = running.saturating_sub(desired).min(outgoing);
    let needed = if may_start { desired.saturating_sub(fresh) } else { 0 };
    let wanted = fresh.saturating_add(outgoing).saturating_sub(replaced);
    let lacking = wanted.saturating_add(needed).saturating_sub(maximum);
    let spare = running.saturating_sub(replaced).saturating_sub(minimum);
    let clearable = spare.min(outgoing.saturating_sub(replaced));
    let cleared = if needed > 0 { lacking.min(clearable) } else { 0 };
    let start = needed.min(maximum.saturating_add(cleared).saturating_sub(wanted));
    let retire = replaced.saturating_add(cleared);
    let stuck = needed > 0 && start == 0 && retire == 0 && outgoing > 0 && fresh == fresh_running;
    Moves { excess: 0, excess_running: 0, retire, start, stuck }
}

/// How many more outgoing tasks to stop for new ones that find no place: down to the minimum, and not again for those whose
/// places are about to be free.
pub fn make_room(counts: &Counts, retired: usize, unplaced: usize, stopping: usize) -> usize {
    let minimum = counts.minimum.min(counts.desired);
    let running = counts.fresh_running.saturating_add(counts.outgoing).saturating_sub(retired);
    let left = counts.outgoing.saturating_sub(retired);
    unplaced.saturating_sub(stopping.saturating_add(retired)).min(running.saturating_sub(minimum)).min(left)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(desired: usize, maximum: usize, minimum: usize) -> Counts {
        Counts { desired, maximum, minimum, ..Counts::default() }
    }

    #[test]
    fn the_default_limits_start_all_new_tasks_first() {
        let six = Counts { outgoing: 6, ..counts(6, 12, 6) };
        assert_eq!(moves(&six, true), Moves { start: 6, ..Moves::default() });
        let two_run = Counts { fresh: 6, fresh_running: 2, ..six };
        assert_eq!(moves(&two_run, true), Moves { retire: 2, ..Moves::default() });
    }

    #[test]
    fn without_room_above_the_desired_count_old_ones_stop_first() {
        let four = Counts { outgoing: 4, ..counts(4, 4, 2) };
        assert_eq!(moves(&four, true), Moves { retire: 2, start: 2, ..Moves::default() });
        assert_eq!(moves(&four, false), Moves::default(), "a back-off makes no room");
        let fixed = Counts { outgoing: 4, ..counts(4, 4, 4) };
        assert!(moves(&fixed, true).stuck);
    }

    #[test]
    fn room_for_unplaced_tasks_is_made_once() {
        let three = Counts { outgoing: 3, ..counts(3, 6, 2) };
        assert_eq!(make_room(&three, 0, 3, 0), 1, "down to the minimum");
        assert_eq!(make_room(&three, 0, 1, 1), 0, "one is on its way out");
    }

    prop_compose! {
        fn any_counts()(desired in 0_usize..40, max in 100_usize..250, min in 0_usize..120, fresh in 0_usize..60,
            running in 0_usize..60, outgoing in 0_usize..60) -> Counts {
            Counts { desired, maximum: desired * max / 100, minimum: (desired * min).div_ceil(100), fresh,
                fresh_running: running.min(fresh), outgoing }
        }
    }

    proptest! {
        #[test]
        fn limits_hold_and_nothing_is_stopped_twice(counts in any_counts(), may_start: bool) {
            let moves = moves(&counts, may_start);
            let running = counts.fresh_running + counts.outgoing;
            prop_assert!(moves.retire <= counts.outgoing);
            prop_assert!(moves.excess_running <= moves.excess);
            prop_assert!(moves.excess <= counts.fresh);
            let stopped_running = moves.retire + moves.excess_running;
            let floor = counts.minimum.min(counts.desired).min(running);
            prop_assert!(running - stopped_running >= floor, "never below the minimum by our own stops");
            let wanted = counts.fresh + counts.outgoing - moves.retire - moves.excess;
            prop_assert!(moves.start == 0 || wanted + moves.start <= counts.maximum, "never above the maximum");
        }

        /// Every step's tasks run at once: then it converges in few steps, or says that it is stuck.
        #[test]
        fn it_converges_or_is_stuck(counts in any_counts()) {
            let mut now = counts;
            for _ in 0..200 {
                let step = moves(&now, true);
                if step == Moves::default() || step.stuck {
                    break;
                }
                now.outgoing -= step.retire;
                let idle = (step.excess - step.excess_running).min(now.fresh - now.fresh_running);
                now.fresh -= step.excess_running + idle;
                now.fresh_running -= step.excess_running;
                now.fresh += step.start;
                now.fresh_running = now.fresh;
            }
            let step = moves(&now, true);
            let whole = now.fresh == now.desired && now.outgoing == 0;
            let waiting = now.fresh != now.fresh_running;
            prop_assert!(whole || step.stuck || waiting, "{now:?} {step:?}");
        }
    }
}
