//! CloudWatch Logs on the same port: awsJson1.1 with the target `Logs_20140328.OPERATION`, signed for `logs`. Only what is needed to keep and
//! read tasks' logs; every other operation says that it is not supported.
//!
//! Log groups are state. Streams and events live on agents' disks: a task's with the agent that runs it, a client's with one that its
//! stream is given to ([`ask`]). So an answer may lack what an agent that cannot be reached has; that is counted, and said in the log.
//!
//! Reading order: `shape` (requests and answers) · `group` · `ask` · `stream` · `event`.

mod ask;
mod event;
mod group;
mod put;
mod shape;
mod stream;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use trireme_rpc::logs::{Answer, Question};
use trireme_state::object::{LogGroup, LogGroupKey};
use trireme_state::store::ProposeError;
use trireme_state::{Actor, Command, IdempotencyKey, Proposal, Rejection, State};
use trireme_types::ContainerInstanceId;

use crate::error::{Code, Error, Result, sentence};
use crate::operation::Call;
pub(crate) use shape::check_group_name;

/// The service's name in signatures.
pub(crate) const SIGNING_NAME: &str = "logs";
const TARGET: &str = "Logs_20140328.";

/// How agents are asked what they keep of logs.
pub trait LogNodes: Send + Sync + 'static {
    /// Asks one. Fails with the reason when it cannot be reached; whether it did what was asked is not known then.
    fn ask(
        &self,
        instance: ContainerInstanceId,
        question: Question,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<Answer, String>> + Send + '_>>;
}

/// No agent can be asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNodes;

impl LogNodes for NoNodes {
    fn ask(
        &self,
        _instance: ContainerInstanceId,
        _question: Question,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<Answer, String>> + Send + '_>> {
        Box::pin(async { Err("there is no way to agents".to_owned()) })
    }
}

macro_rules! operations {
    ($($name:ident => $function:path,)*) => {
        /// An operation that is served.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operation {
            $(#[doc = stringify!($name)] $name,)*
        }

        impl Operation {
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            fn named(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }
        }

        /// Answers one call with the response's JSON.
        pub(crate) async fn answer(call: Call, operation: Operation, body: &[u8]) -> Result<Bytes> {
            match operation {
                $(Operation::$name => serve(call, operation, body, $function).await,)*
            }
        }
    };
}

operations! {
    CreateLogGroup => group::create,
    DeleteLogGroup => group::delete,
    DescribeLogGroups => group::describe,
    PutRetentionPolicy => group::put_retention,
    DeleteRetentionPolicy => group::delete_retention,
    TagLogGroup => group::tag,
    UntagLogGroup => group::untag,
    ListTagsLogGroup => group::list_tags,
    TagResource => group::tag_resource,
    UntagResource => group::untag_resource,
    ListTagsForResource => group::list_tags_for_resource,
    CreateLogStream => stream::create,
    DeleteLogStream => stream::delete,
    DescribeLogStreams => stream::describe,
    PutLogEvents => put::put,
    GetLogEvents => event::get,
    FilterLogEvents => event::filter,
}

/// What a request asks of this service; `None` when it asks another one.
pub(crate) fn target(headers: &HeaderMap) -> Option<Result<Operation>> {
    let name = headers.get("x-amz-target")?.to_str().ok()?.strip_prefix(TARGET)?;
    Some(Operation::named(name).ok_or_else(|| {
        let message = format!("The operation {} of the logs API is not supported.", name.escape_debug());
        Error::new(Code::Common("UnsupportedOperationException", 400), message)
    }))
}

/// A call of this service.
pub(crate) struct Context {
    pub(crate) call: Call,
    operation: Operation,
    parameters: [u8; 32],
}

impl Context {
    /// A state that holds everything acknowledged before this call.
    async fn read(&self) -> Result<Arc<State>> {
        self.call.api.store.read().await.map_err(|error| {
            unavailable(format!("The control plane cannot answer now ({}). Retry.", error.reason))
        })
    }

    fn key(&self, name: &str) -> LogGroupKey {
        LogGroupKey { scope: self.call.caller.scope.clone(), name: name.to_owned() }
    }

    /// A group, from its name, its ARN, or either.
    fn group(&self, state: &State, name: Option<&str>, identifier: Option<&str>) -> Result<Arc<LogGroup>> {
        let name = match (name, identifier) {
            (Some(name), None) => name,
            (None, Some(identifier)) => named_by(identifier),
            (Some(_), Some(_)) => {
                return Err(invalid("Only one of logGroupName and logGroupIdentifier may be given."));
            }
            (None, None) => return Err(invalid("logGroupName or logGroupIdentifier must be given.")),
        };
        shape::check_group_name(name)?;
        state.log_group(&self.key(name)).cloned().ok_or_else(no_group)
    }

    /// Has a command done, once however often the call is repeated.
    async fn write(&self, command: Command) -> Result<()> {
        let call = &self.call;
        let token = call.invocation.clone().filter(|id| id.len() <= 64);
        let key = IdempotencyKey {
            principal: format!("{}@{}", call.caller.principal.arn, call.caller.scope.region),
            operation: format!("logs:{}", self.operation.name()),
            token: token.unwrap_or_else(|| call.request_id.to_string()),
            is_client_token: false,
            parameters: self.parameters,
        };
        let (needed, level) = (command.level(), call.api.store.view().level());
        if needed > level {
            return Err(of_rejection(Rejection::FeatureLevel { needed, level }));
        }
        let proposal = Proposal {
            actor: Actor::Principal(call.caller.principal.arn.clone()),
            request_id: call.request_id,
            key: Some(key),
            command,
        };
        match call.api.store.propose(proposal).await {
            Ok(_) => Ok(()),
            Err(ProposeError::Rejected(rejection)) => Err(of_rejection(rejection)),
            Err(ProposeError::Unknown { reason } | ProposeError::Unavailable { reason }) => Err(unavailable(
                format!("It is not known whether the request took effect ({reason}). Retry it."),
            )),
        }
    }
}

/// A group's name in its ARN; anything else is the name itself.
fn named_by(identifier: &str) -> &str {
    let name = identifier.split_once(":log-group:").map_or(identifier, |(_, name)| name);
    name.strip_suffix(":*").unwrap_or(name)
}

fn of_rejection(rejection: Rejection) -> Error {
    match rejection {
        Rejection::LogGroupNotFound => no_group(),
        Rejection::LogGroupExists => already_exists("The specified log group already exists"),
        Rejection::LimitExceeded { what, limit } => {
            common("LimitExceededException", format!("Resource limit exceeded: {what}, at most {limit}."))
        }
        Rejection::Invalid { message } => invalid(message),
        other => unavailable(sentence(&other)),
    }
}

fn common(name: &'static str, message: impl Into<String>) -> Error {
    Error::new(Code::Common(name, 400), message)
}

fn invalid(message: impl Into<String>) -> Error {
    common("InvalidParameterException", message)
}

fn already_exists(message: &str) -> Error {
    common("ResourceAlreadyExistsException", message)
}

fn no_group() -> Error {
    common("ResourceNotFoundException", "The specified log group does not exist.")
}

fn no_stream() -> Error {
    common("ResourceNotFoundException", "The specified log stream does not exist.")
}

/// SDKs try again later by themselves.
fn unavailable(message: impl Into<String>) -> Error {
    Error::new(Code::Common("ServiceUnavailableException", 503), message)
}

/// Reads the request, runs the operation and writes the response.
async fn serve<R, S, F, Fut>(call: Call, operation: Operation, body: &[u8], run: F) -> Result<Bytes>
where
    R: DeserializeOwned,
    S: Serialize,
    F: FnOnce(Context, R) -> Fut,
    Fut: Future<Output = Result<S>> + Send,
{
    let body = if body.is_empty() { b"{}" } else { body };
    let broken = |error: serde_json::Error| Error::new(Code::serialization(), error.to_string());
    let request: R = serde_json::from_slice(body).map_err(broken)?;
    let context = Context { call, operation, parameters: Sha256::digest(body).into() };
    let response = Box::pin(run(context, request)).await?;
    let json = serde_json::to_vec(&response)
        .map_err(|error| unavailable(format!("The answer could not be written: {error}.")))?;
    Ok(Bytes::from(json))
}
