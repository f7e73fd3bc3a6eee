//! The one Docker Engine that all sides use, and Docker's own side.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::StreamExt;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use trireme_testkit::docker_api::ask;
use trireme_testkit::engine::{Engine, IMAGE, Setup, docker, save_image};

/// What every container runs.
pub(super) const COMMAND: [&str; 2] = ["sleep", "100000"];
const LIMIT: Duration = Duration::from_secs(120);
const REMOVALS_AT_ONCE: usize = 8;
const SETUP: Setup<'static> = Setup { bridge: "172.30.0.1/16", cgroup: "trireme-bench", zone: "us-east-1a" };

/// The engine.
pub(super) struct Machine {
    engine: Engine,
    folder: PathBuf,
    /// The image's id: by a name, Swarm would ask a registry.
    pub(super) image: String,
}

impl Machine {
    /// Starts it with the image.
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        // A namespace without a name: it goes with what is in it.
        let mut dockerd = Command::new("unshare");
        dockerd.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh", "dockerd"]);
        let mut engine = Engine::start(dockerd, folder, &SETUP)?;
        engine.wait_answers().await?;
        let mut machine = Self { engine, folder: folder.to_owned(), image: String::new() };
        let archive = folder.join("image.tar");
        save_image(&archive)?;
        machine.engine.load(&archive)?;
        let image = machine.docker(&["image", "inspect", "--format", "{{.Id}}", IMAGE])?;
        machine.image = image.trim().to_owned();
        Ok(machine)
    }

    pub(super) fn socket(&self) -> PathBuf {
        Engine::socket(&self.folder)
    }

    pub(super) fn docker(&self, arguments: &[&str]) -> Result<String> {
        docker(&self.folder, arguments)
    }

    /// Asks its API.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let asked = ask(&self.socket(), method, path, body, LIMIT).await;
        let (status, answer) = asked.map_err(|text| anyhow!("{method} {path}: {text}"))?;
        ensure!(status < 400, "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    /// So many `docker run` at once, until all have come back.
    pub(super) async fn run(&self, count: usize) -> Result<Duration> {
        let host = format!("unix://{}", self.socket().display());
        let began = Instant::now();
        let start = |_| {
            let mut run = tokio::process::Command::new("docker");
            run.args(["--host", &host, "run", "--detach", IMAGE]).args(COMMAND);
            run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
        };
        let all = (0..count).map(start).collect::<Result<Vec<_>, _>>().context("cannot start docker")?;
        for run in all {
            let output = run.wait_with_output().await.context("docker run")?;
            ensure!(output.status.success(), "docker run: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(began.elapsed())
    }

    /// What `docker run` asks of the API, without the command.
    pub(super) async fn create_and_start(&self) -> Result<Duration> {
        let body = json!({ "Image": IMAGE, "Cmd": COMMAND });
        let began = Instant::now();
        let created = self.ask("POST", "/containers/create", Some(&body)).await?;
        let id = created["Id"].as_str().context("a container's id")?;
        self.ask("POST", &format!("/containers/{id}/start"), None).await?;
        Ok(began.elapsed())
    }

    /// SIGKILL to a container.
    pub(super) async fn kill(&self, id: &str) -> Result<()> {
        self.ask("POST", &format!("/containers/{id}/kill"), None).await.map(drop)
    }

    async fn containers(&self) -> Result<Vec<String>> {
        let all = self.ask("GET", "/containers/json?all=1", None).await?;
        let ids = all.as_array().into_iter().flatten().filter_map(|one| one["Id"].as_str());
        Ok(ids.map(str::to_owned).collect())
    }

    pub(super) async fn is_empty(&self) -> Result<bool> {
        Ok(self.containers().await?.is_empty())
    }

    /// Kills and removes every container.
    pub(super) async fn clear(&self) -> Result<()> {
        let ids = self.containers().await?;
        let socket = self.socket();
        let gone = futures_util::stream::iter(ids).map(|id| {
            let (socket, path) = (socket.clone(), format!("/containers/{id}?force=1&v=1"));
            // Whose it is may have been quicker.
            async move { ask(&socket, "DELETE", &path, None, LIMIT).await }
        });
        gone.buffer_unordered(REMOVALS_AT_ONCE).for_each(async |_| {}).await;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Ok(ids) = self.docker(&["ps", "--all", "--quiet", "--no-trunc"])
            && !ids.is_empty()
        {
            let arguments: Vec<&str> = ["rm", "--force"].into_iter().chain(ids.lines()).collect();
            let _some_are_left = self.docker(&arguments);
        }
        self.engine.process().signal(Signal::SIGTERM);
        self.engine.wait();
    }
}
