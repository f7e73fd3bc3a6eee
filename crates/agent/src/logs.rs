//! Containers' output, kept beside them: it outlives the container, within bounds, and is read from here.
//!
//! - Docker writes what a container says to its own rotated file, and never waits for anybody. The agent reads it from there ([`follow`]): a
//!   reader that is slow, or away, stops no task. What Docker rotated away meanwhile is lost.
//! - A line's place is the line itself: each record says when Docker had its lines, so that nothing has to be kept beside it, and after a restart
//!   nothing is lost or there twice ([`store`]).
//! - What is asked of it comes from control nodes ([`answer`]); what is to leave the node is shipped from it ([`forward`]).
//!
//! Reading order: [`driver`] (what a log configuration asks for) · [`logged`] · [`follow`] · [`store`] ([`stream`], [`segment`], [`read`]) ·
//! [`answer`] · [`forward`].

pub mod answer;
pub mod driver;
pub mod follow;
pub mod forward;
pub mod logged;
pub mod read;
mod segment;
pub mod store;
mod stream;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use trireme_types::capability::MANAGED_POOL;

use crate::runtime::Runtime;
use crate::{AgentConfig, Error};
use follow::Followers;
use forward::{Forward, Origin, Sink};
use logged::Logged;
use store::Store;
pub use stream::StreamName;

/// How often what was added is put on the disk.
const SYNC: Duration = Duration::from_secs(1);

/// An agent's logs. Dropped, nothing is followed any more.
pub(crate) struct Logs {
    /// The runtime that keeps what its containers say.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// What is kept.
    pub(crate) store: Arc<Store>,
    /// End with it.
    _tasks: JoinSet<()>,
}

/// Puts on the disk what was added, again and again.
async fn keep_synced(store: Arc<Store>) {
    loop {
        tokio::time::sleep(SYNC).await;
        if store.is_dirty() {
            let store = Arc::clone(&store);
            let _next_time = tokio::task::spawn_blocking(move || store.sync()).await;
        }
    }
}

impl Logs {
    /// Opens the logs in an agent's data folder, and goes on with what was followed.
    pub(crate) fn open(data: &Path, config: &AgentConfig, runtime: Arc<dyn Runtime>) -> Result<Self, Error> {
        let failed = |source| Error::Logs { folder: data.to_owned(), source };
        let ships = config.log_forward.is_some();
        let store = Arc::new(Store::open(&data.join("logs"), Limits::default(), ships).map_err(failed)?);
        let followers = Followers::new(Arc::clone(&store), Arc::clone(&runtime), data.join("followed"));
        let followers = Arc::new(followers.map_err(failed)?);
        followers.resume();
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_synced(Arc::clone(&store)));
        if let Some(address) = &config.log_forward {
            let origin = Origin {
                agent: config.name.clone(),
                zone: config.zone.clone(),
                cluster: config.cluster.clone(),
                region: config.region.clone(),
            };
            let sink = Sink::new(address, origin).map_err(|reason| Error::Config { reason })?;
            tasks.spawn(Forward::new(Arc::clone(&store), sink, data.join("forwarded.json")).run());
        }
        let managed = config.pool.as_deref() == Some(MANAGED_POOL);
        let logged = Logged { inner: runtime, followers, region: config.region.clone(), ships, managed };
        Ok(Self { runtime: Arc::new(logged), store, _tasks: tasks })
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a segment, about.
    pub segment: u64,
    /// Bytes of a stream.
    pub stream: u64,
    /// Bytes of all streams.
    pub total: u64,
    /// Streams.
    pub streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment: 4 << 20, stream: 64 << 20, total: 2 << 30, streams: 10_000 }
    }
}

const STORED_BYTES: &str = "trireme_agent_logs_bytes";
const DROPPED: &str = "trireme_agent_logs_dropped_total";

pub(crate) fn describe_metrics() {
    metrics::describe_gauge!(
        STORED_BYTES,
        metrics::Unit::Bytes,
        "Bytes of log records that agents of this process keep"
    );
    metrics::describe_gauge!(
        forward::LAG,
        metrics::Unit::Seconds,
        "Age of the oldest log record that is being shipped off the node"
    );
    metrics::describe_counter!(
        forward::BATCHES,
        "Batches of log records that were to be shipped off the node, by result"
    );
    metrics::describe_counter!(
        DROPPED,
        "Log records that were given up, by reason: unshipped (no room for them until they could be shipped off the node)"
    );
}

#[cfg(test)]
mod tests;
