//! Deciding: a command and the state that it meets become events, or a rejection. Runs once, on the leader.
//!
//! Reading order: [`decide`] (repeats, then one room for each kind of command) · `cluster` · `capacity_provider` · `capacity` ·
//! `task_definition` · `service` · `deployment` · `lifecycle` · `task_set` · `progress` · `rebalancing` · `task` · `gpu` · `placement` · `execute_command` · `image_pin` · `subnet` · `instance` · `attribute` · `tag` · `account_setting` · `log_group` · `alarm` · `autoscaling` · `schedule` · `fire` · `operator`.

mod account_setting;
mod alarm;
mod attribute;
mod autoscaling;
mod capacity;
mod capacity_provider;
mod cluster;
mod delivery;
mod deployment;
mod execute_command;
mod fire;
mod gpu;
mod image_pin;
mod instance;
mod lifecycle;
mod log_group;
mod operator;
mod placement;
mod progress;
mod rebalancing;
mod schedule;
mod service;
mod subnet;
mod tag;
mod task;
mod task_definition;
mod task_set;

use trireme_types::planted;

use crate::command::{ClusterChange, Command, IdempotencyKey, Outcome, Proposal};
use crate::limits::{DESCRIBED_BYTES, EVENTS_PER_COMMAND, REQUESTS_MAX};
use crate::object::Described;
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
            Err(Rejection::IdempotencyConflict { resources: recorded.outcome.resources() })
        };
    }
    let mut decision = match &proposal.command {
        Command::RunAllowingCommands(run) => {
            let inner = Proposal { command: (**run).clone(), ..proposal.clone() };
            execute_command::allow(state, true, decide_command(state, &inner, stamp)?)
        }
        _ => execute_command::allow(state, false, decide_command(state, proposal, stamp)?),
    };
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

fn decide_command(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Decided {
    match &proposal.command {
        Command::CreateCluster { .. }
        | Command::CreateConfiguredCluster { .. }
        | Command::UpdateCluster { .. }
        | Command::SetLostAfter { .. }
        | Command::DeleteCluster { .. } => decide_cluster(state, proposal, stamp),
        Command::CreateCapacityProvider { .. }
        | Command::UpdateCapacityProvider { .. }
        | Command::DeleteCapacityProvider { .. } => decide_capacity_provider(state, proposal, stamp),
        Command::RegisterTaskDefinition { .. }
        | Command::DeregisterTaskDefinition { .. }
        | Command::DeleteTaskDefinition { .. }
        | Command::ForgetTaskDefinitions { .. } => decide_task_definition(state, proposal),
        Command::CreateService { .. }
        | Command::UpdateService { .. }
        | Command::DeleteService { .. }
        | Command::RollBackDeployment { .. }
        | Command::StartServiceTasks { .. }
        | Command::StopServiceTasks { .. }
        | Command::RecordProgress { .. }
        | Command::RecordZoneMove { .. }
        | Command::RecordDeployment(_)
        | Command::ContinueDeployment(_) => decide_service(state, proposal, stamp),
        Command::CreateServiceWithTaskSets { .. }
        | Command::CreateTaskSet { .. }
        | Command::ScaleTaskSet { .. }
        | Command::DeleteTaskSet { .. }
        | Command::SetPrimaryTaskSet { .. }
        | Command::RecordTaskSets { .. } => decide_task_set(state, proposal, stamp),
        Command::RunTasks(_)
        | Command::RunTasksInSubnets { .. }
        | Command::RunTasksByRules { .. }
        | Command::StopTask { .. }
        | Command::ProtectTask { .. } => decide_task(state, proposal, stamp),
        Command::StartCommand(_) | Command::EndCommand(_) | Command::RunAllowingCommands(_) => {
            execute_command::decide(state, &proposal.command)
        }
        Command::RegisterInstance { .. }
        | Command::SetInstanceStatus { .. }
        | Command::DeregisterInstance { .. }
        | Command::OpenSession { .. }
        | Command::LoseInstance { .. }
        | Command::AnnounceAbsence { .. } => decide_instance(state, proposal, stamp),
        Command::PutAttributes { cluster, attributes } => attribute::put(state, cluster, attributes),
        Command::DeleteAttributes { cluster, attributes } => attribute::delete(state, cluster, attributes),
        Command::CreateLogGroup { .. }
        | Command::DeleteLogGroup { .. }
        | Command::ChangeLogGroup { .. }
        | Command::Autoscaling(_)
        | Command::Alarm(_)
        | Command::Schedule(_)
        | Command::Capacity(_) => decide_area(state, proposal, stamp),
        Command::TagResource { resource, tags } => tag::add(state, resource, tags),
        Command::UntagResource { resource, keys } => tag::remove(state, resource, keys),
        Command::ReportTasks { instance, epoch, reports } => task::report(state, *instance, *epoch, reports),
        Command::ReportTaskHealth { instance, epoch, reports } => {
            task::report_health(state, *instance, *epoch, reports)
        }
        Command::PinImages { instance, epoch, images } => image_pin::pin(state, *instance, *epoch, images),
        Command::ReapTasks { tasks } => task::reap(state, tasks, stamp.now),
        Command::CreateAccessKey(_)
        | Command::ChangeAccountSetting { .. }
        | Command::Reset
        | Command::SetRetention { .. }
        | Command::TrimHistory { .. }
        | Command::RaiseFeatureLevel { .. }
        | Command::RecordRestore { .. }
        | Command::AddSubnet { .. }
        | Command::RemoveSubnet { .. } => decide_operator(state, proposal, stamp),
    }
}

/// Other services' objects.
fn decide_area(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Decided {
    match &proposal.command {
        Command::CreateLogGroup { key, tags } => log_group::create(state, key, tags),
        Command::DeleteLogGroup { key } => log_group::delete(state, key),
        Command::ChangeLogGroup { key, change } => log_group::change(state, key, change),
        Command::Alarm(command) => alarm::decide(state, command),
        Command::Capacity(command) => capacity::decide(state, command, stamp),
        Command::Autoscaling(command) => autoscaling::decide(state, command, stamp),
        Command::Schedule(command) => schedule::decide(state, command, stamp),
        _ => Ok(Decision::nothing()),
    }
}

fn decide_operator(state: &State, proposal: &Proposal, stamp: &Stamp) -> Decided {
    match &proposal.command {
        Command::CreateAccessKey(key) => operator::create_access_key(state, key, stamp),
        Command::ChangeAccountSetting { key, name, value } => {
            account_setting::change(state, key, name, value.as_deref())
        }
        Command::Reset => Ok(Decision::one(Event::Reset {})),
        Command::SetRetention { events, millis } => operator::set_retention(state, *events, *millis),
        Command::TrimHistory { to } => operator::trim_history(state, *to),
        Command::RaiseFeatureLevel { level } => operator::raise_feature_level(state, *level),
        Command::RecordRestore { incarnation, source } => Ok(operator::restored(*incarnation, *source)),
        Command::AddSubnet { subnet } => subnet::add(state, subnet, stamp),
        Command::RemoveSubnet { subnet } => subnet::remove(state, *subnet),
        _ => Ok(Decision::nothing()),
    }
}

fn decide_capacity_provider(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Decided {
    match &proposal.command {
        Command::CreateCapacityProvider { key, group, tags } => {
            capacity_provider::create(state, key, group, tags)
        }
        Command::UpdateCapacityProvider { key, change } => {
            capacity_provider::update(state, key, change, stamp)
        }
        Command::DeleteCapacityProvider { key } => capacity_provider::delete(state, key),
        _ => Ok(Decision::nothing()),
    }
}

fn decide_task_definition(state: &State, proposal: &Proposal) -> Decided {
    match &proposal.command {
        Command::RegisterTaskDefinition { scope, family, spec, tags, registered_by } => {
            task_definition::register(state, scope, family, spec, tags, registered_by)
        }
        Command::DeregisterTaskDefinition { key } => task_definition::deregister(state, key),
        Command::DeleteTaskDefinition { key } => task_definition::delete(state, key),
        Command::ForgetTaskDefinitions { keys } => Ok(task_definition::forget(state, keys)),
        _ => Ok(Decision::nothing()),
    }
}

fn decide_cluster(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Decided {
    match &proposal.command {
        Command::CreateCluster { cluster, tags } => {
            cluster::create(state, cluster, tags, &ClusterChange::default(), &proposal.actor)
        }
        Command::CreateConfiguredCluster { cluster, tags, configuration } => {
            cluster::create(state, cluster, tags, configuration, &proposal.actor)
        }
        Command::UpdateCluster { cluster, change } => cluster::update(state, cluster, change, stamp),
        Command::DeleteCluster { cluster } => cluster::delete(state, cluster),
        Command::SetLostAfter { cluster, millis } => cluster::set_lost_after(state, cluster, *millis),
        _ => Ok(Decision::nothing()),
    }
}

fn decide_instance(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Decided {
    match &proposal.command {
        Command::RegisterInstance { instance, registration, tags } => {
            instance::register(state, *instance, registration, tags, stamp)
        }
        Command::SetInstanceStatus { cluster, instance, status } => {
            instance::set_status(state, cluster, *instance, *status)
        }
        Command::DeregisterInstance { cluster, instance, force } => {
            instance::deregister(state, cluster, *instance, *force)
        }
        Command::OpenSession { instance, registration } => {
            instance::open_session(state, *instance, registration, stamp)
        }
        Command::LoseInstance { instance, epoch, reason } => {
            instance::lose(state, *instance, *epoch, reason, stamp)
        }
        Command::AnnounceAbsence { instance, epoch, millis } => {
            instance::announce_absence(state, *instance, *epoch, *millis, stamp)
        }
        _ => Ok(Decision::nothing()),
    }
}

fn decide_service(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Decided {
    match &proposal.command {
        Command::CreateService { key, spec, tags, created_by } => {
            service::create(state, key, spec, tags, created_by, stamp)
        }
        Command::UpdateService { key, change } => service::update(state, key, change, stamp),
        Command::DeleteService { key, force } => service::delete(state, key, *force),
        Command::RollBackDeployment { service, deployment, reason } => {
            deployment::roll_back(state, service, *deployment, reason, stamp)
        }
        Command::StartServiceTasks { service, version, deployment, placements } => {
            progress::start_tasks(state, service, *version, (*deployment, None), placements, stamp)
        }
        Command::StopServiceTasks { service, version, tasks, reason } => {
            progress::stop_tasks(state, service, *version, tasks, reason, stamp)
        }
        Command::RecordProgress { service, version, progress } => {
            progress::record(state, service, *version, progress, stamp)
        }
        Command::RecordZoneMove { service, version, under_way, events } => {
            rebalancing::record(state, service, *version, *under_way, events, stamp)
        }
        Command::RecordDeployment(news) => lifecycle::record(state, news, stamp),
        Command::ContinueDeployment(word) => lifecycle::go_on(state, word, stamp),
        _ => Ok(Decision::nothing()),
    }
}

fn decide_task(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Decided {
    match &proposal.command {
        Command::StopTask { cluster, task, reason } => {
            task::stop(state, cluster, *task, reason.as_deref(), stamp)
        }
        Command::ProtectTask { cluster, task, minutes } => {
            task::protect(state, cluster, *task, *minutes, stamp)
        }
        run => placement::run(state, run, &[], stamp),
    }
}

fn decide_task_set(state: &State, proposal: &Proposal, stamp: &mut Stamp) -> Decided {
    match &proposal.command {
        Command::CreateServiceWithTaskSets { key, spec, tags, created_by } => {
            task_set::create_service(state, key, spec, tags, created_by)
        }
        Command::CreateTaskSet { service, spec, tags } => task_set::create(state, service, spec, tags, stamp),
        Command::ScaleTaskSet { service, id, scale } => task_set::scale(state, service, *id, *scale, stamp),
        Command::DeleteTaskSet { service, id, force } => task_set::delete(state, service, *id, *force),
        Command::SetPrimaryTaskSet { service, id } => task_set::set_primary(state, service, *id),
        Command::RecordTaskSets { service, version, sets, steady, events } => {
            task_set::record(state, service, *version, (sets, *steady, events), stamp)
        }
        _ => Ok(Decision::nothing()),
    }
}

/// A write without a change is recorded too: an earlier try of it may still be on its way, and must not take effect after the
/// caller was told that it is done, in a state that moved on.
fn remember(decision: &mut Decision, key: &IdempotencyKey) {
    let outcome = decision.outcome.clone();
    decision.events.push(Event::RequestRecorded { key: key.clone(), outcome });
}

/// What is described without effect is kept with each revision of a service: it has a bound of its own.
fn check_described(described: &Described) -> Result<(), Rejection> {
    let bytes = described.iter().map(|(member, json)| member.len().saturating_add(json.len()));
    if bytes.fold(0_usize, usize::saturating_add) <= DESCRIBED_BYTES {
        return Ok(());
    }
    Err(Rejection::LimitExceeded {
        what: "bytes of a configuration".to_owned(),
        limit: DESCRIBED_BYTES as u64,
    })
}

fn stale(what: impl std::fmt::Display) -> Rejection {
    Rejection::Stale { what: what.to_string() }
}
