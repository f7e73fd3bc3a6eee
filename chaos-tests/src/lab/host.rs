//! The machines of a laboratory.

use serde::Serialize;

/// Zones count from 1.
pub const ZONES: [u8; 3] = [1, 2, 3];

/// A machine: a network namespace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Host {
    /// A zone's control node.
    Control(u8),
    /// A zone's agent, and its Docker Engine.
    Agent(u8),
    /// Where clients and the runner are: outside of all zones.
    Client,
}

impl Host {
    /// Every machine.
    pub fn all() -> Vec<Self> {
        let zones = ZONES.iter().flat_map(|zone| [Self::Control(*zone), Self::Agent(*zone)]);
        zones.chain([Self::Client]).collect()
    }

    /// The control nodes' machines.
    pub fn controls() -> Vec<Self> {
        ZONES.iter().map(|zone| Self::Control(*zone)).collect()
    }

    /// A zone's machines.
    pub fn of_zone(zone: u8) -> [Self; 2] {
        [Self::Control(zone), Self::Agent(zone)]
    }

    /// Its zone, if it is in one.
    pub fn zone(self) -> Option<u8> {
        match self {
            Self::Control(zone) | Self::Agent(zone) => Some(zone),
            Self::Client => None,
        }
    }

    /// A short name.
    pub fn short(self) -> String {
        match self {
            Self::Control(zone) => format!("c{zone}"),
            Self::Agent(zone) => format!("a{zone}"),
            Self::Client => "op".to_owned(),
        }
    }

    /// Its address, on loopback and yet on the wire.
    pub fn address(self) -> String {
        match self {
            Self::Control(zone) => format!("127.1.{zone}.1"),
            Self::Agent(zone) => format!("127.1.{zone}.2"),
            Self::Client => "127.1.9.1".to_owned(),
        }
    }
}

/// Where a zone's control node serves the ECS API.
pub fn api(zone: u8) -> String {
    format!("{}:8000", Host::Control(zone).address())
}

/// Where a zone's control node serves gRPC.
pub fn grpc(zone: u8) -> String {
    format!("{}:8001", Host::Control(zone).address())
}

/// Where a zone's second control node serves the ECS API.
pub fn second_api(zone: u8) -> String {
    format!("{}:8010", Host::Control(zone).address())
}

/// Where a zone's second control node serves gRPC.
pub fn second_grpc(zone: u8) -> String {
    format!("{}:8011", Host::Control(zone).address())
}

/// Where a zone's agent serves its metrics.
pub fn agent_metrics(zone: u8) -> String {
    format!("{}:8002", Host::Agent(zone).address())
}

/// A zone's name in ECS.
pub fn zone_name(zone: u8) -> String {
    format!("us-east-1{}", char::from(b'a' + zone.saturating_sub(1)))
}

/// The zone of that name.
pub fn zone_number(name: &str) -> Option<u8> {
    ZONES.into_iter().find(|zone| zone_name(*zone) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_zones_and_back() {
        for zone in ZONES {
            assert_eq!(zone_number(&zone_name(zone)), Some(zone));
        }
        assert_eq!(zone_number("us-east-1d"), None);
        assert_eq!(Host::all().len(), 7);
    }
}
