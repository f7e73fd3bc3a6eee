//! What each call of a load came to. A call that timed out is unknown, never failed: it may have been done.

use std::time::{Duration, Instant};

use aws_sdk_ecs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A cluster of that name. A repeat changes nothing.
    Cluster,
    /// The first revision of a task definition. A repeat that is taken for a new call makes a second one.
    Definition,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and must stay done.
    Acked,
    /// Nobody knows.
    Unknown(String),
    /// The answer says that a repeat is of no use.
    Refused(String),
}

/// One call.
#[derive(Debug, Clone)]
pub struct Record {
    /// What was asked for.
    pub kind: Kind,
    /// By what name.
    pub name: String,
    /// When the call began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
    /// What came of it.
    pub outcome: Outcome,
}

impl Record {
    /// Whether it was acknowledged.
    pub fn acked(&self) -> bool {
        self.outcome == Outcome::Acked
    }
}

/// What an error of the SDK says of the call.
pub fn outcome_of<E>(error: SdkError<E>) -> Outcome
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.as_service_error().and_then(|error| error.code()).unwrap_or_default().to_owned();
    let text = format!("{}", DisplayErrorContext(&error));
    let retryable = match &error {
        SdkError::ServiceError(_) => {
            code.contains("Throttl")
                || code.contains("LimitExceeded")
                || status.is_none_or(|s| s >= 500 || s == 429)
        }
        _ => true,
    };
    let short: String = text.chars().take(200).collect();
    if retryable { Outcome::Unknown(short) } else { Outcome::Refused(short) }
}

/// The longest time within `from..to` without an acknowledgement, and when it began.
pub fn longest_gap(records: &[Record], from: Instant, to: Instant) -> (Duration, Instant) {
    let mut acks: Vec<Instant> =
        records.iter().filter(|record| record.acked()).map(|record| record.ended).collect();
    acks.sort();
    let (mut longest, mut at, mut last) = (Duration::ZERO, from, from);
    for ack in acks.into_iter().filter(|ack| *ack > from && *ack <= to).chain([to]) {
        let gap = ack.saturating_duration_since(last);
        if gap > longest {
            (longest, at) = (gap, last);
        }
        last = ack;
    }
    (longest, at)
}

/// The first acknowledgement of a call that began after `from`.
pub fn first_ack(records: &[Record], from: Instant) -> Option<Duration> {
    let acked = records.iter().filter(|record| record.acked() && record.ended > from);
    acked.map(|record| record.ended - from).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(began: Instant, ended: u64, outcome: Outcome) -> Record {
        let ended = began + Duration::from_secs(ended);
        Record { kind: Kind::Cluster, name: String::new(), began, ended, outcome }
    }

    #[test]
    fn gaps_are_between_acknowledgements_and_at_the_ends() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let mut records = vec![record(zero, 1, Outcome::Acked), record(zero, 2, Outcome::Acked)];
        assert_eq!(longest_gap(&records, zero, at(4)).0, Duration::from_secs(2));
        records.push(record(zero, 9, Outcome::Unknown(String::new())));
        assert_eq!(longest_gap(&records, zero, at(10)), (Duration::from_secs(8), at(2)));
        assert_eq!(first_ack(&records, at(1)), Some(Duration::from_secs(1)));
        assert_eq!(first_ack(&records, at(2)), None);
    }
}
