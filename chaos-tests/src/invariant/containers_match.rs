//! I9: within 30 s the containers that run are those of the tasks that are RUNNING, no more and no
//! fewer, each once.

use std::collections::BTreeMap;
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
                "{count} containers run, those of the RUNNING tasks, {:.1} s after the cluster was whole",
                took.as_secs_f64()
            );
            (Some(took), Finding::new("I9", true, text))
        }
        Err(text) => (None, Finding::new("I9", false, text)),
    }
}

/// How many there are of each container of each task.
type Counts = BTreeMap<(String, String), usize>;

fn count(all: impl IntoIterator<Item = (String, String)>) -> Counts {
    let mut counts = Counts::new();
    all.into_iter().for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}

/// How many `a` has beyond those of `b`.
fn beyond(a: &Counts, b: &Counts) -> usize {
    a.iter().map(|(one, count)| count.saturating_sub(b.get(one).copied().unwrap_or(0))).sum()
}

/// Containers that run beside those that are to; the text says what does not match.
fn matched(expected: &Counts, found: &Counts) -> Result<usize, String> {
    let (extra, short) = (beyond(found, expected), beyond(expected, found));
    let all: usize = found.values().sum();
    if extra == 0 && short == 0 {
        return Ok(all);
    }
    let to_be: usize = expected.values().sum();
    Err(format!("{to_be} containers are to run, {all} do: {extra} too many, {short} missing"))
}

async fn look(client: &Client, engines: &[(u8, PathBuf)]) -> Result<usize, String> {
    let expected = running(client).await?;
    let found = containers::running(engines).map_err(|error| format!("{error:#}"))?;
    matched(&expected, &count(found.into_iter().map(|it| (it.task, it.name))))
}

/// The RUNNING containers of the RUNNING tasks of the default cluster.
async fn running(client: &Client) -> Result<Counts, String> {
    let mut arns = Vec::new();
    let mut pages = client.list_tasks().desired_status(DesiredStatus::Running).into_paginator().send();
    while let Some(page) = pages.next().await {
        arns.extend(page.map_err(|error| format!("{error}"))?.task_arns().to_vec());
    }
    let mut running = Vec::new();
    for part in arns.chunks(100) {
        let described = client.describe_tasks().set_tasks(Some(part.to_vec())).send().await;
        let described = described.map_err(|error| format!("{error}"))?;
        for task in described.tasks().iter().filter(|task| task.last_status() == Some("RUNNING")) {
            let arn = task.task_arn().unwrap_or_default();
            // One that is not essential may have ended while its task runs on.
            let run = task.containers().iter().filter(|it| it.last_status() == Some("RUNNING"));
            running.extend(run.map(|it| (arn.to_owned(), it.name().unwrap_or_default().to_owned())));
        }
    }
    Ok(count(running))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: &[(&str, &str)]) -> Counts {
        count(all.iter().map(|(task, name)| ((*task).to_owned(), (*name).to_owned())))
    }

    #[test]
    fn a_second_container_of_a_task_is_one_too_many_unless_it_is_another_of_its_containers() {
        let expected = counts(&[("a", "web"), ("a", "log"), ("b", "web")]);
        assert_eq!(matched(&expected, &expected), Ok(3));
        let doubled = counts(&[("a", "web"), ("a", "log"), ("b", "web"), ("b", "web")]);
        let text = matched(&expected, &doubled).unwrap_err();
        assert!(text.contains("1 too many, 0 missing"), "{text}");
        let swapped = counts(&[("a", "web"), ("a", "web"), ("b", "web")]);
        let text = matched(&expected, &swapped).unwrap_err();
        assert!(text.contains("1 too many, 1 missing"), "{text}");
    }
}
