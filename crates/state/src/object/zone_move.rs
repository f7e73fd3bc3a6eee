//! The move of a service's task to a zone that has fewer of them (ECS API: AvailabilityZoneRebalancing).

use serde::{Deserialize, Serialize};
use trireme_types::Timestamp;

/// A service's last move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneMove {
    /// Whether it lasts still: the service may have one task more than it is asked for.
    pub under_way: bool,
    /// When it began, or when it was over.
    pub at: Timestamp,
}
