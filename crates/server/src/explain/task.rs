//! One task: where it is, what each machine said just before it was placed there, and why it stopped.

use std::sync::Arc;

use tonic::Status;
use trireme_controllers::explain;
use trireme_raft::RaftStore;
use trireme_rpc::explain::{Container, TaskAnswer};
use trireme_state::object::{DesiredStatus, Launch, PlacementRules, Task};
use trireme_state::{Event, State};
use trireme_types::{Sequence, TaskId, Timestamp};

use super::Turn;
use super::moment::{self, Seen};
use super::wire;

/// Records that are read at once.
const PART: usize = 4_096;
/// Records that are read for a task of which not even the time is known.
const SEARCHED: u64 = 1_000_000;

/// Explains a task as it is in `seen`, or as it was placed if it was forgotten by then.
pub(super) async fn explain(
    store: &RaftStore,
    seen: &Seen,
    id: TaskId,
    turn: &Turn,
) -> Result<TaskAnswer, Status> {
    let known = seen.state.task(id).cloned();
    let how = How { rules: seen.state.placement_rules(id), launch: seen.state.launch(id).cloned() };
    let last = seen.state.position().sequence;
    let found = match &known {
        Some(task) => match created_about(store, task.times.created_at).await {
            Ok(about) => created(store, id, about, last).await,
            Err(why) => Err(why),
        },
        None => search(store, id, last).await,
    };
    let (task, state, answer) = match (known, found) {
        (Some(task), Ok((sequence, _))) => {
            (task, seen.state.clone(), before(store, sequence, id, (&how, turn)).await)
        }
        (Some(task), Err(why)) => (task, seen.state.clone(), Err(why)),
        (None, Ok((sequence, task))) => {
            let answer = before(store, sequence, id, (&how, turn)).await;
            let state = answer.as_ref().map_or_else(|_| seen.state.clone(), |(state, ..)| state.clone());
            (task, state, answer)
        }
        (None, Err(why)) => return Err(why),
    };
    let mut sent = describe(&state, &task);
    sent.forgotten = seen.state.task(id).is_none();
    match answer {
        Ok((state, nodes)) => {
            let point = Seen { at: state.clock(), state }.point();
            (sent.before, sent.nodes) = (Some(point), nodes);
        }
        Err(why) => sent.not_known = why.message().to_owned(),
    }
    Ok(sent)
}

/// The first event at the time when a task was created.
async fn created_about(store: &RaftStore, at: Timestamp) -> Result<Sequence, Status> {
    let earlier = Timestamp::from_millis(at.millis().saturating_sub(1));
    match moment::last_up_to(store, earlier).await {
        Ok(last) => Ok(last.next()),
        // Before the very first event there is nothing.
        Err(_) if store.history_extent().first() <= Sequence::new(1) => Ok(Sequence::new(1)),
        Err(why) => Err(why),
    }
}

/// The event that created a task, from `from` on.
async fn created(
    store: &RaftStore,
    id: TaskId,
    from: Sequence,
    last: Sequence,
) -> Result<(Sequence, Arc<Task>), Status> {
    let first = store.history_extent().first();
    let mut next = from.max(first);
    loop {
        let records = store.records(next, PART).await.map_err(|error| moment::refusal(&error))?;
        let created = records.iter().find_map(|record| match &record.event {
            Event::TaskCreated { task } if task.id == id => Some((record.sequence, (**task).clone())),
            _ => None,
        });
        if let Some((sequence, task)) = created {
            return Ok((sequence, Arc::new(task)));
        }
        match records.last() {
            Some(record) if record.sequence < last => next = record.sequence.next(),
            _ if first > Sequence::new(1) => {
                let text = format!(
                    "when task {id} was placed is no longer kept: the history begins at event {first}"
                );
                return Err(Status::out_of_range(text));
            }
            _ => return Err(Status::not_found(format!("there is no task {id}"))),
        }
    }
}

/// The same for a task of which nothing is known, in the newest part of the history.
async fn search(store: &RaftStore, id: TaskId, last: Sequence) -> Result<(Sequence, Arc<Task>), Status> {
    let from = Sequence::new(last.get().saturating_sub(SEARCHED)).next();
    created(store, id, from, last).await.map_err(|status| match status.code() {
        tonic::Code::OutOfRange => {
            Status::not_found(format!("there is no task {id} in what is kept of the history"))
        }
        _ => status,
    })
}

type Before = (Arc<State>, Vec<trireme_rpc::explain::NodeAnswer>);

/// How RunTask placed a task.
#[derive(Clone)]
struct How {
    rules: Arc<PlacementRules>,
    launch: Option<Launch>,
}

/// The state before the event that created a task, and what each machine said then.
async fn before(
    store: &RaftStore,
    created: Sequence,
    id: TaskId,
    (how, turn): (&How, &Turn),
) -> Result<Before, Status> {
    let seen = moment::as_of(store, Sequence::new(created.get().saturating_sub(1))).await?;
    let records = store.records(created, 1).await.map_err(|error| moment::refusal(&error))?;
    let task = records.into_iter().find_map(|record| match record.event {
        Event::TaskCreated { task } if task.id == id => Some(task),
        _ => None,
    });
    let gone = || Status::unavailable("the event that created the task cannot be read");
    let task = task.ok_or_else(gone)?;
    let how = how.clone();
    super::work_out(Arc::clone(turn), move || {
        let none = || Status::failed_precondition("what it was made from was gone by then");
        let nodes = explain::task::placement(&seen.state, &task, (&how.rules, how.launch.as_ref()));
        let nodes = nodes.ok_or_else(none)?;
        Ok((seen.state, wire::nodes(nodes)))
    })
    .await
}

fn describe(state: &State, task: &Task) -> TaskAnswer {
    let containers = task.containers.iter().map(|container| Container {
        name: container.name.to_string(),
        status: container.status.as_str().to_owned(),
        exit_code: container.exit_code,
        reason: container.reason.clone().unwrap_or_default(),
    });
    let desired = match task.desired_status {
        DesiredStatus::Running => "RUNNING",
        DesiredStatus::Stopped => "STOPPED",
    };
    TaskAnswer {
        task: Some(wire::brief(state, task)),
        deployment: task.deployment().map(|id| id.to_string()).unwrap_or_default(),
        group: task.group.clone(),
        desired_status: desired.to_owned(),
        created_at_millis: task.times.created_at.millis(),
        started_at_millis: task.times.started_at.map(Timestamp::millis),
        stopping_at_millis: task.times.stopping_at.map(Timestamp::millis),
        containers: containers.collect(),
        ..TaskAnswer::default()
    }
}
