use proptest::prelude::*;

use super::*;

/// Nobody is protected.
fn counts(desired: usize, maximum: usize, minimum: usize) -> Counts {
    Counts { desired, maximum, minimum, ..Counts::default() }
}

fn with_outgoing(outgoing: usize, counts: Counts) -> Counts {
    Counts { outgoing, outgoing_free: outgoing, ..counts }
}

fn with_fresh(fresh: usize, running: usize, healthy: usize, counts: Counts) -> Counts {
    Counts {
        fresh,
        fresh_running: running,
        fresh_healthy: healthy,
        free: fresh,
        free_running: running,
        free_healthy: healthy,
        ..counts
    }
}

fn outgoing(outgoing: usize) -> Retired {
    Retired { outgoing, ..Retired::default() }
}

fn sick(sick: usize) -> Retired {
    Retired { sick, ..Retired::default() }
}

#[test]
fn the_default_limits_start_all_new_tasks_first() {
    let six = with_outgoing(6, counts(6, 12, 6));
    assert_eq!(moves(&six), Moves { start: 6, ..Moves::default() });
    let two_run = with_fresh(6, 2, 0, six);
    assert_eq!(moves(&two_run), Moves::default(), "they may exit the next moment");
    let two_are_healthy = with_fresh(6, 2, 2, six);
    assert_eq!(moves(&two_are_healthy), Moves { retire: outgoing(2), ..Moves::default() });
}

#[test]
fn without_room_above_the_desired_count_old_ones_stop_first() {
    let four = with_outgoing(4, counts(4, 4, 2));
    assert_eq!(moves(&four), Moves { retire: outgoing(2), start: 2, ..Moves::default() });
    let held = Counts { held: usize::MAX, ..four };
    assert_eq!(moves(&held), Moves::default(), "a back-off makes no room");
    let fixed = with_outgoing(4, counts(4, 4, 4));
    assert!(moves(&fixed).stuck);
}

#[test]
fn what_did_not_fail_does_not_wait_for_the_back_off_of_what_did() {
    let lost = Counts { held: 1, ..with_fresh(3, 3, 3, counts(6, 12, 6)) };
    assert_eq!(moves(&lost), Moves { start: 2, ..Moves::default() });
}

#[test]
fn fewer_are_wanted_while_some_are_not_healthy_yet() {
    let ten = with_fresh(10, 10, 6, counts(5, 10, 5));
    let step = Moves { excess: 5, excess_running: 5, excess_healthy: 1, ..Moves::default() };
    assert_eq!(moves(&ten), step, "no healthy one below the minimum; others at once");
}

#[test]
fn room_for_unplaced_tasks_is_made_once() {
    let three = with_outgoing(3, counts(3, 6, 2));
    assert_eq!(make_room(&three, Retired::default(), 3, 0), outgoing(1), "down to the minimum");
    assert_eq!(make_room(&three, Retired::default(), 1, 1), outgoing(0), "one is on its way out");
    let starting = with_fresh(2, 2, 0, three);
    assert_eq!(
        make_room(&starting, Retired::default(), 3, 0),
        outgoing(1),
        "those that just started are not counted on"
    );
}

#[test]
fn a_sick_task_is_replaced_start_first() {
    let one = Counts { sick: 1, ..with_fresh(3, 3, 3, counts(4, 8, 4)) };
    assert_eq!(moves(&one), Moves { start: 1, ..Moves::default() });
    let begun = Counts { sick: 1, ..with_fresh(4, 4, 3, counts(4, 8, 4)) };
    assert_eq!(moves(&begun), Moves::default(), "the new one has shown nothing yet");
    let healthy = Counts { sick: 1, ..with_fresh(4, 4, 4, counts(4, 8, 4)) };
    assert_eq!(moves(&healthy), Moves { retire: sick(1), ..Moves::default() });
}

#[test]
fn a_sick_task_makes_room_where_nothing_more_may_start() {
    let one = Counts { sick: 1, ..with_fresh(3, 3, 3, counts(4, 4, 4)) };
    assert_eq!(moves(&one), Moves { retire: sick(1), start: 1, ..Moves::default() }, "nobody counts on it");
    let all = Counts { sick: 4, ..counts(4, 4, 4) };
    assert_eq!(moves(&all), Moves { retire: sick(4), start: 4, ..Moves::default() });
}

/// Of two older deployments the one that has not shown yet that it works goes first.
#[test]
fn what_works_stays_before_what_has_not_shown_it() {
    let two = Counts { weak: 4, weak_free: 4, ..with_outgoing(4, counts(4, 8, 4)) };
    let step = moves(&two);
    assert_eq!(step.retire, Retired { weak: 4, ..Retired::default() });
    assert_eq!(step.start, 4);
}

#[test]
fn protected_tasks_stay() {
    let old = Counts { outgoing: 4, outgoing_free: 1, ..with_fresh(4, 4, 4, counts(4, 8, 4)) };
    assert_eq!(moves(&old), Moves { retire: outgoing(1), kept: 3, ..Moves::default() });
    let many = Counts { free: 1, free_running: 1, free_healthy: 1, ..with_fresh(6, 6, 6, counts(4, 8, 4)) };
    let step = moves(&many);
    assert_eq!((step.excess, step.excess_healthy, step.kept), (1, 1, 1));
}

prop_compose! {
    /// Of `most` things some, of them some, and so on.
    fn nested(most: usize)(a in 0..=most, b in 0..=most, c in 0..=most) -> (usize, usize, usize) {
        (a, b.min(a), c.min(b).min(a))
    }
}

prop_compose! {
    fn any_counts()(desired in 0_usize..40, max in 100_usize..250, min in 0_usize..=100, fresh in nested(60), protected in nested(5),
        outgoing in nested(40), weak in nested(10), sick in 0_usize..10, held in 0_usize..60, holds: bool, protects: bool) -> Counts {
        let (fresh, fresh_running, fresh_healthy) = fresh;
        let less = |all: usize, some: usize| if protects { all.saturating_sub(some) } else { all };
        Counts { desired, maximum: desired * max / 100, minimum: (desired * min).div_ceil(100), fresh, fresh_running, fresh_healthy,
            free: less(fresh, protected.0).max(less(fresh_running, protected.1)).max(less(fresh_healthy, protected.2)),
            free_running: less(fresh_running, protected.1).max(less(fresh_healthy, protected.2)),
            free_healthy: less(fresh_healthy, protected.2),
            outgoing: outgoing.0, outgoing_free: if protects { outgoing.1 } else { outgoing.0 },
            weak: weak.0, weak_free: if protects { weak.1 } else { weak.0 }, sick,
            held: if holds { held } else { 0 } }
    }
}

proptest! {
    #[test]
    fn limits_hold_and_nothing_is_stopped_twice(counts in any_counts()) {
        let moves = moves(&counts);
        let (running, healthy) = (counts.running(), counts.healthy());
        let Retired { sick, weak, outgoing } = moves.retire;
        prop_assert!(outgoing <= counts.outgoing_free && weak <= counts.weak_free && sick <= counts.sick);
        prop_assert!(moves.excess_running <= moves.excess && moves.excess_running <= counts.free_running);
        prop_assert!(moves.excess_healthy <= counts.free_healthy);
        prop_assert!(moves.excess <= counts.free);
        let minimum = counts.minimum;
        let stopped_running = outgoing + weak + moves.excess_running;
        prop_assert!(running - stopped_running >= minimum.min(running), "never below the minimum by our own stops");
        let stopped_healthy = outgoing + moves.excess_healthy;
        prop_assert!(healthy - stopped_healthy >= minimum.min(healthy), "nor of healthy ones");
        let wanted = counts.fresh + counts.replaced() - moves.retire.all() - moves.excess;
        prop_assert!(moves.start == 0 || wanted + moves.start <= counts.maximum, "never above the maximum");
        prop_assert!(moves.start + counts.held <= counts.desired.saturating_sub(counts.fresh) || moves.start == 0);
    }

    /// The excess that may be stopped suffices: nobody waits until more tasks are healthy.
    #[test]
    fn the_excess_goes_at_once(counts in any_counts()) {
        let counts = Counts { free: counts.fresh, free_running: counts.fresh_running, free_healthy: counts.fresh_healthy, ..counts };
        let step = moves(&counts);
        let idle = counts.fresh - counts.fresh_running;
        let unproven = counts.fresh_running - counts.fresh_healthy;
        let running = step.excess_running.min(unproven + step.excess_healthy);
        prop_assert!(running + idle >= step.excess, "{counts:?} {step:?}");
    }

    #[test]
    fn room_is_made_down_to_the_minimum(counts in any_counts(), unplaced in 0_usize..20, stopping in 0_usize..5) {
        let first = moves(&counts);
        prop_assume!(first.excess == 0);
        let room = make_room(&counts, first.retire, unplaced, stopping);
        let all = first.retire.plus(room);
        prop_assert!(all.sick <= counts.sick && all.weak <= counts.weak_free && all.outgoing <= counts.outgoing_free);
        prop_assert!(counts.healthy() - all.outgoing >= counts.minimum.min(counts.healthy()));
        prop_assert!(counts.running() - all.outgoing - all.weak >= counts.minimum.min(counts.running()));
        prop_assert!(room.all() <= unplaced);
    }

    /// Every step's tasks are healthy at once: then it converges in few steps, or says that it is stuck.
    #[test]
    fn it_converges_or_is_stuck(counts in any_counts()) {
        let mut now = Counts { held: 0, ..counts };
        for _ in 0..200 {
            (now.outgoing_free, now.weak_free) = (now.outgoing, now.weak);
            (now.free, now.free_running, now.free_healthy) = (now.fresh, now.fresh_running, now.fresh_healthy);
            let step = moves(&now);
            if step == Moves::default() || step.stuck {
                break;
            }
            now.outgoing -= step.retire.outgoing;
            now.weak -= step.retire.weak;
            now.sick -= step.retire.sick;
            now.fresh -= step.excess;
            now.fresh += step.start;
            now.fresh_running = now.fresh;
            now.fresh_healthy = now.fresh;
            // What was not healthy yet is so by now.
            now.outgoing += now.weak;
            now.weak = 0;
        }
        let step = moves(&now);
        let whole = now.fresh == now.desired && now.replaced() == 0;
        let waiting = now.fresh != now.fresh_healthy;
        prop_assert!(whole || step.stuck || waiting, "{now:?} {step:?}");
    }
}
