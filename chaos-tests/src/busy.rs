//! How busy the machine is without us. A time that is over its budget is read with it: what Trireme itself makes the machine do
//! excuses nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use trireme_testkit::hold;

use crate::lab::sweep::processes;

/// Looks at what wants to run.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// How many threads of others want to run, for each processor, as seen within a second. Ours are the laboratory's processes and
/// this one.
pub async fn others() -> f64 {
    let mut ours: BTreeSet<u32> = processes().into_iter().collect();
    ours.insert(std::process::id());
    let mut seen = 0;
    for _ in 0..LOOKS {
        seen += wanting(&ours);
        hold(PAUSE).await;
    }
    seen as f64 / f64::from(LOOKS) / processors()
}

/// The load of the last minute for each processor, ours included.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    load / processors()
}

fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64)
}

/// The numbers that a folder of the kernel's has as names.
fn numbers(folder: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn wanting(ours: &BTreeSet<u32>) -> usize {
    let processes = numbers(Path::new("/proc")).into_iter().filter(|pid| !ours.contains(pid));
    processes.map(runnable).sum()
}

/// A process's threads that run or wait for a processor.
fn runnable(pid: u32) -> usize {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let state = |thread: &u32| {
        let stat = std::fs::read_to_string(tasks.join(thread.to_string()).join("stat")).ok()?;
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    };
    numbers(&tasks).iter().filter(|thread| state(thread) == Some('R')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_runs_is_seen_and_ours_are_left_out() {
        let own = std::process::id();
        // The one that looks.
        assert!(runnable(own) > 0);
        let all = numbers(Path::new("/proc")).into_iter().collect();
        assert_eq!(wanting(&all), 0);
    }
}
