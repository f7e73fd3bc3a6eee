//! Which crate may use which. Arrows go down, and only `server` knows `raft`.

use anyhow::Result;

use super::tree::{Finding, Package, Tree};

/// A room of the house: its level and the rooms it may name.
struct Room {
    name: &'static str,
    level: u8,
    may_use: &'static [&'static str],
}

const fn room(level: u8, name: &'static str, may_use: &'static [&'static str]) -> Room {
    Room { name, level, may_use }
}

/// The level of crates that only tests and people at work use. Nobody may depend on them, save in dev-dependencies.
const DEV: u8 = 9;

/// The table of the design. A new crate needs a line here.
const ROOMS: &[Room] = &[
    room(0, "types", &[]),
    room(0, "ecs-model", &[]),
    room(1, "state", &["types"]),
    room(1, "rpc", &["types"]),
    room(1, "iam", &["types"]),
    room(1, "schedule", &["types"]),
    room(2, "scheduler", &["types", "state", "schedule"]),
    room(2, "raft", &["types", "state", "rpc"]),
    room(2, "monitoring", &["types", "state", "rpc"]),
    room(2, "dispatcher", &["types", "state", "rpc"]),
    room(2, "agent", &["types", "rpc"]),
    room(3, "ecs-api", &["types", "state", "ecs-model", "iam", "schedule", "scheduler", "rpc", "monitoring"]),
    room(3, "controllers", &["types", "state", "schedule", "scheduler"]),
    room(3, "cli", &["types", "rpc"]),
    room(4, "delivery", &["types", "state", "iam", "ecs-api", "controllers"]),
    room(
        5,
        "server",
        &[
            "types",
            "ecs-model",
            "state",
            "rpc",
            "iam",
            "schedule",
            "scheduler",
            "raft",
            "dispatcher",
            "monitoring",
            "agent",
            "ecs-api",
            "controllers",
            "delivery",
            "cli",
        ],
    ),
    room(6, "trireme", &["server", "agent", "cli"]),
    room(
        DEV,
        "testkit",
        &["types", "state", "rpc", "iam", "scheduler", "dispatcher", "agent", "raft", "server"],
    ),
    room(DEV, "bench", &["types", "state", "rpc", "testkit"]),
    room(DEV, "xtask", &[]),
    room(
        DEV,
        "chaos-tests",
        &["types", "state", "rpc", "raft", "server", "agent", "cli", "testkit", "trireme"],
    ),
    room(
        DEV,
        "sim",
        &[
            "types",
            "state",
            "iam",
            "rpc",
            "scheduler",
            "raft",
            "dispatcher",
            "monitoring",
            "agent",
            "ecs-api",
            "server",
            "testkit",
        ],
    ),
];

/// Rooms that may name `raft`, in dev-dependencies too.
const KNOW_RAFT: &[&str] = &["server", "testkit", "chaos-tests", "sim"];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let manifest = tree.file(&package.manifest_path).map_or("", |file| file.text.as_str());
        for (named, message) in broken(package) {
            let line = manifest
                .lines()
                .position(|line| line.trim_start().starts_with(&named))
                .map_or(1, |at| at + 1);
            findings.push(Finding::new(&package.manifest_path, line, message));
        }
    }
    Ok(findings)
}

fn short(package: &str) -> &str {
    package.strip_prefix("trireme-").unwrap_or(package)
}

fn find(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

/// Each forbidden arrow: the dependency's name, and why.
fn broken(package: &Package) -> Vec<(String, String)> {
    let name = short(&package.name);
    let Some(room) = find(name) else {
        return vec![("name".to_owned(), format!("the crate {name} has no line in tidy's table of rooms"))];
    };
    let mut broken = Vec::new();
    for dependency in &package.dependencies {
        let Some(used) = find(short(&dependency.name)) else { continue };
        let dev = dependency.kind.as_deref() == Some("dev");
        let message = if used.name == "raft" && !KNOW_RAFT.contains(&name) {
            format!("{name} names raft; only server does")
        } else if dev || room.may_use.contains(&used.name) {
            continue;
        } else {
            let rooms = if room.may_use.is_empty() { "no room".to_owned() } else { room.may_use.join(", ") };
            format!(
                "{name} (level {}) may not use {} (level {}), only {rooms}",
                room.level, used.name, used.level
            )
        };
        broken.push((dependency.name.clone(), message));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::super::tree::Dependency;
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
            .collect();
        Package { name: name.to_owned(), manifest_path: String::new(), dependencies, targets: Vec::new() }
    }

    #[test]
    fn the_table_points_down() {
        for room in ROOMS.iter().filter(|room| room.level < DEV) {
            for used in room.may_use {
                assert!(find(used).unwrap().level < room.level, "{} -> {used}", room.name);
            }
        }
    }

    #[test]
    fn allowed_arrows_and_foreign_crates_pass() {
        let allowed = package("trireme-raft", &[("trireme-state", None), ("openraft", None)]);
        assert_eq!(broken(&allowed), []);
        assert_eq!(broken(&package("trireme", &[("trireme-server", None)])), []);
        assert_eq!(broken(&package("trireme-state", &[("trireme-testkit", Some("dev"))])), []);
        assert_eq!(broken(&package("chaos-tests", &[("trireme-raft", Some("dev"))])), []);
    }

    #[test]
    fn forbidden_arrows_are_found() {
        assert_eq!(broken(&package("trireme-state", &[("trireme-raft", None)])).len(), 1);
        assert_eq!(broken(&package("trireme-types", &[("trireme-state", Some("build"))])).len(), 1);
        assert_eq!(broken(&package("trireme-cli", &[("trireme-testkit", None)])).len(), 1);
        assert_eq!(broken(&package("trireme-controllers", &[("trireme-raft", Some("dev"))])).len(), 1);
        assert_eq!(broken(&package("trireme", &[("trireme-raft", None)])).len(), 1);
    }

    #[test]
    fn an_unknown_crate_needs_a_line() {
        assert_eq!(broken(&package("trireme-shed", &[])).len(), 1);
    }
}
