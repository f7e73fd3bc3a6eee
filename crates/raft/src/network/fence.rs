//! The fence between the incarnations of a cluster. Every request names the life of the cluster that it is for, and what is
//! for another is refused. A node that hears of a later incarnation than its own belongs to what was given up: it stops, and
//! does not start again.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tonic::{Code, Status};
use trireme_rpc::convert;
use trireme_types::Timestamp;

use crate::clock::Clock;
use crate::error::Error;
use crate::identity::Identity;
use crate::log::keys;
use crate::storage::{Family, Kv, Op};

/// Where a refusal says under which incarnation the cluster lives.
const INCARNATION: &str = "trireme-incarnation";

/// Incarnations above a node's own that are believed in any case.
const STEPS: u64 = 1_000;
/// Seconds by which another machine's clock may be ahead.
const DAY: u64 = 24 * 60 * 60;

/// The fence of one node. Clones share what was heard.
#[derive(Clone)]
pub struct Fence {
    identity: Identity,
    clock: Arc<dyn Clock>,
    /// The highest incarnation above this node's own that was heard of.
    later: Arc<watch::Sender<Option<u64>>>,
}

impl std::fmt::Debug for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fence({})", self.identity)
    }
}

impl Fence {
    /// Nothing was heard yet.
    pub fn new(identity: Identity, clock: Arc<dyn Clock>) -> Self {
        Self { identity, clock, later: Arc::new(watch::channel(None).0) }
    }

    /// Who this node is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// What every request of this node says it is for.
    pub fn life(&self) -> Bytes {
        convert::life_to_bytes(self.identity.cluster, self.identity.incarnation)
    }

    /// Refuses what is for another cluster, or for another incarnation of this one.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION`, with both sides named.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Status> {
        let (cluster, incarnation) =
            convert::life_from_bytes(bytes).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let own = self.identity;
        if cluster != own.cluster {
            let text =
                format!("this node belongs to cluster {}, the request is for cluster {cluster}", own.cluster);
            return Err(Status::failed_precondition(text));
        }
        if incarnation == own.incarnation {
            return Ok(());
        }
        self.heard(incarnation);
        let text = if incarnation < own.incarnation {
            format!(
                "cluster {cluster} lives on as incarnation {}, the request is of incarnation {incarnation}: remove that \
                 node's data and join it anew",
                own.incarnation
            )
        } else {
            format!(
                "this node is of incarnation {} of cluster {cluster}, which lives on as incarnation {incarnation}",
                own.incarnation
            )
        };
        let mut status = Status::failed_precondition(text);
        status.metadata_mut().insert(INCARNATION, own.incarnation.into());
        Err(status)
    }

    /// Notes what a refusal of a peer says of the cluster's incarnation.
    pub fn note(&self, status: &Status) {
        if status.code() != Code::FailedPrecondition {
            return;
        }
        let said = status.metadata().get(INCARNATION).and_then(|said| said.to_str().ok()?.parse().ok());
        if let Some(incarnation) = said {
            self.heard(incarnation);
        }
    }

    /// Somebody says that the cluster lives on as this incarnation.
    pub fn heard(&self, incarnation: u64) {
        if incarnation <= self.identity.incarnation {
            return;
        }
        if incarnation > highest_plausible(self.identity.incarnation, self.clock.wall()) {
            tracing::error!(incarnation, "nobody can have given this incarnation yet; it is not believed");
            return;
        }
        self.later.send_if_modified(|later| {
            let higher = later.is_none_or(|later| later < incarnation);
            if higher {
                *later = Some(incarnation);
            }
            higher
        });
    }

    /// Resolves with the later incarnation once one was heard of.
    pub async fn fenced(&self) -> u64 {
        let mut later = self.later.subscribe();
        // The sender is held here, so it cannot be gone.
        let found = later.wait_for(Option::is_some).await.map(|later| *later);
        found.ok().flatten().unwrap_or_default()
    }

    /// Why this node has to stop.
    pub fn verdict(&self, later: u64) -> Error {
        Error::Fenced { own: self.identity.incarnation, later }
    }
}

/// The highest incarnation that a node of `own` believes. A recovery or a restore begins one that is one higher, or the seconds
/// since 1970 then. One number that makes no sense must not end a node for ever.
pub(crate) fn highest_plausible(own: u64, now: Timestamp) -> u64 {
    own.saturating_add(STEPS).max((now.millis() / 1000).saturating_add(DAY))
}

/// The write that remembers it: a node that was fenced is not to serve again after a restart either.
pub(crate) fn put(later: u64) -> Op {
    Op::Put(Family::Meta, keys::FENCED.to_vec(), Bytes::copy_from_slice(&later.to_be_bytes()))
}

/// Refuses storage that was fenced.
pub(crate) fn check_storage(kv: &dyn Kv, identity: Identity) -> Result<(), Error> {
    let Some(bytes) = kv.get(Family::Meta, keys::FENCED).map_err(Error::Storage)? else { return Ok(()) };
    let later = bytes.as_ref().try_into().map_or(u64::MAX, u64::from_be_bytes);
    Err(Error::Fenced { own: identity.incarnation, later })
}

#[cfg(test)]
mod tests {
    use trireme_types::ClusterUuid;

    use super::*;
    use crate::clock::SystemClock;

    fn fence(cluster: u128, incarnation: u64) -> Fence {
        let identity = Identity { cluster: ClusterUuid::from_bits(cluster), incarnation, node_id: 1 };
        Fence::new(identity, Arc::new(SystemClock::default()))
    }

    fn heard(fence: &Fence) -> Option<u64> {
        *fence.later.borrow()
    }

    #[test]
    fn each_incarnation_refuses_the_other_and_only_the_earlier_one_learns_of_it() {
        let (old, new) = (fence(7, 1), fence(7, 2));
        old.check(&fence(7, 1).life()).unwrap();
        new.check(&fence(7, 2).life()).unwrap();
        // The earlier one asks.
        let refused = new.check(&old.life()).unwrap_err();
        assert!(refused.message().contains("lives on as incarnation 2"), "{}", refused.message());
        assert_eq!(heard(&new), None);
        old.note(&refused);
        assert_eq!(heard(&old), Some(2));
        // The later one asks.
        let old = fence(7, 1);
        let refused = old.check(&new.life()).unwrap_err();
        assert!(refused.message().contains("which lives on as incarnation 2"), "{}", refused.message());
        assert_eq!(heard(&old), Some(2));
        new.note(&refused);
        assert_eq!(heard(&new), None);
    }

    #[test]
    fn a_number_that_makes_no_sense_fences_nobody() {
        let one = fence(7, 1);
        for absurd in [u64::MAX, 1 << 40] {
            one.check(&fence(7, absurd).life()).unwrap_err();
            assert_eq!(heard(&one), None);
        }
        let seconds = SystemClock::default().wall().millis() / 1000;
        one.check(&fence(7, seconds).life()).unwrap_err();
        assert_eq!(heard(&one), Some(seconds), "as a recovery of now gives it");
    }

    #[test]
    fn another_cluster_fences_nobody() {
        let one = fence(7, 1);
        let refused = one.check(&fence(8, 5).life()).unwrap_err();
        assert!(refused.message().contains("belongs to cluster"), "{}", refused.message());
        one.note(&refused);
        assert_eq!(heard(&one), None);
        assert!(one.check(b"junk").is_err());
    }
}
