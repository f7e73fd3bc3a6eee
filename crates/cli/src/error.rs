//! The crate's errors. Their texts are for the operator.

use std::path::PathBuf;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No development cluster is there.
    #[error("no development cluster in {}: start one with `trireme dev`, or name a control node with --endpoint", path.display())]
    NoCluster {
        /// The data folder.
        path: PathBuf,
    },
    /// A file of the development cluster cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the development cluster is not what `trireme dev` writes.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An address is not one.
    #[error("`{address}` is not an address (HOST:PORT)")]
    Address {
        /// What was given.
        address: String,
    },
    /// No control node answered.
    #[error("no control node answers ({tried})")]
    Unreachable {
        /// Each address, and what came of it.
        tried: String,
    },
    /// A wait came to its limit.
    #[error("not whole after {seconds} s; last seen: {seen}")]
    TimedOut {
        /// The limit.
        seconds: u64,
        /// The last thing that was seen.
        seen: String,
    },
    /// A machine was not empty in time.
    #[error("{node} is DRAINING, and {tasks} tasks of services are on it still after {seconds} s")]
    NotEmpty {
        /// The limit.
        seconds: u64,
        /// Which machine.
        node: String,
        /// How many.
        tasks: u32,
    },
    /// There is no such service to wait for.
    #[error("there is no service {service} in cluster {cluster}")]
    NoService {
        /// The name that was given.
        service: String,
        /// The cluster that was given.
        cluster: String,
    },
    /// The events that were asked for are gone.
    #[error("{reason}; without --since the events begin there")]
    Trimmed {
        /// The node's words, which name the first event that is kept.
        reason: String,
    },
    /// What was asked for is no longer kept.
    #[error("{reason}; `trireme retention` shows how much of the history is kept, and sets it")]
    Gone {
        /// The node's words, which name the first event that is kept.
        reason: String,
    },
    /// A file is in the way.
    #[error("{} exists already", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// No control node made a backup.
    #[error("no control node made a backup ({tried})")]
    NoBackup {
        /// Each address, and what came of it.
        tried: String,
    },
    /// The backup that a control node made does not pass the check. It is not kept.
    #[error("the backup is not sound: {reason}; run `trireme verify`")]
    UnsoundBackup {
        /// What was found.
        reason: String,
    },
    /// Verifying found something wrong, or could not be done.
    #[error("{problems} problems found, {missing} not verified")]
    Unsound {
        /// What is wrong.
        problems: usize,
        /// What could not be verified.
        missing: usize,
    },
    /// A control node refused what was asked.
    #[error("refused: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
    /// What was under way broke off.
    #[error("it broke off: {reason}")]
    Broken {
        /// What is known of it.
        reason: String,
    },
    /// The terminal, or a signal, cannot be had.
    #[error("cannot use the terminal")]
    Terminal(#[source] std::io::Error),
    /// Standard output is closed.
    #[error("cannot write the output")]
    Output(#[source] std::io::Error),
}
