//! `COVERAGE.md`: which operations are real and which are only stored, from the operation table and `crates/ecs-api/src/coverage.txt`;
//! the same of task definitions' members; and the end-to-end test of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::list::{self, Line, STORED};
use super::members;
use super::model::Model;

/// The same of a service beside ECS, of which only what is served is listed.
struct Companion {
    list: &'static str,
    name: &'static str,
    about: &'static str,
}

const COMPANIONS: [Companion; 5] = [
    Companion {
        list: "crates/ecs-api/src/logs/coverage.txt",
        name: "CloudWatch Logs",
        about: "What is needed to keep and read tasks' logs",
    },
    Companion {
        list: "crates/ecs-api/src/autoscaling/coverage.txt",
        name: "Application Auto Scaling",
        about: "What is needed to have as many tasks as needed",
    },
    Companion {
        list: "crates/ecs-api/src/monitoring/coverage.txt",
        name: "CloudWatch",
        about: "What is needed to watch services, and to scale and deploy them by it",
    },
    Companion {
        list: "crates/ecs-api/src/scheduler/coverage.txt",
        name: "EventBridge Scheduler",
        about: "What is needed to run tasks on time",
    },
    Companion {
        list: "crates/ecs-api/src/eventbridge/coverage.txt",
        name: "EventBridge",
        about: "What is needed for rules that run tasks on time",
    },
];
const LIST: &str = "crates/ecs-api/src/coverage.txt";
const REAL: &str = "real";
/// Where the end-to-end tests are.
const TESTS: &str = "chaos-tests/e2e/";
/// The test of an operation that names no other, with the operation in brackets.
const TEST: &str = "test_conformance.py::test_it_succeeds_and_its_answer_has_the_models_shape";

pub fn generate(root: &Path, model: &Model) -> Result<String> {
    let lost = lost(root)?;
    if !lost.is_empty() {
        bail!("{}", lost.join("\n"));
    }
    let (operations, of_definitions) = (list::read(root, LIST)?, list::read(root, members::LIST)?);
    let mut text = render(model, &parse(&operations)?)?;
    text.push_str(&members::render(model, &members::parse(&of_definitions)?)?);
    for companion in &COMPANIONS {
        let read = list::read(root, companion.list)?;
        text.push_str(&render_companion(companion, &list::parse(companion.list, &read, &[REAL])?));
    }
    Ok(text.replace("|  |", "| |"))
}

/// Operations and members whose test is not among those that passed. A pass is a line of the file: `FILE::TEST`.
pub fn unproved(root: &Path, passed: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(passed).with_context(|| {
        format!("cannot read {}: run the end-to-end tests, which write it", passed.display())
    })?;
    let passed: BTreeSet<&str> = text.lines().map(str::trim).collect();
    let missing = proofs(root)?.into_iter().filter(|(_, test)| !passed.contains(test.as_str()));
    Ok(missing.map(|(name, test)| format!("{name}: its test did not pass in this run: {test}")).collect())
}

/// Operations and members whose test is in no file: it was moved, or is called otherwise now. Only a whole run of the tests would tell.
fn lost(root: &Path) -> Result<Vec<String>> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut lost = Vec::new();
    for (name, test) in proofs(root)? {
        let (file, function) =
            test.split_once("::").with_context(|| format!("{name}: {test} is not FILE::TEST"))?;
        if !files.contains_key(file) {
            files.insert(
                file.to_owned(),
                std::fs::read_to_string(root.join(TESTS).join(file)).unwrap_or_default(),
            );
        }
        let function = function.split('[').next().unwrap_or(function);
        if !files[file].contains(&format!("def {function}(")) {
            lost.push(format!("{name}: there is no test {test} in {TESTS}"));
        }
    }
    Ok(lost)
}

/// The test of everything that has one.
fn proofs(root: &Path) -> Result<Vec<(String, String)>> {
    let (operations, of_definitions) = (list::read(root, LIST)?, list::read(root, members::LIST)?);
    let mut proofs: Vec<(String, String)> = Vec::new();
    for (name, line) in parse(&operations)? {
        proofs.push((name.to_owned(), test_of(name, &line)));
    }
    let proof = |(name, line): (&str, Line<'_>)| Some((name.to_owned(), line.test?.to_owned()));
    proofs.extend(members::parse(&of_definitions)?.into_iter().filter_map(proof));
    for companion in &COMPANIONS {
        let read = list::read(root, companion.list)?;
        proofs.extend(list::parse(companion.list, &read, &[REAL])?.into_iter().filter_map(proof));
    }
    Ok(proofs)
}

fn parse(list: &str) -> Result<BTreeMap<&str, Line<'_>>> {
    list::parse(LIST, list, &[REAL, STORED])
}

fn test_of(name: &str, line: &Line<'_>) -> String {
    line.test.map_or_else(|| format!("{TEST}[{name}]"), str::to_owned)
}

fn render_companion(of: &Companion, served: &BTreeMap<&str, Line<'_>>) -> String {
    let Companion { list, name, about } = of;
    let mut text = format!(
        "\n# Coverage of the {name} API\n\n\
         {about}, from {list}. Every other operation answers `UnsupportedOperationException`.\n\n\
         | Operation | Test | Note |\n|---|---|---|\n"
    );
    for (name, line) in served {
        let test = line.test.map_or_else(String::new, |test| format!("`{test}`"));
        text.push_str(&format!("| {name} | {test} | {} |\n", line.note));
    }
    text
}

fn render(model: &Model, served: &BTreeMap<&str, Line<'_>>) -> Result<String> {
    if let Some(unknown) = served.keys().find(|name| !model.operations.contains_key(**name)) {
        bail!("{LIST}: {unknown} is not an operation of the service");
    }
    let count = |wanted| served.values().filter(|line| line.state == wanted).count();
    let mut text = format!(
        "<!-- @generated by `cargo xtask codegen` from the service model and {LIST}. Do not edit. -->\n\n\
         # Coverage of the ECS API\n\n\
         Of {} operations {} are real, and {} check, store and describe what they are given without all of its effect yet. The \
         others answer `UnsupportedFeatureException`.\n\n\
         The tests are in `{TESTS}`. `make test` runs them, and fails when one that stands here did not pass; \
         *conformance* is `{TEST}`.\n\n\
         | Operation | State | Test | Note |\n|---|---|---|---|\n",
        model.operations.len(),
        count(REAL),
        count(STORED),
    );
    for name in model.operations.keys() {
        match served.get(name.as_str()) {
            Some(Line { state, test, note }) => {
                let test = test.map_or_else(|| "conformance".to_owned(), |test| format!("`{test}`"));
                text.push_str(&format!("| {name} | {state} | {test} | {note} |\n"));
            }
            None => text.push_str(&format!("| {name} | `UnsupportedFeatureException` | | |\n")),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_whose_test_did_not_pass_is_named() {
        let root = crate::repo::root().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let passed = folder.path().join("passed");
        let lines: Vec<String> = proofs(&root).unwrap().into_iter().map(|(_, test)| test).collect();
        std::fs::write(&passed, lines.join("\n")).unwrap();
        assert_eq!(unproved(&root, &passed).unwrap(), Vec::<String>::new());
        let less: Vec<String> = lines.into_iter().filter(|line| !line.ends_with("[ListClusters]")).collect();
        std::fs::write(&passed, less.join("\n")).unwrap();
        let missing = unproved(&root, &passed).unwrap();
        assert!(missing.len() == 1 && missing[0].starts_with("ListClusters: "), "{missing:?}");
        assert!(unproved(&root, &folder.path().join("none")).is_err());
    }

    #[test]
    fn a_test_that_is_in_no_file_is_named() {
        let root = crate::repo::root().unwrap();
        assert_eq!(lost(&root).unwrap(), Vec::<String>::new());
        let folder = tempfile::tempdir().unwrap();
        let companions = COMPANIONS.iter().map(|companion| companion.list);
        for list in companions.chain([LIST, members::LIST]) {
            std::fs::create_dir_all(folder.path().join(list).parent().unwrap()).unwrap();
            std::fs::copy(root.join(list), folder.path().join(list)).unwrap();
        }
        std::fs::create_dir_all(folder.path().join(TESTS)).unwrap();
        let without = lost(folder.path()).unwrap();
        assert_eq!(without.len(), proofs(&root).unwrap().len());
        assert!(
            without.iter().any(|line| line.starts_with("ListClusters: there is no test test_conformance.py"))
        );
    }
}
