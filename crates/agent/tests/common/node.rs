//! An agent with a real Docker Engine.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::process::Command as Process;

use tempfile::TempDir;
use trireme_agent::{AgentConfig, RuntimeConfig};
use trireme_state::object::{ContainerDefinition, NetworkMode, Task};
use trireme_testkit::wait_for;
use trireme_types::{ContainerInstanceId, TaskId};

use super::{LIMIT, Running, World, container, spec, with_data};

/// An agent with Docker. Its containers go when the test ends, however it ends.
pub struct Node {
    pub world: World,
    pub config: AgentConfig,
    pub agent: Option<Running>,
    pub instance: ContainerInstanceId,
    _folder: TempDir,
}

impl Node {
    pub async fn start() -> Self {
        Self::with(|config| config).await
    }

    /// An agent whose operator told it something else.
    pub async fn with(change: impl FnOnce(AgentConfig) -> AgentConfig) -> Self {
        let world = World::start().await;
        let folder = tempfile::tempdir().unwrap();
        // Containers are also found by it: the tests share an engine.
        let name = format!("docker-test-{}", folder.path().file_name().unwrap().to_string_lossy());
        let config =
            AgentConfig { runtime: RuntimeConfig::docker(), ..with_data(world.config(&name), folder.path()) };
        let config = change(config);
        let agent = Some(Running::start(config.clone()));
        let instance = world.instance(&name).await;
        Self { world, config, agent, instance, _folder: folder }
    }

    pub fn run(&self, containers: Vec<ContainerDefinition>) -> TaskId {
        self.run_in(NetworkMode::Bridge, containers)
    }

    pub fn run_in(&self, mode: NetworkMode, containers: Vec<ContainerDefinition>) -> TaskId {
        let mut spec = spec(containers);
        spec.network_mode = Some(mode);
        let definition = self.world.define(spec);
        self.world.place(self.instance, &definition, 1)[0]
    }

    pub fn containers(&self) -> Vec<String> {
        let filter = format!("label=io.trireme.agent={}", self.instance);
        let text = docker(&["ps", "-aq", "--no-trunc", "--filter", &filter]);
        let mut ids: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        ids.sort();
        ids
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.agent = None;
        let ids = self.containers();
        if !ids.is_empty() {
            let _ = Process::new("docker").args(["rm", "-f", "-v"]).args(&ids).output();
        }
        let filter = format!("label=io.trireme.agent={}", self.instance);
        let volumes = docker(&["volume", "ls", "-q", "--filter", &filter]);
        if !volumes.is_empty() {
            let _ = Process::new("docker").args(["volume", "rm"]).args(volumes.split_whitespace()).output();
        }
    }
}

pub fn docker(arguments: &[&str]) -> String {
    let output = Process::new("docker").args(arguments).output().expect("docker's client is installed");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn inspect(task: &Task, format: &str) -> String {
    let id = task.containers[0].runtime_id.clone().unwrap();
    docker(&["inspect", "--format", format, &id])
}

/// Waits until a task's script has made a file: its container is RUNNING before the script has come so far.
pub async fn has_file(task: &Task, path: &str) {
    let id = task.containers[0].runtime_id.clone().unwrap();
    wait_for(path, LIMIT, || async {
        let there = Process::new("docker").args(["exec", &id, "test", "-f", path]).status().unwrap();
        if there.success() { Ok(()) } else { Err("it is not there".to_owned()) }
    })
    .await;
}

/// What a task's container has written, once it has written anything.
pub async fn written(task: &Task) -> String {
    let id = task.containers[0].runtime_id.clone().unwrap();
    wait_for("a word of the container", LIMIT, || async {
        let text = docker(&["logs", &id]);
        if text.is_empty() { Err("it is silent".to_owned()) } else { Ok(text) }
    })
    .await
}

pub fn shell(name: &str, script: &str) -> ContainerDefinition {
    let command = Some(["sh", "-c", script].map(str::to_owned).to_vec());
    ContainerDefinition { command, stop_timeout: Some(2), ..container(name) }
}
