//! What a service that found no place for a task waits for: room where it looks for it, or another answer from the machine that came
//! closest. What else happens on the machines is no reason to look again: where there is less room there is no place either, and no
//! other machine comes closer by it.

use std::collections::BTreeSet;

use trireme_scheduler::{Explanation, Refusal, Wanted};
use trireme_state::object::{ClusterKey, PlacementConstraint, PlacementRules};
use trireme_types::{ContainerInstanceId, CpuUnits, Mebibytes, Zone};

/// A machine that is another than it was, or whose tasks are.
pub struct Change {
    /// Which one.
    pub instance: ContainerInstanceId,
    /// Its zone.
    pub zone: Zone,
    /// What there is on it now.
    pub room: Room,
}

/// What there is on a machine that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// No more than before.
    Less,
    /// Nothing: it takes no tasks, or is gone.
    None,
    /// So much, which may be more than before.
    Free(CpuUnits, Mebibytes),
}

/// What ends the wait.
#[derive(Debug, Clone)]
enum Until {
    /// Room in one of these zones.
    RoomIn(BTreeSet<Zone>),
    /// Room anywhere; or that another machine is the closest to it, for people are told which one that is.
    Closer(Option<(ContainerInstanceId, Refusal)>),
}

/// A task that found no place.
#[derive(Debug, Clone)]
pub struct Wait {
    cluster: ClusterKey,
    cpu: CpuUnits,
    memory: Mebibytes,
    until: Until,
}

/// What a task asks, and where.
pub struct Asked<'a> {
    /// The cluster.
    pub cluster: &'a ClusterKey,
    /// What it asks of its machine.
    pub wanted: &'a Wanted,
    /// Its constraints.
    pub rules: &'a PlacementRules,
}

impl Asked<'_> {
    /// Waits for any place; people were told `why` there is none. `None`: what may end it cannot be told.
    pub fn anywhere(&self, why: &Explanation) -> Option<Wait> {
        let closest = why.closest().map(|node| (node.instance, node.refusal.clone()));
        let early = closest.as_ref().is_none_or(|(_, refusal)| is_of_resources(refusal));
        let addresses = self.wanted.addresses.as_ref();
        let plenty = addresses.is_none_or(|all| early && all.zones().all(|zone| all.are_left_in(zone)));
        plenty.then(|| self.until(Until::Closer(closest))).flatten()
    }

    /// Waits for a place in one of these zones. `None`: what may end it cannot be told.
    pub fn in_zones(&self, mut zones: BTreeSet<Zone>) -> Option<Wait> {
        if let Some(addresses) = &self.wanted.addresses {
            zones.retain(|zone| addresses.are_in(zone));
            if !zones.iter().all(|zone| addresses.are_left_in(zone)) {
                return None;
            }
        }
        self.until(Until::RoomIn(zones))
    }

    fn until(&self, until: Until) -> Option<Wait> {
        let reservation = &self.wanted.reservation;
        let (cpu, memory) = (reservation.cpu, reservation.memory);
        let moves = self.rules.constraints.iter().any(looks_at_tasks);
        (!moves).then(|| Wait { cluster: self.cluster.clone(), cpu, memory, until })
    }
}

/// Whether a constraint may hold or not without anything being said of the machines themselves, or being free there.
pub fn looks_at_tasks(constraint: &PlacementConstraint) -> bool {
    let PlacementConstraint::MemberOf(text) = constraint else { return false };
    ["task:", "runningTasksCount", "registeredAt"].iter().any(|subject| text.contains(subject))
}

/// Whether addresses were not asked for, when a machine refused.
fn is_of_resources(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Cpu { .. } | Refusal::Memory { .. } | Refusal::Port { .. })
}

impl Wait {
    /// Where its machines are.
    pub fn cluster(&self) -> &ClusterKey {
        &self.cluster
    }

    /// Whether people were told of this machine.
    pub fn tells_of(&self, instance: ContainerInstanceId) -> bool {
        matches!(&self.until, Until::Closer(Some((closest, _))) if *closest == instance)
    }

    /// Whether a change may end it. It says so too often rather than too rarely.
    pub fn may_end(&self, change: &Change) -> bool {
        match &self.until {
            Until::RoomIn(zones) => {
                let Room::Free(cpu, memory) = change.room else { return false };
                zones.contains(&change.zone) && self.cpu <= cpu && self.memory <= memory
            }
            Until::Closer(None) => true,
            Until::Closer(Some((closest, refusal))) => {
                change.instance == *closest || self.may_be_closer(change, *closest, refusal)
            }
        }
    }

    /// Whether a machine may pass more filters than the closest did, or lack less, as far as cpu and memory say it: they are asked for
    /// in this order, and what is asked before them may have changed for the better.
    fn may_be_closer(&self, change: &Change, closest: ContainerInstanceId, refusal: &Refusal) -> bool {
        let lacks = match change.room {
            Room::Less => return false,
            Room::None => return matches!(refusal, Refusal::Inactive | Refusal::AgentDisconnected),
            Room::Free(cpu, memory) => {
                (self.cpu.saturating_sub(cpu).get(), self.memory.saturating_sub(memory).get())
            }
        };
        let before = |lack: u32| (lack, change.instance) < (refusal.shortfall(), closest);
        match (refusal, lacks) {
            (Refusal::Cpu { .. }, (cpu, _)) => before(cpu),
            (Refusal::Memory { .. }, (0, memory)) => before(memory),
            (Refusal::Memory { .. }, _) => false,
            (
                Refusal::Gpu { .. }
                | Refusal::Port { .. }
                | Refusal::TaskLimit { .. }
                | Refusal::NoAddress { .. }
                | Refusal::DistinctInstance { .. }
                | Refusal::MemberOf { .. },
                (cpu, memory),
            ) => cpu == 0 && memory == 0,
            _ => true,
        }
    }
}
