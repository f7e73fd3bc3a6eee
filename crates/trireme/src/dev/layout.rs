//! Where everything of a development cluster lies under its data folder.
//!
//! ```text
//! DIR/cluster.json            addresses and sizes; the verbs find the cluster by it
//! DIR/env                     the AWS variables, for `. DIR/env`; mode 0600
//! DIR/access-key              the first access key, as `server init` gave it; mode 0600
//! DIR/lock                    held by the `trireme dev` in the foreground, with its process id
//! DIR/<zone>.lock            held while processes of the zone are started or ended
//! DIR/<zone>/server.pid       and server.log
//! DIR/<zone>/server/          the control node's data
//! DIR/<zone>/agent-<n>.pid    and agent-<n>.log
//! DIR/<zone>/agent-<n>/       the agent's data
//! ```

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A development cluster's data folder, as an absolute path.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

/// One process of the cluster: its role within its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The control node.
    Server,
    /// An agent; they count from 1.
    Agent(u32),
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Agent(number) => write!(f, "agent-{number}"),
        }
    }
}

impl Layout {
    /// The folder, made if it is not there. Only its owner may look into it.
    pub fn create(data: &Path) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .with_context(|| format!("cannot make the data folder {}", data.display()))?;
        Self::open(data)
    }

    /// The folder, which must be there.
    pub fn open(data: &Path) -> Result<Self> {
        let root = data.canonicalize().with_context(|| format!("no data folder {}", data.display()))?;
        if root.parent().is_none() {
            bail!("the data folder must not be /");
        }
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn env(&self) -> PathBuf {
        self.root.join("env")
    }

    pub fn access_key(&self) -> PathBuf {
        self.root.join("access-key")
    }

    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Beside the zone's folder: a wipe removes the folder, and a lock must not be removed under its holder.
    pub fn zone_lock(&self, zone: &str) -> PathBuf {
        self.root.join(format!("{zone}.lock"))
    }

    pub fn zone(&self, zone: &str) -> PathBuf {
        self.root.join(zone)
    }

    pub fn pid_file(&self, zone: &str, role: Role) -> PathBuf {
        self.zone(zone).join(format!("{role}.pid"))
    }

    pub fn log_file(&self, zone: &str, role: Role) -> PathBuf {
        self.zone(zone).join(format!("{role}.log"))
    }

    pub fn data(&self, zone: &str, role: Role) -> PathBuf {
        self.zone(zone).join(role.to_string())
    }

    /// The cluster key of a zone's control node.
    pub fn cluster_key(&self, zone: &str) -> PathBuf {
        self.data(zone, Role::Server).join(trireme_server::CLUSTER_KEY_FILE)
    }

    /// Whether a zone's control node was founded: by `server init` or `server join`.
    pub fn is_founded(&self, zone: &str) -> bool {
        self.data(zone, Role::Server).join(trireme_server::IDENTITY_FILE).exists()
    }

    /// Removes a zone's control node.
    pub fn wipe_server(&self, zone: &str) -> Result<()> {
        let path = self.data(zone, Role::Server);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Removes everything that a cluster of ours left here, and nothing else.
    pub fn wipe(&self, zones: &[String]) -> Result<()> {
        let remove = |path: PathBuf| -> Result<()> {
            let result =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            match result {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}", path.display()))
                }
                _ => Ok(()),
            }
        };
        for zone in zones {
            remove(self.zone(zone))?;
        }
        remove(self.env())?;
        remove(self.access_key())?;
        remove(trireme_cli::cluster_file::ClusterFile::path(&self.root))
    }
}

/// The zones of a development cluster: `us-east-1a`, `us-east-1b`, …
pub fn zone_names(count: u8) -> Vec<String> {
    (0..count.min(26)).map(|index| format!("us-east-1{}", char::from(b'a' + index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wipe_leaves_what_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        std::fs::create_dir_all(layout.data("us-east-1a", Role::Server)).unwrap();
        std::fs::write(layout.env(), "x").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        layout.wipe(&zone_names(3)).unwrap();
        assert!(!layout.zone("us-east-1a").exists());
        assert!(!layout.env().exists());
        assert!(folder.path().join("notes.txt").exists());
    }

    #[test]
    fn zones_are_lettered() {
        assert_eq!(zone_names(3), ["us-east-1a", "us-east-1b", "us-east-1c"]);
    }
}
