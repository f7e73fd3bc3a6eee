//! Connections: how calls of API destinations prove who calls. Secrets are sealed before they leave this room, and are never shown again.
//!
//! BASIC and API_KEY are served; OAUTH_CLIENT_CREDENTIALS is refused.

use trireme_state::command::{DeliveryCommand, ScheduleCommand};
use trireme_state::object::{
    self, Authorization, ConnectionKey, ConnectionSpec, HttpParameter, HttpPlace, SealedSecret,
};
use trireme_state::{Command, State};

use super::http_target::check_header;
use super::shape::{
    ApiKey, AuthParameters, Basic, Connection, Connections, GivenParameter, ListConnections, NamedConnection,
    Parameters, PutConnection, Secret,
};
use super::{Context, check_description, check_name, common, invalid, page_size};
use crate::error::{Error, Result};

/// EventBridge API: AuthHeaderParameters.
const VALUE: usize = 512;
/// EventBridge API: ConnectionHttpParameters, of each place.
const PARAMETERS: usize = 100;

fn ask(command: DeliveryCommand) -> Command {
    Command::Schedule(Box::new(ScheduleCommand::Deliver(command)))
}

pub(super) fn key(cx: &Context, name: Option<&String>) -> Result<ConnectionKey> {
    let name = name.map(String::as_str).unwrap_or_default();
    check_name("name", name)?;
    Ok(ConnectionKey { scope: cx.scope().clone(), name: name.to_owned() })
}

pub(super) fn arn(connection: &object::Connection) -> String {
    let (key, id) = (&connection.key, trireme_state::query::uuid(connection.id));
    format!("arn:aws:events:{}:{}:connection/{}/{id}", key.scope.region, key.scope.account, key.name)
}

/// By its ARN.
pub(super) fn by_arn<'a>(cx: &Context, state: &'a State, arn_given: &str) -> Result<&'a object::Connection> {
    let name = arn_given.split_once(":connection/").and_then(|(_, rest)| rest.split('/').next());
    let key = name.map(|name| ConnectionKey { scope: cx.scope().clone(), name: name.to_owned() });
    let found = key.and_then(|key| state.connection(&key)).filter(|found| arn(found) == arn_given);
    found.map(AsRef::as_ref).ok_or_else(|| {
        let given: String = arn_given.chars().take(256).collect();
        common("ResourceNotFoundException", format!("Connection '{given}' does not exist."))
    })
}

fn known<'a>(state: &'a State, key: &ConnectionKey) -> Result<&'a object::Connection> {
    let missing = || {
        common(
            "ResourceNotFoundException",
            format!("Failed to describe the connection(s). Connection '{}' does not exist.", key.name),
        )
    };
    state.connection(key).map(AsRef::as_ref).ok_or_else(missing)
}

/// A text that may stand in a header.
fn checked(member: &str, value: Option<&String>) -> Result<String> {
    let value = value.map(String::as_str).unwrap_or_default();
    let fits = !value.is_empty() && value.chars().count() <= VALUE && !value.chars().any(char::is_control);
    if fits {
        return Ok(value.to_owned());
    }
    Err(invalid(format!("{member} must have 1 to {VALUE} characters, none of which is a control character.")))
}

fn seal(cx: &Context, key: &ConnectionKey, name: &str, secret: &str) -> Result<SealedSecret> {
    let sealed = cx.call.api.sealing_key.seal(&key.seal_name(name), &key.scope.account, secret);
    let sealed =
        sealed.map_err(|error| super::unavailable(format!("The secret could not be sealed: {error}.")))?;
    Ok(SealedSecret { nonce: sealed.nonce, ciphertext: sealed.ciphertext })
}

/// `before` is what it was: what is not given of it stays.
fn authorization(
    cx: &Context,
    key: &ConnectionKey,
    (sort, given): (&str, &AuthParameters),
    before: Option<&Authorization>,
) -> Result<Authorization> {
    let seal = |member: &str, secret: Option<&Secret>, before: Option<&SealedSecret>| match (secret, before) {
        (None, Some(before)) => Ok(before.clone()),
        (secret, _) => seal(cx, key, Authorization::SECRET, &checked(member, secret.map(Secret::open))?),
    };
    match (sort, &given.basic_auth_parameters, &given.api_key_auth_parameters) {
        ("BASIC", Some(given), None) => {
            let before = before.and_then(|before| match before {
                Authorization::Basic { username, password } => Some((username, password)),
                Authorization::ApiKey { .. } => None,
            });
            let username = given.username.as_ref().or(before.map(|(username, _)| username));
            let username = checked("Username", username)?;
            if username.contains(':') {
                return Err(invalid("Username cannot have a ':'."));
            }
            let password = seal("Password", given.password.as_ref(), before.map(|(_, password)| password))?;
            Ok(Authorization::Basic { username, password })
        }
        ("API_KEY", None, Some(given)) => {
            let before = before.and_then(|before| match before {
                Authorization::ApiKey { name, value } => Some((name, value)),
                Authorization::Basic { .. } => None,
            });
            let name = checked("ApiKeyName", given.api_key_name.as_ref().or(before.map(|(name, _)| name)))?;
            check_header(&name)?;
            let value = seal("ApiKeyValue", given.api_key_value.as_ref(), before.map(|(_, value)| value))?;
            Ok(Authorization::ApiKey { name, value })
        }
        ("OAUTH_CLIENT_CREDENTIALS", ..) => Err(invalid(
            "The authorization type OAUTH_CLIENT_CREDENTIALS is not supported yet: use BASIC or API_KEY.",
        )),
        ("BASIC" | "API_KEY", ..) => Err(invalid(
            "AuthParameters must have BasicAuthParameters for the authorization type BASIC, and ApiKeyAuthParameters for API_KEY.",
        )),
        _ => Err(invalid("AuthorizationType must be BASIC or API_KEY.")),
    }
}

fn parameters(cx: &Context, key: &ConnectionKey, given: Option<&Parameters>) -> Result<Vec<HttpParameter>> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let places = [
        (HttpPlace::Header, &given.header_parameters),
        (HttpPlace::Query, &given.query_string_parameters),
        (HttpPlace::Body, &given.body_parameters),
    ];
    let mut all = Vec::new();
    for (place, given) in places {
        let given = given.as_deref().unwrap_or_default();
        if given.len() > PARAMETERS {
            return Err(invalid(format!(
                "A connection can have at most {PARAMETERS} parameters of each kind."
            )));
        }
        for one in given {
            let name = checked("InvocationHttpParameters.Key", one.key.as_ref())?;
            let value = checked("InvocationHttpParameters.Value", one.value.as_ref().map(Secret::open))?;
            if place == HttpPlace::Header {
                check_header(&name)?;
            }
            let value = seal(cx, key, &HttpParameter::secret(place, &name), &value)?;
            all.push(HttpParameter { place, name, value, is_secret: one.is_value_secret.unwrap_or(false) });
        }
    }
    Ok(all)
}

pub(super) async fn create(cx: Context, request: PutConnection) -> Result<Connection> {
    put(cx, request, false).await
}

pub(super) async fn update(cx: Context, request: PutConnection) -> Result<Connection> {
    put(cx, request, true).await
}

async fn put(cx: Context, request: PutConnection, update: bool) -> Result<Connection> {
    let key = key(&cx, request.name.as_ref())?;
    check_description(request.description.as_ref())?;
    if request.kms_key_identifier.as_ref().is_some_and(|key| !key.is_empty()) {
        return Err(invalid(
            "KmsKeyIdentifier is not supported: secrets are sealed under the cluster's own key.",
        ));
    }
    if request.invocation_connectivity_parameters.is_some() {
        return Err(invalid(
            "InvocationConnectivityParameters is not supported: endpoints are reached directly.",
        ));
    }
    let state = cx.read().await?;
    let there = if update { Some(known(&state, &key)?) } else { None };
    let spec = match there {
        Some(there) => changed(&cx, &there.spec, &key, request)?,
        None => {
            let given = request.auth_parameters.unwrap_or_default();
            let sort = request.authorization_type.unwrap_or_default();
            ConnectionSpec {
                description: request.description,
                authorization: authorization(&cx, &key, (&sort, &given), None)?,
                parameters: parameters(&cx, &key, given.invocation_http_parameters.as_ref())?,
            }
        }
    };
    let seen = there.map(|there| (there.id, there.version));
    cx.write(ask(DeliveryCommand::PutConnection { key: key.clone(), spec: Box::new(spec), known: seen }))
        .await?;
    let state = cx.call.api.store.view();
    Ok(summary(known(&state, &key)?))
}

/// What is not given stays.
fn changed(
    cx: &Context,
    before: &ConnectionSpec,
    key: &ConnectionKey,
    request: PutConnection,
) -> Result<ConnectionSpec> {
    let mut spec = before.clone();
    if request.description.is_some() {
        spec.description = request.description;
    }
    let given = request.auth_parameters.unwrap_or_default();
    let sort = request.authorization_type.as_deref().unwrap_or(sort_of(&before.authorization));
    if given.basic_auth_parameters.is_some()
        || given.api_key_auth_parameters.is_some()
        || sort != sort_of(&before.authorization)
    {
        spec.authorization = authorization(cx, key, (sort, &given), Some(&before.authorization))?;
    }
    if let Some(given) = &given.invocation_http_parameters {
        spec.parameters = parameters(cx, key, Some(given))?;
    }
    Ok(spec)
}

fn sort_of(authorization: &Authorization) -> &'static str {
    match authorization {
        Authorization::Basic { .. } => "BASIC",
        Authorization::ApiKey { .. } => "API_KEY",
    }
}

fn summary(connection: &object::Connection) -> Connection {
    let changed = connection.changed_at.epoch_seconds();
    Connection {
        connection_arn: Some(arn(connection)),
        connection_state: Some("AUTHORIZED"),
        creation_time: Some(connection.created_at.epoch_seconds()),
        last_modified_time: Some(changed),
        last_authorized_time: Some(changed),
        ..Connection::default()
    }
}

fn item(connection: &object::Connection) -> Connection {
    Connection {
        name: Some(connection.key.name.clone()),
        authorization_type: Some(sort_of(&connection.spec.authorization)),
        ..summary(connection)
    }
}

/// Parameters without what is secret.
fn shown(cx: &Context, connection: &object::Connection) -> Result<Option<Parameters>> {
    if connection.spec.parameters.is_empty() {
        return Ok(None);
    }
    let key = &connection.key;
    let mut all = Parameters::default();
    for parameter in &connection.spec.parameters {
        let open = || {
            let name = key.seal_name(&HttpParameter::secret(parameter.place, &parameter.name));
            let sealed = trireme_iam::Sealed {
                nonce: parameter.value.nonce,
                ciphertext: parameter.value.ciphertext.clone(),
            };
            cx.call.api.sealing_key.unseal(&name, &key.scope.account, &sealed)
        };
        let failed =
            |error| -> Error { super::unavailable(format!("A value could not be opened: {error}.")) };
        let value = if parameter.is_secret { None } else { Some(Secret::new(open().map_err(failed)?)) };
        let shown = GivenParameter {
            key: Some(parameter.name.clone()),
            value,
            is_value_secret: Some(parameter.is_secret),
        };
        let place = match parameter.place {
            HttpPlace::Header => &mut all.header_parameters,
            HttpPlace::Query => &mut all.query_string_parameters,
            HttpPlace::Body => &mut all.body_parameters,
        };
        place.get_or_insert_default().push(shown);
    }
    Ok(Some(all))
}

pub(super) async fn describe(cx: Context, request: NamedConnection) -> Result<Connection> {
    let key = key(&cx, request.name.as_ref())?;
    let state = cx.read().await?;
    let connection = known(&state, &key)?;
    let mut auth =
        AuthParameters { invocation_http_parameters: shown(&cx, connection)?, ..AuthParameters::default() };
    match &connection.spec.authorization {
        Authorization::Basic { username, .. } => {
            auth.basic_auth_parameters = Some(Basic { username: Some(username.clone()), password: None });
        }
        Authorization::ApiKey { name, .. } => {
            auth.api_key_auth_parameters =
                Some(ApiKey { api_key_name: Some(name.clone()), api_key_value: None });
        }
    }
    let description = connection.spec.description.clone();
    Ok(Connection { description, auth_parameters: Some(auth), ..item(connection) })
}

pub(super) async fn delete(cx: Context, request: NamedConnection) -> Result<Connection> {
    let key = key(&cx, request.name.as_ref())?;
    let state = cx.read().await?;
    if cx.was_done(&state) {
        return Ok(Connection { connection_state: Some("DELETING"), ..Connection::default() });
    }
    let gone = Connection { connection_state: Some("DELETING"), ..summary(known(&state, &key)?) };
    cx.write(ask(DeliveryCommand::DeleteConnection { key })).await?;
    Ok(gone)
}

pub(super) async fn list(cx: Context, request: ListConnections) -> Result<Connections> {
    let size = page_size(request.limit)?;
    let prefix = request.name_prefix.unwrap_or_default();
    let after = request.next_token.unwrap_or_default();
    let state = cx.read().await?;
    let wanted = request.connection_state.as_deref().is_none_or(|state| state == "AUTHORIZED");
    let mut found = state.connections_of(cx.scope()).filter(|connection| {
        wanted && connection.key.name.starts_with(&prefix) && connection.key.name > after
    });
    let page: Vec<Connection> = found.by_ref().take(size).map(|connection| item(connection)).collect();
    let more = found.next().is_some();
    let next_token = page.last().filter(|_| more).and_then(|connection| connection.name.clone());
    Ok(Connections { connections: Some(page), next_token })
}
