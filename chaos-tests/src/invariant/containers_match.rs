//! I9: within 30 s the containers that run are those of the tasks that are RUNNING, no more and no fewer.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::DesiredStatus;
use trireme_testkit::try_wait;

use super::Finding;
use crate::containers;

/// The budget.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits until they match; gives how long it took.
pub async fn check(client: &Client, engines: &[(u8, PathBuf)]) -> (Option<Duration>, Finding) {
    let began = Instant::now();
    let waited = try_wait("containers to match tasks", LIMIT, || look(client, engines)).await;
    match waited {
        Ok(count) => {
            let took = began.elapsed();
            let text = format!(
                "{count} containers = RUNNING tasks, {:.1} s after the cluster was whole",
                took.as_secs_f64()
            );
            (Some(took), Finding::new("I9", true, text))
        }
        Err(text) => (None, Finding::new("I9", false, text)),
    }
}

async fn look(client: &Client, engines: &[(u8, PathBuf)]) -> Result<usize, String> {
    let tasks = running(client).await?;
    let labelled: BTreeSet<String> = containers::running(engines)
        .map_err(|error| format!("{error:#}"))?
        .into_iter()
        .map(|it| it.task)
        .collect();
    if labelled == tasks {
        return Ok(tasks.len());
    }
    let (extra, short) = (labelled.difference(&tasks).count(), tasks.difference(&labelled).count());
    Err(format!("{} tasks RUNNING, {extra} containers too many, {short} missing", tasks.len()))
}

/// The RUNNING tasks of the default cluster.
async fn running(client: &Client) -> Result<BTreeSet<String>, String> {
    let mut arns = Vec::new();
    let mut pages = client.list_tasks().desired_status(DesiredStatus::Running).into_paginator().send();
    while let Some(page) = pages.next().await {
        arns.extend(page.map_err(|error| format!("{error}"))?.task_arns().to_vec());
    }
    let mut running = BTreeSet::new();
    for part in arns.chunks(100) {
        let described = client.describe_tasks().set_tasks(Some(part.to_vec())).send().await;
        let described = described.map_err(|error| format!("{error}"))?;
        let tasks = described.tasks().iter().filter(|task| task.last_status() == Some("RUNNING"));
        running.extend(tasks.filter_map(|task| task.task_arn().map(str::to_owned)));
    }
    Ok(running)
}
