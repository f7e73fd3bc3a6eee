//! Ports of a container that are published: single ones, and ranges, for which free ports in a row are looked for on the machine
//! (ECS API: PortMapping).

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use bollard::models::PortBinding;
use serde::Deserialize;
use trireme_rpc::agent::Container;

use crate::setting;

/// Where ranges are looked for: above what Linux and Docker give of their own accord.
const LOW: u16 = 61_000;
const HIGH: u16 = 65_535;
/// Places that are tried before the container is given up.
const TRIES: u32 = 200;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    container_port_range: Option<String>,
    protocol: Option<String>,
}

type Bindings = HashMap<String, Option<Vec<PortBinding>>>;

fn name(port: u32, udp: bool) -> String {
    format!("{port}/{}", if udp { "udp" } else { "tcp" })
}

fn binding(host_port: String) -> PortBinding {
    PortBinding { host_ip: Some("0.0.0.0".to_owned()), host_port: Some(host_port) }
}

/// A container's published ports, in Docker's words.
///
/// # Errors
/// The member is not what it should be, or there are no free ports in a row.
pub(super) fn bindings(definition: &Container) -> Result<Bindings, String> {
    let mut bindings = Bindings::new();
    for mapping in &definition.port_mappings {
        let host_port = if mapping.host_port == 0 { String::new() } else { mapping.host_port.to_string() };
        let of_port = bindings.entry(name(mapping.container_port, mapping.udp)).or_default();
        of_port.get_or_insert_default().push(binding(host_port));
    }
    for (first, last, udp) in ranges(definition)? {
        let count = last - first + 1;
        let host =
            free(count, udp).ok_or_else(|| format!("there are no {count} free host ports in a row"))?;
        for offset in 0..count {
            let host_port = (host + offset).to_string();
            bindings.insert(name((first + offset).into(), udp), Some(vec![binding(host_port)]));
        }
    }
    Ok(bindings)
}

fn ranges(definition: &Container) -> Result<Vec<(u16, u16, bool)>, String> {
    let mappings: Vec<Mapping> = setting::read(&definition.settings, "portMappings")?;
    let range = |mapping: Mapping| {
        let text = mapping.container_port_range?;
        let udp = mapping.protocol.as_deref() == Some("udp");
        let ends =
            text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        Some(match ends {
            Some((first, last)) if first <= last => Ok((first, last, udp)),
            _ => Err(format!("portMappings: {text} is no range of ports")),
        })
    };
    mappings.into_iter().filter_map(range).collect()
}

/// The first of so many free ports. Where it begins is chance: agents on one engine look at the same time.
fn free(count: u16, udp: bool) -> Option<u16> {
    let places = HIGH.checked_sub(count)?.checked_sub(LOW)?;
    let place = || LOW + rand::random::<u16>() % (places + 1);
    (0..TRIES).map(|_| place()).find(|first| (*first..first + count).all(|port| is_free(port, udp)))
}

fn is_free(port: u16, udp: bool) -> bool {
    let address = (Ipv4Addr::UNSPECIFIED, port);
    if udp { UdpSocket::bind(address).is_ok() } else { TcpListener::bind(address).is_ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_published_in_a_row() {
        let json = r#"[{"containerPort":80,"hostPort":0,"protocol":"tcp"},
                       {"containerPortRange":"7000-7004","protocol":"udp"}]"#;
        let settings = HashMap::from([("portMappings".to_owned(), json.to_owned())]);
        let container = Container { settings, ..Container::default() };
        let bound = bindings(&container).unwrap();
        assert_eq!(bound.len(), 5, "single ports come by another way");
        let host = |port: u16| -> u16 {
            let bound = bound[&format!("{port}/udp")].as_ref().unwrap();
            bound[0].host_port.as_ref().unwrap().parse().unwrap()
        };
        assert!((7000..7004).all(|port| host(port) + 1 == host(port + 1)));
    }

    #[test]
    fn ports_that_are_taken_are_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port(), false));
        let first = free(100, false).unwrap();
        assert!((LOW..=HIGH - 99).contains(&first));
        assert_eq!(free(u16::MAX, false), None);
    }
}
