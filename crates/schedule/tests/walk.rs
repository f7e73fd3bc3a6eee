//! The search through the calendar against a walk minute by minute, and any text against panics.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use jiff::tz;
use proptest::prelude::*;
use trireme_schedule::{Expression, TimeZone};
use trireme_types::Timestamp;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// Zones with all that clocks do.
const ZONES: &[&str] = &[
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "America/St_Johns",
    "Pacific/Chatham",
    "America/Sao_Paulo",
];

/// A cron expression as a text, and the same once more as a question about a local time.
#[derive(Debug, Clone)]
struct Plain {
    text: String,
    minutes: BTreeSet<u8>,
    hours: BTreeSet<u8>,
    day: Day,
}

#[derive(Debug, Clone)]
enum Day {
    Any,
    OfMonth(BTreeSet<u8>),
    Last(u8),
    Nearest(u8),
    OfWeek(BTreeSet<u8>),
    LastOf(u8),
    Nth(u8, u8),
}

impl Plain {
    fn has(&self, local: jiff::civil::DateTime) -> bool {
        let number = |of: i8| u8::try_from(of).expect("not negative");
        local.second() == 0
            && self.minutes.contains(&number(local.minute()))
            && self.hours.contains(&number(local.hour()))
            && self.day.is(local.date())
    }
}

impl Day {
    fn is(&self, date: jiff::civil::Date) -> bool {
        let number = |of: i8| u8::try_from(of).expect("not negative");
        let (day, last) = (number(date.day()), number(date.days_in_month()));
        let weekday = number(date.weekday().to_sunday_one_offset());
        match self {
            Self::Any => true,
            Self::OfMonth(days) => days.contains(&day),
            Self::Last(before) => day + before == last,
            Self::Nearest(meant) => {
                // The least distance of all weekdays of the month; on a tie there is none, for it would be two days off.
                let works = |day: u8| {
                    let at =
                        jiff::civil::Date::new(date.year(), date.month(), i8::try_from(day).expect("a day"));
                    (2..=6).contains(&at.expect("a date").weekday().to_sunday_one_offset())
                };
                *meant <= last
                    && (1..=last).filter(|day| works(*day)).min_by_key(|day| day.abs_diff(*meant))
                        == Some(day)
            }
            Self::OfWeek(weekdays) => weekdays.contains(&weekday),
            Self::LastOf(meant) => weekday == *meant && day + 7 > last,
            Self::Nth(meant, nth) => weekday == *meant && (day - 1) / 7 + 1 == *nth,
        }
    }
}

fn listed(numbers: &BTreeSet<u8>) -> String {
    numbers.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}

/// A whole field, and what it means.
fn field(high: u8) -> impl Strategy<Value = (String, BTreeSet<u8>)> {
    prop_oneof![
        Just(("*".to_owned(), (0..=high).collect())),
        prop::collection::btree_set(0..=high, 1..5).prop_map(|set| (listed(&set), set)),
        (0..=high, 1..=high).prop_map(move |(first, step)| {
            (format!("{first}/{step}"), (first..=high).step_by(step.into()).collect())
        }),
        (0..=high, 0..=high).prop_map(move |(a, b)| {
            let set = if a <= b { (a..=b).collect() } else { (a..=high).chain(0..=b).collect() };
            (format!("{a}-{b}"), set)
        }),
    ]
}

fn day() -> impl Strategy<Value = (String, Day)> {
    prop_oneof![
        Just(("* * ?".to_owned(), Day::Any)),
        Just(("? * *".to_owned(), Day::Any)),
        prop::collection::btree_set(1..=31u8, 1..5)
            .prop_map(|set| (format!("{} * ?", listed(&set)), Day::OfMonth(set))),
        (1..=6u8).prop_map(|before| (format!("L-{before} * ?"), Day::Last(before))),
        (1..=31u8).prop_map(|day| (format!("{day}W * ?"), Day::Nearest(day))),
        prop::collection::btree_set(1..=7u8, 1..4)
            .prop_map(|set| (format!("? * {}", listed(&set)), Day::OfWeek(set))),
        (1..=7u8).prop_map(|day| (format!("? * {day}L"), Day::LastOf(day))),
        (1..=7u8, 1..=5u8).prop_map(|(day, nth)| (format!("? * {day}#{nth}"), Day::Nth(day, nth))),
    ]
}

fn plain() -> impl Strategy<Value = Plain> {
    (field(59), field(23), day()).prop_map(|((minute, minutes), (hour, hours), (days, day))| Plain {
        text: format!("cron({minute} {hour} {days} *)"),
        minutes,
        hours,
        day,
    })
}

/// Walks from a day before `after`, so that it knows which local times have been.
fn walk(cron: &Plain, zone: &tz::TimeZone, after: u64, until: u64) -> Option<Timestamp> {
    let mut seen = BTreeSet::new();
    let mut at = (after - DAY) / MINUTE * MINUTE;
    while at <= until {
        let local = zone.to_datetime(jiff::Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?);
        if cron.has(local) && seen.insert(local) && at > after {
            return Some(Timestamp::from_millis(at));
        }
        at += MINUTE;
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_search_finds_what_a_walk_finds(
        cron in plain(),
        zone in prop::sample::select(ZONES),
        // Half of the beginnings are on the days around a change of the clocks.
        base in prop::sample::select(&[
            1_772_900_000_000u64, 1_774_700_000_000, 1_775_300_000_000, 1_790_900_000_000, 1_791_000_000_000,
            1_792_850_000_000, 1_793_450_000_000, 1_709_000_000_000, 1_735_500_000_000, 1_286_000_000_000,
        ][..]),
        offset in 0..3 * DAY,
    ) {
        let (after, horizon) = (base + offset, 20 * DAY);
        let expression = Expression::parse(&cron.text).expect("it is well formed");
        let found = expression.next_after(
            Timestamp::from_millis(after), &TimeZone::parse(zone).expect("a zone"), Timestamp::EPOCH,
        );
        let walked = walk(&cron, &tz::TimeZone::get(zone).expect("a zone"), after, after + horizon);
        match walked {
            Some(_) => prop_assert_eq!(found, walked),
            None => prop_assert!(found.is_none_or(|due| due.millis() > after + horizon), "{:?}", found),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}", after: u64, anchor: u64) {
        asked(&text, after, anchor);
        asked(&format!("cron({text})"), after, anchor);
        asked(&format!("rate({text})"), after, anchor);
        asked(&format!("at({text})"), after, anchor);
    }

    #[test]
    fn nor_does_what_looks_like_cron(
        fields in prop::collection::vec("[0-9LW#*?/,A-Z-]{1,8}", 6), after: u64, anchor: u64,
    ) {
        asked(&format!("cron({})", fields.join(" ")), after, anchor);
    }

    #[test]
    fn what_comes_next_comes_after(value in 1..100_000u64, after: u64, anchor: u64) {
        let rate = Expression::parse(&format!("rate({value} minutes)")).expect("a rate");
        let (after, anchor) = (Timestamp::from_millis(after), Timestamp::from_millis(anchor));
        if let Some(next) = rate.next_after(after, &TimeZone::UTC, anchor) {
            prop_assert!(next > after || next == anchor);
            prop_assert_eq!(next.since(anchor).as_millis() % u128::from(value * MINUTE), 0);
        }
    }
}

fn asked(text: &str, after: u64, anchor: u64) {
    if let Ok(expression) = Expression::parse(text) {
        for zone in ZONES {
            let zone = TimeZone::parse(zone).expect("a zone");
            let after = Timestamp::from_millis(after);
            let next = expression.next_after(after, &zone, Timestamp::from_millis(anchor));
            assert!(next.is_none_or(|next| next > after), "{text} after {after}");
        }
    }
}
