//! Targets of schedules and rules: tasks of ECS (EventBridge API: Target, EcsParameters). What they are is worked out when they are put, as far as
//! it does not change until they run; all that was said is kept for whoever asks.
//!
//! They are launched as RunTask's are: by a launch type, by a capacity provider strategy, or as their cluster's default has it at that time. Roles
//! and dead-letter queues are described, and without effect.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, NetworkConfiguration,
    PlacementConstraint, PlacementStrategy, TaskOverride,
};
use trireme_scheduler::launch;
use trireme_state::State;
use trireme_state::object::{
    self, ClusterKey, Invocation, Launching, NetworkMode, PlacementRules, RetryPolicy, Tags, Target,
    TargetTasks, TaskDefinition, TaskDefinitionSpec, TaskOverrides,
};
use trireme_types::{Family, Scope};

use super::{network, overrides, placement};
use crate::error::{Code, Error, Result};
use crate::eventbridge::input;
use crate::operation::launching;
use crate::resolve::{self, DefinitionName};

/// EventBridge API: TaskCount, as ECS's RunTask limits it.
const TASKS: std::ops::RangeInclusive<i64> = 1..=10;
/// EventBridge API: CapacityProviderStrategy.
const PROVIDERS: usize = 6;
/// EventBridge API: Input.
const INPUT: usize = 8_192;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Given {
    arn: String,
    #[serde(rename = "Id")]
    _id: Option<String>,
    #[serde(rename = "RoleArn")]
    _role_arn: Option<String>,
    #[serde(rename = "DeadLetterConfig")]
    _dead_letter_config: Option<Value>,
    retry_policy: Option<Retry>,
    input: Option<String>,
    input_path: Option<String>,
    input_transformer: Option<input::Transformer>,
    ecs_parameters: Option<Parameters>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Retry {
    maximum_event_age_in_seconds: Option<i64>,
    maximum_retry_attempts: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Parameters {
    task_definition_arn: String,
    task_count: Option<i64>,
    network_configuration: Option<Network>,
    group: Option<String>,
    launch_type: Option<String>,
    capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    platform_version: Option<String>,
    #[serde(rename = "EnableECSManagedTags")]
    enable_ecs_managed_tags: Option<bool>,
    enable_execute_command: Option<bool>,
    placement_constraints: Option<Vec<PlacementConstraint>>,
    placement_strategy: Option<Vec<PlacementStrategy>>,
    propagate_tags: Option<String>,
    tags: Option<Vec<BTreeMap<String, String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    #[serde(rename = "awsvpcConfiguration")]
    awsvpc: Option<AwsVpc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AwsVpc {
    subnets: Vec<String>,
    security_groups: Option<Vec<String>>,
    assign_public_ip: Option<String>,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::Common("ValidationException", 400), message)
}

/// ECS's words under the type that these services have.
fn translated(error: Error) -> Error {
    invalid(error.message)
}

/// A target from what a request says of it.
pub(crate) fn parse(state: &State, scope: &Scope, id: String, given: Value) -> Result<Target> {
    let described = given.to_string();
    let given: Given =
        serde_json::from_value(given).map_err(|error| invalid(format!("Invalid Target: {error}.")))?;
    if let Some(member) = given.others.keys().next() {
        return Err(invalid(format!("Target.{member} is not supported: the targets here are ECS clusters.")));
    }
    let not_ours = || {
        let arn: String = given.arn.chars().take(128).collect();
        invalid(format!(
            "The target {arn} is not supported: it must be the ARN of an ECS cluster of this account and region."
        ))
    };
    if !given.arn.contains(":cluster/") {
        return Err(not_ours());
    }
    let cluster = resolve::cluster(scope, Some(&given.arn)).map_err(|_| not_ours())?;
    let parameters = given.ecs_parameters.as_ref();
    let parameters = parameters.ok_or_else(|| invalid("EcsParameters must be given for an ECS cluster."))?;
    let (name, definition) = definition(state, scope, &parameters.task_definition_arn)?;
    let (family, revision) = match name {
        DefinitionName::Family(family) => (family, None),
        DefinitionName::Revision(family, revision) => (family, Some(revision)),
    };
    let count = parameters.task_count.unwrap_or(1);
    if !TASKS.contains(&count) {
        return Err(invalid("TaskCount must be between 1 and 10."));
    }
    let constraints = parameters.placement_constraints.as_deref().unwrap_or_default();
    let constraints = placement::constraints(constraints).map_err(translated)?;
    placement::together(constraints.len(), definition).map_err(translated)?;
    let strategy = parameters.placement_strategy.as_deref().unwrap_or_default();
    let strategy = placement::strategy(strategy).map_err(translated)?;
    let rules = placement::rules(&constraints, &strategy);
    let overrides = changes(given.input.as_deref(), definition)?;
    let asked = asked(parameters)?;
    let launching = launched(state, &cluster, &asked, (&definition.spec, &overrides), &rules)?;
    let tasks = TargetTasks {
        cluster,
        scope: scope.clone(),
        family,
        revision,
        count: u32::try_from(count).unwrap_or(1),
        overrides,
        group: group(parameters)?,
        network: interfaces(state, scope, parameters, (definition, &launching))?,
        // A cluster's default may be another one when they run.
        launching: (!asked.is_empty()).then_some(launching),
        rules,
        tags: tags(parameters)?,
        propagates: propagates(parameters)?,
        managed_tags: parameters.enable_ecs_managed_tags.unwrap_or(false),
        allows_commands: parameters.enable_execute_command.unwrap_or(false),
    };
    let invokes = Invocation::Tasks(Box::new(tasks));
    let input = input::parse(given.input, given.input_path, given.input_transformer)?;
    Ok(Target { id, described, invokes, input, retry: retry(given.retry_policy.as_ref())? })
}

/// What is said of where they run.
fn asked(parameters: &Parameters) -> Result<launching::Given> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let launch_type = filled(&parameters.launch_type).map(|text| text.parse()).transpose();
    let strategy = parameters.capacity_provider_strategy.clone();
    if strategy.as_ref().is_some_and(|items| items.len() > PROVIDERS) {
        return Err(invalid(format!("CapacityProviderStrategy can have at most {PROVIDERS} items.")));
    }
    Ok(launching::Given {
        launch_type: launch_type.map_err(|_| invalid("LaunchType must be EC2, FARGATE or EXTERNAL."))?,
        strategy,
        platform_version: filled(&parameters.platform_version),
    })
}

/// Where they would run now: as RunTask has it.
fn launched(
    state: &State,
    cluster: &ClusterKey,
    given: &launching::Given,
    definition: (&TaskDefinitionSpec, &TaskOverrides),
    rules: &PlacementRules,
) -> Result<Launching> {
    let launching = launching::resolve(Operation::RunTask, state, cluster, given).map_err(translated)?;
    let rules = (rules.constraints.len(), rules.strategy.len());
    launch::check_tasks(&launching, definition, rules).map_err(|why| translated(why.into()))?;
    Ok(launching)
}

/// It is there now, so that what is said about it can be checked. When it is a family, the newest revision of that time runs.
fn definition<'a>(
    state: &'a State,
    scope: &Scope,
    text: &str,
) -> Result<(DefinitionName, &'a TaskDefinition)> {
    let name = DefinitionName::parse(scope, text).or_else(|| family(scope, text));
    let found = name.and_then(|name| name.find(state, scope).map(|found| (name.clone(), found)));
    found.ok_or_else(|| {
        let text: String = text.chars().take(128).collect();
        invalid(format!("The task definition '{text}' was not found."))
    })
}

/// EventBridge API: TaskDefinitionArn without a revision.
fn family(scope: &Scope, text: &str) -> Option<DefinitionName> {
    let prefix = format!("arn:aws:ecs:{}:{}:task-definition/", scope.region, scope.account);
    Family::new(text.strip_prefix(&prefix)?).ok().map(DefinitionName::Family)
}

/// EventBridge API: Input of an ECS target: its overrides.
pub(crate) fn changes(input: Option<&str>, definition: &TaskDefinition) -> Result<TaskOverrides> {
    let Some(input) = input.filter(|input| !input.trim().is_empty()) else {
        return Ok(TaskOverrides::default());
    };
    if input.len() > INPUT {
        return Err(invalid(format!("Input can have at most {INPUT} characters.")));
    }
    let given: TaskOverride = serde_json::from_str(input).map_err(|error| {
        invalid(format!(
            "Input of an ECS target is its overrides, such as {{\"containerOverrides\": [{{\"name\": \"main\", \"command\": \
             [\"true\"]}}]}}: {error}."
        ))
    })?;
    overrides::parse(Operation::RunTask, &given, definition).map_err(translated)
}

fn group(parameters: &Parameters) -> Result<Option<String>> {
    let group = parameters.group.clone().filter(|group| !group.is_empty());
    match group {
        Some(group) if group.starts_with("service:") => Err(invalid("Invalid namespace for group: service.")),
        Some(group) if group.chars().count() > 255 => Err(invalid("Group can have at most 255 characters.")),
        other => Ok(other),
    }
}

fn interfaces(
    state: &State,
    scope: &Scope,
    parameters: &Parameters,
    (definition, launching): (&TaskDefinition, &Launching),
) -> Result<Option<object::NetworkConfiguration>> {
    let given = parameters.network_configuration.as_ref().and_then(|network| network.awsvpc.as_ref());
    // A family's newest revision may be of another mode when it runs.
    let mode = definition.spec.network_mode;
    if given.is_some() && mode != Some(NetworkMode::Awsvpc) {
        let message = "NetworkConfiguration is for task definitions with the network mode awsvpc.";
        return Err(invalid(message));
    }
    let given = given.map(|given| NetworkConfiguration {
        awsvpc_configuration: Some(AwsVpcConfiguration {
            subnets: Some(given.subnets.clone()),
            security_groups: given.security_groups.clone(),
            assign_public_ip: (given.assign_public_ip.as_deref() == Some("ENABLED"))
                .then_some(AssignPublicIp::Enabled),
        }),
    });
    network::parse(state, scope, given.as_ref(), mode, launching).map_err(translated)
}

/// `{"Key": k, "Value": v}`, or a map from key to value as EventBridge Scheduler has it.
fn tags(parameters: &Parameters) -> Result<Tags> {
    let mut all = Tags::new();
    for given in parameters.tags.iter().flatten() {
        let member =
            |name: &str| given.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        match (member("Key"), member("Value"), given.len()) {
            (Some(key), Some(value), 2) => {
                all.insert(key.clone(), value.clone());
            }
            _ => all.extend(given.clone()),
        }
    }
    if let Some(key) = all.keys().find(|key| super::tags::check_key(key).is_err()) {
        return Err(invalid(format!("A tag's key must not be empty or begin with aws:, as '{key}' does.")));
    }
    Ok(all)
}

fn propagates(parameters: &Parameters) -> Result<bool> {
    match parameters.propagate_tags.as_deref() {
        None => Ok(false),
        Some("TASK_DEFINITION") => Ok(true),
        Some(_) => Err(invalid("PropagateTags must be TASK_DEFINITION.")),
    }
}

/// RetryPolicy.
pub(crate) fn retry(given: Option<&Retry>) -> Result<RetryPolicy> {
    let usual = RetryPolicy::default();
    let Some(given) = given else { return Ok(usual) };
    let within =
        |member: &str, value: Option<i64>, range: std::ops::RangeInclusive<i64>, usual: u32| match value {
            None => Ok(usual),
            Some(value) if range.contains(&value) => Ok(u32::try_from(value).unwrap_or(usual)),
            Some(_) => {
                Err(invalid(format!("{member} must be between {} and {}.", range.start(), range.end())))
            }
        };
    Ok(RetryPolicy {
        max_age_seconds: within(
            "MaximumEventAgeInSeconds",
            given.maximum_event_age_in_seconds,
            60..=86_400,
            usual.max_age_seconds,
        )?,
        max_attempts: within(
            "MaximumRetryAttempts",
            given.maximum_retry_attempts,
            0..=185,
            usual.max_attempts,
        )?,
    })
}
