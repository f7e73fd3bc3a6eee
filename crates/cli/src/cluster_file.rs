//! What `trireme dev` writes down about its cluster, in `DIR/cluster.json`: every verb finds the cluster by it, whether the
//! front door stands or not.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The file's name in the data folder.
pub const FILE_NAME: &str = "cluster.json";

/// A development cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFile {
    /// Of this file; 1.
    pub format: u32,
    /// The front door for the ECS API.
    pub front_door: String,
    /// The front door for the operator's verbs.
    pub front_door_grpc: String,
    /// `docker` or `fake`.
    pub runtime: String,
    /// `sigv4` or `off`.
    pub auth: String,
    /// What each agent has to give.
    pub agent: AgentSize,
    /// How many agents of each zone, the last ones, are of the managed pool.
    #[serde(default)]
    pub managed_agents: usize,
    /// What the control nodes call when a pool is to have another size.
    #[serde(default)]
    pub scaling_hook: Option<PathBuf>,
    /// The zones, in order.
    pub zones: Vec<ZoneFile>,
}

/// What an agent has to give to tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSize {
    /// Cpu units.
    pub cpu_units: u32,
    /// Memory.
    pub memory_mib: u32,
    /// Instances that one agent process stands for; more than one only with the fake runtime.
    pub instances: u32,
}

/// One zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneFile {
    /// Such as `us-east-1a`.
    pub name: String,
    /// Where its control node serves the ECS API.
    pub api: String,
    /// Where its control node serves gRPC.
    pub grpc: String,
    /// Where each agent serves its metrics; the first is agent 1.
    pub agent_metrics: Vec<String>,
}

impl ClusterFile {
    /// Its path in a data folder.
    pub fn path(data: &Path) -> PathBuf {
        data.join(FILE_NAME)
    }

    /// Reads it; `None` when there is none.
    pub fn read(data: &Path) -> Result<Option<Self>, Error> {
        let path = Self::path(data);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { path, source }),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Damaged { path, source })
    }

    /// Reads it, or says how to make one.
    pub fn require(data: &Path) -> Result<Self, Error> {
        Self::read(data)?.ok_or_else(|| Error::NoCluster { path: data.to_owned() })
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, data: &Path) -> Result<(), Error> {
        let path = Self::path(data);
        let draft = data.join("cluster.json.new");
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| Error::Damaged { path: path.clone(), source })?;
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(|source| Error::File { path, source })
    }

    /// A zone by its name.
    pub fn zone(&self, name: &str) -> Option<&ZoneFile> {
        self.zones.iter().find(|zone| zone.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(ClusterFile::read(folder.path()).expect("no file is no error").is_none());
        assert!(matches!(ClusterFile::require(folder.path()), Err(Error::NoCluster { .. })));
        let file = ClusterFile {
            format: 1,
            front_door: "127.0.0.1:8080".to_owned(),
            front_door_grpc: "127.0.0.1:8081".to_owned(),
            runtime: "docker".to_owned(),
            auth: "sigv4".to_owned(),
            agent: AgentSize { cpu_units: 4096, memory_mib: 4096, instances: 1 },
            managed_agents: 1,
            scaling_hook: Some("/hook".into()),
            zones: vec![ZoneFile {
                name: "us-east-1a".to_owned(),
                api: "127.0.0.1:8082".to_owned(),
                grpc: "127.0.0.1:8083".to_owned(),
                agent_metrics: vec!["127.0.0.1:8084".to_owned()],
            }],
        };
        file.write(folder.path()).expect("written");
        assert_eq!(ClusterFile::require(folder.path()).expect("read"), file);
        std::fs::write(ClusterFile::path(folder.path()), "{").expect("written");
        assert!(matches!(ClusterFile::read(folder.path()), Err(Error::Damaged { .. })));
    }
}
