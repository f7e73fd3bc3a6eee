//! What changed between two states: services and their deployments, tasks, container instances.

use std::sync::Arc;

use trireme_rpc::explain::{Change, DiffResponse};
use trireme_state::State;
use trireme_state::object::{
    ContainerInstance, InstanceStatus, RolloutState, Service, ServiceStatus, StopCode, Task, TaskStatus,
};

use super::moment::Seen;
use super::wire;

/// Changes that are sent.
const CHANGES: usize = 10_000;

#[derive(Default)]
struct Changes {
    all: Vec<Change>,
    left_out: u64,
}

impl Changes {
    fn say(&mut self, kind: &str, subject: &str, what: &str, from: impl ToString, to: impl ToString) {
        if self.all.len() >= CHANGES {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.all.push(Change {
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            what: what.to_owned(),
            from: from.to_string(),
            to: to.to_string(),
        });
    }

    /// Says it if it changed.
    fn compare<T: ToString + PartialEq>(
        &mut self,
        kind: &str,
        subject: &str,
        what: &str,
        (from, to): (T, T),
    ) {
        if from != to {
            self.say(kind, subject, what, from, to);
        }
    }
}

/// What is other in `to` than it was in `from`.
pub(super) fn between(from: &Seen, to: &Seen) -> DiffResponse {
    let mut changes = Changes::default();
    services(&from.state, &to.state, &mut changes);
    instances(&from.state, &to.state, &mut changes);
    tasks(&from.state, &to.state, &mut changes);
    DiffResponse {
        from: Some(from.point()),
        to: Some(to.point()),
        changes: changes.all,
        left_out: changes.left_out,
    }
}

fn services(from: &State, to: &State, changes: &mut Changes) {
    for service in to.services() {
        match from.service(&service.key) {
            Some(before) => service_changed((from, before), (to, service), changes),
            None => {
                let definition = wire::definition(&service.spec.task_definition);
                let text = format!("{definition}, {} desired", service.spec.desired_count);
                changes.say("service", &service_name(service), "created", "", text);
            }
        }
    }
    for gone in from.services().filter(|service| to.service(&service.key).is_none()) {
        changes.say("service", &service_name(gone), "forgotten", service_status(gone), "");
    }
}

fn service_name(service: &Service) -> String {
    format!("{}/{}", service.key.cluster.name, service.key.name)
}

fn service_status(service: &Service) -> &'static str {
    match service.status {
        ServiceStatus::Active => "ACTIVE",
        ServiceStatus::Draining => "DRAINING",
        ServiceStatus::Inactive => "INACTIVE",
    }
}

fn service_changed(
    (from, before): (&State, &Arc<Service>),
    (to, after): (&State, &Arc<Service>),
    changes: &mut Changes,
) {
    let name = service_name(after);
    let mut compare = |what: &str, pair: (String, String)| changes.compare("service", &name, what, pair);
    let running = |state: &State| state.index().service_load(&after.key).counts().running.to_string();
    compare("status", (service_status(before).to_owned(), service_status(after).to_owned()));
    compare("desired", (before.spec.desired_count.to_string(), after.spec.desired_count.to_string()));
    let definitions = (&before.spec.task_definition, &after.spec.task_definition);
    compare("task definition", (wire::definition(definitions.0), wire::definition(definitions.1)));
    compare("running", (running(from), running(to)));
    for deployment in &after.deployments {
        let subject = format!("{name}/{}", deployment.id);
        match before.deployments.iter().find(|known| known.id == deployment.id) {
            Some(known) => {
                let states = (rollout(known.rollout), rollout(deployment.rollout));
                changes.compare("deployment", &subject, "rollout", states);
            }
            None => {
                let definition = wire::definition(&deployment.task_definition);
                changes.say("deployment", &subject, "began", "", definition);
            }
        }
    }
    for known in &before.deployments {
        if !after.deployments.iter().any(|one| one.id == known.id) {
            let subject = format!("{name}/{}", known.id);
            changes.say("deployment", &subject, "is over", wire::definition(&known.task_definition), "");
        }
    }
}

fn rollout(state: RolloutState) -> &'static str {
    match state {
        RolloutState::InProgress => "IN_PROGRESS",
        RolloutState::Completed => "COMPLETED",
        RolloutState::Failed => "FAILED",
    }
}

fn instance_status(state: &State, instance: &ContainerInstance) -> &'static str {
    match instance.status {
        _ if !instance.connected => "lost",
        _ if !state.is_present(instance) => "absent",
        InstanceStatus::Active => "ACTIVE",
        InstanceStatus::Draining => "DRAINING",
    }
}

fn instances(from: &State, to: &State, changes: &mut Changes) {
    for instance in to.instances() {
        let name = &instance.registration.name;
        match from.instance(instance.id) {
            Some(before) => {
                let states = (instance_status(from, before), instance_status(to, instance));
                changes.compare("instance", name, "status", states);
            }
            None => changes.say("instance", name, "registered", "", &instance.registration.zone),
        }
    }
    for gone in from.instances().filter(|instance| to.instance(instance.id).is_none()) {
        changes.say("instance", &gone.registration.name, "deregistered", &gone.registration.zone, "");
    }
}

fn tasks(from: &State, to: &State, changes: &mut Changes) {
    for task in to.tasks() {
        let id = task.id.to_string();
        let before = from.task(task.id);
        if before.is_none() {
            changes.say("task", &id, "started", "", of(to, task));
        }
        let was_over = before.is_some_and(|task| task.last_status == TaskStatus::Stopped);
        if task.last_status == TaskStatus::Stopped && !was_over {
            let what =
                if task.stop_code == Some(StopCode::InfrastructureHealth) { "lost" } else { "stopped" };
            changes.say("task", &id, what, of(to, task), task.stopped_reason.as_deref().unwrap_or_default());
        } else if let Some(before) = before {
            let states = (before.last_status.as_str(), task.last_status.as_str());
            changes.compare("task", &id, "status", states);
        }
    }
    let gone = |task: &&Arc<Task>| task.last_status != TaskStatus::Stopped && to.task(task.id).is_none();
    for task in from.tasks().filter(gone) {
        changes.say("task", &task.id.to_string(), "stopped and forgotten", of(from, task), "");
    }
}

/// Of what and where a task is.
fn of(state: &State, task: &Task) -> String {
    let whose = task.service().map_or_else(|| task.group.clone(), |key| key.name.to_string());
    let place = wire::place(state, task.instance, &task.zone);
    format!("{whose} {} on {} ({})", wire::definition(&task.definition), place.name, place.zone)
}
