//! Which control nodes a verb talks to: those of a development cluster by its data folder, or any cluster by the address of
//! one of its nodes.

use std::path::PathBuf;

use crate::Error;
use crate::cluster_file::ClusterFile;

/// The arguments that every verb takes.
#[derive(Debug, Clone, clap::Args)]
pub struct TargetArgs {
    /// The development cluster's data folder.
    #[arg(long, value_name = "DIR", env = "TRIREME_DATA", default_value = ".trireme")]
    pub data: PathBuf,
    /// The gRPC address of a control node, or of a development cluster's front door.
    #[arg(long, value_name = "HOST:PORT")]
    pub endpoint: Option<String>,
}

/// A control node that is known before anybody was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNode {
    /// Its gRPC address.
    pub address: String,
    /// Its zone, if it is known.
    pub zone: Option<String>,
}

/// Where to ask.
#[derive(Debug, Clone)]
pub struct Target {
    /// The nodes that are known at first; their answers name the others.
    pub nodes: Vec<KnownNode>,
    /// The development cluster, when the target is one.
    pub cluster: Option<ClusterFile>,
}

impl TargetArgs {
    /// Finds the nodes to ask. `--endpoint` wins.
    pub fn resolve(&self) -> Result<Target, Error> {
        if let Some(endpoint) = &self.endpoint {
            let address = parse_address(endpoint)?;
            return Ok(Target { nodes: vec![KnownNode { address, zone: None }], cluster: None });
        }
        Ok(Target::of_cluster(ClusterFile::require(&self.data)?))
    }
}

impl Target {
    /// The control nodes of a development cluster.
    pub fn of_cluster(file: ClusterFile) -> Self {
        let nodes = file.zones.iter();
        let nodes = nodes
            .map(|zone| KnownNode { address: zone.grpc.clone(), zone: Some(zone.name.clone()) })
            .collect();
        Self { nodes, cluster: Some(file) }
    }
}

/// `HOST:PORT`, with or without `http://`.
fn parse_address(text: &str) -> Result<String, Error> {
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let error = || Error::Address { address: text.to_owned() };
    let (host, port) = bare.rsplit_once(':').ok_or_else(error)?;
    let sound = !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port != 0);
    if sound { Ok(bare.to_owned()) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        assert_eq!(parse_address("http://127.0.0.1:8081/").expect("sound"), "127.0.0.1:8081");
        for wrong in ["", "127.0.0.1", ":1", "host:0", "host:70000", "a/b:1"] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }
}
