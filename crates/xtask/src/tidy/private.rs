//! Nothing in the tree depends on one machine: no paths of somebody's home, no registry but the default ones.

use anyhow::Result;

use super::tree::{File, Finding, Tree};

/// Folders of one machine. Split so that this file does not find itself.
const FOLDERS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/")];

/// Hosts and settings of package registries: the clients know their defaults, and mirrors are the machine's business.
const REGISTRIES: &[&str] = &[
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("arti", "factory"),
    concat!("index", "-url"),
    concat!("PIP_INDEX", "_URL"),
    concat!("replace", "-with"),
];

/// The one source that a lock file may name.
const LOCK_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    Ok(tree.files.iter().flat_map(in_file).collect())
}

fn in_file(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let mut add = |message: String| findings.push(Finding::new(&file.path, index + 1, message));
        if let Some(folder) = FOLDERS.iter().find(|folder| is_absolute(line, folder)) {
            add(format!("{folder} is a path of one machine"));
        }
        if let Some(host) = REGISTRIES.iter().find(|host| line.contains(**host)) {
            add(format!("{host}: registries are the machine's settings, not the tree's"));
        }
        let source = line.strip_prefix("source = \"").filter(|_| file.path.ends_with("Cargo.lock"));
        if source.is_some_and(|source| source.trim_end_matches('"') != LOCK_SOURCE) {
            add("a crate that is not from crates.io".to_owned());
        }
    }
    findings
}

/// A folder that stands behind a name, a variable or a tilde is relative to something.
fn is_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        line[..at]
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '~' | '}' | ')'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).unwrap().len()
    }

    #[test]
    fn paths_of_one_machine() {
        assert_eq!(findings("a.md", concat!("see /wo", "rk/main\n")), 1);
        assert_eq!(findings("a.sh", concat!("cp x /ro", "ot/.cache/\n")), 1);
        assert_eq!(findings("a.sh", concat!("cp x $HOME/target/wo", "rk/y ~/wo", "rk/\n")), 0);
    }

    #[test]
    fn registries() {
        assert_eq!(findings("Makefile", concat!("pip install --extra-index", "-url x\n")), 1);
        assert_eq!(findings("Makefile", "pip install botocore\n"), 0);
    }

    #[test]
    fn lock_sources() {
        let line = |source: &str| format!("source = \"{source}\"\n");
        assert_eq!(findings("Cargo.lock", &line(LOCK_SOURCE)), 0);
        assert_eq!(findings("Cargo.lock", &line("git+https://example.com/x")), 1);
    }
}
