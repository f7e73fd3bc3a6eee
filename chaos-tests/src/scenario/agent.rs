//! Faults of an agent.

use std::collections::BTreeSet;

use super::stage::met;
use super::{Installed, Stage, Step};
use crate::containers::{self, Container};
use crate::history::Event;
use crate::lab::Host;
use crate::lab::host::ZONES;
use crate::lab::rule;

/// 23: `kill -9` of an agent and its restart: it adopts its containers.
pub fn killed(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.shuffled(ZONES.to_vec())[0];
        stage.fault(format!("kill -9 of zone {zone}'s agent, for 2 s"));
        stage.lab.kill_agent(zone);
        stage.hold(2.0).await;
        Ok(Installed::Yes)
    })
}

/// 24: an agent is cut off longer than it may be silent.
pub fn cut(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.shuffled(ZONES.to_vec())[0];
        let before = stage.history.count();
        let here = containers::running(&stage.lab.engine_folders())?;
        let here: Vec<Container> = here.into_iter().filter(|container| container.zone == zone).collect();
        if here.is_empty() {
            return Ok(Installed::No(format!("no container runs in zone {zone}")));
        }
        stage.fault(format!("zone {zone}'s agent cut off for 20 s"));
        stage.lab.cut_off(&[Host::Agent(zone)])?;
        stage.hold(20.0).await;
        let lost = lost_tasks(&stage.history.since(before));
        let its: BTreeSet<String> = here.iter().map(|it| id_of(&it.task)).collect();
        let text = format!(
            "{} of its {} tasks lost, {} in all",
            its.intersection(&lost).count(),
            its.len(),
            lost.len()
        );
        stage.expect("I7", its == lost, text);
        let there = containers::running(&stage.lab.engine_folders())?;
        let left = here.iter().filter(|container| there.contains(container)).count();
        let text = format!("{left} of its {} containers run on without anybody", here.len());
        stage.expect("I8", left == here.len(), text);
        stage.met()
    })
}

/// 25: an agent is away for 5 s and back for 5 s, again and again.
pub fn flapping(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.shuffled(ZONES.to_vec())[0];
        let before = stage.history.count();
        stage.fault(format!("zone {zone}'s agent 5 s away and 5 s back, three times"));
        let mut dropped = 0;
        for _ in 0..3 {
            stage.lab.cut_off(&[Host::Agent(zone)])?;
            stage.hold(5.0).await;
            dropped += rule::dropped()?;
            rule::clear()?;
            stage.hold(5.0).await;
        }
        let made = count(&stage.history.since(before), "TaskCreated");
        // Each time its tasks, two or three of six, may be replaced once.
        stage.figure("tasks made anew", made as f64, "", Some(9.0));
        stage.note(format!("{dropped} packets were dropped"));
        Ok(met(dropped))
    })
}

/// The tasks that were given up with their machine, by their ids.
fn lost_tasks(events: &[Event]) -> BTreeSet<String> {
    let lost = events.iter().filter(|event| event.kind == "TaskLost");
    lost.filter_map(|event| event.body["task"].as_str().map(str::to_owned)).collect()
}

/// The id at the end of a task's ARN.
fn id_of(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or_default().to_owned()
}

/// How many events are of that kind.
pub fn count(events: &[Event], kind: &str) -> usize {
    events.iter().filter(|event| event.kind == kind).count()
}
