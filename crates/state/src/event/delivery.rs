//! What happens to the delivery of events, to connections and to API destinations.

use serde::{Deserialize, Serialize};
use trireme_types::Sequence;

use crate::object::{ApiDestinationKey, ApiDestinationSpec, ConnectionKey, ConnectionSpec, DeliveryKey};

/// What happened to the delivery of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryEvent {
    /// A target of a rule was told of events.
    DeliveryAdvanced {
        /// Which one.
        key: DeliveryKey,
        /// All up to this event was seen to.
        seen: Sequence,
        /// So many of what the next one came to as well.
        part: u32,
        /// So many of them it took.
        delivered: u32,
        /// So many were given up.
        dropped: u32,
        /// What went wrong.
        error: Option<String>,
    },
    /// A connection is there, or something else is asked of it.
    ConnectionPut {
        /// Its full name.
        key: ConnectionKey,
        /// Its id, if it is new.
        id: u128,
        /// What is asked of it.
        spec: Box<ConnectionSpec>,
    },
    /// It is gone.
    ConnectionDeleted {
        /// Its full name.
        key: ConnectionKey,
    },
    /// An API destination is there, or something else is asked of it.
    ApiDestinationPut {
        /// Its full name.
        key: ApiDestinationKey,
        /// Its id, if it is new.
        id: u128,
        /// What is asked of it.
        spec: Box<ApiDestinationSpec>,
    },
    /// It is gone.
    ApiDestinationDeleted {
        /// Its full name.
        key: ApiDestinationKey,
    },
}
