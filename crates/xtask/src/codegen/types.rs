//! Which Rust type a shape becomes.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::model::{Kind, Model, Shape};

/// The Rust type of a shape, as generated modules name it.
pub fn rust(model: &Model, name: &str) -> Result<String> {
    let shape = model.shape(name)?;
    Ok(match shape.kind {
        Kind::Structure => name.to_owned(),
        Kind::String if shape.is_enum() => name.to_owned(),
        Kind::String => "String".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Integer => "i32".to_owned(),
        Kind::Long => "i64".to_owned(),
        Kind::Double => "f64".to_owned(),
        Kind::Timestamp => "EpochSeconds".to_owned(),
        Kind::List => format!("Vec<{}>", rust(model, element(shape, name)?)?),
        Kind::Map => {
            let key = shape.key.as_ref().with_context(|| format!("map {name} has no key"))?;
            let value = shape.value.as_ref().with_context(|| format!("map {name} has no value"))?;
            format!("BTreeMap<{}, {}>", rust(model, &key.shape)?, rust(model, &value.shape)?)
        }
    })
}

/// The shape that a list holds.
pub fn element<'a>(shape: &'a Shape, name: &str) -> Result<&'a str> {
    Ok(&shape.member.as_ref().with_context(|| format!("list {name} has no member"))?.shape)
}

/// Whether `from` holds `target` by value, so that the field needs a box. Lists and maps are indirections already.
pub fn contains(model: &Model, from: &str, target: &str) -> Result<bool> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        if name == target {
            return Ok(true);
        }
        let shape = model.shape(&name)?;
        if shape.kind == Kind::Structure && seen.insert(name) {
            open.extend(shape.references()?);
        }
    }
    Ok(false)
}
