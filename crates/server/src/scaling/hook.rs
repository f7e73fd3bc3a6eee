//! The hook: a program of the operator's, which is told what a pool is to have, and has a limited time for it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use trireme_controllers::capacity::Order;
use trireme_state::State;
use trireme_state::object::CapacityProviderKey;

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(120);
/// What of its output is kept, in bytes.
const OUTPUT: usize = 4 * 1024;
/// Clusters that it is told of.
const CLUSTERS: usize = 100;
/// Once it has ended, what it started may hold its output open: no longer is it waited for.
const REST: Duration = Duration::from_millis(200);

/// A hook.
#[derive(Clone)]
pub(super) struct Hook {
    program: Arc<PathBuf>,
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With exit code 0.
    Done,
    /// With another one, or it could not be started.
    Failed(String),
    /// It took too long, and was killed with all that it started.
    TooLate(String),
}

impl Ended {
    /// For a metric.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Failed(_) => "failed",
            Self::TooLate(_) => "timeout",
        }
    }
}

/// What the hook reads, as JSON. Members are only ever added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    pool: String,
    capacity_provider: String,
    account: String,
    region: String,
    /// Those that have the capacity provider: a machine joins one of them.
    clusters: Vec<String>,
    request_id: String,
    wanted: u32,
    present: u32,
    removable: Vec<Machine>,
    reason: String,
}

/// A machine that may go.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    container_instance: String,
    name: String,
    zone: String,
}

/// A number as a UUID is written.
fn hyphenated(number: u128) -> String {
    let hex = format!("{number:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl Told {
    fn of(view: &State, key: &CapacityProviderKey, order: Order) -> Self {
        let machine = |id: &trireme_types::ContainerInstanceId| {
            let registration = &view.instance(*id)?.registration;
            let (name, zone) = (registration.name.clone(), registration.zone.to_string());
            Some(Machine { container_instance: id.to_string(), name, zone })
        };
        let clusters = view.clusters_of_provider(key).map(|cluster| cluster.name.to_string());
        Self {
            clusters: clusters.take(CLUSTERS).collect(),
            capacity_provider: key.name.to_string(),
            account: key.scope.account.to_string(),
            region: key.scope.region.to_string(),
            request_id: hyphenated(order.request),
            wanted: order.wanted,
            present: order.present,
            removable: order.removable.iter().filter_map(machine).collect(),
            pool: order.pool,
            reason: order.reason,
        }
    }

    /// The same for scripts that read no JSON.
    fn variables(&self) -> [(&'static str, String); 9] {
        let names: Vec<&str> = self.removable.iter().map(|machine| machine.name.as_str()).collect();
        [
            ("TRIREME_POOL", self.pool.clone()),
            ("TRIREME_CAPACITY_PROVIDER", self.capacity_provider.clone()),
            ("TRIREME_ACCOUNT", self.account.clone()),
            ("TRIREME_REGION", self.region.clone()),
            ("TRIREME_CLUSTER", self.clusters.first().cloned().unwrap_or_default()),
            ("TRIREME_REQUEST_ID", self.request_id.clone()),
            ("TRIREME_WANTED", self.wanted.to_string()),
            ("TRIREME_PRESENT", self.present.to_string()),
            ("TRIREME_REMOVABLE", names.join("\n")),
        ]
    }
}

impl Hook {
    pub fn new(program: PathBuf) -> Self {
        Self { program: Arc::new(program) }
    }

    /// Calls it.
    pub fn call(
        &self,
        view: &State,
        key: &CapacityProviderKey,
        order: Order,
    ) -> impl Future<Output = Ended> + Send + use<> {
        let (program, told) = (Arc::clone(&self.program), Told::of(view, key, order));
        async move { run(&program, &told, LIMIT).await }
    }
}

async fn run(program: &Path, told: &Told, limit: Duration) -> Ended {
    let mut command = Command::new(program);
    command.envs(told.variables()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What ends this process with its terminal does not end it half-way.
    let child = command.process_group(0).kill_on_drop(true).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Ended::Failed(format!("{} cannot be started: {error}", program.display())),
    };
    let group = Group::of(&child);
    let (stdout, stderr) = (said(child.stdout.take()), said(child.stderr.take()));
    let ended = tokio::time::timeout(limit, tell_and_wait(&mut child, told)).await;
    match &ended {
        Ok(Ok(_)) => group.ended(),
        _ => {
            drop(group);
            let _reaped = tokio::time::timeout(REST, child.wait()).await;
        }
    }
    for said in [stdout.heard().await, stderr.heard().await].iter().filter(|said| !said.is_empty()) {
        tracing::info!(pool = told.pool, said, "the scaling hook");
    }
    match ended {
        Err(_) => Ended::TooLate(format!("it took longer than {} s", limit.as_secs())),
        Ok(Err(error)) => Ended::Failed(error.to_string()),
        Ok(Ok(status)) if status.success() => Ended::Done,
        Ok(Ok(status)) => Ended::Failed(format!("{status}")),
    }
}

/// A call's processes: the program, and what it started that has no group of its own. They are killed with it, when it takes too long or
/// nobody waits for it any more: what is left of one call would work beside the next.
struct Group(Option<Pid>);

impl Group {
    /// The child leads its group, and has not been waited for yet.
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// By itself: what it left behind, such as the agents that it is for, stays.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _gone_already = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn tell_and_wait(child: &mut Child, told: &Told) -> std::io::Result<std::process::ExitStatus> {
    if let Some(mut stdin) = child.stdin.take() {
        let text = serde_json::to_vec(told).map_err(std::io::Error::other)?;
        // It need not read it.
        let _closed = stdin.write_all(&text).await;
    }
    child.wait().await
}

/// What it says, as far as it is kept.
struct Said {
    kept: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

/// Reads what it says to its end, and keeps the first of it.
fn said(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Said {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&kept);
    let reading = tokio::spawn(async move {
        let Some(mut pipe) = pipe else { return };
        let mut part = [0_u8; 1024];
        while let Ok(read @ 1..) = pipe.read(&mut part).await {
            let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
            let room = OUTPUT.saturating_sub(kept.len()).min(read);
            kept.extend_from_slice(&part[..room]);
        }
    });
    Said { kept, reading }
}

impl Said {
    /// All that was heard. Whoever holds the pipe open still is not listened to any more.
    async fn heard(mut self) -> String {
        let _still_open = tokio::time::timeout(REST, &mut self.reading).await;
        self.reading.abort();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn told() -> Told {
        Told {
            pool: "group-1".to_owned(),
            capacity_provider: "machines".to_owned(),
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            clusters: vec!["web".to_owned(), "jobs".to_owned()],
            request_id: hyphenated(7),
            wanted: 3,
            present: 2,
            removable: vec![Machine {
                container_instance: "c".to_owned(),
                name: "us-east-1a/agent-1".to_owned(),
                zone: "us-east-1a".to_owned(),
            }],
            reason: "more are needed".to_owned(),
        }
    }

    fn program(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("hook.sh");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn it_is_told_the_size_and_never_to_add() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "cat > {0}/stdin; printf '%s %s %s %s' \"$TRIREME_POOL\" \"$TRIREME_CLUSTER\" \"$TRIREME_WANTED\" \"$TRIREME_REMOVABLE\" > {0}/variables",
            folder.path().display()
        );
        let hook = program(folder.path(), &script);
        assert!(matches!(run(&hook, &told(), LIMIT).await, Ended::Done));
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("variables"), "group-1 web 3 us-east-1a/agent-1");
        let json: serde_json::Value = serde_json::from_str(&read("stdin")).unwrap();
        assert_eq!(json["clusters"], serde_json::json!(["web", "jobs"]));
        assert_eq!(json["wanted"], 3);
        assert_eq!(json["requestId"], "00000000-0000-0000-0000-000000000007");
        assert_eq!(json["removable"][0]["name"], "us-east-1a/agent-1");
    }

    #[tokio::test]
    async fn it_fails_with_its_exit_code_and_is_killed_when_it_takes_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let hook = program(folder.path(), "exit 3");
        let Ended::Failed(why) = run(&hook, &told(), LIMIT).await else { panic!("it failed") };
        assert!(why.contains('3'), "{why}");
        let slow = program(folder.path(), "exec tail -f /dev/null");
        assert!(matches!(run(&slow, &told(), Duration::from_millis(300)).await, Ended::TooLate(_)));
        let none = folder.path().join("none");
        assert!(matches!(run(&none, &told(), LIMIT).await, Ended::Failed(_)));
    }

    #[tokio::test]
    async fn what_it_started_is_killed_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("tail -f /dev/null & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
        let hook = program(folder.path(), &script);
        let child = || {
            let pid: i32 = std::fs::read_to_string(&pid).ok()?.trim().parse().ok()?;
            Some(Pid::from_raw(pid))
        };
        let is_gone = async |pid: Pid| {
            // Whoever inherits it has it waited for in its own time: until then it is there, and dead.
            let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut looks = tokio::time::interval(Duration::from_millis(10));
            while !state().is_empty() && !state().contains(") Z ") {
                looks.tick().await;
            }
        };
        assert!(matches!(run(&hook, &told(), Duration::from_secs(2)).await, Ended::TooLate(_)));
        is_gone(child().unwrap()).await;
        std::fs::remove_file(&pid).unwrap();
        {
            let (told, started) = (told(), async {
                let mut looks = tokio::time::interval(Duration::from_millis(10));
                while child().is_none() {
                    looks.tick().await;
                }
            });
            tokio::select! {
                ended = run(&hook, &told, LIMIT) => panic!("it waits for its child: {ended:?}"),
                () = started => {}
            }
        }
        is_gone(child().unwrap()).await;
    }

    #[tokio::test]
    async fn what_it_leaves_behind_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let hook = program(folder.path(), "sleep 5 & echo left behind");
        let ended = tokio::time::timeout(Duration::from_secs(30), run(&hook, &told(), LIMIT)).await;
        assert!(matches!(ended, Ok(Ended::Done)));
    }
}
