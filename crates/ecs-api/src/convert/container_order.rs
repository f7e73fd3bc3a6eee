//! What containers of a task need of each other, checked when they are registered (ECS API: ContainerDefinition.dependsOn,
//! startTimeout, links, volumesFrom): what is named is there, a condition can come true, and nobody waits for itself.

use trireme_ecs_model::shapes::{ContainerCondition, ContainerDefinition};
use trireme_state::object::NetworkMode;

use crate::error::{Error, Result};

/// ECS API: startTimeout, in seconds.
const LEAST_START_TIMEOUT: i32 = 2;

type Checked = std::result::Result<(), String>;

pub(crate) fn check(all: &[ContainerDefinition], mode: Option<NetworkMode>) -> Result<()> {
    for one in all {
        let checks = [start_timeout(one), dependencies(one, all), links(one, all, mode), volumes(one, all)];
        let wrong =
            |what: String| Error::client(format!("Invalid setting for container '{}'. {what}", name(one)));
        checks.into_iter().collect::<Checked>().map_err(wrong)?;
    }
    match ring(all) {
        None => Ok(()),
        Some(one) if one.links.iter().flatten().next().is_some() => {
            Err(Error::client("Container links should not have a cycle"))
        }
        Some(one) => Err(Error::client(format!(
            "Container dependencies should not have a cycle: '{}' waits for itself.",
            name(one)
        ))),
    }
}

fn name(one: &ContainerDefinition) -> &str {
    one.name.as_deref().unwrap_or_default()
}

fn named<'a>(all: &'a [ContainerDefinition], wanted: &str) -> Option<&'a ContainerDefinition> {
    all.iter().find(|one| name(one) == wanted)
}

fn other<'a>(
    member: &str,
    of: &ContainerDefinition,
    all: &'a [ContainerDefinition],
    wanted: &str,
) -> std::result::Result<&'a ContainerDefinition, String> {
    match named(all, wanted) {
        _ if wanted == name(of) => Err(format!("'{member}' names the container itself.")),
        Some(found) => Ok(found),
        None => {
            Err(format!("Cannot depend on container + '{wanted}' because it does not exist ('{member}')"))
        }
    }
}

fn start_timeout(one: &ContainerDefinition) -> Checked {
    match one.start_timeout {
        Some(seconds) if seconds < LEAST_START_TIMEOUT => {
            Err(format!("'startTimeout' must be at least {LEAST_START_TIMEOUT}."))
        }
        _ => Ok(()),
    }
}

fn dependencies(one: &ContainerDefinition, all: &[ContainerDefinition]) -> Checked {
    for dependency in one.depends_on.iter().flatten() {
        let found = other("dependsOn", one, all, dependency.container_name.as_deref().unwrap_or_default())?;
        let condition = dependency.condition.as_ref().unwrap_or(&ContainerCondition::Start);
        let ends = matches!(condition, ContainerCondition::Complete | ContainerCondition::Success);
        if *condition == ContainerCondition::Healthy && found.health_check.is_none() {
            return Err(format!(
                "Condition HEALTHY cannot be of container '{}': it has no 'healthCheck'.",
                name(found)
            ));
        }
        if ends && found.essential.unwrap_or(true) {
            return Err(
                "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// `name`, or `name:alias`.
fn links(one: &ContainerDefinition, all: &[ContainerDefinition], mode: Option<NetworkMode>) -> Checked {
    let links = one.links.as_deref().unwrap_or_default();
    if !links.is_empty() && !matches!(mode, None | Some(NetworkMode::Bridge)) {
        return Err("'links' need networkMode=bridge.".to_owned());
    }
    for link in links {
        let (wanted, alias) = link.split_once(':').unwrap_or((link, link));
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if alias.is_empty() || !alias.chars().all(valid) {
            return Err(format!("'links' has an invalid alias: {link}"));
        }
        other("links", one, all, wanted)?;
    }
    Ok(())
}

fn volumes(one: &ContainerDefinition, all: &[ContainerDefinition]) -> Checked {
    let mut given = one.volumes_from.iter().flatten();
    given.try_for_each(|from| {
        other("volumesFrom", one, all, from.source_container.as_deref().unwrap_or_default()).map(drop)
    })
}

/// What a container waits for.
fn needed(one: &ContainerDefinition) -> impl Iterator<Item = &str> {
    let depends = one.depends_on.iter().flatten().filter_map(|one| one.container_name.as_deref());
    let links = one.links.iter().flatten().map(|link| link.split(':').next().unwrap_or(link));
    let volumes = one.volumes_from.iter().flatten().filter_map(|from| from.source_container.as_deref());
    depends.chain(links).chain(volumes)
}

/// One that waits for itself, by way of others. Those that wait for nobody who is left are taken away until none is left.
fn ring(all: &[ContainerDefinition]) -> Option<&ContainerDefinition> {
    let mut left: Vec<&ContainerDefinition> = all.iter().collect();
    loop {
        let waits =
            |one: &&ContainerDefinition| needed(one).any(|on| left.iter().any(|other| name(other) == on));
        let rest: Vec<&ContainerDefinition> = left.iter().copied().filter(waits).collect();
        if rest.len() == left.len() {
            return left.first().copied();
        }
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(all: &Value, mode: Option<NetworkMode>) -> Option<String> {
        let all: Vec<ContainerDefinition> = serde_json::from_value(all.clone()).unwrap();
        check(&all, mode).err().map(|error| error.message)
    }

    #[test]
    fn a_chain_is_taken() {
        let all = json!([
            {"name": "init", "essential": false, "startTimeout": 2},
            {"name": "db", "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}]},
            {"name": "app", "links": ["db:database"], "volumesFrom": [{"sourceContainer": "init"}]},
        ]);
        assert_eq!(checked(&all, None), None);
        assert!(checked(&all, Some(NetworkMode::Host)).unwrap().contains("networkMode=bridge"));
    }

    #[test]
    fn what_can_never_come_up_is_refused() {
        let on = |name: &str, condition: &str| json!([{"containerName": name, "condition": condition}]);
        for (member, value, words) in [
            (
                "dependsOn",
                on("nobody", "START"),
                "Cannot depend on container + 'nobody' because it does not exist",
            ),
            ("dependsOn", on("a", "START"), "names the container itself"),
            ("dependsOn", on("b", "SUCCESS"), "cannot be an essential container"),
            ("dependsOn", on("b", "COMPLETE"), "cannot be an essential container"),
            ("dependsOn", on("b", "HEALTHY"), "has no 'healthCheck'"),
            ("links", json!(["c"]), "'c' because it does not exist"),
            ("links", json!(["b:x y"]), "invalid alias"),
            ("volumesFrom", json!([{"sourceContainer": "c"}]), "'c' because it does not exist"),
            ("startTimeout", json!(1), "at least 2"),
        ] {
            let all = json!([{"name": "a", member: value}, {"name": "b"}]);
            let message = checked(&all, None).unwrap_or_default();
            assert!(message.starts_with("Invalid setting for container 'a'. "), "{member}: {message}");
            assert!(message.contains(words), "{member}: {message}");
        }
    }

    #[test]
    fn nobody_waits_for_itself() {
        let all = json!([
            {"name": "a", "links": ["b"]},
            {"name": "b", "volumesFrom": [{"sourceContainer": "c"}]},
            {"name": "c", "dependsOn": [{"containerName": "a", "condition": "START"}]},
            {"name": "d"},
        ]);
        assert_eq!(checked(&all, None).unwrap(), "Container links should not have a cycle");
        let all = json!([{"name": "a", "volumesFrom": [{"sourceContainer": "b"}]}, {"name": "b", "volumesFrom": [{"sourceContainer": "a"}]}]);
        assert!(checked(&all, None).unwrap().contains("should not have a cycle: 'a'"));
    }
}
