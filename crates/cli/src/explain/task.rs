//! What is said of a task.

use serde::Serialize;
use trireme_rpc::explain::{Container, Point, TaskAnswer};

use crate::diff::At;
use crate::forecast::{self, Node, Task};
use crate::{Error, output};

#[derive(Serialize)]
struct Shown {
    as_of: At,
    #[serde(flatten)]
    task: Task,
    deployment: Option<String>,
    group: String,
    desired_status: String,
    created_at: f64,
    started_at: Option<f64>,
    stopping_at: Option<f64>,
    forgotten: bool,
    containers: Vec<ShownContainer>,
    placed_as_of: Option<At>,
    nodes: Vec<Node>,
    not_known: Option<String>,
}

#[derive(Serialize)]
struct ShownContainer {
    name: String,
    status: String,
    exit_code: Option<i32>,
    reason: Option<String>,
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

impl From<&Container> for ShownContainer {
    fn from(one: &Container) -> Self {
        Self {
            name: one.name.clone(),
            status: one.status.clone(),
            exit_code: one.exit_code,
            reason: some(&one.reason),
        }
    }
}

pub(super) fn print(answer: &TaskAnswer, point: Point, json: bool) -> Result<(), Error> {
    if !json {
        return output::line(text(answer));
    }
    output::json(&Shown {
        as_of: point.into(),
        task: Task::from(&answer.task.clone().unwrap_or_default()),
        deployment: some(&answer.deployment),
        group: answer.group.clone(),
        desired_status: answer.desired_status.clone(),
        created_at: seconds(answer.created_at_millis),
        started_at: answer.started_at_millis.map(seconds),
        stopping_at: answer.stopping_at_millis.map(seconds),
        forgotten: answer.forgotten,
        containers: answer.containers.iter().map(ShownContainer::from).collect(),
        placed_as_of: answer.before.map(At::from),
        nodes: answer.nodes.iter().map(Node::from).collect(),
        not_known: some(&answer.not_known),
    })
}

fn text(answer: &TaskAnswer) -> String {
    let task = answer.task.clone().unwrap_or_default();
    let place = task.place.clone().unwrap_or_default();
    let whose = if task.service.is_empty() {
        format!("group {}", answer.group)
    } else {
        format!("service {}", task.service)
    };
    let mut head = vec![
        format!("task {} of {whose} in cluster {}, made from {}", task.id, task.cluster, task.definition),
        format!(
            "{} on {} ({}) since {}",
            task.last_status,
            forecast::name_of(Some(&place)),
            place.zone,
            output::date(answer.created_at_millis)
        ),
    ];
    if answer.forgotten {
        head.push("It was forgotten since; this is what was known when it was placed.".to_owned());
    }
    if let Some(at) = answer.started_at_millis {
        head.push(format!("RUNNING from {}", output::date(at)));
    }
    if let Some(at) = answer.stopping_at_millis {
        head.push(format!("to stop from {}: {} ({})", output::date(at), task.stopped_reason, task.stop_code));
    }
    let mut parts = vec![head.join("\n")];
    if answer.containers.iter().any(|one| one.exit_code.is_some() || !one.reason.is_empty()) {
        let rows = answer.containers.iter().map(|one| {
            let code = one.exit_code.map_or_else(String::new, |code| code.to_string());
            vec![one.name.clone(), one.status.clone(), code, one.reason.clone()]
        });
        parts.push(output::table(&["container", "status", "exit code", "reason"], rows));
    }
    match answer.before {
        Some(before) => parts.push(format!(
            "Just before it was placed (event {}) the container instances said:\n{}",
            before.sequence,
            forecast::nodes(&answer.nodes)
        )),
        None => parts.push(format!("What the container instances said is not known: {}", answer.not_known)),
    }
    let failed = ["TaskFailedToStart", "EssentialContainerExited"].contains(&task.stop_code.as_str());
    if failed {
        parts.push(format!("next: trireme logs {}", task.id));
    }
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use trireme_rpc::explain::{NodeAnswer, Place, TaskBrief};

    use super::*;

    fn answer() -> TaskAnswer {
        let place =
            |name: &str| Place { name: name.to_owned(), zone: "us-east-1a".to_owned(), ..Place::default() };
        let task = TaskBrief {
            id: "0123".to_owned(),
            service: "web".to_owned(),
            cluster: "default".to_owned(),
            definition: "web:1".to_owned(),
            place: Some(place("us-east-1a/agent-1")),
            last_status: "STOPPED".to_owned(),
            stop_code: "EssentialContainerExited".to_owned(),
            stopped_reason: "Essential container in task exited".to_owned(),
            ..TaskBrief::default()
        };
        let chosen = NodeAnswer {
            place: Some(place("us-east-1a/agent-1")),
            chosen: true,
            score: "0 tasks in us-east-1a".to_owned(),
            ..NodeAnswer::default()
        };
        let refused = NodeAnswer {
            place: Some(place("us-east-1a/agent-2")),
            refused_code: "RESOURCE:CPU".to_owned(),
            refused_reason: "cpu: wants 600 units, 424 free".to_owned(),
            ..NodeAnswer::default()
        };
        TaskAnswer {
            task: Some(task),
            stopping_at_millis: Some(1_700_000_000_000),
            before: Some(Point { sequence: 17, at_millis: 1 }),
            nodes: vec![chosen, refused],
            ..TaskAnswer::default()
        }
    }

    #[test]
    fn it_says_where_why_and_what_next() {
        let text = text(&answer());
        assert!(text.contains("STOPPED on us-east-1a/agent-1 (us-east-1a)"), "{text}");
        assert!(text.contains("Essential container in task exited (EssentialContainerExited)"), "{text}");
        assert!(text.contains("before it was placed (event 17)"), "{text}");
        assert!(text.contains("cpu: wants 600 units, 424 free (RESOURCE:CPU)"), "{text}");
        assert!(text.ends_with("next: trireme logs 0123"), "{text}");
    }

    #[test]
    fn what_is_not_kept_is_said() {
        let gone =
            TaskAnswer { before: None, not_known: "the history begins at event 900".to_owned(), ..answer() };
        assert!(text(&gone).contains("is not known: the history begins at event 900"));
    }
}
