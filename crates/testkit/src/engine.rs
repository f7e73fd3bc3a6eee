//! A Docker Engine of one's own: on folders of its own, in a network namespace of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::proc::{Proc, descendants, kill_9};
use crate::wait::try_wait;

const LIMIT: Duration = Duration::from_secs(60);

/// The image that measurements and services run; `make` made it.
pub const IMAGE: &str = "trireme/web:1";

/// What of an engine differs from one to the other.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// The bridge's address, such as `172.31.0.1/24`.
    pub bridge: &'a str,
    /// The parent of its containers' control groups.
    pub cgroup: &'a str,
    /// Its zone, for its label `zone`.
    pub zone: &'a str,
}

/// An engine.
pub struct Engine {
    zone: String,
    folder: PathBuf,
    process: Proc,
}

impl Engine {
    /// Starts an engine on what is in its folder. `dockerd` runs it in the network namespace that is meant for it, and is given
    /// the engine's arguments.
    ///
    /// # Errors
    /// There is no `dockerd`.
    pub fn start(mut dockerd: Command, folder: &Path, setup: &Setup<'_>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        // An engine that was killed left these; a later process may have their numbers.
        for stale in ["pid", "exec/containerd/containerd.pid", "d.sock"] {
            let _none = std::fs::remove_file(folder.join(stale));
        }
        let at = |name: &str| folder.join(name).display().to_string();
        dockerd.args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")]);
        dockerd.args(["--host", &format!("unix://{}", at("d.sock"))]);
        dockerd.args(["--bip", setup.bridge, "--iptables=false", "--ip-masq=false"]);
        dockerd.args(["--ip6tables=false", "--storage-driver", "overlay2", "--shutdown-timeout", "2"]);
        dockerd.args(["--userland-proxy=false", "--cgroup-parent", setup.cgroup]);
        dockerd.args(["--label", &format!("zone={}", setup.zone)]);
        let process = Proc::start(dockerd, &folder.join("log"))?;
        Ok(Self { zone: setup.zone.to_owned(), folder: folder.to_owned(), process })
    }

    /// Its socket.
    pub fn socket(folder: &Path) -> PathBuf {
        folder.join("d.sock")
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// It does not; the error has the end of its log.
    pub async fn wait_answers(&mut self) -> Result<()> {
        let folder = self.folder.clone();
        let waited = try_wait("the engine to answer", LIMIT, || async {
            docker(&folder, &["version", "--format", "{{.Server.Version}}"])
                .map_err(|error| format!("{error:#}"))
        });
        match waited.await {
            Ok(_) => Ok(()),
            Err(text) => bail!("zone {}: {text}; {}", self.zone, self.process.last_lines(8)),
        }
    }

    /// Gives it the image, if it does not have it.
    ///
    /// # Errors
    /// It does not take it.
    pub fn load(&self, archive: &Path) -> Result<()> {
        if docker(&self.folder, &["image", "inspect", "--format", "ok", IMAGE]).is_ok() {
            return Ok(());
        }
        docker(&self.folder, &["load", "--quiet", "--input", &archive.display().to_string()]).map(drop)
    }

    /// `kill -9` of the engine and the containerd that it started. Containers may live on.
    pub fn kill_daemon(&mut self) {
        let children = descendants(&[self.process.pid()]);
        self.process.kill();
        let daemons = children.into_iter().filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.split('\0').next().is_some_and(|program| program.ends_with("containerd"))
        });
        daemons.for_each(kill_9);
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) {
        self.process.wait();
    }

    /// The running engine's process.
    pub fn process(&self) -> &Proc {
        &self.process
    }
}

/// Asks the engine of a folder with Docker's own command.
///
/// # Errors
/// It failed; the error has what it said.
pub fn docker(folder: &Path, arguments: &[&str]) -> Result<String> {
    let host = format!("unix://{}", Engine::socket(folder).display());
    let mut command = Command::new("timeout");
    command.args(["20", "docker", "--host", &host]).args(arguments).stdin(Stdio::null());
    let output = command.output().context("cannot start docker")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// Saves the image of the machine's own engine to a file.
///
/// # Errors
/// The machine's engine does not have it: `make` makes it.
pub fn save_image(archive: &Path) -> Result<()> {
    let mut command = Command::new("docker");
    command.args(["save", "--output"]).arg(archive).arg(IMAGE).stdin(Stdio::null());
    let output = command.output().context("cannot start docker")?;
    ensure!(
        output.status.success(),
        "docker save {IMAGE}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
