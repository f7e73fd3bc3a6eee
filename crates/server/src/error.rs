//! The crate's errors. Their texts are for the operator.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a control node does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// gRPC would be open to the network without encryption.
    #[error("--listen-grpc {address}: control nodes have no mTLS yet, so gRPC binds to a loopback address only, such as 127.0.0.1:{}", address.port())]
    GrpcNotLoopback {
        /// What was asked for.
        address: SocketAddr,
    },
    /// The API would be open to the network without authentication.
    #[error("--listen-api {address}: with --auth off the API binds to a loopback address only, such as 127.0.0.1:{}", address.port())]
    ApiNotLoopback {
        /// What was asked for.
        address: SocketAddr,
    },
    /// A setting is missing or wrong.
    #[error("{setting}: {reason}")]
    Setting {
        /// The flag.
        setting: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The configuration file cannot be used.
    #[error("the configuration file {} is wrong: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An address is taken, or not this machine's.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Endpoints of events cannot be called.
    #[error("no HTTP client for API destinations: {reason}; look at the certificates of the system")]
    HttpClient {
        /// Why.
        reason: String,
    },
    /// A runtime or a signal handler could not be had.
    #[error("the system refused what a control node needs")]
    System(#[source] std::io::Error),
    /// Raft refuses or has stopped.
    #[error(transparent)]
    Raft(#[from] trireme_raft::Error),
    /// The cluster key cannot be used.
    #[error(transparent)]
    Key(#[from] trireme_iam::Error),
    /// The first access key was not stored.
    #[error("the first access key could not be stored: {reason}")]
    AccessKey {
        /// Why.
        reason: String,
    },
    /// A control node refused, or did not answer.
    #[error("the control node at {address}: {reason}")]
    Peer {
        /// Which.
        address: String,
        /// What it said.
        reason: String,
    },
    /// Metrics could not be set up.
    #[error("metrics: {reason}")]
    Metrics {
        /// Why.
        reason: String,
    },
}
