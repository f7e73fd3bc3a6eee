//! API destinations: HTTP endpoints that targets of rules may be.
//!
//! AWS takes addresses with https only; here http is taken too, for what stands beside the cluster.

use trireme_state::command::{DeliveryCommand, ScheduleCommand};
use trireme_state::object::{self, ApiDestinationKey, ApiDestinationSpec};
use trireme_state::{Command, State};

use super::shape::{Destination, Destinations, Empty, ListDestinations, NamedDestination, PutDestination};
use super::{Context, check_description, check_name, common, connection, invalid, page_size};
use crate::error::Result;

/// EventBridge API: HttpsEndpoint.
const ENDPOINT: usize = 2_048;
/// EventBridge API: InvocationRateLimitPerSecond, when it is not given, and as AWS's quota has it at most.
const RATE: u32 = 300;
const METHODS: [&str; 7] = ["POST", "GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"];

fn ask(command: DeliveryCommand) -> Command {
    Command::Schedule(Box::new(ScheduleCommand::Deliver(command)))
}

fn key(cx: &Context, name: Option<&String>) -> Result<ApiDestinationKey> {
    let name = name.map(String::as_str).unwrap_or_default();
    check_name("name", name)?;
    Ok(ApiDestinationKey { scope: cx.scope().clone(), name: name.to_owned() })
}

fn arn(destination: &object::ApiDestination) -> String {
    let (key, id) = (&destination.key, trireme_state::query::uuid(destination.id));
    format!("arn:aws:events:{}:{}:api-destination/{}/{id}", key.scope.region, key.scope.account, key.name)
}

/// By its ARN; `None`: there is none.
pub(super) fn by_arn<'a>(cx: &Context, state: &'a State, given: &str) -> Option<&'a object::ApiDestination> {
    let name = given.split_once(":api-destination/").and_then(|(_, rest)| rest.split('/').next())?;
    let key = ApiDestinationKey { scope: cx.scope().clone(), name: name.to_owned() };
    state.api_destination(&key).filter(|found| arn(found) == given).map(AsRef::as_ref)
}

fn known<'a>(state: &'a State, key: &ApiDestinationKey) -> Result<&'a object::ApiDestination> {
    let missing = || {
        let message = format!(
            "Failed to describe the api-destination(s). An api-destination '{}' does not exist.",
            key.name
        );
        common("ResourceNotFoundException", message)
    };
    state.api_destination(key).map(AsRef::as_ref).ok_or_else(missing)
}

/// An address that can be called, with `*` for parts of its path or query.
fn endpoint(given: &str) -> Result<String> {
    let whole = given.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http"))
            && uri.authority().is_some_and(|authority| {
                !authority.host().is_empty()
                    && !authority.as_str().contains('@')
                    && !authority.as_str().contains('*')
            })
    });
    match whole {
        Some(_) if given.len() <= ENDPOINT => Ok(given.to_owned()),
        _ => Err(invalid(format!(
            "InvocationEndpoint must be an https or http address of at most {ENDPOINT} characters, without a user name, and with '*' only \
             behind its host."
        ))),
    }
}

fn method(given: &str) -> Result<String> {
    if METHODS.contains(&given) {
        return Ok(given.to_owned());
    }
    Err(invalid(format!("HttpMethod must be one of {}.", METHODS.join(", "))))
}

fn rate(given: i64) -> Result<u32> {
    let rate = u32::try_from(given).ok().filter(|rate| (1..=RATE).contains(rate));
    rate.ok_or_else(|| invalid(format!("InvocationRateLimitPerSecond must be between 1 and {RATE}.")))
}

pub(super) async fn create(cx: Context, request: PutDestination) -> Result<Destination> {
    put(cx, request, false).await
}

pub(super) async fn update(cx: Context, request: PutDestination) -> Result<Destination> {
    put(cx, request, true).await
}

async fn put(cx: Context, request: PutDestination, update: bool) -> Result<Destination> {
    let key = key(&cx, request.name.as_ref())?;
    check_description(request.description.as_ref())?;
    let state = cx.read().await?;
    let there = if update { Some(known(&state, &key)?) } else { None };
    // What is not given stays.
    let before = there.map(|there| &there.spec);
    let missing = |member: &str| invalid(format!("{member} must be given."));
    let connection = match (&request.connection_arn, before) {
        (Some(arn), _) => connection::by_arn(&cx, &state, arn)?.key.clone(),
        (None, Some(before)) => before.connection.clone(),
        (None, None) => return Err(missing("ConnectionArn")),
    };
    let spec = ApiDestinationSpec {
        description: request.description.or_else(|| before.and_then(|before| before.description.clone())),
        connection,
        endpoint: match (&request.invocation_endpoint, before) {
            (Some(given), _) => endpoint(given)?,
            (None, Some(before)) => before.endpoint.clone(),
            (None, None) => return Err(missing("InvocationEndpoint")),
        },
        method: match (&request.http_method, before) {
            (Some(given), _) => method(given)?,
            (None, Some(before)) => before.method.clone(),
            (None, None) => return Err(missing("HttpMethod")),
        },
        rate: match (request.invocation_rate_limit_per_second, before) {
            (Some(given), _) => rate(given)?,
            (None, Some(before)) => before.rate,
            (None, None) => RATE,
        },
    };
    let seen = there.map(|there| (there.id, there.version));
    let command = DeliveryCommand::PutApiDestination { key: key.clone(), spec: Box::new(spec), known: seen };
    cx.write(ask(command)).await?;
    let state = cx.call.api.store.view();
    Ok(summary(&state, known(&state, &key)?))
}

fn summary(state: &State, destination: &object::ApiDestination) -> Destination {
    let there = state.connection(&destination.spec.connection).is_some();
    Destination {
        api_destination_arn: Some(arn(destination)),
        api_destination_state: Some(if there { "ACTIVE" } else { "INACTIVE" }),
        creation_time: Some(destination.created_at.epoch_seconds()),
        last_modified_time: Some(destination.changed_at.epoch_seconds()),
        ..Destination::default()
    }
}

fn item(state: &State, destination: &object::ApiDestination) -> Destination {
    let spec = &destination.spec;
    Destination {
        name: Some(destination.key.name.clone()),
        connection_arn: state.connection(&spec.connection).map(|connection| connection::arn(connection)),
        invocation_endpoint: Some(spec.endpoint.clone()),
        http_method: Some(spec.method.clone()),
        invocation_rate_limit_per_second: Some(spec.rate),
        ..summary(state, destination)
    }
}

pub(super) async fn describe(cx: Context, request: NamedDestination) -> Result<Destination> {
    let key = key(&cx, request.name.as_ref())?;
    let state = cx.read().await?;
    let destination = known(&state, &key)?;
    Ok(Destination { description: destination.spec.description.clone(), ..item(&state, destination) })
}

pub(super) async fn delete(cx: Context, request: NamedDestination) -> Result<Empty> {
    let key = key(&cx, request.name.as_ref())?;
    cx.write(ask(DeliveryCommand::DeleteApiDestination { key })).await?;
    Ok(Empty {})
}

pub(super) async fn list(cx: Context, request: ListDestinations) -> Result<Destinations> {
    let size = page_size(request.limit)?;
    let prefix = request.name_prefix.unwrap_or_default();
    let after = request.next_token.unwrap_or_default();
    let state = cx.read().await?;
    let of = match &request.connection_arn {
        Some(arn) => Some(connection::by_arn(&cx, &state, arn)?.key.clone()),
        None => None,
    };
    let mut found = state.api_destinations_of(cx.scope()).filter(|destination| {
        let name = &destination.key.name;
        name.starts_with(&prefix)
            && *name > after
            && of.as_ref().is_none_or(|of| *of == destination.spec.connection)
    });
    let page: Vec<Destination> = found.by_ref().take(size).map(|one| item(&state, one)).collect();
    let more = found.next().is_some();
    let next_token = page.last().filter(|_| more).and_then(|destination| destination.name.clone());
    Ok(Destinations { api_destinations: Some(page), next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_with_stars_behind_its_host() {
        for good in ["https://example.test/a/*/b", "http://127.0.0.1:8080/hook?x=*", "http://[::1]:80/"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "example.test/a",
            "ftp://example.test/",
            "https://*.test/",
            "http://me@example.test/",
            "https:///a",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
