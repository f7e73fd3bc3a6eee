//! The stripped service model as data. Unknown keys are an error: they would be a constraint that is lost in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The stripped model, relative to the workspace.
pub const PATH: &str = "crates/ecs-model/model/ecs-2014-11-13.json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub source: String,
    pub metadata: Metadata,
    pub operations: BTreeMap<String, Operation>,
    pub shapes: BTreeMap<String, Shape>,
    pub pagination: BTreeMap<String, Pagination>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub target_prefix: String,
    pub signing_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    pub input: Reference,
    pub output: Reference,
    pub errors: Vec<Reference>,
    #[serde(default)]
    pub readonly: bool,
    #[serde(default)]
    pub idempotent: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Reference {
    pub shape: String,
    #[serde(default)]
    pub idempotency_token: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pagination {
    pub input_token: String,
    pub output_token: String,
    pub limit_key: String,
    pub result_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    #[serde(rename = "type")]
    pub kind: Kind,
    /// In the model's order, which is the order of the generated fields.
    #[serde(default)]
    members: Map<String, Value>,
    #[serde(default)]
    pub required: BTreeSet<String>,
    pub member: Option<Reference>,
    pub key: Option<Reference>,
    pub value: Option<Reference>,
    #[serde(rename = "enum", default)]
    pub values: Vec<String>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<String>,
    #[serde(default)]
    pub exception: bool,
    #[serde(default)]
    pub fault: bool,
    #[serde(default)]
    pub union: bool,
    #[serde(default)]
    pub document: bool,
    #[serde(default)]
    pub sensitive: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Structure,
    List,
    Map,
    String,
    Boolean,
    Integer,
    Long,
    Double,
    Timestamp,
}

impl Model {
    pub fn read(root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(root.join(PATH)).with_context(|| format!("cannot read {PATH}"))?;
        serde_json::from_str(&text).with_context(|| format!("cannot understand {PATH}"))
    }

    pub fn shape(&self, name: &str) -> Result<&Shape> {
        self.shapes.get(name).with_context(|| format!("the model names the shape {name} but has none"))
    }

    /// Structures that become Rust structs; the one document type becomes an alias.
    pub fn structures(&self) -> impl Iterator<Item = (&String, &Shape)> {
        self.shapes.iter().filter(|(_, shape)| shape.kind == Kind::Structure && !shape.document)
    }

    /// Errors in the order of their names.
    pub fn errors(&self) -> impl Iterator<Item = (&String, &Shape)> {
        self.shapes.iter().filter(|(_, shape)| shape.exception)
    }
}

impl Shape {
    pub fn is_enum(&self) -> bool {
        !self.values.is_empty()
    }

    pub fn members(&self) -> Result<Vec<(&str, Reference)>> {
        let parse = |(name, value): (_, &Value)| -> Result<(&str, Reference)> {
            let name: &String = name;
            let reference = serde_json::from_value(value.clone())
                .with_context(|| format!("cannot understand member {name}"))?;
            Ok((name.as_str(), reference))
        };
        self.members.iter().map(parse).collect()
    }

    /// Shapes that this one refers to.
    pub fn references(&self) -> Result<Vec<String>> {
        let mut all: Vec<String> =
            self.members()?.into_iter().map(|(_, reference)| reference.shape).collect();
        for reference in [&self.member, &self.key, &self.value].into_iter().flatten() {
            all.push(reference.shape.clone());
        }
        Ok(all)
    }
}
