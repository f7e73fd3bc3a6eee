//! Why a signature is refused, in AWS's words.
//!
//! AWS tells an unknown access key from a wrong signature, so this does too: clients and their retry rules know both. It gives
//! nothing away that helps, for an access key's id is no secret, and a signature cannot be guessed.

/// AWS's error types for signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// No signature at all.
    MissingAuthenticationToken,
    /// A signature without all of its parts.
    IncompleteSignature,
    /// The signature does not fit, or is too old, too new, or for something else.
    InvalidSignature,
    /// The access key is not known.
    UnrecognizedClient,
}

impl RefusalKind {
    /// As services with a JSON protocol name it.
    pub const fn json_name(self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
        }
    }

    /// As services with the Query protocol (sts) name it.
    pub const fn query_name(self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken => "MissingAuthenticationToken",
            Self::IncompleteSignature => "IncompleteSignature",
            Self::InvalidSignature => "SignatureDoesNotMatch",
            Self::UnrecognizedClient => "InvalidClientTokenId",
        }
    }
}

/// Why a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// AWS's error type.
    pub kind: RefusalKind,
    /// For the caller. Never says more than the caller knows already.
    pub message: String,
}

impl Refusal {
    /// No signature at all.
    pub fn missing() -> Self {
        Self {
            kind: RefusalKind::MissingAuthenticationToken,
            message: "Missing Authentication Token".to_owned(),
        }
    }

    /// The access key is not known.
    pub fn unknown_key() -> Self {
        Self {
            kind: RefusalKind::UnrecognizedClient,
            message: "The security token included in the request is invalid.".to_owned(),
        }
    }

    /// The signature does not fit.
    pub fn mismatch() -> Self {
        Self::invalid(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details.",
        )
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::InvalidSignature, message: message.into() }
    }

    pub(crate) fn incomplete(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::IncompleteSignature, message: message.into() }
    }
}
