//! `requests.rs`, `responses.rs`, `exceptions.rs` and `structures_*.rs`: one struct for each structure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::model::{Model, Shape};
use super::{names, types};

/// Files by kind; what is nested is split by its first letter to keep files readable.
const FILES: &[(&str, &str)] = &[
    ("requests", "What operations take."),
    ("responses", "What operations give."),
    ("exceptions", "The bodies of errors."),
    ("structures_a_to_d", "Structures inside requests and responses, A to D."),
    ("structures_e_to_r", "Structures inside requests and responses, E to R."),
    ("structures_s_to_z", "Structures inside requests and responses, S to Z."),
];

pub fn generate(model: &Model) -> Result<BTreeMap<&'static str, String>> {
    let requests: BTreeSet<&String> =
        model.operations.values().map(|operation| &operation.input.shape).collect();
    let responses: BTreeSet<&String> =
        model.operations.values().map(|operation| &operation.output.shape).collect();
    let mut bodies: BTreeMap<&'static str, String> =
        FILES.iter().map(|(file, _)| (*file, String::new())).collect();
    for (name, shape) in model.structures() {
        let file = match name.chars().next() {
            _ if requests.contains(name) => "requests",
            _ if responses.contains(name) => "responses",
            _ if shape.exception => "exceptions",
            Some('A'..='D') => "structures_a_to_d",
            Some('E'..='R') => "structures_e_to_r",
            _ => "structures_s_to_z",
        };
        bodies.entry(file).or_default().push_str(&structure(model, name, shape)?);
    }
    for (name, _) in model.shapes.iter().filter(|(_, shape)| shape.document) {
        let alias = format!("/// Any JSON value.\npub type {name} = serde_json::Value;\n\n");
        bodies.entry("structures_e_to_r").or_default().push_str(&alias);
    }
    Ok(FILES.iter().map(|(file, about)| (*file, with_imports(about, &bodies[file]))).collect())
}

fn structure(model: &Model, name: &str, shape: &Shape) -> Result<String> {
    let members = shape.members()?;
    if members.is_empty() {
        return Ok(format!("shape! {{\n    pub struct {name} {{}}\n}}\n\n"));
    }
    let mut text = format!("shape! {{\n    pub struct {name} {{\n");
    let mut seen = BTreeSet::new();
    for (wire, reference) in members {
        let field = names::field(wire);
        if !seen.insert(field.clone()) {
            bail!("{name} has two members that become {field}");
        }
        let mut rust = types::rust(model, &reference.shape)?;
        if types::contains(model, &reference.shape, name)? {
            rust = format!("Box<{rust}>");
        }
        let secret = if model.shape(&reference.shape)?.sensitive { " (secret)" } else { "" };
        text.push_str(&format!("        pub {field}: {rust} => {wire:?}{secret},\n"));
    }
    text.push_str("    }\n}\n\n");
    Ok(text)
}

fn with_imports(about: &str, body: &str) -> String {
    let map = if body.contains("BTreeMap<") { "use std::collections::BTreeMap;\n\n" } else { "" };
    let time = if body.contains("EpochSeconds") { "use crate::scalar::EpochSeconds;\n" } else { "" };
    let shapes = if needs_shapes(body) { "use crate::shapes::*;\n" } else { "" };
    format!("//! {about}\n\n{map}{time}use crate::shape::shape;\n{shapes}\n{body}")
}

/// Whether any field names a generated type.
fn needs_shapes(body: &str) -> bool {
    let fields =
        body.lines().filter_map(|line| line.split_once(": ").and_then(|(_, rest)| rest.split_once(" => ")));
    let mut names = fields.flat_map(|(rust, _)| rust.split(['<', '>', ',', ' ']));
    let plain = ["Vec", "BTreeMap", "Box", "String", "EpochSeconds", ""];
    names.any(|name| name.starts_with(|c: char| c.is_ascii_uppercase()) && !plain.contains(&name))
}
