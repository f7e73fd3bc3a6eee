//! Lists of what is served: one `NAME = STATE`, `NAME = STATE: note`, `NAME = STATE, TEST` or `NAME = STATE, TEST: note` a line; `#`
//! starts a comment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The state of what is checked, kept and described without all of its effect. It says what that is.
pub const STORED: &str = "stored";

/// What is said of a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub state: &'a str,
    pub test: Option<&'a str>,
    pub note: &'a str,
}

pub fn read(root: &Path, file: &str) -> Result<String> {
    std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
}

pub fn parse<'a>(file: &str, text: &'a str, states: &[&str]) -> Result<BTreeMap<&'a str, Line<'a>>> {
    let mut all = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let at = index + 1;
        let (name, rest) = line.split_once('=').with_context(|| format!("{file}:{at}: no `=`"))?;
        let (rest, note) = rest.split_once(": ").unwrap_or((rest, ""));
        let (state, test) = rest.split_once(',').unwrap_or((rest, ""));
        let (name, state, test, note) = (name.trim(), state.trim(), test.trim(), note.trim());
        if !states.contains(&state) {
            bail!("{file}:{at}: the state is `{state}`, only {states:?} are known");
        }
        if state == STORED && note.is_empty() {
            bail!("{file}:{at}: what is stored says what it does not do yet");
        }
        let test = Some(test).filter(|test| !test.is_empty());
        if all.insert(name, Line { state, test, note }).is_some() {
            bail!("{file}:{at}: {name} is listed twice");
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [&str; 2] = ["real", STORED];

    #[test]
    fn notes_tests_and_comments() {
        let list = "# why\nRunTask = real\nStopTask = stored, test_x.py::test_y: a note # why\n";
        let all = parse("list", list, &STATES).unwrap();
        let expected = [
            ("RunTask", Line { state: "real", test: None, note: "" }),
            ("StopTask", Line { state: STORED, test: Some("test_x.py::test_y"), note: "a note" }),
        ];
        assert_eq!(all.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn mistakes_are_named() {
        let fails = |list: &str| parse("list", list, &STATES).unwrap_err().to_string();
        assert!(fails("RunTask").contains("list:1:"));
        assert!(fails("RunTask = half").contains("`half`"));
        assert!(fails("RunTask = stored").contains("says what"));
        assert!(fails("RunTask = real\nRunTask = real").contains("list:2: RunTask is listed twice"));
    }
}
