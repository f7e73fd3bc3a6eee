//! What must hold whatever happens, one small file each, by the numbers that the issue and the reports use.
//!
//! Each takes what was recorded and gives a [`Finding`]: whether it held, and the figures that say so. Those that look at one
//! state are in `trireme_state::invariant`; these look at the cluster from outside.

use serde::Serialize;

pub mod acked_kept;
pub mod api_gap;
pub mod containers_match;
pub mod desired_restored;
pub mod event_stream;
pub mod linearizable;
pub mod no_restarts;
pub mod service_bounds;
pub mod token_once;
pub mod zone_skew;

/// What an invariant came to in one scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Such as `I1`.
    pub invariant: String,
    /// Whether it held; `None` when it could not be told.
    pub held: Option<bool>,
    /// What was seen.
    pub text: String,
}

impl Finding {
    /// It held, or it did not.
    pub fn new(invariant: &str, held: bool, text: impl Into<String>) -> Self {
        Self { invariant: invariant.to_owned(), held: Some(held), text: text.into() }
    }

    /// Nobody can tell.
    pub fn open(invariant: &str, text: impl Into<String>) -> Self {
        Self { invariant: invariant.to_owned(), held: None, text: text.into() }
    }
}
