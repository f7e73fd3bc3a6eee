//! I10: the API is away for 5 s at most, and its errors say that a repeat helps.

use std::time::{Duration, Instant};

use super::Finding;
use crate::load::record::{first_ack, longest_gap};
use crate::load::{Outcome, Record};

/// How long writes may be away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gap {
    /// At any time, the fault included.
    Within(f64),
    /// Once the fault is over: it takes the quorum away.
    AfterFault(f64),
}

/// What the writes came to.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Time without an acknowledgement, in seconds.
    pub gap: f64,
    /// When it began.
    pub at: Instant,
}

/// Judges the load between `from` and `to`; the fault was over at `healed`.
pub fn check(
    records: &[Record],
    budget: Gap,
    from: Instant,
    healed: Instant,
    to: Instant,
) -> (Measured, Finding) {
    let refused: Vec<&str> = records
        .iter()
        .filter_map(|record| match &record.outcome {
            Outcome::Refused(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let (longest, at) = longest_gap(records, from, to);
    let (limit, measured) = match budget {
        Gap::Within(limit) => (limit, longest),
        Gap::AfterFault(limit) => {
            let first = first_ack(records, healed).unwrap_or(to.saturating_duration_since(healed));
            (limit, first.max(longest_gap(records, healed + first, to).0))
        }
    };
    let text = match budget {
        Gap::Within(_) => format!("longest time without an acknowledged write {}", seconds(longest)),
        Gap::AfterFault(_) => format!(
            "writes went on {} after the fault was over ({} without any in all)",
            seconds(measured),
            seconds(longest)
        ),
    };
    let retryable = match refused.first() {
        None => "all errors retryable".to_owned(),
        Some(first) => format!("{} errors not retryable, such as: {first}", refused.len()),
    };
    let held = measured.as_secs_f64() <= limit && refused.is_empty();
    let finding = Finding::new("I10", held, format!("{text}, budget {limit} s; {retryable}"));
    (Measured { gap: measured.as_secs_f64(), at }, finding)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
