//! What is checked: the files of the repository, Rust code among them, and the workspace's packages.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::lexer;
use crate::repo;

/// One broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub message: String,
}

impl Finding {
    pub fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

#[derive(Default)]
pub struct Tree {
    pub files: Vec<File>,
    pub packages: Vec<Package>,
}

/// A text file.
pub struct File {
    /// Relative to the workspace.
    pub path: String,
    pub text: String,
    /// The text without comments and the insides of strings; empty unless it is Rust.
    pub code: String,
    /// Lines from this one on (counted from 0) are tests; the number of lines when none are.
    tests_from: usize,
}

#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    /// Relative to the workspace once [`Tree::read`] has read it.
    pub manifest_path: String,
    pub dependencies: Vec<Dependency>,
    pub targets: Vec<Target>,
}

#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
    /// None for an ordinary one, else `dev` or `build`.
    pub kind: Option<String>,
}

#[derive(Deserialize)]
pub struct Target {
    pub kind: Vec<String>,
    pub src_path: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

impl Tree {
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self { files: Vec::new(), packages: packages(root)? };
        for path in repo::files(root)? {
            let bytes = std::fs::read(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
            // Whatever is not text has no lines to check.
            if let Ok(text) = String::from_utf8(bytes) {
                tree.files.push(File::new(&path, text));
            }
        }
        Ok(tree)
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File::new(path, (*text).to_owned())).collect();
        Self { files, packages: Vec::new() }
    }

    /// Rust files that people write.
    pub fn sources(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs") && !file.is_generated())
    }

    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl File {
    pub fn new(path: &str, text: String) -> Self {
        let code = if path.ends_with(".rs") { lexer::code_only(&text) } else { String::new() };
        let tests_from = if is_test_path(path) { 0 } else { trailing_tests(&code) };
        Self { path: path.to_owned(), text, code, tests_from }
    }

    pub fn is_generated(&self) -> bool {
        self.text.lines().next().is_some_and(|line| line.contains("@generated"))
    }

    /// How many lines are not tests.
    pub fn length(&self) -> usize {
        self.tests_from
    }

    /// Whether the line (counted from 1) is a test's.
    pub fn is_test(&self, line: usize) -> bool {
        line > self.tests_from
    }

    /// Lines of code, counted from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// `crates/raft/src/log.rs` is in the room `raft`, `chaos-tests/src/lib.rs` in `chaos-tests`.
    pub fn room(&self) -> &str {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split('/').next().unwrap_or_default()
    }
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let printed = repo::output(Command::new(cargo).current_dir(root).args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]))?;
    let metadata: Metadata = serde_json::from_str(&printed).context("cannot understand cargo metadata")?;
    let mut packages = metadata.packages;
    let relative = |path: &str| Path::new(path).strip_prefix(root).map(|path| path.display().to_string());
    for package in &mut packages {
        package.manifest_path = relative(&package.manifest_path)?;
        for target in &mut package.targets {
            target.src_path = relative(&target.src_path)?;
        }
    }
    Ok(packages)
}

fn is_test_path(path: &str) -> bool {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    folders.split('/').any(|folder| folder == "tests") || file.ends_with("tests.rs")
}

/// The line on which test modules start that reach to the end of the file.
fn trailing_tests(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().collect();
    let mut end = lines.len();
    while let Some(start) = lines[..end].iter().rposition(|line| line.trim_end() == "#[cfg(test)]") {
        if !is_one_module(&lines[start + 1..end]) {
            break;
        }
        end = start;
    }
    end
}

/// Whether the lines are attributes and one `mod`, and nothing behind it.
fn is_one_module(lines: &[&str]) -> bool {
    let mut rest = lines.iter().skip_while(|line| line.starts_with("#[") || line.trim().is_empty());
    let Some(head) = rest.next().map(|line| line.trim_end()) else { return false };
    let module =
        head.starts_with("mod ") || head.starts_with("pub mod ") || head.starts_with("pub(crate) mod ");
    let inline = head.ends_with('{');
    let mut behind = rest.skip_while(|line| inline && line.trim_end() != "}").skip(usize::from(inline));
    module && behind.all(|line| line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> usize {
        File::new("crates/x/src/a.rs", text.to_owned()).length()
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        assert_eq!(length("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"), 2);
        assert_eq!(length("fn a() {}\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\n"), 1);
        assert_eq!(length("fn a() {}\n#[cfg(test)]\nmod a {\n}\n\n#[cfg(test)]\nmod b {\n}\n"), 1);
    }

    #[test]
    fn tests_in_the_middle_count() {
        assert_eq!(length("#[cfg(test)]\nmod tests {\n}\nfn a() {}\n"), 4);
        assert_eq!(length("#[cfg(test)]\nmod tests;\nfn a() {}\n"), 3);
        assert_eq!(length("#[cfg(test)]\nfn helper() {}\n"), 2);
    }

    #[test]
    fn test_files_are_tests_from_the_first_line() {
        for path in ["crates/x/tests/a.rs", "crates/x/src/y/tests.rs", "crates/x/src/y_tests.rs"] {
            let file = File::new(path, "fn a() {}\n".to_owned());
            assert!(file.is_test(1), "{path}");
        }
    }

    #[test]
    fn rooms() {
        assert_eq!(File::new("crates/raft/src/log.rs", String::new()).room(), "raft");
        assert_eq!(File::new("chaos-tests/src/lib.rs", String::new()).room(), "chaos-tests");
    }
}
