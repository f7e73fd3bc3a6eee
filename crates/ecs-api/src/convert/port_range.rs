//! Ranges of ports (ECS API: PortMapping.containerPortRange): kept as they were given, beside single ports, and shown as ranges again
//! when they are published.

use trireme_ecs_model::shapes::NetworkBinding as Shape;
use trireme_ecs_model::shapes::{ContainerDefinition, PortMapping, TransportProtocol};
use trireme_state::object::{self, NetworkBinding, NetworkMode};
use trireme_types::{ContainerName, Protocol};

use super::described;
use super::task_definition::protocol;
use crate::error::{Error, Result};

/// The member that is kept whole when some of it is a range.
pub(crate) const MEMBER: &str = "portMappings";
/// Ports of a container that are in ranges. Docker runs a process for each.
const PORTS: usize = 100;

pub(crate) fn is_given(container: &ContainerDefinition) -> bool {
    container.port_mappings.iter().flatten().any(|mapping| mapping.container_port_range.is_some())
}

/// `first-last`.
fn parse(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (0 < first && first <= last).then_some((first, last))
}

pub(crate) fn check(
    given: &ContainerDefinition,
    name: &ContainerName,
    mode: Option<NetworkMode>,
) -> Result<()> {
    let wrong = |what: String| Err(Error::client(format!("Invalid setting for container '{name}'. {what}")));
    let mut taken: Vec<(bool, u16, u16)> = Vec::new();
    let mut ports = 0;
    for mapping in given.port_mappings.iter().flatten() {
        let udp = mapping.protocol == Some(TransportProtocol::Udp);
        let Some(text) = &mapping.container_port_range else {
            let port = mapping.container_port.and_then(|port| u16::try_from(port).ok());
            taken.extend(port.filter(|_| is_given(given)).map(|port| (udp, port, port)));
            continue;
        };
        if !matches!(mode, None | Some(NetworkMode::Bridge | NetworkMode::Awsvpc)) {
            return wrong("'containerPortRange' needs networkMode bridge or awsvpc.".to_owned());
        }
        if mapping.container_port.is_some() || mapping.host_port.is_some() {
            return wrong(
                "'containerPortRange' cannot be given together with 'containerPort' or 'hostPort'."
                    .to_owned(),
            );
        }
        let Some((first, last)) = parse(text) else {
            return wrong(format!("'containerPortRange' must be two ports, the lower one first: {text}"));
        };
        ports += usize::from(last - first) + 1;
        taken.push((udp, first, last));
    }
    if ports > PORTS {
        return wrong(format!("Its port ranges have {ports} ports, of which there may be {PORTS}."));
    }
    taken.sort_unstable();
    let overlap = taken.windows(2).find(|two| two[0].0 == two[1].0 && two[1].1 <= two[0].2);
    match overlap.filter(|_| is_given(given)) {
        Some(two) => wrong(format!("Container port {} is mapped more than once.", two[1].1)),
        None => Ok(()),
    }
}

/// What ECS fills in, when the mappings are kept as a whole.
pub(crate) fn with_defaults(given: &ContainerDefinition) -> ContainerDefinition {
    if !is_given(given) {
        return given.clone();
    }
    let filled = |mapping: &PortMapping| PortMapping {
        host_port: mapping.host_port.or(mapping.container_port.map(|_| 0)),
        protocol: mapping.protocol.clone().or(Some(TransportProtocol::Tcp)),
        ..mapping.clone()
    };
    let mappings = given.port_mappings.iter().flatten().map(filled).collect();
    ContainerDefinition { port_mappings: Some(mappings), ..given.clone() }
}

/// What is published of a container, where a range is shown as one.
pub(crate) fn bindings(
    bound: &[NetworkBinding],
    definition: Option<&object::ContainerDefinition>,
    single: impl Fn(&NetworkBinding) -> Shape,
) -> Vec<Shape> {
    let mappings: Vec<PortMapping> =
        definition.and_then(|one| described::read(&one.described, MEMBER)).unwrap_or_default();
    let ranges = mappings.iter().filter_map(|mapping| {
        let udp = mapping.protocol == Some(TransportProtocol::Udp);
        Some((
            if udp { Protocol::Udp } else { Protocol::Tcp },
            parse(mapping.container_port_range.as_deref()?)?,
        ))
    });
    let ranges: Vec<(Protocol, (u16, u16))> = ranges.collect();
    let is_in = |binding: &NetworkBinding, range: &(Protocol, (u16, u16))| {
        let (first, last) = range.1;
        binding.protocol == range.0 && (first..=last).contains(&binding.container_port.get())
    };
    let alone = bound.iter().filter(|binding| !ranges.iter().any(|range| is_in(binding, range)));
    let mut shown: Vec<Shape> = alone.map(single).collect();
    for range in &ranges {
        let of_range = || bound.iter().filter(|binding| is_in(binding, range));
        let (Some(low), Some(high)) =
            (of_range().min_by_key(|one| one.host_port), of_range().max_by_key(|one| one.host_port))
        else {
            continue;
        };
        shown.push(Shape {
            bind_ip: Some(low.bind_ip.clone()),
            container_port_range: Some(format!("{}-{}", range.1.0, range.1.1)),
            host_port_range: Some(format!("{}-{}", low.host_port, high.host_port)),
            protocol: Some(protocol(range.0)),
            ..Default::default()
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(mode: Option<NetworkMode>, mappings: &Value) -> Option<String> {
        let given: ContainerDefinition = serde_json::from_value(json!({"portMappings": mappings})).unwrap();
        check(&given, &ContainerName::new("app").unwrap(), mode).err().map(|error| error.message)
    }

    #[test]
    fn ranges_are_two_ports_and_do_not_meet() {
        let both = json!([{"containerPortRange": "80-89"}, {"containerPortRange": "80-89", "protocol": "udp"},
                          {"containerPort": 90}]);
        assert_eq!(checked(None, &both), None);
        assert_eq!(
            checked(Some(NetworkMode::Host), &json!([{"containerPort": 90}, {"containerPort": 90}])),
            None
        );
        for (mode, mappings, words) in [
            (None, json!([{"containerPortRange": "89-80"}]), "the lower one first"),
            (None, json!([{"containerPortRange": "0-80"}]), "the lower one first"),
            (None, json!([{"containerPortRange": "80"}]), "the lower one first"),
            (None, json!([{"containerPortRange": "80-70000"}]), "the lower one first"),
            (None, json!([{"containerPortRange": "1000-1100"}]), "101 ports"),
            (None, json!([{"containerPortRange": "80-89", "containerPort": 80}]), "together with"),
            (None, json!([{"containerPortRange": "80-89", "hostPort": 80}]), "together with"),
            (None, json!([{"containerPortRange": "80-89"}, {"containerPortRange": "89-99"}]), "port 89"),
            (None, json!([{"containerPortRange": "80-89"}, {"containerPort": 85}]), "port 85"),
            (Some(NetworkMode::Host), json!([{"containerPortRange": "80-89"}]), "networkMode bridge"),
        ] {
            let message = checked(mode, &mappings).unwrap_or_default();
            assert!(message.contains(words), "{mappings}: {message}");
        }
    }
}
