//! When something is due: `at`, `rate` and `cron` as Amazon EventBridge writes them, in a time zone.
//!
//! Pure: no clock and no I/O. The time zones are in the binary, so that every control node knows the same ones, whatever its
//! machine has installed.
//!
//! To read: [`expression`] (the three kinds, and what follows a moment), [`cron`] (the fields, and the search through the
//! calendar), [`cron::parse`] (from text), [`zone`] (time zones, and the hours that clocks skip or repeat).
//!
//! The calendar is our own, on jiff's dates and zones. croner, the crate that knows most of this syntax, reads AWS's `?` rule, ranges that wrap
//! around and the year differently, works on chrono's clock, moves a time that clocks skip to after the gap, and repeats some in the hour
//! that comes twice. EventBridge skips the one and does not repeat the other.

pub mod cron;
mod error;
pub mod expression;
pub mod zone;

pub use error::ExpressionError;
pub use expression::{Expression, Rate, RateUnit};
pub use zone::TimeZone;
