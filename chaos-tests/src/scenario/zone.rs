//! Faults of whole zones.

use std::time::{Duration, Instant};

use anyhow::Result;
use trireme_testkit::try_wait;

use super::stage::{SERVICE, TASKS};
use super::{Installed, Stage, Step};
use crate::containers;
use crate::ecs;
use crate::invariant::{Finding, zone_skew};
use crate::lab::Host;
use crate::lab::host::{ZONES, zone_name};

/// For a zone's tasks to run elsewhere.
const ELSEWHERE_BUDGET: f64 = 8.0;
/// The same when the leader was in it.
const WITH_LEADER_BUDGET: f64 = 10.0;
const LIMIT: Duration = Duration::from_secs(60);

/// 26: a zone is cut off: its machines live, but nobody hears them.
pub fn cut(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.lab.leader().await?;
        stage.fault(format!("zone {zone}, the leader's, cut off for 25 s"));
        let began = Instant::now();
        stage.lab.cut_off(&Host::of_zone(zone))?;
        elsewhere(stage, zone, began, WITH_LEADER_BUDGET).await;
        stage.hold(25.0 - began.elapsed().as_secs_f64().min(24.0)).await;
        stage.met()
    })
}

/// 27: a zone dies with everything in it, and returns: tasks are started before any is stopped.
pub fn returns(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.follower().await?;
        stage.fault(format!("everything on zone {zone}'s machines killed"));
        let began = Instant::now();
        stage.lab.kill_zone(zone);
        elsewhere(stage, zone, began, ELSEWHERE_BUDGET).await;
        stage.over();
        stage.fault(format!("zone {zone} returns"));
        let whole = stage.lab.heal_whole(LIMIT).await.map_err(|text| anyhow::anyhow!(text))?;
        stage.figure("the zone is back after", whole.as_secs_f64(), "s", None);
        let mut counts = Vec::new();
        let until = Instant::now() + Duration::from_secs(8);
        while Instant::now() < until {
            if let Ok(tasks) = ecs::tasks(&stage.client, SERVICE).await {
                counts.push(ecs::running_by_zone(&tasks).values().sum::<usize>());
            }
            stage.hold(0.3).await;
        }
        match counts.iter().min() {
            Some(least) => {
                let text = format!("at least {least} of {TASKS} tasks RUNNING in {} looks", counts.len());
                stage.expect("I7", *least >= TASKS as usize, text);
            }
            None => stage.open("I7", "nobody said what ran while the zone came back"),
        }
        Ok(Installed::Yes)
    })
}

/// 28: two of three zones cut off: no quorum is left, and nothing that runs is touched.
pub fn two_cut(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zones = stage.shuffled(ZONES.to_vec());
        let before = containers::running(&stage.lab.engine_folders())?;
        let from = stage.history.count();
        stage.fault(format!("zones {} and {} cut off, from each other too, for 20 s", zones[0], zones[1]));
        for zone in &zones[..2] {
            stage.lab.cut_off(&Host::of_zone(*zone))?;
        }
        stage.hold(20.0).await;
        let after = containers::running(&stage.lab.engine_folders())?;
        let text = format!("{} of {} containers run on untouched", after.len(), before.len());
        match before.is_empty() {
            true => stage.open("I8", text),
            false => stage.expect("I8", before == after, text),
        }
        let made = super::agent::count(&stage.history.since(from), "TaskCreated");
        stage.expect("rescheduling", made == 0, format!("{made} tasks made anew without a quorum"));
        stage.met()
    })
}

/// 29: the leader's zone dies in the middle of a deployment; the deployment comes to its end without it.
pub fn dies_in_deployment(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.lab.leader().await?;
        let update = stage.client.update_service().service(SERVICE).force_new_deployment(true);
        update.send().await?;
        let client = &stage.client;
        let under_way = try_wait("the first new task", Duration::from_secs(20), || async {
            let service = ecs::service(client, SERVICE).await.map_err(|error| format!("{error:#}"))?;
            let deployments = service.deployments();
            let new = deployments.first().map_or(0, |first| first.running_count() + first.pending_count());
            if deployments.len() > 1 && new > 0 { Ok(()) } else { Err(format!("{new} new tasks")) }
        });
        if let Err(text) = under_way.await {
            return Ok(Installed::No(format!("the deployment was over at once, or did not begin: {text}")));
        }
        stage.fault(format!("everything on the leader's zone {zone} killed in the middle of a deployment"));
        let began = Instant::now();
        stage.lab.kill_zone(zone);
        let client = &stage.client;
        let limit = LIMIT + Duration::from_secs(30);
        let finished = try_wait("the deployment to end", limit, || async {
            let tasks = ecs::tasks(client, SERVICE).await.map_err(|error| format!("{error:#}"))?;
            let there = ecs::running_by_zone(&tasks).contains_key(&zone_name(zone));
            if there {
                Err("tasks of the dead zone are RUNNING".to_owned())
            } else {
                ecs::stable(client, SERVICE).await
            }
        });
        let finished = finished.await;
        let text =
            finished.as_ref().err().cloned().unwrap_or("one deployment, desired count RUNNING".to_owned());
        stage.expect("I7", finished.is_ok(), text);
        stage.figure("deployment over without the zone", began.elapsed().as_secs_f64(), "s", Some(60.0));
        Ok(Installed::Yes)
    })
}

/// Measures until all tasks run in the other zones, evenly spread.
pub async fn elsewhere(stage: &mut Stage, zone: u8, began: Instant, budget: f64) {
    match all_elsewhere(stage, zone).await {
        Ok(spread) => {
            stage.figure("all tasks RUNNING elsewhere", began.elapsed().as_secs_f64(), "s", Some(budget));
            stage.findings.push(spread);
        }
        Err(error) => stage.expect("I7", false, format!("{error:#}")),
    }
}

async fn all_elsewhere(stage: &Stage, zone: u8) -> Result<Finding> {
    let others: Vec<String> = ZONES.into_iter().filter(|other| *other != zone).map(zone_name).collect();
    let client = &stage.client;
    let waited = try_wait("all tasks RUNNING elsewhere", LIMIT, || async {
        let tasks = ecs::tasks(client, SERVICE).await.map_err(|error| format!("{error:#}"))?;
        let zones = ecs::running_by_zone(&tasks);
        let there: usize = others.iter().filter_map(|other| zones.get(other)).sum();
        if there >= TASKS as usize && !zones.contains_key(&zone_name(zone)) {
            Ok(zones)
        } else {
            Err(format!("{zones:?}"))
        }
    });
    let zones = waited.await.map_err(|text| anyhow::anyhow!(text))?;
    Ok(zone_skew::check(&zones, &others))
}
