//! What CloudWatch's guide says of missing datapoints, and the arithmetic against a naive one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trireme_state::object::{MetricKey, MetricQuery};
use trireme_types::Scope;

use super::*;

fn spec(needed: u32, periods: u32, missing: MissingData) -> AlarmSpec {
    let metric = MetricKey {
        scope: Scope::development(),
        namespace: "App".to_owned(),
        name: "q".to_owned(),
        dimensions: BTreeMap::new(),
    };
    AlarmSpec {
        query: MetricQuery { metric, statistic: Statistic::Average, period_seconds: 60, unit: None },
        evaluation_periods: periods,
        datapoints_to_alarm: Some(needed),
        threshold: Real::from(5),
        comparison: Comparison::Greater,
        missing_data: Some(missing),
        description: None,
        actions_enabled: true,
        alarm_actions: Vec::new(),
        ok_actions: Vec::new(),
        insufficient_data_actions: Vec::new(),
    }
}

/// `X` breaches, `0` does not, `-` is missing, `?` is not known; the oldest first.
fn slots(pattern: &str) -> Slots {
    let value = |place: (usize, char)| {
        let at = Timestamp::from_millis(1_000_000 - place.0 as u64 * 60_000);
        let value = match place.1 {
            'X' => Some(Real::from(9)),
            '0' => Some(Real::from(1)),
            _ => None,
        };
        (at, value)
    };
    let known = pattern.trim_start_matches('?');
    let periods = known.chars().rev().enumerate().map(value).collect();
    Slots { periods, unknown: pattern.len() - known.len() }
}

fn verdicts(needed: u32, periods: u32, pattern: &str) -> [&'static str; 4] {
    use MissingData::{Breaching, Ignore, Missing, NotBreaching};
    [Missing, Ignore, Breaching, NotBreaching].map(|missing| {
        judge(&spec(needed, periods, missing), &slots(pattern))
            .map_or("stays", |verdict| verdict.state.name())
    })
}

#[test]
fn missing_datapoints_of_three_of_three() {
    const LITTLE: &str = "INSUFFICIENT_DATA";
    for (pattern, expected) in [
        ("0-X-X", ["OK"; 4]),
        ("----0", ["OK"; 4]),
        ("-----", [LITTLE, "stays", "ALARM", "OK"]),
        ("0XX-X", ["ALARM"; 4]),
        ("--X--", ["ALARM", "stays", "ALARM", "OK"]),
        ("----X", ["stays", "stays", "ALARM", "OK"]),
    ] {
        assert_eq!(verdicts(3, 3, pattern), expected, "{pattern}");
    }
}

#[test]
fn missing_datapoints_of_two_of_three() {
    for (pattern, expected) in [
        ("0-X-X", ["ALARM"; 4]),
        ("00X0X", ["ALARM"; 4]),
        ("0-X--", ["OK", "OK", "ALARM", "OK"]),
        ("----0", ["OK", "OK", "ALARM", "OK"]),
        ("---X-", ["ALARM", "stays", "ALARM", "OK"]),
    ] {
        assert_eq!(verdicts(2, 3, pattern), expected, "{pattern}");
    }
}

#[test]
fn a_period_under_way_counts_only_when_its_breach_cannot_be_undone() {
    let now = Timestamp::from_millis(600_000 + 30_000);
    let point = |minute: u64, value: u32| Datapoint {
        at: Timestamp::from_millis(minute * 60_000),
        value: Real::from(value),
    };
    let points = [point(8, 1), point(9, 1), point(10, 9)];
    let newest = |statistic, comparison| {
        let mut spec = spec(1, 1, MissingData::Missing);
        (spec.query.statistic, spec.comparison) = (statistic, comparison);
        Slots::of(&spec, (&points, Timestamp::default()), now).known().next().map(|(_, value)| value.get())
    };
    assert_eq!(newest(Statistic::Average, Comparison::Greater), Some(1.0), "it may still fall");
    assert_eq!(newest(Statistic::Sum, Comparison::Greater), Some(1.0), "values may be negative");
    assert_eq!(newest(Statistic::Maximum, Comparison::Greater), Some(9.0));
    assert_eq!(newest(Statistic::SampleCount, Comparison::GreaterOrEqual), Some(9.0));
    assert_eq!(newest(Statistic::Maximum, Comparison::Less), Some(1.0));
    assert_eq!(newest(Statistic::Minimum, Comparison::Greater), Some(1.0));
}

#[test]
fn a_period_that_has_just_ended_waits_a_moment() {
    let points = [Datapoint { at: Timestamp::from_millis(540_000), value: Real::from(9) }];
    let spec = spec(1, 1, MissingData::Missing);
    let since = Timestamp::default();
    let of = |millis| Slots::of(&spec, (&points, since), Timestamp::from_millis(millis));
    let newest = |millis| of(millis).periods.first().copied();
    assert_eq!(newest(600_999), Some((Timestamp::from_millis(480_000), None)));
    assert_eq!(newest(601_000), Some((Timestamp::from_millis(540_000), Some(Real::from(9)))));
}

#[test]
fn what_was_before_a_node_knew_all_is_not_known() {
    for (pattern, expected) in [
        ("?????", ["stays"; 4]),
        ("????0", ["stays"; 4]),
        ("???00", ["OK"; 4]),
        ("???XX", ["ALARM"; 4]),
        ("??---", ["stays"; 4]),
        ("?----", ["stays", "stays", "ALARM", "OK"]),
    ] {
        assert_eq!(verdicts(2, 3, pattern), expected, "{pattern}");
    }
    let points = [Datapoint { at: Timestamp::from_millis(540_000), value: Real::from(9) }];
    let spec = spec(1, 1, MissingData::Missing);
    let since = Timestamp::from_millis(500_000);
    let slots = Slots::of(&spec, (&points, since), Timestamp::from_millis(605_000));
    assert_eq!((slots.periods.len(), slots.unknown), (1, 2), "that of 480 s is known in part");
}

proptest! {
    /// Who does not know older periods says only what is so whatever was in them.
    #[test]
    fn what_is_not_known_changes_nothing_that_is_said(
        (pattern, periods) in (1_u32..5).prop_flat_map(|periods| {
            let length = periods as usize + 2;
            (proptest::string::string_regex(&format!("[X0-]{{{length}}}")).unwrap(), Just(periods))
        }),
        unknown in 0_usize..5,
        needed in 1_u32..5,
        missing in prop::sample::select(
            &[MissingData::Missing, MissingData::Ignore, MissingData::Breaching, MissingData::NotBreaching][..]
        ),
    ) {
        let unknown = unknown.min(pattern.len());
        let (spec, rest) = (spec(needed.min(periods), periods, missing), &pattern[unknown..]);
        let said = judge(&spec, &slots(&format!("{}{rest}", "?".repeat(unknown))));
        let Some(said) = said else { return Ok(()) };
        let whole = judge(&spec, &slots(&pattern)).map(|verdict| verdict.state);
        prop_assert_eq!(whole, Some(said.state), "{} with {} unknown", pattern, unknown);
    }

    /// With a datapoint for every period, and with what is missing filled in, it is plain counting.
    #[test]
    fn counting_is_as_a_naive_one_counts(
        pattern in "[X0-]{1,12}",
        periods in 1_u32..6,
        needed in 1_u32..6,
        breaching in any::<bool>(),
    ) {
        let needed = needed.min(periods);
        let range: String = {
            let kept = pattern.len().min(periods as usize + 2);
            pattern[pattern.len() - kept..].to_owned()
        };
        let missing = if breaching { MissingData::Breaching } else { MissingData::NotBreaching };
        let verdict = judge(&spec(needed, periods, missing), &slots(&range)).unwrap();
        let mut newest: Vec<char> = range.chars().rev().filter(|one| *one != '-').collect();
        newest.truncate(periods as usize);
        while newest.len() < periods as usize {
            newest.push(if breaching { 'X' } else { '0' });
        }
        let count = newest.iter().filter(|one| **one == 'X').count();
        prop_assert_eq!(verdict.state == AlarmState::Alarm, count >= needed as usize, "{}", range);
    }

    /// Whatever is missing, an alarm never rings without a breach, nor is it OK without a datapoint that does not breach.
    #[test]
    fn nothing_comes_of_nothing(pattern in "[X0-]{1,7}", periods in 1_u32..6, needed in 1_u32..6, ignore in any::<bool>()) {
        let missing = if ignore { MissingData::Ignore } else { MissingData::Missing };
        let verdict = judge(&spec(needed.min(periods), periods, missing), &slots(&pattern));
        match verdict.map(|verdict| verdict.state) {
            Some(AlarmState::Alarm) => prop_assert!(pattern.contains('X')),
            Some(AlarmState::Ok) => prop_assert!(pattern.contains('0')),
            Some(AlarmState::InsufficientData) => prop_assert!(!ignore && !pattern.contains(['X', '0'])),
            None => {}
        }
    }
}
