//! What both sides can do: run a service, take writes, die in parts and come back.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::plan::Victim;
use crate::invariant::Finding;
use crate::load::Record;

/// Tasks of the service: three in each zone.
pub const TASKS: usize = 9;

/// Trireme or Swarm.
#[allow(async_fn_in_trait, reason = "used on one thread, by this crate alone")]
pub trait Side {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Kills, and gives the zones whose containers died or must be counted as dead.
    async fn kill(&mut self, victim: Victim, zones: &[u8]) -> Result<Vec<u8>>;
    /// Starts again what is dead.
    async fn revive(&mut self) -> Result<()>;
    /// The service's RUNNING tasks, as told by whoever answers, without those in dead zones.
    async fn running(&self, dead: &[u8]) -> Result<usize, String>;
    /// Waits until everything is there again and the service is spread.
    async fn settle(&mut self) -> Result<()>;
    /// What was written so far.
    fn records(&self) -> Vec<Record>;
    /// Ends the load and asks what became of it: writes that were acknowledged and are lost, and those that were done twice.
    async fn audit(&mut self) -> Result<Audit>;
}

/// What became of the writes.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Audit {
    /// Acknowledged.
    pub acked: usize,
    /// Unknown.
    pub unknown: usize,
    /// Refused with an error that says not to try again.
    pub refused: usize,
    /// Acknowledged and gone; `None` when somebody who must be asked did not answer.
    pub lost: Option<usize>,
    /// Done twice.
    pub twice: usize,
    /// What must hold besides, and whether it did.
    pub findings: Vec<Finding>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// Records that writers share.
pub type Shared = Arc<Mutex<Vec<Record>>>;

/// A copy of them.
pub fn copy(records: &Shared) -> Vec<Record> {
    records.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// One more.
pub fn push(records: &Shared, record: Record) {
    records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
}
