//! `operation.rs`: the table of operations, and which request belongs to which response.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::errors;
use super::model::{Model, Operation};

pub fn generate(model: &Model) -> Result<String> {
    let mut text = String::from(
        "//! The operations of the service.\n\nuse crate::error_code::ErrorCode;\n\
         use crate::operation_table::{Pagination, Request, operations};\n\
         use crate::shapes::*;\n\noperations! {\n    pub enum Operation {\n",
    );
    let mut requests = BTreeMap::new();
    for (name, operation) in &model.operations {
        if let Some(other) = requests.insert(&operation.input.shape, name) {
            bail!("{name} and {other} share the request {}", operation.input.shape);
        }
        text.push_str(&entry(model, name, operation)?);
    }
    text.push_str("    }\n}\n");
    Ok(text)
}

fn entry(model: &Model, name: &str, operation: &Operation) -> Result<String> {
    let codes: Result<Vec<&str>> =
        operation.errors.iter().map(|error| errors::variant(&error.shape)).collect();
    let mut text = format!(
        "        {name} = {name:?} {{\n            types: {} => {},\n            errors: [{}],\n            readonly: {},\n            idempotent: {},\n",
        operation.input.shape,
        operation.output.shape,
        codes?.join(", "),
        operation.readonly,
        operation.idempotent,
    );
    let members = model.shape(&operation.input.shape)?.members()?;
    let token = members.iter().find(|(_, reference)| reference.idempotency_token).map(|(wire, _)| *wire);
    text.push_str(&format!("            token: {token:?},\n"));
    let pagination = match model.pagination.get(name) {
        None => "None".to_owned(),
        Some(page) if page.input_token == page.output_token => format!(
            "Some(Pagination {{ token: {:?}, limit: {:?}, result: {:?} }})",
            page.output_token, page.limit_key, page.result_key
        ),
        Some(_) => None.with_context(|| format!("{name} pages with two different tokens"))?,
    };
    text.push_str(&format!("            pagination: {pagination},\n        }}\n"));
    Ok(text)
}
