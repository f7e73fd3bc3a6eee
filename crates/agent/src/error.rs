//! What ends an agent, and what ends only one of its sessions.

use std::path::PathBuf;

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container runtime.
    #[error("no Docker Engine answers at {socket} ({reason}); start one, or give its socket")]
    NoDocker {
        /// Where it was sought.
        socket: PathBuf,
        /// What is wrong there.
        reason: String,
    },
    /// The container runtime answered once, and then no more.
    #[error("the container runtime does not answer: {reason}")]
    NoRuntime {
        /// What is wrong with it.
        reason: String,
    },
    /// The control node does not take the agent as it is configured.
    #[error("the control node refuses this agent: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
    /// The configuration makes no sense.
    #[error("bad configuration: {reason}")]
    Config {
        /// What to change.
        reason: String,
    },
    /// Two agents on one data folder.
    #[error("another agent uses {folder}")]
    FolderInUse {
        /// The data folder.
        folder: PathBuf,
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
    /// Logs cannot be kept.
    #[error("cannot keep logs in {folder}")]
    Logs {
        /// Where.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
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

/// An error with its causes, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
