//! How many tasks to stop and to start, as arithmetic on counts. Which ones, others decide.
//!
//! - Never more than the maximum with desired status RUNNING; never fewer than the minimum by our own stops. A new task
//!   counts toward the minimum once it is healthy: an outgoing one never makes way for one that may exit the next moment.
//! - Start first: an outgoing task goes when a new one is healthy in its place. Only when nothing more may start are running
//!   ones stopped down to the minimum to make room. Starting waits for nobody's health.
//! - A task that does not run yet serves nobody: stopping it costs nothing. One that runs and is not healthy yet may serve
//!   somebody: it is neither enough to stop another for, nor is it nothing.

/// A service's tasks that are wanted, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What the user asked for.
    pub desired: usize,
    /// The most with desired status RUNNING.
    pub maximum: usize,
    /// The fewest healthy ones that our stops leave.
    pub minimum: usize,
    /// Of the primary deployment, where they may stay.
    pub fresh: usize,
    /// Of them, RUNNING.
    pub fresh_running: usize,
    /// Of those, healthy.
    pub fresh_healthy: usize,
    /// RUNNING, of an older deployment or on a draining instance.
    pub outgoing: usize,
    /// Fresh tasks that are missing and wait for the end of a back-off.
    pub held: usize,
}

impl Counts {
    /// Those that a stop may count on.
    fn healthy(&self) -> usize {
        self.fresh_healthy.saturating_add(self.outgoing)
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    /// Fresh tasks too many.
    pub excess: usize,
    /// Of them, at most so many may be RUNNING.
    pub excess_running: usize,
    /// Of those, at most so many may be healthy.
    pub excess_healthy: usize,
    /// Outgoing tasks to stop.
    pub retire: usize,
    /// Tasks to start.
    pub start: usize,
    /// The limits allow no step: nothing may start, and nothing may stop.
    pub stuck: bool,
}

/// The next step. Nothing makes room for tasks that wait for the end of a back-off.
pub fn moves(counts: &Counts) -> Moves {
    if counts.fresh > counts.desired { fewer(counts) } else { more(counts) }
}

fn fewer(counts: &Counts) -> Moves {
    let Counts { desired, minimum, fresh, fresh_running, fresh_healthy, outgoing, .. } = *counts;
    let minimum = minimum.min(desired);
    let excess = fresh.saturating_sub(desired);
    let running = fresh_running.saturating_add(outgoing);
    let excess_running = excess.min(running.saturating_sub(minimum)).min(fresh_running);
    let excess_healthy = excess.min(counts.healthy().saturating_sub(minimum)).min(fresh_healthy);
    // The excess may take them all; what is left above the desired count is outgoing for sure.
    let retire = counts.healthy().saturating_sub(excess_healthy).saturating_sub(desired).min(outgoing);
    Moves { excess, excess_running, excess_healthy, retire, ..Moves::default() }
}

fn more(counts: &Counts) -> Moves {
    let Counts { desired, maximum, minimum, fresh, fresh_healthy, outgoing, held, .. } = *counts;
    let healthy = counts.healthy();
    let replaced = healthy.saturating_sub(desired).min(outgoing);
    let needed = desired.saturating_sub(fresh).saturating_sub(held);
    let wanted = fresh.saturating_add(outgoing).saturating_sub(replaced);
    let lacking = wanted.saturating_add(needed).saturating_sub(maximum);
    let spare = healthy.saturating_sub(replaced).saturating_sub(minimum.min(desired));
    let clearable = spare.min(outgoing.saturating_sub(replaced));
    let cleared = if needed > 0 { lacking.min(clearable) } else { 0 };
    let start = needed.min(maximum.saturating_add(cleared).saturating_sub(wanted));
    let retire = replaced.saturating_add(cleared);
    let stuck = needed > 0 && start == 0 && retire == 0 && outgoing > 0 && fresh == fresh_healthy;
    Moves { retire, start, stuck, ..Moves::default() }
}

/// How many more outgoing tasks to stop for new ones that find no place: down to the minimum, and not again for those whose
/// places are about to be free.
pub fn make_room(counts: &Counts, retired: usize, unplaced: usize, stopping: usize) -> usize {
    let minimum = counts.minimum.min(counts.desired);
    let healthy = counts.healthy().saturating_sub(retired);
    let left = counts.outgoing.saturating_sub(retired);
    unplaced.saturating_sub(stopping.saturating_add(retired)).min(healthy.saturating_sub(minimum)).min(left)
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
        assert_eq!(moves(&six), Moves { start: 6, ..Moves::default() });
        let two_run = Counts { fresh: 6, fresh_running: 2, ..six };
        assert_eq!(moves(&two_run), Moves::default(), "they may exit the next moment");
        let two_are_healthy = Counts { fresh_healthy: 2, ..two_run };
        assert_eq!(moves(&two_are_healthy), Moves { retire: 2, ..Moves::default() });
    }

    #[test]
    fn without_room_above_the_desired_count_old_ones_stop_first() {
        let four = Counts { outgoing: 4, ..counts(4, 4, 2) };
        assert_eq!(moves(&four), Moves { retire: 2, start: 2, ..Moves::default() });
        let held = Counts { held: usize::MAX, ..four };
        assert_eq!(moves(&held), Moves::default(), "a back-off makes no room");
        let fixed = Counts { outgoing: 4, ..counts(4, 4, 4) };
        assert!(moves(&fixed).stuck);
    }

    #[test]
    fn what_did_not_fail_does_not_wait_for_the_back_off_of_what_did() {
        let lost = Counts { fresh: 3, fresh_running: 3, fresh_healthy: 3, held: 1, ..counts(6, 12, 6) };
        assert_eq!(moves(&lost), Moves { start: 2, ..Moves::default() });
    }

    #[test]
    fn fewer_are_wanted_while_some_are_not_healthy_yet() {
        let ten = Counts { fresh: 10, fresh_running: 10, fresh_healthy: 6, ..counts(5, 10, 5) };
        let step = Moves { excess: 5, excess_running: 5, excess_healthy: 1, ..Moves::default() };
        assert_eq!(moves(&ten), step, "no healthy one below the minimum; others at once");
    }

    #[test]
    fn room_for_unplaced_tasks_is_made_once() {
        let three = Counts { outgoing: 3, ..counts(3, 6, 2) };
        assert_eq!(make_room(&three, 0, 3, 0), 1, "down to the minimum");
        assert_eq!(make_room(&three, 0, 1, 1), 0, "one is on its way out");
        let starting = Counts { fresh: 2, fresh_running: 2, ..three };
        assert_eq!(make_room(&starting, 0, 3, 0), 1, "those that just started are not counted on");
    }

    prop_compose! {
        fn any_counts()(desired in 0_usize..40, max in 100_usize..250, min in 0_usize..120, fresh in 0_usize..60,
            running in 0_usize..60, healthy in 0_usize..60, outgoing in 0_usize..60, held in 0_usize..60,
            holds: bool) -> Counts {
            let fresh_running = running.min(fresh);
            Counts { desired, maximum: desired * max / 100, minimum: (desired * min).div_ceil(100), fresh,
                fresh_running, fresh_healthy: healthy.min(fresh_running), outgoing, held: if holds { held } else { 0 } }
        }
    }

    proptest! {
        #[test]
        fn limits_hold_and_nothing_is_stopped_twice(counts in any_counts()) {
            let moves = moves(&counts);
            let running = counts.fresh_running + counts.outgoing;
            let healthy = counts.fresh_healthy + counts.outgoing;
            prop_assert!(moves.retire <= counts.outgoing);
            prop_assert!(moves.excess_running <= moves.excess);
            prop_assert!(moves.excess <= counts.fresh);
            let minimum = counts.minimum.min(counts.desired);
            let stopped_running = moves.retire + moves.excess_running;
            prop_assert!(running - stopped_running >= minimum.min(running), "never below the minimum by our own stops");
            let stopped_healthy = moves.retire + moves.excess_healthy;
            prop_assert!(healthy - stopped_healthy >= minimum.min(healthy), "nor of healthy ones");
            let wanted = counts.fresh + counts.outgoing - moves.retire - moves.excess;
            prop_assert!(moves.start == 0 || wanted + moves.start <= counts.maximum, "never above the maximum");
            prop_assert!(moves.start + counts.held <= counts.desired.saturating_sub(counts.fresh) || moves.start == 0);
        }

        /// The excess that may be stopped suffices: nobody waits until more tasks are healthy.
        #[test]
        fn the_excess_goes_at_once(counts in any_counts()) {
            let step = moves(&counts);
            let idle = counts.fresh - counts.fresh_running;
            let unproven = counts.fresh_running - counts.fresh_healthy;
            let running = step.excess_running.min(unproven + step.excess_healthy);
            prop_assert!(running + idle >= step.excess, "{counts:?} {step:?}");
        }

        /// Every step's tasks are healthy at once: then it converges in few steps, or says that it is stuck.
        #[test]
        fn it_converges_or_is_stuck(counts in any_counts()) {
            let mut now = Counts { held: 0, ..counts };
            for _ in 0..200 {
                let step = moves(&now);
                if step == Moves::default() || step.stuck {
                    break;
                }
                now.outgoing -= step.retire;
                now.fresh -= step.excess;
                now.fresh += step.start;
                now.fresh_running = now.fresh;
                now.fresh_healthy = now.fresh;
            }
            let step = moves(&now);
            let whole = now.fresh == now.desired && now.outgoing == 0;
            let waiting = now.fresh != now.fresh_healthy;
            prop_assert!(whole || step.stuck || waiting, "{now:?} {step:?}");
        }
    }
}
