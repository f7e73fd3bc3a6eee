//! Objects that tasks name as those of S3, read from a folder of the machine that its operator gives: `DIR/BUCKET/KEY`. And what they
//! are for: files of environment variables (ECS API: ContainerDefinition.environmentFiles).

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use trireme_rpc::agent::{Container, EnvironmentVariable};
use trireme_types::object_path::object_of;

use crate::setting;

/// The largest object that is read.
const LARGEST: u64 = 1 << 20;

/// ECS API: EnvironmentFile.
#[derive(Debug, Deserialize)]
struct EnvironmentFile {
    value: String,
}

/// A folder of objects, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects(Option<PathBuf>);

impl Objects {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// A container's variables with those of its files. Its own stand, and of two files the first one's do (ECS developer guide:
    /// environment files).
    ///
    /// # Errors
    /// Which file cannot be read, and what to do.
    pub(crate) fn environment(&self, container: &Container) -> Result<Vec<EnvironmentVariable>, String> {
        let files: Vec<EnvironmentFile> = setting::read(&container.settings, "environmentFiles")?;
        let mut variables = container.environment.clone();
        for file in files {
            let text = self.read(&file.value)?;
            for (name, value) in parse(&text) {
                if !variables.iter().any(|known| known.name == name) {
                    let (name, value) = (name.to_owned(), value.to_owned());
                    variables.push(EnvironmentVariable { name, value });
                }
            }
        }
        Ok(variables)
    }

    fn read(&self, arn: &str) -> Result<String, String> {
        let Some(folder) = &self.0 else {
            return Err(format!("environment file {arn}: start the agent with --object-dir"));
        };
        let (bucket, key) = object_of(arn).ok_or_else(|| format!("environment file {arn} is no object"))?;
        let path = folder.join(bucket).join(key);
        let failed = |error: std::io::Error| {
            format!("environment file {arn}: cannot read {}: {error}; put the file there", path.display())
        };
        // A link must not lead out of the folder.
        let real = path.canonicalize().map_err(failed)?;
        if !real.starts_with(folder.canonicalize().map_err(failed)?) {
            return Err(format!("environment file {arn}: {} is outside the object folder", path.display()));
        }
        text_of(&real).map_err(failed)
    }
}

fn text_of(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > LARGEST {
        return Err(std::io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(text)
}

/// Lines `NAME=VALUE`. Others, and those that begin with `#`, say nothing (ECS developer guide: environment files).
fn parse(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.filter(|(name, value)| !name.is_empty() && !value.is_empty() && !value.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(files: &[&str], own: &[(&str, &str)]) -> Container {
        let files: Vec<_> = files
            .iter()
            .map(|key| serde_json::json!({"value": format!("arn:aws:s3:::b/{key}"), "type": "s3"}))
            .collect();
        let own = own.iter().map(|(name, value)| EnvironmentVariable {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        });
        Container {
            environment: own.collect(),
            settings: [("environmentFiles".to_owned(), serde_json::json!(files).to_string())].into(),
            ..Container::default()
        }
    }

    fn read(folder: &Path, container: &Container) -> Result<Vec<String>, String> {
        let variables = Objects::new(Some(folder.to_owned())).environment(container)?;
        Ok(variables.into_iter().map(|one| format!("{}={}", one.name, one.value)).collect())
    }

    #[test]
    fn the_containers_own_come_first_then_the_first_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join("b").join(name), text).unwrap();
        file("one.env", "# a comment\nA=file\nB=one\n\nnothing\n=x\nE=\nC=a=b #c\r\n");
        file("two.env", "B=two\nD=two");
        let found = read(folder.path(), &container(&["one.env", "two.env"], &[("A", "own")])).unwrap();
        assert_eq!(found, ["A=own", "B=one", "C=a=b #c", "D=two"]);
    }

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let objects = folder.path().join("objects");
        std::fs::create_dir_all(objects.join("b")).unwrap();
        std::fs::write(folder.path().join("secret"), "A=B").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), objects.join("b/link")).unwrap();
        std::fs::write(objects.join("b/large"), "A".repeat(1 + (1 << 20))).unwrap();
        for (key, words) in [
            ("gone", "put the file there"),
            ("link", "is outside the object folder"),
            ("large", "larger than 1048576 bytes"),
            ("../../secret", "is no object"),
        ] {
            let error = read(&objects, &container(&[key], &[])).unwrap_err();
            assert!(error.contains(words), "{key}: {error}");
        }
        let error = Objects::default().environment(&container(&["a"], &[])).unwrap_err();
        assert!(error.ends_with("start the agent with --object-dir"), "{error}");
    }
}
