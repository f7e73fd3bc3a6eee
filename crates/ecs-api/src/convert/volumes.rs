//! Volumes of a task and where containers mount them, checked when they are registered (ECS API: Volume, MountPoint).

use std::collections::BTreeSet;

use trireme_ecs_model::shapes::{
    ContainerDefinition, DockerVolumeConfiguration, HostVolumeProperties, Scope, Volume,
};

use crate::error::{Error, Result};

/// ECS API: Volume.name: letters, digits, `-` and `_`.
const NAME_LIMIT: usize = 255;
/// The names of tasks' own volumes on a machine begin so.
const OURS: &str = "trireme-";

pub(crate) fn check(volumes: &[Volume], containers: &[ContainerDefinition]) -> Result<()> {
    let mut names = BTreeSet::new();
    for volume in volumes {
        let name = name(volume)?;
        if !names.insert(name) {
            return Err(Error::client(format!("Volume names must be unique: '{name}' is not.")));
        }
        kind(volume, name)?;
    }
    for container in containers {
        let mut paths = BTreeSet::new();
        for point in container.mount_points.iter().flatten() {
            let (source, path) = (point.source_volume.as_deref(), point.container_path.as_deref());
            let (source, path) = (source.unwrap_or_default(), path.unwrap_or_default());
            if !names.contains(source) {
                return Err(Error::client(format!("Unknown volume '{source}'.")));
            }
            if !path.starts_with('/') || path.contains(':') || !paths.insert(path) {
                let container = container.name.as_deref().unwrap_or_default();
                return Err(Error::client(format!(
                    "Invalid setting for container '{container}'. 'mountPoints.containerPath' must be an absolute path, \
                     and each one another: {path}"
                )));
            }
        }
    }
    Ok(())
}

fn name(volume: &Volume) -> Result<&str> {
    let name = volume.name.as_deref().unwrap_or_default();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(valid) {
        true => Ok(name),
        false => Err(Error::client(format!(
            "Volume name '{name}' must have 1 to {NAME_LIMIT} letters, digits, hyphens and underscores."
        ))),
    }
}

fn kind(volume: &Volume, name: &str) -> Result<()> {
    let wrong = |what: &str| Err(Error::client(format!("Invalid setting for volume '{name}'. {what}")));
    let path = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
    let path = path.filter(|path| !path.is_empty());
    if path.is_some_and(|path| !path.starts_with('/') || path.contains(':')) {
        return wrong("'host.sourcePath' must be an absolute path.");
    }
    let kinds = [
        path.is_some(),
        volume.docker_volume_configuration.is_some(),
        volume.efs_volume_configuration.is_some(),
        volume.s3files_volume_configuration.is_some(),
        volume.fsx_windows_file_server_volume_configuration.is_some(),
        volume.configured_at_launch == Some(true),
    ];
    if kinds.into_iter().filter(|given| *given).count() > 1 {
        return wrong("It can be of one kind only.");
    }
    let shared = |docker: &DockerVolumeConfiguration| docker.scope == Some(Scope::Shared);
    match volume.docker_volume_configuration.as_ref().is_some_and(shared) && name.starts_with(OURS) {
        true => wrong("A volume that is shared cannot have the name of a task's."),
        false => Ok(()),
    }
}

/// Volumes as ECS describes them: one that is said nothing of is of the host, at a path that Docker chooses.
pub(crate) fn with_defaults(volumes: &[Volume]) -> Vec<Volume> {
    let filled = |volume: &Volume| {
        let only_named = *volume == Volume { name: volume.name.clone(), ..Volume::default() };
        let host = only_named.then(HostVolumeProperties::default);
        Volume { host: host.or_else(|| volume.host.clone()), ..volume.clone() }
    };
    volumes.iter().map(filled).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(volumes: &Value, points: &Value) -> Option<String> {
        let volumes: Vec<Volume> = serde_json::from_value(volumes.clone()).unwrap();
        let container: ContainerDefinition =
            serde_json::from_value(json!({"name": "app", "mountPoints": points})).unwrap();
        check(&volumes, &[container]).err().map(|error| error.message)
    }

    #[test]
    fn what_docker_takes_is_taken() {
        let volumes = json!([
            {"name": "plain"},
            {"name": "path", "host": {"sourcePath": "/srv"}},
            {"name": "own", "host": {}, "dockerVolumeConfiguration": {"scope": "task", "driver": "local"}},
            {"name": "minimal", "dockerVolumeConfiguration": {"autoprovision": true}},
            {"name": "shared", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": true}},
        ]);
        let points = json!([
            {"sourceVolume": "plain", "containerPath": "/a"},
            {"sourceVolume": "plain", "containerPath": "/b", "readOnly": true},
        ]);
        assert_eq!(checked(&volumes, &points), None);
    }

    #[test]
    fn what_it_would_refuse_is_refused_by_name() {
        for (volumes, points, words) in [
            (json!([{"name": "a"}, {"name": "a"}]), json!([]), "must be unique: 'a'"),
            (json!([{"name": "a b"}]), json!([]), "'a b'"),
            (json!([{}]), json!([]), "Volume name ''"),
            (json!([{"name": "a", "host": {"sourcePath": "srv"}}]), json!([]), "host.sourcePath"),
            (
                json!([{"name": "a", "host": {"sourcePath": "/srv"}, "dockerVolumeConfiguration": {}}]),
                json!([]),
                "of one kind only",
            ),
            (
                json!([{"name": "trireme-1-volume-a", "dockerVolumeConfiguration": {"scope": "shared"}}]),
                json!([]),
                "the name of a task's",
            ),
            (json!([]), json!([{"sourceVolume": "a", "containerPath": "/a"}]), "Unknown volume 'a'."),
            (json!([{"name": "a"}]), json!([{"sourceVolume": "a", "containerPath": "a"}]), "absolute path"),
            (
                json!([{"name": "a"}]),
                json!([{"sourceVolume": "a", "containerPath": "/a"}, {"sourceVolume": "a", "containerPath": "/a"}]),
                "each one another",
            ),
        ] {
            let message = checked(&volumes, &points).unwrap_or_default();
            assert!(message.contains(words), "{volumes} {points}: {message}");
        }
    }
}
