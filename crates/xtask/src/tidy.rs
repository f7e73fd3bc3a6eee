//! `cargo xtask tidy`: the house rules that neither rustc nor clippy knows. It reads and changes nothing.
//!
//! `tree` is what is checked and `lexer` tells code from comments and strings. Each rule has a module of its own:
//! `arrows`, `length`, `words`, `roots`, `places`, `map`, `sleep`, `errors`, `private`.

mod arrows;
mod errors;
mod length;
mod lexer;
mod map;
mod places;
mod private;
mod roots;
mod sleep;
mod tree;
mod words;

use std::path::Path;

use anyhow::Result;

use tree::{Finding, Tree};

type Check = fn(&Tree) -> Result<Vec<Finding>>;

const CHECKS: &[Check] = &[
    arrows::check,
    length::check,
    words::check,
    roots::check,
    places::check,
    map::check,
    sleep::check,
    errors::check,
    private::check,
];

/// Prints every finding as `path:line: message`; `true` when there are none.
pub fn run(root: &Path) -> Result<bool> {
    let tree = Tree::read(root)?;
    let mut findings = Vec::new();
    for check in CHECKS {
        findings.extend(check(&tree)?);
    }
    findings.sort();
    for finding in &findings {
        println!("{}:{}: {}", finding.path, finding.line, finding.message);
    }
    if !findings.is_empty() {
        println!("{} findings", findings.len());
    }
    Ok(findings.is_empty())
}
