//! Controllers: what the leader does by itself, so that what is comes to be what was asked for.
//!
//! - A controller is a pure function: [`Controller::plan`]`(&State, &Observed, now) -> Plan`. The same input gives the same
//!   plan. A satisfied state plans nothing.
//! - One [`driver`] runs them all. It alone knows leadership, the watch, the tick and the limits. A wake-up carries no data:
//!   each pass is a full look, made cheap by the state's indexes. A test drops every wake-up but the tick, and all converges.
//! - Nothing that matters lives in a leader's memory. Back-off is in the state; what a controller keeps between passes only
//!   saves it from looking again at what did not change.
//! - A plan's commands name the versions that they saw. `decide` checks them again. A refused command is planned anew.
//! - This room is given the time: `now` is the decider's clock, and what is measured comes from [`Observer::monotonic`].
//!
//! Reading order: [`driver`] · [`observed`] · [`service`] (which says in what order its rooms are read) ·
//! [`autoscaling`] · [`node_health`] · [`alarms`] · [`reaper`] · [`schedules`] · [`capacity`] · [`unit`] · [`explain`] (why it is as it is) · [`forecast`] (what would happen) · [`metrics`](crate::metrics).

pub mod alarms;
pub mod autoscaling;
pub mod capacity;
pub mod driver;
pub mod explain;
pub mod forecast;
pub mod metrics;
pub mod node_health;
pub mod observed;
pub mod reaper;
pub mod schedules;
pub mod service;
pub mod unit;

pub use alarms::AlarmController;
pub use autoscaling::Autoscaler;
pub use capacity::CapacityController;
pub use driver::{Controller, Limits, Plan, Report, run};
pub use node_health::NodeHealth;
pub use observed::{Heard, Observed, Observer, USAGE_STEP, USAGE_STEPS, UsageSample};
pub use reaper::Reaper;
pub use schedules::{ScheduleController, start_target};
pub use service::{ServiceController, Stopwatch};
