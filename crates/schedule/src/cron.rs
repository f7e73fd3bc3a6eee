//! AWS's cron: six fields, and the search for the next minute that has them all.

pub mod parse;

use jiff::civil::{Date, DateTime, Weekday};
use trireme_types::Timestamp;

use crate::error::ExpressionError;
use crate::zone::TimeZone;

/// The years that AWS's cron knows.
pub(crate) const YEARS: std::ops::RangeInclusive<u16> = 1970..=2199;

/// A cron expression. The sets are bits: bit 5 of `minutes` is minute 5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    pub(crate) minutes: u64,
    pub(crate) hours: u64,
    pub(crate) months: u64,
    pub(crate) days: Days,
    pub(crate) years: Years,
}

/// A set of years.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Years([u64; 4]);

impl Years {
    pub(crate) fn insert(&mut self, year: u16) {
        let at = usize::from(year.saturating_sub(*YEARS.start()));
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn contains(&self, year: u16) -> bool {
        let Some(at) = year.checked_sub(*YEARS.start()).map(usize::from) else { return false };
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// Which days of a month. The other day field is `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Days {
    OfMonth(Vec<DayOfMonth>),
    OfWeek(Vec<DayOfWeek>),
}

/// One part of day-of-month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DayOfMonth {
    /// A set of days.
    Set(u64),
    /// `L`, `L-3`: so many days before the last.
    Last(u8),
    /// `LW`: the last from Monday to Friday.
    LastWeekday,
    /// `15W`: the day from Monday to Friday that is nearest, in the same month. A month without that day has none.
    Nearest(u8),
}

/// One part of day-of-week; Sunday is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DayOfWeek {
    /// A set of days.
    Set(u64),
    /// `6L`: the month's last.
    Last(u8),
    /// `6#3`: the month's third.
    Nth(u8, u8),
}

impl Cron {
    /// Reads six fields.
    ///
    /// # Errors
    ///
    /// The first field that is wrong, and what may stand there.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        parse::cron(text)
    }

    /// The first minute after `after` that has all fields, on clocks in `zone`. The search ends with the year 2199.
    pub(crate) fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = zone.local(after)?;
        // A local time that is not after this one is past at its first occurrence, so the search begins here.
        let today = local.date();
        let from = u32::try_from(local.hour()).ok()? * 60 + u32::try_from(local.minute()).ok()?;
        let mut month = Month::of(today);
        loop {
            if month.year > *YEARS.end() {
                return None;
            }
            if !self.years.contains(month.year) {
                month = month.next_year();
                continue;
            }
            for day in bits(self.days_of(month)?) {
                let date = month.day(day)?;
                if date < today {
                    continue;
                }
                let first = if date == today { from } else { 0 };
                if let Some(due) = self.minute_of(date, first, after, zone) {
                    return Some(due);
                }
            }
            month = month.next();
        }
    }

    /// The first minute of `date` from `first` on (minutes since midnight) that is after `after`.
    fn minute_of(&self, date: Date, first: u32, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        bits(self.hours & from(first / 60)).find_map(|hour| {
            let earliest = if u32::from(hour) == first / 60 { first % 60 } else { 0 };
            bits(self.minutes & from(earliest)).find_map(|minute| {
                let local =
                    DateTime::from_parts(date, jiff::civil::Time::new(at(hour)?, at(minute)?, 0, 0).ok()?);
                zone.first(local).filter(|due| *due > after)
            })
        })
    }

    /// The days of a month, as bits; none in a month that is not meant.
    fn days_of(&self, month: Month) -> Option<u64> {
        if self.months >> month.month & 1 == 0 {
            return Some(0);
        }
        let whole = month.whole()?;
        let days = match &self.days {
            Days::OfMonth(parts) => parts.iter().fold(0, |days, part| days | part.of(&whole)),
            Days::OfWeek(parts) => parts.iter().fold(0, |days, part| days | part.of(&whole)),
        };
        Some(days & span(1, whole.last))
    }
}

/// A month of a year.
#[derive(Debug, Clone, Copy)]
struct Month {
    year: u16,
    month: u8,
}

/// What the days of a month follow from.
struct Whole {
    /// The weekday of its first day, 0 for Sunday.
    first: u8,
    /// Its last day.
    last: u8,
}

impl Month {
    fn of(date: Date) -> Self {
        Self { year: u16::try_from(date.year()).unwrap_or(0), month: u8::try_from(date.month()).unwrap_or(1) }
    }

    fn next(self) -> Self {
        match self.month {
            12 => self.next_year(),
            month => Self { year: self.year, month: month.saturating_add(1) },
        }
    }

    /// January of the next year.
    fn next_year(self) -> Self {
        Self { year: self.year.saturating_add(1), month: 1 }
    }

    fn day(self, day: u8) -> Option<Date> {
        Date::new(i16::try_from(self.year).ok()?, at(self.month)?, at(day)?).ok()
    }

    fn whole(self) -> Option<Whole> {
        let first = self.day(1)?;
        Some(Whole {
            first: u8::try_from(first.weekday().to_sunday_zero_offset()).ok()?,
            last: u8::try_from(first.days_in_month()).ok()?,
        })
    }
}

impl Whole {
    /// The weekday of a day, Sunday is 1.
    fn weekday(&self, day: u8) -> u8 {
        (self.first + day.saturating_sub(1)) % 7 + 1
    }

    /// From Monday to Friday.
    fn works(&self, day: u8) -> bool {
        !matches!(self.weekday(day), SUNDAY | SATURDAY)
    }

    /// The first day that is such a weekday.
    fn first_on(&self, weekday: u8) -> u8 {
        (weekday + 6 - self.first) % 7 + 1
    }
}

const SUNDAY: u8 = 1;
const SATURDAY: u8 = 7;
const _: () = assert!(Weekday::Sunday.to_sunday_one_offset() == 1);

impl DayOfMonth {
    fn of(self, month: &Whole) -> u64 {
        let last = month.last;
        let day = match self {
            Self::Set(days) => return days,
            Self::Last(before) => last.checked_sub(before),
            Self::LastWeekday => (1..=last).rev().find(|day| month.works(*day)),
            Self::Nearest(day) if day > last => None,
            Self::Nearest(day) => match month.weekday(day) {
                SATURDAY if day == 1 => Some(3),
                SATURDAY => Some(day - 1),
                SUNDAY if day == last => Some(day - 2),
                SUNDAY => Some(day + 1),
                _ => Some(day),
            },
        };
        day.map_or(0, |day| 1 << day)
    }
}

impl DayOfWeek {
    fn of(self, month: &Whole) -> u64 {
        match self {
            Self::Set(weekdays) => (1..=month.last)
                .filter(|day| weekdays >> month.weekday(*day) & 1 == 1)
                .fold(0, |days, day| days | 1 << day),
            Self::Last(weekday) => {
                let first = month.first_on(weekday);
                1 << (first + (month.last - first) / 7 * 7)
            }
            Self::Nth(weekday, nth) => 1 << (month.first_on(weekday) + (nth - 1) * 7),
        }
    }
}

/// The numbers in a set, in order.
fn bits(mut set: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let lowest = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (lowest < 64).then(|| u8::try_from(lowest).unwrap_or(u8::MAX))
    })
}

/// The set of all numbers from `lowest` on.
fn from(lowest: u32) -> u64 {
    u64::MAX.checked_shl(lowest).unwrap_or(0)
}

/// The set of the numbers from `low` to `high`.
pub(crate) fn span(low: u8, high: u8) -> u64 {
    from(low.into()) & !from(u32::from(high) + 1)
}

/// As jiff counts.
fn at(number: u8) -> Option<i8> {
    i8::try_from(number).ok()
}
