//! What is measured: something that takes writes and linearizable reads over connections.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;

/// Objects that are written to.
pub(crate) const OBJECTS: u64 = 10_000;
/// Bytes of a value.
pub(crate) const VALUE_BYTES: usize = 256;
/// Connections of a load.
pub(crate) const CONNECTIONS: usize = 16;

/// A cluster under measurement.
pub(crate) trait Target {
    /// A connection; cloned by the clients that share it.
    type Connection: Connection;

    /// Connections to whoever serves best: the leader.
    fn connect(&self, count: usize) -> impl Future<Output = Result<Vec<Self::Connection>>>;
    /// The processor time that its nodes have used so far, together.
    fn processor_time(&self) -> Duration;
}

/// A connection to a cluster.
pub(crate) trait Connection: Clone + Send + Sync + 'static {
    /// Writes a value to an object; `Ok` once it is committed.
    fn write(&mut self, object: u64, value: &str) -> impl Future<Output = Result<()>> + Send;
    /// Reads an object, linearizably.
    fn read(&mut self, object: u64) -> impl Future<Output = Result<()>> + Send;
}

/// A cluster whose leader can be killed.
pub(crate) trait Killable: Target {
    /// One connection to each node, in an order of its own for each client.
    fn connect_each(&self) -> impl Future<Output = Result<Vec<Self::Connection>>>;
    /// Kills the leader with SIGKILL; returns which one it was.
    fn kill_leader(&mut self) -> impl Future<Output = Result<usize>>;
    /// Starts a killed node, and waits until all are whole.
    fn revive(&mut self, node: usize) -> impl Future<Output = Result<()>>;
}

/// A small generator of numbers, so that both clusters get the same objects.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(client: usize) -> Self {
        Self(0x9E37_79B9_7F4A_7C15 ^ (client as u64 + 1).wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    pub(crate) fn object(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % OBJECTS
    }

    /// A value that differs from the one before it: an equal one might be no write at all.
    pub(crate) fn value(&mut self) -> String {
        let number = self.object() ^ self.0;
        let digits = format!("{number:020}");
        "0".repeat(VALUE_BYTES.saturating_sub(digits.len())) + &digits
    }
}
