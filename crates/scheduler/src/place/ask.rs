//! A request as it is held against the nodes of a copy: what its constraints let through, as sets of nodes.

use crate::place::Request;
use crate::requirement::Wanted;
use crate::view::{Bits, Members, Node, Nodes};
use trireme_state::object::PlacementConstraint;

/// What a request asks of the nodes of a copy. It follows what is placed for it.
pub struct Ask {
    /// What each task asks of its machine; the addresses are those that are left.
    pub wanted: Wanted,
    group: String,
    /// Nodes that meet all requirements.
    able: Bits,
    /// Nodes that have a task of the group, if none of them is to have two.
    holders: Option<Bits>,
    /// Each expression, with the nodes that it means.
    members: Vec<(String, Members)>,
    /// Nodes where the request's own tasks were placed.
    placed: Bits,
}

impl Ask {
    pub(crate) fn new(nodes: &mut Nodes, request: &Request) -> Self {
        let none = Bits::none(nodes.len());
        let mut able = Bits::all(nodes.len());
        let (catalog, of) = nodes.catalog();
        let group = request.group.name().to_owned();
        for requirement in &request.wanted.requirements {
            able.and(&catalog.requirement(of, requirement));
        }
        let mut members = Vec::new();
        for constraint in &request.rules.constraints {
            if let PlacementConstraint::MemberOf(text) = constraint {
                members.push((text.clone(), catalog.members(of, text, &request.group)));
            }
        }
        let holders = request.rules.are_distinct().then(|| catalog.holders(of, &group));
        Self { wanted: request.wanted.clone(), group, able, holders, members, placed: none }
    }

    /// Nodes that may take a task, but for what they have left: all that could are among them.
    pub(crate) fn open(&self, nodes: &mut Nodes) -> Bits {
        let ports = &self.wanted.reservation.ports;
        let twice = ports.iter().enumerate().any(|(at, port)| ports.iter().take(at).any(|one| one == port));
        if twice {
            return Bits::none(nodes.len());
        }
        let mut open = self.able.clone();
        let (catalog, of) = nodes.catalog();
        open.and(&catalog.ready(of));
        ports.iter().for_each(|port| open.and(catalog.port(of, *port)));
        if self.wanted.gpus > 0 {
            open.and(&catalog.gpus(of));
        }
        if let Some(addresses) = &self.wanted.addresses {
            let mut near = Bits::none(of.nodes.len());
            addresses.zones().for_each(|zone| near.or(&catalog.zone(of, zone)));
            open.and(&near);
        }
        self.holders.iter().for_each(|holders| open.and_not(holders));
        self.members.iter().for_each(|(_, members)| open.and(&members.before));
        open
    }

    /// The group's name.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn is_able(&self, place: usize) -> bool {
        self.able.has(place)
    }

    /// Whether a task of the group is where none may be beside it.
    pub(crate) fn holds_group(&self, place: usize) -> bool {
        self.holders.as_ref().is_some_and(|holders| holders.has(place))
    }

    /// The first expression that does not mean a node.
    pub(crate) fn first_unmet(&self, place: usize) -> Option<&str> {
        let means = |members: &Members| {
            if self.placed.has(place) { members.after.has(place) } else { members.before.has(place) }
        };
        self.members.iter().find(|(_, members)| !means(members)).map(|(text, _)| text.as_str())
    }

    /// One of its tasks was placed there.
    pub(crate) fn took(&mut self, node: &Node) {
        self.placed.set(node.place());
        self.holders.iter_mut().for_each(|holders| holders.set(node.place()));
        if let Some(addresses) = &mut self.wanted.addresses {
            addresses.take(node.zone());
        }
    }

    /// Whether an address is left where a node is.
    pub(crate) fn has_address(&self, node: &Node) -> bool {
        self.wanted.addresses.as_ref().is_none_or(|addresses| addresses.are_left_in(node.zone()))
    }

    /// Where its tasks were placed.
    pub(crate) fn placed(&self) -> &Bits {
        &self.placed
    }
}
