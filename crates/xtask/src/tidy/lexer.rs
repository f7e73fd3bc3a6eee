//! Blanks comments and the insides of strings out of Rust code, so that rules look at code only.
//! Lines and columns (in bytes) stay where they are.

/// The code with spaces where comments, strings and characters were.
pub fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (skip, keep) = if rest.starts_with(b"//") {
            (line_comment(rest), 0)
        } else if rest.starts_with(b"/*") {
            (block_comment(rest), 0)
        } else if let Some(hashes) = raw_string(bytes, at) {
            (raw_end(rest, hashes), 1)
        } else if rest[0] == b'"' {
            (string_end(rest), 1)
        } else if rest[0] == b'\'' {
            (character_end(rest), 1)
        } else {
            (0, 0)
        };
        for byte in out.iter_mut().skip(at + keep).take(skip.saturating_sub(2 * keep)) {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += skip.max(1);
    }
    // Only whole comments and strings are blanked, each byte of a character in them, so this stays UTF-8.
    String::from_utf8_lossy(&out).into_owned()
}

fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The number of `#` of the raw string that starts at `at`, if one does.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let word_before = at.checked_sub(1).is_some_and(|before| is_word(bytes[before]) && bytes[before] != b'b');
    if bytes[at] != b'r' || word_before {
        return None;
    }
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_end(rest: &[u8], hashes: usize) -> usize {
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    let start = hashes + 2;
    let found = rest.get(start..).and_then(|body| body.windows(end.len()).position(|window| window == end));
    found.map_or(rest.len(), |found| start + found + end.len())
}

fn string_end(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A lifetime has no closing quote: then nothing is skipped.
fn character_end(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest.iter().skip(3).position(|byte| *byte == b'\'').map_or(0, |found| found + 4);
    }
    // A character has at most four bytes.
    (2..=5)
        .find(|end| rest.get(*end) == Some(&b'\'') && one_character(&rest[1..*end]))
        .map_or(0, |end| end + 1)
}

fn one_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().count() == 1)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `needle` occurs in `code` as whole words: what stands before and behind it is part of no longer name.
/// An end of the needle that is no word character, such as `(`, needs no border.
pub fn has_word(code: &str, needle: &str) -> bool {
    let bytes = code.as_bytes();
    let ends_in_word = needle.bytes().last().is_some_and(is_word);
    code.match_indices(needle).any(|(at, _)| {
        let before = at.checked_sub(1).is_none_or(|before| !is_word(bytes[before]));
        let after = !ends_in_word || bytes.get(at + needle.len()).is_none_or(|byte| !is_word(*byte));
        before && after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_go() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"x // y\") // z", "f(\"      \")     "),
            ("r#\"a \" b\"# c", "r        # c"),
            ("'\"' d \"e\"", "' ' d \" \""),
            ("fn f<'a>(x: &'a str) -> &'a str", "fn f<'a>(x: &'a str) -> &'a str"),
            ("'\\'' \"\\\"\" x", "'  ' \"  \" x"),
            ("\"é\" y", "\"  \" y"),
        ] {
            assert_eq!(code_only(text), code, "{text}");
        }
    }

    #[test]
    fn words_have_borders() {
        assert!(has_word("tokio::time::sleep(x)", "sleep("));
        assert!(!has_word("never_sleep(x)", "sleep("));
        assert!(has_word("use bincode::x", "bincode"));
        assert!(!has_word("bincoded", "bincode"));
    }
}
