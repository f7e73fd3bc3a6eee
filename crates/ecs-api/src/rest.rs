//! restJson1: operations that are told apart by method and path instead of a header. What stands in the path and the query joins the body's
//! members, so that a request is one JSON object, as in the other services' protocol.
//!
//! EventBridge Scheduler alone has it here.

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use trireme_types::RequestId;

use crate::error::{Code, Error, Result};
use crate::scheduler::{self, Operation};
use crate::{Api, auth, operation};

/// The protocol's media type.
pub(crate) const JSON: &str = "application/json";
/// Members that a query has more than once.
const LISTS: &[&str] = &["TagKeys"];
/// Members whose names in the query are not their own.
const RENAMED: &[(&str, &str)] =
    &[("groupName", "GroupName"), ("clientToken", "ClientToken"), ("ScheduleGroup", "GroupName")];
/// Members that are numbers.
const NUMBERS: &[&str] = &["MaxResults"];

/// What a method and a path ask for, and the member that the path names.
fn route(parts: &Parts) -> Option<(Operation, Option<(&'static str, String)>)> {
    let mut segments = parts.uri.path().trim_start_matches('/').splitn(2, '/');
    let (first, rest) = (segments.next()?, segments.next().filter(|rest| !rest.is_empty()));
    let operation = match (first, &parts.method, rest.is_some()) {
        ("schedules", &Method::GET, false) => "ListSchedules",
        ("schedules", &Method::GET, true) => "GetSchedule",
        ("schedules", &Method::POST, true) => "CreateSchedule",
        ("schedules", &Method::PUT, true) => "UpdateSchedule",
        ("schedules", &Method::DELETE, true) => "DeleteSchedule",
        ("schedule-groups", &Method::GET, false) => "ListScheduleGroups",
        ("schedule-groups", &Method::GET, true) => "GetScheduleGroup",
        ("schedule-groups", &Method::POST, true) => "CreateScheduleGroup",
        ("schedule-groups", &Method::DELETE, true) => "DeleteScheduleGroup",
        ("tags", &Method::GET, true) => "ListTagsForResource",
        ("tags", &Method::POST, true) => "TagResource",
        ("tags", &Method::DELETE, true) => "UntagResource",
        _ => return None,
    };
    let member = if first == "tags" { "ResourceArn" } else { "Name" };
    Some((Operation::named(operation)?, rest.map(|rest| (member, decoded(rest)))))
}

/// Whether a request is one of this protocol.
pub(crate) fn is_for(parts: &Parts) -> bool {
    route(parts).is_some()
}

/// The operation's name; `None` when it is none of this protocol.
pub(crate) fn named(parts: &Parts) -> Option<&'static str> {
    route(parts).map(|(operation, _)| operation.name())
}

/// Answers a call of this protocol.
pub(crate) async fn answer(api: Api, parts: &Parts, body: &Bytes, request_id: RequestId) -> Result<Bytes> {
    let caller = auth::authenticate(&api, parts, body, scheduler::SERVICE.signing_name).await?;
    let nothing = || Error::new(Code::unknown_operation(404), "There is no such operation.");
    let (operation, named) = route(parts).ok_or_else(nothing)?;
    let mut members = members(body)?;
    for (name, value) in query(parts.uri.query().unwrap_or_default())? {
        members.insert(name, value);
    }
    if let Some((member, value)) = named {
        members.insert(member.to_owned(), Value::String(value));
    }
    // A client token is what tells a repeat here; SDKs always send one.
    let token = members.get("ClientToken").and_then(Value::as_str).map(str::to_owned);
    let invocation = parts.headers.get("amz-sdk-invocation-id").and_then(|value| value.to_str().ok());
    let invocation = token.or_else(|| invocation.map(str::to_owned));
    let call = operation::Call { api, caller, request_id, invocation, host: None };
    let request = Value::Object(members).to_string();
    operation.answer(call, request.as_bytes()).await
}

fn members(body: &Bytes) -> Result<Map<String, Value>> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let broken = |error: String| Error::new(Code::serialization(), error);
    match serde_json::from_slice(body).map_err(|error| broken(error.to_string()))? {
        Value::Object(members) => Ok(members),
        _ => Err(broken("The request's body is not a JSON object.".to_owned())),
    }
}

fn query(text: &str) -> Result<Map<String, Value>> {
    let mut members = Map::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (decoded(name), decoded(&value.replace('+', " ")));
        let renamed = RENAMED.iter().find(|(given, _)| *given == name).map(|(_, own)| (*own).to_owned());
        let name = renamed.unwrap_or(name);
        if LISTS.contains(&name.as_str()) {
            let list = members.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(Value::String(value));
            }
        } else if NUMBERS.contains(&name.as_str()) {
            let wrong = |_| Error::new(Code::serialization(), format!("{name} must be a number."));
            let number: i64 = value.parse().map_err(wrong)?;
            members.insert(name, Value::from(number));
        } else {
            members.insert(name, Value::String(value));
        }
    }
    Ok(members)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
