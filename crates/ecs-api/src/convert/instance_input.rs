//! What RegisterContainerInstance says of a machine.

use std::collections::{BTreeMap, BTreeSet};

use trireme_ecs_model::shapes::{RegisterContainerInstanceRequest, Resource};
use trireme_state::object::{ClusterKey, InstanceRegistration, InstanceResources};
use trireme_state::query::ZONE_ATTRIBUTE;
use trireme_types::capability::GPUS;
use trireme_types::{CpuUnits, Mebibytes, Port, Protocol, Zone, gpu};

use crate::error::{Error, Result};
use crate::length;

/// A machine that does not say where it is.
const NOWHERE: &str = "unknown";
/// ECS API: attributes in one call, and what an agent brings of its own.
const ATTRIBUTES: usize = 200;
/// ECS API: ports that an instance reserves.
const PORTS: usize = 100;
/// A name or an attribute is not longer, in characters.
const TEXT: usize = 256;

pub(crate) fn registration(
    cluster: &ClusterKey,
    request: &RegisterContainerInstanceRequest,
) -> Result<InstanceRegistration> {
    let document = document(request.instance_identity_document.as_deref())?;
    let mut attributes = attributes(request)?;
    attributes.extend(gpus(request.total_resources.as_deref().unwrap_or_default())?);
    let zone = attributes.get(ZONE_ATTRIBUTE).cloned().or_else(|| document.get("availabilityZone").cloned());
    let zone = zone.as_deref().unwrap_or(NOWHERE);
    let zone = Zone::new(zone).map_err(|_| Error::invalid(format!("Invalid availability zone: {zone}")))?;
    let name = document.get("instanceId").cloned().unwrap_or_else(|| NOWHERE.to_owned());
    let versions = request.version_info.clone().unwrap_or_default();
    let version =
        |given: Option<String>| given.filter(|text| text.chars().count() <= TEXT).unwrap_or_default();
    Ok(InstanceRegistration {
        cluster: cluster.clone(),
        name: name.chars().take(TEXT).collect(),
        zone,
        resources: resources(request.total_resources.as_deref().unwrap_or_default())?,
        attributes,
        agent_version: version(versions.agent_version),
        docker_version: version(versions.docker_version),
    })
}

/// The texts of the EC2 instance identity document.
fn document(text: Option<&str>) -> Result<BTreeMap<String, String>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(BTreeMap::new()) };
    let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|_| Error::invalid("instanceIdentityDocument is no JSON object."))?;
    let texts = parsed.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
    Ok(texts.collect())
}

fn attributes(request: &RegisterContainerInstanceRequest) -> Result<BTreeMap<String, String>> {
    let given = request.attributes.as_deref().unwrap_or_default();
    length::items("attributes", given, ATTRIBUTES)?;
    let mut all = BTreeMap::new();
    for attribute in given {
        let (name, value) = (attribute.name.clone().unwrap_or_default(), attribute.value.clone());
        let value = value.unwrap_or_default();
        if name.is_empty() || name.chars().count() > TEXT || value.chars().count() > TEXT {
            return Err(Error::invalid(format!("Invalid attribute: {name}")));
        }
        all.insert(name, value);
    }
    Ok(all)
}

/// ECS API: Resource. The resource GPU is a set of ids, which a machine's own agent tells in an attribute.
fn gpus(given: &[Resource]) -> Result<Option<(String, String)>> {
    let Some(resource) = given.iter().find(|one| one.name.as_deref() == Some("GPU")) else { return Ok(None) };
    let ids = resource.string_set_value.iter().flatten().map(String::as_str);
    let ids = gpu::check(ids).map_err(|error| Error::invalid(format!("Invalid resource: GPU: {error}.")))?;
    Ok((!ids.is_empty()).then(|| (GPUS.to_owned(), gpu::list(&ids))))
}

/// ECS API: Resource. CPU and MEMORY are numbers, PORTS and PORTS_UDP are what tasks may not have.
fn resources(given: &[Resource]) -> Result<InstanceResources> {
    let mut resources = InstanceResources::default();
    for resource in given {
        let name = resource.name.as_deref().unwrap_or_default();
        match name {
            "CPU" => resources.cpu = CpuUnits::new(amount(resource)?),
            "MEMORY" => resources.memory = Mebibytes::new(amount(resource)?),
            "PORTS" => resources.reserved_ports.extend(ports(resource, Protocol::Tcp)?),
            "PORTS_UDP" => resources.reserved_ports.extend(ports(resource, Protocol::Udp)?),
            // GPUs have their own place; anything else tasks cannot ask for here yet.
            _ => {}
        }
    }
    Ok(resources)
}

fn wrong(resource: &Resource) -> Error {
    Error::invalid(format!("Invalid resource: {}", resource.name.as_deref().unwrap_or_default()))
}

fn amount(resource: &Resource) -> Result<u32> {
    u32::try_from(resource.integer_value.unwrap_or(0)).map_err(|_| wrong(resource))
}

/// Each once.
fn ports(resource: &Resource, protocol: Protocol) -> Result<BTreeSet<(Protocol, Port)>> {
    let texts = resource.string_set_value.as_deref().unwrap_or_default();
    if texts.len() > PORTS {
        return Err(Error::invalid(format!("A resource can have at most {PORTS} ports.")));
    }
    let port = |text: &String| text.parse().map(|port: u16| (protocol, Port::new(port)));
    texts.iter().map(|text| port(text).map_err(|_| wrong(resource))).collect()
}

#[cfg(test)]
mod tests {
    use trireme_state::State;
    use trireme_types::Scope;

    use super::*;

    #[test]
    fn a_machine_as_the_ecs_agent_tells_of_it() {
        let request: RegisterContainerInstanceRequest = serde_json::from_value(serde_json::json!({
            "instanceIdentityDocument": r#"{"instanceId": "i-1", "availabilityZone": "us-east-1b", "version": 1}"#,
            "totalResources": [
                {"name": "CPU", "type": "INTEGER", "integerValue": 2048},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": 3885},
                {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "2375"]},
                {"name": "GPU", "type": "STRINGSET", "stringSetValue": ["GPU-1", "GPU-0"]},
            ],
            "attributes": [{"name": "ecs.os-type", "value": "linux"}, {"name": "ecs.capability.x"}],
            "versionInfo": {"agentVersion": "1.105.1", "dockerVersion": "DockerVersion: 28"},
        }))
        .unwrap();
        let cluster = State::default_cluster_key(&Scope::development());
        let found = registration(&cluster, &request).unwrap();
        assert_eq!((found.name.as_str(), found.zone.as_str()), ("i-1", "us-east-1b"));
        assert_eq!((found.resources.cpu.get(), found.resources.memory.get()), (2048, 3885));
        assert_eq!(found.resources.reserved_ports.len(), 2);
        assert_eq!(found.attributes["ecs.capability.x"], "");
        assert_eq!(gpu::list(&found.gpus()), "GPU-1,GPU-0");
        let broken =
            RegisterContainerInstanceRequest { instance_identity_document: Some("x".to_owned()), ..request };
        assert!(registration(&cluster, &broken).is_err());
    }

    #[test]
    fn gpus_are_a_set_of_ids() {
        let cluster = State::default_cluster_key(&Scope::development());
        let of = |ids: serde_json::Value| {
            let resource = serde_json::json!({"name": "GPU", "type": "STRINGSET", "stringSetValue": ids});
            let request = serde_json::json!({"totalResources": [resource]});
            registration(&cluster, &serde_json::from_value(request).unwrap())
        };
        assert!(!of(serde_json::json!([])).unwrap().attributes.contains_key(GPUS), "it has none");
        let twice = of(serde_json::json!(["GPU-1", "GPU-1"])).unwrap_err();
        assert!(twice.message.contains("GPU-1 is listed twice"), "{}", twice.message);
        assert!(of(serde_json::json!(["GPU-1,GPU-2"])).is_err(), "they are told with commas between them");
    }
}
