//! `error_code.rs`: the errors that the service can answer.

use anyhow::{Context, Result};

use super::model::Model;

pub fn generate(model: &Model) -> Result<String> {
    let mut text = String::from(
        "//! The errors of the service.\n\nuse crate::error_table::error_codes;\n\nerror_codes! {\n    pub enum ErrorCode {\n",
    );
    for (name, shape) in model.errors() {
        // awsJson1.1 gives a client's mistake 400 and the service's own failure 500.
        let status = if shape.fault { 500 } else { 400 };
        text.push_str(&format!("        {} = {name:?} {status} {},\n", variant(name)?, shape.fault));
    }
    text.push_str("    }\n}\n");
    Ok(text)
}

/// `ClientException` is `ErrorCode::Client`.
pub fn variant(name: &str) -> Result<&str> {
    name.strip_suffix("Exception").with_context(|| format!("the error {name} does not end in Exception"))
}
