//! A development cluster for one test: `trireme dev` on free ports in a temporary folder, stopped when it is dropped.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// For `trireme dev` to say `ready`.
const READY_LIMIT: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(50);

/// The binary under test: `TRIREME_BIN`, else the one beside the tests' own.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TRIREME_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    // Tests are built into TARGET/debug/deps, binaries into TARGET/debug.
    let folder = own.parent().and_then(Path::parent).context("no build folder")?;
    let built = folder.join("trireme");
    ensure!(built.exists(), "no trireme binary at {}: `make build`, or set TRIREME_BIN", built.display());
    Ok(built)
}

/// What cluster a test wants.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Further arguments of `trireme dev`.
    pub arguments: Vec<String>,
}

impl Options {
    /// With these arguments of `trireme dev`.
    pub fn with(arguments: &[&str]) -> Self {
        Self { arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect() }
    }
}

/// A running development cluster.
pub struct DevCluster {
    dev: Option<Child>,
    binary: PathBuf,
    options: Options,
    port: u16,
    folder: TempDir,
}

impl DevCluster {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready; the error has what it printed.
    pub fn start(options: Options) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("trireme-test-").tempdir()?;
        let mut cluster = Self { dev: None, binary: binary()?, options, port: free_ports()?, folder };
        cluster.start_dev()?;
        Ok(cluster)
    }

    /// Starts `trireme dev` on this cluster's folder, again if it was killed.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start_dev(&mut self) -> Result<()> {
        let arguments = self.options.arguments.clone();
        self.start_dev_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts `trireme dev` on this cluster's folder with these arguments instead of its own.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start_dev_with(&mut self, arguments: &[&str]) -> Result<()> {
        let log = self.folder.path().join("dev.log");
        let out = File::create(&log)?;
        let child = self
            .trireme(&["dev", "--port", &self.port.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("cannot start trireme dev")?;
        let dev = self.dev.insert(child);
        let until = Instant::now() + READY_LIMIT;
        loop {
            let printed = std::fs::read_to_string(&log).unwrap_or_default();
            if printed.lines().any(|line| line == "ready") {
                return Ok(());
            }
            if let Some(status) = dev.try_wait()? {
                bail!("trireme dev ended ({status}):\n{printed}");
            }
            ensure!(Instant::now() < until, "trireme dev is not ready:\n{printed}");
            pause();
        }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The address for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The variables of `DIR/env`, as a shell reads them.
    ///
    /// # Errors
    /// The file is not there.
    pub fn env(&self) -> Result<BTreeMap<String, String>> {
        let script = ". \"$1\" && env";
        let output = Command::new("sh").args(["-c", script, "sh"]).arg(self.data().join("env")).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// `DIR/cluster.json`.
    ///
    /// # Errors
    /// The file is not there.
    pub fn cluster_file(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(self.data().join("cluster.json"))?)?)
    }

    /// A command of the binary for this cluster; `--data` is added.
    pub fn trireme(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--data").arg(self.data()).env_remove("TRIREME_DATA");
        command
    }

    /// Runs a command of the binary to its end and gives what it printed.
    ///
    /// # Errors
    /// It failed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.trireme(arguments).stdin(Stdio::null()).output()?;
        text_of(arguments, &output)
    }

    /// `trireme status --json`.
    ///
    /// # Errors
    /// No control node answers.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["status", "--json"])?)?)
    }

    /// The process id in a pid file such as `us-east-1a/server.pid`.
    ///
    /// # Errors
    /// There is none.
    pub fn pid(&self, file: &str) -> Result<u32> {
        let path = self.data().join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
        Ok(text.trim().parse()?)
    }

    /// Kills the `trireme dev` in the foreground; its nodes live on.
    ///
    /// # Errors
    /// There is none.
    pub fn kill_dev(&mut self) -> Result<()> {
        let mut dev = self.dev.take().context("trireme dev does not run")?;
        dev.kill()?;
        dev.wait()?;
        Ok(())
    }

    /// Stops everything in good order; the data stay.
    ///
    /// # Errors
    /// It does not stop.
    pub fn stop(&mut self) -> Result<()> {
        self.run(&["dev", "stop"])?;
        if let Some(mut dev) = self.dev.take() {
            dev.wait()?;
        }
        Ok(())
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        if self.data().join("cluster.json").exists()
            && let Err(error) = self.stop()
        {
            eprintln!("the test cluster did not stop: {error:#}");
        }
        if let Some(mut dev) = self.dev.take() {
            let _gone_already = dev.kill();
            let _waited = dev.wait();
        }
        if std::thread::panicking() {
            self.keep_for_inspection();
        }
    }
}

impl DevCluster {
    /// After a failure the logs are all that is left to look at.
    fn keep_for_inspection(&mut self) {
        self.folder.disable_cleanup(true);
        eprintln!("kept: {}", self.folder.path().display());
    }
}

fn text_of(arguments: &[&str], output: &Output) -> Result<String> {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "trireme {} failed: {}\n{out}", arguments.join(" "), err.trim());
    Ok(out.into_owned())
}

/// A port with room for a cluster's others behind it, different for each cluster of this process and, most likely, of others.
fn free_ports() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = 40;
    let start = u16::try_from(std::process::id() % 400)?;
    for _ in 0..400 {
        let step = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 400;
        let port = 10_000 + step * span;
        let free = (port..port + span).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        if free {
            return Ok(port);
        }
    }
    bail!("no free ports")
}

#[allow(clippy::disallowed_methods)]
fn pause() {
    std::thread::sleep(PAUSE);
}
