//! An error's text does not repeat its source: whoever prints the chain prints the source once.

use anyhow::Result;

use super::lexer::has_word;
use super::tree::{File, Finding, Tree};

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    Ok(tree.sources().flat_map(repeated_sources).collect())
}

fn repeated_sources(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, opening) in file.code.match_indices("#[error(") {
        let arguments = at + opening.len();
        let end = arguments + end_of_group(&file.code[arguments..]);
        // Code and text have the same bytes at the same places, comments and strings aside.
        let (Some(text), Some(behind)) = (file.text.get(arguments..end), file.code.get(end + 1..)) else {
            continue;
        };
        for key in source_fields(behind.trim_start_matches([']', ' '])) {
            if shows(text, &key) {
                let line = file.code[..at].lines().count().max(1);
                let line = line + usize::from(file.code[..at].ends_with('\n'));
                findings.push(Finding::new(
                    &file.path,
                    line,
                    format!("the text repeats its source with {{{key}}}"),
                ));
            }
        }
    }
    findings
}

/// The place of the bracket that closes the group which is open at the start.
fn end_of_group(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => return at,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Names or indexes of the fields that are the source of the variant or struct that starts here.
fn source_fields(code: &str) -> Vec<String> {
    let head = code.find(['{', '(', ',', '}', ';']).unwrap_or(code.len());
    // Attributes between `#[error]` and the name may hold brackets of their own; skip them.
    if let Some(attribute) = code.trim_start().strip_prefix("#[") {
        let end = end_of_group(attribute);
        return source_fields(attribute.get(end + 1..).unwrap_or_default());
    }
    if !code[head..].starts_with(['{', '(']) {
        return Vec::new();
    }
    let body = &code[head + 1..];
    let fields = split_fields(&body[..end_of_group(body)]);
    let sources = fields.iter().enumerate().filter_map(|(index, field)| {
        let marked = field.contains("#[source]") || field.contains("#[from]");
        let named = field.rsplit_once(']').map_or(*field, |(_, rest)| rest).split_once(':');
        let name = named
            .filter(|_| code[head..].starts_with('{'))
            .map(|(name, _)| name.trim().trim_start_matches("pub "));
        match name {
            Some(name) if marked || name == "source" => Some(name.to_owned()),
            None if marked => Some(index.to_string()),
            _ => None,
        }
    });
    sources.collect()
}

/// Splits at commas that are in no brackets. `<` counts too, for types with two parameters.
fn split_fields(body: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b')' | b']' | b'}' | b'>' => depth -= 1,
            b',' if depth == 0 => {
                fields.push(&body[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&body[start..]);
    fields
}

/// Whether the attribute's arguments print the field.
fn shows(arguments: &str, key: &str) -> bool {
    let inline = arguments.contains(&format!("{{{key}}}")) || arguments.contains(&format!("{{{key}:"));
    // `#[error("x: {}", .source)]`
    inline || has_word(arguments, &format!(".{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("crates/x/src/error.rs", text)]);
        check(&tree).unwrap().into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn repeated_sources_are_found() {
        let text = "enum Error {\n    #[error(\"cannot read {path}: {source}\")]\n    Read { path: String, source: io::Error },\n    \
                    #[error(\"io: {0}\")]\n    Io(#[from] io::Error),\n    #[error(\"x {0}: {1:?}\")]\n    Two(Map<A, B>, #[source] io::Error),\n    \
                    #[error(\"x: {}\", .cause)]\n    Three { #[source] cause: io::Error },\n}\n";
        assert_eq!(lines(text), [2, 4, 6, 8]);
    }

    #[test]
    fn other_fields_may_be_shown() {
        let text = "enum Error {\n    #[error(\"cannot read {path}\")]\n    Read { path: String, source: io::Error },\n    \
                    #[error(\"bad name {0}\")]\n    Name(String),\n    #[error(\"closed\")]\n    Closed,\n    \
                    #[error(\"x {0}\")]\n    Two(String, #[source] io::Error),\n    #[error(transparent)]\n    Other(#[from] Other),\n}\n";
        assert!(lines(text).is_empty());
    }

    #[test]
    fn structs_too() {
        assert_eq!(
            lines(
                "#[derive(Debug)]\n#[error(\"x: {source}\")]\npub struct E {\n    pub source: io::Error,\n}\n"
            ),
            [2]
        );
    }
}
