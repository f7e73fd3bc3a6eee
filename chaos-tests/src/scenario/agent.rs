//! Faults of an agent.

use super::{Installed, Stage, Step};
use crate::containers;
use crate::history::Event;
use crate::lab::Host;
use crate::lab::host::ZONES;

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
        let here = here.iter().filter(|container| container.zone == zone).count();
        stage.fault(format!("zone {zone}'s agent cut off for 20 s"));
        stage.lab.cut_off(&[Host::Agent(zone)])?;
        stage.hold(20.0).await;
        let lost = stage.history.since(before).iter().filter(|event| event.kind == "TaskLost").count();
        stage.expect(
            "I7",
            lost >= here.min(1),
            format!("{lost} tasks lost with it, {here} containers there"),
        );
        let there = containers::running(&stage.lab.engine_folders())?;
        let there = there.iter().filter(|container| container.zone == zone).count();
        stage.expect("I8", there == here, format!("{there} of its {here} containers run on without anybody"));
        Ok(Installed::Yes)
    })
}

/// 25: an agent is away for 5 s and back for 5 s, again and again.
pub fn flapping(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.shuffled(ZONES.to_vec())[0];
        let before = stage.history.count();
        stage.fault(format!("zone {zone}'s agent 5 s away and 5 s back, three times"));
        for _ in 0..3 {
            stage.lab.cut_off(&[Host::Agent(zone)])?;
            stage.hold(5.0).await;
            crate::lab::rule::clear()?;
            stage.hold(5.0).await;
        }
        let made = count(&stage.history.since(before), "TaskCreated");
        // Each time its tasks, two or three of six, may be replaced once.
        stage.figure("tasks made anew", made as f64, "", Some(9.0));
        Ok(Installed::Yes)
    })
}

/// How many events are of that kind.
pub fn count(events: &[Event], kind: &str) -> usize {
    events.iter().filter(|event| event.kind == kind).count()
}
