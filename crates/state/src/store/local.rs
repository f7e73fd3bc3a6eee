//! A store in memory, without replication, for tests.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use trireme_types::{NodeId, Sequence, Timestamp};

use super::{BoxFuture, BoxStream, Committed, Leadership, ProposeError, ReadError, Record, Store};
use crate::{Entry, FeatureLevel, IdSource, Proposal, SealedEvent, Stamp, State, apply_entry, decide};

/// A store in memory: one node that always leads. Its clock stands still until [`LocalStore::set_now`].
#[derive(Clone)]
pub struct LocalStore {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    state: Arc<State>,
    now: Timestamp,
    ids: IdSource,
    history: Vec<Record>,
    wakers: VecDeque<Waker>,
}

impl LocalStore {
    /// An empty store at the highest feature level, whose ids come from `seed` and whose clock shows `now`.
    pub fn new(seed: [u8; 32], now: Timestamp) -> Self {
        let inner = Inner {
            state: Arc::new(State { level: FeatureLevel::LATEST, ..State::new() }),
            now,
            ids: IdSource::from_seed(seed),
            history: Vec::new(),
            wakers: VecDeque::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Sets the clock.
    pub fn set_now(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// Decides and applies at once; what [`Store::propose`] does, without a future.
    pub fn propose_now(&self, proposal: &Proposal) -> Result<Committed, ProposeError> {
        let mut inner = self.lock();
        let mut stamp = Stamp { now: inner.now.max(inner.state.clock()), ids: inner.ids.clone() };
        let decision = decide(&inner.state, proposal, &mut stamp).map_err(ProposeError::Rejected)?;
        inner.ids = stamp.ids;
        if !decision.events.is_empty() {
            let entry = Entry {
                base: inner.state.position(),
                at: stamp.now,
                actor: proposal.actor.clone(),
                request_id: proposal.request_id,
                events: decision.events.into_iter().map(SealedEvent::seal).collect(),
            };
            inner.append(&entry);
        }
        Ok(Committed { sequence: inner.state.position().sequence, outcome: decision.outcome })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, entry: &Entry) {
        let mut position = self.state.position();
        for sealed in &entry.events {
            position = entry.after(position, sealed.bytes());
            self.history.push(Record {
                sequence: position.sequence,
                hash: position.hash,
                at: entry.at,
                actor: entry.actor.clone(),
                request_id: entry.request_id,
                event: sealed.event().clone(),
            });
        }
        apply_entry(Arc::make_mut(&mut self.state), entry);
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

struct Views {
    inner: Arc<Mutex<Inner>>,
    seen: Option<Sequence>,
}

impl Stream for Views {
    type Item = Arc<State>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<State>>> {
        let (sequence, state) = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let sequence = inner.state.position().sequence;
            if self.seen == Some(sequence) {
                inner.wakers.push_back(context.waker().clone());
                return Poll::Pending;
            }
            (sequence, inner.state.clone())
        };
        self.seen = Some(sequence);
        Poll::Ready(Some(state))
    }
}

/// One leadership, then silence: a local store never changes its leader.
struct Always(Option<Leadership>);

impl Stream for Always {
    type Item = Leadership;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Leadership>> {
        match self.0.take() {
            Some(leadership) => Poll::Ready(Some(leadership)),
            None => Poll::Pending,
        }
    }
}

impl Store for LocalStore {
    fn view(&self) -> Arc<State> {
        self.lock().state.clone()
    }

    fn watch(&self) -> BoxStream<'static, Arc<State>> {
        Box::pin(Views { inner: self.inner.clone(), seen: None })
    }

    fn read(&self) -> BoxFuture<'_, Result<Arc<State>, ReadError>> {
        Box::pin(async { Ok(self.view()) })
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, ProposeError>> {
        Box::pin(async move { self.propose_now(&proposal) })
    }

    fn leadership(&self) -> Leadership {
        Leadership { leader: Some(NodeId::new(1)), term: 1, deciding: true }
    }

    fn watch_leadership(&self) -> BoxStream<'static, Leadership> {
        Box::pin(Always(Some(self.leadership())))
    }

    fn now(&self) -> Option<Timestamp> {
        Some(self.lock().now)
    }

    fn history(&self, from: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>> {
        Box::pin(async move {
            let inner = self.lock();
            let records = inner.history.iter().filter(|record| record.sequence >= from);
            Ok(records.take(limit).cloned().collect())
        })
    }
}
