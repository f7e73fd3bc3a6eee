//! One death: how long writes are away, and how long until the service is as it was.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use trireme_testkit::hold;

use super::plan::Victim;
use super::side::{Side, TASKS};
use crate::lab::sweep::living_containers;
use crate::load::record::{first_ack, longest_gap};

/// A supervisor starts a process again after this.
const SUPERVISED: f64 = 3.0;
/// Two zones stay dead for this.
const TWO_ZONES: f64 = 10.0;
/// A zone whose tasks do not get elsewhere comes back after this.
const PATIENCE: f64 = 75.0;
/// A process' death is looked at for this long.
const LOOKED_AT: f64 = 15.0;
const LIMIT: f64 = 150.0;
const PERIOD: Duration = Duration::from_millis(200);

/// One death.
#[derive(Debug, Clone, Serialize)]
pub struct Death {
    /// What died.
    pub victim: Victim,
    /// Seconds without an acknowledged write; when two zones died, since they came back.
    pub writes_away: f64,
    /// Seconds until all tasks were RUNNING on living machines for good, by its own word and by the processes of their containers;
    /// when two zones died, since they came back; `None` when they never were while it was looked at.
    pub desired_after: Option<f64>,
}

/// Kills and measures, and waits until all is well again.
///
/// # Errors
/// It does not become whole.
pub async fn death<S: Side>(side: &mut S, victim: Victim, zones: &[u8]) -> Result<Death> {
    let killed = Instant::now();
    let dead = side.kill(victim, zones).await?;
    let mut revived = None;
    let mut whole_at = None;
    loop {
        let now = killed.elapsed().as_secs_f64();
        let counted = if revived.is_some() && victim.is_zonal() { Vec::new() } else { dead.clone() };
        match side.running(&counted).await {
            // What a side says of a machine that it has not missed yet is not what runs there.
            Ok(running) if running.min(living_containers()) >= TASKS => {
                whole_at = whole_at.or(Some(killed.elapsed().as_secs_f64()))
            }
            _ => {
                // Once they run elsewhere they may: what happens at the return is another matter.
                if revived.is_none() || victim == Victim::TwoZones || !victim.is_zonal() {
                    whole_at = None;
                }
            }
        }
        let time = match victim {
            Victim::TwoZones => now > TWO_ZONES,
            victim if victim.is_zonal() => whole_at.is_some_and(|at| now > at + 2.0) || now > PATIENCE,
            _ => now > SUPERVISED,
        };
        if time && revived.is_none() {
            // Before it, not after: how long a side takes to start again is its own time.
            revived = Some(killed.elapsed().as_secs_f64());
            side.revive().await?;
        }
        let enough = match victim {
            Victim::TwoZones => whole_at.is_some_and(|at| now > at + 4.0),
            victim if victim.is_zonal() => true,
            _ => now > LOOKED_AT && whole_at.is_some_and(|at| now > at + 4.0),
        };
        if (revived.is_some() && enough) || now > LIMIT {
            break;
        }
        hold(PERIOD).await;
    }
    side.settle().await?;
    let back = if victim == Victim::TwoZones { revived.unwrap_or(0.0) } else { 0.0 };
    let records = side.records();
    let from = killed + Duration::from_secs_f64(back);
    let writes = match victim {
        Victim::TwoZones => first_ack(&records, from).unwrap_or(from.elapsed()),
        _ => longest_gap(&records, killed, Instant::now()).0,
    };
    Ok(Death {
        victim,
        writes_away: writes.as_secs_f64(),
        desired_after: whole_at.map(|at| (at - back).max(0.0)),
    })
}
