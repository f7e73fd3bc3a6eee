//! From text to a [`Cron`].

use super::{Cron, DayOfMonth, DayOfWeek, Days, YEARS, Years};
use crate::error::ExpressionError;
use crate::zone::shortened;

/// One of the fields that hold numbers.
struct Field {
    name: &'static str,
    low: u16,
    high: u16,
    /// Names of the numbers from `low` on.
    names: &'static [&'static str],
    /// What may stand there, for messages.
    allowed: &'static str,
    /// Whether a range may go over the end: FRI-MON.
    wraps: bool,
}

const MINUTES: Field =
    Field { name: "minute", low: 0, high: 59, names: &[], allowed: "0-59 and , - * /", wraps: true };
const HOURS: Field =
    Field { name: "hour", low: 0, high: 23, names: &[], allowed: "0-23 and , - * /", wraps: true };
const DAYS_OF_MONTH: Field = Field {
    name: "day-of-month",
    low: 1,
    high: 31,
    names: &[],
    allowed: "1-31 and , - * ? / L W",
    wraps: true,
};
const MONTHS: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    allowed: "1-12 or JAN-DEC and , - * /",
    wraps: true,
};
const DAYS_OF_WEEK: Field = Field {
    name: "day-of-week",
    low: 1,
    high: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    allowed: "1-7 (1 is Sunday) or SUN-SAT and , - * ? / L #",
    wraps: true,
};
const YEAR: Field = Field {
    name: "year",
    low: *YEARS.start(),
    high: *YEARS.end(),
    names: &[],
    allowed: "1970-2199 and , - * /",
    wraps: false,
};

pub(super) fn cron(text: &str) -> Result<Cron, ExpressionError> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [minutes, hours, day_of_month, month, day_of_week, year] = fields[..] else {
        return Err(ExpressionError::Fields { count: fields.len() });
    };
    let minutes = set(&MINUTES, minutes)?;
    let hours = set(&HOURS, hours)?;
    let days = match (day_of_month, day_of_week) {
        ("?", "?") => return Err(ExpressionError::QuestionMark),
        (days, "?") => Days::OfMonth(days.split(',').map(of_month).collect::<Result<_, _>>()?),
        ("?", days) => Days::OfWeek(of_week(days)?),
        _ => return Err(ExpressionError::QuestionMark),
    };
    let months = set(&MONTHS, month)?;
    let mut years = Years::default();
    for part in year.split(',') {
        YEAR.part(part)?.for_each(|year| years.insert(year));
    }
    Ok(Cron { minutes, hours, months, days, years })
}

/// A field that is nothing but numbers.
fn set(field: &Field, text: &str) -> Result<u64, ExpressionError> {
    text.split(',').try_fold(0, |bits, part| Ok(bits | field.bits(part)?))
}

/// One part of day-of-month.
fn of_month(part: &str) -> Result<DayOfMonth, ExpressionError> {
    let field = &DAYS_OF_MONTH;
    let upper = part.to_ascii_uppercase();
    match upper.as_str() {
        "L" => return Ok(DayOfMonth::Last(0)),
        "LW" | "WL" => return Ok(DayOfMonth::LastWeekday),
        _ => {}
    }
    if let Some(before) = upper.strip_prefix("L-") {
        let before =
            number(before).filter(|before| (1..=30).contains(before)).ok_or_else(|| field.refused(part))?;
        return Ok(DayOfMonth::Last(small(before)));
    }
    if let Some(day) = upper.strip_suffix('W') {
        return Ok(DayOfMonth::Nearest(small(field.value(day, part)?)));
    }
    field.bits(part).map(DayOfMonth::Set)
}

/// Day-of-week. With `#` it has only one part.
fn of_week(text: &str) -> Result<Vec<DayOfWeek>, ExpressionError> {
    let field = &DAYS_OF_WEEK;
    if text.contains('#') && text.contains(',') {
        let allowed = "with # it has one part only, such as 3#2".to_owned();
        return Err(ExpressionError::Field { field: field.name, text: shortened(text), allowed });
    }
    text.split(',')
        .map(|part| {
            if part.eq_ignore_ascii_case("L") {
                // The week's last day.
                return Ok(DayOfWeek::Set(1 << field.high));
            }
            if let Some((day, nth)) = part.split_once('#') {
                let nth =
                    number(nth).filter(|nth| (1..=5).contains(nth)).ok_or_else(|| field.refused(part))?;
                return Ok(DayOfWeek::Nth(small(field.value(day, part)?), small(nth)));
            }
            if let Some(day) = part.strip_suffix(['L', 'l']) {
                return Ok(DayOfWeek::Last(small(field.value(day, part)?)));
            }
            field.bits(part).map(DayOfWeek::Set)
        })
        .collect()
}

impl Field {
    fn refused(&self, part: &str) -> ExpressionError {
        ExpressionError::Field { field: self.name, text: shortened(part), allowed: self.allowed.to_owned() }
    }

    /// A number or a name.
    fn value(&self, text: &str, part: &str) -> Result<u16, ExpressionError> {
        let named = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let value = match named {
            Some(at) => u16::try_from(at).ok().and_then(|at| self.low.checked_add(at)),
            None => number(text),
        };
        value.filter(|value| (self.low..=self.high).contains(value)).ok_or_else(|| self.refused(part))
    }

    /// How many values it has.
    fn width(&self) -> u16 {
        self.high - self.low + 1
    }

    /// `*`, `5`, `1-5`, `1/10`, `1-30/5`, `*/5`.
    fn part(&self, part: &str) -> Result<impl Iterator<Item = u16> + use<>, ExpressionError> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step, part)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.low, self.high),
            Some((first, last)) => (self.value(first, part)?, self.value(last, part)?),
            None => {
                let first = self.value(range, part)?;
                (first, if step.is_some() { self.high } else { first })
            }
        };
        let steps = match last.checked_sub(first) {
            Some(steps) => steps,
            None if self.wraps => last + self.width() - first,
            None => return Err(self.refused(part)),
        };
        let (low, width) = (self.low, self.width());
        Ok((0..=steps)
            .step_by(usize::from(step.unwrap_or(1)))
            .map(move |up| low + (first - low + up) % width))
    }

    fn step(&self, text: &str, part: &str) -> Result<u16, ExpressionError> {
        let step = number(text).filter(|step| (1..=self.width()).contains(step));
        step.ok_or_else(|| {
            let allowed = format!("the step after / is a number from 1 to {}", self.width());
            ExpressionError::Field { field: self.name, text: shortened(part), allowed }
        })
    }

    fn bits(&self, part: &str) -> Result<u64, ExpressionError> {
        Ok(self.part(part)?.fold(0, |bits, value| bits | 1 << value))
    }
}

/// Digits only, and few.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A number that is known to be below 256.
fn small(number: u16) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
