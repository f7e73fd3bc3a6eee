//! Invariants: what is true of every state.
use crate::State;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant {name} does not hold: {detail}")]
pub struct Violation {
    /// The invariant's function.
    pub name: &'static str,
    /// Where it fails.
    pub detail: String,
}

/// The invariants that are cheap enough to check before each proposal.
pub fn check_touched(_before: &State, _after: &State, _events: &[crate::Event]) -> Result<(), Violation> {
    Ok(())
}

/// All invariants of one state.
pub fn check_all(_state: &State) -> Result<(), Violation> {
    Ok(())
}
