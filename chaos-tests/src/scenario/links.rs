//! Bad links between control nodes.

use std::time::Duration;

use anyhow::Result;

use super::leader::highest_term;
use super::{Installed, Stage, Step};
use crate::lab::Host;
use crate::lab::host::ZONES;
use crate::lab::rule;
use crate::slow::Slow;

fn pairs(hosts: &[Host]) -> Vec<(Host, Host)> {
    let each = hosts.iter().flat_map(|a| hosts.iter().map(move |b| (*a, *b)));
    each.filter(|(a, b)| a < b).collect()
}

/// 9: three packets of ten lost. With the timing for a region: what is lost is sent again after 200 ms at the earliest, and half of all
/// questions and answers need that, so that the limits of 150 ms for a single machine elect one leader after the other.
pub fn lossy(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        timing(stage, "region").await?;
        let installed = made_lossy(stage).await;
        stage.over();
        rule::clear()?;
        timing(stage, "local").await?;
        installed
    })
}

async fn made_lossy(stage: &mut Stage) -> Result<Installed> {
    stage.fault("30 % of the packets between control nodes lost, for 20 s");
    for (a, b) in pairs(&Host::controls()) {
        rule::lose(a, b, 0.3)?;
        rule::lose(b, a, 0.3)?;
    }
    let before = stage.acked();
    let term = highest_term().await;
    stage.hold(20.0).await;
    let rate = (stage.acked() - before) as f64 / 20.0;
    stage.figure("acknowledged writes a second meanwhile", rate, "/s", None);
    stage.terms(term, highest_term().await, None);
    stage.met()
}

/// 10: 200 ms more, each way, and a narrow pipe. With the timing for regions that are far apart: the one for a single machine, which
/// all else here runs with, elects nobody over such links, as is to be expected of limits of 150 ms.
pub fn slow(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        timing(stage, "wide").await?;
        let installed = made_slow(stage).await;
        stage.over();
        rule::clear()?;
        timing(stage, "local").await?;
        installed
    })
}

/// Starts each control node again with other limits.
async fn timing(stage: &mut Stage, timing: &'static str) -> Result<()> {
    stage.lab.timing = timing;
    for zone in ZONES {
        stage.lab.kill_server(zone);
        stage.lab.start_server(zone)?;
        let whole = stage.lab.wait_whole(Duration::from_secs(60)).await;
        whole.map_err(|text| anyhow::anyhow!(text))?;
    }
    Ok(())
}

async fn made_slow(stage: &mut Stage) -> Result<Installed> {
    let mut slow = Vec::new();
    for host in Host::controls() {
        rule::throttle(host, 2_000, 400)?;
    }
    for host in Host::controls() {
        slow.push(Slow::start(host, Duration::from_millis(200), Duration::from_millis(50))?);
    }
    stage.fault("200 ms (and up to 50 ms more) each way between control nodes, 2 Mbit/s, for 20 s");
    let before = stage.acked();
    let term = highest_term().await;
    stage.hold(20.0).await;
    let rate = (stage.acked() - before) as f64 / 20.0;
    stage.figure("acknowledged writes a second meanwhile", rate, "/s", None);
    stage.terms(term, highest_term().await, None);
    let passed: u64 = slow.iter().map(Slow::connections).sum();
    if passed == 0 {
        return Ok(Installed::No("no connection went through the slow proxies".to_owned()));
    }
    stage.note(format!("{passed} connections went through the slow proxies"));
    Ok(Installed::Yes)
}

/// 11: all links of control nodes and agents are cut one by one in an order of chance, and come back in another.
pub fn swizzled(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let hosts: Vec<Host> = Host::all().into_iter().filter(|host| *host != Host::Client).collect();
        let links: Vec<_> = pairs(&hosts).into_iter().filter(|(a, b)| !is_agents(*a, *b)).collect();
        stage.fault(format!(
            "all {} links of control nodes cut one by one, and healed one by one",
            links.len()
        ));
        for (a, b) in stage.shuffled(links.clone()) {
            rule::cut(a, b)?;
            stage.hold(0.4).await;
        }
        // A rule's count goes with it.
        let installed = stage.met()?;
        for (a, b) in stage.shuffled(links) {
            rule::join(a, b)?;
            stage.hold(0.4).await;
        }
        Ok(installed)
    })
}

fn is_agents(a: Host, b: Host) -> bool {
    matches!((a, b), (Host::Agent(_), Host::Agent(_)))
}
