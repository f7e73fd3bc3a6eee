use std::sync::Arc;

use super::*;

/// What Docker Engines of three kinds say of themselves, recorded: as far as it matters here.
const FIRST: &str = r#"{"CgroupDriver":"cgroupfs","CgroupVersion":"1","MemTotal":25276510208}"#;
const UNIFIED: &str = r#"{"CgroupDriver":"cgroupfs","CgroupVersion":"2","MemTotal":25276510208}"#;
const SYSTEMD: &str = r#"{"CgroupDriver":"systemd","CgroupVersion":"2","MemTotal":25276510208}"#;
const MEMORY: i64 = 25_276_510_208;

fn known(info: &str, memory: i64, root: &Path) -> Option<Cgroups> {
    Cgroups::known(&serde_json::from_str(info).unwrap(), memory, root)
}

fn owner() -> Owner {
    Owner { instance: "abc".to_owned(), ..Owner::default() }
}

fn task(number: u128, cpu_units: u32, memory_mib: u32) -> AssignedTask {
    let task_id = TaskId::from_bits(number).to_string();
    AssignedTask { task_id, cpu_units, memory_mib, ..AssignedTask::default() }
}

/// Folders in place of the kernel's.
fn machine(controllers: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for controller in controllers {
        std::fs::create_dir(root.path().join(controller)).unwrap();
    }
    root
}

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| format!("{}: {error}", path.display()))
}

/// The kernel's files go with their group; these here do not.
fn forget_files(root: &Path, files: &[&str]) {
    for file in files {
        std::fs::remove_file(root.join(file)).unwrap();
    }
}

#[test]
fn what_docker_says_decides_where_limits_go() {
    let root = Path::new("/nowhere");
    let kind = |info| known(info, MEMORY, root).map(|cgroups| cgroups.kind);
    assert_eq!(kind(FIRST), Some(Kind::First));
    assert_eq!(kind(UNIFIED), Some(Kind::Unified));
    assert_eq!(kind(SYSTEMD), Some(Kind::Systemd));
    assert_eq!(kind(r#"{"CgroupDriver":"none","CgroupVersion":"2","MemTotal":25276510208}"#), None);
    assert!(known(FIRST, MEMORY - 4096, root).is_none(), "it is another machine's");
}

#[test]
fn a_group_in_each_hierarchy_has_the_tasks_limits_and_goes_with_it() {
    let root = machine(&["cpu", "memory", "pids"]);
    let at = |file: &str| root.path().join(file);
    let cgroups = known(FIRST, MEMORY, root.path()).unwrap();
    let limited = task(1, 256, 64);
    let group = format!("trireme/abc/{}", limited.task_id);
    assert_eq!(cgroups.prepare(&owner(), &limited).unwrap(), Some(format!("/{group}")));
    assert_eq!(text(at(&format!("cpu/{group}/cpu.shares"))), "256");
    assert_eq!(text(at(&format!("cpu/{group}/cpu.cfs_period_us"))), "100000");
    assert_eq!(text(at(&format!("cpu/{group}/cpu.cfs_quota_us"))), "25000");
    assert_eq!(text(at(&format!("memory/{group}/memory.limit_in_bytes"))), (64 << 20).to_string());
    assert!(at(&format!("pids/{group}")).is_dir());
    assert_eq!(cgroups.prepare(&owner(), &task(2, 0, 0)).unwrap(), None, "it has no limits");

    std::fs::create_dir(at(&format!("pids/{group}/container"))).unwrap();
    let files =
        ["cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us"].map(|file| format!("cpu/{group}/{file}"));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    forget_files(root.path(), &files);
    forget_files(root.path(), &[&format!("memory/{group}/memory.limit_in_bytes")]);
    let over = Over::Task(TaskId::from_bits(1), Arc::new(limited));
    cgroups.release(&owner(), &over).unwrap();
    assert!(!at("cpu/trireme").exists() && !at("memory/trireme").exists() && !at("pids/trireme").exists());
}

#[test]
fn groups_of_tasks_that_nobody_knows_any_more_are_found() {
    let root = machine(&["cpu", "memory"]);
    let (left, over) = (TaskId::from_bits(1), TaskId::from_bits(2));
    for id in [left, over] {
        std::fs::create_dir_all(root.path().join(format!("memory/trireme/abc/{id}"))).unwrap();
    }
    std::fs::create_dir_all(root.path().join(format!("memory/trireme/other/{over}"))).unwrap();
    let cgroups = known(FIRST, MEMORY, root.path()).unwrap();
    cgroups.release(&owner(), &Over::AllBut([left].into())).unwrap();
    assert!(root.path().join(format!("memory/trireme/abc/{left}")).exists());
    assert!(!root.path().join(format!("memory/trireme/abc/{over}")).exists());
    assert!(root.path().join(format!("memory/trireme/other/{over}")).exists(), "another agent's");
}

#[test]
fn in_the_one_hierarchy_the_controllers_are_handed_down() {
    let root = machine(&[]);
    let cgroups = known(UNIFIED, MEMORY, root.path()).unwrap();
    let limited = task(1, 2048, 64);
    let group = cgroups.prepare(&owner(), &limited).unwrap().unwrap();
    let at = |file: &str| root.path().join(file);
    assert_eq!(text(at(&format!("{}/cpu.max", &group[1..]))), "200000 100000");
    assert_eq!(text(at(&format!("{}/cpu.weight", &group[1..]))), "79");
    assert_eq!(text(at(&format!("{}/memory.max", &group[1..]))), (64 << 20).to_string());
    for above in [".", "trireme", "trireme/abc", &group[1..]] {
        assert_eq!(text(at(&format!("{above}/cgroup.subtree_control"))), "+cpu +memory");
    }
}

#[test]
fn systemd_is_told_the_limits_of_a_slice() {
    let limits = Limits::of(&task(1, 256, 64));
    assert_eq!(limits.properties(), ["CPUQuota=25.00%", "MemoryMax=67108864"]);
    assert_eq!(Limits::of(&task(1, 130, 0)).properties(), ["CPUQuota=12.69%"]);
    assert_eq!(slice("abc", "def"), "trireme-abc-def.slice");
    // The slices of an agent's tasks are found below its own.
    let root = tempfile::tempdir().unwrap();
    let name = slice("abc", &TaskId::from_bits(1).to_string());
    std::fs::create_dir_all(root.path().join(slice_path("abc")).join(name)).unwrap();
    let cgroups = known(SYSTEMD, MEMORY, root.path()).unwrap();
    assert_eq!(cgroups.found(&owner()).unwrap(), [TaskId::from_bits(1).to_string()]);
}

#[test]
fn without_a_group_each_container_has_the_tasks_quota() {
    assert_eq!(quota_of_container(&task(1, 512, 0)), Some((100_000, 50_000)));
    assert_eq!(quota_of_container(&task(1, 0, 64)), None);
    assert_eq!(Limits::of(&task(1, 1, 0)).quota(), LEAST_QUOTA);
}
