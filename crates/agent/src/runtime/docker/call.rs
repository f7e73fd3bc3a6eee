//! One call of Docker's API: its time limit, its measure, and what its failure means.

use std::time::Duration;

use bollard::errors::Error as DockerError;

use crate::clock;
use crate::runtime::{Failure, FailureKind};

/// Why a call did not succeed.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Docker said no.
    Refused { status: u16, message: String },
    /// Docker did not answer in time. It may do it all the same.
    Late { limit: Duration },
    /// Docker cannot be reached.
    Unreachable { message: String },
    /// The connection broke. It may have been done.
    Broken { message: String },
}

impl Outcome {
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    pub(super) fn is_not_modified(&self) -> bool {
        matches!(self, Self::Refused { status: 304, .. })
    }

    /// Whether it is known that nothing was done, or what.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unreachable { .. })
    }
}

/// The failure that an outcome means when the call was about `kind`.
pub(super) fn failed(kind: FailureKind, outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Refused { message, .. } => Failure::new(kind, message),
        Outcome::Late { limit } => {
            Failure::new(FailureKind::Timeout, format!("no answer within {} s", limit.as_secs()))
        }
        // Each call can be made again: creating and starting find out what the first one did.
        Outcome::Unreachable { message } | Outcome::Broken { message } => {
            Failure::new(FailureKind::Unreachable, message)
        }
    }
}

/// Makes a call under a time limit.
pub(super) async fn call<T>(
    name: &'static str,
    limit: Duration,
    future: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, Outcome> {
    let begun = clock::now();
    let result = match tokio::time::timeout(limit, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(outcome(error)),
        Err(_) => Err(Outcome::Late { limit }),
    };
    let label = match &result {
        Ok(_) | Err(Outcome::Refused { status: 304, .. }) => "ok",
        Err(Outcome::Refused { .. }) => "refused",
        Err(Outcome::Late { .. }) => "timeout",
        Err(Outcome::Unreachable { .. } | Outcome::Broken { .. }) => "unreachable",
    };
    metrics::histogram!("trireme_docker_call_seconds", "call" => name, "result" => label)
        .record(begun.elapsed().as_secs_f64());
    result
}

pub(super) fn outcome(error: DockerError) -> Outcome {
    match error {
        DockerError::DockerResponseServerError { status_code, message } => {
            Outcome::Refused { status: status_code, message }
        }
        DockerError::SocketNotFoundError(path) => {
            Outcome::Unreachable { message: format!("there is no socket {path}") }
        }
        DockerError::HyperLegacyError { err } if err.is_connect() => {
            Outcome::Unreachable { message: err.to_string() }
        }
        DockerError::RequestTimeoutError => Outcome::Broken { message: "no answer in time".to_owned() },
        other => Outcome::Broken { message: other.to_string() },
    }
}
