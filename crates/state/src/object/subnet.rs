//! Subnets, and the interfaces that tasks have in them (ECS API: NetworkMode awsvpc). A subnet is a range of addresses in one zone;
//! its network is the range whose tasks reach each other. An address belongs to one task in the whole control plane.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use trireme_types::{Cidr, Region, Scope, SubnetId, Timestamp, Zone};

use super::Described;

/// The member of a service or a task set that is kept as it was given, and read here (ECS API: NetworkConfiguration).
pub const NETWORK_CONFIGURATION: &str = "networkConfiguration";

/// Addresses at a subnet's beginning that no task gets: the range's own, the network's gateway, and two for what may come, as in EC2.
const RESERVED_FIRST: u32 = 4;
/// The last one is for broadcasts.
const RESERVED_LAST: u32 = 1;

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Account and region.
    pub scope: Scope,
    /// The zone whose tasks are in it.
    pub zone: Zone,
    /// Its addresses.
    pub cidr: Cidr,
    /// The range of which it is a part. Tasks in it reach each other without a router.
    pub network: Cidr,
    /// When it was added.
    pub created_at: Timestamp,
    /// The address that was given last. The next one follows it, so that a freed address is used late: who knows it still must not
    /// meet another task there.
    pub last_given: Option<Ipv4Addr>,
}

impl Subnet {
    /// The first and the last address that tasks may have, as numbers. The range is of 16 addresses at least.
    pub fn usable(&self) -> (u32, u32) {
        let (first, last) = (u32::from(self.cidr.first()), u32::from(self.cidr.last()));
        (first.saturating_add(RESERVED_FIRST), last.saturating_sub(RESERVED_LAST))
    }

    /// How many addresses tasks may have.
    pub fn capacity(&self) -> u32 {
        let (first, last) = self.usable();
        last.saturating_sub(first).saturating_add(1)
    }
}

/// Who holds the address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// The task, which is not STOPPED.
    Task,
    /// A task that is STOPPED because its instance is silent: its containers may run still.
    Lost,
    /// Nobody: its agent says that the task is STOPPED.
    Nobody,
    /// A lost task whose instance was deregistered then: for a while, in which its agent, if it is there, removes what it ran.
    Deregistered(Timestamp),
}

/// A task's network interface (ECS API: Attachment, ElasticNetworkInterface).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// 128 random bits: the attachment's id and the interface's follow from them.
    pub id: u128,
    /// Where it is.
    pub subnet: SubnetId,
    /// Its address.
    pub address: Ipv4Addr,
    /// Who holds the address.
    pub hold: Hold,
    /// Described; not enforced.
    pub security_groups: Vec<String>,
}

impl Interface {
    /// Its hardware address, which follows from the other one as Docker has it.
    pub fn mac_address(&self) -> String {
        let [a, b, c, d] = self.address.octets();
        format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }

    /// Its name, as a VPC has it.
    pub fn private_dns_name(&self, region: &Region) -> String {
        let [a, b, c, d] = self.address.octets();
        // EC2: the oldest region's names have no region.
        match region.as_str() {
            "us-east-1" => format!("ip-{a}-{b}-{c}-{d}.ec2.internal"),
            other => format!("ip-{a}-{b}-{c}-{d}.{other}.compute.internal"),
        }
    }
}

/// Where tasks get their interfaces (ECS API: AwsVpcConfiguration).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkConfiguration {
    /// Where they may be.
    pub subnets: BTreeSet<SubnetId>,
    /// Described; not enforced.
    pub security_groups: Vec<String>,
}

/// ECS's words for it, as a service keeps them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    awsvpc_configuration: KeptAwsVpc,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptAwsVpc {
    subnets: Vec<String>,
    #[serde(default)]
    security_groups: Vec<String>,
}

impl NetworkConfiguration {
    /// What a service or a task set says; `None` when it says nothing.
    pub fn of(described: &Described) -> Option<Self> {
        let kept: Kept = serde_json::from_str(described.get(NETWORK_CONFIGURATION)?).ok()?;
        let kept = kept.awsvpc_configuration;
        let subnets = kept.subnets.iter().filter_map(|id| id.parse().ok()).collect();
        Some(Self { subnets, security_groups: kept.security_groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_keeps_five_addresses_to_itself() {
        let subnet = Subnet {
            id: SubnetId::from_random(1),
            scope: Scope::development(),
            zone: Zone::new("us-east-1a").unwrap(),
            cidr: "10.1.2.0/28".parse().unwrap(),
            network: "10.1.0.0/16".parse().unwrap(),
            created_at: Timestamp::default(),
            last_given: None,
        };
        let (first, last) = subnet.usable();
        assert_eq!(Ipv4Addr::from(first), Ipv4Addr::new(10, 1, 2, 4));
        assert_eq!(Ipv4Addr::from(last), Ipv4Addr::new(10, 1, 2, 14));
        assert_eq!(subnet.capacity(), 11);
    }

    #[test]
    fn a_services_configuration_is_read_from_what_it_keeps() {
        let id = SubnetId::from_random(u128::MAX);
        let json = format!(r#"{{"awsvpcConfiguration":{{"subnets":["{id}"],"securityGroups":["sg-1"]}}}}"#);
        let described = Described::from([(NETWORK_CONFIGURATION.to_owned(), json)]);
        let read = NetworkConfiguration::of(&described).unwrap();
        assert_eq!(read.subnets, BTreeSet::from([id]));
        assert_eq!(read.security_groups, ["sg-1"]);
        assert_eq!(NetworkConfiguration::of(&Described::new()), None);
    }
}
