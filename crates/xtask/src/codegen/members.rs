//! The table of task definitions' members in `COVERAGE.md`: which have their effect, which are only stored and which are refused, from
//! the model and `crates/ecs-api/src/members.txt`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::list::{self, Line, STORED};
use super::model::{Kind, Model};

/// A line is for a member and all below it, unless a longer one says otherwise.
pub const LIST: &str = "crates/ecs-api/src/members.txt";
const IN_EFFECT: &str = "in effect";
const REJECTED: &str = "rejected";

pub fn parse(text: &str) -> Result<BTreeMap<&str, Line<'_>>> {
    let all = list::parse(LIST, text, &[IN_EFFECT, STORED, REJECTED])?;
    for (name, line) in &all {
        if line.state == IN_EFFECT && line.test.is_none() {
            bail!("{LIST}: {name} is in effect, and no test shows it");
        }
    }
    Ok(all)
}

/// Every member of a task definition that has none of its own, by its path, in the model's order.
fn members(model: &Model) -> Result<Vec<String>> {
    let operation = model.operations.get("RegisterTaskDefinition");
    let operation = operation.context("the model has no RegisterTaskDefinition")?;
    let mut all = Vec::new();
    walk(model, &operation.input.shape, "", &mut all)?;
    Ok(all)
}

fn walk(model: &Model, name: &str, path: &str, all: &mut Vec<String>) -> Result<()> {
    let shape = model.shape(name)?;
    match (shape.kind, &shape.member) {
        (Kind::Structure, _) => {
            for (member, reference) in shape.members()? {
                let path = if path.is_empty() { member.to_owned() } else { format!("{path}.{member}") };
                walk(model, &reference.shape, &path, all)?;
            }
        }
        (Kind::List, Some(item)) => walk(model, &item.shape, path, all)?,
        _ => all.push(path.to_owned()),
    }
    Ok(())
}

/// The line for a member: its own, or that of what it belongs to.
fn line_of<'a, 'b>(lines: &'b BTreeMap<&'a str, Line<'a>>, member: &str) -> Option<(&'a str, &'b Line<'a>)> {
    let mut path = member;
    loop {
        if let Some((name, line)) = lines.get_key_value(path) {
            return Some((name, line));
        }
        path = path.rsplit_once('.')?.0;
    }
}

pub fn render(model: &Model, lines: &BTreeMap<&str, Line<'_>>) -> Result<String> {
    let mut unused: BTreeSet<&str> = lines.keys().copied().collect();
    let mut text = format!(
        "\n# Coverage of task definitions\n\n\
         Every member that a task definition can have. What is *{IN_EFFECT}* names the test that shows it; what is *{STORED}* is \
         checked and described, and does not do yet what the note says; what is *{REJECTED}* is refused by name. From {LIST}.\n\n\
         | Member | State | Test | Note |\n|---|---|---|---|\n"
    );
    for member in members(model)? {
        let (name, Line { state, test, note }) =
            line_of(lines, &member).with_context(|| format!("{LIST}: {member} is not listed"))?;
        unused.remove(name);
        let test = test.map(|test| format!("`{test}`")).unwrap_or_default();
        text.push_str(&format!("| {member} | {state} | {test} | {note} |\n"));
    }
    match unused.first() {
        Some(name) => bail!("{LIST}: {name} is no member of a task definition"),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_for_all_below_it_unless_a_longer_one_says_otherwise() {
        let lines = parse("a = rejected\na.b = stored: why\n").unwrap();
        assert_eq!(line_of(&lines, "a.c").unwrap().1.state, REJECTED);
        assert_eq!(line_of(&lines, "a.b.c").unwrap().1.state, STORED);
        assert_eq!(line_of(&lines, "b"), None);
    }

    #[test]
    fn what_is_in_effect_names_its_test() {
        assert!(parse("a = in effect").unwrap_err().to_string().contains("no test shows it"));
    }

    #[test]
    fn every_member_is_listed_and_nothing_else() {
        let root = crate::repo::root().unwrap();
        let model = Model::read(&root).unwrap();
        let text = list::read(&root, LIST).unwrap();
        let mut lines = parse(&text).unwrap();
        assert!(render(&model, &lines).is_ok());
        lines.insert("nothing", Line { state: REJECTED, test: None, note: "" });
        assert!(render(&model, &lines).unwrap_err().to_string().contains("nothing is no member"));
        lines.remove("nothing");
        lines.remove("family");
        assert!(render(&model, &lines).unwrap_err().to_string().contains("family is not listed"));
    }
}
