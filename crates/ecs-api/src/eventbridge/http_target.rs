//! Targets that are API destinations (EventBridge API: Target, HttpParameters).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use trireme_state::State;
use trireme_state::object::{ApiDestinationCall, Invocation, Target};

use super::{Context, destination, input, invalid};
use crate::convert::target;
use crate::error::Result;

/// EventBridge API: HeaderValue, QueryStringValue, PathParameter.
const VALUE: usize = 512;
/// Values of one kind.
const VALUES: usize = 100;
/// Headers that the call itself has.
const OWN: [&str; 13] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Given {
    arn: String,
    #[serde(rename = "Id")]
    _id: Option<String>,
    #[serde(rename = "RoleArn")]
    _role_arn: Option<String>,
    #[serde(rename = "DeadLetterConfig")]
    _dead_letter_config: Option<Value>,
    retry_policy: Option<target::Retry>,
    input: Option<String>,
    input_path: Option<String>,
    input_transformer: Option<input::Transformer>,
    http_parameters: Parameters,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Parameters {
    path_parameter_values: Vec<String>,
    header_parameters: BTreeMap<String, String>,
    query_string_parameters: BTreeMap<String, String>,
}

pub(super) fn is(given: &Value) -> bool {
    given.get("Arn").and_then(Value::as_str).is_some_and(|arn| arn.contains(":api-destination/"))
}

/// A header that a caller may choose.
pub(super) fn check_header(name: &str) -> Result<()> {
    let own = OWN.contains(&name.to_ascii_lowercase().as_str());
    if !own && http::HeaderName::from_bytes(name.as_bytes()).is_ok() {
        return Ok(());
    }
    let name: String = name.chars().take(80).collect();
    Err(invalid(format!("'{name}' is no name of a header that can be chosen.")))
}

pub(super) fn parse(cx: &Context, state: &State, id: String, given: Value) -> Result<Target> {
    let described = given.to_string();
    let given: Given =
        serde_json::from_value(given).map_err(|error| invalid(format!("Invalid Target: {error}.")))?;
    if let Some(member) = given.others.keys().next() {
        return Err(invalid(format!("Target.{member} is not supported of an API destination.")));
    }
    let found = destination::by_arn(cx, state, &given.arn).ok_or_else(|| {
        let arn: String = given.arn.chars().take(256).collect();
        invalid(format!("The API destination {arn} does not exist."))
    })?;
    let call = call(found.key.clone(), given.http_parameters)?;
    let stars = found.spec.endpoint.matches('*').count();
    if call.path_values.len() != stars {
        return Err(invalid(format!(
            "PathParameterValues must have a value for each '*' of the endpoint: {stars}, not {}.",
            call.path_values.len()
        )));
    }
    Ok(Target {
        id,
        described,
        invokes: Invocation::ApiDestination(call),
        input: input::parse(given.input, given.input_path, given.input_transformer)?,
        retry: target::retry(given.retry_policy.as_ref())?,
    })
}

fn call(
    destination: trireme_state::object::ApiDestinationKey,
    given: Parameters,
) -> Result<ApiDestinationCall> {
    let all = given.header_parameters.iter().chain(&given.query_string_parameters);
    let fits = |value: &String| value.chars().count() <= VALUE && !value.chars().any(char::is_control);
    let named = all.clone().all(|(name, value)| !name.is_empty() && fits(name) && fits(value));
    let counted = all.count() <= VALUES && given.path_parameter_values.len() <= VALUES;
    if !named || !counted || !given.path_parameter_values.iter().all(fits) {
        return Err(invalid(format!(
            "HttpParameters can have at most {VALUES} values of {VALUE} characters, none of which is a control character."
        )));
    }
    given.header_parameters.keys().try_for_each(|name| check_header(name))?;
    if given.path_parameter_values.iter().any(|value| matches!(value.as_str(), "" | "." | "..")) {
        return Err(invalid("PathParameterValues cannot be empty, '.' or '..'."));
    }
    Ok(ApiDestinationCall {
        destination,
        path_values: given.path_parameter_values,
        headers: given.header_parameters,
        query: given.query_string_parameters,
    })
}
