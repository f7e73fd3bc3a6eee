//! Deciding: a command and the state that it meets become events, or a rejection. Runs once, on the leader.
//!
//! Reading order: [`decide`] (repeats, then one room for each kind of command) · `cluster` · `task_definition` · `service` ·
//! `progress` · `task` · `instance` · `tag` · `operator`.

mod cluster;
mod instance;
mod operator;
mod progress;
mod service;
mod tag;
mod task;
mod task_definition;

use trireme_types::planted;

use crate::command::{Command, IdempotencyKey, Outcome, Proposal};
use crate::limits::{EVENTS_PER_COMMAND, REQUESTS_MAX};
use crate::{Event, Rejection, Stamp, State};

/// What a command comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What happens. None: success without a change.
    pub events: Vec<Event>,
    /// What the caller is told.
    pub outcome: Outcome,
}

impl Decision {
    fn nothing() -> Self {
        Self::default()
    }

    fn one(event: Event) -> Self {
        Self { events: vec![event], outcome: Outcome::Done }
    }

    fn of(events: Vec<Event>) -> Self {
        Self { events, outcome: Outcome::Done }
    }
}

type Decided = Result<Decision, Rejection>;

/// Decides a command against `state`. A repeat of an API write gives the first one's outcome and no events.
///
/// # Errors
/// The rejection says why nothing may change.
pub fn decide(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Decided {
    if let Some(key) = &proposal.key
        && let Some(recorded) = state.recorded_request(key)
        && !planted::is("retry-decided-twice")
    {
        return if recorded.parameters == key.parameters {
            Ok(Decision { events: Vec::new(), outcome: recorded.outcome.clone() })
        } else {
            Err(Rejection::IdempotencyConflict { resources: made(&recorded.outcome) })
        };
    }
    let mut decision = decide_command(state, &proposal.command, stamp)?;
    if proposal.key.is_some() && state.request_order.len() >= REQUESTS_MAX {
        return Err(Rejection::LimitExceeded {
            what: "writes within a minute".to_owned(),
            limit: REQUESTS_MAX as u64,
        });
    }
    if let Some(key) = &proposal.key {
        remember(&mut decision, key);
    }
    let unreadable = decision.events.iter().map(Event::level).find(|level| *level > state.level);
    if let Some(needed) = unreadable {
        return Err(Rejection::FeatureLevel { needed, level: state.level });
    }
    if decision.events.len() > EVENTS_PER_COMMAND {
        return Err(Rejection::LimitExceeded {
            what: "events of one command".to_owned(),
            limit: EVENTS_PER_COMMAND as u64,
        });
    }
    Ok(decision)
}

fn decide_command(state: &State, command: &Command, stamp: &mut Stamp) -> Decided {
    match command {
        Command::CreateCluster { cluster, tags } => cluster::create(state, cluster, tags),
        Command::DeleteCluster { cluster } => cluster::delete(state, cluster),
        Command::RegisterTaskDefinition { scope, family, spec, tags, registered_by } => {
            task_definition::register(state, scope, family, spec, tags, registered_by)
        }
        Command::DeregisterTaskDefinition { key } => task_definition::deregister(state, key),
        Command::CreateService { key, spec, tags, created_by } => {
            service::create(state, key, spec, tags, created_by, stamp)
        }
        Command::UpdateService { key, change } => service::update(state, key, change, stamp),
        Command::DeleteService { key, force } => service::delete(state, key, *force),
        Command::RunTasks(run) => task::run(state, run, stamp),
        Command::StopTask { cluster, task, reason } => task::stop(state, cluster, *task, reason.as_deref()),
        Command::SetInstanceStatus { cluster, instance, status } => {
            instance::set_status(state, cluster, *instance, *status)
        }
        Command::DeregisterInstance { cluster, instance, force } => {
            instance::deregister(state, cluster, *instance, *force)
        }
        Command::TagResource { resource, tags } => tag::add(state, resource, tags),
        Command::UntagResource { resource, keys } => tag::remove(state, resource, keys),
        Command::OpenSession { instance, registration } => {
            instance::open_session(state, *instance, registration, stamp)
        }
        Command::ReportTasks { instance, epoch, reports } => task::report(state, *instance, *epoch, reports),
        Command::LoseInstance { instance, epoch, reason } => instance::lose(state, *instance, *epoch, reason),
        Command::StartServiceTasks { service, version, deployment, placements } => {
            progress::start_tasks(state, service, *version, *deployment, placements, stamp)
        }
        Command::StopServiceTasks { service, version, tasks, reason } => {
            progress::stop_tasks(state, service, *version, tasks, reason, stamp)
        }
        Command::RecordProgress { service, version, progress } => {
            progress::record(state, service, *version, progress, stamp)
        }
        Command::ReapTasks { tasks } => task::reap(state, tasks),
        Command::CreateAccessKey { id, account, principal, secret } => {
            operator::create_access_key(state, id, account, principal, secret, stamp)
        }
        Command::Reset => Ok(Decision::one(Event::Reset {})),
        Command::SetRetention { events, millis } => operator::set_retention(state, *events, *millis),
        Command::TrimHistory { to } => operator::trim_history(state, *to),
        Command::RaiseFeatureLevel { level } => operator::raise_feature_level(state, *level),
        Command::RecordRestore { incarnation, source } => {
            Ok(Decision::one(Event::ClusterRestored { incarnation: *incarnation, source: *source }))
        }
    }
}

/// A write without a change is recorded too: an earlier try of it may still be on its way, and must not take effect after the
/// caller was told that it is done, in a state that moved on.
fn remember(decision: &mut Decision, key: &IdempotencyKey) {
    let outcome = decision.outcome.clone();
    decision.events.push(Event::RequestRecorded { key: key.clone(), outcome });
}

fn made(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Done | Outcome::Session { .. } => Vec::new(),
        Outcome::TaskDefinition(key) => vec![format!("{}:{}", key.family, key.revision)],
        Outcome::Service(key) => vec![key.name.to_string()],
        Outcome::Tasks(tasks) => tasks.iter().map(ToString::to_string).collect(),
    }
}

fn stale(what: impl std::fmt::Display) -> Rejection {
    Rejection::Stale { what: what.to_string() }
}
