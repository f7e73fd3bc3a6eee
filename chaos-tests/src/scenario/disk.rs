//! Faults of disks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_ecs::error::DisplayErrorContext;
use trireme_testkit::try_wait;

use super::member::replace;
use super::{Installed, Stage, Step};
use crate::lab::host::ZONES;
use crate::lab::net::run;
use crate::lab::shim::{Disturbance, EIO};
use crate::lab::sweep::unmount;

/// 16: the end of a node's write-ahead log is torn off, as by a power cut in the middle of a write. It comes back with all that
/// was acknowledged from the others, or refuses to start and is replaced.
pub fn torn(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let (zone, leader) = (stage.follower().await?, stage.lab.leader().await?);
        stage.lab.kill_server(zone);
        let log = newest_log(&stage.lab.server_data(zone))?;
        let length = std::fs::metadata(&log)?.len();
        if length < 4_096 {
            return Ok(Installed::No(format!("the write-ahead log has {length} bytes only")));
        }
        stage.fault(format!("the last 1,000 of {length} bytes of zone {zone}'s write-ahead log torn off"));
        std::fs::File::options().write(true).open(&log)?.set_len(length - 1_000)?;
        stage.lab.start_server(zone)?;
        match stage.lab.wait_whole(Duration::from_secs(20)).await {
            Ok(_) => stage.expect("I1", true, "it started, and caught up from the others"),
            Err(text) => {
                let ended = stage.lab.server_ended(zone);
                let said = stage.lab.server_log(zone, 1);
                stage.expect("detected", ended, format!("it refused to start: {said} ({text})"));
                replace(stage, zone, leader, false).await?;
            }
        }
        Ok(Installed::Yes)
    })
}

fn newest_log(data: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(data.join("db"))?.flatten().map(|entry| entry.path());
    let logs = entries.filter(|path| path.extension().is_some_and(|ext| ext == "log"));
    logs.max().context("there is no write-ahead log")
}

/// The reserve of a node whose disk is a small tmpfs: the guard must see the difference between room and none.
const RESERVE: [&str; 2] = ["--disk-reserve-mib", "8"];

/// 18: a disk is full, really: a small tmpfs under a follower's data. Nothing that was acknowledged is lost. By design nothing
/// that makes the state larger is taken while any voter has no room; what reads, stops and deletes goes on, and once there is
/// room everything does.
pub fn full(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        // All of them: whoever leads applies its own reserve to every voter's room.
        stage.restart_with(&RESERVE).await?;
        let zone = stage.follower().await?;
        let data = stage.lab.server_data(zone);
        stage.lab.kill_server(zone);
        if let Err(error) = onto_tmpfs(&data, "96m") {
            stage.lab.start_server(zone)?;
            stage.restart_with(&[]).await?;
            return Ok(Installed::No(format!("no tmpfs: {error:#}")));
        }
        stage.lab.start_server(zone)?;
        stage.lab.wait_whole(Duration::from_secs(30)).await.map_err(|text| anyhow::anyhow!(text))?;
        let task = spare(stage).await?;
        stage.fault(format!("zone {zone}'s disk full (tmpfs), for 10 s"));
        let ballast = data.join("ballast");
        let filled = run("dd", &["if=/dev/zero", &format!("of={}", ballast.display()), "bs=64k"]);
        let filled = filled.err().map_or("room left".to_owned(), |error| last_line(&error));
        stage.note(format!("filling it ended with: {filled}"));
        stage.hold(5.0).await;
        goes_on(stage, &task).await;
        stage.hold(5.0).await;
        let ended = stage.lab.server_ended(zone);
        stage.note(format!("the node with the full disk has {}", if ended { "stopped" } else { "gone on" }));
        std::fs::remove_file(&ballast)?;
        stage.over();
        let before = stage.acked();
        let room = std::time::Instant::now();
        stage.lab.heal_whole(Duration::from_secs(60)).await.map_err(|text| anyhow::anyhow!(text))?;
        let writes = try_wait("a write once there is room", Duration::from_secs(30), || async {
            if stage.acked() > before { Ok(()) } else { Err("none".to_owned()) }
        });
        let writes = writes.await;
        stage.figure(
            "whole, and a write, once there was room",
            room.elapsed().as_secs_f64(),
            "s",
            Some(10.0),
        );
        let text = writes.as_ref().err().cloned().unwrap_or("writes go on once there is room".to_owned());
        stage.expect("I10", writes.is_ok(), text);
        stage.lab.kill_server(zone);
        off_tmpfs(&data)?;
        stage.lab.start_server(zone)?;
        stage.restart_with(&[]).await?;
        Ok(Installed::Yes)
    })
}

/// The cluster that is deleted while a disk is full.
const SPARE: &str = "spare";

/// What can be stopped and deleted later: a task of its own, and a cluster.
async fn spare(stage: &Stage) -> Result<String> {
    let client = &stage.client;
    let _made = client.create_cluster().cluster_name(SPARE).send().await?;
    let run = client.run_task().task_definition("web").send().await?;
    run.tasks().first().and_then(|task| task.task_arn()).map(str::to_owned).context("no task was made")
}

fn said(error: impl std::error::Error) -> String {
    format!("{}", DisplayErrorContext(error)).chars().take(160).collect()
}

/// What frees goes on, and what only looks; what grows is refused.
async fn goes_on(stage: &mut Stage, task: &str) {
    let client = stage.client.clone();
    let read = client.list_services().send().await.map(drop).map_err(said);
    let stopped = client.stop_task().task(task).send().await.map(drop).map_err(said);
    let deleted = client.delete_cluster().cluster(SPARE).send().await.map(drop).map_err(said);
    for (what, result) in [("ListServices", read), ("StopTask", stopped), ("DeleteCluster", deleted)] {
        let text = result.as_ref().err().map_or("done", String::as_str);
        stage.expect("goes on", result.is_ok(), format!("{what} with a full disk: {text}"));
    }
    // The load's writers try all the while.
    let before = stage.acked();
    stage.hold(2.0).await;
    let grown = stage.acked() - before;
    let why = "growth is refused by design while any voter's disk is nearly full";
    stage.expect("refusal", grown == 0, format!("{grown} writes acknowledged in 2 s; {why}"));
}

fn last_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().find(|line| line.contains("No space")).unwrap_or("an error").to_owned()
}

/// Puts what is in a folder onto a tmpfs of that size that takes its place.
fn onto_tmpfs(folder: &Path, size: &str) -> Result<()> {
    let aside = folder.with_extension("aside");
    std::fs::rename(folder, &aside)?;
    std::fs::create_dir(folder)?;
    let (at, from) = (folder.display().to_string(), format!("{}/.", aside.display()));
    let mounted = run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &at]);
    mounted.and_then(|_| run("cp", &["-a", &from, &at])).map(drop).inspect_err(|_| {
        unmount(folder);
        let _back = std::fs::remove_dir(folder).and_then(|()| std::fs::rename(&aside, folder));
    })
}

/// Puts it back where it was.
fn off_tmpfs(folder: &Path) -> Result<()> {
    let aside = folder.with_extension("aside");
    std::fs::remove_dir_all(&aside)?;
    std::fs::create_dir(&aside)?;
    run("cp", &["-a", &format!("{}/.", folder.display()), &aside.display().to_string()])?;
    unmount(folder);
    std::fs::remove_dir(folder)?;
    Ok(std::fs::rename(&aside, folder)?)
}

/// 18 too: the leader's disk fails each sync. It stops, for it must never try again, and another leads.
pub fn failing(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let leader = stage.lab.leader().await?;
        if let Err(error) =
            stage.lab.disturb(leader, Disturbance { sync_errno: EIO, ..Disturbance::default() })
        {
            return Ok(Installed::No(format!("{error:#}")));
        }
        stage.fault(format!("each fsync of the leader, zone {leader}, fails with EIO, for 10 s"));
        stage.hold(10.0).await;
        let ended = stage.lab.server_ended(leader);
        let said = stage.lab.server_log(leader, 1);
        stage.expect("stops", ended, format!("it stopped: {ended}; its last words: {said}"));
        Ok(Installed::Yes)
    })
}

/// 19: each sync of the leader's disk takes a second longer.
pub fn slow(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let leader = stage.lab.leader().await?;
        if let Err(error) =
            stage.lab.disturb(leader, Disturbance { sync_delay_ms: 1_000, ..Disturbance::default() })
        {
            return Ok(Installed::No(format!("{error:#}")));
        }
        stage.fault(format!("each fsync of the leader, zone {leader}, takes 1 s longer, for 20 s"));
        let before = stage.acked();
        stage.hold(20.0).await;
        let rate = (stage.acked() - before) as f64 / 20.0;
        stage.figure("acknowledged writes a second meanwhile", rate, "/s", None);
        let now = stage.lab.leader().await;
        let text = match &now {
            Ok(now) if *now == leader => "leadership stayed with the slow disk".to_owned(),
            Ok(now) => format!("leadership moved to zone {now}"),
            Err(error) => format!("nobody could say who leads: {error:#}"),
        };
        stage.expect("leader moves", now.is_ok_and(|now| now != leader), text);
        Ok(Installed::Yes)
    })
}

/// 35: the disk under an agent's data is full: its tasks run on, and it forgets nothing.
pub fn agent_full(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.shuffled(ZONES.to_vec())[0];
        let data = stage.lab.agent_data(zone);
        stage.lab.kill_agent(zone);
        if let Err(error) = onto_tmpfs(&data, "1m") {
            return Ok(Installed::No(format!("no tmpfs: {error:#}")));
        }
        stage.lab.start_agent(zone)?;
        stage.lab.wait_whole(Duration::from_secs(30)).await.map_err(|text| anyhow::anyhow!(text))?;
        let ballast = data.join("ballast");
        let _full = run("dd", &["if=/dev/zero", &format!("of={}", ballast.display()), "bs=4k"]);
        stage.fault(format!(
            "the disk of zone {zone}'s agent full, for 10 s; it is killed and started meanwhile"
        ));
        stage.hold(5.0).await;
        stage.lab.kill_agent(zone);
        stage.lab.start_agent(zone)?;
        let lab = &stage.lab;
        let back =
            try_wait("the agent to be back", Duration::from_secs(15), || lab.wait_whole(Duration::ZERO));
        let back = back.await;
        stage.note(back.err().unwrap_or("it came back with its disk full".to_owned()));
        std::fs::remove_file(&ballast)?;
        stage.lab.kill_agent(zone);
        off_tmpfs(&data)?;
        Ok(Installed::Yes)
    })
}
