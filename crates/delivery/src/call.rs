//! An HTTP endpoint is called (EventBridge API: ApiDestination). What it answers is its status alone: 2xx has taken the event; 401, 407, 409, 429
//! and 5xx are tried again, as AWS does; everything else is final. Redirections are not followed.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Request, Response, StatusCode, Url};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use trireme_ecs_api::eventbridge::{parameter, told};
use trireme_iam::{Sealed, SealingKey};
use trireme_state::State;
use trireme_state::object::{
    ApiDestination, ApiDestinationCall, ApiDestinationKey, Authorization, Connection, HttpParameter,
    HttpPlace, RuleKey, SealedSecret, Target,
};

use crate::Parts;
use crate::lane::{Done, Failure};
use crate::reach::Reach;

/// EventBridge: an API destination has so long to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest pause that an endpoint can ask for.
const AFTER_MAX: Duration = Duration::from_secs(300);
const AGENT: &str = "Trireme/EventBridge/ApiDestinations";

pub(crate) fn client(reach: Reach) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(LIMIT)
        .connect_timeout(LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .dns_resolver(Arc::new(reach))
        .user_agent(AGENT)
        .build()
}

/// Calls the endpoint with what the target is told of the event.
pub(crate) async fn call(
    parts: &Parts,
    rule: &RuleKey,
    target: &Target,
    call: &ApiDestinationCall,
    event: &Value,
) -> Result<Done, Failure> {
    let rate = parts.store.view().api_destination(&call.destination).map_or(1, |found| found.spec.rate);
    let calls = parts.calls_of(&rule.scope.account);
    let _turn = turn(parts, &calls, &call.destination, rate).await;
    // What was asked for while it waited is in the call.
    let view = parts.store.view();
    let now = view.rule(rule).and_then(|rule| rule.target(&target.id));
    if now != Some(target) {
        return Err(Failure::Overtaken);
    }
    let call = filled(call, event)?;
    let request = write(parts, &view, &call, told(&target.input, rule, event))?;
    drop(view);
    match parts.client.execute(request).await {
        Ok(response) => judge(&response),
        Err(error) => Err(Failure::again(words(&error))),
    }
}

/// The call with what its parameters say of the event (EventBridge: dynamic path parameters). The same event will never say anything else.
fn filled(call: &ApiDestinationCall, event: &Value) -> Result<ApiDestinationCall, Failure> {
    let mut call = call.clone();
    for value in call.headers.values_mut() {
        *value = parameter(value, event);
        if HeaderValue::from_str(value).is_err() {
            return Err(Failure::Final("what the event says cannot stand in a header".to_owned()));
        }
    }
    for value in call.query.values_mut() {
        *value = parameter(value, event);
    }
    for value in &mut call.path_values {
        *value = parameter(value, event);
        if matches!(value.as_str(), "" | "." | "..") {
            return Err(Failure::Final(format!("'{value}' cannot stand for a '*' of the endpoint")));
        }
    }
    Ok(call)
}

/// The call as it is written now. What is wrong with it somebody may mend: it is tried again.
fn write(parts: &Parts, view: &State, call: &ApiDestinationCall, body: String) -> Result<Request, Failure> {
    let destination = view
        .api_destination(&call.destination)
        .ok_or_else(|| Failure::again(format!("there is no API destination {}", call.destination.name)))?;
    let connection = view.connection(&destination.spec.connection).ok_or_else(|| {
        Failure::again(format!("there is no connection {}", destination.spec.connection.name))
    })?;
    let written = Written { key: &parts.sealing_key, reach: parts.reach, destination, connection, call };
    written.write(&parts.client, body).map_err(Failure::again)
}

/// An error with its causes, without the address: its query may hold secrets.
fn words(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => format!("no answer in {} s", LIMIT.as_secs()),
        error if error.is_connect() => "no connection".to_owned(),
        _ => "the call failed".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// One of the account's turns, not more often than the destination allows. Who waits for the pace of a destination has none: it holds up no other.
async fn turn<'a>(
    parts: &Parts,
    calls: &'a Semaphore,
    destination: &ApiDestinationKey,
    rate: u32,
) -> Option<SemaphorePermit<'a>> {
    let apart = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
    loop {
        let turn = calls.acquire().await.ok();
        match claim(parts, destination, apart) {
            Ok(()) => return turn,
            Err(next) => {
                drop(turn);
                tokio::time::sleep_until(next).await;
            }
        }
    }
}

/// Whether the destination may be called now; else when.
fn claim(parts: &Parts, destination: &ApiDestinationKey, apart: Duration) -> Result<(), Instant> {
    let mut paces = parts.paces.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    // Destinations that are gone leave nothing behind for long.
    paces.retain(|_, next| *next > now);
    match paces.get(destination) {
        Some(next) => Err(*next),
        None => {
            paces.insert(destination.clone(), now + apart);
            Ok(())
        }
    }
}

fn judge(response: &Response) -> Result<Done, Failure> {
    let status = response.status();
    let reason = || format!("the endpoint answered {status}");
    match status {
        status if status.is_success() => Ok(Done::Taken),
        StatusCode::UNAUTHORIZED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::CONFLICT
        | StatusCode::TOO_MANY_REQUESTS => Err(Failure::Again { reason: reason(), after: after(response) }),
        status if status.is_server_error() => {
            Err(Failure::Again { reason: reason(), after: after(response) })
        }
        _ => Err(Failure::Final(reason())),
    }
}

/// Retry-After in seconds. A date is not read: clocks differ.
fn after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(AFTER_MAX))
}

/// A call as it is written.
struct Written<'a> {
    key: &'a SealingKey,
    reach: Reach,
    destination: &'a ApiDestination,
    connection: &'a Connection,
    call: &'a ApiDestinationCall,
}

impl Written<'_> {
    fn write(&self, client: &Client, body: String) -> Result<Request, String> {
        let spec = &self.destination.spec;
        let method = spec.method.parse().map_err(|_| format!("{} is no HTTP method", spec.method))?;
        let mut request =
            client.request(method, self.url()?).header(CONTENT_TYPE, "application/json; charset=utf-8");
        // What the connection says of a header comes before what the target says, and its proof of who calls before both.
        let mut headers = HeaderMap::new();
        for (name, value) in &self.call.headers {
            headers.insert(header(name)?, HeaderValue::from_str(value).map_err(|error| error.to_string())?);
        }
        for (name, value) in self.of(HttpPlace::Header)? {
            headers.insert(header(&name)?, hidden(&value)?);
        }
        headers.remove(AUTHORIZATION);
        match &self.connection.spec.authorization {
            Authorization::Basic { username, password } => {
                let password = self.open(Authorization::SECRET, password)?;
                request = request.basic_auth(username, Some(password));
            }
            Authorization::ApiKey { name, value } => {
                headers.insert(header(name)?, hidden(&self.open(Authorization::SECRET, value)?)?);
            }
        }
        request = request.headers(headers);
        request.body(self.body(body)?).build().map_err(|error| words(&error))
    }

    /// The endpoint with the target's values and all query strings.
    fn url(&self) -> Result<Url, String> {
        let mut values = self.call.path_values.iter();
        let mut text = String::new();
        for (number, part) in self.destination.spec.endpoint.split('*').enumerate() {
            if number > 0 {
                let value = values.next().ok_or("the endpoint has more '*' than the target has values")?;
                text.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
            }
            text.push_str(part);
        }
        let mut url = Url::parse(&text).map_err(|error| format!("the endpoint is no address: {error}"))?;
        let address: Option<IpAddr> =
            url.host_str().and_then(|host| host.trim_start_matches('[').trim_end_matches(']').parse().ok());
        if let Some(address) = address.filter(|address| !self.reach.allows(*address)) {
            return Err(format!("{address} is no address that may be called"));
        }
        let of_connection = self.of(HttpPlace::Query)?;
        if !of_connection.is_empty() || !self.call.query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(&self.call.query);
            pairs.extend_pairs(&of_connection);
        }
        Ok(url)
    }

    /// The connection's parameters go into a body that is an object.
    fn body(&self, body: String) -> Result<String, String> {
        let parameters = self.of(HttpPlace::Body)?;
        if parameters.is_empty() {
            return Ok(body);
        }
        match serde_json::from_str(&body) {
            Ok(Value::Object(mut members)) => {
                members.extend(parameters.into_iter().map(|(name, value)| (name, Value::String(value))));
                Ok(Value::Object(members).to_string())
            }
            _ => Ok(body),
        }
    }

    /// The connection's parameters of one place, opened.
    fn of(&self, place: HttpPlace) -> Result<Vec<(String, String)>, String> {
        let all = self.connection.spec.parameters.iter().filter(|parameter| parameter.place == place);
        all.map(|parameter| {
            let name = HttpParameter::secret(place, &parameter.name);
            Ok((parameter.name.clone(), self.open(&name, &parameter.value)?))
        })
        .collect()
    }

    fn open(&self, name: &str, secret: &SealedSecret) -> Result<String, String> {
        let key = &self.connection.key;
        let sealed = Sealed { nonce: secret.nonce, ciphertext: secret.ciphertext.clone() };
        self.key.unseal(&key.seal_name(name), &key.scope.account, &sealed).map_err(|error| error.to_string())
    }
}

fn header(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| format!("{name} is no name of a header"))
}

/// A value that no log shows.
fn hidden(value: &str) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| "a value cannot stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use trireme_types::Scope;

    use super::*;

    #[test]
    fn parameters_may_be_parts_of_the_event() {
        let event = json!({"detail": {"taskArn": "arn:a/b", "version": 7, "odd": "a\nb", "up": ".."}});
        let with = |path: &str, header: &str| ApiDestinationCall {
            destination: ApiDestinationKey { scope: Scope::development(), name: "d".to_owned() },
            path_values: vec![path.to_owned()],
            headers: BTreeMap::from([("x".to_owned(), header.to_owned())]),
            query: BTreeMap::from([("q".to_owned(), "$.detail.none".to_owned())]),
        };
        let call = filled(&with("$.detail.taskArn", "$.detail.version"), &event).unwrap();
        assert_eq!((call.path_values[0].as_str(), call.headers["x"].as_str()), ("arn:a/b", "7"));
        assert_eq!(call.query["q"], "", "what is not there is nothing");
        let call = filled(&with("$5.00", "no $.detail.version"), &event).unwrap();
        assert_eq!(
            (call.path_values[0].as_str(), call.headers["x"].as_str()),
            ("$5.00", "no $.detail.version")
        );
        for (path, header) in [("$.detail.none", "x"), ("$.detail.up", "x"), ("a", "$.detail.odd")] {
            assert!(matches!(filled(&with(path, header), &event), Err(Failure::Final(_))), "{path} {header}");
        }
    }
}
