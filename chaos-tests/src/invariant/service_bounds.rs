//! I6: a service never has more tasks that are to run than its maximum allows, and a task's status never goes back. Told from
//! the stream of events, after each one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Finding;
use crate::history::Event;

/// The statuses in their order.
const ORDER: [&str; 8] = [
    "Provisioning",
    "Pending",
    "Activating",
    "Running",
    "Deactivating",
    "Stopping",
    "Deprovisioning",
    "Stopped",
];
/// The place of RUNNING in [`status_of`]'s order.
pub(crate) const RUNNING: usize = 3;

#[derive(Default)]
struct Model {
    /// By task: its service, and how far it is.
    tasks: BTreeMap<String, (Option<String>, usize)>,
    /// By service: the most tasks that may be to run.
    maximum: BTreeMap<String, u64>,
    /// By service: the tasks that are to run.
    to_run: BTreeMap<String, u64>,
    most: BTreeMap<String, u64>,
    broken: Vec<String>,
}

/// Looks at the events from the first of the cluster on.
pub fn check(events: &[Event]) -> Finding {
    if events.is_empty() {
        return Finding::open("I6", "no event was read");
    }
    let mut model = Model::default();
    for event in events {
        model.take(event);
    }
    let most: Vec<String> = model
        .most
        .iter()
        .map(|(name, most)| {
            format!("{name} at most {most} of {}", model.maximum.get(name).copied().unwrap_or(0))
        })
        .collect();
    let text = match model.broken.first() {
        None => format!("tasks to run: {}; no status went back", most.join(", ")),
        Some(first) => format!("{} violations, the first: {first}", model.broken.len()),
    };
    Finding::new("I6", model.broken.is_empty(), text)
}

impl Model {
    fn take(&mut self, event: &Event) {
        let body = &event.body;
        match event.kind.as_str() {
            "ServiceCreated" | "ServiceUpdated" => self.service(body),
            "TaskCreated" => self.created(event, &body["task"]),
            "TaskStopRequested" | "TaskLost" => self.is_to_stop(body["task"].as_str().unwrap_or_default()),
            "TaskProgressed" => self.progressed(event, &body["report"]),
            _ => {}
        }
    }

    fn service(&mut self, body: &Value) {
        let name = body["key"]["name"].as_str().unwrap_or_default().to_owned();
        let spec = &body["spec"];
        let desired = spec["desired_count"].as_u64().unwrap_or(0);
        let percent = spec["deployment_configuration"]["maximum_percent"].as_u64().unwrap_or(200);
        // A service that shrinks has its surplus for a moment; what it was allowed, it may still have.
        let maximum = self.maximum.entry(name).or_default();
        *maximum = (*maximum).max(desired * percent / 100);
    }

    fn created(&mut self, event: &Event, task: &Value) {
        let id = text(&task["id"]);
        let service = service_of(task);
        if let Some(service) = &service {
            let count = self.to_run.entry(service.clone()).or_default();
            *count += 1;
            let most = self.most.entry(service.clone()).or_default();
            *most = (*most).max(*count);
            let maximum = self.maximum.get(service).copied().unwrap_or(u64::MAX);
            if *count > maximum {
                self.broken
                    .push(format!("event {}: {count} tasks of {service}, {maximum} allowed", event.sequence));
            }
        }
        self.tasks.insert(id, (service, 0));
    }

    /// The first of several words that a task is to stop counts.
    fn is_to_stop(&mut self, id: &str) {
        if let Some((service, _)) = self.tasks.get_mut(id)
            && let Some(service) = service.take()
        {
            self.to_run.entry(service).and_modify(|count| *count -= 1);
        }
    }

    fn progressed(&mut self, event: &Event, report: &Value) {
        let id = text(&report["task"]);
        let Some(status) = status_of(report) else { return };
        if let Some((_, before)) = self.tasks.get_mut(&id) {
            if status < *before {
                self.broken.push(format!(
                    "event {}: task {id} went from {} to {}",
                    event.sequence, ORDER[*before], ORDER[status]
                ));
            }
            *before = (*before).max(status);
        }
        if status >= 5 {
            self.is_to_stop(&id);
        }
    }
}

/// An id, in whichever way it is written.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The service that a task was made for.
pub(crate) fn service_of(task: &Value) -> Option<String> {
    let name = ["service", "group"].iter().find_map(|field| match &task[*field] {
        Value::String(name) => Some(name.clone()),
        value => value["name"].as_str().map(str::to_owned),
    })?;
    Some(name.strip_prefix("service:").unwrap_or(&name).to_owned())
}

/// How far a report has a task, by the order of its statuses.
pub(crate) fn status_of(report: &Value) -> Option<usize> {
    let status = report["status"].as_str().or(report["last_status"].as_str())?;
    ORDER.iter().position(|known| known.eq_ignore_ascii_case(status))
}
