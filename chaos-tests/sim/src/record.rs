//! What clients asked for and what they were told, in the order in which it happened. The checkers read it.

use std::collections::BTreeMap;

use trireme_testkit::linear::History;

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Operations on registers.
    pub operations: History,
    /// Acknowledged new clusters.
    pub clusters: Vec<String>,
    /// Acknowledged tasks by their client token.
    pub tasks: BTreeMap<String, String>,
}
