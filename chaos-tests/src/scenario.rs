//! The faults, one scenario each, by their numbers in the list of forty that Trireme must survive.
//!
//! A scenario installs its fault on a whole cluster under load, holds it, and looks at what is special about it. Everything that
//! must hold in all of them is checked by [`crate::run`], which also ends the fault.
//!
//! Reading order: [`stage`] (what a scenario works with) · [`table`] (all of them) · the others, a file for each kind of victim.

use std::pin::Pin;

use anyhow::Result;

use crate::invariant::api_gap::Gap;

pub mod agent;
pub mod clock;
pub mod data;
pub mod disk;
pub mod engine;
pub mod failpoint;
pub mod flood;
pub mod herd;
pub mod image;
pub mod leader;
pub mod links;
pub mod member;
pub mod meter;
pub mod quorum;
pub mod retry;
pub mod service;
pub mod stage;
pub mod table;
pub mod upgrade;
pub mod zone;

pub use stage::Stage;

/// Whether the fault was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// It was.
    Yes,
    /// It could not be installed, and why.
    No(String),
}

/// What a scenario does, to be awaited.
pub type Step<'a> = Pin<Box<dyn Future<Output = Result<Installed>> + 'a>>;

/// How a scenario goes about it.
#[derive(Clone, Copy)]
pub enum Means {
    /// By this function.
    Run(fn(&mut Stage) -> Step<'_>),
    /// Not at all, and why.
    Skip(&'static str),
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its number in the list of forty.
    pub number: u32,
    /// For `SCENARIO=`.
    pub name: &'static str,
    /// What happens.
    pub title: &'static str,
    /// How long writes may be away.
    pub gap: Gap,
    /// Seconds for the service to have its desired count once the fault is over.
    pub heal: u64,
    /// Containers must be untouched (I8).
    pub keeps: bool,
    /// What follows needs a cluster of its own.
    pub spends: bool,
    /// How.
    pub means: Means,
}
