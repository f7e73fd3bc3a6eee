//! One service: what is missing of it, and why.

use std::sync::Arc;

use tonic::Status;
use trireme_controllers::explain::{self, Cause, Missing};
use trireme_rpc::explain::{Missing as WireMissing, ServiceAnswer, ServiceEvent};
use trireme_scheduler::{Answer, NodeAnswer};
use trireme_state::State;
use trireme_state::object::{LifecycleStage, ServiceKey, Task};
use trireme_types::Timestamp;

use super::wire;

/// Events that are shown.
const EVENTS: usize = 10;
/// Tasks that are named.
const TASKS: usize = 100;

pub(super) fn explain(state: &State, key: &ServiceKey, at: Timestamp) -> Result<ServiceAnswer, Status> {
    let none =
        || Status::not_found(format!("there is no service {} in cluster {}", key.name, key.cluster.name));
    let service = state.service(key).ok_or_else(none)?;
    let answer = explain::service::explain(state, service, at);
    let brief = |task: &Arc<Task>| wire::brief(state, task);
    let event = |event: &trireme_state::object::ServiceEvent| ServiceEvent {
        at_millis: event.created_at.millis(),
        message: event.message.clone(),
    };
    Ok(ServiceAnswer {
        service: Some(crate::operator::to_service(state, service)),
        missing: answer.missing.into_iter().map(missing).collect(),
        outgoing: answer.outgoing.iter().take(TASKS).map(brief).collect(),
        failed: answer.failed.iter().map(brief).collect(),
        events: service.events.iter().take(EVENTS).map(event).collect(),
    })
}

fn missing(missing: Missing) -> WireMissing {
    let mut sent = WireMissing {
        deployment: missing.unit.to_string(),
        tasks: wire::count(missing.tasks),
        ..WireMissing::default()
    };
    let (cause, text) = match &missing.cause {
        Cause::NoPlace(answers) => ("NO_PLACE", no_place(answers)),
        Cause::BackOff { failures, .. } => {
            ("BACK_OFF", format!("tasks failed {failures} times in a row; none starts until then"))
        }
        Cause::Limits { maximum, minimum } => (
            "LIMITS",
            format!(
                "at most {maximum} tasks may be there at a time, and at least {minimum} have to be healthy"
            ),
        ),
        Cause::Starting(_) => ("STARTING", "placed, and not RUNNING yet".to_owned()),
        Cause::Health { .. } => {
            ("HEALTH", "RUNNING, and not healthy yet: older tasks stay until then".to_owned())
        }
        Cause::Hook { stage, hook, .. } => {
            let stage = stage.name();
            (
                "HOOK",
                format!(
                    "the deployment waits in stage {stage} for ContinueServiceDeployment with hookId {hook}"
                ),
            )
        }
        Cause::Stage { stage, .. } => ("STAGE", in_stage(*stage)),
        Cause::Failed => {
            ("FAILED", "the deployment has failed: nothing of it is started any more".to_owned())
        }
        Cause::NoDefinition => ("NO_DEFINITION", "the task definition is gone".to_owned()),
        Cause::Nothing => ("NOTHING", "started with the next look of the controllers".to_owned()),
    };
    (sent.cause, sent.text) = (cause.to_owned(), text);
    match missing.cause {
        Cause::NoPlace(answers) => sent.nodes = wire::nodes(answers),
        Cause::BackOff { until, .. } => sent.until_millis = Some(until.millis()),
        Cause::Hook { until, .. } => sent.until_millis = Some(until.millis()),
        Cause::Health { until } | Cause::Stage { until, .. } => {
            sent.until_millis = until.map(Timestamp::millis);
        }
        Cause::Starting(tasks) => sent.task_ids = tasks.iter().take(TASKS).map(ToString::to_string).collect(),
        Cause::Limits { .. } | Cause::Failed | Cause::NoDefinition | Cause::Nothing => {}
    }
    sent
}

fn in_stage(stage: Option<LifecycleStage>) -> String {
    match stage {
        Some(LifecycleStage::BakeTime) => "they run; the deployment bakes".to_owned(),
        Some(stage) => format!("the deployment is in stage {}; its tasks start in SCALE_UP", stage.name()),
        None => "the deployment begins; its tasks start in SCALE_UP".to_owned(),
    }
}

/// The first answer is of the machine that came closest.
fn no_place(answers: &[NodeAnswer]) -> String {
    match answers.first() {
        Some(NodeAnswer { name, zone, answer: Answer::Refused { refusal, .. }, .. }) => {
            format!("no container instance takes one; the closest is {name} ({zone}): {refusal}")
        }
        Some(_) => "there is a place now".to_owned(),
        None => "the cluster has no container instances".to_owned(),
    }
}
