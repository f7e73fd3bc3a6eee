//! What ECS says happened, as EventBridge's events: of the history's events, and of the state before and after each.
//!
//! Detail types: ECS Task State Change, ECS Container Instance State Change (both with `detail.version`), ECS Service Action, ECS
//! Deployment State Change; and Scheduled Event, which is for one rule alone. An event's id follows from the history: the same event has
//! the same id however often it is delivered.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use trireme_state::event::ScheduleEvent;
use trireme_state::object::{
    ContainerInstance, Deployment, RolloutState, RuleKey, ServiceKey, Task, TaskStatus, Trigger,
};
use trireme_state::query::uuid;
use trireme_state::store::Record;
use trireme_state::{ChainHash, Event, State};
use trireme_types::{ContainerInstanceId, Scope, Timestamp};

use crate::convert::{cluster, container_instance, service, task};

/// By what a service's event is known that says that a task found no place.
const UNPLACED: &str = " was unable to place a task";

/// An event of the event bus.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// Whose bus.
    pub scope: Scope,
    /// The rule that it is for, whatever patterns say; `None`: for all whose pattern means it.
    pub only: Option<RuleKey>,
    /// All of it, as JSON.
    pub event: Arc<Value>,
}

/// What is said of one event of the history, which turned `before` into `after`. `whole` is the state after all events of its entry: what belongs to a
/// task, such as where it was launched, may be said in another of them.
pub fn emitted(before: &State, after: &State, whole: &State, record: &Record) -> Vec<Emitted> {
    let mut all = Emission { before, after, whole, record, all: Vec::new() };
    all.scheduled();
    all.tasks();
    all.services();
    all.all
}

struct Emission<'a> {
    before: &'a State,
    after: &'a State,
    whole: &'a State,
    record: &'a Record,
    all: Vec<Emitted>,
}

/// An event's id: the same for the same event, and no other's.
fn id(hash: ChainHash, number: usize) -> String {
    let first: [u8; 16] = std::array::from_fn(|at| hash.0[at]);
    uuid(u128::from_be_bytes(first) ^ number as u128)
}

/// EventBridge tells times to the second.
fn second(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(second, _)| format!("{second}Z"))
}

/// ECS's API has times as numbers, its events as texts.
fn with_texts(mut detail: Value) -> Value {
    match &mut detail {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                *value = match value.as_f64().filter(|_| name.ends_with("At")) {
                    Some(seconds) => {
                        Timestamp::from_millis((seconds * 1000.0).round() as u64).to_string().into()
                    }
                    None => with_texts(value.take()),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = with_texts(item.take())),
        _ => {}
    }
    detail
}

impl Emission<'_> {
    fn say(&mut self, scope: &Scope, sort: &str, resource: String, detail: Value) {
        let event = self.event(("aws.ecs", sort), scope, self.record.at, resource, detail);
        self.all.push(Emitted { scope: scope.clone(), only: None, event: Arc::new(event) });
    }

    fn event(
        &self,
        (source, sort): (&str, &str),
        scope: &Scope,
        at: Timestamp,
        resource: String,
        detail: Value,
    ) -> Value {
        json!({
            "version": "0",
            "id": id(self.record.hash, self.all.len()),
            "detail-type": sort,
            "source": source,
            "account": scope.account.to_string(),
            "time": second(at),
            "region": scope.region.to_string(),
            "resources": [resource],
            "detail": detail,
        })
    }

    /// A rule's time has come.
    fn scheduled(&mut self) {
        let Event::Schedule(ScheduleEvent::TriggerFired { trigger: Trigger::Rule(rule), due, .. }) =
            &self.record.event
        else {
            return;
        };
        let event =
            self.event(("aws.events", "Scheduled Event"), &rule.scope, *due, super::arn(rule), json!({}));
        self.all.push(Emitted {
            scope: rule.scope.clone(),
            only: Some(rule.clone()),
            event: Arc::new(event),
        });
    }

    /// Tasks that changed, and the machines whose room they take or leave.
    fn tasks(&mut self) {
        let mut machines: BTreeSet<ContainerInstanceId> = self.after.instances_changed_since(self.before);
        for id in self.after.tasks_changed_since(self.before) {
            let Some(task) = self.after.task(id).cloned() else { continue };
            let before = self.before.task(id);
            let ends = |task: &Task| task.last_status == TaskStatus::Stopped;
            if before.is_none_or(|before| ends(before) != ends(&task)) {
                machines.insert(task.instance);
            }
            self.task(&task);
        }
        for id in machines {
            let gone = || self.before.instance(id).map(|instance| (instance, self.before, true));
            let there = self.after.instance(id).map(|instance| (instance, self.after, false)).or_else(gone);
            if let Some((instance, state, gone)) = there {
                let instance = instance.clone();
                self.machine(&instance, state, gone);
            }
        }
    }

    fn task(&mut self, task: &Task) {
        let shown = task::describe(self.whole, task, false);
        let Ok(Value::Object(mut detail)) = serde_json::to_value(shown).map(with_texts) else { return };
        detail.remove("tags");
        detail.insert("updatedAt".to_owned(), self.record.at.to_string().into());
        let arn = task::arn(&task.cluster, task.id);
        self.say(&task.cluster.scope, "ECS Task State Change", arn, Value::Object(detail));
    }

    fn machine(&mut self, instance: &ContainerInstance, state: &State, gone: bool) {
        // The managed pool's machines are nobody's.
        if instance.registration.cluster.is_managed_pool() {
            return;
        }
        let shown = container_instance::describe(state, instance, false);
        let Ok(Value::Object(mut detail)) = serde_json::to_value(shown).map(with_texts) else { return };
        detail.remove("tags");
        let cluster = &instance.registration.cluster;
        detail.insert("clusterArn".to_owned(), cluster::arn(cluster).into());
        detail.insert("updatedAt".to_owned(), self.record.at.to_string().into());
        if gone {
            detail.insert("status".to_owned(), "INACTIVE".into());
            detail.insert("agentConnected".to_owned(), false.into());
        }
        let arn = container_instance::arn(cluster, instance.id);
        self.say(&cluster.scope, "ECS Container Instance State Change", arn, Value::Object(detail));
    }

    fn services(&mut self) {
        match &self.record.event {
            Event::ServiceSteadinessChanged { key, steady: true } => {
                self.action(key, "INFO", "SERVICE_STEADY_STATE", None);
            }
            Event::ServiceEventRecorded { key, message, .. } if message.contains(UNPLACED) => {
                self.action(key, "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", Some(message));
            }
            _ => {}
        }
        for key in self.after.services_changed_since(self.before) {
            let deployments = |state: &State| {
                state.service(&key).map(|service| service.deployments.clone()).unwrap_or_default()
            };
            let before = deployments(self.before);
            for deployment in deployments(self.after) {
                let was = before.iter().find(|one| one.id == deployment.id);
                if deployment.back_off.is_some() && was.is_some_and(|was| was.back_off.is_none()) {
                    self.action(&key, "WARN", "SERVICE_TASK_START_IMPAIRED", None);
                }
                if was.is_none_or(|was| was.rollout != deployment.rollout) {
                    self.deployment(&key, &deployment);
                }
            }
        }
    }

    fn action(&mut self, key: &ServiceKey, level: &str, name: &str, reason: Option<&str>) {
        let mut detail = json!({
            "eventType": level,
            "eventName": name,
            "clusterArn": cluster::arn(&key.cluster),
            "createdAt": self.record.at.to_string(),
        });
        if let (Some(reason), Value::Object(members)) = (reason, &mut detail) {
            members.insert("reason".to_owned(), reason.into());
        }
        self.say(&key.cluster.scope, "ECS Service Action", service::arn(key), detail);
    }

    fn deployment(&mut self, key: &ServiceKey, deployment: &Deployment) {
        let (level, name, what) = match deployment.rollout {
            RolloutState::InProgress => ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS", "in progress"),
            RolloutState::Completed => ("INFO", "SERVICE_DEPLOYMENT_COMPLETED", "completed"),
            RolloutState::Failed => ("ERROR", "SERVICE_DEPLOYMENT_FAILED", "failed"),
        };
        let detail = json!({
            "eventType": level,
            "eventName": name,
            "deploymentId": deployment.id.to_string(),
            "updatedAt": self.record.at.to_string(),
            "reason": format!("ECS deployment {} {what}.", deployment.id),
        });
        self.say(&key.cluster.scope, "ECS Deployment State Change", service::arn(key), detail);
    }
}
