//! Deaths at the worst moments: while a snapshot is installed, and at single calls that sync, rename or remove a file.

use std::time::Duration;

use anyhow::{Result, anyhow};
use rand::Rng;
use trireme_testkit::try_wait;

use super::{Installed, Stage, Step};
use crate::lab::host::{ZONES, api};
use crate::lab::shim::{Call, Death, Disturbance};
use crate::metrics;

/// Log entries between two snapshots, here: the load makes some fifty a second.
const OFTEN: &str = "150";
/// Deaths at a call.
const ROUNDS: usize = 9;
/// The calls, and how many of each one may be let pass first.
const CALLS: [(Call, &str, i32); 3] =
    [(Call::Sync, "sync", 150), (Call::Rename, "rename", 3), (Call::Unlink, "removal", 4)];
const LIMIT: Duration = Duration::from_secs(60);

/// Starts each control node again, with snapshots that come often, or as usual.
async fn snapshots(stage: &mut Stage, often: bool) -> Result<()> {
    stage.restart_with(if often { &["--snapshot-entries", OFTEN] } else { &[] }).await
}

/// Snapshots that this process has installed, when it answers.
fn installed(zone: u8) -> u64 {
    let text = metrics::read(&api(zone)).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("trireme_raft_snapshots_installed_total "));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// 14: a node that was away gets a snapshot, and is killed again and again while it catches up.
pub fn laggard(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        snapshots(stage, true).await?;
        let zone = stage.follower().await?;
        stage.fault(format!(
            "zone {zone}'s control node away for 12 s, while the others drop what it lacks; then killed three times while it catches up"
        ));
        stage.lab.kill_server(zone);
        stage.hold(12.0).await;
        let mut seen = 0;
        for wait in [0.15, 0.4, 0.8] {
            stage.lab.start_server(zone)?;
            stage.hold(wait).await;
            seen += installed(zone);
            stage.lab.kill_server(zone);
        }
        stage.lab.start_server(zone)?;
        stage.over();
        stage.lab.wait_whole(LIMIT).await.map_err(|text| anyhow!(text))?;
        seen += installed(zone);
        stage.expect("snapshot", seen > 0, format!("it installed {seen} snapshots"));
        snapshots(stage, false).await?;
        Ok(Installed::Yes)
    })
}

/// 15: control nodes die right before or after a sync, a rename or a removal of a file, while snapshots, purges and new logs
/// come often.
pub fn died(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        if let Err(error) = stage.lab.disturb(ZONES[0], Disturbance::default()) {
            return Ok(Installed::No(format!("{error:#}")));
        }
        snapshots(stage, true).await?;
        let mut died = [0_u32; CALLS.len()];
        for round in 0..ROUNDS {
            let zone = stage.shuffled(ZONES.to_vec())[0];
            let which = round % CALLS.len();
            let (call, _, most) = CALLS[which];
            let death = Death { call, at: stage.rng.random_range(1..=most), after: stage.rng.random() };
            stage.lab.disturb(zone, Disturbance { dies: Some(death), ..Disturbance::default() })?;
            stage.fault(format!("zone {zone}'s control node dies at {death:?}"));
            let lab = &mut stage.lab;
            let mut ended = false;
            for _ in 0..150 {
                ended = lab.server_ended(zone);
                if ended {
                    break;
                }
                trireme_testkit::hold(Duration::from_millis(100)).await;
            }
            died[which] += u32::from(ended);
            stage.lab.disturb(zone, Disturbance::default())?;
            if ended {
                stage.lab.kill_server(zone);
                stage.lab.start_server(zone)?;
            }
            stage.over();
            let lab = &stage.lab;
            let whole = try_wait("all nodes to be back", LIMIT, || lab.wait_whole(Duration::ZERO)).await;
            whole.map_err(|text| anyhow!("after {death:?} in zone {zone}: {text}"))?;
        }
        for ((_, name, _), count) in CALLS.iter().zip(died) {
            stage.figure(&format!("deaths at a {name}"), f64::from(count), "", None);
            if count == 0 {
                stage.open("failpoint", format!("no node came to the {name} at which it was to die"));
            }
        }
        snapshots(stage, false).await?;
        match died.iter().sum() {
            0_u32 => Ok(Installed::No("no node came to the call at which it was to die".to_owned())),
            _ => Ok(Installed::Yes),
        }
    })
}
