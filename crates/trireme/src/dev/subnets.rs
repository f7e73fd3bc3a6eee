//! A subnet in each zone, so that tasks of network mode awsvpc run at once.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use trireme_cli::client;
use trireme_cli::cluster_file::ClusterFile;
use trireme_cli::subnet::{AddSubnetRequest, Cidr, Scope, Subnet, drawn_id};
use trireme_cli::target::Target;

/// For all control nodes to support subnets, and for a leader to take them.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// Addresses of one cluster: two ports of this machine, its front door's, are its own, and so are these.
const NETWORK_BITS: u8 = 23;

/// The cluster's own range. Clusters that run on one machine at the same time have different front doors, and so different ranges:
/// Docker has each of them once.
fn network(front_door: u16) -> Cidr {
    let number = u32::from(front_door >> 1) << (32 - NETWORK_BITS);
    Cidr::around(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) | number), NETWORK_BITS)
}

/// The part of the range that a zone has.
fn part(network: Cidr, zone: usize, zones: usize) -> Result<Cidr> {
    // Four parts at least, as a cluster has three zones unless it is told otherwise.
    let bits = NETWORK_BITS + u8::try_from(zones.max(4).next_power_of_two().ilog2())?;
    let offset = u32::try_from(zone)? << (32 - bits);
    Ok(Cidr::around(Ipv4Addr::from(u32::from(network.first()) + offset), bits))
}

/// The first subnet of each zone, in the zones' order; made where there is none.
pub async fn ensure(cluster: &ClusterFile) -> Result<Vec<Subnet>> {
    let target = Target::of_cluster(cluster.clone());
    let port = cluster.front_door.parse::<std::net::SocketAddr>()?.port();
    let scope = Scope::development();
    let (account, region) = (scope.account.to_string(), scope.region.to_string());
    let known =
        client::leader_first(&target, |address| async move { client::subnets(&address).await.map(Ok) });
    let known = known.await?;
    let mut all = Vec::new();
    for (number, zone) in cluster.zones.iter().enumerate() {
        let here = |one: &&Subnet| one.zone == zone.name && one.account == account && one.region == region;
        if let Some(subnet) = known.iter().find(here) {
            all.push(subnet.clone());
            continue;
        }
        let request = AddSubnetRequest {
            id: drawn_id(),
            account: account.clone(),
            region: region.clone(),
            zone: zone.name.clone(),
            cidr: part(network(port), number, cluster.zones.len())?.to_string(),
            network: network(port).to_string(),
        };
        all.push(
            add(&target, request).await.with_context(|| format!("cannot add a subnet to {}", zone.name))?,
        );
    }
    Ok(all)
}

async fn add(target: &Target, request: AddSubnetRequest) -> Result<Subnet> {
    let request = &request;
    let began = Instant::now();
    loop {
        let add = |address: String| async move { client::add_subnet(&address, request.clone()).await };
        match client::leader_first(target, add).await {
            Ok(subnet) => return Ok(subnet),
            Err(trireme_cli::Error::Unreachable { tried }) if began.elapsed() > LIMIT => bail!(tried),
            Err(trireme_cli::Error::Unreachable { .. }) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_on_one_machine_have_different_addresses() {
        let of = |port: u16| network(port).to_string();
        assert_eq!(of(8080), "10.31.144.0/23");
        assert_eq!(of(8080), of(8081), "the second port is the first one's");
        let ranges: std::collections::BTreeSet<String> = (0..=u16::MAX / 2).map(|n| of(n * 2)).collect();
        assert_eq!(ranges.len(), 1 << 15);
    }

    #[test]
    fn zones_share_the_range() {
        for zones in 1..=9 {
            let parts: Vec<Cidr> = (0..zones).map(|zone| part(network(8080), zone, zones).unwrap()).collect();
            for (number, one) in parts.iter().enumerate() {
                assert!(network(8080).contains(*one) && one.bits() <= 28, "{one}");
                assert!(!parts[number + 1..].iter().any(|other| other.overlaps(*one)), "{one}");
            }
        }
    }
}
