//! The three kinds of schedule expression.

use jiff::civil::DateTime;
use trireme_types::Timestamp;

use crate::cron::Cron;
use crate::error::ExpressionError;
use crate::zone::{TimeZone, shortened};

/// EventBridge's longest expression, in characters.
const LONGEST: usize = 256;

/// When something is due. Written and read as EventBridge has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Once, at a local time.
    At(DateTime),
    /// Again and again, at equal distances from an anchor; clocks that are put forward or back do not touch it.
    Rate(Rate),
    /// At the local times that the calendar gives.
    Cron(Box<Cron>),
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many units; from 1 on.
    pub value: u64,
    /// Of what.
    pub unit: RateUnit,
    /// Whether the unit was written in the plural. EventBridge's rules refuse `rate(1 minutes)`; EventBridge Scheduler takes it.
    pub plural: bool,
}

/// What a rate counts. A day is 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateUnit {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
}

impl RateUnit {
    const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// In the singular.
    const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// How long one is.
    const fn millis(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }
}

impl Rate {
    /// From one time to the next, in milliseconds; saturates.
    pub fn millis(self) -> u64 {
        self.value.saturating_mul(self.unit.millis())
    }

    fn parse(text: &str) -> Result<Self, ExpressionError> {
        let refused = || ExpressionError::Rate { text: shortened(text) };
        let mut words = text.split_ascii_whitespace();
        let (Some(value), Some(word), None) = (words.next(), words.next(), words.next()) else {
            return Err(refused());
        };
        if !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        let value: u64 = value.parse().map_err(|_| refused())?;
        let (singular, plural) = word.strip_suffix('s').map_or((word, false), |singular| (singular, true));
        let unit = RateUnit::ALL.into_iter().find(|unit| unit.name() == singular).ok_or_else(refused)?;
        match value {
            0 => Err(refused()),
            2.. if !plural => Err(ExpressionError::Plural { value, unit: unit.name() }),
            _ => Ok(Self { value, unit, plural }),
        }
    }

    /// The first of `anchor`, `anchor` + 1 × rate, + 2 × rate, ... after `after`.
    fn next_after(self, after: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        let Some(passed) = after.millis().checked_sub(anchor.millis()) else {
            return Some(anchor);
        };
        let periods = passed.checked_div(self.millis())?.checked_add(1)?;
        periods.checked_mul(self.millis())?.checked_add(anchor.millis()).map(Timestamp::from_millis)
    }
}

impl Expression {
    /// Reads `at(...)`, `rate(...)` or `cron(...)`. `rate` of 1 may have its unit in the singular or the plural: see [`Rate::plural`].
    ///
    /// # Errors
    ///
    /// What is wrong, and what may stand there.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.chars().nth(LONGEST).is_some() {
            return Err(ExpressionError::TooLong { limit: LONGEST });
        }
        let (kind, rest) = text.trim().split_once('(').ok_or(ExpressionError::Kind)?;
        let inner = rest.strip_suffix(')').ok_or(ExpressionError::Kind)?.trim();
        match kind {
            "at" => moment(inner).map(Self::At),
            "rate" => Rate::parse(inner).map(Self::Rate),
            "cron" => Cron::parse(inner).map(|cron| Self::Cron(Box::new(cron))),
            _ => Err(ExpressionError::Kind),
        }
    }

    /// The first time that it is due after `after`; `None` if there is none any more. A rate counts from `anchor`, which is a due
    /// time itself: to have something happen first one period after it was made, ask for what follows that moment.
    ///
    /// A local time that clocks skip is skipped; one that they show twice happens once, at the first (EventBridge Scheduler).
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone, anchor: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(local) => zone.first(*local).filter(|due| *due > after),
            Self::Rate(rate) => rate.next_after(after, anchor),
            Self::Cron(cron) => cron.next_after(after, zone),
        }
    }
}

/// `yyyy-mm-ddThh:mm:ss`, all of it and nothing else.
fn moment(text: &str) -> Result<DateTime, ExpressionError> {
    let refused = || ExpressionError::Moment { text: shortened(text) };
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    };
    if text.len() != 19 || !text.bytes().enumerate().all(shape) {
        return Err(refused());
    }
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<i16>().ok());
    let small =
        |from: usize| number(from, from.saturating_add(2)).and_then(|number| i8::try_from(number).ok());
    let made =
        || DateTime::new(number(0, 4)?, small(5)?, small(8)?, small(11)?, small(14)?, small(17)?, 0).ok();
    made().ok_or_else(refused)
}
