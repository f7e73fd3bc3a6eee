//! Deciding: a command and the state it meets become events, or a rejection. Runs once, on the leader.
use crate::{Event, Outcome, Proposal, Rejection, Stamp, State};

/// What a command comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What happens. None: success without a change.
    pub events: Vec<Event>,
    /// What the caller is told.
    pub outcome: Outcome,
}

/// Decides a command against `state`.
pub fn decide(_state: &State, _proposal: &Proposal, _stamp: &mut Stamp) -> Result<Decision, Rejection> {
    Ok(Decision::default())
}
