//! Tests wait for a condition with a limit; they never sleep and hope.

use anyhow::Result;

use super::lexer::has_word;
use super::tree::{File, Finding, Tree};

const CALLS: &[&str] = &["sleep(", "sleep_until("];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in tree.sources().filter(|file| file.room() != "testkit") {
        for (number, line) in file.lines().filter(|(number, _)| is_test(file, *number)) {
            if CALLS.iter().any(|call| has_word(line, call)) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    "a test sleeps; use testkit's wait_for with a limit",
                ));
            }
        }
    }
    Ok(findings)
}

/// In the simulation's own code a sleep costs nothing but simulated time.
const SIMULATED: &str = "chaos-tests/sim/src/";

fn is_test(file: &File, line: usize) -> bool {
    (file.room() == "chaos-tests" && !file.path.starts_with(SIMULATED)) || file.is_test(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).unwrap().len()
    }

    #[test]
    fn tests_do_not_sleep() {
        let code = "    fn a() { tokio::time::sleep(x).await }\n";
        assert_eq!(findings("crates/x/tests/a.rs", code), 1);
        assert_eq!(findings("chaos-tests/src/a.rs", code), 1);
        assert_eq!(findings("chaos-tests/sim/src/a.rs", code), 0);
        assert_eq!(findings("crates/x/src/a.rs", code), 0);
        assert_eq!(findings("crates/testkit/src/tests.rs", code), 0);
        assert_eq!(
            findings("crates/x/src/a.rs", &format!("fn b() {{}}\n#[cfg(test)]\nmod tests {{\n{code}}}\n")),
            1
        );
    }

    #[test]
    fn names_that_end_in_sleep_are_others() {
        assert_eq!(findings("crates/x/tests/a.rs", "fn never_sleep() {}\n// sleep(1)\n"), 0);
    }
}
