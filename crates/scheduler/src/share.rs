//! Which capacity provider the next task of a strategy goes to, and from which one the next goes away (ECS API:
//! CapacityProviderStrategyItem). The base comes first; what is beyond it is split by weight.
//!
//! Each provider's share of `n` tasks is `n × weight / weights`. Its `k`th task is due between the totals at which its share passes `k - 1`
//! and reaches `k`; of those that may come the one whose end is nearest comes. So each provider has its share to within one task at every
//! number of tasks, however many providers there are, and a number that goes up and down again finds the same tasks. A start from other
//! numbers, as after a loss of machines, comes back to the shares: nobody gets a task who has more than their share already.

use std::cmp::Reverse;

use trireme_state::object::StrategyItem;

/// The weights' sum; 0 of a strategy that says nothing.
fn weights(strategy: &[StrategyItem]) -> u64 {
    strategy.iter().map(|item| u64::from(item.weight)).fold(0, u64::saturating_add)
}

/// The tasks of each item beyond its base, and their sum.
fn beyond(strategy: &[StrategyItem], counts: &[u64]) -> (Vec<u64>, u64) {
    let of = |(item, count): (&StrategyItem, &u64)| count.saturating_sub(u64::from(item.base));
    let beyond: Vec<u64> = strategy.iter().zip(counts).map(of).collect();
    let sum = beyond.iter().copied().fold(0, u64::saturating_add);
    (beyond, sum)
}

/// Which item's provider gets the next task, given how many tasks each has. `None` of an empty strategy, or one without weight when the base
/// is there.
pub fn next(strategy: &[StrategyItem], counts: &[u64]) -> Option<usize> {
    let mut items = strategy.iter().zip(counts);
    if let Some(base) = items.position(|(item, count)| *count < u64::from(item.base)) {
        return Some(base);
    }
    let sum = weights(strategy);
    let (beyond, total) = beyond(strategy, counts);
    let total = total.saturating_add(1);
    let due = strategy.iter().zip(&beyond).enumerate().filter_map(|(at, (item, count))| {
        let weight = u64::from(item.weight);
        let may_come = weight.saturating_mul(total) > count.saturating_mul(sum);
        let end = count.saturating_add(1).saturating_mul(sum);
        may_come.then(|| (end.div_ceil(weight.max(1)), Reverse(weight), at))
    });
    due.min().map(|(_, _, at)| at)
}

/// From which item's provider the next task goes, given how many each has: the one that would have come last. The base goes last of all.
/// `None` when there are no tasks.
pub fn leaves(strategy: &[StrategyItem], counts: &[u64]) -> Option<usize> {
    let sum = weights(strategy);
    let (beyond, total) = beyond(strategy, counts);
    let total = total.saturating_sub(1);
    let goes = strategy.iter().zip(&beyond).enumerate().filter_map(|(at, (item, count))| {
        let weight = u64::from(item.weight);
        let may_go = *count > 0 && count.saturating_mul(sum) > weight.saturating_mul(total);
        // One without weight should have none.
        let began = count.saturating_sub(1).saturating_mul(sum).checked_div(weight).unwrap_or(u64::MAX);
        may_go.then_some((began, Reverse(weight), at))
    });
    let of_base = || counts.iter().rposition(|count| *count > 0);
    goes.max().map(|(_, _, at)| at).or_else(of_base)
}

/// How many of so many new tasks each item's provider gets.
pub fn split(strategy: &[StrategyItem], counts: &[u64], new: usize) -> Vec<usize> {
    let mut now = counts.to_vec();
    let mut split = vec![0_usize; strategy.len()];
    for _ in 0..new {
        let Some(at) = next(strategy, &now) else { break };
        if let (Some(count), Some(of)) = (now.get_mut(at), split.get_mut(at)) {
            *count = count.saturating_add(1);
            *of = of.saturating_add(1);
        }
    }
    split
}
