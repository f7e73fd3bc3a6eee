//! Who asks: a task on a bridge or with an interface of its own is told only of itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use trireme_rpc::agent::AssignedTask;

use super::listen::ADDRESS;
use crate::runtime::Inspection;

/// Whether `source` may be told of a task, whose containers these are.
pub(super) fn is_of_task(source: IpAddr, task: &AssignedTask, containers: &[Inspection]) -> bool {
    // Its containers have no address but the one that they share.
    match &task.network {
        Some(network) => network.address.parse() == Ok(source),
        None => is_of(source, &task.network_mode, containers),
    }
}

/// The same of one in this network mode.
fn is_of(source: IpAddr, network_mode: &str, containers: &[Inspection]) -> bool {
    let own: BTreeSet<IpAddr> = addresses(containers).collect();
    // On the machine's network all tasks have its addresses. The kernel takes the one that is asked as the source.
    let from_machine = source == IpAddr::V4(*ADDRESS.ip()) || source.is_loopback();
    match network_mode {
        "host" => from_machine,
        _ => own.contains(&source),
    }
}

fn addresses(containers: &[Inspection]) -> impl Iterator<Item = IpAddr> {
    containers.iter().flat_map(|one| &one.networks).filter_map(|network| network.address.map(IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::runtime::Attached;

    fn at(last: u8) -> (IpAddr, Inspection) {
        let address = Ipv4Addr::new(172, 17, 0, last);
        let attached = Attached { name: "bridge".to_owned(), address: Some(address) };
        (address.into(), Inspection { networks: vec![attached], ..Inspection::default() })
    }

    #[test]
    fn a_task_on_a_bridge_is_told_of_itself_only() {
        let (own, container) = at(2);
        let (other, _) = at(3);
        assert!(is_of(own, "bridge", std::slice::from_ref(&container)));
        assert!(!is_of(other, "bridge", std::slice::from_ref(&container)));
        assert!(!is_of(IpAddr::V4(*ADDRESS.ip()), "bridge", &[container]));
        assert!(!is_of(own, "bridge", &[]));
    }

    #[test]
    fn tasks_on_the_machines_network_ask_from_the_machine() {
        let (bridged, _) = at(2);
        assert!(is_of(IpAddr::V4(*ADDRESS.ip()), "host", &[]));
        assert!(!is_of(bridged, "host", &[]));
    }

    #[test]
    fn a_task_with_an_interface_of_its_own_is_told_of_itself_only() {
        let (own, _) = at(2);
        let (other, container) = at(3);
        let network = trireme_rpc::agent::TaskNetwork { address: own.to_string(), ..Default::default() };
        let task = AssignedTask { network: Some(network), ..AssignedTask::default() };
        assert!(is_of_task(own, &task, &[]));
        assert!(!is_of_task(other, &task, &[container]));
        assert!(!is_of_task(IpAddr::V4(*ADDRESS.ip()), &task, &[]));
    }
}
