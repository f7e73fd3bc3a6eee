//! CloudWatch on the same port: awsJson1.0 with the target `GraniteServiceVersion20100801.OPERATION`, signed for `monitoring`. Metrics live
//! in every control node's memory, alarms are state. Only what ECS's users need of it is served.
//!
//! Reading order: `shape` (requests and answers) · `metric` (which one is meant) · `put` · `query` · `list` · `alarm` (what is asked of one) ·
//! `alarm_state` · `describe` · `history` · `tag` · `page`.

mod alarm;
mod alarm_state;
mod describe;
mod history;
mod list;
mod metric;
mod page;
mod put;
mod query;
mod shape;
mod tag;

use trireme_state::Rejection;
use trireme_state::object::AlarmKey;

use crate::companion::{Context, Service, operations};
use crate::error::{Code, Error, sentence};
use crate::http::JSON_1_0;

pub(crate) const SERVICE: Service = Service {
    signing_name: "monitoring",
    target: "GraniteServiceVersion20100801.",
    content_type: JSON_1_0,
    of_rejection,
    unavailable,
};

operations! {
    SERVICE;
    PutMetricData => put::put,
    GetMetricData => query::data,
    GetMetricStatistics => query::statistics,
    ListMetrics => list::list,
    PutMetricAlarm => alarm::put,
    DescribeAlarms => describe::describe,
    DescribeAlarmsForMetric => describe::for_metric,
    DescribeAlarmHistory => history::describe,
    DeleteAlarms => alarm_state::delete,
    SetAlarmState => alarm_state::set,
    EnableAlarmActions => alarm_state::enable_actions,
    DisableAlarmActions => alarm_state::disable_actions,
    TagResource => tag::add,
    UntagResource => tag::remove,
    ListTagsForResource => tag::list,
}

impl Context {
    fn alarm_key(&self, name: &str) -> AlarmKey {
        AlarmKey { scope: self.scope().clone(), name: name.to_owned() }
    }
}

/// An error's name in the Query protocol, which SDKs that speak of it in JSON still go by (CloudWatch API: AwsQueryError).
pub(crate) fn query_code(name: &str) -> &str {
    match name {
        "InvalidParameterValueException" => "InvalidParameterValue",
        "MissingRequiredParameterException" => "MissingParameter",
        "InvalidParameterCombinationException" => "InvalidParameterCombination",
        "InternalServiceFault" => "InternalServiceError",
        "LimitExceededFault" => "LimitExceeded",
        "InvalidFormatFault" => "InvalidFormat",
        other => other,
    }
}

fn of_rejection(rejection: Rejection) -> Error {
    match rejection {
        Rejection::AlarmNotFound => no_alarm(),
        Rejection::LimitExceeded { what, limit } => {
            limit_exceeded(format!("Limit exceeded: {what}, at most {limit}."))
        }
        Rejection::Invalid { message } => invalid(message),
        other => unavailable(sentence(&other)),
    }
}

fn common(name: &'static str, message: impl Into<String>) -> Error {
    Error::new(Code::Common(name, 400), message)
}

fn invalid(message: impl Into<String>) -> Error {
    common("InvalidParameterValueException", message)
}

fn combination(message: impl Into<String>) -> Error {
    common("InvalidParameterCombinationException", message)
}

fn missing(member: &str) -> Error {
    common("MissingRequiredParameterException", format!("The parameter {member} is required."))
}

fn limit_exceeded(message: impl Into<String>) -> Error {
    common("LimitExceededFault", message)
}

/// What would be something else without it.
fn unsupported(what: &str) -> Error {
    invalid(format!("{what} is not supported yet."))
}

fn no_alarm() -> Error {
    Error::new(Code::Common("ResourceNotFound", 404), "There is no such alarm.")
}

/// SDKs try again later by themselves.
fn unavailable(message: String) -> Error {
    Error::new(Code::Common("InternalServiceFault", 500), message)
}
