//! Every error that a client can see. The one place that turns rejections of the state, refused signatures and broken requests
//! into ECS's error types and words.

mod rejection;

use trireme_ecs_model::{ErrorCode, Operation, Violation, ViolationKind};
use trireme_iam::sigv4::{Refusal, RefusalKind};
use trireme_scheduler::Unlaunchable;
use trireme_state::store::{ProposeError, ReadError};

pub(crate) use rejection::of_rejection;

/// An error's type: one of ECS's own, or one that all AWS services share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// One of the service model's.
    Ecs(ErrorCode),
    /// A refused signature.
    Auth(RefusalKind),
    /// Any other, with its HTTP status.
    Common(&'static str, u16),
}

impl Code {
    pub(crate) const fn serialization() -> Self {
        Self::Common("SerializationException", 400)
    }

    pub(crate) const fn unknown_operation(status: u16) -> Self {
        Self::Common("UnknownOperationException", status)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ecs(code) => code.name(),
            Self::Auth(kind) => kind.json_name(),
            Self::Common(name, _) => name,
        }
    }

    /// As services with the Query protocol name it.
    pub(crate) fn query_name(self) -> &'static str {
        match self {
            Self::Auth(kind) => kind.query_name(),
            Self::Ecs(ErrorCode::Server) => "InternalFailure",
            other => other.name(),
        }
    }

    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Ecs(code) => code.status(),
            Self::Auth(_) => 400,
            Self::Common(_, status) => status,
        }
    }

    /// As services with the Query protocol have it: refused signatures are 403 there, and 400 in services with JSON.
    pub(crate) fn query_status(self) -> u16 {
        match self {
            Self::Auth(_) => 403,
            other => other.status(),
        }
    }
}

const THROTTLING: &str = "ThrottlingException";

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub(crate) struct Error {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// ConflictException's member: what the first call made.
    pub(crate) resource_ids: Vec<String>,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), resource_ids: Vec::new() }
    }

    fn ecs(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(Code::Ecs(code), message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::ecs(ErrorCode::InvalidParameter, message)
    }

    pub(crate) fn not_connected(message: impl Into<String>) -> Self {
        Self::ecs(ErrorCode::TargetNotConnected, message)
    }

    pub(crate) fn client(message: impl Into<String>) -> Self {
        Self::ecs(ErrorCode::Client, message)
    }

    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::ecs(ErrorCode::Server, message)
    }

    /// The node has as much to do as it can. SDKs know the type, and try again later by themselves.
    pub(crate) fn throttled() -> Self {
        Self::new(Code::Common(THROTTLING, 429), "Rate exceeded: this control node is busy. Retry later.")
    }

    pub(crate) fn is_throttled(&self) -> bool {
        matches!(self.code, Code::Common(THROTTLING, _))
    }

    pub(crate) fn platform_unknown() -> Self {
        Self::ecs(ErrorCode::PlatformUnknown, "The specified platform does not exist.")
    }

    pub(crate) fn cluster_not_found() -> Self {
        Self::ecs(ErrorCode::ClusterNotFound, "Cluster not found.")
    }

    pub(crate) fn service_not_found() -> Self {
        Self::ecs(ErrorCode::ServiceNotFound, "Service not found.")
    }

    pub(crate) fn resource_not_found() -> Self {
        Self::ecs(ErrorCode::ResourceNotFound, "The specified resource was not found.")
    }

    /// ECS API: PutAttributes, DeleteAttributes.
    pub(crate) fn target_not_found(target: &str) -> Self {
        let message = format!("The specified target {target} was not found in the cluster.");
        Self::ecs(ErrorCode::TargetNotFound, message)
    }

    /// ECS API: UpdateContainerAgent.
    pub(crate) fn no_update_available() -> Self {
        Self::ecs(ErrorCode::NoUpdateAvailable, "There is no update available for your container agent.")
    }

    pub(crate) fn access_denied(message: impl Into<String>) -> Self {
        Self::new(Code::Common("AccessDeniedException", 403), message)
    }

    /// A request member that Trireme cannot honour yet. Operations that do not declare UnsupportedFeatureException answer
    /// ClientException, which clients of theirs know.
    pub(crate) fn unsupported(operation: Operation, what: &str) -> Self {
        let code = declared(operation, ErrorCode::UnsupportedFeature, ErrorCode::Client);
        Self::ecs(code, format!("{what} is not supported yet."))
    }

    /// A whole operation that is not served.
    pub(crate) fn unsupported_operation(operation: Operation) -> Self {
        Self::ecs(
            ErrorCode::UnsupportedFeature,
            format!("The operation {operation} is not supported yet. COVERAGE.md lists those that are."),
        )
    }

    /// What the service model forbids, in the words that AWS's services share. Ask only when there is some.
    pub(crate) fn violations(operation: Operation, found: &[Violation]) -> Self {
        let count = found.len();
        let noun = if count == 1 { "error" } else { "errors" };
        let each: Vec<String> = found.iter().take(10).map(violation_text).collect();
        let message = format!("{count} validation {noun} detected: {}", each.join("; "));
        match operation {
            Operation::RegisterTaskDefinition => Self::client(message),
            _ => Self::invalid(message),
        }
    }
}

impl Error {
    /// The same, with a type that the operation declares: clients have a type of their own for no other. ECS's general type stands
    /// for one that it does not.
    pub(crate) fn declared_by(self, operation: Operation) -> Self {
        match self.code {
            Code::Ecs(code) if !operation.errors().contains(&code) => {
                Self { code: Code::Ecs(ErrorCode::InvalidParameter), ..self }
            }
            _ => self,
        }
    }
}

/// A sentence of an error's text, which has neither a capital nor a full stop.
pub(crate) fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(rest).chain(['.']).collect()
}

/// `preferred` if the operation declares it.
fn declared(operation: Operation, preferred: ErrorCode, otherwise: ErrorCode) -> ErrorCode {
    if operation.errors().contains(&preferred) { preferred } else { otherwise }
}

fn violation_text(violation: &Violation) -> String {
    let at = &violation.path;
    let failed = |value: &str, constraint: String| {
        format!("Value {value} at '{at}' failed to satisfy constraint: Member must {constraint}")
    };
    match &violation.kind {
        ViolationKind::Required => failed("null", "not be null".to_owned()),
        ViolationKind::NotNamed { value, allowed } => {
            failed(&format!("'{value}'"), format!("satisfy enum value set: [{}]", allowed.join(", ")))
        }
        ViolationKind::Length { length, min, max } => {
            let bound = match (min, max) {
                (Some(min), _) if length < min => format!("greater than or equal to {min}"),
                (_, Some(max)) => format!("less than or equal to {max}"),
                _ => "another".to_owned(),
            };
            failed(&format!("of length {length}"), format!("have length {bound}"))
        }
        ViolationKind::Range { value, min, max } => {
            let bound = match (min, max) {
                (Some(min), _) if value < min => format!("greater than or equal to {min}"),
                (_, Some(max)) => format!("less than or equal to {max}"),
                _ => "another".to_owned(),
            };
            failed(&format!("'{value}'"), format!("have value {bound}"))
        }
        ViolationKind::Pattern { value, pattern } => {
            failed(&format!("'{value}'"), format!("satisfy regular expression pattern: {}", pattern.as_str()))
        }
        ViolationKind::Union { set } => {
            failed(&format!("with {set} members"), "have exactly one set".to_owned())
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(Code::Auth(refusal.kind), refusal.message)
    }
}

/// What cannot be launched as it is asked (ECS API: InvalidParameterException).
impl From<Unlaunchable> for Error {
    fn from(why: Unlaunchable) -> Self {
        Self::invalid(why.to_string())
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::server(format!("The control plane cannot answer now ({}). Retry.", error.reason))
    }
}

/// The answer to a write that came to nothing. `operation` decides between types that only some operations declare.
pub(crate) fn of_propose(operation: Operation, error: ProposeError) -> Error {
    match error {
        ProposeError::Rejected(rejection) => of_rejection(operation, rejection),
        ProposeError::Unknown { reason } => Error::server(format!(
            "It is not known whether the request took effect ({reason}). Retry it with the same client token; SDKs do so."
        )),
        ProposeError::Unavailable { reason } => Error::server(format!(
            "The control plane has no leader now ({reason}). Nothing was changed. Retry."
        )),
    }
}

#[cfg(test)]
mod tests {
    use trireme_state::Rejection;

    use super::*;

    #[test]
    fn rejections_become_errors_that_their_operation_declares() {
        let not_found = of_rejection(Operation::DeleteService, Rejection::ServiceNotFound);
        assert_eq!((not_found.code.name(), not_found.message.as_str()), ("ServiceNotFoundException", ""));
        let limit = || Rejection::LimitExceeded { what: "things".to_owned(), limit: 3 };
        let error = of_rejection(Operation::CreateService, limit());
        assert_eq!(error.to_string(), "InvalidParameterException: Limit exceeded: things, at most 3.");
        let conflict = |operation| {
            of_rejection(operation, Rejection::IdempotencyConflict { resources: vec!["a".to_owned()] })
        };
        assert_eq!(conflict(Operation::RunTask).code.name(), "ConflictException");
        assert_eq!(conflict(Operation::RunTask).resource_ids, ["a"]);
        assert_eq!(conflict(Operation::StopTask).code.name(), "InvalidParameterException");
    }

    #[test]
    fn an_error_that_its_operation_does_not_declare_becomes_a_general_one() {
        let error = Error::service_not_found();
        assert_eq!(error.clone().declared_by(Operation::UpdateService), error);
        assert!(!Operation::ListTasks.errors().is_empty());
        let general = error.declared_by(Operation::ListClusters);
        assert_eq!(general.to_string(), "InvalidParameterException: Service not found.");
    }

    #[test]
    fn only_the_servers_own_failures_are_500() {
        let unknown = ProposeError::Unknown { reason: "the leader went away".to_owned() };
        assert_eq!(of_propose(Operation::RunTask, unknown).code.status(), 500);
        let rejected = ProposeError::Rejected(Rejection::ClusterNotFound);
        assert_eq!(of_propose(Operation::RunTask, rejected).code.status(), 400);
        let refused = Error::from(Refusal::missing()).code;
        assert_eq!((refused.status(), refused.query_status()), (400, 403));
    }

    #[test]
    fn violations_read_as_awss() {
        let found = [
            Violation { path: "taskDefinition".to_owned(), kind: ViolationKind::Required },
            Violation {
                path: "launchType".to_owned(),
                kind: ViolationKind::NotNamed { value: "MOON".to_owned(), allowed: &["EC2", "FARGATE"] },
            },
        ];
        assert_eq!(
            Error::violations(Operation::RunTask, &found).to_string(),
            "InvalidParameterException: 2 validation errors detected: Value null at 'taskDefinition' failed to satisfy \
             constraint: Member must not be null; Value 'MOON' at 'launchType' failed to satisfy constraint: Member must \
             satisfy enum value set: [EC2, FARGATE]"
        );
    }
}
