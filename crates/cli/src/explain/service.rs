//! What is said of a service.

use serde::Serialize;
use trireme_rpc::explain::{Missing, Point, ServiceAnswer, TaskBrief};

use crate::diff::At;
use crate::forecast::{self, Node, Task};
use crate::{Error, output};

/// Rows that a table shows.
const ROWS: usize = 20;

#[derive(Serialize)]
struct Shown {
    as_of: At,
    cluster: String,
    name: String,
    status: String,
    task_definition: String,
    desired: u32,
    running: u32,
    pending: u32,
    missing: Vec<ShownMissing>,
    outgoing: Vec<Task>,
    failed: Vec<Task>,
    events: Vec<ShownEvent>,
}

#[derive(Serialize)]
struct ShownMissing {
    deployment: String,
    tasks: u32,
    cause: String,
    text: String,
    until: Option<f64>,
    task_ids: Vec<String>,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct ShownEvent {
    at: f64,
    message: String,
}

impl From<&Missing> for ShownMissing {
    fn from(one: &Missing) -> Self {
        Self {
            deployment: one.deployment.clone(),
            tasks: one.tasks,
            cause: one.cause.clone(),
            text: one.text.clone(),
            until: one.until_millis.map(|millis| millis as f64 / 1000.0),
            task_ids: one.task_ids.clone(),
            nodes: one.nodes.iter().map(Node::from).collect(),
        }
    }
}

pub(super) fn print(answer: &ServiceAnswer, point: Point, json: bool) -> Result<(), Error> {
    if !json {
        return output::line(text(answer));
    }
    let service = answer.service.clone().unwrap_or_default();
    let event = |event: &trireme_rpc::explain::ServiceEvent| ShownEvent {
        at: event.at_millis as f64 / 1000.0,
        message: event.message.clone(),
    };
    output::json(&Shown {
        as_of: point.into(),
        cluster: service.cluster,
        name: service.name,
        status: service.status,
        task_definition: service.task_definition,
        desired: service.desired,
        running: service.running,
        pending: service.pending,
        missing: answer.missing.iter().map(ShownMissing::from).collect(),
        outgoing: answer.outgoing.iter().map(Task::from).collect(),
        failed: answer.failed.iter().map(Task::from).collect(),
        events: answer.events.iter().map(event).collect(),
    })
}

fn text(answer: &ServiceAnswer) -> String {
    let service = answer.service.clone().unwrap_or_default();
    let mut parts = vec![format!(
        "service {} in cluster {} is {}: {} of {} tasks RUNNING, {} pending, made from {}",
        service.name,
        service.cluster,
        service.status,
        service.running,
        service.desired,
        service.pending,
        service.task_definition
    )];
    if answer.missing.is_empty() && answer.outgoing.is_empty() {
        parts.push("Nothing is missing.".to_owned());
    }
    parts.extend(answer.missing.iter().map(missing));
    if !answer.outgoing.is_empty() {
        parts.push(tasks(
            "Older tasks that run still, or tasks on machines that are drained:",
            &answer.outgoing,
        ));
    }
    if !answer.failed.is_empty() {
        parts.push(tasks("Tasks that failed last:", &answer.failed));
    }
    if !answer.events.is_empty() {
        let lines =
            answer.events.iter().map(|event| format!("{} {}", output::date(event.at_millis), event.message));
        parts.push(format!("What was said of it:\n{}", lines.collect::<Vec<_>>().join("\n")));
    }
    parts.extend(next(answer));
    parts.join("\n\n")
}

fn missing(one: &Missing) -> String {
    let until =
        one.until_millis.map_or_else(String::new, |until| format!(" (until {})", output::date(until)));
    let tasks = if one.tasks > 0 { format!("{} tasks of ", one.tasks) } else { String::new() };
    let mut text = format!("{tasks}{}: {}{until}", one.deployment, one.text);
    if !one.task_ids.is_empty() {
        let shown = one.task_ids.iter().take(ROWS).cloned().collect::<Vec<_>>().join(" ");
        text = format!("{text}: {shown}");
    }
    if !one.nodes.is_empty() {
        text = format!("{text}\n{}", forecast::nodes(&one.nodes));
    }
    text
}

fn tasks(head: &str, tasks: &[TaskBrief]) -> String {
    let rows = tasks.iter().map(|task| {
        let place = task.place.clone().unwrap_or_default();
        let reason = task.stopped_reason.clone();
        vec![
            task.id.clone(),
            task.definition.clone(),
            forecast::name_of(Some(&place)),
            place.zone,
            task.last_status.clone(),
            reason,
        ]
    });
    let header = ["task", "task definition", "on", "zone", "status", "reason"];
    format!("{head}\n{}", output::rows(&header, rows.collect(), ROWS, "tasks"))
}

/// What to look at next.
fn next(answer: &ServiceAnswer) -> Option<String> {
    let is = |cause: &str| answer.missing.iter().any(|one| one.cause == cause);
    if let Some(task) = answer.failed.first().filter(|_| is("BACK_OFF") || is("FAILED")) {
        return Some(format!("next: trireme explain {}; trireme logs {}", task.id, task.id));
    }
    is("NO_PLACE").then(|| {
        "next: trireme status (which container instances there are, and which are lost or DRAINING)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use trireme_rpc::explain::{NodeAnswer, Place};
    use trireme_rpc::operator::ServiceSummary;

    use super::*;

    #[test]
    fn a_task_without_a_place_is_told_with_what_each_machine_says() {
        let service = ServiceSummary {
            name: "web".to_owned(),
            status: "ACTIVE".to_owned(),
            desired: 3,
            running: 2,
            ..ServiceSummary::default()
        };
        let node = NodeAnswer {
            place: Some(Place { name: "us-east-1a/agent-1".to_owned(), ..Place::default() }),
            refused_code: "RESOURCE:MEMORY".to_owned(),
            refused_reason: "memory: wants 512 MiB, 100 free".to_owned(),
            ..NodeAnswer::default()
        };
        let missing =
            Missing { tasks: 1, cause: "NO_PLACE".to_owned(), nodes: vec![node], ..Missing::default() };
        let answer =
            ServiceAnswer { service: Some(service), missing: vec![missing], ..ServiceAnswer::default() };
        let text = text(&answer);
        assert!(text.contains("2 of 3 tasks RUNNING"), "{text}");
        assert!(text.contains("memory: wants 512 MiB, 100 free (RESOURCE:MEMORY)"), "{text}");
        assert!(text.contains("next: trireme status"), "{text}");
    }
}
