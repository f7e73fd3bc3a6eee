//! Base and weight: each provider has its share, whatever the numbers, on the way up and on the way down.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use trireme_scheduler::share::{leaves, next, split};
use trireme_state::object::StrategyItem;
use trireme_types::CapacityProviderName;

fn item(at: usize, weight: u32, base: u32) -> StrategyItem {
    StrategyItem { provider: CapacityProviderName::new(&format!("p-{at}")).unwrap(), weight, base }
}

/// At least one has a weight, and one at most a base.
fn strategy() -> impl Strategy<Value = Vec<StrategyItem>> {
    let weights = proptest::collection::vec(prop_oneof![3 => 1u32..10, 1 => Just(0), 1 => 0u32..1_000], 1..8);
    (weights, 0u32..20, any::<prop::sample::Index>()).prop_filter_map("no weight", |(weights, base, of)| {
        let of = of.index(weights.len());
        let item = |(at, weight): (usize, &u32)| item(at, *weight, if at == of { base } else { 0 });
        weights.iter().any(|weight| *weight > 0).then(|| weights.iter().enumerate().map(item).collect())
    })
}

/// How far each is from its share, in tasks; the base aside.
fn off(strategy: &[StrategyItem], counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let base: u64 = strategy.iter().map(|item| u64::from(item.base)).sum();
    let weights: u32 = strategy.iter().map(|item| item.weight).sum();
    let beyond = total.saturating_sub(base) as f64;
    let off = |(item, count): (&StrategyItem, &u64)| {
        let share = beyond * f64::from(item.weight) / f64::from(weights);
        (count.saturating_sub(u64::from(item.base)) as f64 - share).abs()
    };
    strategy.iter().zip(counts).map(off).fold(0.0, f64::max)
}

fn come(strategy: &[StrategyItem], counts: &mut [u64]) {
    let at = next(strategy, counts).unwrap();
    counts[at] += 1;
}

fn go(strategy: &[StrategyItem], counts: &mut [u64]) {
    let at = leaves(strategy, counts).unwrap();
    counts[at] -= 1;
}

fn base_is_first(strategy: &[StrategyItem], counts: &[u64]) -> bool {
    let lacks = strategy.iter().zip(counts).any(|(item, count)| *count < u64::from(item.base));
    let others = strategy.iter().zip(counts).filter(|(item, _)| item.base == 0).map(|(_, count)| count);
    !lacks || others.sum::<u64>() == 0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// At each number on the way up and down.
    #[test]
    fn each_has_its_share_to_within_one_task(strategy in strategy(), most in 1usize..120) {
        let mut counts = vec![0_u64; strategy.len()];
        for _ in 0..most {
            come(&strategy, &mut counts);
            prop_assert!(off(&strategy, &counts) < 1.0, "{:?}: {:?}", strategy, counts);
            prop_assert!(base_is_first(&strategy, &counts), "{:?}: {:?}", strategy, counts);
        }
        while counts.iter().sum::<u64>() > 0 {
            go(&strategy, &mut counts);
            prop_assert!(off(&strategy, &counts) < 1.0, "{:?}: {:?}", strategy, counts);
            prop_assert!(base_is_first(&strategy, &counts), "{:?}: {:?}", strategy, counts);
        }
        prop_assert_eq!(leaves(&strategy, &counts), None);
    }

    /// Up, down, and lost from anywhere: a few tasks later the shares are there again.
    #[test]
    fn whatever_was_lost_the_shares_come_back(
        strategy in strategy(),
        lost in proptest::collection::vec(0u64..40, 8),
        moves in proptest::collection::vec(any::<bool>(), 0..60),
    ) {
        let mut counts: Vec<u64> = lost[..strategy.len()].to_vec();
        for up in moves {
            if up {
                come(&strategy, &mut counts);
            } else if counts.iter().sum::<u64>() > 0 {
                go(&strategy, &mut counts);
            }
        }
        // Who has too many gets none: after so many new tasks nobody has too many.
        let weights: u64 = strategy.iter().map(|item| u64::from(item.weight)).sum();
        if strategy.iter().zip(&counts).all(|(item, count)| item.weight > 0 || *count == 0) {
            let least: u64 = strategy.iter().map(|item| u64::from(item.weight)).filter(|weight| *weight > 0).min().unwrap();
            let enough = counts.iter().max().unwrap() * weights / least + weights + 40;
            if enough < 20_000 {
                for _ in 0..enough {
                    come(&strategy, &mut counts);
                }
                prop_assert!(off(&strategy, &counts) < 1.0, "{:?}: {:?}", strategy, counts);
            }
        }
    }

    #[test]
    fn a_split_is_whole(strategy in strategy(), counts in proptest::collection::vec(0u64..50, 8), new in 0usize..200) {
        let split = split(&strategy, &counts[..strategy.len()], new);
        prop_assert_eq!(split.iter().sum::<usize>(), new);
    }
}

#[test]
fn ecss_own_examples() {
    // Base 1 on the first, weight 1 to 4.
    let strategy = [item(0, 1, 1), item(1, 4, 0)];
    assert_eq!(split(&strategy, &[0, 0], 1), [1, 0]);
    assert_eq!(split(&strategy, &[0, 0], 6), [2, 4]);
    assert_eq!(split(&strategy, &[0, 0], 11), [3, 8]);
    // Two thirds of the tasks that are lost come back to where they were.
    assert_eq!(split(&strategy, &[3, 0], 8), [0, 8]);
    assert_eq!(next(&[], &[]), None);
    assert_eq!(leaves(&strategy, &[1, 0]), Some(0));
}
