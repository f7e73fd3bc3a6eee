//! Faults of Docker, and of what is done behind the agent's back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use trireme_testkit::socket::Mode;
use trireme_testkit::try_wait;

use super::stage::SERVICE;
use super::{Installed, Stage, Step};
use crate::containers::{self, Container};
use crate::ecs;
use crate::lab::engine::{IMAGE, docker};
use crate::lab::host::ZONES;

/// 30: the engine's socket fails, hangs, is slow, one after the other, while its tasks run.
pub fn socket(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.shuffled(ZONES.to_vec())[0];
        for (mode, label) in [
            (Mode::Fail, "answers 500"),
            (Mode::Hang, "hangs"),
            (Mode::Slow(Duration::from_millis(400)), "is 400 ms late with each chunk"),
        ] {
            stage.fault(format!("zone {zone}'s engine {label}, for 8 s"));
            stage.lab.socket(zone, mode);
            stage.hold(8.0).await;
            stage.over();
            stage.lab.socket(zone, Mode::Pass);
            stage.hold(1.0).await;
        }
        Ok(Installed::Yes)
    })
}

/// 31: `kill -9` of a zone's engine, and its restart.
pub fn restarted(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.shuffled(ZONES.to_vec())[0];
        stage.fault(format!("kill -9 of zone {zone}'s dockerd and containerd, for 3 s"));
        stage.lab.kill_engine(zone);
        stage.hold(3.0).await;
        Ok(Installed::Yes)
    })
}

/// 33: a container is removed by hand, and one that claims to be ours appears.
pub fn behind_its_back(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let running = containers::running(&stage.lab.engine_folders())?;
        let Container { id, zone, .. } = stage.shuffled(running).pop().context("no container runs")?;
        let folder = stage.lab.engine_folder(zone);
        let labels = docker(
            &folder,
            &["inspect", "--format", "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}\n{{end}}", &id],
        )?;
        stage.fault(format!("docker rm -f of a task's container in zone {zone}"));
        let began = Instant::now();
        docker(&folder, &["rm", "--force", &id])?;
        let client = &stage.client;
        let gone = try_wait("the loss to be noticed", Duration::from_secs(30), || async {
            match ecs::stable(client, SERVICE).await {
                Ok(()) => Err("nobody noticed".to_owned()),
                Err(_) => Ok(()),
            }
        });
        let noticed = gone.await;
        stage.expect("drift", noticed.is_ok(), noticed.err().unwrap_or("the loss was noticed".to_owned()));
        let client = &stage.client;
        let replaced =
            try_wait("the task to be replaced", Duration::from_secs(30), || ecs::stable(client, SERVICE));
        let replaced = replaced.await;
        stage.expect("I7", replaced.is_ok(), replaced.err().unwrap_or("replaced".to_owned()));
        stage.figure("replaced and RUNNING", began.elapsed().as_secs_f64(), "s", Some(30.0));
        rogue(stage, zone, &labels).await?;
        Ok(Installed::Yes)
    })
}

/// A container with the labels of a task that is over.
async fn rogue(stage: &mut Stage, zone: u8, labels: &str) -> Result<()> {
    let folder = stage.lab.engine_folder(zone);
    let labels: Vec<String> = labels.lines().filter(|line| line.contains('=')).map(str::to_owned).collect();
    let mut arguments = vec!["run", "--detach", "--network", "none", "--name", "rogue"];
    for label in &labels {
        arguments.extend(["--label", label.as_str()]);
    }
    arguments.extend([IMAGE, "sleep", "1000"]);
    stage.fault(format!("a rogue container with a dead task's labels in zone {zone}"));
    let began = Instant::now();
    docker(&folder, &arguments)?;
    let ended = try_wait("the rogue to be ended", Duration::from_secs(60), || async {
        let listed = docker(&folder, &["ps", "--quiet", "--filter", "name=rogue"])
            .map_err(|error| format!("{error:#}"))?;
        if listed.trim().is_empty() { Ok(()) } else { Err("it runs".to_owned()) }
    });
    let ended = ended.await;
    if ended.is_err() {
        docker(&folder, &["rm", "--force", "rogue"])?;
    }
    stage.figure("the rogue container runs for", began.elapsed().as_secs_f64(), "s", Some(30.0));
    stage.expect("I9", ended.is_ok(), ended.err().unwrap_or("the rogue container was ended".to_owned()));
    Ok(())
}

/// A copy of what runs now.
///
/// # Errors
/// An engine does not answer.
pub fn snapshot(stage: &Stage) -> Result<Vec<Container>> {
    containers::running(&stage.lab.engine_folders())
}
