//! What ends an agent, and what ends only one of its sessions.

use std::path::PathBuf;

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container runtime.
    #[error("no Docker Engine answers at {socket}; start one, or give its socket")]
    NoDocker {
        /// Where it was sought.
        socket: PathBuf,
        /// What it said.
        #[source]
        source: crate::runtime::Failure,
    },
    /// The configuration makes no sense.
    #[error("bad configuration: {reason}")]
    Config {
        /// What to change.
        reason: String,
    },
    /// The ledger cannot be read or written.
    #[error("cannot use the ledger {path}")]
    Ledger {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The ledger is damaged.
    #[error("the ledger {path} is damaged; if this agent may start anew, remove it")]
    LedgerDamaged {
        /// Its file.
        path: PathBuf,
        /// Where it is damaged.
        #[source]
        source: serde_json::Error,
    },
    /// The control plane does not know the agent any more.
    #[error(
        "container instance {instance} was deregistered, its containers are removed; start the agent again to register it anew"
    )]
    Deregistered {
        /// The instance's id.
        instance: String,
    },
    /// A container could not be removed.
    #[error("cannot remove container {container}")]
    Remove {
        /// Its id.
        container: String,
        /// What the runtime said.
        #[source]
        source: crate::runtime::Failure,
    },
    /// The runtime does not list its containers.
    #[error("cannot list containers")]
    List(#[source] crate::runtime::Failure),
}
