//! What a target is told of an event: all of it, a part, a constant, or a text made from parts (EventBridge API: Input, InputPath,
//! InputTransformer).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use trireme_state::object::{RuleKey, TargetInput};

use super::{arn, invalid};
use crate::error::Result;

/// EventBridge API: TargetInput, TransformerInput.
const CHARACTERS: usize = 8_192;
/// EventBridge API: TargetInputPath.
const PATH: usize = 256;
/// EventBridge API: InputPathsMap.
const PATHS: usize = 100;
/// What stands for the event's surroundings.
const RESERVED: &str = "aws.events.";
const RULE_ARN: &str = "aws.events.rule-arn";
const RULE_NAME: &str = "aws.events.rule-name";
const TIME: &str = "aws.events.event.ingestion-time";
const EVENT: &str = "aws.events.event";
const EVENT_JSON: &str = "aws.events.event.json";

/// InputTransformer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Transformer {
    input_paths_map: BTreeMap<String, String>,
    input_template: String,
}

/// What a request says; at most one of the three.
pub(crate) fn parse(
    constant: Option<String>,
    path: Option<String>,
    transformer: Option<Transformer>,
) -> Result<TargetInput> {
    match (constant.filter(|text| !text.is_empty()), path.filter(|text| !text.is_empty()), transformer) {
        (None, None, None) => Ok(TargetInput::Event),
        (Some(text), None, None) => {
            if text.chars().count() > CHARACTERS || serde_json::from_str::<Value>(&text).is_err() {
                return Err(invalid(format!("Input must be JSON of at most {CHARACTERS} characters.")));
            }
            Ok(TargetInput::Constant(text))
        }
        (None, Some(path), None) => {
            check_path(&path)?;
            Ok(if path == "$" { TargetInput::Event } else { TargetInput::Part(path) })
        }
        (None, None, Some(given)) => template(given),
        _ => Err(invalid(
            "Only one of Input, InputPath, or InputTransformer must be provided within a target.",
        )),
    }
}

fn template(given: Transformer) -> Result<TargetInput> {
    let Transformer { input_paths_map: paths, input_template: template } = given;
    if template.is_empty() || template.chars().count() > CHARACTERS {
        return Err(invalid(format!("InputTemplate must have 1 to {CHARACTERS} characters.")));
    }
    if paths.len() > PATHS {
        return Err(invalid(format!("InputPathsMap can have at most {PATHS} entries.")));
    }
    for (name, path) in &paths {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if name.is_empty()
            || name.len() > PATH
            || !name.bytes().all(fits)
            || name.to_lowercase().starts_with("aws")
        {
            return Err(invalid(format!(
                "InputPathsMap has the key '{}': a key has letters, digits, '_' and '-', and does not begin with AWS.",
                name.chars().take(80).collect::<String>()
            )));
        }
        check_path(path)?;
    }
    let known = |name: &str| {
        paths.contains_key(name) || [RULE_ARN, RULE_NAME, TIME, EVENT, EVENT_JSON].contains(&name)
    };
    let unknown = parts(&template).into_iter().find_map(|part| match part {
        Part::Name { name, .. } if !known(name) => Some(name.to_owned()),
        _ => None,
    });
    match unknown {
        Some(name) => Err(invalid(format!(
            "InputTemplate for target has the placeholder <{name}>, which is not in its InputPathsMap."
        ))),
        None => Ok(TargetInput::Template { paths, template }),
    }
}

fn check_path(path: &str) -> Result<()> {
    if path.len() <= PATH && steps(path).is_some() {
        return Ok(());
    }
    let path: String = path.chars().take(80).collect();
    Err(invalid(format!(
        "'{path}' is no JSON path: it is like $.detail.containers[0].name, of at most {PATH} characters."
    )))
}

/// A step into JSON.
enum Step<'a> {
    Member(&'a str),
    Item(usize),
}

/// `$`, then `.member` and `[number]`.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut left = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !left.is_empty() {
        if let Some(rest) = left.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (member, rest) = rest.split_at_checked(end).filter(|(member, _)| !member.is_empty())?;
            steps.push(Step::Member(member));
            left = rest;
        } else {
            let (number, rest) = left.strip_prefix('[')?.split_once(']')?;
            steps.push(match number.strip_prefix('\'').and_then(|name| name.strip_suffix('\'')) {
                Some(name) => Step::Member(name),
                None => Step::Item(number.parse().ok()?),
            });
            left = rest;
        }
    }
    Some(steps)
}

fn part_of<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    steps(path)?.into_iter().try_fold(event, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Item(number) => value.get(number),
    })
}

/// A piece of a template.
enum Part<'a> {
    Text(&'a str),
    /// A placeholder, and whether it stands within a JSON string.
    Name {
        name: &'a str,
        quoted: bool,
    },
}

/// A template's pieces. What looks like no placeholder is text.
fn parts(template: &str) -> Vec<Part<'_>> {
    let (mut parts, mut from, mut quoted) = (Vec::new(), 0, false);
    let mut bytes = template.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if quoted => {
                bytes.next();
            }
            b'"' => quoted = !quoted,
            b'<' => {
                let rest = template.get(at.saturating_add(1)..).unwrap_or_default();
                let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
                let Some((name, _)) = rest.split_once('>') else { continue };
                if name.is_empty() || !name.bytes().all(named) {
                    continue;
                }
                parts.push(Part::Text(template.get(from..at).unwrap_or_default()));
                parts.push(Part::Name { name, quoted });
                from = at.saturating_add(name.len()).saturating_add(2);
                // Behind the placeholder.
                let _ = bytes.nth(name.len());
            }
            _ => {}
        }
    }
    parts.push(Part::Text(template.get(from..).unwrap_or_default()));
    parts
}

/// What a parameter of a call says of an event, if all of it is a JSON path into it; else itself. What is not in the event is an empty text.
pub fn parameter(text: &str, event: &Value) -> String {
    if !text.starts_with("$.") || steps(text).is_none() {
        return text.to_owned();
    }
    match part_of(event, text) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// What a target is told of an event, as JSON where the event and the template are. What is not in the event is an empty text, or null
/// where it stands for a whole value.
pub fn told(input: &TargetInput, rule: &RuleKey, event: &Value) -> String {
    match input {
        TargetInput::Event => event.to_string(),
        TargetInput::Constant(text) => text.clone(),
        TargetInput::Part(path) => part_of(event, path).unwrap_or(&Value::Null).to_string(),
        TargetInput::Template { paths, template } => {
            let filled = parts(template).into_iter().map(|part| match part {
                Part::Text(text) => text.to_owned(),
                Part::Name { name, quoted } => written(&valued(paths, name, rule, event), quoted),
            });
            filled.collect()
        }
    }
}

fn valued(paths: &BTreeMap<String, String>, name: &str, rule: &RuleKey, event: &Value) -> Value {
    match name {
        RULE_ARN => arn(rule).into(),
        RULE_NAME => rule.name.clone().into(),
        TIME => event.get("time").cloned().unwrap_or_default(),
        EVENT_JSON => event.clone(),
        // All but what the event is about.
        EVENT => match event.clone() {
            Value::Object(mut members) => {
                members.remove("detail");
                Value::Object(members)
            }
            other => other,
        },
        name => {
            debug_assert!(!name.starts_with(RESERVED), "checked when it was put");
            paths.get(name).and_then(|path| part_of(event, path)).cloned().unwrap_or_default()
        }
    }
}

/// Within a JSON string a text stands as it is, and everything else as its JSON, escaped.
fn written(value: &Value, quoted: bool) -> String {
    if !quoted {
        return value.to_string();
    }
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let escaped = Value::String(text).to_string();
    escaped.get(1..escaped.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use trireme_types::Scope;

    use super::*;

    fn rule() -> RuleKey {
        RuleKey { scope: Scope::development(), name: "r".to_owned() }
    }

    fn made(template: &str) -> String {
        let paths = [
            ("task", "$.detail.taskArn"),
            ("n", "$.detail.n"),
            ("c", "$.detail.containers[0]"),
            ("none", "$.x.y"),
        ];
        let paths = paths.map(|(name, path)| (name.to_owned(), path.to_owned())).into();
        let given = Transformer { input_paths_map: paths, input_template: template.to_owned() };
        let event =
            json!({"time": "t", "detail": {"taskArn": "a\"b", "n": 7, "containers": [{"name": "main"}]}});
        told(&parse(None, None, Some(given)).unwrap(), &rule(), &event)
    }

    #[test]
    fn a_template_is_filled_as_json() {
        assert_eq!(
            made(r#"{"task": <task>, "say": "n is <n> of <task>"}"#),
            r#"{"task": "a\"b", "say": "n is 7 of a\"b"}"#
        );
        assert_eq!(
            made(r#"{"c": <c>, "text": "<c>", "gone": <none>, "empty": "<none>"}"#),
            r#"{"c": {"name":"main"}, "text": "{\"name\":\"main\"}", "gone": null, "empty": ""}"#
        );
        assert_eq!(made(r#""\"<n>\" < 8 by <aws.events.rule-name>""#), r#""\"7\" < 8 by r""#);
        assert!(serde_json::from_str::<Value>(&made("<aws.events.event.json>")).unwrap()["detail"]["n"] == 7);
    }

    #[test]
    fn parts_and_constants_are_told_alone() {
        let event = json!({"a": {"b": [1, {"c-d": 2}]}});
        let path =
            |path: &str| parse(None, Some(path.to_owned()), None).map(|input| told(&input, &rule(), &event));
        assert_eq!(path("$.a.b[1].c-d").unwrap(), "2");
        assert_eq!(path("$['a']").unwrap(), r#"{"b":[1,{"c-d":2}]}"#);
        assert_eq!(path("$.nothing").unwrap(), "null");
        assert_eq!(path("$").unwrap(), event.to_string());
        for wrong in ["a", "$.", "$..a", "$[", "$[x]", "$.a[-1]"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse(Some("7".to_owned()), None, None).unwrap(), TargetInput::Constant("7".to_owned()));
        assert!(parse(Some("{".to_owned()), None, None).is_err());
        assert!(parse(Some("7".to_owned()), Some("$.a".to_owned()), None).is_err());
        let unknown = Transformer { input_paths_map: BTreeMap::new(), input_template: "<task>".to_owned() };
        assert!(parse(None, None, Some(unknown)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_filled_in_stays_within_its_quotes(text in "\\PC{0,20}") {
            let paths = BTreeMap::from([("x".to_owned(), "$.x".to_owned())]);
            let given = Transformer { input_paths_map: paths, input_template: r#"{"a": <x>, "b": "-<x>-"}"#.to_owned() };
            let filled = told(&parse(None, None, Some(given)).unwrap(), &rule(), &json!({ "x": text }));
            let value: Value = serde_json::from_str(&filled).unwrap();
            prop_assert_eq!(&value["a"], &json!(text));
            prop_assert_eq!(&value["b"], &json!(format!("-{text}-")));
        }

        #[test]
        fn no_template_makes_it_panic(template in "[<>\"\\\\a\u{e9}.]{1,12}") {
            let paths = BTreeMap::from([("a".to_owned(), "$.a".to_owned())]);
            if let Ok(input) = parse(None, None, Some(Transformer { input_paths_map: paths, input_template: template })) {
                told(&input, &rule(), &json!({ "a": 1 }));
            }
        }
    }
}
