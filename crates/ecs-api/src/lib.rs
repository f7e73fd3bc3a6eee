//! ECS over HTTP: requests become commands, the state becomes answers. Only this room knows ECS's JSON.
//!
//! A call's way: [`http`](crate) (body, protocol, request id) · `admission` (who is turned away when there is too much) · `local` (what comes in without authentication) · `auth` (who calls) · `operation` (what is asked, one room for
//! each noun) · `resolve` (names and ARNs to keys) · `unsupported` (what is refused because it has no effect yet) ·
//! `context` (reading and writing through the `Store`) · `convert` (the state as ECS's shapes) · `page` · `companion` (other services on the same port: [`logs`],
//! `autoscaling`, `monitoring`, `eventbridge`; and, by their paths (`rest`), `scheduler`) · `error` (every error
//! that a client can see) · [`coverage`] (which operations are real).
//!
//! Invariant: a request member that would change what runs, and cannot, is refused by name. Nothing is ignored in silence.

pub mod coverage;

mod admission;
mod auth;
mod autoscaling;
mod clock;
mod companion;
mod context;
mod convert;
mod error;
pub mod eventbridge;
mod http;
mod length;
mod local;
pub mod logs;
mod metrics;
mod monitoring;
mod operation;
mod page;
mod resolve;
mod rest;
mod scheduler;
mod sts;
mod unsupported;

use std::sync::Arc;

use trireme_iam::SealingKey;
use trireme_monitoring::Monitoring;
use trireme_state::store::Store;

pub use crate::admission::{Admission, Limits};
pub use crate::clock::{Clock, SystemClock};
pub use crate::http::{BODY_LIMIT, router};
pub use crate::metrics::describe as describe_metrics;

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// AWS signature version 4, against the access keys in the state.
    Sigv4,
    /// Everyone is the development account's root, and `POST /_trireme/reset` works. For loopback only: whoever listens
    /// must see to that.
    Off,
}

/// What the endpoint needs.
#[derive(Clone)]
pub struct Api {
    /// The one door to the state.
    pub store: Arc<dyn Store>,
    /// How callers prove who they are.
    pub auth: AuthMode,
    /// The cluster key: the state's secrets open under it.
    pub sealing_key: Arc<SealingKey>,
    /// For the age of signatures.
    pub clock: Arc<dyn Clock>,
    /// How much is let in at once.
    pub admission: Admission,
    /// The agents' part of the logs API.
    pub logs: Arc<dyn logs::LogNodes>,
    /// Metrics, as this node and the others keep them.
    pub monitoring: Monitoring,
}
