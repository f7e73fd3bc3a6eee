//! What dies, in which order.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use serde::Serialize;

/// What dies. Where a machine's agent, engine and manager are one process, as with Swarm, several of these are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Victim {
    /// The process that leads.
    Leader,
    /// A process that could lead, and does not.
    Follower,
    /// A process that runs containers.
    Agent,
    /// A Docker Engine.
    Engine,
    /// Everything in a zone that does not lead.
    Zone,
    /// Everything in the zone that leads.
    LeaderZone,
    /// Everything in two of three zones.
    TwoZones,
}

impl Victim {
    /// Each, in turn.
    pub const ALL: [Self; 7] = [
        Self::Leader,
        Self::Follower,
        Self::Agent,
        Self::Engine,
        Self::Zone,
        Self::LeaderZone,
        Self::TwoZones,
    ];

    /// Whether a whole zone dies, or two.
    pub fn is_zonal(self) -> bool {
        matches!(self, Self::Zone | Self::LeaderZone | Self::TwoZones)
    }
}

impl std::fmt::Display for Victim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Agent => "agent",
            Self::Engine => "dockerd",
            Self::Zone => "zone",
            Self::LeaderZone => "leader's zone",
            Self::TwoZones => "two zones",
        })
    }
}

/// Who is next: first each in turn, then by chance. And which of three zones, as an order to choose from.
pub fn next(number: usize, rng: &mut StdRng) -> (Victim, Vec<u8>) {
    let victim = match Victim::ALL.get(number) {
        Some(victim) => *victim,
        None => Victim::ALL.choose(rng).copied().unwrap_or(Victim::Leader),
    };
    let mut zones = crate::lab::host::ZONES.to_vec();
    zones.shuffle(rng);
    (victim, zones)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn each_dies_in_turn_and_a_seed_gives_the_same_order() {
        let order = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..20).map(|number| next(number, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let first: Vec<Victim> = order(7).iter().take(7).map(|(victim, _)| *victim).collect();
        assert_eq!(first, Victim::ALL);
    }
}
