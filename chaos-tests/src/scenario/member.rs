//! 13: control nodes leave, die, and are replaced by new ones, and leadership is moved, under load.

use std::time::Instant;

use anyhow::{Context, Result};
use rand::seq::IndexedRandom;

use super::{Installed, Stage, Step};
use crate::lab::Host;
use crate::lab::host::{ZONES, grpc, second_grpc};
use crate::lab::net::run_on;

/// So often leadership is moved.
const MOVES: usize = 4;

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

/// Five voters in three zones: two join, leadership goes round, one dies and is replaced, a whole node's disk with it, two leave.
pub fn five(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zones = stage.shuffled(ZONES.to_vec());
        let (one, two) = (zones[0], zones[1]);
        stage.fault(format!("a second control node joins in zones {one} and {two}"));
        for (count, zone) in [(4, one), (5, two)] {
            let began = Instant::now();
            let peer = stage.lab.leader().await?;
            stage.lab.add_second(zone, peer)?;
            stage.lab.wait_voters(count).await?;
            stage.figure(
                &format!("voter {count} votes after"),
                began.elapsed().as_secs_f64(),
                "s",
                Some(30.0),
            );
        }
        stage.over();
        move_leadership(stage).await?;
        dead_second(stage, one).await?;
        dead_first(stage, zones[2]).await?;
        refusals(stage);
        stage.fault("both second control nodes leave");
        for (count, zone) in [(4, one), (3, two)] {
            remove(stage, &second_grpc(zone), &grpc(zones[2])).await?;
            let said = stage.lab.bury_second(zone).await.unwrap_or_else(|error| format!("{error:#}"));
            let well = said.contains("no member of this cluster");
            stage.expect("removed", well, format!("zone {zone}'s second control node: {said}"));
            stage.lab.wait_voters(count).await?;
        }
        Ok(Installed::Yes)
    })
}

/// The number of the node at this address.
async fn number_of(stage: &Stage, address: &str) -> Result<u64> {
    let node = stage.lab.node_at(address).await.and_then(|node| node.node);
    node.with_context(|| format!("nobody knows the node at {address}"))
}

fn verb(stage: &Stage, arguments: &[&str]) -> Result<String> {
    run_on(Host::Client, &stage.lab.binary().display().to_string(), &[&["server"], arguments].concat())
}

async fn remove(stage: &Stage, address: &str, peer: &str) -> Result<()> {
    let number = number_of(stage, address).await?.to_string();
    verb(stage, &["remove", "--node", &number, "--peer", peer]).map(drop)
}

/// Leadership is given to nodes of chance.
async fn move_leadership(stage: &mut Stage) -> Result<()> {
    stage.fault(format!("leadership is moved {MOVES} times, to nodes of chance"));
    let mut wrong = Vec::new();
    for _ in 0..MOVES {
        let report = stage.lab.report().await;
        let leader = report.leader.as_ref().map(|leader| leader.node);
        let others: Vec<u64> =
            report.nodes.iter().filter_map(|it| it.node).filter(|it| Some(*it) != leader).collect();
        let to = *others.choose(&mut stage.rng).context("no other node")?;
        let began = Instant::now();
        let said = verb(stage, &["transfer-leader", "--to", &to.to_string(), "--peer", &grpc(1)]);
        stage.figure("leadership moved within", began.elapsed().as_secs_f64(), "s", Some(5.0));
        match said {
            Ok(text) if text.contains(&format!("node {to} leads")) => {}
            other => wrong.push(format!("to {to}: {other:?}")),
        }
        stage.hold(1.5).await;
    }
    stage.expect("transfer", wrong.is_empty(), format!("{MOVES} moves as asked; others: {wrong:?}"));
    stage.over();
    Ok(())
}

/// A second node dies with its disk, is removed by its number, and a new one takes its place.
async fn dead_second(stage: &mut Stage, zone: u8) -> Result<()> {
    stage.fault(format!("kill -9 of zone {zone}'s second control node; its disk is lost; it is replaced"));
    stage.lab.kill_second(zone);
    let began = Instant::now();
    let peer = (zone % 3) + 1;
    remove(stage, &second_grpc(zone), &grpc(peer)).await?;
    let _killed = stage.lab.bury_second(zone).await;
    stage.lab.wait_voters(4).await?;
    stage.lab.add_second(zone, peer)?;
    stage.lab.wait_voters(5).await?;
    stage.figure("a dead node is replaced within", began.elapsed().as_secs_f64(), "s", Some(30.0));
    stage.over();
    Ok(())
}

/// The same with a zone's first node, by way of another zone; it may lead.
async fn dead_first(stage: &mut Stage, zone: u8) -> Result<()> {
    stage.fault(format!("kill -9 of zone {zone}'s control node; its disk is lost; it is replaced"));
    let number = number_of(stage, &grpc(zone)).await?.to_string();
    stage.lab.kill_server(zone);
    let (began, peer) = (Instant::now(), (zone % 3) + 1);
    super::leader::await_leader(stage).await?;
    verb(stage, &["remove", "--node", &number, "--peer", &grpc(peer)])?;
    std::fs::remove_dir_all(stage.lab.server_data(zone))?;
    stage.lab.join(zone, peer)?;
    stage.lab.start_server(zone)?;
    stage.lab.wait_voters(5).await?;
    stage.figure("a dead node is replaced within", began.elapsed().as_secs_f64(), "s", Some(30.0));
    let again = number_of(stage, &grpc(zone)).await?;
    stage.expect("ids", again.to_string() != number, format!("node {number} came back as {again}"));
    stage.over();
    Ok(())
}

/// What makes no sense is refused, with the reason.
fn refusals(stage: &mut Stage) {
    let peer = grpc(1);
    for (arguments, word) in [
        (["remove", "--node", "999", "--peer", &peer], "there is no node 999"),
        (["transfer-leader", "--to", "999", "--peer", &peer], "no voter"),
    ] {
        let said =
            verb(stage, &arguments).map_or_else(|error| format!("{error:#}"), |text| format!("done: {text}"));
        stage.expect("refusal", said.contains(word), said);
    }
}
