//! What an operator may ask of a running node beside its work: a backup, and a verification of what it keeps. One of each at a
//! time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use trireme_types::Timestamp;

use super::Node;
use crate::backup::make::{self, Part};
use crate::clock::Clock;
use crate::error::Error;
use crate::outflow::{Outflow, STALLED};
use crate::snapshot::blocking;
use crate::verify::{self, Report};

/// Parts of a backup that wait for whoever asked for it.
const AHEAD: usize = 4;
/// Bytes that a verification reads in a second, at most: the log's fsync must not wait for it.
const BYTES_A_SECOND: u64 = 64 * 1024 * 1024;

/// What it takes.
#[derive(Clone)]
pub(super) struct Inspection {
    stored: verify::Parts,
    clock: Arc<dyn Clock>,
    backups: Arc<Semaphore>,
    verifications: Arc<Semaphore>,
}

impl Inspection {
    pub(super) fn new(stored: verify::Parts, clock: Arc<dyn Clock>) -> Self {
        let one = || Arc::new(Semaphore::new(1));
        Self { stored, clock, backups: one(), verifications: one() }
    }
}

fn turn(turns: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Error> {
    let turn = Arc::clone(turns).try_acquire_owned();
    turn.map_err(|_| Error::Busy { what: what.to_owned() })
}

impl Node {
    /// The wall clock of this node's world.
    pub(crate) fn now(&self) -> Timestamp {
        self.inspection.clock.wall()
    }

    /// Makes a backup of what is known here, once that is all that was acknowledged before. Its parts come as fast as
    /// they are taken, and not at all once none is taken for a minute; an error is the last.
    ///
    /// # Errors
    /// Another one is being made here.
    pub fn backup(
        &self,
        version: &'static str,
        with_history: bool,
    ) -> Result<mpsc::Receiver<Result<Part, Error>>, Error> {
        let turn = turn(&self.inspection.backups, "backup")?;
        let (outflow, parts) = Outflow::new(AHEAD, STALLED);
        let node = self.clone();
        tokio::spawn(async move {
            let making = make::make(&node, version, with_history, &outflow);
            let made = tokio::select! {
                made = node.stop.run_until_cancelled(making) => made,
                () = outflow.closed() => None,
            };
            drop(turn);
            if let Some(Err(error)) = made {
                tracing::warn!(%error, "a backup failed");
                outflow.fail(error);
            }
        });
        Ok(parts)
    }

    /// Verifies everything that this node keeps, slowly.
    ///
    /// # Errors
    /// Another verification is under way here, the node stops, or its storage fails.
    pub async fn verify(&self) -> Result<Report, Error> {
        let turn = turn(&self.inspection.verifications, "verification")?;
        let (stored, store, stop) = (self.inspection.stored.clone(), self.store(), self.stop.clone());
        let identity = self.identity();
        // Dropped by whoever asked, it ends as well.
        let asked = stop.child_token();
        let given_up = asked.clone().drop_guard();
        let verifying = blocking(move || {
            let _turn = turn;
            let mut pace = pacing(move || !asked.is_cancelled());
            Ok(verify::running(identity, &stored, &|| store.applied(), &mut pace))
        });
        let report = verifying.await.unwrap_or_else(|error| Err(Error::Storage(error)));
        drop(given_up);
        if let Ok(report) = &report {
            for problem in &report.problems {
                tracing::error!(%problem, "this node keeps something that is damaged");
            }
            metrics::gauge!("trireme_verify_problems").set(report.problems.len() as f64);
        }
        report
    }
}

/// Reads no faster than it should.
fn pacing(go_on: impl Fn() -> bool) -> impl FnMut(usize) -> bool {
    let (began, mut read) = (Instant::now(), 0u64);
    move |bytes| {
        read = read.saturating_add(bytes as u64);
        let due = Duration::from_secs_f64(read as f64 / BYTES_A_SECOND as f64);
        rest(due.saturating_sub(began.elapsed()));
        go_on()
    }
}

/// On a thread for work that blocks.
#[allow(clippy::disallowed_methods)]
fn rest(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}
