//! The control group around a task: what its containers have together is limited there (ECS API: TaskDefinition.cpu, memory).
//!
//! The agent makes it in the kernel's file system, in `/trireme/INSTANCE/TASK`, and Docker puts the containers into it; with Docker's
//! systemd driver it is a slice, and systemd is told the limits. Where the agent cannot, since it may not write there or Docker runs
//! on another machine, each container has the task's limits for itself.

use std::collections::BTreeSet;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum};
use trireme_rpc::agent::AssignedTask;
use trireme_types::TaskId;

use crate::runtime::{Over, Owner};

/// Where Linux shows control groups.
const ROOT: &str = "/sys/fs/cgroup";
/// The group of all agents' tasks.
const OURS: &str = "trireme";
/// Of the quota, in microseconds.
const PERIOD: u64 = 100_000;
/// The kernel takes no lower quota.
const LEAST_QUOTA: u64 = 1_000;
/// ECS API: cpu units of one processor.
const UNITS: u64 = 1024;
/// Linux's least and greatest shares.
const SHARES: (u64, u64) = (2, 262_144);
const MEBIBYTE: u64 = 1 << 20;
/// A folder above may be removed by another agent just then.
const TRIES: u32 = 5;

/// What limits there are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A hierarchy for each controller.
    First,
    /// One hierarchy.
    Unified,
    /// Slices, whose limits systemd writes.
    Systemd,
}

/// The groups of this agent's tasks.
#[derive(Debug)]
pub(super) struct Cgroups {
    kind: Kind,
    root: PathBuf,
    /// Tasks whose group was made: the group above them goes with the last one.
    made: Mutex<BTreeSet<String>>,
}

/// A task's limits. 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    cpu: u64,
    memory: u64,
}

impl Limits {
    fn of(task: &AssignedTask) -> Self {
        Self { cpu: task.cpu_units.into(), memory: u64::from(task.memory_mib) * MEBIBYTE }
    }

    fn quota(self) -> u64 {
        (self.cpu * PERIOD / UNITS).max(LEAST_QUOTA)
    }

    fn shares(self) -> u64 {
        self.cpu.clamp(SHARES.0, SHARES.1)
    }

    /// Files of the group, with their content: controller, file, text.
    fn files(self, kind: Kind) -> Vec<(&'static str, &'static str, String)> {
        let mut files = Vec::new();
        if self.cpu > 0 && kind == Kind::First {
            files.push(("cpu", "cpu.shares", self.shares().to_string()));
            files.push(("cpu", "cpu.cfs_period_us", PERIOD.to_string()));
            files.push(("cpu", "cpu.cfs_quota_us", self.quota().to_string()));
        } else if self.cpu > 0 {
            // As runtimes turn shares into weights.
            let weight = 1 + (self.shares() - 2) * 9_999 / 262_142;
            files.push(("cpu", "cpu.weight", weight.to_string()));
            files.push(("cpu", "cpu.max", format!("{} {PERIOD}", self.quota())));
        }
        if self.memory > 0 {
            let file = if kind == Kind::First { "memory.limit_in_bytes" } else { "memory.max" };
            files.push(("memory", file, self.memory.to_string()));
        }
        files
    }

    /// What systemd is told of a slice.
    fn properties(self) -> Vec<String> {
        let mut properties = Vec::new();
        if self.cpu > 0 {
            // In hundredths of a percent, which is as fine as systemd takes it.
            let hundredths = self.quota() * 10_000 / PERIOD;
            properties.push(format!("CPUQuota={}.{:02}%", hundredths / 100, hundredths % 100));
        }
        if self.memory > 0 {
            properties.push(format!("MemoryMax={}", self.memory));
        }
        properties
    }
}

/// Whether a task has limits of its own.
pub(super) fn is_limited(task: &AssignedTask) -> bool {
    task.cpu_units > 0 || task.memory_mib > 0
}

/// A container's share of a task's cpu where there is no group around the task, as Docker takes it: period and quota.
pub(super) fn quota_of_container(task: &AssignedTask) -> Option<(i64, i64)> {
    let limits = Limits::of(task);
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    (limits.cpu > 0).then(|| (number(PERIOD), number(limits.quota())))
}

impl Cgroups {
    /// The groups of the machine on which Docker says it runs, if that is this one and its groups can be made.
    pub(super) fn of(info: &SystemInfo) -> Option<Self> {
        let cgroups = Self::known(info, machine_memory()?, Path::new(ROOT))?;
        match cgroups.can_be_made() {
            Ok(()) => Some(cgroups),
            Err(error) => {
                tracing::warn!(%error, "no control group can be made around tasks: each container has its task's limits for itself");
                None
            }
        }
    }

    /// The same, by what Docker said, and by this machine's memory.
    fn known(info: &SystemInfo, memory: i64, root: &Path) -> Option<Self> {
        // Docker says the machine's memory to the byte: another machine's is another.
        if info.mem_total != Some(memory) {
            return None;
        }
        let unified = info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_2);
        let kind = match info.cgroup_driver {
            Some(SystemInfoCgroupDriverEnum::CGROUPFS) if unified => Kind::Unified,
            Some(SystemInfoCgroupDriverEnum::CGROUPFS) => Kind::First,
            Some(SystemInfoCgroupDriverEnum::SYSTEMD) => Kind::Systemd,
            _ => return None,
        };
        Some(Self { kind, root: root.to_owned(), made: Mutex::default() })
    }

    fn can_be_made(&self) -> Result<(), IoError> {
        match self.kind {
            Kind::Systemd => systemctl(&["--version".to_owned()]),
            Kind::First | Kind::Unified => {
                let probe = format!("{OURS}/probe-{:x}", rand::random::<u64>());
                let made = self.hierarchies()?.iter().try_for_each(|one| make(&one.join(&probe)));
                for hierarchy in self.hierarchies()? {
                    remove(&hierarchy.join(&probe))?;
                    let _ = std::fs::remove_dir(hierarchy.join(OURS));
                }
                made
            }
        }
    }

    fn made(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folders in which groups are made.
    fn hierarchies(&self) -> Result<Vec<PathBuf>, IoError> {
        if self.kind != Kind::First {
            return Ok(vec![self.root.clone()]);
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let path = entry?.path();
            // Of controllers that are together, one name is a link to the other.
            if path.is_dir() && !path.is_symlink() {
                found.push(path);
            }
        }
        match ["cpu", "memory"].iter().find(|name| !self.root.join(name).is_dir()) {
            Some(name) => Err(IoError::other(format!("there is no controller {name}"))),
            None => Ok(found),
        }
    }

    /// Makes the group around a task, if it has limits, and gives the name by which Docker finds it.
    pub(super) fn prepare(&self, owner: &Owner, task: &AssignedTask) -> Result<Option<String>, IoError> {
        if !is_limited(task) {
            return Ok(None);
        }
        let limits = Limits::of(task);
        let mut made = self.made();
        made.insert(task.task_id.clone());
        if self.kind == Kind::Systemd {
            let slice = slice(&owner.instance, &task.task_id);
            let set = ["set-property", "--runtime", &slice].map(str::to_owned);
            systemctl(&set.into_iter().chain(limits.properties()).collect::<Vec<_>>())?;
            return Ok(Some(slice));
        }
        let group = path(&owner.instance, &task.task_id);
        // In all of them: Docker makes no folder above a container's then.
        for hierarchy in self.hierarchies()? {
            make(&hierarchy.join(&group))?;
        }
        if self.kind == Kind::Unified {
            let above =
                [".".to_owned(), OURS.to_owned(), format!("{OURS}/{}", owner.instance), group.clone()];
            for folder in above {
                std::fs::write(self.root.join(folder).join("cgroup.subtree_control"), "+cpu +memory")?;
            }
        }
        for (controller, file, text) in limits.files(self.kind) {
            let hierarchy =
                if self.kind == Kind::First { self.root.join(controller) } else { self.root.clone() };
            std::fs::write(hierarchy.join(&group).join(file), text)?;
        }
        Ok(Some(format!("/{group}")))
    }

    /// Removes the groups of tasks that are over. Succeeds when there are none.
    pub(super) fn release(&self, owner: &Owner, over: &Over) -> Result<(), IoError> {
        let mut made = self.made();
        let mut first = Ok(());
        let tasks = match over {
            // Of a task that nobody knows any more it is not known whether it had limits.
            Over::Task(id, task) if is_limited(task) || self.kind != Kind::Systemd => vec![id.to_string()],
            Over::Task(..) | Over::AllBut(_) => self.found(owner)?,
        };
        let is_over = |id: &String| id.parse::<TaskId>().is_ok_and(|id| over.holds(id));
        for task in tasks.into_iter().filter(is_over) {
            match self.remove(&owner.instance, &task) {
                Ok(()) => drop(made.remove(&task)),
                Err(error) => first = first.and(Err(error)),
            }
        }
        if made.is_empty() && self.kind != Kind::Systemd {
            for hierarchy in self.hierarchies()? {
                // Others may be in use, or gone.
                let _ = std::fs::remove_dir(hierarchy.join(OURS).join(&owner.instance));
                let _ = std::fs::remove_dir(hierarchy.join(OURS));
            }
        }
        first
    }

    fn remove(&self, instance: &str, task: &str) -> Result<(), IoError> {
        if self.kind == Kind::Systemd {
            let slice = slice(instance, task);
            systemctl(&["stop".to_owned(), slice.clone()])?;
            return systemctl(&["revert".to_owned(), slice]);
        }
        let group = path(instance, task);
        self.hierarchies()?.iter().try_for_each(|hierarchy| remove(&hierarchy.join(&group)))
    }

    /// The tasks whose groups are there.
    fn found(&self, owner: &Owner) -> Result<Vec<String>, IoError> {
        let mut tasks = BTreeSet::new();
        for hierarchy in self.hierarchies()? {
            let above = match self.kind {
                Kind::Systemd => hierarchy.join(slice_path(&owner.instance)),
                Kind::First | Kind::Unified => hierarchy.join(OURS).join(&owner.instance),
            };
            let entries = match std::fs::read_dir(above) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let name = entry?.file_name().to_string_lossy().into_owned();
                let before = format!("{OURS}-{}-", owner.instance);
                let task = name.strip_prefix(&before).and_then(|rest| rest.strip_suffix(".slice"));
                tasks.insert(task.unwrap_or(&name).to_owned());
            }
        }
        Ok(tasks.into_iter().collect())
    }
}

fn path(instance: &str, task: &str) -> String {
    format!("{OURS}/{instance}/{task}")
}

/// A slice's name says in which others it is.
fn slice(instance: &str, task: &str) -> String {
    format!("{OURS}-{instance}-{task}.slice")
}

fn slice_path(instance: &str) -> String {
    format!("{OURS}.slice/{OURS}-{instance}.slice")
}

fn make(group: &Path) -> Result<(), IoError> {
    let mut made = Ok(());
    for _ in 0..TRIES {
        made = std::fs::create_dir_all(group);
        if made.as_ref().is_ok_and(|()| group.is_dir()) {
            return Ok(());
        }
    }
    made
}

/// Removes a group and those in it, of containers that are gone. Their files are the kernel's, and go with them.
fn remove(group: &Path) -> Result<(), IoError> {
    let entries = match std::fs::read_dir(group) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    match std::fs::remove_dir(group) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn systemctl(arguments: &[String]) -> Result<(), IoError> {
    let output = std::process::Command::new("systemctl").args(arguments).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(IoError::other(format!(
            "systemctl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

/// This machine's memory, as Docker says it: in bytes.
fn machine_memory() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: i64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
#[path = "cgroup/tests.rs"]
mod tests;
