//! Parts of answers that several of them have.

use trireme_rpc::explain as wire;
use trireme_scheduler::{Answer, NodeAnswer, NodeRefusal};
use trireme_state::State;
use trireme_state::object::{Task, TaskDefinitionKey};
use trireme_types::{ContainerInstanceId, Timestamp, Zone};

/// What machines say that are sent at most: those that come first are the ones of interest.
const NODES: usize = 1_000;

pub(super) fn definition(key: &TaskDefinitionKey) -> String {
    if key.is_none() { "-".to_owned() } else { format!("{}:{}", key.family, key.revision) }
}

/// Where something is. Of a machine that is gone only the id is known, and what the task says of its zone.
pub(super) fn place(state: &State, id: ContainerInstanceId, zone: &Zone) -> wire::Place {
    let name = state.instance(id).map(|instance| instance.registration.name.clone());
    wire::Place { instance_id: id.to_string(), name: name.unwrap_or_default(), zone: zone.to_string() }
}

pub(super) fn brief(state: &State, task: &Task) -> wire::TaskBrief {
    wire::TaskBrief {
        id: task.id.to_string(),
        service: task.service().map(|key| key.name.to_string()).unwrap_or_default(),
        cluster: task.cluster.name.to_string(),
        definition: definition(&task.definition),
        place: Some(place(state, task.instance, &task.zone)),
        last_status: task.last_status.as_str().to_owned(),
        stop_code: task.stop_code.map(|code| code.as_str().to_owned()).unwrap_or_default(),
        stopped_reason: task.stopped_reason.clone().unwrap_or_default(),
        stopped_at_millis: task.times.stopped_at.map_or(0, Timestamp::millis),
    }
}

pub(super) fn nodes(answers: Vec<NodeAnswer>) -> Vec<wire::NodeAnswer> {
    answers.into_iter().take(NODES).map(node).collect()
}

fn node(answer: NodeAnswer) -> wire::NodeAnswer {
    let place = wire::Place {
        instance_id: answer.instance.to_string(),
        name: answer.name,
        zone: answer.zone.to_string(),
    };
    let (refused_code, refused_reason, score) = match answer.answer {
        Answer::Refused { refusal, .. } => {
            (refusal.ecs_reason().to_owned(), refusal.to_string(), String::new())
        }
        Answer::Scored(score) => (String::new(), String::new(), score.to_string()),
    };
    wire::NodeAnswer { place: Some(place), chosen: answer.chosen, refused_code, refused_reason, score }
}

/// Refusals of a task that no machine takes.
pub(super) fn refusals(refusals: &[NodeRefusal]) -> Vec<wire::NodeAnswer> {
    let answer = |one: &NodeRefusal| wire::NodeAnswer {
        place: Some(wire::Place {
            instance_id: one.instance.to_string(),
            name: one.name.clone(),
            zone: one.zone.to_string(),
        }),
        chosen: false,
        refused_code: one.refusal.ecs_reason().to_owned(),
        refused_reason: one.refusal.to_string(),
        score: String::new(),
    };
    refusals.iter().take(NODES).map(answer).collect()
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
