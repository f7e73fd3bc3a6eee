//! Words that have no place in the tree: unfinished work, debugging left behind, queues without a limit.

use anyhow::Result;

use super::lexer::has_word;
use super::tree::{Finding, Tree};

/// In code: the word, and what to do instead.
const IN_CODE: &[(&str, &str)] = &[
    ("todo!", "unfinished code does not compile in; leave it out"),
    ("unimplemented!", "unfinished code does not compile in; leave it out or answer an error"),
    ("dbg!", "use tracing"),
    ("unbounded_channel", "every queue is bounded; use a channel with a capacity"),
    ("unbounded(", "every queue is bounded; use a channel with a capacity"),
    ("UnboundedSender", "every queue is bounded; use a channel with a capacity"),
    ("UnboundedReceiver", "every queue is bounded; use a channel with a capacity"),
    ("mpsc::channel()", "every queue is bounded; use sync_channel or a channel with a capacity"),
];

/// In text, comments too. Split so that this file does not find itself.
const IN_TEXT: &[(&str, &str)] = &[
    (concat!("FIX", "ME"), "do it now or open an issue"),
    (concat!("XX", "X:"), "do it now or open an issue"),
];

/// Files with comments. Prose may name the words it forbids.
const COMMENTED: &[&str] = &[".rs", ".toml", ".proto", ".sh", ".yml", ".yaml", "Makefile", ".ci/run"];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in tree.sources() {
        for (number, line) in file.lines() {
            let found = IN_CODE.iter().filter(|(word, _)| has_word(line, word));
            findings.extend(
                found.map(|(word, instead)| Finding::new(&file.path, number, format!("{word}: {instead}"))),
            );
        }
    }
    let commented = tree.files.iter().filter(|file| COMMENTED.iter().any(|end| file.path.ends_with(end)));
    for file in commented {
        for (index, line) in file.text.lines().enumerate() {
            let found = IN_TEXT.iter().filter(|(word, _)| has_word(line, word));
            findings
                .extend(found.map(|(word, instead)| {
                    Finding::new(&file.path, index + 1, format!("{word}: {instead}"))
                }));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("crates/x/src/a.rs", text)]);
        check(&tree).unwrap().into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn words_in_code_are_found() {
        assert_eq!(lines("fn a() {\n    todo!()\n}\nfn b() { dbg!(1); unimplemented!(\"x\") }\n"), [2, 4, 4]);
        assert_eq!(
            lines("let (a, b) = mpsc::unbounded_channel();\nlet c = std::sync::mpsc::channel();\n"),
            [1, 2]
        );
    }

    #[test]
    fn words_in_comments_and_strings_are_not() {
        assert!(lines("// no todo!() here\nlet a = \"dbg!\";\nrange(Bound::Unbounded);\n").is_empty());
    }

    #[test]
    fn a_note_to_oneself_is_found_in_comments_too() {
        assert_eq!(lines(concat!("// FIX", "ME later\n")), [1]);
    }
}
