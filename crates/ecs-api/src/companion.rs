//! Services beside ECS that its users' tools call on the same port: each with JSON, a target header and a name in signatures of its own.
//! Only what ECS's users need of them is served; every other operation says that it is not supported.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use trireme_state::store::ProposeError;
use trireme_state::{Actor, Command, IdempotencyKey, Proposal, Rejection, State};
use trireme_types::Scope;

use crate::error::{Code, Error, Result};
use crate::operation::Call;
use crate::{autoscaling, eventbridge, logs, monitoring};

/// A longer `amz-sdk-invocation-id` is nobody's: SDKs send a UUID.
const LONGEST_INVOCATION_ID: usize = 64;

/// What tells one service from another.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its name in signatures.
    pub(crate) signing_name: &'static str,
    /// What its operations' names follow in the target header.
    pub(crate) target: &'static str,
    /// Its protocol: of requests and answers.
    pub(crate) content_type: &'static str,
    /// A rejection in its words.
    pub(crate) of_rejection: fn(Rejection) -> Error,
    /// SDKs try again later by themselves.
    pub(crate) unavailable: fn(String) -> Error,
}

/// A call of such a service.
pub(crate) struct Context {
    pub(crate) call: Call,
    service: &'static Service,
    operation: &'static str,
    parameters: [u8; 32],
}

impl Context {
    pub(crate) fn scope(&self) -> &Scope {
        &self.call.caller.scope
    }

    /// A state that holds everything acknowledged before this call.
    pub(crate) async fn read(&self) -> Result<Arc<State>> {
        self.call.api.store.read().await.map_err(|error| {
            let reason = error.reason;
            (self.service.unavailable)(format!("The control plane cannot answer now ({reason}). Retry."))
        })
    }

    /// What makes a repeat of this call one write.
    fn idempotency_key(&self) -> IdempotencyKey {
        let call = &self.call;
        let token = call.invocation.clone().filter(|id| id.len() <= LONGEST_INVOCATION_ID);
        IdempotencyKey {
            principal: format!("{}@{}", call.caller.principal.arn, call.caller.scope.region),
            operation: format!("{}:{}", self.service.signing_name, self.operation),
            token: token.unwrap_or_else(|| call.request_id.to_string()),
            is_client_token: false,
            parameters: self.parameters,
        }
    }

    /// Whether this call was done already, and its answer was lost: what it names may be gone by that, or its time may have passed.
    pub(crate) fn was_done(&self, state: &State) -> bool {
        let recorded = state.recorded_request(&self.idempotency_key());
        recorded.is_some_and(|recorded| recorded.parameters == self.parameters)
    }

    /// Has a command done, once however often the call is repeated.
    pub(crate) async fn write(&self, command: Command) -> Result<()> {
        let call = &self.call;
        let (needed, level) = (command.level(), call.api.store.view().level());
        if needed > level {
            return Err((self.service.of_rejection)(Rejection::FeatureLevel { needed, level }));
        }
        let proposal = Proposal {
            actor: Actor::Principal(call.caller.principal.arn.clone()),
            request_id: call.request_id,
            key: Some(self.idempotency_key()),
            command,
        };
        match call.api.store.propose(proposal).await {
            Ok(_) => Ok(()),
            Err(ProposeError::Rejected(rejection)) => Err((self.service.of_rejection)(rejection)),
            Err(ProposeError::Unknown { reason } | ProposeError::Unavailable { reason }) => {
                let message =
                    format!("It is not known whether the request took effect ({reason}). Retry it.");
                Err((self.service.unavailable)(message))
            }
        }
    }
}

/// The operations of a service that are served: its `Operation`, and what answers one.
macro_rules! operations {
    ($service:path; $($name:ident => $function:path,)*) => {
        /// An operation that is served.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operation {
            $(#[doc = stringify!($name)] $name,)*
        }

        impl Operation {
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            pub(crate) fn named(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }

            /// Answers one call with the response's JSON.
            pub(crate) async fn answer(
                self,
                call: $crate::operation::Call,
                body: &[u8],
            ) -> $crate::error::Result<bytes::Bytes> {
                match self {
                    $(Self::$name => {
                        $crate::companion::serve(call, (&$service, self.name()), body, $function).await
                    })*
                }
            }
        }
    };
}
pub(crate) use operations;

/// Requests of a service, as far as they are read. Nothing has to be given: whoever reads one says what is missing.
macro_rules! requests {
    ($case:tt; $($(#[$about:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone, Default, serde::Deserialize)]
            #[serde(rename_all = $case, default)]
            pub(super) struct $name { $(pub(super) $field: Option<$type>,)* }
        )*
    };
}
pub(crate) use requests;

/// Its answers. What is not there is left out.
macro_rules! responses {
    ($case:tt; $($(#[$about:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Default, serde::Serialize)]
            #[serde(rename_all = $case)]
            pub(super) struct $name {
                $(#[serde(skip_serializing_if = "Option::is_none")] pub(super) $field: Option<$type>,)*
            }
        )*
    };
}
pub(crate) use responses;

/// EventBridge API: RuleName, TargetId. EventBridge Scheduler API: Name, ScheduleGroupName.
pub(crate) fn check_name(member: &str, name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    let message = format!(
        "1 validation error detected: Value '{}' at '{member}' failed to satisfy constraint: Member must have 1 to 64 \
         letters, digits, '-', '_' and '.'",
        name.chars().take(80).collect::<String>()
    );
    Err(Error::new(Code::Common("ValidationException", 400), message))
}

/// Reads the request, runs the operation and writes the response.
pub(crate) async fn serve<R, S, F, Fut>(
    call: Call,
    (service, operation): (&'static Service, &'static str),
    body: &[u8],
    run: F,
) -> Result<Bytes>
where
    R: DeserializeOwned,
    S: Serialize,
    F: FnOnce(Context, R) -> Fut,
    Fut: Future<Output = Result<S>> + Send,
{
    let body = if body.is_empty() { b"{}" } else { body };
    let broken = |error: serde_json::Error| Error::new(Code::serialization(), error.to_string());
    let request: R = serde_json::from_slice(body).map_err(broken)?;
    let context = Context { call, service, operation, parameters: Sha256::digest(body).into() };
    let response = Box::pin(run(context, request)).await?;
    let json = serde_json::to_vec(&response)
        .map_err(|error| (service.unavailable)(format!("The answer could not be written: {error}.")))?;
    Ok(Bytes::from(json))
}

macro_rules! services {
    ($($variant:ident => $room:ident,)*) => {
        /// An operation of one of the services.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operation {
            $(#[doc = stringify!($variant)] $variant($room::Operation),)*
        }

        impl Operation {
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant(operation) => operation.name(),)* }
            }

            /// Answers one call with the response's JSON.
            pub(crate) async fn answer(self, call: Call, body: &[u8]) -> Result<Bytes> {
                match self { $(Self::$variant(operation) => operation.answer(call, body).await,)* }
            }
        }

        /// What a request asks of which service; `None` when it asks none of these.
        pub(crate) fn target(headers: &HeaderMap) -> Option<(&'static Service, Result<Operation>)> {
            let target = headers.get("x-amz-target")?.to_str().ok()?;
            $(
                if let Some(name) = target.strip_prefix($room::SERVICE.target) {
                    let operation = $room::Operation::named(name).map(Operation::$variant);
                    return Some((&$room::SERVICE, operation.ok_or_else(|| unsupported(&$room::SERVICE, name))));
                }
            )*
            None
        }
    };
}

services! {
    Logs => logs,
    Autoscaling => autoscaling,
    Monitoring => monitoring,
    EventBridge => eventbridge,
}

fn unsupported(service: &Service, name: &str) -> Error {
    let (service, name) = (service.signing_name, name.escape_debug());
    let message = format!("The operation {name} of the {service} API is not supported.");
    Error::new(Code::Common("UnsupportedOperationException", 400), message)
}
