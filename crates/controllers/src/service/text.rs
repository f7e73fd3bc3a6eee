//! ECS's event texts. Tools search for them, so they are ECS's word for word.

use std::time::Duration;

use trireme_scheduler::Explanation;
use trireme_state::object::Service;
use trireme_types::{DeploymentId, ServiceName, Timestamp};

/// The same text is not said again within this time.
const REPEATED_AFTER: Duration = Duration::from_secs(6 * 3_600);

pub fn steady(name: &ServiceName) -> String {
    format!("(service {name}) has reached a steady state.")
}

pub fn completed(name: &ServiceName, deployment: DeploymentId) -> String {
    format!("(service {name}) (deployment {deployment}) deployment completed.")
}

pub fn cannot_start(name: &ServiceName) -> String {
    format!("(service {name}) is unable to consistently start tasks successfully.")
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

/// Shown as a stopped task's stoppedReason.
pub fn scaling(deployment: DeploymentId) -> String {
    format!("Scaling activity initiated by (deployment {deployment})")
}

/// Whether a service's owner was told so lately.
pub fn told_lately(service: &Service, text: &str, now: Timestamp) -> bool {
    service.events.iter().any(|event| event.message == text && now.since(event.created_at) < REPEATED_AFTER)
}
