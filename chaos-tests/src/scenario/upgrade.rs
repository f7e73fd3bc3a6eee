//! 21: control nodes and agents are replaced by those of the next version, one by one, under load.
//!
//! The next version is the same sources with a feature level, and a layout of snapshots and of the state hash, that no release
//! has; `make chaos` builds it. The version before may be any older binary: `TRIREME_OLD_BIN`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trireme_testkit::try_wait;

use super::agent::count;
use super::{Installed, Stage, Step};
use crate::lab::Host;
use crate::lab::host::{ZONES, api};
use crate::load::api::{ONCE, client};
use crate::load::door;
use crate::metrics;

const ANSWER: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(60);
/// For the leader to look at all nodes, and for the raise to be applied everywhere.
const RAISED: Duration = Duration::from_secs(20);
/// Events after which two states have been compared at the new level.
const COMPARED: u64 = 2_100;

/// Upgrades everything, and shows that nothing goes back.
pub fn rolling(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let Some(next) = std::env::var_os("TRIREME_NEXT_BIN").map(PathBuf::from) else {
            return Ok(Installed::No("TRIREME_NEXT_BIN names no binary of the next version".to_owned()));
        };
        if let Some(old) = std::env::var_os("TRIREME_OLD_BIN").map(PathBuf::from) {
            // What runs so far is this version; it goes back to the older one first, which the level allows.
            stage.note(format!("begins with {}", old.display()));
            for host in Host::all() {
                stage.lab.use_binary(host, &old);
            }
            for zone in ZONES {
                restart_server(stage, zone).await?;
                restart_agent(stage, zone).await?;
            }
        }
        let (from, level) = (stage.history.count(), level(stage).await?);
        let probe = Probe::start(stage).await?;
        stage.fault("control nodes are replaced one by one, the leader last");
        let leader = stage.lab.leader().await?;
        let mut order = stage.shuffled(ZONES.into_iter().filter(|zone| *zone != leader).collect());
        order.push(leader);
        for (number, zone) in order.into_iter().enumerate() {
            upgrade_server(stage, zone, &next).await?;
            if number < 2 {
                let now = lowest_level(stage).await?;
                stage.expect("level", now == level, format!("level {now} with {} of 3 new", number + 1));
            }
        }
        stage.over();
        stage.fault("agents are replaced one by one");
        for zone in ZONES {
            stage.lab.use_binary(Host::Agent(zone), &next);
            restart_agent(stage, zone).await?;
        }
        stage.over();
        probe.finish(stage).await;
        let lost = count(&stage.history.since(from), "InstanceLost");
        stage.expect("I8", lost == 0, format!("{lost} agents taken for lost"));
        raised(stage, level).await?;
        no_way_back(stage).await?;
        Ok(Installed::Yes)
    })
}

async fn restart_server(stage: &mut Stage, zone: u8) -> Result<()> {
    stage.lab.stop_server(zone).await?;
    start_server(stage, zone).await
}

async fn start_server(stage: &mut Stage, zone: u8) -> Result<()> {
    stage.lab.start_server(zone)?;
    stage.lab.wait_answers(zone).await?;
    stage.lab.wait_whole(WHOLE).await.map_err(|text| anyhow::anyhow!(text)).map(drop)
}

async fn restart_agent(stage: &mut Stage, zone: u8) -> Result<()> {
    stage.lab.stop_agent(zone).await?;
    stage.lab.start_agent(zone)?;
    stage.lab.wait_whole(WHOLE).await.map_err(|text| anyhow::anyhow!(text)).map(drop)
}

/// Drains a control node and puts the next version in its place.
async fn upgrade_server(stage: &mut Stage, zone: u8, next: &std::path::Path) -> Result<()> {
    let leads = stage.lab.leader().await? == zone;
    let mut kept = Kept::open(zone).await?;
    let before = kept.health().await?;
    let began = Instant::now();
    stage.lab.terminate_server(zone);
    // An older version need not be so polite.
    if std::env::var_os("TRIREME_OLD_BIN").is_none() {
        let drained = drains(stage, zone, &mut kept, leads).await;
        let was = before.split(';').next().unwrap_or_default();
        let text = match &drained {
            Ok(text) => format!("zone {zone}, {was} before: {text}"),
            Err(error) => format!("zone {zone}, {was} before: {error:#}"),
        };
        stage.expect("drain", drained.is_ok(), text);
    }
    stage.lab.use_binary(Host::Control(zone), next);
    stage.lab.await_end(zone).await?;
    let took = began.elapsed();
    start_server(stage, zone).await?;
    stage.figure(
        &format!("zone {zone}{} ends within", if leads { ", the leader," } else { "" }),
        took.as_secs_f64(),
        "s",
        Some(20.0),
    );
    Ok(())
}

/// What a client and a balancer see of a node that drains.
async fn drains(stage: &Stage, zone: u8, kept: &mut Kept, leads: bool) -> Result<String> {
    let told = try_wait("503", ANSWER, || async {
        let mut fresh = Kept::open(zone).await.map_err(|error| format!("{error:#}"))?;
        let answer = fresh.health().await.map_err(|error| format!("{error:#}"))?;
        if answer.contains(" 503") { Ok(()) } else { Err(answer) }
    });
    told.await.map_err(|text| anyhow::anyhow!(text))?;
    let answer = kept.health().await.context("the connection that was kept alive")?;
    if !answer.contains("connection: close") {
        bail!("a connection that is kept alive is not told to close: {answer}");
    }
    let still = stage.node(zone).list_clusters().max_results(1).send().await;
    if let Err(error) = still {
        bail!("it answers no more calls: {}", aws_sdk_ecs::error::DisplayErrorContext(error));
    }
    if leads {
        let lab = &stage.lab;
        let moved = try_wait("another leader", ANSWER, || async {
            match lab.leader().await {
                Ok(leader) if leader != zone => Ok(leader),
                other => Err(format!("{other:?}")),
            }
        });
        let to = moved.await.map_err(|text| anyhow::anyhow!(text))?;
        return Ok(format!("/healthz 503, kept connection closed, calls answered, zone {to} leads"));
    }
    Ok("/healthz 503, kept connection closed, calls answered".to_owned())
}

/// A connection that is kept alive.
struct Kept {
    stream: TcpStream,
    zone: u8,
}

impl Kept {
    async fn open(zone: u8) -> Result<Self> {
        let stream = tokio::time::timeout(ANSWER, TcpStream::connect(api(zone))).await??;
        Ok(Self { stream, zone })
    }

    /// The head of the answer to `GET /healthz`, in small letters.
    async fn health(&mut self) -> Result<String> {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", api(self.zone));
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = vec![0; 4096];
        let length = tokio::time::timeout(ANSWER, self.stream.read(&mut answer)).await??;
        let text = String::from_utf8_lossy(&answer[..length]).to_lowercase();
        let (head, _) = text.split_once("\r\n\r\n").context("no answer")?;
        Ok(head.replace("\r\n", "; "))
    }
}

/// The feature levels of all nodes.
async fn levels(stage: &Stage) -> Vec<u32> {
    let report = stage.lab.report().await;
    report.nodes.iter().filter_map(|node| node.feature_level).collect()
}

async fn level(stage: &Stage) -> Result<u32> {
    levels(stage).await.into_iter().max().context("no node says its feature level")
}

async fn lowest_level(stage: &Stage) -> Result<u32> {
    levels(stage).await.into_iter().min().context("no node says its feature level")
}

/// The level rises by itself, and states are compared in the new layout.
async fn raised(stage: &mut Stage, before: u32) -> Result<()> {
    let began = Instant::now();
    let this: &Stage = stage;
    let waited = try_wait("the feature level to rise everywhere", RAISED, || async {
        let levels = levels(this).await;
        let up = levels.len() == ZONES.len() && levels.iter().all(|level| *level > before);
        if up { Ok(levels) } else { Err(format!("{levels:?}")) }
    });
    let levels = waited.await;
    let text = match &levels {
        Ok(levels) => {
            format!("levels {levels:?}, {:.1} s after the last node", began.elapsed().as_secs_f64())
        }
        Err(text) => text.clone(),
    };
    stage.expect("level", levels.is_ok(), text);
    let goal = stage.lab.report().await.applied + COMPARED;
    let this: &Stage = stage;
    let compared = try_wait("states to be compared", Duration::from_secs(60), || async {
        let applied = this.lab.report().await.applied;
        if applied >= goal { Ok(()) } else { Err(format!("event {applied} of {goal}")) }
    });
    compared.await.map_err(|text| anyhow::anyhow!(text))?;
    let mut mismatches = 0.0;
    for zone in ZONES {
        mismatches += metrics::sum(&metrics::read(&api(zone))?, "trireme_state_hash_mismatch_total");
    }
    stage.expect(
        "I4",
        mismatches == 0.0,
        format!("{mismatches} differences of the state hash at the new level"),
    );
    Ok(())
}

/// The older binary neither runs on the newer data nor joins.
async fn no_way_back(stage: &mut Stage) -> Result<()> {
    let zone = stage.follower().await?;
    let (old, next) = (stage.lab.binary().to_owned(), stage.lab.binary_on(Host::Control(zone)).to_owned());
    stage.fault(format!("zone {zone}'s control node is started with the older binary"));
    stage.lab.stop_server(zone).await?;
    stage.lab.use_binary(Host::Control(zone), &old);
    stage.lab.start_server(zone)?;
    let lab = &mut stage.lab;
    let began = Instant::now();
    while !lab.server_ended(zone) && began.elapsed() < Duration::from_secs(20) {
        trireme_testkit::hold(Duration::from_millis(50)).await;
    }
    let (ended, log) = (lab.server_ended(zone), lab.server_log(zone, 1));
    stage.expect(
        "downgrade",
        ended && log.contains("feature level"),
        format!("it ended: {ended}; it said: {log}"),
    );
    let peer = stage.lab.leader().await?;
    let joined = stage.lab.add_second(zone, peer).err().map(|error| format!("{error:#}"));
    let text = joined.clone().unwrap_or("it joined".to_owned());
    stage.expect("downgrade", joined.is_some_and(|text| text.contains("feature level")), text);
    for host in Host::all() {
        stage.lab.use_binary(host, &next);
    }
    stage.lab.kill_server(zone);
    stage.lab.start_server(zone)?;
    stage.over();
    Ok(())
}

/// A caller who tries each call once, by way of any node: what a client without retries sees.
struct Probe {
    stop: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 2]>,
    task: tokio::task::JoinHandle<Option<String>>,
}

impl Probe {
    async fn start(stage: &Stage) -> Result<Self> {
        let endpoint = door::open(ZONES.into_iter().map(api).collect(), 0).await?;
        let caller = client(&endpoint, &stage.lab.key, ONCE);
        let (stop, counts) =
            (Arc::new(AtomicBool::new(false)), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
        let (stopped, counted) = (stop.clone(), counts.clone());
        let task = tokio::spawn(async move {
            let mut first = None;
            while !stopped.load(Ordering::Relaxed) {
                let answer = caller.create_cluster().cluster_name("probe").send().await;
                counted[usize::from(answer.is_err())].fetch_add(1, Ordering::Relaxed);
                if let Err(error) = answer {
                    first
                        .get_or_insert_with(|| format!("{}", aws_sdk_ecs::error::DisplayErrorContext(error)));
                }
                trireme_testkit::hold(Duration::from_millis(50)).await;
            }
            first
        });
        Ok(Self { stop, counts, task })
    }

    async fn finish(self, stage: &mut Stage) {
        self.stop.store(true, Ordering::Relaxed);
        let first = self.task.await.ok().flatten();
        let [done, failed] = [0, 1].map(|at| self.counts[at].load(Ordering::Relaxed));
        stage.figure("calls of a client that never retries", (done + failed) as f64, "", None);
        stage.figure("of those, failed", failed as f64, "", None);
        if let Some(first) = first {
            stage.note(format!("the first of them: {}", first.chars().take(200).collect::<String>()));
        }
    }
}
