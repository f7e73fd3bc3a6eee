//! Tables: what is read, what is refused, and what comes next.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use trireme_schedule::{Expression, ExpressionError, TimeZone};
use trireme_types::Timestamp;

fn moment(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().expect("a moment");
    Timestamp::from_millis(u64::try_from(at.as_millisecond()).expect("after 1970"))
}

/// The next times after `after`, in UTC.
fn following(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let expression = Expression::parse(expression).expect(expression);
    let zone = TimeZone::parse(zone).expect(zone);
    let mut at = moment(after);
    let anchor = at;
    let mut found = Vec::new();
    while found.len() < count {
        let Some(next) = expression.next_after(at, &zone, anchor) else { break };
        found.push(next.to_string().replace(":00.000Z", "Z"));
        at = next;
    }
    found
}

#[track_caller]
fn comes(expression: &str, zone: &str, after: &str, next: &[&str]) {
    assert_eq!(following(expression, zone, after, next.len()), next, "{expression} in {zone} after {after}");
}

#[track_caller]
fn refused(expression: &str, because: &str) {
    let error = Expression::parse(expression).expect_err(expression).to_string();
    assert!(error.contains(because), "{expression}: {error}");
}

#[test]
fn the_fields_of_cron() {
    for (expression, after, next) in [
        ("cron(0 10 * * ? *)", "2026-01-01T10:00:00Z", ["2026-01-02T10:00Z", "2026-01-03T10:00Z"]),
        ("cron(15 12 * * ? *)", "2026-01-01T12:14:59Z", ["2026-01-01T12:15Z", "2026-01-02T12:15Z"]),
        ("cron(0 18 ? * MON-FRI *)", "2026-01-02T18:00:00Z", ["2026-01-05T18:00Z", "2026-01-06T18:00Z"]),
        ("cron(0 18 ? * 2-6 *)", "2026-01-02T18:00:00Z", ["2026-01-05T18:00Z", "2026-01-06T18:00Z"]),
        ("cron(0 0 ? * 1 *)", "2026-01-01T00:00:00Z", ["2026-01-04T00:00Z", "2026-01-11T00:00Z"]),
        ("cron(0 0 ? * L *)", "2026-01-01T00:00:00Z", ["2026-01-03T00:00Z", "2026-01-10T00:00Z"]),
        ("cron(0 0 ? * fri-mon *)", "2026-01-04T00:00:00Z", ["2026-01-05T00:00Z", "2026-01-09T00:00Z"]),
        ("cron(0 8 1 * ? *)", "2026-01-01T08:00:00Z", ["2026-02-01T08:00Z", "2026-03-01T08:00Z"]),
        ("cron(0/15 * * * ? *)", "2026-01-01T00:20:00Z", ["2026-01-01T00:30Z", "2026-01-01T00:45Z"]),
        ("cron(5/30 22-1 * * ? *)", "2026-01-01T23:40:00Z", ["2026-01-02T00:05Z", "2026-01-02T00:35Z"]),
        ("cron(0/5 8-17 ? * MON-FRI *)", "2026-01-02T17:55:00Z", ["2026-01-05T08:00Z", "2026-01-05T08:05Z"]),
        ("cron(10-30/10 0 * * ? *)", "2026-01-01T00:15:00Z", ["2026-01-01T00:20Z", "2026-01-01T00:30Z"]),
        ("cron(0 0 L * ? *)", "2024-01-31T00:00:00Z", ["2024-02-29T00:00Z", "2024-03-31T00:00Z"]),
        ("cron(0 0 L-3 * ? *)", "2026-01-31T00:00:00Z", ["2026-02-25T00:00Z", "2026-03-28T00:00Z"]),
        ("cron(0 0 LW * ? *)", "2026-01-01T00:00:00Z", ["2026-01-30T00:00Z", "2026-02-27T00:00Z"]),
        // The 1st of August 2026 is a Saturday, that of November a Sunday: the nearest weekday of the same month.
        ("cron(0 0 1W 8,11 ? 2026)", "2026-01-01T00:00:00Z", ["2026-08-03T00:00Z", "2026-11-02T00:00Z"]),
        ("cron(0 0 15W 8,11 ? 2026)", "2026-01-01T00:00:00Z", ["2026-08-14T00:00Z", "2026-11-16T00:00Z"]),
        // The 31st of May 2026 is a Sunday; June has none.
        ("cron(0 0 31W 5-7 ? 2026)", "2026-01-01T00:00:00Z", ["2026-05-29T00:00Z", "2026-07-31T00:00Z"]),
        ("cron(0 0 1,L * ? *)", "2026-01-01T00:00:00Z", ["2026-01-31T00:00Z", "2026-02-01T00:00Z"]),
        ("cron(0 0 ? * 6L *)", "2026-01-01T00:00:00Z", ["2026-01-30T00:00Z", "2026-02-27T00:00Z"]),
        ("cron(0 0 ? * 3#2 *)", "2026-01-01T00:00:00Z", ["2026-01-13T00:00Z", "2026-02-10T00:00Z"]),
        ("cron(0 0 ? * MON#5 *)", "2026-01-01T00:00:00Z", ["2026-03-30T00:00Z", "2026-06-29T00:00Z"]),
        ("cron(0 0 29 2 ? *)", "2026-01-01T00:00:00Z", ["2028-02-29T00:00Z", "2032-02-29T00:00Z"]),
        ("cron(0 0 29 FEB ? 2090-2110)", "2096-03-01T00:00:00Z", ["2104-02-29T00:00Z", "2108-02-29T00:00Z"]),
        ("cron(0 0 1 1 ? 2026/10)", "2026-01-01T00:00:00Z", ["2036-01-01T00:00Z", "2046-01-01T00:00Z"]),
    ] {
        comes(expression, "UTC", after, &next);
    }
}

#[test]
fn what_never_comes_ends() {
    for expression in [
        "cron(0 0 30 2 ? *)",
        "cron(0 0 31W 2,4,6 ? *)",
        "cron(* * * * ? 1970-2025)",
        "at(2025-01-01T00:00:00)",
    ] {
        comes(expression, "Europe/Berlin", "2026-01-01T00:00:00Z", &[]);
        assert_eq!(following(expression, "Europe/Berlin", "2026-01-01T00:00:00Z", 1), [""; 0]);
    }
    assert_eq!(following("cron(59 23 31 12 ? *)", "UTC", "2198-12-31T23:59:00Z", 3), ["2199-12-31T23:59Z"]);
}

#[test]
fn beyond_all_calendars_nothing_is_due() {
    for expression in ["cron(* * * * ? *)", "rate(1 minute)", "at(2026-01-01T00:00:00)"] {
        let expression = Expression::parse(expression).expect(expression);
        assert_eq!(expression.next_after(Timestamp::MAX, &TimeZone::UTC, Timestamp::EPOCH), None);
    }
}

#[test]
fn a_rate_counts_from_its_anchor() {
    let rate = |text: &str| Expression::parse(text).expect(text);
    let anchor = moment("2026-01-01T00:00:30Z");
    let next = |text: &str, after: &str| rate(text).next_after(moment(after), &TimeZone::UTC, anchor);
    assert_eq!(next("rate(5 minutes)", "2025-01-01T00:00:00Z"), Some(anchor), "the anchor is due itself");
    assert_eq!(next("rate(5 minutes)", "2026-01-01T00:00:30Z"), Some(moment("2026-01-01T00:05:30Z")));
    assert_eq!(next("rate(5 minutes)", "2026-01-01T00:12:00Z"), Some(moment("2026-01-01T00:15:30Z")));
    assert_eq!(next("rate(1 hours)", "2026-01-01T00:12:00Z"), Some(moment("2026-01-01T01:00:30Z")));
    assert_eq!(next("rate(18446744073709551615 days)", "2026-01-01T00:12:00Z"), None);
}

#[test]
fn a_day_of_a_rate_has_24_hours() {
    comes(
        "rate(1 day)",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T12:00Z", "2026-03-30T12:00Z", "2026-03-31T12:00Z"],
    );
}

#[test]
fn a_time_that_clocks_skip_is_skipped() {
    comes("cron(30 2 * * ? *)", "America/New_York", "2026-03-07T12:00:00Z", &["2026-03-09T06:30Z"]);
    comes("cron(30 2 * * ? *)", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-30T00:30Z"]);
    // Lord Howe Island's clocks go from 02:00 to 02:30.
    comes(
        "cron(0,15,30,45 2 * * ? *)",
        "Australia/Lord_Howe",
        "2026-10-03T15:00:00Z",
        &["2026-10-03T15:30Z", "2026-10-03T15:45Z", "2026-10-04T15:00Z"],
    );
    comes("at(2026-03-29T02:30:00)", "Europe/Berlin", "2026-01-01T00:00:00Z", &[]);
    assert!(following("at(2026-03-29T02:30:00)", "Europe/Berlin", "2026-01-01T00:00:00Z", 1).is_empty());
    // Samoa had no 30 December 2011.
    comes(
        "cron(0 12 * * ? *)",
        "Pacific/Apia",
        "2011-12-29T12:00:00Z",
        &["2011-12-29T22:00Z", "2011-12-30T22:00Z"],
    );
}

#[test]
fn a_time_that_comes_twice_happens_once() {
    comes(
        "cron(30 1 * * ? *)",
        "America/New_York",
        "2026-10-31T12:00:00Z",
        &["2026-11-01T05:30Z", "2026-11-02T06:30Z"],
    );
    comes(
        "cron(30 2 * * ? *)",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30Z", "2026-10-26T01:30Z"],
    );
    // From 02:00 back to 01:30.
    comes(
        "cron(0/15 1 * * ? *)",
        "Australia/Lord_Howe",
        "2026-04-04T14:15:00Z",
        &["2026-04-04T14:30Z", "2026-04-04T14:45Z", "2026-04-05T14:30Z"],
    );
    // Asked in the middle of the hour that comes again.
    comes("cron(0/30 * * * ? *)", "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-25T02:00Z"]);
    comes("at(2026-10-25T02:30:00)", "Europe/Berlin", "2026-01-01T00:00:00Z", &["2026-10-25T00:30Z"]);
}

#[test]
fn at_is_in_its_zone() {
    comes("at(2026-07-01T09:00:00)", "America/New_York", "2026-01-01T00:00:00Z", &["2026-07-01T13:00Z"]);
    comes("at(2026-07-01T09:00:00)", "asia/kolkata", "2026-01-01T00:00:00Z", &["2026-07-01T03:30Z"]);
}

#[test]
fn what_is_refused_says_why() {
    for (expression, because) in [
        ("", "write at("),
        ("every minute", "write at("),
        ("cron(0 12 * * ? *", "write at("),
        ("Rate(1 minute)", "write at("),
        ("at(2026-13-01T00:00:00)", "'2026-13-01T00:00:00' is not a date and time"),
        ("at(2026-02-30T00:00:00)", "not a date and time"),
        ("at(2026-02-01 00:00:00)", "not a date and time"),
        ("at(2026-02-01T24:00:00)", "not a date and time"),
        ("at(2026-02-01T00:00:60)", "not a date and time"),
        ("at(2026-02-01T00:00:00Z)", "not a date and time"),
        ("at(2026-02-0éT00:00:00)", "not a date and time"),
        ("rate(0 minutes)", "whole number from 1"),
        ("rate(-1 minutes)", "whole number from 1"),
        ("rate(+1 minutes)", "whole number from 1"),
        ("rate(1.5 hours)", "whole number from 1"),
        ("rate(5)", "whole number from 1"),
        ("rate(5 seconds)", "whole number from 1"),
        ("rate(5 minutess)", "whole number from 1"),
        ("rate(5 minute)", "minutes"),
        ("cron(0 12 * * ?)", "there are 5"),
        ("cron(0 0 12 * * ? *)", "there are 7"),
        ("cron(0 12 * * * *)", "must be '?'"),
        ("cron(0 12 ? * ? *)", "must be '?'"),
        ("cron(0 12 1 * MON *)", "must be '?'"),
        ("cron(60 12 * * ? *)", "'60' is no minute: 0-59"),
        ("cron(0 24 * * ? *)", "'24' is no hour"),
        ("cron(*/61 * * * ? *)", "from 1 to 60"),
        ("cron(0/0 * * * ? *)", "from 1 to 60"),
        ("cron(0 ? * * ? *)", "'?' is no hour"),
        ("cron(0 0 0 * ? *)", "'0' is no day-of-month"),
        ("cron(0 0 32W * ? *)", "'32W' is no day-of-month"),
        ("cron(0 0 W * ? *)", "'W' is no day-of-month"),
        ("cron(0 0 L-31 * ? *)", "'L-31' is no day-of-month"),
        ("cron(0 0 1 JANUARY ? *)", "'JANUARY' is no month"),
        ("cron(0 0 ? * 0 *)", "'0' is no day-of-week: 1-7 (1 is Sunday)"),
        ("cron(0 0 ? * 8L *)", "'8L' is no day-of-week"),
        ("cron(0 0 ? * 3#6 *)", "'3#6' is no day-of-week"),
        ("cron(0 0 ? * 3#1,6#3 *)", "one part only"),
        ("cron(0 0 1 * ? 1969)", "'1969' is no year"),
        ("cron(0 0 1 * ? 2200)", "'2200' is no year"),
        ("cron(0 0 1 * ? 2030-2026)", "'2030-2026' is no year"),
        ("cron(0 0 1,, * ? *)", "'' is no day-of-month"),
        ("cron(0 0 1-2-3 * ? *)", "'1-2-3' is no day-of-month"),
        ("cron(0 0 1/2/3 * ? *)", "'1/2/3' is no day-of-month"),
    ] {
        refused(expression, because);
    }
    let long = format!("cron({} * * * ? *)", "1,".repeat(200));
    assert_eq!(Expression::parse(&long), Err(ExpressionError::TooLong { limit: 256 }));
    for name in ["", "Mars/Olympus", "Europe/Berlin ", "../etc/passwd", "+02:00"] {
        assert!(TimeZone::parse(name).is_err(), "{name}");
    }
    assert_eq!(TimeZone::parse("europe/berlin").expect("a zone").to_string(), "Europe/Berlin");
}
