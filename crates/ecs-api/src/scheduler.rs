//! EventBridge Scheduler on the same port: restJson1 (see `rest`), signed for `scheduler`. Of all that it can start there are tasks of ECS here.
//!
//! Reading order: `shape` (requests and answers) · `group` · `schedule`.

mod group;
mod schedule;
mod shape;

use trireme_state::Rejection;

use crate::companion::{Context, Service, check_name, operations};
use crate::error::{Code, Error, Result, sentence};
use crate::rest::JSON;

pub(crate) const SERVICE: Service =
    Service { signing_name: "scheduler", target: "", content_type: JSON, of_rejection, unavailable };

operations! {
    SERVICE;
    CreateSchedule => schedule::create,
    GetSchedule => schedule::get,
    UpdateSchedule => schedule::update,
    DeleteSchedule => schedule::delete,
    ListSchedules => schedule::list,
    CreateScheduleGroup => group::create,
    GetScheduleGroup => group::get,
    DeleteScheduleGroup => group::delete,
    ListScheduleGroups => group::list,
    TagResource => group::tag,
    UntagResource => group::untag,
    ListTagsForResource => group::list_tags,
}

fn of_rejection(rejection: Rejection) -> Error {
    match rejection {
        Rejection::ScheduleNotFound { .. } => {
            Error::new(Code::Common("ResourceNotFoundException", 404), sentence(&rejection))
        }
        Rejection::ScheduleExists { .. } | Rejection::IdempotencyConflict { .. } => {
            Error::new(Code::Common("ConflictException", 409), sentence(&rejection))
        }
        Rejection::LimitExceeded { .. } => {
            Error::new(Code::Common("ServiceQuotaExceededException", 402), sentence(&rejection))
        }
        Rejection::Invalid { message } => invalid(message),
        other => unavailable(sentence(&other)),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::Common("ValidationException", 400), message)
}

fn not_found(what: &str, name: &str) -> Error {
    let message = format!("{what} {name} does not exist.");
    Error::new(Code::Common("ResourceNotFoundException", 404), message)
}

fn unavailable(message: String) -> Error {
    Error::new(Code::Common("InternalServerException", 500), message)
}

/// EventBridge Scheduler API: MaxResults.
fn page_size(asked: Option<i64>) -> Result<usize> {
    match asked {
        None => Ok(100),
        Some(size @ 1..=100) => Ok(usize::try_from(size).unwrap_or(100)),
        Some(_) => Err(invalid("MaxResults must be between 1 and 100.")),
    }
}
