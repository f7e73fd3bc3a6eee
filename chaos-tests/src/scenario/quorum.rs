//! Faults of several control nodes, and of one that does not lead.

use super::leader::await_leader;
use super::{Installed, Stage, Step};
use crate::lab::host::ZONES;

/// 2: `kill -9` of a follower, and its return.
pub fn follower_killed(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.follower().await?;
        stage.fault(format!("kill -9 of a follower, zone {zone}"));
        stage.lab.kill_server(zone);
        stage.hold(6.0).await;
        Ok(Installed::Yes)
    })
}

/// 3: `kill -9` of all control nodes at once, and a start from disk.
pub fn all_killed(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        stage.fault("kill -9 of all control nodes, for 8 s");
        ZONES.into_iter().for_each(|zone| stage.lab.kill_server(zone));
        stage.hold(8.0).await;
        Ok(Installed::Yes)
    })
}

/// 8: two of three control nodes dead: nothing can be written, all that runs goes on, and what is read is marked as old.
pub fn majority_lost(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let leader = await_leader(stage).await?;
        let left = stage.follower().await?;
        let third = ZONES.into_iter().find(|zone| *zone != leader && *zone != left).unwrap_or(left);
        stage.fault(format!("kill -9 of the control nodes of zones {leader} (leads) and {third}, for 15 s"));
        stage.lab.kill_server(leader);
        stage.lab.kill_server(third);
        stage.hold(3.0).await;
        let before = stage.acked();
        stage.hold(10.0).await;
        let after = stage.acked();
        stage.expect(
            "refusal",
            after == before,
            format!("{} writes acknowledged without a quorum", after - before),
        );
        let report = stage.lab.report().await;
        let answering = report.nodes.iter().filter(|node| node.error.is_none()).count();
        let text = format!(
            "`trireme status`: {answering} node answers, stale {}, quorum {}",
            report.stale, report.quorum
        );
        stage.expect("stale", report.stale && !report.quorum && answering == 1, text);
        let read = stage.node(left).list_services().send().await;
        let told = if read.is_ok() { "answered" } else { "refused" };
        stage.note(format!("a linearizable read of the node that is left is {told}"));
        stage.expect("I3", read.is_err(), format!("ListServices without a quorum is {told}"));
        Ok(Installed::Yes)
    })
}
