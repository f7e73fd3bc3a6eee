//! What a simulation decides in the place of a machine: how long things take, and when Raft refuses.

use std::sync::Arc;
use std::time::Duration;

/// How long the next one takes.
pub type Delay = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What is asked before each proposal: `Some` has Raft refuse it, and say so only after this long.
pub type Refuse = Arc<dyn Fn() -> Option<Duration> + Send + Sync>;

/// A simulated machine under a node.
#[derive(Clone)]
pub struct Simulation {
    /// A sync of the disk.
    pub sync: Delay,
    /// Applying what was committed together: a machine that is busy applies late.
    pub apply: Delay,
    /// Raft refuses proposals when its quorum lease has just lapsed, may take the next one all the same, and may be slow to
    /// say so.
    pub refuse: Refuse,
}
