//! Targets of rules.

use serde_json::Value;
use trireme_state::command::ScheduleCommand;
use trireme_state::limits::TARGETS_PER_RULE;
use trireme_state::object::{Invocation, RuleKey, Target, TargetInput, TaskDefinitionKey};
use trireme_state::{Command, State};

use super::shape::{ByTarget, Entries, OfTargets, RuleNames, Targets};
use super::{Context, check_bus, check_name, common, http_target, input, invalid, key, no_rule, page_size};
use crate::convert::target;
use crate::error::Result;

pub(super) async fn put(cx: Context, request: OfTargets) -> Result<Entries> {
    let key = key(&cx, request.rule.as_ref(), request.event_bus_name.as_ref())?;
    let given = request.targets.unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("Targets must not be empty."));
    }
    if given.len() > TARGETS_PER_RULE {
        let message = format!("A rule can have at most {TARGETS_PER_RULE} targets.");
        return Err(common("LimitExceededException", message));
    }
    let state = cx.read().await?;
    let known = state.rule(&key).ok_or_else(|| no_rule(&key.name))?;
    let mut targets: Vec<Target> = Vec::new();
    for one in given {
        let id = one.get("Id").and_then(Value::as_str).unwrap_or_default().to_owned();
        check_name("targets.id", &id)?;
        if targets.iter().any(|other| other.id == id) {
            return Err(invalid(format!("Targets name the id {id} twice.")));
        }
        let parsed = if http_target::is(&one) {
            http_target::parse(&cx, &state, id, one)?
        } else {
            target::parse(&state, cx.scope(), id, one)?
        };
        if known.spec.pattern.is_none() && parsed.tasks().is_some() && !is_constant(&parsed) {
            return Err(invalid(
                "InputPath and InputTransformer of an ECS target are for rules with an EventPattern.",
            ));
        }
        targets.push(parsed);
    }
    change(&cx, ScheduleCommand::ChangeTargets { key, put: targets, remove: Vec::new() }).await
}

/// Tasks with what their input makes of an event: overrides, as an ECS target's input is. An event as it is changes nothing.
///
/// # Errors
/// What is wrong with the input, for people.
pub fn for_event(
    state: &State,
    rule: &RuleKey,
    target: &Target,
    event: &Value,
) -> std::result::Result<Target, String> {
    let mut target = target.clone();
    let told = match &target.input {
        TargetInput::Event | TargetInput::Constant(_) => return Ok(target),
        TargetInput::Part(_) | TargetInput::Template { .. } => input::told(&target.input, rule, event),
    };
    if let Invocation::Tasks(tasks) = &mut target.invokes {
        let revision = tasks.revision.map(|revision| TaskDefinitionKey {
            scope: tasks.scope.clone(),
            family: tasks.family.clone(),
            revision,
        });
        let definition = match &revision {
            Some(key) => state.task_definition(key),
            None => state.latest_task_definition(&tasks.scope, &tasks.family),
        };
        let definition = definition.ok_or_else(|| format!("there is no task definition {}", tasks.family))?;
        tasks.overrides = target::changes(Some(&told), definition).map_err(|error| error.message)?;
    }
    Ok(target)
}

/// Whether it is told the same each time.
fn is_constant(target: &Target) -> bool {
    matches!(target.input, TargetInput::Event | TargetInput::Constant(_))
}

async fn change(cx: &Context, command: ScheduleCommand) -> Result<Entries> {
    cx.write(Command::Schedule(Box::new(command))).await?;
    Ok(Entries { failed_entry_count: Some(0), failed_entries: Some(Vec::new()) })
}

pub(super) async fn remove(cx: Context, request: OfTargets) -> Result<Entries> {
    let key = key(&cx, request.rule.as_ref(), request.event_bus_name.as_ref())?;
    let remove = request.ids.unwrap_or_default();
    if remove.is_empty() {
        return Err(invalid("Ids must not be empty."));
    }
    change(&cx, ScheduleCommand::ChangeTargets { key, put: Vec::new(), remove }).await
}

fn described(target: &Target) -> Value {
    serde_json::from_str(&target.described).unwrap_or_default()
}

pub(super) async fn list(cx: Context, request: OfTargets) -> Result<Targets> {
    let key = key(&cx, request.rule.as_ref(), request.event_bus_name.as_ref())?;
    let size = page_size(request.limit)?;
    let after = request.next_token.unwrap_or_default();
    let state = cx.read().await?;
    let rule = state.rule(&key).ok_or_else(|| no_rule(&key.name))?;
    let mut rest = rule.targets.iter().filter(|target| target.id > after);
    let page: Vec<&Target> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    let next_token = page.last().filter(|_| more).map(|target| target.id.clone());
    Ok(Targets { targets: Some(page.into_iter().map(described).collect()), next_token })
}

pub(super) async fn rules(cx: Context, request: ByTarget) -> Result<RuleNames> {
    check_bus(request.event_bus_name.as_ref())?;
    let size = page_size(request.limit)?;
    let arn = request.target_arn.unwrap_or_default();
    let after = request.next_token.unwrap_or_default();
    let state = cx.read().await?;
    let has = |target: &Target| described(target).get("Arn").and_then(Value::as_str) == Some(arn.as_str());
    let mut found = state
        .rules_of(cx.scope())
        .filter(|rule| rule.key.name > after && rule.targets.iter().any(has))
        .map(|rule| rule.key.name.clone());
    let names: Vec<String> = found.by_ref().take(size).collect();
    let more = found.next().is_some();
    let next_token = names.last().filter(|_| more).cloned();
    Ok(RuleNames { rule_names: Some(names), next_token })
}
