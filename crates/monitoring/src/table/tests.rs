//! The table, told as short stories.

use proptest::prelude::*;
use trireme_state::object::Statistic;

use super::*;
use crate::ecs;
use crate::room::OF_SCOPE;

fn metric(name: &str) -> MetricKey {
    MetricKey {
        scope: Scope::development(),
        namespace: "App".to_owned(),
        name: name.to_owned(),
        dimensions: BTreeMap::new(),
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn sample(name: &str, seconds: u64, value: f64) -> Sample {
    Sample { metric: metric(name), at: at(seconds), unit: Unit::COUNT, set: StatisticSet::of(value, 1.0) }
}

fn query(name: &str, statistic: Statistic, period: u32) -> MetricQuery {
    MetricQuery { metric: metric(name), statistic, period_seconds: period, unit: None }
}

fn values(points: &[Datapoint]) -> Vec<(u64, f64)> {
    points.iter().map(|point| (point.at.millis() / 1_000, point.value.get())).collect()
}

#[test]
fn periods_begin_at_multiples_of_their_length_and_empty_ones_are_left_out() {
    let table = MetricTable::default();
    let samples = [sample("q", 6_001, 1.0), sample("q", 6_059, 3.0), sample("q", 6_121, 10.0)];
    table.put(at(6_125), 1, &samples).unwrap();
    let of = |statistic, period| values(&table.newest(&query("q", statistic, period), at(6_125), 3));
    assert_eq!(of(Statistic::Average, 60), [(6_000, 2.0), (6_120, 10.0)]);
    assert_eq!(of(Statistic::Sum, 60), [(6_000, 4.0), (6_120, 10.0)]);
    assert_eq!(of(Statistic::Maximum, 300), [(6_000, 10.0)]);
    assert_eq!(of(Statistic::Sum, 10), [(6_120, 10.0)], "of the last three periods of ten seconds");
    let missing = query("other", Statistic::Sum, 60);
    assert!(table.newest(&missing, at(6_125), 3).is_empty());
}

#[test]
fn a_batch_that_comes_twice_counts_once() {
    let table = MetricTable::default();
    for batch in [1, 1, 2] {
        table.put(at(6_000), batch, &[sample("q", 6_000, 1.0)]).unwrap();
    }
    assert_eq!(values(&table.newest(&query("q", Statistic::Sum, 60), at(6_000), 1)), [(6_000, 2.0)]);
}

#[test]
fn units_are_told_apart_when_asked() {
    let table = MetricTable::default();
    let bytes = Sample { unit: Unit::named("Bytes").unwrap(), ..sample("q", 6_000, 5.0) };
    table.put(at(6_000), 1, &[sample("q", 6_000, 1.0), bytes]).unwrap();
    let all = query("q", Statistic::Sum, 60);
    let of = |query: &MetricQuery| table.range(query, at(6_000), at(6_060));
    assert_eq!(of(&all)[0].unit, None);
    assert_eq!(of(&all)[0].set.sum, 6.0);
    let of_unit = MetricQuery { unit: Some("Bytes".to_owned()), ..all };
    assert_eq!((of(&of_unit)[0].set.sum, of(&of_unit)[0].unit.map(Unit::name)), (5.0, Some("Bytes")));
    let of_none = MetricQuery { unit: Some("Percent".to_owned()), ..of_unit };
    assert!(of(&of_none).is_empty());
}

#[test]
fn what_is_old_is_kept_more_coarsely_and_then_not_at_all() {
    let table = MetricTable::default();
    let now = 1_000_000 * 3_600;
    let ages = [10, 1_000, 4 * 3_600, 30 * 3_600, 80 * 3_600];
    let samples = ages.map(|age| sample("q", now - age, 1.0));
    table.put(at(now), 1, &samples).unwrap();
    let count = |period: u32| {
        let query = query("q", Statistic::SampleCount, period);
        let points = table.range(&query, at(0), at(now + 1));
        points.iter().map(|point| point.set.count).sum::<f64>()
    };
    assert_eq!([1, 60, 300, 3_600].map(count), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(kept_for(180), Duration::from_secs(3 * 3_600));
}

#[test]
fn there_is_room_for_so_many_metrics_and_those_that_are_silent_make_room() {
    let table = MetricTable::default();
    let many: Vec<Sample> = (0..OF_SCOPE.series).map(|n| sample(&format!("m{n}"), 10_000, 1.0)).collect();
    table.put(at(10_000), 1, &many).unwrap();
    let full = table.put(at(10_001), 2, &[sample("new", 10_001, 1.0), sample("m7", 10_001, 1.0)]);
    let told = Full { limit: OF_SCOPE.series, of: "in an account and region", left_out: 1 };
    assert_eq!(full, Err(told));
    let known = query("m7", Statistic::Sum, 60);
    assert_eq!(values(&table.newest(&known, at(10_001), 2)), [(9_960, 2.0)], "what is known goes on");
    let of_service = Sample {
        metric: MetricKey { namespace: ecs::NAMESPACE.to_owned(), ..metric("CPUUtilization") },
        ..sample("x", 10_001, 1.0)
    };
    table.put(at(10_001), 4, &[of_service]).unwrap();
    let later = 10_000 + 4 * 3_600;
    table.put(at(later), 3, &[sample("new", later, 1.0)]).unwrap();
    assert_eq!(table.list(&Scope::development(), None, 10, |_| true).len(), 1);
}

#[test]
fn long_names_and_many_units_take_room_too() {
    let (table, long) = (MetricTable::default(), "n".repeat(30_000));
    let named = |n: usize| sample(&format!("{n}{long}"), 10_000, 1.0);
    let many: Vec<Sample> = (0..OF_SCOPE.names / 30_000 + 2).map(named).collect();
    let full = table.put(at(10_000), 1, &many).unwrap_err();
    assert_eq!((full.limit, full.of), (OF_SCOPE.names, "bytes of names in an account and region"));
    let table = MetricTable::default();
    let units = ["Count", "Bytes", "Percent", "Seconds", "None"].map(|name| Unit::named(name).unwrap());
    let of = |n: usize| units.map(|unit| Sample { unit, ..sample(&format!("m{n}"), 10_000, 1.0) });
    let full = table.put(at(10_000), 1, &of(0)).unwrap_err();
    assert_eq!((full.limit, full.of, full.left_out), (UNITS, "units of one metric", 1));
    let many: Vec<Sample> =
        (1..=OF_SCOPE.series / UNITS).flat_map(|n| of(n).into_iter().take(UNITS)).collect();
    let full = table.put(at(10_000), 2, &many).unwrap_err();
    assert_eq!(
        (full.limit, full.left_out),
        (OF_SCOPE.series, UNITS),
        "a metric in four units counts four times"
    );
}

#[test]
fn what_nobody_adds_to_grows_old_all_the_same() {
    let table = MetricTable::default();
    let every_second: Vec<Sample> = (0..300).map(|second| sample("q", 9_700 + second, 1.0)).collect();
    table.put(at(10_000), 1, &every_second).unwrap();
    let kept = |table: &MetricTable| table.copy(None, (1, 1))[0].steps.len();
    assert_eq!(kept(&table), 300 + 6 + 2 + 1);
    table.sweep(at(11_000));
    assert_eq!(kept(&table), 6 + 2 + 1);
}

#[test]
fn a_page_of_a_copy_ends_when_it_is_long() {
    let table = MetricTable::default();
    let samples = ["a", "b", "c"].map(|name| sample(name, 6_000, 1.0));
    table.put(at(6_000), 1, &samples).unwrap();
    let names = |limits| table.copy(None, limits).into_iter().map(|one| one.metric.name).collect::<Vec<_>>();
    assert_eq!(names((2, 100)), ["a", "b"]);
    assert_eq!(names((9, 5)), ["a", "b"], "each has four steps");
    assert_eq!(names((9, 1)), ["a"]);
}

#[test]
fn metrics_are_listed_page_by_page() {
    let table = MetricTable::default();
    let samples = ["a", "b", "c"].map(|name| sample(name, 6_000, 1.0));
    table.put(at(6_000), 1, &samples).unwrap();
    let scope = Scope::development();
    let names = |listed: Vec<Listed>| listed.into_iter().map(|one| one.metric.name).collect::<Vec<_>>();
    let first = table.list(&scope, None, 2, |_| true);
    let after = first.last().map(|last| last.metric.clone());
    assert_eq!(names(first), ["a", "b"]);
    assert_eq!(names(table.list(&scope, after.as_ref(), 2, |_| true)), ["c"]);
    assert_eq!(names(table.list(&scope, None, 9, |one| one.metric.name != "b")), ["a", "c"]);
}

#[test]
fn a_node_that_starts_takes_what_another_has_and_keeps_its_own() {
    let (old, new) = (MetricTable::default(), MetricTable::default());
    for n in 0..100 {
        old.put(at(6_000), n, &[sample(&format!("m{n:03}"), 5_990, 2.0)]).unwrap();
    }
    new.put(at(6_000), 1, &[sample("m007", 6_000, 3.0)]).unwrap();
    let mut after = None;
    for _ in 0..9 {
        let page = crate::wire::copy(&old, after.as_ref());
        after = crate::wire::adopt(&new, at(6_000), &page);
        if after.is_none() {
            break;
        }
    }
    let sum = |name: &str| values(&new.newest(&query(name, Statistic::Sum, 1), at(6_000), 20));
    assert_eq!(sum("m099"), [(5_990, 2.0)]);
    assert_eq!(sum("m007"), [(5_990, 2.0), (6_000, 3.0)]);
}

proptest! {
    /// Whatever the order in which samples come, each period has what was said of it.
    #[test]
    fn any_order_comes_to_the_same(
        values in prop::collection::vec((0_u64..400, -50_i32..50), 1..60),
        period in prop::sample::select(vec![1_u32, 5, 10, 30, 60, 120, 300]),
    ) {
        let table = MetricTable::default();
        let base = 3_600_000_u64;
        let now = base + 400;
        for (batch, (second, value)) in values.iter().enumerate() {
            let one = sample("q", base + 200 + second / 2, f64::from(*value));
            table.put(at(now), batch as u128, &[one]).unwrap();
        }
        let mut naive: BTreeMap<u64, f64> = BTreeMap::new();
        for (second, value) in &values {
            let at = base + 200 + second / 2;
            *naive.entry(at - at % u64::from(period)).or_default() += f64::from(*value);
        }
        let query = query("q", Statistic::Sum, period);
        let found = table.range(&query, at(base), at(now + 1));
        let found: Vec<(u64, f64)> = found.iter().map(|point| (point.at.millis() / 1_000, point.set.sum)).collect();
        prop_assert_eq!(found, naive.into_iter().collect::<Vec<_>>());
    }
}
