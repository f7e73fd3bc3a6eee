//! The cluster as data. Pure: no clock, randomness, I/O, async or hash order, so that every node that applies the same
//! events holds the same state, byte for byte.
//!
//! - The log holds events, not commands. A command is decided once: [`decide`]`(&State, &Proposal, &mut Stamp)`.
//! - [`apply_entry`] cannot fail and decides nothing. Replay never decides again.
//! - Time and ids are the decider's: they come in with the [`Stamp`] and ride in the entry.
//! - A clone of [`State`] is O(1). Readers, controllers and snapshots each hold one, and block nobody.
//!
//! Reading order: [`object`] · [`command`] · [`event`] · [`decide`] · [`apply`] · [`index`] · [`query`] · [`invariant`] ·
//! [`codec`] · [`level`] · [`hash`] · [`entry`] · [`store`].

#![warn(clippy::arithmetic_side_effects)]

pub mod apply;
pub mod codec;
pub mod command;
pub mod decide;
pub mod entry;
pub mod event;
pub mod hash;
pub mod index;
pub mod invariant;
pub mod level;
pub mod limits;
pub mod object;
pub mod query;
pub mod rejection;
pub mod stamp;
pub mod store;

mod state;

pub use apply::{Applied, apply_entry, apply_event};
pub use command::{Actor, Command, IdempotencyKey, Outcome, Placement, Proposal};
pub use decide::{Decision, decide};
pub use entry::{ChainHash, Entry, Position, SealedEvent};
pub use event::Event;
pub use hash::{StateHash, StateHasher};
pub use level::FeatureLevel;
pub use rejection::Rejection;
pub use stamp::{IdSource, Stamp};
pub use state::{RecordedRequest, State};
