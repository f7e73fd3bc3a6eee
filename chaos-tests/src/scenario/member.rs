//! 13: a control node leaves and is replaced by a new one, under load.

use anyhow::Result;

use super::{Installed, Stage, Step};
use crate::lab::Host;
use crate::lab::host::grpc;
use crate::lab::net::run_on;

/// A follower leaves, its disk is wiped, and a new node joins in its zone.
pub fn replaced(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let (leader, zone) = (stage.lab.leader().await?, stage.follower().await?);
        stage.fault(format!("zone {zone}'s control node leaves, its disk is wiped, and a new one joins"));
        replace(stage, zone, leader, true).await?;
        stage
            .lab
            .wait_whole(std::time::Duration::from_secs(60))
            .await
            .map_err(|text| anyhow::anyhow!(text))?;
        let leader = stage.lab.leader().await?;
        let peer = stage.follower().await?;
        stage.fault(format!("the same with the leader, zone {leader}"));
        replace(stage, leader, peer, true).await?;
        Ok(Installed::Yes)
    })
}

/// Lets a zone's node leave by way of `peer`, and a new one join.
pub async fn replace(stage: &mut Stage, zone: u8, peer: u8, alive: bool) -> Result<()> {
    let data = stage.lab.server_data(zone);
    let (folder, address) = (data.display().to_string(), grpc(peer));
    let binary = stage.lab.binary().display().to_string();
    if !alive {
        stage.lab.kill_server(zone);
    }
    run_on(Host::Control(peer), &binary, &["server", "leave", "--data", &folder, "--peer", &address])?;
    stage.lab.kill_server(zone);
    std::fs::remove_dir_all(&data)?;
    stage.lab.join(zone, peer)?;
    stage.lab.start_server(zone)
}
