//! Each crate is in the code map of `ARCHITECTURE.md`.

use anyhow::Result;

use super::lexer::has_word;
use super::tree::{Finding, Tree};

const PATH: &str = "ARCHITECTURE.md";

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let Some(file) = tree.file(PATH) else {
        return Ok(vec![Finding::new(PATH, 1, "is missing; its code map names each crate")]);
    };
    let Some((line, map)) = code_map(&file.text) else {
        return Ok(vec![Finding::new(PATH, 1, "has no section `Code map`")]);
    };
    let folders =
        tree.packages.iter().filter_map(|package| package.manifest_path.strip_suffix("/Cargo.toml"));
    Ok(folders
        .filter(|folder| !names(&map, folder))
        .map(|folder| Finding::new(PATH, line, format!("the code map lacks `{folder}`")))
        .collect())
}

/// The section's line, counted from 1, and its text.
fn code_map(text: &str) -> Option<(usize, String)> {
    let is_heading = |line: &str| line.starts_with('#');
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| is_heading(line) && line.to_lowercase().contains("code map"))?;
    let depth = lines[start].chars().take_while(|c| *c == '#').count();
    let ends = |line: &&&str| is_heading(line) && line.chars().take_while(|c| *c == '#').count() <= depth;
    let section: Vec<&str> = lines[start + 1..].iter().take_while(|line| !ends(line)).copied().collect();
    Some((start + 1, section.join("\n")))
}

/// By path, or by its last part in code quotes.
fn names(map: &str, folder: &str) -> bool {
    let last = folder.rsplit('/').next().unwrap_or(folder);
    has_word(map, folder) || map.contains(&format!("`{last}`")) || map.contains(&format!("`{last}/`"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Package;
    use super::*;

    fn findings(text: &str) -> usize {
        let mut tree = Tree::of(&[(PATH, text)]);
        for folder in ["crates/state", "crates/raft", "chaos-tests"] {
            tree.packages.push(Package {
                name: String::new(),
                manifest_path: format!("{folder}/Cargo.toml"),
                dependencies: Vec::new(),
                targets: Vec::new(),
            });
        }
        check(&tree).unwrap().len()
    }

    #[test]
    fn every_crate_is_named() {
        assert_eq!(
            findings("# A\n## Code map\n- `crates/state` x\n- `raft`\n- `chaos-tests/`\n## Glossary\n"),
            0
        );
        assert_eq!(findings("# A\n## Code map\n- `crates/state`\n## Glossary\n`raft` `chaos-tests`\n"), 2);
        assert_eq!(findings("# A\nno map\n"), 1);
    }

    #[test]
    fn a_missing_file_is_a_finding() {
        assert_eq!(check(&Tree::default()).unwrap().len(), 1);
    }
}
