//! The project's own tasks, run as `cargo xtask <task>`.
//!
//! - `codegen` writes `crates/ecs-model/src/generated` and `COVERAGE.md` from the stripped service model;
//!   `codegen --check` only compares; `codegen --fetch` first takes the model anew from PyPI.
//! - `coverage FILE` holds the tests that `COVERAGE.md` names against those that passed, as the end-to-end tests list them.
//! - `tidy` checks the house rules that neither rustc nor clippy knows. It changes nothing.

mod codegen;
mod repo;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask codegen [--check | --fetch]\n       cargo xtask coverage FILE\n       cargo xtask tidy";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one task; `false` means that it ran and found something wrong.
fn run(arguments: &[&str]) -> Result<bool> {
    let root = repo::root()?;
    match arguments {
        ["codegen"] => codegen::write(&root),
        ["codegen", "--fetch"] => {
            codegen::fetch(&root)?;
            codegen::write(&root)
        }
        ["codegen", "--check"] => codegen::check(&root),
        ["coverage", passed] => codegen::check_coverage(&root, Path::new(passed)),
        ["tidy"] => tidy::run(&root),
        _ => bail!("{USAGE}"),
    }
}
