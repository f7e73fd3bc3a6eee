//! Tasks on the managed pool, by launch type and by strategy.

use rand::Rng;
use serde_json::{Value, json};

use super::{Client, TRIES, Told};
use crate::agent::FARGATE_TASK;

/// The family whose tasks may run there.
pub(super) const FAMILY: &str = "pooled";

/// What PutClusterCapacityProviders is given: the cluster may be there already, made by an agent.
pub(super) fn providers() -> Value {
    json!({ "cluster": "default", "capacityProviders": ["FARGATE", "FARGATE_SPOT"], "defaultCapacityProviderStrategy": [] })
}

/// The task definition that RegisterTaskDefinition is given.
pub(super) fn definition() -> Value {
    let (cpu, memory) = FARGATE_TASK;
    let container =
        json!({ "name": "main", "image": "app", "cpu": cpu, "memory": memory, "essential": true });
    json!({ "family": FAMILY, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": cpu.to_string(), "memory": memory.to_string(), "containerDefinitions": [container] })
}

impl Client {
    /// One of the two ways to ask for the pool.
    fn on_the_pool(&mut self, mut body: Value) -> Value {
        body["taskDefinition"] = json!(FAMILY);
        if self.rng.random_bool(0.5) {
            body["launchType"] = json!("FARGATE");
        } else {
            body["capacityProviderStrategy"] = json!([
                { "capacityProvider": "FARGATE", "weight": self.rng.random_range(1..3), "base": 1 },
                { "capacityProvider": "FARGATE_SPOT", "weight": self.rng.random_range(0..3) },
            ]);
        }
        body
    }

    /// CreateService, where each second service is on the pool.
    pub(super) fn launched(&mut self, body: Value, service: &str) -> Value {
        let odd = service.ends_with(['1', '3']);
        if self.shared.plan.managed > 0 && odd { self.on_the_pool(body) } else { body }
    }

    pub(super) async fn run_on_fargate(&mut self) {
        let token = self.unique();
        let body = json!({ "clientToken": token, "count": self.rng.random_range(1..3) });
        let body = self.networked(body);
        let body = self.on_the_pool(body);
        let Told::Done(value) = self.call("RunTask", &body, TRIES).await else { return };
        for task in value["tasks"].as_array().into_iter().flatten() {
            // It would run for ever.
            self.call("StopTask", &json!({ "task": task["taskArn"] }), TRIES).await;
        }
    }
}
