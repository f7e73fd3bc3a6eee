//! Delivery of events to targets of rules: how far each has come, and the HTTP endpoints that are called (EventBridge API).

use serde::{Deserialize, Serialize};
use trireme_types::{Scope, Sequence, Timestamp};

use super::{RuleKey, SealedSecret};

/// A target of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryKey {
    /// The rule.
    pub rule: RuleKey,
    /// The target's id within it.
    pub target: String,
}

/// How far a target of a rule has been told what happened. Whoever leads goes on from here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Up to this event of the history all was seen to.
    pub seen: Sequence,
    /// So many of what the next one came to for the target were seen to as well.
    pub part: u32,
    /// Events that it took. Where an answer was lost, the same may count twice.
    pub delivered: u64,
    /// Events that were given up, in the same way.
    pub dropped: u64,
    /// When something went wrong last, and what.
    pub error: Option<(Timestamp, String)>,
}

/// A connection's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionKey {
    /// Account and region.
    pub scope: Scope,
    /// Its name.
    pub name: String,
}

impl ConnectionKey {
    /// What a secret of it is sealed for: it opens for nothing else.
    pub fn seal_name(&self, secret: &str) -> String {
        format!("connection/{}/{}/{secret}", self.scope.region, self.name)
    }
}

/// How calls of an HTTP endpoint prove who calls (EventBridge API: Connection). Secrets are sealed under the cluster key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its full name.
    pub key: ConnectionKey,
    /// Tells it from others that had its name.
    pub id: u128,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// Rises with each change.
    pub version: u64,
    /// What is asked of it.
    pub spec: ConnectionSpec,
}

/// What is asked of a connection (EventBridge API: CreateConnection).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionSpec {
    /// For people.
    pub description: Option<String>,
    /// How a call is authorized.
    pub authorization: Authorization,
    /// What each call has beside.
    pub parameters: Vec<HttpParameter>,
}

/// How a call is authorized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authorization {
    /// User name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: SealedSecret,
    },
    /// A header.
    ApiKey {
        /// Its name.
        name: String,
        /// Its value.
        value: SealedSecret,
    },
}

impl Authorization {
    /// The name of its secret within the connection.
    pub const SECRET: &str = "authorization";
}

/// What each call of a connection has beside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpParameter {
    /// Where it stands.
    pub place: HttpPlace,
    /// Its name.
    pub name: String,
    /// Its value, sealed.
    pub value: SealedSecret,
    /// Whether nobody may see it.
    pub is_secret: bool,
}

impl HttpParameter {
    /// The name of its value within the connection.
    pub fn secret(place: HttpPlace, name: &str) -> String {
        format!("{place:?}/{name}")
    }
}

/// Where a parameter stands in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpPlace {
    /// A header.
    Header,
    /// The query string.
    Query,
    /// A member of the body, where that is a JSON object.
    Body,
}

/// An API destination's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ApiDestinationKey {
    /// Account and region.
    pub scope: Scope,
    /// Its name.
    pub name: String,
}

/// An HTTP endpoint that targets of rules may be (EventBridge API: ApiDestination).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiDestination {
    /// Its full name.
    pub key: ApiDestinationKey,
    /// Tells it from others that had its name.
    pub id: u128,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// Rises with each change.
    pub version: u64,
    /// What is asked of it.
    pub spec: ApiDestinationSpec,
}

/// What is asked of an API destination (EventBridge API: CreateApiDestination).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiDestinationSpec {
    /// For people.
    pub description: Option<String>,
    /// Who calls.
    pub connection: ConnectionKey,
    /// The address; each `*` in its path stands for a value of the target.
    pub endpoint: String,
    /// GET, POST, …
    pub method: String,
    /// Calls of a second at most.
    pub rate: u32,
}
