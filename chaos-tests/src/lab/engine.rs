//! A Docker Engine of a zone's own, in the namespace of its agent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use trireme_testkit::try_wait;

use super::host::{Host, zone_name};
use super::net::on;
use super::proc::{Proc, descendants};
use super::sweep::{CGROUP, kill_9};

const LIMIT: Duration = Duration::from_secs(60);

/// The image that the services run; `make` made it.
pub const IMAGE: &str = "trireme/web:1";

/// A zone's engine.
pub struct Engine {
    zone: u8,
    folder: PathBuf,
    process: Proc,
}

impl Engine {
    /// Starts the engine of a zone, on what is in its folder.
    ///
    /// # Errors
    /// There is no `dockerd`.
    pub fn start(folder: &Path, zone: u8) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        // An engine that was killed left these; a later process may have their numbers.
        for stale in ["pid", "exec/containerd/containerd.pid", "d.sock"] {
            let _none = std::fs::remove_file(folder.join(stale));
        }
        let at = |name: &str| folder.join(name).display().to_string();
        let mut command = on(Host::Agent(zone), "dockerd");
        command.args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")]);
        command.args(["--host", &format!("unix://{}", at("d.sock"))]);
        command.args(["--bip", &format!("172.3{zone}.0.1/24"), "--iptables=false", "--ip-masq=false"]);
        command.args(["--ip6tables=false", "--storage-driver", "overlay2", "--shutdown-timeout", "2"]);
        command.args(["--userland-proxy=false", "--cgroup-parent", CGROUP]);
        command.args(["--label", &format!("zone={}", zone_name(zone))]);
        let process = Proc::start(command, &folder.join("log"))?;
        Ok(Self { zone, folder: folder.to_owned(), process })
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

    /// The running engine's process.
    pub fn process(&self) -> &Proc {
        &self.process
    }
}

/// Asks the engine of a zone's folder with Docker's own command.
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
