//! How a container finds its metadata: the URIs in its environment. Their last part names the container; it follows from what only
//! the agent knows, so that it is the same after a restart of the agent, and nobody can guess it.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use trireme_types::TaskId;

use super::listen::ADDRESS;
use crate::runtime::NewContainer;

/// Bytes of the part that cannot be guessed.
const BYTES: usize = 16;

/// What the environment of a container has beside what its definition says (ECS developer guide: task metadata endpoint).
pub(crate) fn environment(new: &NewContainer) -> [(&'static str, String); 3] {
    // ECS's names for what runs the task.
    let runs_on = if new.task.fargate { "AWS_ECS_FARGATE" } else { "AWS_ECS_EC2" };
    let name = name(&new.owner.secret.0, &new.task.task_id, &new.definition().name);
    [
        ("AWS_EXECUTION_ENV", runs_on.to_owned()),
        ("ECS_AGENT_URI", format!("http://{}/api/{name}", ADDRESS.ip())),
        ("ECS_CONTAINER_METADATA_URI_V4", format!("http://{}/v4/{name}", ADDRESS.ip())),
    ]
}

/// The name of a container in its URIs: its task's id, and what cannot be guessed.
pub(crate) fn name(secret: &str, task: &str, container: &str) -> String {
    // HMAC takes keys of every length: this cannot fail. An empty name would be nobody's.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    for part in ["metadata", task, container] {
        mac.update(part.as_bytes());
        mac.update(b"/");
    }
    format!("{task}-{}", hex::encode(&mac.finalize().into_bytes()[..BYTES]))
}

/// The task in a name.
pub(crate) fn task(name: &str) -> Option<TaskId> {
    name.split_once('-').and_then(|(task, _)| task.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_one_container_of_one_agent() {
        let task_id = TaskId::from_bits(7).to_string();
        let app = name("secret", &task_id, "app");
        assert_eq!(app, name("secret", &task_id, "app"));
        assert_eq!(task(&app), Some(TaskId::from_bits(7)));
        for other in [
            name("secret", &task_id, "db"),
            name("another", &task_id, "app"),
            name("secret", &TaskId::from_bits(8).to_string(), "app"),
        ] {
            assert_ne!(app, other);
        }
        assert_eq!(task("no-task"), None);
    }
}
