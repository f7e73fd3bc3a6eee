//! Rules.

use trireme_schedule::Expression;
use trireme_scheduler::due;
use trireme_state::Command;
use trireme_state::command::ScheduleCommand;
use trireme_state::object::{self, RuleSpec};

use super::shape::{Empty, List, OfRule, PutRule, Rule, RuleMade, Rules};
use super::{
    Context, DEFAULT_BUS, Pattern, arn, check_bus, check_description, invalid, key, no_rule, page_size, tag,
};
use crate::error::Result;

/// EventBridge API: RoleArn.
const ROLE_ARN: usize = 1_600;

/// EventBridge API: PutRule: `rate` and `cron`, no `at`, and the unit in the singular after 1.
fn check_expression(text: &str) -> Result<()> {
    let refused = |why: String| invalid(format!("Parameter ScheduleExpression is not valid: {why}."));
    match Expression::parse(text) {
        Err(error) => Err(refused(error.to_string())),
        Ok(Expression::At(_)) => Err(refused("a rule has rate(...) or cron(...)".to_owned())),
        Ok(Expression::Rate(rate)) if rate.plural == (rate.value == 1) => {
            Err(refused("the unit is in the singular after 1, else in the plural".to_owned()))
        }
        Ok(_) => Ok(()),
    }
}

fn enabled(state: Option<&String>) -> Result<bool> {
    match state.map(String::as_str) {
        None | Some("ENABLED" | "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS") => Ok(true),
        Some("DISABLED") => Ok(false),
        Some(_) => Err(invalid("State must be ENABLED or DISABLED.")),
    }
}

pub(super) async fn put(cx: Context, request: PutRule) -> Result<RuleMade> {
    let key = key(&cx, request.name.as_ref(), request.event_bus_name.as_ref())?;
    let expression = request.schedule_expression.filter(|text| !text.is_empty());
    let pattern = request.event_pattern.filter(|text| !text.is_empty());
    if expression.is_none() && pattern.is_none() {
        return Err(invalid("Parameter(s) EventPattern or ScheduleExpression must be specified."));
    }
    expression.as_deref().map_or(Ok(()), check_expression)?;
    pattern.as_deref().map_or(Ok(()), |pattern| Pattern::checked(pattern).map(drop))?;
    check_description(request.description.as_ref())?;
    if request.role_arn.as_ref().is_some_and(|arn| arn.len() > ROLE_ARN) {
        return Err(invalid(format!("RoleArn can have at most {ROLE_ARN} characters.")));
    }
    let (state, now) = (cx.read().await?, cx.call.api.clock.now());
    let known = state.rule(&key);
    let same = known.filter(|rule| rule.spec.expression == expression && rule.spec.enabled);
    let spec = RuleSpec {
        expression,
        pattern,
        enabled: enabled(request.state.as_ref())?,
        description: request.description,
        role_arn: request.role_arn,
        anchor: same.map_or(now, |rule| rule.spec.anchor),
    };
    // If its times stay, so does when it is due.
    let next = due::of_rule(&spec, now);
    let (seen, rule_arn) = (known.map(|rule| rule.version), arn(&key));
    let tags = tag::parse(request.tags)?;
    cx.write(ask(ScheduleCommand::PutRule { key, spec: Box::new(spec), next, tags, seen })).await?;
    Ok(RuleMade { rule_arn: Some(rule_arn) })
}

fn ask(command: ScheduleCommand) -> Command {
    Command::Schedule(Box::new(command))
}

pub(super) async fn enable(cx: Context, request: OfRule) -> Result<Empty> {
    switch(cx, request, true).await
}

pub(super) async fn disable(cx: Context, request: OfRule) -> Result<Empty> {
    switch(cx, request, false).await
}

async fn switch(cx: Context, request: OfRule, enabled: bool) -> Result<Empty> {
    let key = key(&cx, request.name.as_ref(), request.event_bus_name.as_ref())?;
    let (state, now) = (cx.read().await?, cx.call.api.clock.now());
    let rule = state.rule(&key).ok_or_else(|| no_rule(&key.name))?;
    if rule.spec.enabled == enabled {
        return Ok(Empty {});
    }
    // A rate counts from when the rule was enabled.
    let anchor = if enabled { now } else { rule.spec.anchor };
    let spec = RuleSpec { enabled, anchor, ..rule.spec.clone() };
    let next = due::of_rule(&spec, now);
    let (seen, tags) = (Some(rule.version), object::Tags::new());
    cx.write(ask(ScheduleCommand::PutRule { key, spec: Box::new(spec), next, tags, seen })).await?;
    Ok(Empty {})
}

pub(super) async fn delete(cx: Context, request: OfRule) -> Result<Empty> {
    let key = key(&cx, request.name.as_ref(), request.event_bus_name.as_ref())?;
    cx.write(ask(ScheduleCommand::DeleteRule { key })).await?;
    Ok(Empty {})
}

fn shown(rule: &object::Rule) -> Rule {
    let spec = &rule.spec;
    Rule {
        name: Some(rule.key.name.clone()),
        arn: Some(arn(&rule.key)),
        event_pattern: spec.pattern.clone(),
        schedule_expression: spec.expression.clone(),
        state: Some(if spec.enabled { "ENABLED" } else { "DISABLED" }),
        description: spec.description.clone(),
        role_arn: spec.role_arn.clone(),
        event_bus_name: Some(DEFAULT_BUS),
        created_by: None,
    }
}

pub(super) async fn describe(cx: Context, request: OfRule) -> Result<Rule> {
    let key = key(&cx, request.name.as_ref(), request.event_bus_name.as_ref())?;
    let state = cx.read().await?;
    let rule = state.rule(&key).ok_or_else(|| no_rule(&key.name))?;
    Ok(Rule { created_by: Some(key.scope.account.to_string()), ..shown(rule) })
}

pub(super) async fn list(cx: Context, request: List) -> Result<Rules> {
    check_bus(request.event_bus_name.as_ref())?;
    let size = page_size(request.limit)?;
    let prefix = request.name_prefix.unwrap_or_default();
    let after = request.next_token.unwrap_or_default();
    let state = cx.read().await?;
    let mut found =
        state.rules_of(cx.scope()).filter(|rule| rule.key.name.starts_with(&prefix) && rule.key.name > after);
    let page: Vec<Rule> = found.by_ref().take(size).map(|rule| shown(rule)).collect();
    let more = found.next().is_some();
    let next_token = page.last().filter(|_| more).and_then(|rule| rule.name.clone());
    Ok(Rules { rules: Some(page), next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rules_rate_agrees_with_its_number() {
        for good in ["rate(1 minute)", "rate(2 minutes)", "cron(0 12 * * ? *)"] {
            assert!(check_expression(good).is_ok(), "{good}");
        }
        for wrong in ["rate(1 minutes)", "rate(2 minute)", "at(2026-01-01T00:00:00)", "cron(* * * * * *)", ""]
        {
            assert!(check_expression(wrong).is_err(), "{wrong}");
        }
    }
}
