//! `enums.rs`: one Rust enum for each string shape with named values.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::model::Model;
use super::names;

pub fn generate(model: &Model) -> Result<String> {
    let mut text = String::from(
        "//! Named values. A value that the model does not name is kept in `Other`, so that the answer can say which\n\
         //! member was wrong.\n\nuse crate::string_enum::string_enum;\n\n",
    );
    for (name, shape) in model.shapes.iter().filter(|(_, shape)| shape.is_enum()) {
        text.push_str(&format!("string_enum! {{\n    pub enum {name} {{\n"));
        let mut seen = BTreeSet::from(["Other".to_owned()]);
        for value in &shape.values {
            let variant = names::variant(value);
            if !seen.insert(variant.clone()) {
                bail!("enum {name} has two values that become {variant}");
            }
            text.push_str(&format!("        {variant} = {value:?},\n"));
        }
        text.push_str("    }\n}\n\n");
    }
    Ok(text)
}
