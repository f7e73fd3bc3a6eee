//! What tests of deployments ask of the world.

use trireme_state::Command;
use trireme_state::object::*;
use trireme_types::*;

use super::{World, configuration, service_key};

impl World {
    /// A service that asks something of its deployments, in ECS's JSON.
    pub fn create_with(
        &mut self,
        name: &str,
        definition: &TaskDefinitionKey,
        desired: u32,
        described: &[(&str, &str)],
    ) {
        let described = described.iter().map(|(member, json)| ((*member).to_owned(), (*json).to_owned()));
        let spec = ServiceSpec {
            task_definition: definition.clone(),
            desired_count: desired,
            deployment_configuration: configuration((200, 100)),
            propagate_tags: PropagateTags::None,
            enable_ecs_managed_tags: false,
            health_check_grace_period_seconds: None,
            role_arn: None,
            described: described.collect(),
        };
        let created_by = "tester".to_owned();
        self.user(Command::CreateService { key: service_key(name), spec, tags: Tags::new(), created_by });
    }

    /// What a service's deployments came to, the newest first.
    pub fn statuses(&self, name: &str) -> Vec<ServiceDeploymentStatus> {
        let history = self.view().deployment_history(&service_key(name));
        history.deployments.iter().map(|one| one.status).collect()
    }

    /// How a service's primary deployment goes.
    pub fn life(&self, name: &str) -> Lifecycle {
        let primary = self.service(name).deployments[0].id;
        self.view().lifecycles(&service_key(name)).of(primary)
    }

    /// The events of a service have these texts, one after the other.
    pub fn was_told_in_order(&self, name: &str, texts: &[String]) {
        let service = self.service(name);
        let mut told = service.events.iter().rev().map(|event| event.message.clone());
        for text in texts {
            let all: Vec<&String> = service.events.iter().rev().map(|event| &event.message).collect();
            assert!(told.any(|message| message == *text), "{text} is not among {all:#?}");
        }
    }

    /// So many running tasks of a deployment exit.
    pub fn exit_some(&mut self, name: &str, deployment: DeploymentId, count: usize) {
        self.exit_those(name, deployment, count, |_| true);
    }

    /// The same, of those that started last.
    pub fn exit_some_that_are_young(&mut self, name: &str, deployment: DeploymentId, count: usize) {
        let now = self.now;
        let young = |task: &Task| {
            let started_at = task.times.started_at.unwrap_or(now);
            now.since(started_at) < std::time::Duration::from_secs(40)
        };
        self.exit_those(name, deployment, count, young);
    }

    fn exit_those(
        &mut self,
        name: &str,
        deployment: DeploymentId,
        count: usize,
        which: impl Fn(&Task) -> bool,
    ) {
        let tasks = self.tasks(name).into_iter().filter(|task| {
            task.deployment() == Some(deployment)
                && task.last_status == TaskStatus::Running
                && task.wanted()
                && which(task)
        });
        let tasks: Vec<_> = tasks.take(count).collect();
        assert_eq!(tasks.len(), count, "there are so many");
        tasks.iter().for_each(|task| self.exit(task));
    }
}
