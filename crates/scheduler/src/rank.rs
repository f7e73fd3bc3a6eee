//! The order of choice: which of the nodes that can hold a task is best. A chain of strategies is a key with a part for each, and the lowest
//! key wins. What the strategies hold equal is decided as it is without any: fewest tasks of the group on the node, then the fullest node
//! that still fits, so that large tasks find an empty one, then the lowest id.
//!
//! A spread counts within the values of the spreads before it: racks within a zone, not those of the same name elsewhere. So the nodes that
//! agree in all values are a cell, in which only the node's own parts of the key decide.

use trireme_state::object::{BinpackField, PlacementStrategy, SpreadField};
use trireme_state::query::ZONE_ATTRIBUTE;
use trireme_types::{CpuUnits, Mebibytes};

/// ECS API: strategies of a service or a task.
const STRATEGIES: usize = 5;
/// The strategies, and what decides after them.
const PARTS: usize = STRATEGIES + 3;

/// A node's rank; the lowest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key([u64; PARTS]);

/// One part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Tasks of the group where the values of the spreads up to this one, which is that many levels deep, are the node's.
    Spread(usize),
    /// Tasks of the group on the node.
    Instance,
    /// Free cpu units.
    Cpu,
    /// Free memory.
    Memory,
    /// A lot.
    Random,
}

/// In which order nodes without a task of the group come within a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Least memory first, then least cpu.
    Memory,
    /// Least cpu first, then least memory.
    Cpu,
}

/// What of one node decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Tasks of the group on it.
    pub of_group: u32,
    pub free_cpu: CpuUnits,
    pub free_memory: Mebibytes,
    /// What was drawn for it.
    pub lot: u64,
}

impl Standing {
    fn part(&self, part: Part) -> u64 {
        match part {
            Part::Spread(_) => 0,
            Part::Instance => u64::from(self.of_group),
            Part::Cpu => u64::from(self.free_cpu.get()),
            Part::Memory => u64::from(self.free_memory.get()),
            Part::Random => self.lot,
        }
    }
}

/// A lot: even, and the same for the same group and numbers, so that a state has one answer.
pub(crate) fn lot(group: &str, numbers: [u64; 3]) -> u64 {
    let seed = group.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    numbers.into_iter().fold(seed, |hash, number| mix(hash ^ number))
}

/// SplitMix64's finalizer.
fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// A chain of strategies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The attributes that are spread over, in order.
    pub fields: Vec<String>,
    /// All parts of a key, in order.
    pub parts: Vec<Part>,
}

impl Chain {
    pub fn of(strategy: &[PlacementStrategy]) -> Self {
        let zones = [PlacementStrategy::Spread(SpreadField::Attribute(ZONE_ATTRIBUTE.to_owned()))];
        let strategy = if strategy.is_empty() { &zones[..] } else { strategy };
        let (mut fields, mut parts) = (Vec::new(), Vec::new());
        for one in strategy.iter().take(STRATEGIES) {
            parts.push(match one {
                PlacementStrategy::Spread(SpreadField::Attribute(name)) => {
                    fields.push(name.clone());
                    Part::Spread(fields.len().saturating_sub(1))
                }
                PlacementStrategy::Spread(SpreadField::InstanceId) => Part::Instance,
                PlacementStrategy::Binpack(BinpackField::Cpu) => Part::Cpu,
                PlacementStrategy::Binpack(BinpackField::Memory) => Part::Memory,
                PlacementStrategy::Random => Part::Random,
            });
        }
        parts.extend([Part::Instance, Part::Memory, Part::Cpu]);
        Self { fields, parts }
    }

    /// The same for the order of stopping: what the strategies hold equal is the most crowded node's, full or not.
    pub fn for_stops(strategy: &[PlacementStrategy]) -> Self {
        let mut chain = Self::of(strategy);
        chain.parts.truncate(chain.parts.len().saturating_sub(2));
        chain
    }

    /// In which order nodes without tasks of the group come within a cell. `None`: each is to be looked at.
    pub fn order(&self) -> Option<Order> {
        if self.parts.contains(&Part::Random) {
            return None;
        }
        let first = self.parts.iter().find(|part| [&Part::Cpu, &Part::Memory].contains(part));
        Some(if first == Some(&Part::Cpu) { Order::Cpu } else { Order::Memory })
    }

    /// Whether nodes are drawn from a cell: nothing of their own comes before the lot.
    pub fn draws(&self) -> bool {
        let first = self.parts.iter().find(|part| !matches!(part, Part::Spread(_)));
        first == Some(&Part::Random)
    }

    /// The node's own parts of its key.
    pub fn key(&self, standing: &Standing) -> Key {
        let mut key = Key::default();
        for (value, part) in key.0.iter_mut().zip(&self.parts) {
            *value = standing.part(*part);
        }
        key
    }

    /// The whole key: with the tasks that the cell's values have at each level.
    pub fn with_counts(&self, key: Key, count: impl Fn(usize) -> u32) -> Key {
        (0..self.fields.len()).fold(key, |key, level| self.with_count(key, level, count(level)))
    }

    /// A key with the tasks that the cell's value has at one level.
    pub fn with_count(&self, mut key: Key, level: usize, count: u32) -> Key {
        let mut parts = key.0.iter_mut().zip(&self.parts);
        if let Some((value, _)) = parts.find(|(_, part)| **part == Part::Spread(level)) {
            *value = u64::from(count);
        }
        key
    }

    /// A key's parts with their values.
    pub fn read<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (Part, u64)> + 'a {
        self.parts.iter().copied().zip(key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_an_order_unless_something_is_drawn() {
        let rack = PlacementStrategy::Spread(SpreadField::Attribute("rack".to_owned()));
        let (cpu, memory) =
            (PlacementStrategy::Binpack(BinpackField::Cpu), PlacementStrategy::Binpack(BinpackField::Memory));
        assert_eq!(Chain::of(&[]).fields, [ZONE_ATTRIBUTE]);
        assert_eq!(Chain::of(&[]).order(), Some(Order::Memory));
        assert_eq!(Chain::of(&[rack.clone(), cpu.clone(), memory.clone()]).order(), Some(Order::Cpu));
        assert_eq!(Chain::of(&[memory, rack, cpu]).order(), Some(Order::Memory));
        assert_eq!(Chain::of(&[PlacementStrategy::Random]).order(), None);
    }

    #[test]
    fn nodes_are_drawn_where_nothing_of_theirs_counts_more() {
        let zones = PlacementStrategy::Spread(SpreadField::Attribute(ZONE_ATTRIBUTE.to_owned()));
        let memory = PlacementStrategy::Binpack(BinpackField::Memory);
        assert!(Chain::of(&[zones, PlacementStrategy::Random]).draws());
        assert!(!Chain::of(&[memory, PlacementStrategy::Random]).draws());
        assert!(!Chain::of(&[]).draws());
    }

    #[test]
    fn lots_are_even_enough_and_always_the_same() {
        let draw = |number| lot("family:web", [number, 1, 0]);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), lot("family:web", [1, 1, 1]));
        let low = (0..1_000).filter(|number| draw(*number) < u64::MAX / 2).count();
        assert!((400..600).contains(&low), "{low}");
    }
}
