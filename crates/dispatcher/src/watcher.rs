//! One task that watches the state for all sessions, and wakes those whose instance has other tasks than before.
//!
//! Every change of a task makes a new `InstanceLoad` for its instance (see `trireme_state::index`). The watcher keeps the one
//! it saw last, so that comparing pointers is enough: nobody can change or reuse what it holds. A pin of an image changes no task: it
//! wakes those whose tasks may wait for one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use trireme_state::State;
use trireme_state::index::InstanceLoad;
use trireme_types::{ContainerInstanceId, SessionEpoch};

use crate::{Shared, clock};

/// At least so long between two passes, so that a stream of commits does not become a stream of passes.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
/// A pass over thousands of sessions takes longer: the pause is four times as long as it took, up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

struct Watched {
    epoch: SessionEpoch,
    /// What the instance held at the last pass; `None` before the first.
    load: Option<Arc<InstanceLoad>>,
    wake: Arc<Notify>,
}

/// The sessions of this node.
#[derive(Default)]
pub(crate) struct Sessions {
    watched: Mutex<BTreeMap<ContainerInstanceId, Watched>>,
}

impl Sessions {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerInstanceId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session. The returned handle is notified whenever the session must look at the state again. A session that
    /// the instance had here is woken: it finds that its epoch is over.
    pub(crate) fn add(&self, instance: ContainerInstanceId, epoch: SessionEpoch) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        let watched = Watched { epoch, load: None, wake: Arc::clone(&wake) };
        let mut sessions = self.lock();
        if let Some(replaced) = sessions.insert(instance, watched) {
            replaced.wake.notify_one();
        }
        metrics::gauge!("trireme_agent_sessions").set(sessions.len() as f64);
        wake
    }

    /// Removes a session, unless a newer one has taken its place.
    pub(crate) fn remove(&self, instance: ContainerInstanceId, wake: &Arc<Notify>) {
        let mut sessions = self.lock();
        if sessions.get(&instance).is_some_and(|watched| Arc::ptr_eq(&watched.wake, wake)) {
            sessions.remove(&instance);
        }
        metrics::gauge!("trireme_agent_sessions").set(sessions.len() as f64);
    }

    fn pass(&self, state: &State, pins_changed: bool) {
        for (id, watched) in self.lock().iter_mut() {
            let load = state.index().instance_load(*id);
            let same_epoch = state.instance(*id).is_some_and(|instance| instance.epoch == watched.epoch);
            let same_load = watched.load.as_ref().is_some_and(|known| {
                Arc::ptr_eq(known, &load) || (known.tasks.is_empty() && load.tasks.is_empty())
            });
            let may_wait = pins_changed && load.pending > 0;
            if !same_epoch || !same_load || may_wait {
                watched.load = Some(load);
                watched.wake.notify_one();
            }
        }
    }
}

/// Watches until `shutdown`.
pub(crate) async fn run(shared: &Shared, shutdown: &CancellationToken) {
    let mut views = shared.store.watch();
    let mut last = shared.store.view();
    loop {
        let state = tokio::select! {
            view = views.next() => match view {
                Some(state) => state,
                None => return,
            },
            () = shutdown.cancelled() => return,
        };
        let began = clock::now();
        shared.sessions.pass(&state, !state.has_pins_of(&last));
        last = state;
        let pause = began.elapsed().saturating_mul(4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        tokio::time::sleep(pause).await;
    }
}
