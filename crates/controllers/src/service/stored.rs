//! Members that are kept and described, but do nothing yet: a service's owner is told once in each deployment, and of each task set,
//! which of them it uses.

use serde::Deserialize;
use serde::de::IgnoredAny;
use trireme_state::State;
use trireme_state::object::{Deployment, Described, RolloutState, Service};

use super::text;

/// Of a service.
const OF_SERVICE: [&str; 3] = ["loadBalancers", "serviceRegistries", "serviceConnectConfiguration"];

/// The part of a `serviceConnectConfiguration` that is of interest here.
#[derive(Deserialize)]
struct ServiceConnect {
    enabled: Option<bool>,
}

/// The part of a `networkConfiguration` that is of interest here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NetworkConfiguration {
    awsvpc_configuration: Vpc,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Vpc {
    security_groups: Vec<IgnoredAny>,
}

/// What is to be told of a deployment or a task set, `subject`, that is `described` so; `None` once it was.
pub fn event(
    view: &State,
    service: &Service,
    primary: &Deployment,
    described: &Described,
    subject: &str,
) -> Option<String> {
    if primary.rollout != RolloutState::InProgress {
        return None;
    }
    let used = used(view, described, primary);
    let text = (!used.is_empty()).then(|| text::without_effect(subject, &used))?;
    let told = service.events.iter().any(|event| event.message == text);
    (!told).then_some(text)
}

fn used(view: &State, described: &Described, primary: &Deployment) -> Vec<&'static str> {
    let asks = |member: &&'static str| {
        described.get(*member).is_some_and(|json| match *member {
            "serviceConnectConfiguration" => {
                serde_json::from_str(json).is_ok_and(|one: ServiceConnect| one.enabled == Some(true))
            }
            _ => json != "[]",
        })
    };
    let mut used: Vec<&'static str> = OF_SERVICE.iter().copied().filter(asks).collect();
    let network: NetworkConfiguration = described
        .get("networkConfiguration")
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    if !network.awsvpc_configuration.security_groups.is_empty() {
        used.push("securityGroups");
    }
    if let Some(definition) = view.task_definition(&primary.task_definition) {
        used.extend(definition.spec.task_role_arn.as_ref().map(|_| "taskRoleArn"));
        used.extend(definition.spec.execution_role_arn.as_ref().map(|_| "executionRoleArn"));
    }
    used
}
