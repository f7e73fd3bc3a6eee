//! Things that have one place: what encodes the log, what reads the clock, who knows RocksDB, openraft and Docker.

use anyhow::Result;

use super::lexer::has_word;
use super::tree::{File, Finding, Tree};

/// A crate or two that only some paths may name, in code and in manifests.
struct Confined {
    names: &'static [&'static str],
    /// Prefixes of paths.
    within: &'static [&'static str],
    why: &'static str,
}

const CONFINED: &[Confined] = &[
    Confined {
        names: &["bincode"],
        within: &["crates/state/src/codec", "crates/state/Cargo.toml"],
        why: "it is positional: a field added in the middle decodes wrongly in silence; only state::codec freezes its structs",
    },
    Confined {
        names: &["openraft", "rocksdb"],
        within: &["crates/raft/"],
        why: "only raft knows openraft and RocksDB",
    },
    Confined {
        names: &["bollard"],
        within: &["crates/agent/src/runtime", "crates/agent/Cargo.toml"],
        why: "only agent::runtime knows Docker",
    },
];

/// Calls that read a clock.
const CLOCKS: &[&str] =
    &["SystemTime::now", "Instant::now", "Utc::now", "Local::now", "Timestamp::now", "Zoned::now"];

/// Files that may read a clock, and why. Everyone else is given the time.
const CLOCK_READERS: &[(&str, &str)] = &[
    ("crates/raft/src/clock.rs", "the decider's clock, from which all other time comes"),
    ("crates/raft/src/log/flusher.rs", "measures how long an fsync takes"),
    ("crates/raft/src/node/inspection.rs", "reads no faster than it should"),
    ("crates/rpc/src/tcp.rs", "gives up on an address after its share of the limit"),
    ("crates/ecs-api/src/clock.rs", "the age of signatures, and how long an answer takes"),
    ("crates/agent/src/clock.rs", "limits and the times in reports"),
    ("crates/delivery/src/call.rs", "calls no endpoint more often than it may"),
    ("crates/delivery/src/office.rs", "writes down at steady times, and reads again after a pause"),
    ("crates/dispatcher/src/clock.rs", "when an agent was last heard"),
    ("crates/cli/src/events.rs", "gives up after the operator's limit"),
    ("crates/cli/src/logs.rs", "gives up when nothing came for long"),
    ("crates/cli/src/logs/since.rs", "how long ago is a moment"),
    ("crates/cli/src/wait.rs", "gives up after the operator's limit"),
    ("crates/cli/src/drain.rs", "gives up after the operator's limit"),
    ("crates/server/src/channels.rs", "gives up after a limit"),
    ("crates/monitoring/src/copy.rs", "waits no longer than it may for other control nodes"),
    ("crates/server/src/monitoring.rs", "samples at steady times, and waits no longer than it may"),
    ("crates/server/src/observer.rs", "the controllers' monotonic clock"),
    ("crates/server/src/scaling.rs", "calls the hook again after a pause, and gives up after a limit"),
    ("crates/server/src/scaling/gauges.rs", "looks no more often than it should"),
    ("crates/server/src/survival.rs", "foresees no more often than it should"),
    ("crates/trireme/", "waits for real processes, and gives up after a limit"),
    ("crates/xtask/", "no part of the product"),
    ("crates/bench/", "measures real processes"),
    ("crates/testkit/", "waits with a limit in real time"),
    ("chaos-tests/", "measures real processes"),
];

/// This file, where the list is.
const LIST: &str = "crates/xtask/src/tidy/places.rs";

/// Rooms whose code is given the time, without exception: replay and planning must not depend on when they run.
const TIMELESS: &[&str] = &["types", "state", "scheduler", "controllers"];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in tree.sources() {
        findings.extend(strays(file, &file.code));
        findings.extend(clock_calls(file));
    }
    findings.extend(idle_readers(tree));
    let manifest = |file: &&File| file.path.ends_with("/Cargo.toml");
    for file in tree.files.iter().filter(manifest) {
        findings.extend(strays(file, &file.text));
    }
    Ok(findings)
}

fn strays(file: &File, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for confined in
        CONFINED.iter().filter(|confined| !confined.within.iter().any(|at| file.path.starts_with(at)))
    {
        for (index, line) in code.lines().enumerate() {
            if let Some(name) = confined.names.iter().find(|name| has_word(line, name)) {
                findings.push(Finding::new(&file.path, index + 1, format!("names {name}: {}", confined.why)));
            }
        }
    }
    findings
}

/// Files in the list that read no clock any more. Folders stay.
fn idle_readers(tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree.file(LIST) else { return Vec::new() };
    let files = CLOCK_READERS.iter().map(|(path, _)| *path).filter(|path| !path.ends_with('/'));
    let idle = files.filter(|path| {
        !tree.file(path).is_some_and(|file| CLOCKS.iter().any(|call| has_word(&file.code, call)))
    });
    idle.map(|path| {
        let line = list.text.lines().position(|line| line.contains(path)).map_or(1, |at| at + 1);
        Finding::new(LIST, line, format!("{path} reads no clock; remove it from CLOCK_READERS"))
    })
    .collect()
}

/// Tests may measure; benches and examples too.
fn clock_calls(file: &File) -> Vec<Finding> {
    let aside = file.path.contains("/benches/") || file.path.contains("/examples/");
    if aside || CLOCK_READERS.iter().any(|(path, _)| file.path.starts_with(path)) {
        return Vec::new();
    }
    let advice = if TIMELESS.contains(&file.room()) {
        "code in this room is given the time"
    } else {
        "take the time as an argument, or add the file and the reason to CLOCK_READERS in xtask's tidy/places.rs"
    };
    let calls = file.lines().filter(|(number, _)| !file.is_test(*number)).filter_map(|(number, line)| {
        let call = CLOCKS.iter().find(|call| has_word(line, call))?;
        Some(Finding::new(&file.path, number, format!("{call}: {advice}")))
    });
    calls.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).unwrap().len()
    }

    #[test]
    fn confined_crates() {
        let code = "use bincode::config;\n";
        assert_eq!(findings("crates/state/src/codec/v1.rs", code), 0);
        assert_eq!(findings("crates/state/src/apply.rs", code), 1);
        assert_eq!(findings("crates/rpc/Cargo.toml", "bincode.workspace = true\n"), 1);
        assert_eq!(findings("crates/raft/src/log.rs", "use openraft::Raft;\nuse rocksdb::DB;\n"), 0);
        assert_eq!(findings("crates/server/src/wiring.rs", "use openraft::Raft;\nuse rocksdb::DB;\n"), 2);
        assert_eq!(findings("crates/agent/src/runtime/docker.rs", "use bollard::Docker;\n"), 0);
        assert_eq!(findings("crates/agent/src/worker.rs", "use bollard::Docker;\n"), 1);
        assert_eq!(
            findings("crates/agent/src/worker.rs", "// what bollard gives\nlet a = \"bollard\";\n"),
            0
        );
    }

    #[test]
    fn clocks() {
        let code = "let a = std::time::Instant::now();\nlet b = tokio::time::Instant::now();\n";
        assert_eq!(findings("crates/raft/src/log/flusher.rs", code), 0);
        assert_eq!(findings("crates/ecs-api/src/http.rs", code), 2);
        assert_eq!(findings("crates/ecs-api/tests/http.rs", code), 0);
        assert_eq!(findings("crates/state/src/apply.rs", "let a = SystemTime::now();\n"), 1);
    }

    #[test]
    fn a_reader_that_reads_no_clock_leaves_the_list() {
        let (path, _) = CLOCK_READERS[0];
        let idle = |text: &str| {
            idle_readers(&Tree::of(&[(LIST, ""), (path, text)])).iter().any(|f| f.message.contains(path))
        };
        assert!(idle("fn a() {}\n"));
        assert!(!idle("let a = Instant::now();\n"));
    }

    #[test]
    fn timeless_rooms_have_no_exception() {
        for (path, why) in CLOCK_READERS {
            let room = File::new(path, String::new());
            assert!(!why.is_empty());
            assert!(
                !TIMELESS.contains(&room.room()) || *path == "crates/controllers/src/driver.rs",
                "{path}"
            );
        }
    }
}
