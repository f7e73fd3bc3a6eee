//! Subnets: added and removed by operators; and the addresses that new tasks get in them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use trireme_types::{Scope, SubnetId, Timestamp, Zone, planted};

use super::{Decided, Decision, stale};
use crate::command::NewSubnet;
use crate::event::NetworkEvent;
use crate::limits::SUBNETS;
use crate::object::{Described, Hold, Interface, NetworkConfiguration, Subnet};
use crate::{Event, Rejection, Stamp, State};

/// EC2: a subnet's range shares between 16 and 28 bits.
const SUBNET_BITS: std::ops::RangeInclusive<u8> = 16..=28;
/// A network is 65,536 addresses at most, as a VPC's range is.
const NETWORK_BITS: u8 = 16;

pub(super) fn add(state: &State, new: &NewSubnet, stamp: &Stamp) -> Decided {
    let invalid = |message: String| Err(Rejection::Invalid { message });
    if !SUBNET_BITS.contains(&new.cidr.bits()) {
        return invalid(format!("a subnet is between /16 and /28; {} is not", new.cidr));
    }
    let around = trireme_types::Cidr::around(new.cidr.first(), NETWORK_BITS);
    let shared = state.subnets().filter(|known| known.scope == new.scope).map(|known| known.network);
    let network = new.network.or_else(|| shared.into_iter().find(|network| network.contains(new.cidr)));
    let network = network.unwrap_or(around);
    if network.bits() < NETWORK_BITS || !network.contains(new.cidr) {
        return invalid(format!(
            "the network of {} must contain it and be /16 at most; {network} is not",
            new.cidr
        ));
    }
    let first = new.cidr.first();
    if first.is_loopback() || first.is_link_local() || first.is_multicast() || first.is_unspecified() {
        return invalid(format!("{} is not a range that machines can have addresses in", new.cidr));
    }
    if let Some(known) = state.subnet(new.id) {
        let same = known.scope == new.scope
            && known.zone == new.zone
            && known.cidr == new.cidr
            && (known.network == network || new.network.is_none());
        return match same {
            true => Ok(Decision::nothing()),
            false => invalid(format!("subnet {} is there, and differs", new.id)),
        };
    }
    if state.subnets.len() >= SUBNETS {
        return Err(Rejection::LimitExceeded { what: "subnets".to_owned(), limit: SUBNETS as u64 });
    }
    for known in state.subnets() {
        if known.cidr.overlaps(new.cidr) {
            return invalid(format!("{} overlaps {} of {}", new.cidr, known.cidr, known.id));
        }
        // Accounts whose tasks must not meet have networks of their own.
        if known.network.overlaps(network) && (known.network != network || known.scope != new.scope) {
            return invalid(format!("network {network} overlaps {} of {}", known.network, known.id));
        }
    }
    let subnet = Subnet {
        id: new.id,
        scope: new.scope.clone(),
        zone: new.zone.clone(),
        cidr: new.cidr,
        network,
        created_at: stamp.now,
        last_given: None,
    };
    Ok(Decision::one(Event::Network(NetworkEvent::SubnetAdded { subnet: Box::new(subnet) })))
}

pub(super) fn remove(state: &State, id: SubnetId) -> Decided {
    let busy = |by: String| Err(Rejection::Invalid { message: format!("subnet {id} is in use by {by}") });
    if state.subnet(id).is_none() {
        return Err(Rejection::SubnetNotFound { subnet: id.to_string() });
    }
    if let Some(load) = state.index().addresses.of(id) {
        let mut tasks = load.held.values().chain(load.lost.iter().map(|(_, task)| task));
        return busy(tasks.next().map_or_else(|| "tasks".to_owned(), |task| format!("task {task}")));
    }
    if let Some(service) = state.service_in_subnet(id) {
        return busy(format!("service {} of cluster {}", service.key.name, service.key.cluster.name));
    }
    Ok(Decision::one(Event::Network(NetworkEvent::SubnetRemoved { subnet: id })))
}

/// Sees that the subnets are there, and in this account and region.
pub(super) fn check(state: &State, scope: &Scope, network: &NetworkConfiguration) -> Result<(), Rejection> {
    match network.subnets.iter().find(|id| state.subnet_of(scope, **id).is_none()) {
        None => Ok(()),
        Some(id) => Err(Rejection::SubnetNotFound { subnet: id.to_string() }),
    }
}

/// The same of what a service or a task set is to be.
pub(super) fn check_described(state: &State, scope: &Scope, described: &Described) -> Result<(), Rejection> {
    NetworkConfiguration::of(described).map_or(Ok(()), |network| check(state, scope, &network))
}

/// Draws addresses for the tasks of one command: each is given once, whatever the state says of it.
pub(super) struct Draw<'a> {
    state: &'a State,
    network: &'a NetworkConfiguration,
    subnets: Vec<&'a Subnet>,
    drawn: BTreeMap<SubnetId, (u32, BTreeSet<u32>)>,
    /// How many each subnet has left.
    left: BTreeMap<SubnetId, u32>,
}

impl<'a> Draw<'a> {
    pub(super) fn new(
        state: &'a State,
        scope: &Scope,
        network: &'a NetworkConfiguration,
        now: Timestamp,
    ) -> Self {
        let there = network.subnets.iter().filter_map(|id| state.subnet_of(scope, *id));
        let subnets: Vec<&Subnet> = there.map(|subnet| &**subnet).collect();
        let left = subnets.iter().map(|subnet| (subnet.id, state.free_addresses(subnet, now))).collect();
        Self { state, network, subnets, drawn: BTreeMap::new(), left }
    }

    /// An interface in the subnet of the zone that has most addresses left.
    pub(super) fn interface(&mut self, zone: &Zone, stamp: &mut Stamp) -> Result<Interface, Rejection> {
        let none = || stale(format!("free addresses in {zone}"));
        let here = self.subnets.iter().filter(|subnet| subnet.zone == *zone);
        let left = here.map(|subnet| {
            (self.left.get(&subnet.id).copied().unwrap_or(0), std::cmp::Reverse(subnet.id), *subnet)
        });
        let best = left.max_by_key(|(left, id, _)| (*left, *id));
        let (_, _, subnet) = best.filter(|(left, ..)| *left > 0).ok_or_else(none)?;
        let address = self.next(subnet, stamp).ok_or_else(none)?;
        let (last, all) = self.drawn.entry(subnet.id).or_default();
        *last = address;
        all.insert(address);
        if let Some(left) = self.left.get_mut(&subnet.id) {
            *left = left.saturating_sub(1);
        }
        Ok(Interface {
            id: stamp.ids.bits(),
            subnet: subnet.id,
            address: Ipv4Addr::from(address),
            hold: Hold::Task,
            security_groups: self.network.security_groups.clone(),
        })
    }

    /// The first free address after the one that was given last, around the range.
    fn next(&self, subnet: &Subnet, stamp: &Stamp) -> Option<u32> {
        let (first, last) = subnet.usable();
        let drawn = self.drawn.get(&subnet.id);
        // That a freed one comes last would hide it.
        let given = subnet.last_given.filter(|_| !planted::is("lost-address-is-free"));
        let before = drawn.map(|(last, _)| *last).or(given.map(u32::from));
        let begin = before.map_or(first, |before| before.saturating_add(1));
        let free = |address: &u32| {
            drawn.is_none_or(|(_, all)| !all.contains(address))
                && self.state.is_address_free(subnet.id, *address, stamp.now)
        };
        (begin..=last).chain(first..begin.min(last.saturating_add(1))).find(free)
    }
}
