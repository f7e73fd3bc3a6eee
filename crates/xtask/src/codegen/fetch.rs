//! Takes the service model from botocore on PyPI and strips it: no documentation text, no endpoints, no examples.
//! pip does the download, so a mirror in pip's own settings works too.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::model;
use crate::repo;

/// Raise it to take a newer model, then run `cargo xtask codegen --fetch`.
const BOTOCORE: &str = "botocore==1.44.5";
/// Prints the service model and the paginators as one JSON document.
const EXTRACT: &str = r#"
import glob, gzip, json, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0])
folder = "botocore/data/ecs/2014-11-13/"
def load(name):
    names = wheel.namelist()
    if folder + name in names:
        return json.loads(wheel.read(folder + name))
    return json.loads(gzip.decompress(wheel.read(folder + name + ".gz")))
json.dump([load("service-2.json"), load("paginators-1.json")], sys.stdout)
"#;

/// Keys that carry facts which the generator uses. Everything else in the model is dropped.
const SHAPE_KEYS: &[&str] = &[
    "type",
    "members",
    "required",
    "member",
    "key",
    "value",
    "enum",
    "min",
    "max",
    "pattern",
    "exception",
    "fault",
    "union",
    "document",
    "sensitive",
];
/// Keys that are known and of no use here.
const DROPPED_SHAPE_KEYS: &[&str] =
    &["documentation", "box", "deprecated", "deprecatedMessage", "deprecatedSince", "error"];
const REFERENCE_KEYS: &[&str] = &["shape", "idempotencyToken"];
const OPERATION_KEYS: &[&str] = &["input", "output", "errors", "readonly", "idempotent"];

/// Downloads the model and rewrites the stripped file.
pub fn fetch(root: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    repo::output(
        Command::new("python3")
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                BOTOCORE,
                "--dest",
            ])
            .arg(folder.path()),
    )?;
    let printed = repo::output(Command::new("python3").args(["-c", EXTRACT]).arg(folder.path()))?;
    let documents: Vec<Value> =
        serde_json::from_str(&printed).context("cannot understand botocore's model")?;
    let [service, paginators] = documents.as_slice() else { bail!("expected two documents from botocore") };
    let text = render(&strip(service, paginators)?)?;
    std::fs::write(root.join(model::PATH), text).with_context(|| format!("cannot write {}", model::PATH))
}

fn strip(service: &Value, paginators: &Value) -> Result<Map<String, Value>> {
    let mut shapes = Map::new();
    for (name, shape) in object(service, "shapes")? {
        shapes.insert(name.clone(), strip_shape(shape).with_context(|| format!("shape {name}"))?);
    }
    let mut operations = Map::new();
    for (name, operation) in object(service, "operations")? {
        operations
            .insert(name.clone(), strip_operation(operation).with_context(|| format!("operation {name}"))?);
    }
    let metadata =
        pick(&service["metadata"], &["apiVersion", "jsonVersion", "targetPrefix", "signingName", "protocol"]);
    let mut stripped = Map::new();
    stripped.insert("source".to_owned(), json!(format!("{BOTOCORE} ecs/2014-11-13")));
    stripped.insert("metadata".to_owned(), metadata);
    stripped.insert("operations".to_owned(), Value::Object(operations));
    stripped.insert("shapes".to_owned(), Value::Object(shapes));
    stripped.insert("pagination".to_owned(), paginators["pagination"].clone());
    Ok(stripped)
}

fn strip_shape(shape: &Value) -> Result<Value> {
    let keys = shape.as_object().context("not an object")?.keys();
    if let Some(unknown) = keys
        .into_iter()
        .find(|key| !SHAPE_KEYS.contains(&key.as_str()) && !DROPPED_SHAPE_KEYS.contains(&key.as_str()))
    {
        bail!("has the key {unknown}, which the generator does not know");
    }
    let mut kept = pick(shape, SHAPE_KEYS);
    if let Some(Value::Object(members)) = kept.get_mut("members") {
        for member in members.values_mut() {
            *member = pick(member, REFERENCE_KEYS);
        }
    }
    for key in ["member", "key", "value"] {
        if let Some(reference) = kept.get_mut(key) {
            *reference = pick(reference, REFERENCE_KEYS);
        }
    }
    Ok(kept)
}

fn strip_operation(operation: &Value) -> Result<Value> {
    let mut kept = pick(operation, OPERATION_KEYS);
    for key in ["input", "output"] {
        kept[key] = pick(&operation[key], REFERENCE_KEYS);
    }
    let errors = operation["errors"].as_array().context("has no errors")?;
    kept["errors"] = errors.iter().map(|error| pick(error, REFERENCE_KEYS)).collect();
    Ok(kept)
}

/// The named members of an object, in its own order.
fn pick(value: &Value, keys: &[&str]) -> Value {
    let all = value.as_object().into_iter().flatten();
    Value::Object(
        all.filter(|(key, _)| keys.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect(),
    )
}

fn object<'a>(value: &'a Value, key: &str) -> Result<&'a Map<String, Value>> {
    value[key].as_object().with_context(|| format!("botocore's model has no {key}"))
}

/// One line for each operation and shape: a change in AWS's model is then a readable diff.
fn render(stripped: &Map<String, Value>) -> Result<String> {
    let mut sections = Vec::new();
    for (name, section) in stripped {
        let nested = section.as_object().filter(|section| section.values().all(Value::is_object));
        sections.push(match nested {
            Some(entries) => {
                let lines: Result<Vec<String>> = entries
                    .iter()
                    .map(|(key, value)| Ok(format!("{}:{}", json!(key), serde_json::to_string(value)?)))
                    .collect();
                format!("{}:{{\n{}\n}}", json!(name), lines?.join(",\n"))
            }
            None => format!("{}:{}", json!(name), serde_json::to_string(section)?),
        });
    }
    Ok(format!("{{\n{}\n}}\n", sections.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_is_dropped_and_constraints_stay() {
        let shape = json!({
            "type": "structure",
            "documentation": "words",
            "required": ["a"],
            "members": {"a": {"shape": "String", "documentation": "words", "box": true}}
        });
        let expected = json!({"type": "structure", "required": ["a"], "members": {"a": {"shape": "String"}}});
        assert_eq!(strip_shape(&shape).unwrap(), expected);
    }

    #[test]
    fn a_key_nobody_knows_stops_the_fetch() {
        assert!(strip_shape(&json!({"type": "string", "newTrait": 1})).is_err());
    }
}
