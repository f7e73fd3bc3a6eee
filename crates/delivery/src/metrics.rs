//! What is counted of deliveries.

const EVENTS: &str = "trireme_delivery_events_total";
const FAILURES: &str = "trireme_delivery_failures_total";
const MISSED: &str = "trireme_delivery_missed_events_total";
const TARGETS: &str = "trireme_delivery_targets";

/// Tells the recorder what the metrics mean.
pub fn describe() {
    use metrics::Unit::Count;
    metrics::describe_counter!(
        EVENTS,
        Count,
        "Events for targets of rules, by outcome: delivered or dropped"
    );
    metrics::describe_counter!(FAILURES, Count, "Tries to tell a target that failed and are made again");
    metrics::describe_counter!(
        MISSED,
        Count,
        "Events of the history that were trimmed before they were read for a target"
    );
    metrics::describe_gauge!(TARGETS, Count, "Targets of rules that are told of events, on the leader");
}

pub(crate) fn told(outcome: &'static str) {
    metrics::counter!(EVENTS, "outcome" => outcome).increment(1);
}

pub(crate) fn failed() {
    metrics::counter!(FAILURES).increment(1);
}

pub(crate) fn missed(events: u64) {
    metrics::counter!(MISSED).increment(events);
}

pub(crate) fn targets(count: usize) {
    metrics::gauge!(TARGETS).set(count as f64);
}
