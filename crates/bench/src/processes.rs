//! Processes that end with this one.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

/// What `/proc` counts processor time in: a second has so many, on every Linux.
const TICKS: u64 = 100;

/// A child that is killed when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts `command` with its output in a file.
    pub(crate) fn start(command: &mut Command, output: &Path) -> Result<Self> {
        let open = || File::options().create(true).append(true).open(output);
        let file = open().with_context(|| format!("cannot write {}", output.display()))?;
        let errors = file.try_clone().context("a second handle of the output")?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        Ok(Self(child.with_context(|| format!("cannot start {command:?}"))?))
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _dead_already = self.0.kill();
        let _dead_already = self.0.wait();
    }

    /// Processor time used so far, by all threads; nothing of a process that is gone.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        // The name before it may hold anything but a closing parenthesis of its own.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        Duration::from_millis(ticks.sum::<u64>() * (1000 / TICKS))
    }

    /// Resident memory, in bytes; 0 of a process that is gone.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory that it ever had, in bytes; 0 of a process that is gone.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of loopback that is free now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr().context("a listener's address")?.port())
}
