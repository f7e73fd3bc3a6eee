//! What happens to a service while its zones are made even.

use serde::{Deserialize, Serialize};

use crate::object::ServiceKey;

/// What happened to a service's zones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebalancingEvent {
    /// A task of the service is being moved to another zone, or is no longer.
    ZoneMoveChanged {
        /// The service.
        key: ServiceKey,
        /// Whether it is on its way.
        under_way: bool,
    },
}
