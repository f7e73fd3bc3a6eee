//! What running containers use, as the kernel counts it: the files of their control groups (version 1 or 2) and of their network
//! namespaces. Docker's own statistics take up to a second for each container, and say the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bollard::Docker;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use trireme_types::TaskId;

use super::call::{call, failed};
use super::{QUICK, found, labels};
use crate::runtime::{Failure, FailureKind, Found, Owner, Reading, Readings};

/// The kernel's processes, as files.
const PROC: &str = "/proc";
const GROUPS: &str = "/sys/fs/cgroup";

/// Where the kernel tells of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// Its first process.
    pid: i64,
    groups: Groups,
}

/// The folders of a container's control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Groups {
    /// One for each controller.
    V1 { cpu: PathBuf, memory: PathBuf, disk: PathBuf },
    /// One for all.
    V2(PathBuf),
}

/// Where containers were found, by id. Only those that run are kept.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<BTreeMap<String, Place>>);

impl Places {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all but these.
    fn keep(&self, ids: &BTreeSet<&str>) {
        self.lock().retain(|id, _| ids.contains(id.as_str()));
    }

    /// What is known of a container, if its first process is still the one that it was.
    fn known(&self, id: &str) -> Option<Place> {
        let place = self.lock().get(id).cloned()?;
        (find(id, place.pid).as_ref() == Some(&place)).then_some(place)
    }

    /// Finds a container by its first process.
    fn found(&self, id: &str, pid: i64) -> Option<Place> {
        let place = find(id, pid)?;
        self.lock().insert(id.to_owned(), place.clone());
        Some(place)
    }
}

/// What `owner`'s running containers use. Docker is asked which run, and once for the first process of each; the rest is the kernel's.
pub(super) async fn of(docker: &Docker, places: &Places, owner: &Owner) -> Result<Readings, Failure> {
    let cannot = |outcome| failed(FailureKind::CannotInspect, outcome);
    let filters = HashMap::from([("label", vec![labels::of_agent(owner)])]);
    let options = ListContainersOptionsBuilder::default().filters(&filters).build();
    let listed = call("list", QUICK, docker.list_containers(Some(options))).await.map_err(cannot)?;
    let running: Vec<Found> = listed.iter().filter_map(found::container).collect();
    places.keep(&running.iter().map(|found| found.id.as_str()).collect());
    let mut to_read = Vec::with_capacity(running.len());
    for Found { id, task, .. } in running {
        let Some(task) = task else { continue };
        let place = match places.known(&id) {
            Some(place) => Some(place),
            None => {
                match call("inspect", QUICK, docker.inspect_container(&id, None::<InspectContainerOptions>))
                    .await
                {
                    Ok(known) => {
                        let pid = known.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
                        pid.and_then(|pid| places.found(&id, pid))
                    }
                    Err(outcome) if outcome.is_not_found() => None,
                    Err(outcome) => return Err(cannot(outcome)),
                }
            }
        };
        to_read.extend(place.map(|place| (id, task, place)));
    }
    // Several files for each of them.
    let read_all = move || {
        let read = |(id, task, place): (String, TaskId, Place)| Some((id, (task, read(&place)?)));
        to_read.into_iter().filter_map(read).collect()
    };
    tokio::task::spawn_blocking(read_all)
        .await
        .map_err(|error| Failure::new(FailureKind::CannotInspect, error.to_string()))
}

fn find(id: &str, pid: i64) -> Option<Place> {
    let text = std::fs::read_to_string(Path::new(PROC).join(pid.to_string()).join("cgroup")).ok()?;
    Some(Place { pid, groups: groups(id, &text, Path::new(GROUPS))? })
}

/// The folders that `/proc/PID/cgroup` names; none when the process is not of that container.
fn groups(id: &str, text: &str, root: &Path) -> Option<Groups> {
    let mut by_controller = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let Some(path) = of_container(id, path) else { continue };
        for controller in controllers.split(',') {
            by_controller.insert(controller.to_owned(), path.clone());
        }
    }
    let v1 = |controller: &str| Some(root.join(controller).join(by_controller.get(controller)?));
    match (v1("cpuacct"), v1("memory"), v1("blkio")) {
        (Some(cpu), Some(memory), Some(disk)) => Some(Groups::V1 { cpu, memory, disk }),
        _ => by_controller.get("").map(|path| Groups::V2(root.join(path))),
    }
}

/// The container's own group: its processes may be in groups below it.
fn of_container(id: &str, path: &str) -> Option<PathBuf> {
    let mut own = PathBuf::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if part == ".." {
            // Seen from another group: it cannot be found from here.
            return None;
        }
        own.push(part);
        if part.contains(id) {
            return Some(own);
        }
    }
    None
}

/// What a container uses now; `None` when it has ended meanwhile.
fn read(place: &Place) -> Option<Reading> {
    let (cpu_nanos, memory_bytes, (read, written)) = match &place.groups {
        Groups::V1 { cpu, memory, disk } => (
            number(&cpu.join("cpuacct.usage"))?,
            memory_v1(memory)?,
            disk_v1(
                &text(&disk.join("blkio.throttle.io_service_bytes_recursive"))
                    .or_else(|| text(&disk.join("blkio.throttle.io_service_bytes")))
                    .unwrap_or_default(),
            ),
        ),
        Groups::V2(group) => (
            value(&text(&group.join("cpu.stat"))?, "usage_usec")?.saturating_mul(1_000),
            number(&group.join("memory.current"))?
                .saturating_sub(value(&text(&group.join("memory.stat"))?, "inactive_file").unwrap_or(0)),
            disk_v2(&text(&group.join("io.stat")).unwrap_or_default()),
        ),
    };
    let process = Path::new(PROC).join(place.pid.to_string());
    let namespace = std::fs::read_link(process.join("ns/net")).ok()?;
    let own = std::fs::read_link(Path::new(PROC).join("self/ns/net")).ok();
    let network = if own.as_ref() == Some(&namespace) {
        // The machine's own network: nobody counts what is the container's.
        None
    } else {
        let (received, sent) = network(&text(&process.join("net/dev"))?);
        Some((namespace.to_string_lossy().into_owned(), received, sent))
    };
    Some(Reading { cpu_nanos, memory_bytes, disk_read_bytes: read, disk_written_bytes: written, network })
}

fn text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn number(path: &Path) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// The value of a line `name value`.
fn value(text: &str, name: &str) -> Option<u64> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(known, _)| *known == name).and_then(|(_, value)| value.trim().parse().ok())
}

/// What is used, without what the kernel gives back at once: as Docker's own command counts it.
fn memory_v1(group: &Path) -> Option<u64> {
    let used = number(&group.join("memory.usage_in_bytes"))?;
    let cache = text(&group.join("memory.stat")).and_then(|stat| value(&stat, "total_inactive_file"));
    Some(used.saturating_sub(cache.unwrap_or(0)))
}

/// Bytes read and written, over all disks: lines such as `8:0 Read 4096`.
fn disk_v1(text: &str) -> (u64, u64) {
    let mut sum = (0_u64, 0_u64);
    for line in text.lines() {
        let mut parts = line.split(' ').skip(1);
        let (Some(what), Some(bytes)) =
            (parts.next(), parts.next().and_then(|bytes| bytes.parse::<u64>().ok()))
        else {
            continue;
        };
        match what {
            "Read" => sum.0 = sum.0.saturating_add(bytes),
            "Write" => sum.1 = sum.1.saturating_add(bytes),
            _ => {}
        }
    }
    sum
}

/// The same of lines such as `8:0 rbytes=4096 wbytes=0 rios=1`.
fn disk_v2(text: &str) -> (u64, u64) {
    let of = |name: &str| {
        let fields = text.split_ascii_whitespace().filter_map(|field| field.split_once('='));
        let bytes =
            fields.filter(|(known, _)| *known == name).filter_map(|(_, bytes)| bytes.parse::<u64>().ok());
        bytes.fold(0_u64, u64::saturating_add)
    };
    (of("rbytes"), of("wbytes"))
}

/// Bytes received and sent, over all devices but the loopback: lines such as `eth0: 1044 14 0 0 0 0 0 0 500 5 ..`.
fn network(text: &str) -> (u64, u64) {
    let mut sum = (0_u64, 0_u64);
    for line in text.lines() {
        let Some((device, counts)) = line.split_once(':') else { continue };
        let counts: Vec<u64> =
            counts.split_ascii_whitespace().filter_map(|count| count.parse().ok()).collect();
        if device.trim() != "lo"
            && let (Some(received), Some(sent)) = (counts.first(), counts.get(8))
        {
            sum = (sum.0.saturating_add(*received), sum.1.saturating_add(*sent));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_groups_are_found_under_both_versions_and_drivers() {
        let root = Path::new("/g");
        let v1 = "9:name=systemd:/docker/c0ffee\n5:cpuacct,cpu:/docker/c0ffee\n4:memory:/docker/c0ffee/below\n\
                  3:blkio:/docker/c0ffee\n0::/\n";
        let found = groups("c0ffee", v1, root).unwrap();
        let at = |controller: &str| root.join(controller).join("docker/c0ffee");
        assert_eq!(found, Groups::V1 { cpu: at("cpuacct"), memory: at("memory"), disk: at("blkio") });

        let v2 = "0::/trireme.slice/task.slice/docker-c0ffee.scope/init\n";
        let found = groups("c0ffee", v2, root).unwrap();
        assert_eq!(found, Groups::V2(root.join("trireme.slice/task.slice/docker-c0ffee.scope")));

        for other in ["0::/docker/decaf\n", "0::/../c0ffee\n", "", "0:"] {
            assert_eq!(groups("c0ffee", other, root), None, "{other}");
        }
    }

    #[test]
    fn the_kernels_counts_are_read() {
        assert_eq!(value("usage_usec 7000\nuser_usec 1\n", "usage_usec"), Some(7_000));
        assert_eq!(value("usage_usec many\n", "usage_usec"), None);
        assert_eq!(disk_v1("8:0 Read 10\n8:0 Write 20\n8:16 Read 1\n8:16 Sync 9\nTotal 31\n"), (11, 20));
        assert_eq!(disk_v2("8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=0\n"), (11, 20));
        let devices = "Inter-|   Receive |  Transmit\n face |bytes packets\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  \
                       eth0: 100 3 0 0 0 0 0 0 50 2 0 0 0 0 0 0\n  eth1:1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n";
        assert_eq!(network(devices), (101, 52));
    }
}
