//! What is wrong with an expression or a time zone, in words for the one who wrote it.

/// Why a text is not a schedule expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// None of the three kinds.
    #[error(
        "write at(yyyy-mm-ddThh:mm:ss), rate(value unit) or cron(minutes hours day-of-month month day-of-week year)"
    )]
    Kind,
    /// Longer than EventBridge takes.
    #[error("a schedule expression has at most {limit} characters")]
    TooLong {
        /// The most that there may be.
        limit: usize,
    },
    /// `at(...)` without a date and a time.
    #[error("'{text}' is not a date and time; write at(yyyy-mm-ddThh:mm:ss)")]
    Moment {
        /// What was between the brackets.
        text: String,
    },
    /// `rate(...)` without a positive number and a unit.
    #[error(
        "'{text}' is not a rate; write a whole number from 1 on and minute(s), hour(s) or day(s): rate(5 minutes)"
    )]
    Rate {
        /// What was between the brackets.
        text: String,
    },
    /// `rate(5 minute)`.
    #[error("a rate of {value} has its unit in the plural: {unit}s")]
    Plural {
        /// The number.
        value: u64,
        /// The unit, in the singular.
        unit: &'static str,
    },
    /// Too many fields, or too few.
    #[error(
        "cron has six fields, minutes, hours, day-of-month, month, day-of-week and year; there are {count}"
    )]
    Fields {
        /// How many there are.
        count: usize,
    },
    /// Neither or both of the day fields are `?`.
    #[error("exactly one of day-of-month and day-of-week must be '?'")]
    QuestionMark,
    /// A field that means nothing.
    #[error("'{text}' is no {field}: {allowed}")]
    Field {
        /// Which field.
        field: &'static str,
        /// The part that is wrong.
        text: String,
        /// What may stand there.
        allowed: String,
    },
    /// No such time zone.
    #[error("'{name}' is not a time zone of the IANA database, such as Europe/Berlin or UTC")]
    Zone {
        /// The name.
        name: String,
    },
}
