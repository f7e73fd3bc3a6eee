//! Placement: which container instance a task goes to, which task of a service stops first, and why a task finds no place.
//! Pure: it reads a state and answers; the same state and request give the same answer.
//!
//! - [`place()`] answers on a state; [`place_on`] on [`Nodes`], a working copy that counts what was placed before. A controller
//!   keeps one copy for a whole pass, so that two services never take the same cpu.
//! - Filters say whether a node can hold a task at all: [`filter`]. Each explains its "no" with numbers: [`explain`].
//! - Scores say which of the nodes that can is best: fewest tasks of the group in the zone, then on the node, then the
//!   fullest node that still fits, then the lowest id: [`score`].
//! - What the copy holds only grows within a call. So a node that refuses once is never asked again, and a placement costs
//!   a heap's logarithm instead of a look at every node.
//!
//! Reading order: [`mod@place`] · [`view`] · [`requirement`] · [`filter`] · [`score`] · [`explain`] · [`expression`] (the cluster query language).
#![warn(clippy::arithmetic_side_effects)]

pub mod explain;
pub mod expression;
pub mod filter;
pub mod place;
pub mod requirement;
pub mod score;
pub mod view;

pub use explain::{Explanation, NodeRefusal, Refusal};
pub use expression::{Expression, ExpressionError};
pub use place::{Placed, Request, check, place, place_on};
pub use requirement::{Addresses, Requirement, Wanted};
pub use score::spread::{Group, choose_to_stop};
pub use view::{Node, Nodes};
