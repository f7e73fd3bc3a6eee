//! What a runtime knows of one container beyond its state: for those who ask about it, not for its task's machine.

use std::collections::HashMap;
use std::net::Ipv4Addr;

/// One container, looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Its name on the engine.
    pub engine_name: String,
    /// The id of its image.
    pub image_id: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// When it was made, started and ended, in RFC 3339; absent when that has not happened.
    pub created_at: Option<String>,
    /// See `created_at`.
    pub started_at: Option<String>,
    /// See `created_at`.
    pub finished_at: Option<String>,
    /// Where its output goes.
    pub log_driver: String,
    /// What its log driver was told.
    pub log_options: HashMap<String, String>,
    /// The networks that it is in by itself.
    pub networks: Vec<Attached>,
    /// What is mounted in it.
    pub mounts: Vec<Mounted>,
    /// What its health check last said.
    pub check: Option<Checked>,
}

/// A network that a container is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// The network's name on the engine.
    pub name: String,
    /// The container's address there.
    pub address: Option<Ipv4Addr>,
}

/// Something mounted in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounted {
    /// The volume's name on the engine, if it is one.
    pub name: Option<String>,
    /// Where it is on the machine.
    pub source: String,
    /// Where it is in the container.
    pub destination: String,
}

/// The last run of a health check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// When it ended, in RFC 3339.
    pub at: String,
    /// What it printed.
    pub output: String,
    /// Its exit code.
    pub exit_code: i64,
}
