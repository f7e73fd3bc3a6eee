//! One scenario from beginning to end: a whole cluster under load, the fault, its end, healing, and what must hold throughout.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use aws_sdk_ecs::types::DeploymentConfiguration;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trireme_testkit::try_wait;

use crate::busy;
use crate::containers::Container;
use crate::ecs;
use crate::history::History;
use crate::invariant::{
    Finding, acked_kept, api_gap, containers_match, desired_restored, event_stream, linearizable,
    no_restarts, service_bounds, token_once, zone_skew,
};
use crate::lab::Lab;
use crate::lab::host::{ZONES, zone_name};
use crate::load::{Load, Record, Registers, writers};
use crate::scenario::stage::{SERVICE, TASKS};
use crate::scenario::{Installed, Means, Scenario, Stage};
use crate::verdict::Verdict;
use crate::watch::millis;

/// For writes to flow before the fault, and after it.
const CALM: f64 = 2.0;
const LIMIT: Duration = Duration::from_secs(90);

impl Stage {
    /// Sets the stage: a cluster, a service that runs on it, a follower of its events.
    ///
    /// # Errors
    /// It does not become whole.
    pub async fn set(lab: Lab, seed: u64, pace: f64) -> Result<Self> {
        let client = writers::steadfast_client(&lab.key, 0).await?;
        let history = History::follow(lab.binary(), lab.folder())?;
        ecs::register_web(&client).await?;
        // Fifty and a hundred: there is no room for a task too many, so that one is seen.
        let rules =
            DeploymentConfiguration::builder().minimum_healthy_percent(50).maximum_percent(100).build();
        let create =
            client.create_service().service_name(SERVICE).task_definition("web").desired_count(TASKS);
        create.deployment_configuration(rules).send().await?;
        let stage = Self {
            lab,
            client,
            history,
            pace,
            rng: StdRng::seed_from_u64(seed),
            load: None,
            findings: Vec::new(),
            figures: Vec::new(),
            windows: Vec::new(),
            notes: Vec::new(),
        };
        stage.settled().await?;
        Ok(stage)
    }

    /// Waits until the cluster is whole and the service stable.
    async fn settled(&self) -> Result<()> {
        self.lab.wait_whole(LIMIT).await.map_err(|text| anyhow!(text))?;
        let stable = try_wait("the service to be stable", LIMIT, || ecs::stable(&self.client, SERVICE));
        stable.await.map_err(|text| anyhow!(text))
    }

    /// The tasks by zone.
    async fn spread(&self) -> Result<Finding> {
        let tasks = ecs::tasks(&self.client, SERVICE).await?;
        Ok(zone_skew::check(&ecs::running_by_zone(&tasks), &ZONES.map(zone_name)))
    }

    /// Spreads the tasks anew, if a lost zone left them where they were replaced: tasks that run are not moved.
    async fn spread_again(&mut self) -> Result<()> {
        if self.spread().await?.held == Some(true) {
            return Ok(());
        }
        self.note("the tasks stayed where they were replaced; a new deployment spreads them again");
        self.client.update_service().service(SERVICE).force_new_deployment(true).send().await?;
        let stable = try_wait("the new deployment", LIMIT, || ecs::stable(&self.client, SERVICE));
        stable.await.map_err(|text| anyhow!(text))
    }
}

/// When what happened.
struct Times {
    began: Instant,
    healed: Instant,
    ended: Instant,
}

/// Plays one scenario and judges it. The cluster must be whole before, and is whole after, unless the verdict says otherwise.
pub async fn play(stage: &mut Stage, scenario: &Scenario, zero: Instant) -> Verdict {
    let mut verdict = Verdict::of(scenario, millis(zero, Instant::now()));
    let Means::Run(run) = scenario.means else {
        if let Means::Skip(why) = scenario.means {
            verdict.skip(why);
        }
        return verdict;
    };
    stage.findings.clear();
    stage.figures.clear();
    stage.windows.clear();
    stage.notes.clear();
    verdict.busy = busy::others().await;
    let (from, began) = (stage.history.count(), Instant::now());
    verdict.began = millis(zero, began);
    let played = perform(stage, scenario, run, began).await;
    stage.over();
    verdict.windows(&stage.windows, zero);
    match played {
        Ok((installed, times, records)) => {
            judge_load(stage, scenario, &times, &records, from).await;
            verdict.gap(&records, &times_pair(&times), zero);
            verdict.judge(&stage.findings, &stage.figures);
            if let Installed::No(why) = installed {
                verdict.not_installed(&why);
            }
        }
        Err(error) => {
            verdict.judge(&stage.findings, &stage.figures);
            verdict.broken(&format!("{error:#}"));
        }
    }
    verdict.notes = stage.notes.clone();
    verdict.ended = millis(zero, Instant::now());
    verdict
}

fn times_pair(times: &Times) -> (Instant, Instant) {
    (times.began, times.ended)
}

type Played = (Installed, Times, Vec<Record>);

async fn perform(
    stage: &mut Stage,
    scenario: &Scenario,
    run: fn(&mut Stage) -> crate::scenario::Step<'_>,
    began: Instant,
) -> Result<Played> {
    stage.settled().await.context("the cluster was not whole before the fault")?;
    let before = crate::scenario::engine::snapshot(stage)?;
    let prefix = format!("{}-{}", scenario.name, stage.history.count());
    stage.load = Some(Load::start(&stage.lab.key, &prefix).await?);
    let registers = Registers::start(&stage.lab.key, &prefix, stage.rng.random()).await?;
    stage.hold(CALM).await;
    let installed = run(stage).await;
    stage.over();
    let ended = Instant::now();
    // Some scenarios wait for the recovery themselves: what is left of the fault ended with its last window.
    let healed = stage.windows.iter().filter_map(|window| window.to).max().unwrap_or(ended);
    let result = heal(stage, scenario, &before, ended).await;
    stage.hold(CALM).await;
    let records = match stage.load.take() {
        Some(load) => load.finish().await?,
        None => Vec::new(),
    };
    stage.findings.push(linearizable::check(&registers.finish().await?));
    let installed = installed.context("the scenario broke off")?;
    result?;
    Ok((installed, Times { began, healed, ended: Instant::now() }, records))
}

/// Ends the fault and waits until everything is as it should be.
async fn heal(stage: &mut Stage, scenario: &Scenario, before: &[Container], ended: Instant) -> Result<()> {
    // Also when the scenario left early.
    stage.lab.usual_arguments();
    let whole = stage.lab.heal_whole(LIMIT).await.map_err(|text| anyhow!(text)).context("it did not heal")?;
    stage.figure("whole again", whole.as_secs_f64(), "s", Some(30.0));
    let limit = Duration::from_secs(scenario.heal);
    let (took, restored) = desired_restored::check(&stage.client, SERVICE, ended, limit).await;
    stage.findings.push(restored);
    if let Some(took) = took {
        stage.figure("desired count again", took, "s", Some(scenario.heal as f64));
    }
    let engines = stage.lab.engine_folders();
    if !engines.is_empty() {
        let (_, matched) = containers_match::check(&stage.client, &engines).await;
        stage.findings.push(matched);
    }
    if scenario.keeps && !engines.is_empty() {
        let after = crate::scenario::engine::snapshot(stage)?;
        stage.findings.push(no_restarts::check(before, &after));
    }
    stage.spread_again().await?;
    let spread = stage.spread().await?;
    stage.findings.push(spread);
    Ok(())
}

/// What the load and the event stream say.
async fn judge_load(stage: &mut Stage, scenario: &Scenario, times: &Times, records: &[Record], from: usize) {
    let (measured, finding) = api_gap::check(records, scenario.gap, times.began, times.healed, times.ended);
    stage.findings.push(finding);
    stage.figure("time without writes", measured.gap, "s", Some(scenario.gap.budget()));
    stage.findings.push(acked_kept::check(records, &stage.lab.key).await);
    let report = stage.lab.report().await;
    let end = report.nodes.iter().filter_map(|node| node.applied).max();
    let complete = match end {
        Some(end) => {
            stage.history.wait_for(end, Duration::from_secs(30)).await.is_ok() && !stage.history.ended()
        }
        None => false,
    };
    let events = stage.history.since(0);
    stage.findings.push(event_stream::check(&events, end, complete));
    stage.findings.push(service_bounds::check(&events));
    stage.findings.push(token_once::check(records, events.get(from..).unwrap_or_default()));
}
