//! EventBridge on the same port: awsJson1.1 with the target `AWSEvents.OPERATION`, signed for `events`. There is the default event bus, and its rules
//! start tasks of ECS and call API destinations.
//!
//! Reading order: `shape` (requests and answers) · `bus` · `rule` · `pattern` · `target` · `http_target` · `input` (what a target is told) ·
//! `connection` · `destination` · `tag` · `emitted` (what ECS says happened).

mod bus;
mod connection;
mod destination;
mod emitted;
mod http_target;
pub(crate) mod input;
mod pattern;
mod rule;
mod shape;
mod tag;
mod target;

use trireme_state::Rejection;
use trireme_state::object::RuleKey;

pub use emitted::{Emitted, emitted};
pub use input::{parameter, told};
pub use pattern::Pattern;
pub use target::for_event;

use crate::companion::{Context, Service, check_name, operations};
use crate::error::{Code, Error, Result, sentence};
use crate::http::JSON;

pub(crate) const SERVICE: Service =
    Service { signing_name: "events", target: "AWSEvents.", content_type: JSON, of_rejection, unavailable };

operations! {
    SERVICE;
    PutRule => rule::put,
    DescribeRule => rule::describe,
    ListRules => rule::list,
    EnableRule => rule::enable,
    DisableRule => rule::disable,
    DeleteRule => rule::delete,
    PutTargets => target::put,
    ListTargetsByRule => target::list,
    ListRuleNamesByTarget => target::rules,
    RemoveTargets => target::remove,
    TestEventPattern => pattern::test,
    CreateConnection => connection::create,
    UpdateConnection => connection::update,
    DescribeConnection => connection::describe,
    ListConnections => connection::list,
    DeleteConnection => connection::delete,
    CreateApiDestination => destination::create,
    UpdateApiDestination => destination::update,
    DescribeApiDestination => destination::describe,
    ListApiDestinations => destination::list,
    DeleteApiDestination => destination::delete,
    TagResource => tag::add,
    UntagResource => tag::remove,
    ListTagsForResource => tag::list,
    DescribeEventBus => bus::describe,
    ListEventBuses => bus::list,
}

/// The one event bus.
const DEFAULT_BUS: &str = "default";

fn of_rejection(rejection: Rejection) -> Error {
    match rejection {
        Rejection::ScheduleNotFound { .. } => common("ResourceNotFoundException", sentence(&rejection)),
        Rejection::ScheduleExists { .. } => common("ResourceAlreadyExistsException", sentence(&rejection)),
        Rejection::LimitExceeded { .. } => common("LimitExceededException", sentence(&rejection)),
        Rejection::Stale { .. } => {
            common("ConcurrentModificationException", format!("{} Retry.", sentence(&rejection)))
        }
        Rejection::Invalid { message } => invalid(message),
        other => unavailable(sentence(&other)),
    }
}

fn common(name: &'static str, message: impl Into<String>) -> Error {
    Error::new(Code::Common(name, 400), message)
}

fn invalid(message: impl Into<String>) -> Error {
    common("ValidationException", message)
}

fn unavailable(message: String) -> Error {
    Error::new(Code::Common("InternalException", 500), message)
}

fn no_rule(name: &str) -> Error {
    let message = format!("Rule {name} does not exist on EventBus {DEFAULT_BUS}.");
    common("ResourceNotFoundException", message)
}

/// EventBridge API: EventBusName, by name or ARN.
fn check_bus(given: Option<&String>) -> Result<()> {
    let name = given.map_or(DEFAULT_BUS, String::as_str);
    let name = name.rsplit_once(":event-bus/").map_or(name, |(_, name)| name);
    if name == DEFAULT_BUS {
        return Ok(());
    }
    let name: String = name.chars().take(64).collect();
    Err(common("ResourceNotFoundException", format!("Event bus {name} does not exist.")))
}

fn key(cx: &Context, name: Option<&String>, bus: Option<&String>) -> Result<RuleKey> {
    let name = name.map(String::as_str).unwrap_or_default();
    check_name("name", name)?;
    check_bus(bus)?;
    Ok(RuleKey { scope: cx.scope().clone(), name: name.to_owned() })
}

fn arn(key: &RuleKey) -> String {
    format!("arn:aws:events:{}:{}:rule/{}", key.scope.region, key.scope.account, key.name)
}

/// EventBridge API: RuleDescription, ConnectionDescription, ApiDestinationDescription.
fn check_description(description: Option<&String>) -> Result<()> {
    const CHARACTERS: usize = 512;
    if description.is_none_or(|text| text.chars().count() <= CHARACTERS) {
        return Ok(());
    }
    Err(invalid(format!("Description can have at most {CHARACTERS} characters.")))
}

/// EventBridge API: Limit.
fn page_size(asked: Option<i64>) -> Result<usize> {
    match asked {
        None => Ok(100),
        Some(size @ 1..=100) => Ok(usize::try_from(size).unwrap_or(100)),
        Some(_) => Err(invalid("Limit must be between 1 and 100.")),
    }
}
