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

use trireme_rpc::logs::{Answer, Question};
use trireme_state::object::{LogGroup, LogGroupKey};
use trireme_state::{Rejection, State};
use trireme_types::ContainerInstanceId;

use crate::companion::{Context, Service, operations};
use crate::error::{Code, Error, Result, sentence};
use crate::http::JSON;
pub(crate) use shape::check_group_name;

pub(crate) const SERVICE: Service =
    Service { signing_name: "logs", target: "Logs_20140328.", content_type: JSON, of_rejection, unavailable };

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

operations! {
    SERVICE;
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

impl Context {
    fn log_group_key(&self, name: &str) -> LogGroupKey {
        LogGroupKey { scope: self.scope().clone(), name: name.to_owned() }
    }

    /// A group, from its name, its ARN, or either.
    fn log_group(
        &self,
        state: &State,
        name: Option<&str>,
        identifier: Option<&str>,
    ) -> Result<Arc<LogGroup>> {
        let name = match (name, identifier) {
            (Some(name), None) => name,
            (None, Some(identifier)) => named_by(identifier),
            (Some(_), Some(_)) => {
                return Err(invalid("Only one of logGroupName and logGroupIdentifier may be given."));
            }
            (None, None) => return Err(invalid("logGroupName or logGroupIdentifier must be given.")),
        };
        shape::check_group_name(name)?;
        state.log_group(&self.log_group_key(name)).cloned().ok_or_else(no_group)
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
fn unavailable(message: String) -> Error {
    Error::new(Code::Common("ServiceUnavailableException", 503), message)
}
