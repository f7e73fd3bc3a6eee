//! Processes that outlive whoever started them: found by their pid files, or by what they were started with when a pid file
//! is missing or old; told from strangers that have the same number; and killed by number and start time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The flag that every process with a pid file was started with. Its value tells the process from any other.
pub const PID_FILE_FLAG: &str = "--pid-file";
const DATA_FLAG: &str = "--data";
/// The verbs of the processes that live on, and of those that make their data.
const VERBS: [&str; 2] = ["server", "agent"];
/// For a process that was killed to let go of its data folder: its threads end one by one.
const CLAIM_LIMIT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(10);
/// For a process that was just started to have its arguments.
const BECOMING_LIMIT: Duration = Duration::from_secs(1);
/// The unit of times in /proc, the same on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// A living process. The start time tells it from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    start_time: u64,
}

/// A data folder that is this process's alone, until it is dropped or the process ends in whatever way.
pub struct Claim(#[expect(dead_code, reason = "held, never read")] Option<Flock<File>>);

/// Takes a data folder for this process alone, and only then says in the pid file that it is the one. A folder that is not
/// there is left to whoever opens it next to complain about.
pub async fn claim(data: &Path, pid_file: Option<&Path>) -> Result<Claim> {
    let cannot = || format!("cannot use the data folder {}", data.display());
    let mut folder = match File::open(data) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Claim(None)),
        Err(error) => return Err(error).with_context(cannot),
    };
    let until = Instant::now() + CLAIM_LIMIT;
    let claimed = loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(claimed) => break claimed,
            Err((_, Errno::EWOULDBLOCK)) if Instant::now() > until => {
                bail!("another process uses the data folder {}", data.display())
            }
            Err((back, Errno::EWOULDBLOCK)) => folder = back,
            Err((_, error)) => return Err(error).with_context(cannot),
        }
        tokio::time::sleep(PAUSE).await;
    };
    if let Some(path) = pid_file {
        write_pid(path, std::process::id())?;
    }
    Ok(Claim(Some(claimed)))
}

/// Writes a process's id, whole or not at all.
fn write_pid(path: &Path, pid: u32) -> Result<()> {
    // Two writers must not meet in one draft.
    let draft = path.with_extension(format!("pid.{}", std::process::id()));
    std::fs::write(&draft, format!("{pid}\n"))
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("cannot write the pid file {}", path.display()))
}

/// The living process that wrote this pid file; `None` when there is none.
pub fn named_in(pid_file: &Path) -> Result<Option<Process>> {
    let text = match std::fs::read_to_string(pid_file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", pid_file.display())),
    };
    // A number that is none, or the first process, was not written by us: nothing to find, and nothing to kill.
    let Some(process) = text.trim().parse().ok().and_then(Process::of) else { return Ok(None) };
    Ok(has_pair(&arguments(process.pid), PID_FILE_FLAG, |path| path == pid_file).then_some(process))
}

/// The living process that was started with this pid file, whether it wrote it yet or not; `None` when there is none.
pub fn find(pid_file: &Path) -> Result<Option<Process>> {
    if let Some(process) = named_in(pid_file)? {
        return Ok(Some(process));
    }
    let mut all = all_where(|line| has_pair(line, PID_FILE_FLAG, |path| path == pid_file))?;
    Ok(all.pop())
}

/// Every living process that was started with a pid file in this folder, or as a server or agent whose data are there.
pub fn all_in(folder: &Path) -> Result<Vec<Process>> {
    all_where(|line| {
        let verb = line.get(1).is_some_and(|verb| VERBS.iter().any(|known| verb == Path::new(known)));
        has_pair(line, PID_FILE_FLAG, |path| path.starts_with(folder))
            || (verb && has_pair(line, DATA_FLAG, |path| path.starts_with(folder)))
    })
}

fn all_where(ours: impl Fn(&[PathBuf]) -> bool) -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("cannot list processes")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if ours(&arguments(pid)) {
            found.extend(Process::of(pid));
        }
    }
    Ok(found)
}

impl Process {
    /// The living process with this number.
    pub fn of(pid: i32) -> Option<Self> {
        let start_time = start_time(pid).filter(|_| pid > 1)?;
        Some(Self { pid, start_time })
    }

    /// How long ago it started, to a hundredth of a second.
    pub fn age(&self) -> Duration {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        Duration::try_from_secs_f64(uptime - self.start_time as f64 / TICKS_A_SECOND).unwrap_or_default()
    }

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
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}", self.pid)
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

/// What a process was started with; nothing when it is gone.
fn arguments(pid: i32) -> Vec<PathBuf> {
    let until = Instant::now() + BECOMING_LIMIT;
    let line = loop {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Who started it goes on, and its locks are free, a moment before the kernel tells its arguments. The kernel's own
        // processes and the dead have neither arguments nor a program.
        let becoming = line.is_empty() && std::fs::read_link(format!("/proc/{pid}/exe")).is_ok();
        if !becoming || Instant::now() > until {
            break line;
        }
        std::thread::yield_now();
    };
    line.split(|byte| *byte == 0)
        .map(|argument| PathBuf::from(String::from_utf8_lossy(argument).into_owned()))
        .collect()
}

/// Whether a flag with such a value is among the arguments.
fn has_pair(arguments: &[PathBuf], flag: &str, value: impl Fn(&Path) -> bool) -> bool {
    arguments.windows(2).any(|pair| pair[0] == Path::new(flag) && value(&pair[1]))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// It ends with its standard input, so it does not outlive a test that fails.
    fn sleeper(pid_file: &Path) -> std::process::Child {
        let mut command = Command::new("sh");
        command.args(["-c", "while read line; do :; done", "sh", PID_FILE_FLAG]).arg(pid_file);
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
    fn without_its_pid_file_a_process_is_found_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("zone/server.pid");
        let mut child = sleeper(&pid_file);
        let found = find(&pid_file).unwrap().expect("it runs");
        assert_eq!(found.pid, i32::try_from(child.id()).unwrap());
        assert!(found.age() < Duration::from_secs(60), "{:?}", found.age());
        assert_eq!(all_in(&folder.path().join("zone")).unwrap(), [found]);
        assert_eq!(all_in(&folder.path().join("zon")).unwrap(), [], "another folder");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_data_folder_has_one_holder_and_the_pid_file_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("server.pid");
        let held = claim(folder.path(), None).await.unwrap();
        assert!(claim(folder.path(), Some(&pid_file)).await.is_err());
        assert!(!pid_file.exists(), "who does not hold the folder does not say so");
        drop(held);
        let _held = claim(folder.path(), Some(&pid_file)).await.unwrap();
        assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), format!("{}\n", std::process::id()));
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
