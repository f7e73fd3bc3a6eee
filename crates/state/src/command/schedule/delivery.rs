//! What is asked of connections and API destinations, and what comes of telling targets what happened.

use serde::{Deserialize, Serialize};
use trireme_types::Sequence;

use crate::command::{Command, Growth};
use crate::object::{ApiDestinationKey, ApiDestinationSpec, ConnectionKey, ConnectionSpec, DeliveryKey};

/// What is asked of the delivery of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryCommand {
    /// EventBridge API: CreateConnection, UpdateConnection.
    PutConnection {
        /// Its full name.
        key: ConnectionKey,
        /// All that is asked of it.
        spec: Box<ConnectionSpec>,
        /// Id and version of the one that is to be changed; `None`: it is new.
        known: Option<(u128, u64)>,
    },
    /// EventBridge API: DeleteConnection.
    DeleteConnection {
        /// Its full name.
        key: ConnectionKey,
    },
    /// EventBridge API: CreateApiDestination, UpdateApiDestination.
    PutApiDestination {
        /// Its full name.
        key: ApiDestinationKey,
        /// All that is asked of it.
        spec: Box<ApiDestinationSpec>,
        /// Id and version of the one that is to be changed; `None`: it is new.
        known: Option<(u128, u64)>,
    },
    /// EventBridge API: DeleteApiDestination.
    DeleteApiDestination {
        /// Its full name.
        key: ApiDestinationKey,
    },
    /// Delivery: how far targets have come. A mark that does not follow from the state is left out.
    Advance(Vec<Mark>),
    /// Delivery: an event starts a target's tasks, and the target has come as far; both or neither.
    Start {
        /// How far it has come.
        mark: Mark,
        /// The rule's version that the plan saw.
        version: u64,
        /// One of the commands that run tasks.
        run: Box<Command>,
    },
}

impl DeliveryCommand {
    /// What room it takes in the state.
    pub fn growth(&self) -> Growth {
        match self {
            Self::PutConnection { .. } | Self::PutApiDestination { .. } => Growth::Asked,
            Self::Start { .. } => Growth::Kept,
            Self::DeleteConnection { .. } | Self::DeleteApiDestination { .. } | Self::Advance(_) => {
                Growth::None
            }
        }
    }
}

/// A target was told of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which one.
    pub key: DeliveryKey,
    /// Where it stood: an event of the history, and so many of what the next one came to.
    pub from: (Sequence, u32),
    /// Where it stands.
    pub to: (Sequence, u32),
    /// So many of them it took.
    pub delivered: u32,
    /// So many were given up.
    pub dropped: u32,
    /// What went wrong.
    pub error: Option<String>,
}
