//! Asks the agents that may have something of a group.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use trireme_rpc::logs::answer::Answer as Kind;
use trireme_rpc::logs::question::Question as Asked;
use trireme_rpc::logs::{Question, Streams};
use trireme_state::State;
use trireme_state::object::{ContainerInstance, InstanceStatus, LogGroup};
use trireme_types::{ContainerInstanceId, TaskId, capability};

use super::{Context, unavailable};
use crate::error::Result;
use crate::metrics;

/// Agents that are asked at once.
const AT_ONCE: usize = 32;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// An agent's clock may be so far behind the decider's.
const SKEW_MILLIS: u64 = 1_000;
const DAY_MILLIS: u64 = 24 * 3_600 * 1_000;

/// What came of a question.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Of those who answered.
    pub(super) found: Vec<(ContainerInstanceId, Kind)>,
    /// Connected ones that did not.
    pub(super) silent: usize,
}

impl Answers {
    /// Whether any of them has what was asked for.
    pub(super) fn known(&self) -> bool {
        self.found.iter().any(|(_, kind)| match kind {
            Kind::Streams(list) => !list.streams.is_empty(),
            Kind::Records(list) => list.known,
            Kind::Done(done) => done.known,
            Kind::Failed(_) => false,
        })
    }

    /// Nobody has it: an error if somebody might who did not answer.
    pub(super) fn sure(&self) -> Result<()> {
        if self.silent == 0 {
            return Ok(());
        }
        Err(unavailable(format!(
            "{} container instances that may have it cannot be reached now. Retry.",
            self.silent
        )))
    }
}

/// Whether an instance may have anything of a group: its account's may, and the managed pool's.
fn may_have(instance: &ContainerInstance, group: &LogGroup) -> bool {
    let cluster = &instance.registration.cluster;
    cluster.is_managed_pool() || cluster.scope.account == group.key.scope.account
}

/// Machines of the managed pool keep what several accounts say, each under its own name.
fn region_of(view: &State, instance: ContainerInstanceId, group: &LogGroup) -> String {
    let scope = &group.key.scope;
    let managed = view.instance(instance).is_some_and(|one| one.registration.cluster.is_managed_pool());
    match managed {
        true => capability::pooled_region(scope.account.as_str(), scope.region.as_str()),
        false => scope.region.to_string(),
    }
}

fn question(cx: &Context, instance: ContainerInstanceId, group: &LogGroup, asked: &Asked) -> Question {
    let now = cx.call.api.clock.now().millis();
    let kept = group.retention_days.map_or(0, |days| now.saturating_sub(u64::from(days) * DAY_MILLIS));
    Question {
        region: region_of(&cx.call.api.store.view(), instance, group),
        group: group.key.name.clone(),
        ingested_from: group.created_at.millis().saturating_sub(SKEW_MILLIS),
        kept_from: kept,
        question: Some(asked.clone()),
    }
}

/// Asks one of them.
pub(super) async fn one(
    cx: &Context,
    instance: ContainerInstanceId,
    group: &LogGroup,
    asked: &Asked,
) -> Option<Kind> {
    let answer = cx.call.api.logs.ask(instance, question(cx, instance, group, asked));
    let reason = match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => match answer.answer {
            Some(Kind::Failed(reason)) => reason,
            Some(kind) => return Some(kind),
            None => "its answer makes no sense".to_owned(),
        },
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    tracing::warn!(%instance, reason, group = group.key.name, "an answer about logs lacks what an instance has");
    None
}

/// Asks all of the account that are connected. Those that are not are told of once for the answer.
pub(super) async fn all(cx: &Context, state: &State, group: &LogGroup, asked: &Asked) -> Answers {
    let of_account = |id: &ContainerInstanceId| {
        let known = state.instance(*id);
        known.is_some_and(|one| may_have(one, group))
    };
    let ids: Vec<ContainerInstanceId> =
        state.instances().map(|instance| instance.id).filter(of_account).collect();
    // One without a session that ever was has no disk that could have anything.
    let had_session = |id: &ContainerInstanceId| {
        state.instance(*id).is_some_and(|one| one.epoch > trireme_types::SessionEpoch::default())
    };
    let (connected, gone): (Vec<_>, Vec<_>) = ids
        .into_iter()
        .filter(had_session)
        .partition(|id| state.instance(*id).is_some_and(|one| one.connected));
    let mut answers = of(cx, connected, group, asked).await;
    if answers.silent > 0 || !gone.is_empty() {
        metrics::record_incomplete();
    }
    if !gone.is_empty() && !matches!(asked, Asked::Delete(_)) {
        let lost: Vec<String> = gone.iter().take(5).map(ToString::to_string).collect();
        tracing::debug!(count = gone.len(), lost = lost.join(", "), "instances that may have logs are lost");
    }
    answers.found.sort_by_key(|(id, _)| *id);
    answers
}

async fn of(cx: &Context, ids: Vec<ContainerInstanceId>, group: &LogGroup, asked: &Asked) -> Answers {
    let asking = futures_util::stream::iter(ids)
        .map(|id| async move { (id, one(cx, id, group, asked).await) })
        .buffer_unordered(AT_ONCE);
    let mut answers = Answers::default();
    let mut asking = std::pin::pin!(asking);
    while let Some((id, answer)) = asking.next().await {
        match answer {
            Some(kind) => answers.found.push((id, kind)),
            None => answers.silent += 1,
        }
    }
    answers
}

/// Asks about one stream: the instance of the task that it is named after, if that is known, else all.
pub(super) async fn about_stream(
    cx: &Context,
    state: &State,
    group: &LogGroup,
    stream: &str,
    asked: &Asked,
) -> Answers {
    if let Some(id) = likely(state, stream) {
        let answers = of(cx, vec![id], group, asked).await;
        if answers.known() {
            return answers;
        }
    }
    all(cx, state, group, asked).await
}

/// `prefix/container/task-id`: a task is where it was placed.
fn likely(state: &State, stream: &str) -> Option<ContainerInstanceId> {
    let id: TaskId = stream.rsplit('/').next()?.parse().ok()?;
    let instance = state.instance(state.task(id)?.instance)?;
    instance.connected.then_some(instance.id)
}

/// Where a client's stream is, if it is anywhere.
pub(super) async fn place_of(
    cx: &Context,
    state: &State,
    group: &LogGroup,
    stream: &str,
) -> (Option<ContainerInstanceId>, Answers) {
    let asked = Asked::Streams(Streams { name: stream.to_owned(), limit: 1, ..Streams::default() });
    let answers = about_stream(cx, state, group, stream, &asked).await;
    let has = |kind: &Kind| matches!(kind, Kind::Streams(list) if !list.streams.is_empty());
    let place = answers.found.iter().find(|(_, kind)| has(kind)).map(|(id, _)| *id);
    (place, answers)
}

/// Which instances a client's stream is given to, the first that takes it: each stream has an order of its own, so that they are spread, and the
/// same on every control node.
pub(super) fn preferred(state: &State, group: &LogGroup, stream: &str) -> Vec<ContainerInstanceId> {
    let fit = state.instances().filter(|instance| {
        instance.connected && instance.status == InstanceStatus::Active && may_have(instance, group)
    });
    let weight = |id: ContainerInstanceId| -> [u8; 32] {
        Sha256::digest(format!("{}\0{}\0{stream}\0{id}", group.key.scope.region, group.key.name)).into()
    };
    let ordered: BTreeSet<([u8; 32], ContainerInstanceId)> =
        fit.map(|instance| (weight(instance.id), instance.id)).collect();
    ordered.into_iter().map(|(_, id)| id).collect()
}
