//! A process that logs to a file, and what it started.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that was started here.
pub struct Proc {
    child: Child,
    log: PathBuf,
}

impl Proc {
    /// Starts one, with its output in a file.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = std::fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // A Ctrl-C at the terminal is for the runner, which then ends its processes in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its number. `nsenter` becomes the program that it starts, so this is the program's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal; one that is gone gets none.
    pub fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _gone = kill(Pid::from_raw(pid), signal);
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) {
        let _waited = self.child.wait();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The end of its log.
    pub fn last_lines(&self, count: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(16 << 10)..]).into_owned();
        let mut lines: Vec<&str> = tail.lines().rev().take(count).collect();
        lines.reverse();
        lines.join("\n")
    }
}

/// Kills a process by its number, if it is still there.
pub fn kill_9(pid: u32) {
    let Ok(number) = i32::try_from(pid) else { return };
    let _gone = kill(Pid::from_raw(number), Signal::SIGKILL);
}

/// The processes that another started, and those that they started.
pub fn descendants(of: &[u32]) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found: Vec<u32> = of.to_vec();
    let mut next = 0;
    while next < found.len() {
        let at = found[next];
        let children = parents.iter().filter(|(_, parent)| *parent == at).map(|(pid, _)| *pid);
        let new: Vec<u32> = children.filter(|pid| !found.contains(pid)).collect();
        found.extend(new);
        next += 1;
    }
    found.split_off(of.len())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}
