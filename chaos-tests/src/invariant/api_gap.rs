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
    /// Once the fault is over: it takes the quorum away, or the room to write.
    AfterFault(f64),
    /// At any time, but only as a figure: callers are turned away by the thousand, and this load is one of them.
    Overload(f64),
}

impl Gap {
    /// In seconds.
    pub fn budget(self) -> f64 {
        match self {
            Self::Within(budget) | Self::AfterFault(budget) | Self::Overload(budget) => budget,
        }
    }
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
    let limit = budget.budget();
    let measured = match budget {
        Gap::Within(_) | Gap::Overload(_) => longest,
        Gap::AfterFault(_) => {
            let first = first_ack(records, healed).unwrap_or(to.saturating_duration_since(healed));
            first.max(longest_gap(records, healed + first, to).0)
        }
    };
    let text = match budget {
        Gap::Within(_) | Gap::Overload(_) => {
            format!("longest time without an acknowledged write {}", seconds(longest))
        }
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
    let in_time = measured.as_secs_f64() <= limit || matches!(budget, Gap::Overload(_));
    let held = in_time && refused.is_empty() && records.iter().any(Record::acked);
    let finding = Finding::new("I10", held, format!("{text}, budget {limit} s; {retryable}"));
    (Measured { gap: measured.as_secs_f64(), at }, finding)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Kind;

    #[test]
    fn an_outage_is_measured_from_the_end_of_the_fault_and_no_write_at_all_is_no_success() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let acked = |seconds| Record {
            kind: Kind::Cluster,
            name: String::new(),
            began: zero,
            ended: at(seconds),
            outcome: Outcome::Acked,
        };
        let records = [acked(1), acked(20), acked(21)];
        let held = |gap, healed| check(&records, gap, zero, healed, at(22)).1.held;
        assert_eq!(held(Gap::Within(5.0), at(19)), Some(false));
        assert_eq!(held(Gap::AfterFault(5.0), at(19)), Some(true));
        assert_eq!(held(Gap::AfterFault(5.0), at(10)), Some(false));
        // The figure says that it is too long.
        let (measured, finding) = check(&records, Gap::Overload(5.0), zero, at(19), at(22));
        assert_eq!((measured.gap, finding.held), (19.0, Some(true)));
        assert_eq!(check(&[], Gap::Overload(5.0), zero, at(1), at(2)).1.held, Some(false));
    }
}
