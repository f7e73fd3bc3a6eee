//! ECS's event texts. Tools search for them, so they are ECS's word for word.

use std::collections::BTreeMap;
use std::time::Duration;

use trireme_scheduler::Explanation;
use trireme_state::object::{Deployment, Service, ServiceEvent};
use trireme_types::{DeploymentId, ServiceName, Timestamp, Zone};

use super::health::Health;

/// The same text is not said again within this time.
const REPEATED_AFTER: Duration = Duration::from_secs(6 * 3_600);

pub fn steady(name: &ServiceName) -> String {
    format!("(service {name}) has reached a steady state.")
}

pub fn set_is_steady(name: &ServiceName, set: DeploymentId) -> String {
    format!("(service {name}, taskSet {set}) updated state to STEADY_STATE.")
}

pub fn completed(name: &ServiceName, deployment: DeploymentId) -> String {
    format!("(service {name}) (deployment {deployment}) deployment completed.")
}

pub fn without_effect(subject: &str, members: &[&str]) -> String {
    format!("{subject} uses {}, without effect yet.", members.join(", "))
}

pub fn cannot_start(name: &ServiceName) -> String {
    format!("(service {name}) is unable to consistently start tasks successfully.")
}

/// FARGATE tasks find no place.
pub fn no_capacity(name: &ServiceName) -> String {
    format!(
        "(service {name}) was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in a \
         different availability zone."
    )
}

pub fn cannot_place(name: &ServiceName, why: &Explanation) -> String {
    format!(
        "(service {name}) was unable to place a task because no container instance met all of its requirements. {} \
         For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        why.event_text()
    )
}

pub fn stuck(name: &ServiceName) -> String {
    format!(
        "(service {name}) was unable to stop or start tasks during a deployment because of the service deployment \
         configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )
}

/// "3 tasks in us-east-1a, 1 in us-east-1b, and 2 in us-east-1c".
fn in_zones(zones: &BTreeMap<Zone, usize>, each: &str) -> String {
    let last = zones.len().saturating_sub(1);
    let parts = zones.iter().enumerate().map(|(at, (zone, count))| {
        let tasks = if at == 0 { " tasks" } else { each };
        let and = if at > 0 && at == last { "and " } else { "" };
        format!("{and}{count}{tasks} in {zone}")
    });
    parts.collect::<Vec<_>>().join(", ")
}

pub fn not_balanced(name: &ServiceName, zones: &BTreeMap<Zone, usize>) -> String {
    format!("(service {name}) is not AZ balanced with {}. AZ Rebalancing in progress.", in_zones(zones, ""))
}

/// That the zones are even, if the last thing said of them is that they are not.
pub fn balanced_again(service: &Service, zones: &BTreeMap<Zone, usize>) -> Option<String> {
    let name = &service.key.name;
    let of_zones = |event: &&ServiceEvent| event.message.contains("AZ balanced with");
    let last = service.events.iter().find(of_zones)?;
    let uneven = last.message.contains("is not AZ balanced with");
    uneven.then(|| format!("(service {name}) is AZ balanced with {}.", in_zones(zones, " tasks")))
}

pub fn protected(name: &ServiceName) -> String {
    format!("(service {name}) was unable to scale in due to (reason TaskProtection).")
}

/// Shown as the stoppedReason of a task whose health check fails.
pub const HEALTH_CHECKS_FAILED: &str = "Task failed container health checks";

/// Shown as a stopped task's stoppedReason.
pub fn scaling(deployment: DeploymentId) -> String {
    format!("Scaling activity initiated by (deployment {deployment})")
}

/// Until when a service's owner need not be told so again; `None` if it is time.
pub fn told_until(service: &Service, text: &str, now: Timestamp) -> Option<Timestamp> {
    said(service, text).map(|at| at.plus(REPEATED_AFTER)).filter(|until| *until > now)
}

/// Until when a service that comes and goes is not called steady again; `None` if it may be. A new deployment or another
/// desired count is told at once.
pub fn unsteady_until(service: &Service, primary: &Deployment, health: Health<'_>) -> Option<Timestamp> {
    let at = said(service, &steady(&service.key.name))?;
    // A back-off moves the deployment's `updated_at` too, and that is no wish of the user's.
    let asked_anew = primary.created_at > at || (primary.updated_at > at && primary.back_off.is_none());
    Some(at.plus(health.after)).filter(|until| *until > health.now && !asked_anew)
}

/// Whether a service with task sets is called steady again: one that comes and goes is not, each time.
pub fn steady_is_due(service: &Service, health: Health<'_>) -> bool {
    said(service, &steady(&service.key.name)).is_none_or(|at| at.plus(health.after) <= health.now)
}

fn said(service: &Service, text: &str) -> Option<Timestamp> {
    service.events.iter().find(|event| event.message == text).map(|event| event.created_at)
}
