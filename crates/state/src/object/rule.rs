//! Rules of the default event bus (EventBridge API). What their firing has come to is a [`super::Firing`].

use serde::{Deserialize, Serialize};
use trireme_types::{Scope, Timestamp};

use super::{Tags, Target};

/// A rule's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleKey {
    /// Account and region.
    pub scope: Scope,
    /// Its name.
    pub name: String,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its full name.
    pub key: RuleKey,
    /// When it was made.
    pub created_at: Timestamp,
    /// Rises with each change of what is asked of it or of its targets.
    pub version: u64,
    /// What is asked of it.
    pub spec: RuleSpec,
    /// What it starts, by their ids.
    pub targets: Vec<Target>,
    /// Its tags. Two of them say how it fires: see [`super::FiringPolicy`].
    pub tags: Tags,
}

impl Rule {
    /// One of its targets.
    pub fn target(&self, id: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.id == id)
    }

    /// Whether a target is told of what happens: of events that the pattern means, or by a call that its times have passed. Tasks that
    /// start at times are a [`super::Firing`]'s.
    pub fn delivers_to(&self, target: &Target) -> bool {
        self.spec.enabled && (self.spec.pattern.is_some() || target.call().is_some())
    }
}

/// What is asked of a rule (EventBridge API: PutRule).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSpec {
    /// When, as it was written.
    pub expression: Option<String>,
    /// On which events, as it was written.
    pub pattern: Option<String>,
    /// Whether it fires at all.
    pub enabled: bool,
    /// For people.
    pub description: Option<String>,
    /// Described; without effect.
    pub role_arn: Option<String>,
    /// From which moment a rate counts.
    pub anchor: Timestamp,
}
