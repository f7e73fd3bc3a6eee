//! Names that people choose. Each is checked where it enters and cheap to clone: short ones, which most are, lie within the
//! keys of the state's trees, so that neither comparing them nor copying a node goes through memory elsewhere.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{kind} must not be empty")]
    Empty {
        /// What was named.
        kind: &'static str,
    },
    /// More characters than ECS allows.
    #[error("{kind} must not be longer than {max} characters")]
    TooLong {
        /// What was named.
        kind: &'static str,
        /// The limit, in characters.
        max: usize,
    },
    /// A character outside the allowed set.
    #[error("{kind} must contain only letters, numbers, hyphens and underscores")]
    BadCharacter {
        /// What was named.
        kind: &'static str,
    },
}

fn check(kind: &'static str, text: &str, max: usize, extra: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.chars().count() > max {
        return Err(NameError::TooLong { kind, max });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || extra.contains(c);
    if text.chars().all(allowed) { Ok(()) } else { Err(NameError::BadCharacter { kind }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $max:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(SmolStr);

        impl $type {
            /// The longest allowed name, in characters.
            pub const MAX_LEN: usize = $max;

            /// Checks length and characters.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($kind, text, $max, $extra)?;
                Ok(Self(SmolStr::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    };
}

name!(
    /// A cluster's name (ECS API: CreateCluster, up to 255 characters).
    ClusterName, "cluster name", 255, ""
);
name!(
    /// A service's name (ECS API: CreateService, up to 255 characters).
    ServiceName, "service name", 255, ""
);
name!(
    /// A task definition's family (ECS API: RegisterTaskDefinition, up to 255 characters).
    Family, "family", 255, ""
);
name!(
    /// A container's name in its task definition (ECS API: ContainerDefinition, up to 255 characters).
    ContainerName, "container name", 255, ""
);
name!(
    /// A capacity provider's name (ECS API: CreateCapacityProvider, up to 255 characters).
    CapacityProviderName, "capacity provider name", 255, ""
);
name!(
    /// An availability zone, such as `us-east-1a`.
    Zone, "zone", 64, ""
);

name!(
    /// A GPU of a machine, as its maker names it: `GPU-` and a UUID, for one.
    GpuId, "GPU id", 64, ".:/="
);

impl ClusterName {
    /// The cluster that ECS uses when none is named.
    pub fn default_cluster() -> Self {
        Self(SmolStr::new_static("default"))
    }

    /// The cluster that the machines of the managed pool are in.
    pub fn managed_pool() -> Self {
        Self(SmolStr::new_static(crate::capability::MANAGED_POOL))
    }
}

impl Family {
    /// The family of what is made from no task definition.
    pub fn none() -> Self {
        Self(SmolStr::new_static("none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        assert!(ClusterName::new("prod_1-a").is_ok());
        assert_eq!(ClusterName::new(""), Err(NameError::Empty { kind: "cluster name" }));
        assert_eq!(ServiceName::new("a b"), Err(NameError::BadCharacter { kind: "service name" }));
        assert_eq!(Family::new(&"x".repeat(256)), Err(NameError::TooLong { kind: "family", max: 255 }));
    }
}
