//! Placement: which container instance a task goes to, which task of a service stops first, and why a task finds no place.
//! Pure: it reads a state and answers; the same state and request give the same answer.
//!
//! - [`place()`] answers on a state; [`place_on`] on [`Nodes`], a working copy that counts what was placed before. A controller
//!   keeps one copy for a whole pass, so that two services never take the same cpu, and what the copy has learned of the nodes serves all.
//! - Filters say whether a node can hold a task at all: [`filter`]. Each explains its "no" with numbers: [`explain`].
//! - A chain of strategies says which of the nodes that can is best: `rank`. Without one: fewest tasks of the group in the zone, then on
//!   the node, then the fullest node that still fits, then the lowest id.
//! - What the copy holds only grows within a request. So a node that refuses once is never asked again, and the copy keeps its nodes in
//!   order: a placement costs a logarithm instead of a look at every node (`place/search.rs`).
//!
//! Reading order: [`mod@place`] · [`view`] · [`requirement`] · [`filter`] · `rank` · `ranking` · [`group`] · [`share`] · [`stop`] · [`explain`] · [`daemon`] · [`run`] (tasks without a service) · [`launch`] (on which pool) · [`fargate`] (what may run on the managed one) · [`due`] (when
//! schedules are due) · [`expression`] (the cluster query language).
#![warn(clippy::arithmetic_side_effects)]

pub mod answer;
pub mod daemon;
pub mod due;
pub mod explain;
pub mod expression;
pub mod fargate;
pub mod filter;
pub mod group;
pub mod launch;
pub mod place;
mod rank;
mod ranking;
pub mod requirement;
pub mod run;
pub mod share;
pub mod stop;
pub mod view;

pub use answer::{Answer, NodeAnswer, Score, explain_all, fitting};
pub use daemon::{place_each, seats};
pub use explain::{Explanation, NodeRefusal, Refusal};
pub use expression::{Expression, ExpressionError};
pub use group::Group;
pub use launch::{Places, Unlaunchable, place_launched};
pub use place::{Placed, Request, check, choose, place, place_on};
pub use requirement::{Addresses, Requirement, Wanted};
pub use run::TaskRun;
pub use stop::choose_to_stop;
pub use view::{Node, Nodes};
