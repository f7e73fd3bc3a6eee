//! 39: more than the control nodes can do, for a while.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use super::meter::Meter;
use super::{Installed, Stage, Step};
use crate::lab::host::{ZONES, api};
use crate::load::pour::{Calls, pour, signed};

/// Connections to each node while capacity is measured: enough to keep it busy, too few to be shed.
const BUSY: usize = 100;
/// Connections to each node in the flood.
const FLOOD: usize = 900;
/// Different calls for each node.
const CALLS: usize = 6_000;
const MEASURED: Duration = Duration::from_secs(5);
/// The flood offers so many times the capacity at least, or as much as this machine can send.
const MULTIPLE: f64 = 10.0;

/// Thousands of connections that write as fast as they are answered, and heed no hint. Heartbeats, Raft, reads and operators live
/// on; what is too much is told to come again.
pub fn api_flood(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let seconds = 15.0 * stage.pace;
        let calls = sign(stage, "flood")?;
        let counts = pour(calls.clone(), BUSY, MEASURED).await?;
        let capacity = counts.done.load(Ordering::Relaxed) as f64 / MEASURED.as_secs_f64();
        stage.figure("capacity, writes", capacity, "/s", None);
        let meter = Meter::start(stage).await;
        stage.fault(format!("{} connections write without a pause, for {seconds} s", FLOOD * ZONES.len()));
        let counts = pour(calls, FLOOD, Duration::from_secs_f64(seconds)).await?;
        stage.over();
        let rate = |counter: u64| counter as f64 / seconds;
        let offered = rate(counts.answered() + counts.broken.load(Ordering::Relaxed));
        let done = rate(counts.done.load(Ordering::Relaxed));
        let shed = rate(counts.shed.load(Ordering::Relaxed));
        stage.figure("offered", offered, "/s", None);
        stage.figure("offered, times the capacity", offered / capacity.max(1.0), "", None);
        stage.figure("done under the flood", done, "/s", None);
        stage.figure("shed with a hint", shed, "/s", None);
        stage.figure("answered with another error", rate(counts.other.load(Ordering::Relaxed)), "/s", None);
        stage.figure("broken connections", rate(counts.broken.load(Ordering::Relaxed)), "/s", None);
        let gap = counts.longest_gap.load(Ordering::Relaxed) as f64 / 1000.0;
        stage.figure("longest time without a write done", gap, "s", Some(5.0));
        if offered < MULTIPLE * capacity {
            stage.note(format!(
                "offered were {:.1} times the capacity, not {MULTIPLE}: the clients share the processors with the control nodes",
                offered / capacity.max(1.0)
            ));
        }
        let unhinted = counts.unhinted.load(Ordering::Relaxed);
        stage.expect(
            "hint",
            unhinted == 0,
            format!("{unhinted} were turned away without a hint when to come again"),
        );
        stage.expect(
            "shed",
            shed > 0.0 && done > 0.0,
            format!("{done:.0}/s done, {shed:.0}/s told to come again"),
        );
        meter.finish(stage, 0).await?;
        Ok(Installed::Yes)
    })
}

fn sign(stage: &Stage, prefix: &str) -> Result<Vec<Arc<Calls>>> {
    let each = ZONES.iter().map(|zone| {
        let address = api(*zone);
        let requests = (0..CALLS).map(|number| {
            let body = format!("{{\"clusterName\":\"{prefix}-{zone}-{number}\"}}");
            signed(&stage.lab.key, &address, "CreateCluster", &body)
        });
        Ok(Arc::new(Calls::new(address.clone(), requests.collect::<Result<_>>()?)))
    });
    each.collect()
}
