//! Faults of the control node that leads.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use trireme_cli::client::cluster_status;

use super::agent::count;
use super::{Installed, Stage, Step};
use crate::lab::Host;
use crate::lab::host::{ZONES, api, grpc};
use crate::lab::rule;
use crate::load::api::{Patience, client};

/// 1: `kill -9` under writes.
pub fn killed(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let leader = stage.lab.leader().await?;
        stage.fault(format!("kill -9 of the leader, zone {leader}"));
        stage.lab.kill_server(leader);
        stage.hold(8.0).await;
        let next = stage.lab.leader().await?;
        stage.expect("leader", next != leader, format!("zone {leader} led, then zone {next}"));
        Ok(Installed::Yes)
    })
}

/// 4: stopped where it stands for half a minute, then going on: it must not answer from what it knew.
pub fn paused(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let leader = stage.lab.leader().await?;
        stage.fault(format!("SIGSTOP of the leader, zone {leader}, for 30 s"));
        stage.lab.freeze(leader);
        stage.hold(30.0).await;
        let newest = stage.last_acked();
        stage.lab.thaw(leader);
        stale_reads(stage, leader, newest).await;
        Ok(Installed::Yes)
    })
}

/// At once: each may take as long as a client waits.
const READS: usize = 3;
/// Longer than a node takes to find out that it cannot answer.
const PATIENT: Patience =
    Patience { attempts: 1, attempt: Duration::from_secs(12), call: Duration::from_secs(12) };

/// Asks a node, a few times at once, for what was acknowledged while it was away. To refuse is no lie; an answer without it is. From
/// a node that does not answer at all nobody learns anything.
async fn stale_reads(stage: &mut Stage, zone: u8, newest: Option<String>) {
    let Some(newest) = newest else {
        stage.open("stale", "no write was acknowledged meanwhile that could be asked for");
        return;
    };
    let node = client(&format!("http://{}", api(zone)), &stage.lab.key, PATIENT);
    let reads = (0..READS).map(|_| node.describe_clusters().clusters(&newest).send());
    let (mut answered, mut refused, mut stale) = (0, 0, 0);
    for read in join_all(reads).await {
        match read {
            Ok(answer) => {
                answered += 1;
                stale += usize::from(answer.clusters().is_empty());
            }
            Err(error) => refused += usize::from(error.raw_response().is_some()),
        }
    }
    let text = format!(
        "the node that was away was asked {READS} times for {newest}: {answered} answers, {stale} without it, {refused} refusals"
    );
    match answered + refused {
        0 => stage.open("stale", text),
        _ => stage.expect("I3", stale == 0, text),
    }
}

/// 5: cut off from the other control nodes and agents; clients still reach it.
pub fn isolated(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let leader = stage.lab.leader().await?;
        stage.fault(format!(
            "the leader, zone {leader}, cut from the other machines for 15 s; clients reach it"
        ));
        let others = Host::all().into_iter().filter(|host| !matches!(host, Host::Client));
        for other in others.filter(|host| *host != Host::Control(leader)) {
            rule::cut(Host::Control(leader), other)?;
        }
        stage.hold(8.0).await;
        let newest = stage.last_acked();
        stale_reads(stage, leader, newest).await;
        one_leader(stage).await;
        stage.hold(4.0).await;
        stage.met()
    })
}

/// 6: nobody hears the leader, but it hears everybody. It must step back, and elections must end.
pub fn unheard(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let leader = stage.lab.leader().await?;
        let before = highest_term().await;
        let from = stage.history.count();
        stage.fault(format!(
            "what the leader, zone {leader}, sends to the other control nodes is lost, for 15 s"
        ));
        for other in Host::controls().into_iter().filter(|host| *host != Host::Control(leader)) {
            rule::drop_one_way(Host::Control(leader), other)?;
        }
        stage.hold(15.0).await;
        stage.terms(before, highest_term().await, Some(8.0));
        one_leader(stage).await;
        let lost = count(&stage.history.since(from), "InstanceLost");
        stage.expect(
            "I8",
            lost == 0,
            format!("{lost} agents taken for lost, though all reach control nodes that live"),
        );
        stage.met()
    })
}

/// 7: the leader and a follower do not hear each other; the third hears both.
pub fn bridged(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let leader = stage.lab.leader().await?;
        let other = stage.follower().await?;
        let before = highest_term().await;
        stage.fault(format!(
            "zones {leader} (leads) and {other} cut from each other for 15 s; both reach the third"
        ));
        rule::cut(Host::Control(leader), Host::Control(other))?;
        stage.hold(15.0).await;
        stage.terms(before, highest_term().await, Some(8.0));
        one_leader(stage).await;
        stage.met()
    })
}

/// I2: one node at most says that it leads with a quorum. Another may not have heard yet that it leads no more; it has none.
async fn one_leader(stage: &mut Stage) {
    let (mut answers, mut leading) = (0, Vec::new());
    for zone in ZONES {
        if let Ok(status) = cluster_status(&grpc(zone)).await
            && let Some(node) = status.node
        {
            answers += 1;
            if node.deciding && node.has_quorum {
                leading.push((zone, node.term));
            }
        }
    }
    let text = format!("{answers} nodes answer; those that lead with a quorum (zone, term): {leading:?}");
    // Two must answer for two to lead.
    match answers {
        0 | 1 => stage.open("I2", text),
        _ => stage.expect("I2", leading.len() <= 1, text),
    }
}

/// The highest term that any control node knows; `None` when none answers.
pub async fn highest_term() -> Option<u64> {
    let mut highest = None;
    for zone in ZONES {
        if let Ok(status) = cluster_status(&grpc(zone)).await {
            highest = highest.max(status.node.map(|node| node.term));
        }
    }
    highest
}

/// The leader's zone once there is one.
///
/// # Errors
/// There is none within 10 s.
pub async fn await_leader(stage: &Stage) -> Result<u8> {
    let limit = std::time::Duration::from_secs(10);
    let lab = &stage.lab;
    let waited = trireme_testkit::try_wait("a leader", limit, || async {
        lab.leader().await.map_err(|error| format!("{error:#}"))
    });
    waited.await.map_err(|text| anyhow::anyhow!(text))
}
