//! Forecasts: what would happen if. A state at one point of the log, a change to it that nobody makes, and then the real controllers
//! and the real `decide`, with agents that do as they are told after a while, on a made clock, until nothing more happens.
//!
//! - Pure: the same state, change and time give the same forecast. Ids come from a fixed seed, and nobody learns of them.
//! - Bounded: so many passes, so many events, so much time on the made clock. What does not come to rest within that says so.
//! - One course is one order of events, and the real one is another: agents are slow, and answer in any order. So that a course ends
//!   well is not enough to promise it: [`room`] says whether it would in every order. Only then a forecast [`Fits`](Verdict::Fits).
//! - It foresees what the control plane does. That images can be had and containers start it takes for granted.
//!
//! Reading order: [`course`] (a change, lived through) · [`room`] (whether all find a place in whatever order) · [`outlook`] (what a
//! course comes to, service by service) · [`zone`], [`drain`] and [`update`] (what is asked).

pub mod course;
pub mod drain;
pub mod outlook;
pub mod room;
pub mod update;
pub mod zone;

pub use course::{Bounds, Course, Move};
pub use outlook::{Outlook, ServiceOutlook, Verdict};
pub use zone::ZoneLoss;
