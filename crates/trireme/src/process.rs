//! Processes that outlive whoever started them: found by their pid files, told from strangers that have the same number
//! by what they were started with, and killed by number and start time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The flag that every process with a pid file was started with. Its value tells the process from any other.
pub const PID_FILE_FLAG: &str = "--pid-file";

/// A living process. The start time tells it from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    start_time: u64,
}

/// Writes a process's id, whole or not at all. Both who starts a process and the process itself write it, so that it is known
/// from its first moment, whoever is killed when.
pub fn write_pid(path: &Path, pid: u32) -> Result<()> {
    // Two writers must not meet in one draft.
    let draft = path.with_extension(format!("pid.{}", std::process::id()));
    std::fs::write(&draft, format!("{pid}\n"))
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("cannot write the pid file {}", path.display()))
}

/// The living process that wrote this pid file; `None` when there is none.
pub fn find(pid_file: &Path) -> Result<Option<Process>> {
    let text = match std::fs::read_to_string(pid_file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", pid_file.display())),
    };
    // A number that is none, or the first process, was not written by us: nothing to find, and nothing to kill.
    let Some(pid) = text.trim().parse::<i32>().ok().filter(|pid| *pid > 1) else { return Ok(None) };
    let Some(start_time) = start_time(pid) else { return Ok(None) };
    Ok(was_started_with(pid, pid_file).then_some(Process { pid, start_time }))
}

impl Process {
    /// Whether it still runs. A dead process that nobody has waited for does not.
    pub fn alive(&self) -> bool {
        start_time(self.pid) == Some(self.start_time)
    }

    /// Sends a signal; nothing happens when the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if !self.alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot signal process {}", self.pid)),
        }
    }

    /// Waits until it is dead.
    pub async fn wait_dead(&self, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        while self.alive() {
            if Instant::now() > until {
                bail!("process {} still runs after {} s", self.pid, limit.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// When a process started, in clock ticks since boot; `None` when it is gone or dead.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; what follows it is numbers (proc(5)).
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // The state is field 3, the start time field 22.
    fields.nth(18)?.parse().ok()
}

/// Whether a process was started with this pid file.
fn was_started_with(pid: i32, pid_file: &Path) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let arguments: Vec<PathBuf> = line
        .split(|byte| *byte == 0)
        .map(|argument| PathBuf::from(String::from_utf8_lossy(argument).into_owned()))
        .collect();
    arguments.windows(2).any(|pair| pair[0] == Path::new(PID_FILE_FLAG) && pair[1] == pid_file)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn sleeper(pid_file: &Path) -> std::process::Child {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do read line; done", "sh", PID_FILE_FLAG]).arg(pid_file);
        command.stdin(Stdio::piped()).spawn().unwrap()
    }

    #[tokio::test]
    async fn a_process_is_found_and_killed_by_its_pid_file() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("server.pid");
        assert_eq!(find(&pid_file).unwrap(), None);
        let mut child = sleeper(&pid_file);
        std::fs::write(&pid_file, format!("{}\n", child.id())).unwrap();
        let process = find(&pid_file).unwrap().expect("it runs");
        process.signal(Signal::SIGKILL).unwrap();
        process.wait_dead(Duration::from_secs(5)).await.unwrap();
        assert_eq!(find(&pid_file).unwrap(), None, "dead, though nobody has waited for it");
        child.wait().unwrap();
    }

    #[test]
    fn a_stranger_with_the_same_number_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = sleeper(&folder.path().join("another.pid"));
        let pid_file = folder.path().join("server.pid");
        std::fs::write(&pid_file, format!("{}\n", child.id())).unwrap();
        assert_eq!(find(&pid_file).unwrap(), None);
        for junk in ["", "0", "1", "-1", "x"] {
            std::fs::write(&pid_file, junk).unwrap();
            assert_eq!(find(&pid_file).unwrap(), None, "{junk}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
