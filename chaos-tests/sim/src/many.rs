//! Many seeds, each in a process of its own: a run leaves nothing behind for the next one, and a run that hangs is ended.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No run takes so long in real time.
const LIMIT: Duration = Duration::from_secs(180);
/// Between two looks at the processes.
const LOOK: Duration = Duration::from_millis(5);

/// One seed's run, for the command line.
#[derive(Debug, Clone)]
pub struct Job {
    /// The seed.
    pub seed: u64,
    /// The planted bug.
    pub plant: Option<String>,
}

/// What a process said.
#[derive(Debug, Clone)]
pub struct Done {
    /// Whose.
    pub seed: u64,
    /// Everything held.
    pub ok: bool,
    /// Its last line, or all of them when it failed.
    pub text: String,
}

struct Running {
    seed: u64,
    child: Child,
    output: PathBuf,
    since: Instant,
}

/// Runs jobs, `width` at a time, and tells `seen` of each. Stops when `seen` says so.
///
/// # Errors
/// Processes cannot be started.
pub fn run(
    jobs: impl IntoIterator<Item = Job>,
    width: usize,
    mut seen: impl FnMut(Done) -> bool,
) -> std::io::Result<()> {
    let program = std::env::current_exe()?;
    let folder = std::env::temp_dir().join(format!("trireme-sim-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut jobs = jobs.into_iter();
    let mut running: VecDeque<Running> = VecDeque::new();
    let (mut open, mut stopped) = (true, false);
    loop {
        while open && running.len() < width.max(1) {
            let Some(job) = jobs.next() else {
                open = false;
                break;
            };
            running.push_back(start(&program, &folder, &job)?);
        }
        if running.is_empty() {
            break;
        }
        for _ in 0..running.len() {
            let Some(mut one) = running.pop_front() else { break };
            let late = one.since.elapsed() > LIMIT;
            if late {
                one.child.kill()?;
            }
            match one.child.try_wait()? {
                Some(status) => {
                    let mut text = std::fs::read_to_string(&one.output).unwrap_or_default();
                    if late {
                        text.push_str("\nit ran for too long and was ended");
                    }
                    let _best_effort = std::fs::remove_file(&one.output);
                    let done = Done { seed: one.seed, ok: status.success() && !late, text };
                    if !stopped && !seen(done) {
                        (open, stopped) = (false, true);
                    }
                }
                None => running.push_back(one),
            }
        }
        pause();
    }
    let _best_effort = std::fs::remove_dir_all(&folder);
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "there is no runtime here whose thread it could block")]
fn pause() {
    std::thread::sleep(LOOK);
}

fn start(program: &std::path::Path, folder: &std::path::Path, job: &Job) -> std::io::Result<Running> {
    let output = folder.join(format!("{}.out", job.seed));
    let file = std::fs::File::create(&output)?;
    let mut command = Command::new(program);
    command.arg("one").arg(job.seed.to_string());
    if let Some(plant) = &job.plant {
        command.args(["--plant", plant]);
    }
    let child = command.stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file).spawn()?;
    Ok(Running { seed: job.seed, child, output, since: Instant::now() })
}
