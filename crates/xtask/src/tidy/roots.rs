//! Each crate opens with `//!`, and each manifest takes the workspace's lints.

use anyhow::{Context, Result};

use super::tree::{Finding, Package, Tree};

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let manifest = tree.file(&package.manifest_path).map_or("", |file| file.text.as_str());
        if !takes_lints(manifest).with_context(|| format!("cannot read {}", package.manifest_path))? {
            findings.push(Finding::new(&package.manifest_path, 1, "lacks `[lints] workspace = true`"));
        }
        for root in roots(package) {
            let text = tree.file(root).map_or("", |file| file.text.as_str());
            if !opens_with_words(text) {
                findings.push(Finding::new(
                    root,
                    1,
                    "a crate's root opens with `//!`: what it is for, in its first lines",
                ));
            }
        }
    }
    Ok(findings)
}

fn takes_lints(manifest: &str) -> Result<bool> {
    let manifest: toml::Table = manifest.parse()?;
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    Ok(lints.and_then(toml::Value::as_bool) == Some(true))
}

/// Libraries and binaries; tests and benches say what they are in their names.
fn roots(package: &Package) -> impl Iterator<Item = &str> {
    let of_kind = |kind: &String| kind == "lib" || kind == "bin";
    package
        .targets
        .iter()
        .filter(move |target| target.kind.iter().any(of_kind))
        .map(|target| target.src_path.as_str())
}

/// More than a title: `//! raft` says nothing that the path does not.
fn opens_with_words(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    first.strip_prefix("//!").is_some_and(|words| words.split_whitespace().count() > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_open_with_words() {
        assert!(opens_with_words("//! The cluster as data.\n"));
        assert!(opens_with_words("\n//! The cluster as data.\n"));
        assert!(!opens_with_words("//! raft\n"));
        assert!(!opens_with_words("use std::fmt;\n//! Late words here.\n"));
        assert!(!opens_with_words(""));
    }

    #[test]
    fn manifests_take_the_workspaces_lints() {
        assert!(takes_lints("[lints]\nworkspace = true\n").unwrap());
        assert!(takes_lints("lints.workspace = true\n").unwrap());
        assert!(!takes_lints("[lints]\nworkspace = false\n").unwrap());
        assert!(!takes_lints("[package]\nname = \"x\"\n").unwrap());
        assert!(takes_lints("[").is_err());
    }
}
