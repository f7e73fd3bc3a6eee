//! The containers in a laboratory's engines, as Docker's own command tells of them.

use std::path::PathBuf;

use anyhow::Result;

use crate::lab::engine::docker;

/// A container that an agent made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its zone.
    pub zone: u8,
    /// Its task, by its label.
    pub task: String,
    /// Its name in the task's definition, by its label.
    pub name: String,
    /// `running`, `exited` and so on.
    pub state: String,
    /// When it was started last.
    pub started_at: String,
}

const FORMAT: &str = "{{.Id}} {{index .Config.Labels \"com.amazonaws.ecs.task-arn\"}} \
    {{index .Config.Labels \"com.amazonaws.ecs.container-name\"}} {{.State.Status}} {{.State.StartedAt}}";
const LABEL: &str = "label=com.amazonaws.ecs.task-arn";

/// All containers with a task's label, running or not.
///
/// # Errors
/// An engine does not answer.
pub fn all(engines: &[(u8, PathBuf)]) -> Result<Vec<Container>> {
    let mut found = Vec::new();
    for (zone, folder) in engines {
        let ids = docker(folder, &["ps", "--all", "--quiet", "--no-trunc", "--filter", LABEL])?;
        let ids: Vec<&str> = ids.lines().collect();
        if ids.is_empty() {
            continue;
        }
        // One that goes away meanwhile makes the command fail, but not what it says of the others.
        let inspected = docker(folder, &[&["inspect", "--format", FORMAT], ids.as_slice()].concat());
        let text = match inspected {
            Ok(text) => text,
            Err(_) => ids
                .iter()
                .filter_map(|id| docker(folder, &["inspect", "--format", FORMAT, id]).ok())
                .collect(),
        };
        found.extend(text.lines().filter_map(|line| parse(*zone, line)));
    }
    found.sort();
    Ok(found)
}

/// Those that run.
///
/// # Errors
/// An engine does not answer.
pub fn running(engines: &[(u8, PathBuf)]) -> Result<Vec<Container>> {
    Ok(all(engines)?.into_iter().filter(|container| container.state == "running").collect())
}

fn parse(zone: u8, line: &str) -> Option<Container> {
    let mut parts = line.split(' ').map(str::to_owned);
    let (id, task, name) = (parts.next()?, parts.next()?, parts.next()?);
    let (state, started_at) = (parts.next()?, parts.next()?);
    Some(Container { id, zone, task, name, state, started_at })
}
