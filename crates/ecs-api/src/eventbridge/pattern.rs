//! Event patterns: which events a pattern means (EventBridge API: TestEventPattern).
//!
//! A pattern is an object like the event's, with lists of what a value may be at its leaves. All members must match; of a list one; of an
//! event's list one. `$or` is a list of patterns of which one must match.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::shape::{TestPattern, Tested};
use super::{Context, common, invalid};
use crate::error::{Error, Result};

/// EventBridge API: EventPattern.
const CHARACTERS: usize = 4_096;
/// What an event must have to be one.
const MEMBERS: [&str; 7] = ["id", "detail-type", "source", "account", "time", "region", "resources"];

pub(super) async fn test(_cx: Context, request: TestPattern) -> Result<Tested> {
    let pattern = Pattern::checked(&request.event_pattern.unwrap_or_default())?;
    let event: Value = serde_json::from_str(&request.event.unwrap_or_default())
        .map_err(|error| invalid(format!("Parameter Event is not valid. Reason: {error}.")))?;
    if let Some(missing) = MEMBERS.iter().find(|member| event.get(**member).is_none()) {
        return Err(invalid(format!(
            "Parameter Event is not valid. Reason: {missing} is a required argument."
        )));
    }
    Ok(Tested { result: Some(pattern.matches(&event)) })
}

fn refused(why: String) -> Error {
    common("InvalidEventPatternException", format!("Event pattern is not valid. Reason: {why}."))
}

/// A pattern that can be held against events.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    members: Vec<(String, Wanted)>,
    /// Of each of these lists, one.
    or: Vec<Vec<Pattern>>,
}

/// What is wanted of a member.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Object(Pattern),
    OneOf(Vec<Rule>),
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Equal(Value),
    Text(Text),
    /// None of them.
    Not(Vec<Rule>),
    Exists(bool),
    Numeric(Vec<(Comparison, f64)>),
    Cidr(IpAddr, u8),
}

/// How a text may be.
#[derive(Debug, Clone, PartialEq)]
enum Text {
    Prefix(String),
    PrefixOfAnyCase(String),
    Suffix(String),
    SuffixOfAnyCase(String),
    AnyCase(String),
    /// What stands before, between and after each `*`, which is any text.
    Wildcard(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    Less,
    AtMost,
    More,
    AtLeast,
}

type Parsed<T> = std::result::Result<T, String>;

impl Pattern {
    /// From what a request says.
    pub(super) fn checked(text: &str) -> Result<Self> {
        if text.chars().nth(CHARACTERS).is_some() {
            return Err(refused(format!("it can have at most {CHARACTERS} characters")));
        }
        Self::parse(text).map_err(refused)
    }

    /// From JSON.
    ///
    /// # Errors
    /// What is wrong, without a full stop.
    pub fn parse(text: &str) -> Parsed<Self> {
        match serde_json::from_str(text).map_err(|error| error.to_string())? {
            Value::Object(members) => Self::of(&members),
            _ => Err("it must be a JSON object".to_owned()),
        }
    }

    fn of(given: &Map<String, Value>) -> Parsed<Self> {
        if given.is_empty() {
            return Err("an object of it is empty".to_owned());
        }
        let (mut members, mut or) = (Vec::new(), Vec::new());
        for (name, value) in given {
            match value {
                Value::Array(patterns) if name == "$or" => or.push(alternatives(patterns)?),
                Value::Object(nested) => members.push((name.clone(), Wanted::Object(Self::of(nested)?))),
                Value::Array(values) if !values.is_empty() => {
                    let rules = values.iter().map(Rule::of).collect::<Parsed<_>>()?;
                    members.push((name.clone(), Wanted::OneOf(rules)));
                }
                _ => return Err(format!("\"{name}\" must be an object or an array that is not empty")),
            }
        }
        Ok(Self { members, or })
    }

    /// Whether the pattern means this event.
    pub fn matches(&self, event: &Value) -> bool {
        let nothing = Value::Null;
        self.members.iter().all(|(name, wanted)| match (wanted, event.get(name)) {
            (Wanted::OneOf(rules), found) => rules.iter().any(|rule| rule.allows(found)),
            // What is not there may be wanted not to be there.
            (Wanted::Object(pattern), None) => pattern.matches(&nothing),
            (Wanted::Object(pattern), Some(Value::Array(items))) => {
                items.iter().any(|item| pattern.matches(item))
            }
            (Wanted::Object(pattern), Some(found)) => pattern.matches(found),
        }) && self.or.iter().all(|patterns| patterns.iter().any(|pattern| pattern.matches(event)))
    }
}

fn alternatives(given: &[Value]) -> Parsed<Vec<Pattern>> {
    if given.len() < 2 {
        return Err("$or has at least two patterns".to_owned());
    }
    let pattern = |one: &Value| match one {
        Value::Object(members) => Pattern::of(members),
        _ => Err("$or is an array of objects".to_owned()),
    };
    given.iter().map(pattern).collect()
}

impl Rule {
    fn of(given: &Value) -> Parsed<Self> {
        let Value::Object(operators) = given else { return scalar(given) };
        let mut operators = operators.iter();
        let (Some((operator, value)), None) = (operators.next(), operators.next()) else {
            return Err("a matching operator stands alone in its object".to_owned());
        };
        match (operator.as_str(), value) {
            ("exists", Value::Bool(there)) => Ok(Self::Exists(*there)),
            ("numeric", Value::Array(terms)) => numeric(terms),
            ("cidr", Value::String(range)) => cidr(range),
            ("anything-but", Value::Array(values)) if !values.is_empty() => {
                values.iter().map(scalar).collect::<Parsed<_>>().map(Self::Not)
            }
            ("anything-but", Value::Object(_)) => anything_but(value),
            ("anything-but", value) => Ok(Self::Not(vec![scalar(value)?])),
            (operator, value) => text(operator, value).map(Self::Text),
        }
    }

    fn allows(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::Exists(wanted), found) => found.is_some() == *wanted,
            (_, None) => false,
            (_, Some(Value::Array(items))) => items.iter().any(|item| self.is(item)),
            (_, Some(value)) => self.is(value),
        }
    }

    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Equal(wanted) => match (wanted.as_f64(), value.as_f64()) {
                (Some(wanted), Some(value)) => wanted == value,
                _ => wanted == value,
            },
            Self::Text(wanted) => value.as_str().is_some_and(|text| wanted.is(text)),
            Self::Not(rules) => rules.iter().all(|rule| !rule.is(value)),
            Self::Exists(wanted) => *wanted,
            Self::Numeric(terms) => {
                value.as_f64().is_some_and(|value| terms.iter().all(|(how, to)| how.holds(value, *to)))
            }
            Self::Cidr(network, bits) => {
                let address = value.as_str().and_then(|text| text.parse().ok());
                address.is_some_and(|address| within(address, *network, *bits))
            }
        }
    }
}

fn scalar(given: &Value) -> Parsed<Rule> {
    match given {
        Value::Array(_) | Value::Object(_) => {
            Err("a value is a string, a number, true, false or null".to_owned())
        }
        value => Ok(Rule::Equal(value.clone())),
    }
}

/// `{"prefix": "a"}`, `{"prefix": ["a", "b"]}` and their kin.
fn anything_but(given: &Value) -> Parsed<Rule> {
    let operators = given.as_object().map(Map::iter).into_iter().flatten().collect::<Vec<_>>();
    let [(operator, value)] = operators[..] else {
        return Err("anything-but takes one operator".to_owned());
    };
    let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    let rules = values.iter().map(|value| text(operator, value).map(Rule::Text));
    rules.collect::<Parsed<_>>().map(Rule::Not)
}

fn text(operator: &str, value: &Value) -> Parsed<Text> {
    let any_case = value.get("equals-ignore-case").and_then(Value::as_str).map(str::to_lowercase);
    match (operator, value.as_str(), any_case) {
        ("prefix", Some(text), _) => Ok(Text::Prefix(text.to_owned())),
        ("prefix", None, Some(text)) => Ok(Text::PrefixOfAnyCase(text)),
        ("suffix", Some(text), _) => Ok(Text::Suffix(text.to_owned())),
        ("suffix", None, Some(text)) => Ok(Text::SuffixOfAnyCase(text)),
        ("equals-ignore-case", Some(text), _) => Ok(Text::AnyCase(text.to_lowercase())),
        ("wildcard", Some(text), _) => wildcard(text).map(Text::Wildcard),
        ("prefix" | "suffix" | "equals-ignore-case" | "wildcard", ..) => {
            Err(format!("{operator} takes a string"))
        }
        _ => Err(format!("unrecognized match type {operator}")),
    }
}

impl Text {
    fn is(&self, text: &str) -> bool {
        match self {
            Self::Prefix(wanted) => text.starts_with(wanted),
            Self::PrefixOfAnyCase(wanted) => text.to_lowercase().starts_with(wanted),
            Self::Suffix(wanted) => text.ends_with(wanted),
            Self::SuffixOfAnyCase(wanted) => text.to_lowercase().ends_with(wanted),
            Self::AnyCase(wanted) => text.to_lowercase() == *wanted,
            Self::Wildcard(wanted) => wild(wanted, text),
        }
    }
}

/// The parts of a wildcard between its `*`; `\*` and `\\` stand for `*` and `\`.
fn wildcard(text: &str) -> Parsed<Vec<String>> {
    let (mut parts, mut part, mut characters) = (Vec::new(), String::new(), text.chars().peekable());
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('*', Some('*')) => return Err("a wildcard has no two consecutive * characters".to_owned()),
            ('*', _) => parts.push(std::mem::take(&mut part)),
            ('\\', Some('*' | '\\')) => part.extend(characters.next()),
            ('\\', _) => return Err("a wildcard has a \\ only before a * or a \\".to_owned()),
            (character, _) => part.push(character),
        }
    }
    parts.push(part);
    Ok(parts)
}

/// What stands before, between and after the `*` comes in that order. The first place that fits leaves most for the rest.
fn wild(parts: &[String], text: &str) -> bool {
    let [first, between @ .., last] = parts else { return parts.first().is_some_and(|whole| whole == text) };
    let Some(mut left) = text.strip_prefix(first.as_str()) else { return false };
    for part in between {
        match left.find(part.as_str()).and_then(|at| left.get(at.saturating_add(part.len())..)) {
            Some(after) => left = after,
            None => return false,
        }
    }
    left.ends_with(last.as_str())
}

fn numeric(terms: &[Value]) -> Parsed<Rule> {
    let wrong = || "numeric takes comparisons with numbers, such as [\">\", 0, \"<=\", 5]".to_owned();
    let term = |pair: &[Value]| {
        let how = match pair.first().and_then(Value::as_str) {
            Some("=") => Comparison::Equal,
            Some("<") => Comparison::Less,
            Some("<=") => Comparison::AtMost,
            Some(">") => Comparison::More,
            Some(">=") => Comparison::AtLeast,
            _ => return Err(wrong()),
        };
        Ok((how, pair.get(1).and_then(Value::as_f64).ok_or_else(wrong)?))
    };
    if !matches!(terms.len(), 2 | 4) {
        return Err(wrong());
    }
    terms.chunks(2).map(term).collect::<Parsed<_>>().map(Rule::Numeric)
}

impl Comparison {
    fn holds(self, value: f64, to: f64) -> bool {
        match self {
            Self::Equal => value == to,
            Self::Less => value < to,
            Self::AtMost => value <= to,
            Self::More => value > to,
            Self::AtLeast => value >= to,
        }
    }
}

fn cidr(range: &str) -> Parsed<Rule> {
    let wrong = || format!("{range} is not a range of addresses, such as 10.0.0.0/24");
    let (network, bits) = range.split_once('/').ok_or_else(wrong)?;
    let network: IpAddr = network.parse().map_err(|_| wrong())?;
    let most = if network.is_ipv4() { 32 } else { 128 };
    let bits = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?;
    Ok(Rule::Cidr(network, bits))
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, true),
        IpAddr::V6(ip) => (u128::from(ip), false),
    };
    let ((address, short), (network, of_short)) = (number(address), number(network));
    let different = address ^ network;
    short == of_short && different.checked_shr(128_u32.saturating_sub(bits.into())).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn matches(pattern: &Value, event: &Value) -> bool {
        Pattern::parse(&pattern.to_string()).unwrap_or_else(|why| panic!("{pattern}: {why}")).matches(event)
    }

    fn event() -> Value {
        json!({
            "source": "aws.ecs",
            "detail-type": "ECS Task State Change",
            "resources": ["arn:aws:ecs:us-east-1:1:task/default/a", "arn:b"],
            "detail": {
                "lastStatus": "STOPPED", "version": 3, "cpu": "256", "empty": null, "ip": "10.0.3.7", "odd": "a*b\\c",
                "containers": [{ "name": "app", "exitCode": 1 }, { "name": "side", "exitCode": 0 }],
            },
        })
    }

    #[test]
    fn what_matches() {
        for pattern in [
            json!({ "source": ["aws.ecs"] }),
            json!({ "source": ["aws.ec2", "aws.ecs"], "detail": { "lastStatus": ["STOPPED"] } }),
            json!({ "resources": ["arn:b"] }),
            json!({ "detail": { "version": [3.0] } }),
            json!({ "detail": { "empty": [null] } }),
            json!({ "source": [{ "prefix": "aws." }] }),
            json!({ "source": [{ "prefix": { "equals-ignore-case": "AWS." } }] }),
            json!({ "source": [{ "suffix": ".ecs" }] }),
            json!({ "source": [{ "suffix": { "equals-ignore-case": ".ECS" } }] }),
            json!({ "source": [{ "equals-ignore-case": "AWS.ECS" }] }),
            json!({ "source": [{ "wildcard": "a*.e*s" }] }),
            json!({ "detail": { "odd": [{ "wildcard": "a\\*b*" }] } }),
            json!({ "detail": { "odd": [{ "wildcard": "*\\\\c" }] } }),
            json!({ "source": [{ "anything-but": "aws.ec2" }] }),
            json!({ "source": [{ "anything-but": ["aws.ec2", "aws.sqs"] }] }),
            json!({ "source": [{ "anything-but": { "prefix": "my." } }] }),
            json!({ "source": [{ "anything-but": { "suffix": [".ec2", ".sqs"] } }] }),
            json!({ "detail": { "lastStatus": [{ "exists": true }], "missing": [{ "exists": false }] } }),
            json!({ "nothing": { "here": [{ "exists": false }] } }),
            json!({ "detail": { "version": [{ "numeric": [">", 0, "<=", 3] }] } }),
            json!({ "detail": { "version": [{ "numeric": ["=", 3] }] } }),
            json!({ "detail": { "ip": [{ "cidr": "10.0.0.0/16" }] } }),
            json!({ "detail": { "ip": [{ "cidr": "0.0.0.0/0" }] } }),
            json!({ "detail": { "containers": { "exitCode": [1] } } }),
            json!({ "$or": [{ "source": ["x"] }, { "detail": { "version": [3] } }] }),
            json!({ "detail": { "$or": [{ "version": [4] }, { "lastStatus": ["STOPPED"] }] } }),
        ] {
            assert!(matches(&pattern, &event()), "{pattern}");
        }
    }

    #[test]
    fn what_does_not() {
        for pattern in [
            json!({ "source": ["aws.ec2"] }),
            json!({ "source": ["aws.ecs"], "detail": { "lastStatus": ["RUNNING"] } }),
            json!({ "detail": { "missing": ["x"] } }),
            json!({ "detail": { "missing": [{ "anything-but": "x" }] } }),
            json!({ "detail": { "cpu": [256] } }),
            json!({ "detail": { "version": ["3"] } }),
            json!({ "source": [{ "prefix": "AWS" }] }),
            json!({ "source": [{ "wildcard": "aws.*x" }] }),
            json!({ "source": [{ "wildcard": "aws.ecs*s" }] }),
            json!({ "source": [{ "wildcard": "aws\\*" }] }),
            json!({ "source": [{ "anything-but": { "prefix": ["my.", "aws."] } }] }),
            json!({ "detail": { "lastStatus": [{ "exists": false }] } }),
            json!({ "detail": { "version": [{ "numeric": ["<", 3] }] } }),
            json!({ "detail": { "ip": [{ "cidr": "10.1.0.0/16" }] } }),
            json!({ "detail": { "ip": [{ "cidr": "::/0" }] } }),
            json!({ "$or": [{ "source": ["x"] }, { "source": ["y"] }] }),
        ] {
            assert!(!matches(&pattern, &event()), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"source":"aws.ecs"}"#,
            r#"{"source":[]}"#,
            r#"{"detail":{}}"#,
            r#"{"source":[["a"]]}"#,
            r#"{"source":[{"prefix":1}]}"#,
            r#"{"source":[{"like":"a"}]}"#,
            r#"{"source":[{"prefix":"a","suffix":"b"}]}"#,
            r#"{"source":[{"numeric":["!",1]}]}"#,
            r#"{"source":[{"numeric":[">",1,"<"]}]}"#,
            r#"{"source":[{"cidr":"10.0.0.0"}]}"#,
            r#"{"source":[{"cidr":"10.0.0.0/33"}]}"#,
            r#"{"source":[{"anything-but":[]}]}"#,
            r#"{"source":[{"wildcard":"a**"}]}"#,
            r#"{"source":[{"wildcard":"a\\b"}]}"#,
            r#"{"$or":[{"source":["a"]}]}"#,
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_wildcard_means_what_its_parts_make(parts in prop::collection::vec("[ab]{0,3}", 1..5), between in "[ab]{0,3}") {
            prop_assert!(wild(&parts, &parts.join(&between)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", event in "\\PC{0,20}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.matches(&Value::String(event.clone()));
            }
            if let Ok(pattern) = Pattern::parse(&json!({ "a": [{ "wildcard": text }] }).to_string()) {
                pattern.matches(&json!({ "a": event }));
            }
        }
    }
}
