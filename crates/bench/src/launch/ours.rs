//! Trireme's side: three control nodes and one agent.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use trireme_testkit::engine::IMAGE;

use super::machine::{COMMAND, Machine};
use super::until;
use crate::api::{Client, Signed};
use crate::processes::Process;
use crate::trireme::Cluster;

const SERVICE: &str = "bench";
/// RunTask takes so many at most.
const TASKS_PER_CALL: usize = 10;
/// DescribeTasks takes so many at most.
const TASKS_DESCRIBED: usize = 100;
/// Between two looks at one task, and at many.
const SOON: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(20);

/// The cluster, its agent, and a client.
pub(super) struct Ours {
    client: Signed,
    _agent: Process,
    _cluster: Cluster,
}

impl Ours {
    /// Starts it, and waits for the agent.
    pub(super) async fn start(binary: &Path, folder: &Path, machine: &Machine) -> Result<Self> {
        let cluster = Cluster::start(binary, folder, "local").await?;
        let mut agent = Command::new(binary);
        agent.args(["agent", "--zone", "us-east-1a"]);
        agent.arg("--docker-socket").arg(machine.socket()).arg("--data").arg(folder.join("agent"));
        for server in cluster.servers() {
            agent.args(["--server", &server]);
        }
        let agent = Process::start(&mut agent, &folder.join("agent.log"))?;
        let client = Client::new(&cluster)?.at(cluster.leader_api().await?);
        let ours = Self { client, _agent: agent, _cluster: cluster };
        until("the agent", LATER, async || {
            let cluster = ours.default_cluster().await?;
            Ok((cluster["registeredContainerInstancesCount"] == 1).then_some(()))
        })
        .await?;
        for network in ["bridge", "host"] {
            let container =
                json!({ "name": "main", "image": IMAGE, "command": COMMAND, "memoryReservation": 6 });
            let definition =
                json!({ "family": network, "networkMode": network, "containerDefinitions": [container] });
            ours.call("RegisterTaskDefinition", &definition).await?;
        }
        Ok(ours)
    }

    async fn call(&self, operation: &str, request: &Value) -> Result<Value> {
        let answer = self.client.call(operation, request.to_string()).await;
        let answer = answer.with_context(|| operation.to_owned())?;
        let answer: Value = serde_json::from_slice(&answer).with_context(|| operation.to_owned())?;
        match answer["failures"].as_array().and_then(|failures| failures.first()) {
            Some(failure) => bail!("{operation}: {failure}"),
            None => Ok(answer),
        }
    }

    /// The default cluster, as DescribeClusters has it; null while there is none.
    async fn default_cluster(&self) -> Result<Value> {
        let answer = self.client.call("DescribeClusters", json!({}).to_string()).await?;
        let answer: Value = serde_json::from_slice(&answer).context("DescribeClusters")?;
        Ok(answer["clusters"][0].clone())
    }

    /// Whether no task is to run or runs.
    pub(super) async fn is_idle(&self) -> Result<bool> {
        let cluster = self.default_cluster().await?;
        Ok(cluster["runningTasksCount"] == 0 && cluster["pendingTasksCount"] == 0)
    }

    /// RunTask, in several calls at once if it takes several, until all are RUNNING. Several are the only ones in the cluster.
    pub(super) async fn run_until_running(&self, family: &str, count: usize) -> Result<Duration> {
        let began = Instant::now();
        let calls = (0..count).step_by(TASKS_PER_CALL).map(async |first| {
            let some = TASKS_PER_CALL.min(count - first);
            self.call("RunTask", &json!({ "taskDefinition": family, "count": some })).await
        });
        let mut tasks = Vec::new();
        for answer in futures_util::future::join_all(calls).await {
            tasks.extend(texts(&answer?["tasks"], "taskArn"));
        }
        if count > 1 {
            // A look at each of them again and again would take from the machine what is measured.
            until("the cluster's tasks", LATER, async || {
                let cluster = self.default_cluster().await?;
                Ok((cluster["runningTasksCount"] == count).then_some(()))
            })
            .await?;
        }
        until("tasks to be RUNNING", SOON, async || self.all_run(&tasks).await).await?;
        Ok(began.elapsed())
    }

    async fn all_run(&self, tasks: &[String]) -> Result<Option<()>> {
        for some in tasks.chunks(TASKS_DESCRIBED) {
            let described = self.call("DescribeTasks", &json!({ "tasks": some })).await?;
            for task in described["tasks"].as_array().into_iter().flatten() {
                match task["lastStatus"].as_str() {
                    Some("RUNNING") => {}
                    Some("STOPPED") => bail!("a task is STOPPED: {}", task["stoppedReason"]),
                    _ => return Ok(None),
                }
            }
        }
        Ok(Some(()))
    }

    /// A service, until all of its tasks are RUNNING.
    pub(super) async fn create_service(&self, family: &str, count: usize) -> Result<Duration> {
        let began = Instant::now();
        let service = json!({ "serviceName": SERVICE, "taskDefinition": family, "desiredCount": count });
        self.call("CreateService", &service).await?;
        until("the service's tasks", LATER, async || {
            let described = self.call("DescribeServices", &json!({ "services": [SERVICE] })).await?;
            Ok((described["services"][0]["runningCount"] == count).then_some(()))
        })
        .await?;
        Ok(began.elapsed())
    }

    pub(super) async fn delete_service(&self) -> Result<()> {
        self.call("DeleteService", &json!({ "service": SERVICE, "force": true })).await.map(drop)
    }

    /// The service's tasks, once they have run long enough: the end of one that has not is held against the service, which then
    /// takes its time.
    pub(super) async fn proven_tasks(&self) -> Result<Vec<String>> {
        until("the service's rollout", LATER, async || {
            let described = self.call("DescribeServices", &json!({ "services": [SERVICE] })).await?;
            let deployment = &described["services"][0]["deployments"][0];
            Ok((deployment["rolloutState"] == "COMPLETED").then_some(()))
        })
        .await?;
        Ok(self.service_tasks().await?.into_iter().collect())
    }

    async fn service_tasks(&self) -> Result<BTreeSet<String>> {
        let listed =
            self.call("ListTasks", &json!({ "serviceName": SERVICE, "desiredStatus": "RUNNING" })).await?;
        let arns = listed["taskArns"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(arns.map(str::to_owned).collect())
    }

    /// Kills the container of a task of the service: from before the kill until another task of it is RUNNING.
    pub(super) async fn replaced(&self, victim: &str, machine: &Machine) -> Result<Duration> {
        let before = self.service_tasks().await?;
        let described = self.call("DescribeTasks", &json!({ "tasks": [victim] })).await?;
        let container = &described["tasks"][0]["containers"][0]["runtimeId"];
        let container = container.as_str().context("a container's id")?;
        let began = Instant::now();
        machine.kill(container).await?;
        let new = until("a replacement", SOON, async || {
            Ok(self.service_tasks().await?.difference(&before).next().cloned())
        })
        .await?;
        let new = [new];
        until("the replacement to be RUNNING", SOON, async || self.all_run(&new).await).await?;
        Ok(began.elapsed())
    }
}

fn texts(list: &Value, member: &str) -> Vec<String> {
    let all = list.as_array().into_iter().flatten().filter_map(|one| one[member].as_str());
    all.map(str::to_owned).collect()
}
