//! `validation.rs`: the constraints that the model states, as one `Validate` for each structure that requests can hold.
//!
//! Structures without any constraint in or below them get none, unless they are a request themselves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::model::{Kind, Model, Shape};
use super::{names, types};

/// The model's patterns, as functions in `ecs-model/src/pattern.rs`. A new pattern stops the generator.
const PATTERNS: &[(&str, &str)] =
    &[(r"[a-zA-Z0-9\.\*\-]+", "InstanceType"), (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "TagText")];

pub fn generate(model: &Model) -> Result<String> {
    let requests: BTreeSet<&str> = model.operations.values().map(|o| o.input.shape.as_str()).collect();
    let constrained = constrained(model)?;
    let mut text = String::from(
        "//! What the model demands of requests. Many of ECS's limits are not in the model; those are ecs-api's.\n\n\
         use crate::pattern::Pattern;\nuse crate::validate::{Path, Validate, Violation, check};\n\
         use crate::shapes::*;\n\n",
    );
    let mut unchecked = Vec::new();
    for name in reachable(model, &requests)? {
        let shape = model.shape(&name)?;
        if shape.kind != Kind::Structure || shape.document {
            continue;
        }
        if constrained.contains(&name) {
            text.push_str(&implementation(model, &constrained, &name, shape)?);
        } else if requests.contains(name.as_str()) {
            unchecked.push(name);
        }
    }
    text.push_str("crate::validate::unconstrained! {\n");
    for name in unchecked {
        text.push_str(&format!("    {name},\n"));
    }
    text.push_str("}\n");
    Ok(text)
}

fn reachable(model: &Model, from: &BTreeSet<&str>) -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<String> = from.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = open.pop() {
        if seen.insert(name.clone()) {
            open.extend(model.shape(&name)?.references()?);
        }
    }
    Ok(seen)
}

/// Shapes with a constraint of their own or below them.
fn constrained(model: &Model) -> Result<BTreeSet<String>> {
    let references: Result<BTreeMap<&String, Vec<String>>> =
        model.shapes.iter().map(|(name, shape)| Ok((name, shape.references()?))).collect();
    let references = references?;
    let mut found: BTreeSet<String> =
        model.shapes.iter().filter(|(_, shape)| has_own(shape)).map(|(name, _)| name.clone()).collect();
    loop {
        let more: Vec<String> = references
            .iter()
            .filter(|(name, below)| {
                !found.contains(**name) && below.iter().any(|below| found.contains(below))
            })
            .map(|(name, _)| (*name).clone())
            .collect();
        if more.is_empty() {
            return Ok(found);
        }
        found.extend(more);
    }
}

fn has_own(shape: &Shape) -> bool {
    !shape.required.is_empty()
        || shape.is_enum()
        || shape.union
        || shape.pattern.is_some()
        || shape.max.is_some()
        || lowest(shape).is_some()
}

/// A minimum that something can be under: no length is under nought.
fn lowest(shape: &Shape) -> Option<f64> {
    let counts = matches!(shape.kind, Kind::String | Kind::List | Kind::Map);
    shape.min.filter(|min| !counts || *min > 0.0)
}

fn implementation(
    model: &Model,
    constrained: &BTreeSet<String>,
    name: &str,
    shape: &Shape,
) -> Result<String> {
    let mut body = String::new();
    if shape.union {
        let fields: Result<Vec<String>> = shape.members().map(|all| {
            all.iter().map(|(wire, _)| format!("self.{}.is_some()", names::field(wire))).collect()
        });
        body.push_str(&format!("check::union(&[{}], at, found);\n", fields?.join(", ")));
    }
    for (wire, reference) in shape.members()? {
        let field = names::field(wire);
        let required = shape.required.contains(wire);
        let checks = if constrained.contains(&reference.shape) {
            checks(model, constrained, &reference.shape)?
        } else {
            String::new()
        };
        match (required, checks.is_empty()) {
            (false, true) => {}
            (true, true) => body.push_str(&format!("check::required(&self.{field}, {wire:?}, at, found);\n")),
            _ => {
                let function = if required { "required_with" } else { "optional" };
                body.push_str(&format!(
                    "check::{function}(&self.{field}, {wire:?}, at, found, |value, at, found| {{ {checks} }});\n"
                ));
            }
        }
    }
    Ok(format!(
        "impl Validate for {name} {{\n fn validate(&self, at: &Path<'_>, found: &mut Vec<Violation>) {{\n{body} }}\n}}\n\n"
    ))
}

/// Statements that check `value` of the shape at `at`.
fn checks(model: &Model, constrained: &BTreeSet<String>, name: &str) -> Result<String> {
    let shape = model.shape(name)?;
    let below = |name: &str| -> Result<String> {
        if constrained.contains(name) { checks(model, constrained, name) } else { Ok(String::new()) }
    };
    let mut text = bounds(shape);
    match shape.kind {
        Kind::Structure => text.push_str("value.validate(at, found);"),
        Kind::String if shape.is_enum() => text.push_str("check::named(value, at, found);"),
        Kind::String => {
            if let Some(pattern) = &shape.pattern {
                let known = PATTERNS.iter().find(|(text, _)| text == pattern);
                let (_, function) =
                    known.with_context(|| format!("{name} has a pattern that is not known: {pattern}"))?;
                text.push_str(&format!("check::pattern(value, Pattern::{function}, at, found);"));
            }
        }
        Kind::List => {
            let inner = below(types::element(shape, name)?)?;
            if !inner.is_empty() {
                text.push_str(&format!("check::each(value, at, found, |value, at, found| {{ {inner} }});"));
            }
        }
        // The model constrains no map today; when it does, this stops the generator.
        Kind::Map => {
            None.with_context(|| format!("the map {name} has constraints, which the generator cannot write"))?
        }
        Kind::Boolean | Kind::Integer | Kind::Long | Kind::Double | Kind::Timestamp => {}
    }
    Ok(text)
}

fn bounds(shape: &Shape) -> String {
    let (min, max) = (lowest(shape), shape.max);
    if min.is_none() && max.is_none() {
        return String::new();
    }
    match shape.kind {
        Kind::String => {
            format!("check::length(value.chars().count(), {}, {}, at, found);", whole(min), whole(max))
        }
        Kind::List => format!("check::length(value.len(), {}, {}, at, found);", whole(min), whole(max)),
        Kind::Double => format!("check::range(*value, {min:?}, {max:?}, at, found);"),
        _ => format!("check::range(f64::from(*value), {min:?}, {max:?}, at, found);"),
    }
}

/// Lengths are whole numbers.
fn whole(bound: Option<f64>) -> String {
    bound.map_or_else(|| "None".to_owned(), |bound| format!("Some({bound:.0})"))
}
