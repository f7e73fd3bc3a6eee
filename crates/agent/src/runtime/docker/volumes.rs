//! Volumes of a task (ECS API: Volume, MountPoint): paths of the machine, volumes that end with their task, and volumes that stay.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{Mount, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};
use serde::Deserialize;
use trireme_rpc::agent::AssignedTask;
use trireme_types::{TaskId, capability};

use super::QUICK;
use super::call::{Outcome, call, failed};
use super::labels;
use crate::runtime::{Failure, FailureKind, NewContainer, Over, Owner};
use crate::setting;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: String,
    host: Option<Host>,
    docker_volume_configuration: Option<Configuration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    source_path: Option<String>,
}

/// ECS API: DockerVolumeConfiguration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    scope: Option<String>,
    autoprovision: Option<bool>,
    driver: Option<String>,
    driver_opts: Option<HashMap<String, String>>,
    labels: Option<HashMap<String, String>>,
}

impl Configuration {
    fn mounts_machine(&self) -> bool {
        let option = |name: &str| self.driver_opts.as_ref()?.get(name).map(String::as_str);
        capability::mounts_machine(self.driver.as_deref(), option("type"), option("device"))
    }

    fn is_shared(&self) -> bool {
        self.scope.as_deref() == Some("shared")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MountPoint {
    source_volume: String,
    container_path: String,
    read_only: Option<bool>,
}

/// What a container mounts, in Docker's words.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Mounts {
    /// Paths of the machine. Docker makes those that are not there.
    pub(super) binds: Vec<String>,
    /// Volumes. Docker makes those that are not there, and labels them.
    pub(super) volumes: Vec<Mount>,
    /// Of them, those that somebody else has to have made.
    pub(super) expected: Vec<String>,
    /// Some are paths or disks of the machine.
    pub(super) of_machine: bool,
}

/// What a container mounts.
///
/// # Errors
/// A member is not what it should be.
pub(super) fn of(new: &NewContainer) -> Result<Mounts, String> {
    let points: Vec<MountPoint> = setting::read(&new.definition().settings, "mountPoints")?;
    let volumes: Vec<Volume> = setting::read(&new.task.settings, "volumes")?;
    let mut mounts = Mounts::default();
    for point in points {
        let read_only = point.read_only == Some(true);
        let volume = volumes.iter().find(|volume| volume.name == point.source_volume);
        let volume = volume.ok_or_else(|| format!("there is no volume {}", point.source_volume))?;
        let path = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            let mode = if read_only { "ro" } else { "rw" };
            mounts.of_machine = true;
            mounts.binds.push(format!("{path}:{}:{mode}", point.container_path));
            continue;
        }
        let nothing = Configuration::default();
        let configuration = volume.docker_volume_configuration.as_ref().unwrap_or(&nothing);
        let name = match configuration.is_shared() {
            true => volume.name.clone(),
            false => name_of(&new.task, &volume.name),
        };
        mounts.of_machine |= configuration.mounts_machine();
        let made_here = !configuration.is_shared() || configuration.autoprovision == Some(true);
        if !made_here {
            mounts.expected.push(name.clone());
        }
        mounts.volumes.push(Mount {
            target: Some(point.container_path),
            source: Some(name),
            typ: Some(MountType::VOLUME),
            read_only: Some(read_only),
            volume_options: made_here.then(|| options(new, configuration)),
            ..Mount::default()
        });
    }
    Ok(mounts)
}

/// How a volume is made, if it is not there. One that ends with its task is found by its labels.
fn options(new: &NewContainer, configuration: &Configuration) -> MountVolumeOptions {
    let mut all = configuration.labels.clone().unwrap_or_default();
    // One that stays must not look like a task's.
    all.retain(|name, _| !name.starts_with(labels::OURS));
    if !configuration.is_shared() {
        all.extend(labels::of_task(new));
    }
    let told = configuration.driver.is_some() || configuration.driver_opts.is_some();
    MountVolumeOptions {
        labels: Some(all),
        driver_config: told.then(|| MountVolumeOptionsDriverConfig {
            name: configuration.driver.clone(),
            options: configuration.driver_opts.clone(),
        }),
        ..MountVolumeOptions::default()
    }
}

/// Sees that volumes are there which nobody makes here.
pub(super) async fn expect(docker: &Docker, names: &[String]) -> Result<(), Failure> {
    for name in names {
        match call("volume", QUICK, docker.inspect_volume(name)).await {
            Ok(_) => {}
            Err(outcome) if outcome.is_not_found() => {
                let message = format!("there is no volume {name}: make it, or set autoprovision");
                return Err(Failure::new(FailureKind::CannotCreateVolume, message));
            }
            Err(outcome) => return Err(failed(FailureKind::CannotCreateVolume, outcome)),
        }
    }
    Ok(())
}

/// The name of a volume that ends with its task.
fn name_of(task: &AssignedTask, volume: &str) -> String {
    format!("trireme-{}-volume-{volume}", task.task_id)
}

/// Removes the volumes of tasks that are over. One that is in use still is left: it is asked for again.
pub(super) async fn release(docker: &Docker, owner: &Owner, over: &Over) -> Result<(), Failure> {
    let label = match over {
        // Listing asks every volume driver, of which one may hang: what is known is removed by its name.
        Over::Task(_, task) if task.settings.contains_key("volumes") => {
            let volumes: Vec<Volume> = setting::read(&task.settings, "volumes").unwrap_or_default();
            return remove(docker, volumes.iter().map(|volume| name_of(task, &volume.name))).await;
        }
        Over::Task(id, _) => labels::of_task_id(*id),
        Over::AllBut(_) => labels::of_agent(owner),
    };
    remove_labelled(docker, vec![label], |task| task.is_some_and(|task| over.holds(task))).await
}

/// Removes the volumes with these labels that belong to such a task.
pub(super) async fn remove_labelled(
    docker: &Docker,
    labels: Vec<String>,
    is_over: impl Fn(Option<TaskId>) -> bool,
) -> Result<(), Failure> {
    let filters = HashMap::from([("label", labels)]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let listed = call("volumes", QUICK, docker.list_volumes(Some(options))).await;
    let listed = listed.map_err(|outcome| failed(FailureKind::CannotRemove, outcome))?;
    let task =
        |volume: &bollard::models::Volume| volume.labels.get(labels::TASK_ID).and_then(|id| id.parse().ok());
    let volumes = listed.volumes.unwrap_or_default().into_iter().filter(|volume| is_over(task(volume)));
    remove(docker, volumes.map(|volume| volume.name)).await
}

async fn remove(docker: &Docker, names: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut first = Ok(());
    for name in names {
        let options = RemoveVolumeOptionsBuilder::default().build();
        match call("volume-remove", QUICK, docker.remove_volume(&name, Some(options))).await {
            Ok(()) | Err(Outcome::Refused { status: 404, .. }) => {}
            Err(outcome) => first = first.and(Err(failed(FailureKind::CannotRemove, outcome))),
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trireme_rpc::agent::Container;

    use super::*;

    fn mounts(volumes: &str, points: &str) -> Result<Mounts, String> {
        let settings = |member: &str, json: &str| HashMap::from([(member.to_owned(), json.to_owned())]);
        let container = Container { settings: settings("mountPoints", points), ..Container::default() };
        let task = AssignedTask {
            task_id: "t".to_owned(),
            settings: settings("volumes", volumes),
            containers: vec![container],
            ..AssignedTask::default()
        };
        let image = crate::runtime::ImageName::default();
        of(&NewContainer { owner: Arc::default(), task: Arc::new(task), index: 0, image })
    }

    const POINT: &str = r#"[{"sourceVolume":"data","containerPath":"/data","readOnly":true}]"#;

    #[test]
    fn a_path_of_the_machine_is_bound() {
        let mounts = mounts(r#"[{"name":"data","host":{"sourcePath":"/srv/data"}}]"#, POINT).unwrap();
        assert_eq!(
            mounts,
            Mounts { binds: vec!["/srv/data:/data:ro".to_owned()], of_machine: true, ..Mounts::default() }
        );
    }

    #[test]
    fn a_volume_of_the_task_has_its_name_and_labels() {
        for volume in [
            r#"[{"name":"data"}]"#,
            r#"[{"name":"data","host":{}}]"#,
            r#"[{"name":"data","dockerVolumeConfiguration":{"scope":"task"}}]"#,
        ] {
            let mounts = mounts(volume, POINT).unwrap();
            let mount = &mounts.volumes[0];
            assert_eq!(mount.source.as_deref(), Some("trireme-t-volume-data"));
            assert_eq!((mount.target.as_deref(), mount.read_only), (Some("/data"), Some(true)));
            let options = mount.volume_options.as_ref().unwrap();
            assert_eq!(options.labels.as_ref().unwrap()[labels::TASK_ID], "t");
            assert_eq!(options.driver_config, None);
        }
    }

    #[test]
    fn a_shared_volume_stays_and_is_made_only_when_that_is_asked_for() {
        let shared = |more: &str| {
            format!(r#"[{{"name":"data","dockerVolumeConfiguration":{{"scope":"shared"{more}}}}}]"#)
        };
        let there = mounts(&shared(""), POINT).unwrap();
        assert_eq!((there.expected, &there.volumes[0].volume_options), (vec!["data".to_owned()], &None));
        let made = mounts(&shared(r#","autoprovision":true,"driver":"local","labels":{"a":"b"}"#), POINT);
        let made = made.unwrap();
        assert_eq!(made.expected, Vec::<String>::new());
        let options = made.volumes[0].volume_options.clone().unwrap();
        assert_eq!(options.labels.unwrap(), HashMap::from([("a".to_owned(), "b".to_owned())]));
        assert_eq!(options.driver_config.unwrap().name.as_deref(), Some("local"));
    }

    #[test]
    fn a_disk_of_the_machine_is_known_behind_a_volume_too() {
        let bound = r#"[{"name":"data","dockerVolumeConfiguration":{"driverOpts":{"type":"none","o":"bind","device":"/"}}}]"#;
        assert!(mounts(bound, POINT).unwrap().of_machine);
        let far =
            r#"[{"name":"data","dockerVolumeConfiguration":{"driverOpts":{"type":"nfs","device":":/x"}}}]"#;
        assert!(!mounts(far, POINT).unwrap().of_machine);
        let labelled = r#"[{"name":"data","dockerVolumeConfiguration":{"scope":"shared","autoprovision":true,
            "labels":{"io.trireme.task-id":"other","a":"b"}}}]"#;
        let mounts = mounts(labelled, POINT).unwrap();
        let labels = mounts.volumes[0].volume_options.clone().unwrap().labels.unwrap();
        assert_eq!(labels, HashMap::from([("a".to_owned(), "b".to_owned())]));
    }

    #[test]
    fn nothing_runs_without_its_volume() {
        assert_eq!(mounts("[]", POINT), Err("there is no volume data".to_owned()));
        assert!(mounts("{}", POINT).unwrap_err().starts_with("volumes: "));
    }
}
