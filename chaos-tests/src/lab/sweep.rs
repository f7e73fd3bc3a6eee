//! Ends and removes everything that a laboratory made: at its end, and at the next start when the runner was killed.

use std::collections::BTreeSet;
use std::path::Path;

use super::net::{existing, run};
use super::proc::descendants;
pub use super::proc::kill_9;

/// The parent of all containers' control groups.
pub const CGROUP: &str = "trireme-chaos";
const CGROUPS: &str = "/sys/fs/cgroup";
/// Those that are just being started are found at a second look.
const LOOKS: usize = 5;

/// Kills every process in our namespaces and control groups, removes the namespaces and all that is in `folder`.
pub fn sweep(folder: &Path) {
    for _ in 0..LOOKS {
        let pids = processes();
        if pids.is_empty() {
            break;
        }
        pids.iter().for_each(|pid| kill_9(*pid));
    }
    unmount(folder);
    for name in existing() {
        let _gone = run("ip", &["netns", "del", &name]);
    }
    let _gone = std::fs::remove_dir_all(folder);
    remove_cgroups();
}

/// Every process of ours but this one.
pub fn processes() -> Vec<u32> {
    let mut found: BTreeSet<u32> = BTreeSet::new();
    for name in existing() {
        found.extend(pids_in(&name));
    }
    let seeds: Vec<u32> = found.iter().copied().collect();
    found.extend(descendants(&seeds));
    found.extend(in_cgroups());
    // The runner itself is a client among the machines, and so may be a child that is just about to end.
    found.remove(&std::process::id());
    found.into_iter().filter(|pid| alive(*pid)).collect()
}

/// The processes in a namespace.
pub fn pids_in(namespace: &str) -> Vec<u32> {
    let listed = run("ip", &["netns", "pids", namespace]).unwrap_or_default();
    listed.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Dead processes that nobody has waited for need no killing.
fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

fn cgroup_folders() -> Vec<std::path::PathBuf> {
    let roots = std::fs::read_dir(CGROUPS).into_iter().flatten().flatten().map(|entry| entry.path());
    let roots = roots.chain([Path::new(CGROUPS).to_owned()]);
    let mut folders: Vec<_> = roots.map(|root| root.join(CGROUP)).filter(|path| path.is_dir()).collect();
    let mut next = 0;
    while next < folders.len() {
        let inside = std::fs::read_dir(&folders[next]).into_iter().flatten().flatten();
        let inside: Vec<_> = inside.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.extend(inside);
        next += 1;
    }
    folders
}

fn in_cgroups() -> Vec<u32> {
    let files = cgroup_folders().into_iter().map(|folder| folder.join("cgroup.procs"));
    let texts: Vec<String> = files.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse().ok()).collect()
}

/// The containers that have a living process, on all machines, whatever anyone says of them.
pub fn living_containers() -> usize {
    let has_process = |folder: &Path| {
        std::fs::read_to_string(folder.join("cgroup.procs"))
            .is_ok_and(|text| text.lines().filter_map(|line| line.parse().ok()).any(alive))
    };
    let of_hierarchy = |root: std::path::PathBuf| {
        let inside = std::fs::read_dir(root.join(CGROUP)).into_iter().flatten().flatten();
        inside.filter(|entry| has_process(&entry.path())).count()
    };
    // The same container is in each hierarchy of the first version; of the second there is one.
    let roots = std::fs::read_dir(CGROUPS).into_iter().flatten().flatten().map(|entry| entry.path());
    roots.chain([Path::new(CGROUPS).to_owned()]).map(of_hierarchy).max().unwrap_or(0)
}

fn remove_cgroups() {
    for folder in cgroup_folders().into_iter().rev() {
        let _busy = std::fs::remove_dir(folder);
    }
}

/// Unmounts what is mounted in a folder, the innermost first.
pub fn unmount(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let inside = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut inside: Vec<&str> = inside.filter(|at| Path::new(at).starts_with(folder)).collect();
    inside.sort_by_key(|at| std::cmp::Reverse(at.len()));
    for at in inside {
        let _gone = run("umount", &["-l", at]);
    }
}
