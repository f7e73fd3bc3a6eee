//! Events are told to targets of rules: API destinations are called, and tasks of ECS are started. The leader does it, from the history, so that
//! what happened is told however often the leader changes.
//!
//! How far each target has come is state (`Delivery`), and is written down after the target was told: a new leader tells again what was told since, at
//! least once. A target is told of one event after the other, in the order in which they happened; a target that fails holds up nobody else.
//! An event that starts tasks moves its target on in the same entry: its tasks start once.
//!
//! Reading order: this file · `office` (one leadership: who reads where, and what is written down) · `reader` (the history, with the state before and
//! after each event) · `lane` (one target: its queue, and what happens when it fails) · `call` (an HTTP endpoint) · `reach` (which addresses may be
//! called) · `start` (tasks) · `past` (what a control node knows of the history) · `metrics`.

mod call;
mod lane;
mod metrics;
mod office;
mod past;
mod reach;
mod reader;
mod start;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trireme_iam::SealingKey;
use trireme_state::object::ApiDestinationKey;
use trireme_state::store::Store;
use trireme_types::AccountId;

pub use metrics::describe;
pub use past::{Gone, Past};
pub use reach::Reach;

/// Calls of an account that are under way at once: those that nobody answers hold up no other account's.
const CALLS: usize = 64;

/// What delivery needs.
pub struct Delivery {
    /// The one door to the state.
    pub store: Arc<dyn Store>,
    /// The history.
    pub past: Arc<dyn Past>,
    /// The cluster key, under which secrets of connections open.
    pub sealing_key: Arc<SealingKey>,
    /// Which addresses may be called.
    pub reach: Reach,
}

/// What all targets of a leadership share.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) past: Arc<dyn Past>,
    pub(crate) sealing_key: Arc<SealingKey>,
    pub(crate) client: reqwest::Client,
    pub(crate) reach: Reach,
    calls: Mutex<BTreeMap<AccountId, Arc<Semaphore>>>,
    /// When each destination may be called next.
    pub(crate) paces: Mutex<BTreeMap<ApiDestinationKey, Instant>>,
}

impl Parts {
    /// The turns of an account's calls.
    pub(crate) fn calls_of(&self, account: &AccountId) -> Arc<Semaphore> {
        let mut all = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(account.clone()).or_insert_with(|| Arc::new(Semaphore::new(CALLS))).clone()
    }
}

/// Tells targets what happened, whenever this node leads, until `stop`.
///
/// # Errors
/// The HTTP client cannot be made: its certificates cannot be read.
pub fn start(delivery: Delivery, stop: &CancellationToken) -> Result<(), reqwest::Error> {
    let parts = Arc::new(Parts {
        client: call::client(delivery.reach)?,
        store: delivery.store,
        past: delivery.past,
        sealing_key: delivery.sealing_key,
        reach: delivery.reach,
        calls: Mutex::default(),
        paces: Mutex::default(),
    });
    tokio::spawn(stop.clone().run_until_cancelled_owned(keep(parts)));
    Ok(())
}

async fn keep(parts: Arc<Parts>) {
    let mut leaderships = parts.store.watch_leadership();
    let mut now = parts.store.leadership();
    loop {
        let serving = async {
            if now.deciding {
                office::serve(parts.clone()).await;
            }
            std::future::pending::<()>().await;
        };
        let changed = async {
            // Who leads on in the same term goes on.
            while let Some(next) = leaderships.next().await {
                if (next.deciding, next.term) != (now.deciding, now.term) {
                    return Some(next);
                }
            }
            None
        };
        let next = tokio::select! {
            () = serving => return,
            next = changed => next,
        };
        let Some(next) = next else { return };
        now = next;
    }
}
