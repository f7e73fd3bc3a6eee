//! Ids that Trireme mints. The decider makes them, so that replay never needs randomness.

use serde::{Deserialize, Serialize};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be {expected}")]
pub struct IdError {
    kind: &'static str,
    expected: &'static str,
}

impl IdError {
    pub(crate) const fn new(kind: &'static str, expected: &'static str) -> Self {
        Self { kind, expected }
    }
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(u128);

        impl $type {
            /// From 128 bits.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($type), "({:032x})"), self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { kind: $kind, expected: "32 lower-case hexadecimal digits" };
                let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if text.len() != 32 || !text.bytes().all(digit) {
                    return Err(error);
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| error)
            }
        }
    };
}

hex_id!(
    /// A task's id: 32 hexadecimal digits, as ECS writes it in ARNs.
    TaskId, "task id"
);
hex_id!(
    /// A container instance's id. It outlives the agent's restarts.
    ContainerInstanceId, "container instance id"
);
hex_id!(
    /// The identity of a whole Trireme cluster of control nodes, made once by `server init`.
    ClusterUuid, "cluster uuid"
);

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(u64);

        impl $type {
            /// From its number.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The one after it; saturates, which no cluster lives to see.
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(
    /// A control node's id in Raft. Never reused.
    NodeId
);
number!(
    /// An event's place in the history: the first event has 1.
    Sequence
);
number!(
    /// A container instance's fencing number. It rises when a session opens and when the instance is lost.
    SessionEpoch
);

/// A deployment's id: `ecs-svc/` and 19 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(u64);

impl DeploymentId {
    /// From random bits; the result always has 19 digits.
    pub const fn from_random(bits: u64) -> Self {
        Self(nineteen_digits(bits))
    }
}

const fn nineteen_digits(bits: u64) -> u64 {
    const LOWEST: u64 = 1_000_000_000_000_000_000;
    LOWEST + bits % (LOWEST * 8)
}

/// The number of 19 digits, and nothing else.
fn digits(text: &str) -> Option<u64> {
    let all = text.len() == 19 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

impl std::fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ecs-svc/{:019}", self.0)
    }
}

impl std::str::FromStr for DeploymentId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { kind: "deployment id", expected: "`ecs-svc/` and 19 digits" };
        text.strip_prefix("ecs-svc/").and_then(digits).map(Self).ok_or(error)
    }
}

/// A service revision's id: 19 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceRevisionId(u64);

impl ServiceRevisionId {
    /// What a deployment rolls out has the deployment's number: clients of ECS find one by the other.
    pub const fn of(deployment: DeploymentId) -> Self {
        Self(deployment.0)
    }
}

impl std::fmt::Display for ServiceRevisionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:019}", self.0)
    }
}

impl std::str::FromStr for ServiceRevisionId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        digits(text).map(Self).ok_or(IdError { kind: "service revision id", expected: "19 digits" })
    }
}

/// One call's id, as the client sees it in `x-amzn-requestid` and as every event that it caused carries it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(u128);

impl RequestId {
    /// From 128 random bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The 128 bits.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RequestId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        let id = TaskId::from_bits(0xabc);
        assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
        let deployment = DeploymentId::from_random(u64::MAX);
        assert_eq!(deployment.to_string().parse::<DeploymentId>(), Ok(deployment));
        assert!("ABC".parse::<TaskId>().is_err());
        assert!("+0000000000000000000000000000abc".parse::<TaskId>().is_err());
    }
}
