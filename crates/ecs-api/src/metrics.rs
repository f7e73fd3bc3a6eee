//! What is measured of the API. Labels are operations and error types, of which there are few; never ids.

use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const REQUESTS: &str = "trireme_api_requests_total";
const SHED: &str = "trireme_api_shed_total";
const INCOMPLETE: &str = "trireme_logs_incomplete_total";
const SECONDS: &str = "trireme_api_request_seconds";

/// Gives the metrics their help texts. Once, after the recorder is installed.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "API requests by operation and answer: OK or the error's type.");
    describe_counter!(
        SHED,
        Unit::Count,
        "API requests that were turned away because the node is busy, by class (read, write, body) and reason: too many waited \
         (queue), one waited too long (time). A body waits for memory."
    );
    describe_counter!(
        INCOMPLETE,
        Unit::Count,
        "Answers of the logs API that may lack what container instances have that could not be reached or are lost."
    );
    describe_histogram!(SECONDS, Unit::Seconds, "Time from an API request's last byte to its answer.");
}

/// Counts one request that was turned away.
pub(crate) fn record_shed(class: &'static str, reason: &'static str) {
    counter!(SHED, "class" => class, "reason" => reason).increment(1);
}

/// Counts one answered request.
pub(crate) fn record(operation: &'static str, code: &'static str, took: Duration) {
    counter!(REQUESTS, "operation" => operation, "code" => code).increment(1);
    histogram!(SECONDS, "operation" => operation).record(took.as_secs_f64());
}

/// Counts one answer that may lack something.
pub(crate) fn record_incomplete() {
    counter!(INCOMPLETE).increment(1);
}
