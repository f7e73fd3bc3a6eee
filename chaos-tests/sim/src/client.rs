//! Clients of the ECS API: JSON over HTTP to any control node, with retries under one invocation id, as AWS's SDKs do it. What
//! they were told is in the [`Record`].
//!
//! Reading order: this file (ECS, on registers that are judged) · `wire` (one request) · `launching` (FARGATE) · `scaling` (Application
//! Auto Scaling, CloudWatch) · `schedules` (EventBridge and its Scheduler).

mod launching;
mod scaling;
mod schedules;
mod wire;

use std::rc::Rc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use trireme_testkit::linear::{Change, Seen};

use crate::control::Ask;
use crate::record::Record;
use crate::shared::{Phase, Shared};
use crate::{network, shim, trace};
use wire::{Operation, Reply, request};

/// So many clients are a crowd.
const CROWD: u64 = 5;
/// The service that is made when everything has healed.
pub const SPREAD: &str = "spread";
/// Its tasks.
pub const SPREAD_TASKS: usize = 6;
/// From then on what scales is changed seldom.
const SETTLED: Duration = Duration::from_secs(55);
/// Tries of one operation.
const TRIES: usize = 5;

/// What came of an operation with all its tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It was done; the answer.
    Done(Value),
    /// It was refused, and none of its tries can have had an effect.
    Refused(String),
    /// Nobody knows.
    Unknown,
    /// It has had no effect and never will.
    Nothing,
}

/// The value in the tag that the clients write.
fn tag_of(described: &Value) -> u64 {
    let tags = described["tags"].as_array().cloned().unwrap_or_default();
    let tag = tags.iter().find(|tag| tag["key"] == "v");
    tag.and_then(|tag| tag["value"].as_str()?.parse().ok()).unwrap_or(0)
}

/// One client.
pub struct Client {
    number: u64,
    shared: Rc<Shared>,
    rng: StdRng,
    calls: u64,
    /// ARNs of scaling policies that it made.
    policies: Vec<String>,
}

impl Client {
    /// A client of this simulation.
    pub fn new(shared: &Rc<Shared>, number: u64) -> Self {
        let rng = StdRng::seed_from_u64(shared.plan.seed.wrapping_mul(31).wrapping_add(number));
        Self { number, shared: Rc::clone(shared), rng, calls: 0, policies: Vec::new() }
    }

    fn node(&mut self) -> String {
        let nodes = self.shared.api_nodes();
        nodes[self.rng.random_range(0..nodes.len())].clone()
    }

    fn unique(&mut self) -> String {
        self.calls += 1;
        format!("c{}-{}-{}", self.number, self.calls, self.rng.random::<u32>())
    }

    /// An operation of ECS.
    pub async fn call(&mut self, name: &str, body: &Value, tries: usize) -> Told {
        self.ask(&Operation::ecs(name), body, tries).await
    }

    /// One operation, tried on several nodes under one invocation id.
    async fn ask(&mut self, operation: &Operation, body: &Value, tries: usize) -> Told {
        let invocation = self.unique();
        let mut unknown = false;
        for _ in 0..tries {
            let node = self.node();
            let hasty = self.shared.plan.impatient && self.rng.random_bool(0.7);
            let limit = Duration::from_millis(self.rng.random_range(if hasty { 20..400 } else { 400..4000 }));
            let reply = tokio::time::timeout(limit, request(&node, operation, body, &invocation)).await;
            match reply.unwrap_or(Reply::Unknown) {
                Reply::Ok(value) => return Told::Done(value),
                Reply::Refused(name) if unknown => {
                    trace::line(format_args!("c{} {operation} refused after unknown: {name}", self.number));
                    return Told::Unknown;
                }
                Reply::Refused(name) => return Told::Refused(name),
                Reply::Unknown => unknown = true,
                Reply::NotSent => {}
            }
            let pause = Duration::from_millis(self.rng.random_range(if hasty { 1..40 } else { 20..300 }));
            tokio::time::sleep(pause).await;
        }
        if unknown { Told::Unknown } else { Told::Nothing }
    }

    async fn until_done(&mut self, target: &str, body: &Value) {
        while !matches!(self.call(target, body, TRIES).await, Told::Done(_)) {}
    }

    /// What all other clients need: the cluster and the task definitions.
    pub async fn prepare(&mut self) {
        self.until_done("CreateCluster", &json!({ "clusterName": "default" })).await;
        if self.shared.plan.networks {
            self.add_subnets().await;
        }
        for (family, exit) in [("web", None), ("job", Some("1500"))] {
            let environment: Vec<Value> =
                exit.into_iter().map(|ms| json!({ "name": "FAKE_EXIT_AFTER_MS", "value": ms })).collect();
            let container = json!({ "name": "main", "image": "app", "cpu": 64, "memory": 64,
                "essential": true, "environment": environment });
            let mode = if self.shared.plan.networks { "awsvpc" } else { "bridge" };
            let body = json!({ "family": family, "networkMode": mode, "containerDefinitions": [container] });
            self.until_done("RegisterTaskDefinition", &body).await;
        }
        if self.shared.plan.managed > 0 {
            self.until_done("PutClusterCapacityProviders", &launching::providers()).await;
            self.until_done("RegisterTaskDefinition", &launching::definition()).await;
        }
        self.shared.prepared.set(true);
    }

    async fn add_subnets(&self) {
        let there = || {
            let members = self.shared.members();
            members.iter().any(|host| host.node.borrow().as_ref().is_some_and(network::are_there))
        };
        while !there() {
            for host in self.shared.members() {
                host.asked.borrow_mut().push_back(Ask::AddSubnets);
                host.ask.notify_one();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The request, for tasks with the network that this run gives them.
    fn networked(&self, mut body: Value) -> Value {
        if self.shared.plan.networks {
            body["networkConfiguration"] = network::configuration();
        }
        body
    }

    /// Works until the simulation says that it is enough.
    pub async fn work(mut self) {
        if self.number == 1 {
            self.prepare().await;
        }
        loop {
            let think = self.shared.plan.think.mul_f64(self.rng.random_range(0.1..2.0));
            tokio::time::sleep(think).await;
            match self.shared.phase.get() {
                Phase::Setup => {}
                Phase::Work => self.operate().await,
                Phase::Rest => {
                    if self.number == 1 && self.shared.plan.scales {
                        self.leave_scaled().await;
                    }
                    let resting = &self.shared.resting;
                    resting.borrow_mut().insert(self.number);
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    async fn operate(&mut self) {
        if self.operate_beside().await {
            return;
        }
        let service = format!("s{}", self.rng.random_range(0..self.shared.plan.services));
        let cluster = format!("k{}", self.rng.random_range(0..self.shared.plan.clusters));
        // Where many want the same, half of it is about things that come and go.
        let all = self.shared.plan.clients < CROWD || self.rng.random_bool(0.5);
        match self.rng.random_range(if all { 0..100 } else { 58..92 }) {
            0..8 => self.create(&service).await,
            8..22 => self.tag(&format!("{service}/v"), &format!("service/default/{service}")).await,
            22..32 => self.scale(&service).await,
            32..50 => self.describe(&service).await,
            50..58 => self.run_task().await,
            58..66 => self.ensure(&cluster).await,
            66..74 => self.remove(&cluster).await,
            74..80 => self.tag(&cluster, &format!("cluster/{cluster}")).await,
            80..92 => self.look(&cluster).await,
            92..95 if self.shared.plan.deploys => self.deploy(&service).await,
            _ => self.create_cluster().await,
        }
    }

    /// Now and then something other than registers, in the runs that have it.
    async fn operate_beside(&mut self) -> bool {
        let plan = &self.shared.plan;
        let (scales, schedules, managed) = (plan.scales, plan.schedules, plan.managed > 0);
        // Whoever changes everything all the time sees nothing taken away: that takes a minute of the same.
        let often = if shim::now() < SETTLED { 0.3 } else { 0.05 };
        if scales && self.rng.random_bool(often) {
            self.operate_scaling().await;
        } else if schedules && self.rng.random_bool(0.15) {
            self.operate_schedules().await;
        } else if managed && self.rng.random_bool(0.1) {
            self.run_on_fargate().await;
        } else {
            return false;
        }
        true
    }

    fn record(&self) -> std::cell::RefMut<'_, Record> {
        self.shared.record.borrow_mut()
    }

    fn begin(&self, key: &str, change: Change) -> usize {
        self.record().begin(key, change)
    }

    fn value(&self) -> u64 {
        self.record().operations.value()
    }

    /// Ends an operation in the record.
    fn end(&self, operations: &[usize], told: &Told, seen: impl Fn(&Value) -> Vec<Seen>) {
        let mut record = self.record();
        match told {
            Told::Done(value) => {
                for (operation, seen) in operations.iter().zip(seen(value)) {
                    record.end(*operation, seen);
                }
            }
            Told::Refused(name) if name.contains("NotFound") => {
                operations.iter().for_each(|operation| record.end(*operation, Seen::Absent));
            }
            Told::Refused(name) if name.contains("InvalidParameter") => {
                let creates = |one: &&usize| matches!(record.operation(**one).0.change, Change::Create(_));
                let (made, others): (Vec<usize>, Vec<usize>) = operations.iter().partition(creates);
                made.into_iter().for_each(|one| record.end(one, Seen::Exists));
                others.into_iter().for_each(|one| record.operations.cancel(one));
            }
            Told::Refused(_) | Told::Nothing => {
                operations.iter().for_each(|one| record.operations.cancel(*one))
            }
            Told::Unknown => {}
        }
    }

    async fn create(&mut self, service: &str) {
        let count = self.rng.random_range(0..4_u64);
        let value = self.value();
        let operations = [
            self.begin(&format!("{service}/v"), Change::Create(value)),
            self.begin(&format!("{service}/count"), Change::Create(count)),
        ];
        let token = self.unique();
        let body = json!({ "serviceName": service, "taskDefinition": "web", "desiredCount": count,
            "deploymentConfiguration": self.deployment_configuration(),
            "clientToken": token, "tags": [{ "key": "v", "value": value.to_string() }] });
        let body = self.launched(self.networked(body), service);
        let told = self.call("CreateService", &body, TRIES).await;
        self.end(&operations, &told, |_| vec![Seen::Done, Seen::Done]);
    }

    /// How many tasks there may be at once, and must be: with 100 % at most, one too many shows.
    fn deployment_configuration(&mut self) -> Value {
        let (most, least) = [(100, 0), (150, 0), (200, 50), (200, 100)][self.rng.random_range(0..4)];
        json!({ "maximumPercent": most, "minimumHealthyPercent": least })
    }

    async fn ensure(&mut self, cluster: &str) {
        let value = self.value();
        let operation = self.begin(cluster, Change::Ensure(value));
        let body = json!({ "clusterName": cluster, "tags": [{ "key": "v", "value": value.to_string() }] });
        let told = self.call("CreateCluster", &body, TRIES).await;
        self.end(&[operation], &told, |_| vec![Seen::Done]);
    }

    async fn remove(&mut self, cluster: &str) {
        let operation = self.begin(cluster, Change::Delete);
        let told = self.call("DeleteCluster", &json!({ "cluster": cluster }), TRIES).await;
        self.end(&[operation], &told, |_| vec![Seen::Done]);
    }

    async fn look(&mut self, cluster: &str) {
        let operation = self.begin(cluster, Change::Read);
        let body = json!({ "clusters": [cluster], "include": ["TAGS"] });
        let told = self.call("DescribeClusters", &body, 2).await;
        if told == Told::Unknown {
            self.record().operations.cancel(operation);
        }
        self.end(&[operation], &told, |value| {
            let found = &value["clusters"][0];
            vec![if found["status"] == "ACTIVE" { Seen::Value(tag_of(found)) } else { Seen::Absent }]
        });
    }

    async fn tag(&mut self, register: &str, resource: &str) {
        let value = self.value();
        let operation = self.begin(register, Change::Write(value));
        let arn = format!("arn:aws:ecs:us-east-1:123456789012:{resource}");
        let body = json!({ "resourceArn": arn, "tags": [{ "key": "v", "value": value.to_string() }] });
        let told = self.call("TagResource", &body, TRIES).await;
        self.end(&[operation], &told, |_| vec![Seen::Done]);
    }

    async fn scale(&mut self, service: &str) {
        let count = self.rng.random_range(0..5_u64);
        let operation = self.begin(&format!("{service}/count"), Change::Write(count));
        let body = json!({ "service": service, "desiredCount": count });
        let told = self.call("UpdateService", &body, TRIES).await;
        self.end(&[operation], &told, |_| vec![Seen::Done]);
    }

    async fn deploy(&mut self, service: &str) {
        let body = json!({ "service": service, "forceNewDeployment": true });
        self.call("UpdateService", &body, 2).await;
    }

    async fn describe(&mut self, service: &str) {
        let operations = [
            self.begin(&format!("{service}/v"), Change::Read),
            self.begin(&format!("{service}/count"), Change::Read),
        ];
        let body = json!({ "services": [service], "include": ["TAGS"] });
        let told = self.call("DescribeServices", &body, 2).await;
        if told == Told::Unknown {
            // A read that was not answered says nothing.
            operations.iter().for_each(|operation| self.record().operations.cancel(*operation));
        }
        self.end(&operations, &told, |value| match value["services"].get(0) {
            None => vec![Seen::Absent, Seen::Absent],
            Some(found) => {
                let count = found["desiredCount"].as_u64().unwrap_or(0);
                vec![Seen::Value(tag_of(found)), Seen::Value(count)]
            }
        });
    }

    async fn run_task(&mut self) {
        let token = self.unique();
        let family = if self.rng.random_bool(0.7) { "job" } else { "web" };
        let body = json!({ "taskDefinition": family, "clientToken": token, "startedBy": token, "count": 1 });
        let body = self.networked(body);
        let told = self.call("RunTask", &body, TRIES).await;
        let Told::Done(value) = told else { return };
        let Some(arn) = value["tasks"][0]["taskArn"].as_str().map(str::to_owned) else { return };
        self.record().tasks.insert(token, arn.clone());
        if family == "web" {
            // It would run for ever.
            let body = json!({ "task": arn });
            self.call("StopTask", &body, TRIES).await;
        }
    }

    async fn create_cluster(&mut self) {
        let name = self.unique();
        if let Told::Done(_) = self.call("CreateCluster", &json!({ "clusterName": name }), TRIES).await {
            self.record().clusters.push(name);
        }
    }

    /// A write through each of these nodes, of which each must be acknowledged unless the node has left meanwhile, and a last service.
    ///
    /// # Errors
    /// Names the node that does not serve.
    pub async fn serve_check(&mut self, nodes: &[String]) -> Result<(), String> {
        for node in nodes {
            let shared = Rc::clone(&self.shared);
            let left = || !shared.api_nodes().contains(node);
            let (name, invocation) = (self.unique(), self.unique());
            let body = json!({ "clusterName": name });
            let create = Operation::ecs("CreateCluster");
            let asked = request(node, &create, &body, &invocation);
            match tokio::time::timeout(Duration::from_secs(10), asked).await {
                Ok(Reply::Ok(_)) => self.record().clusters.push(name),
                _ if left() => {}
                Ok(Reply::Refused(name)) => return Err(format!("{node} refuses a write: {name}")),
                Ok(Reply::Unknown | Reply::NotSent) => return Err(format!("{node} fails a write")),
                Err(_) => return Err(format!("{node} does not answer a write within 10 s")),
            }
        }
        let body = json!({ "serviceName": SPREAD, "taskDefinition": "web", "desiredCount": SPREAD_TASKS });
        let body = self.networked(body);
        match self.call("CreateService", &body, TRIES).await {
            Told::Done(_) => Ok(()),
            told => Err(format!("no service can be made: {told:?}")),
        }
    }
}
