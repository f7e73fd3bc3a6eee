//! The state machine: committed entries are applied in order, recorded in the history, published to watchers, and
//! only then answered. It decides nothing and cannot refuse.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use tokio::sync::watch;
use trireme_state::{Applied as Outcome, Entry, FeatureLevel, State, apply_entry, hash};
use trireme_types::planted;

use crate::agreement::Sampler;
use crate::batch::{Batch, Reply};
use crate::config::{LogId, Membership, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::decider::Heads;
use crate::decider::heads::end;
use crate::history::History;
use crate::level;
use crate::simulation::Delay;
use crate::snapshot::{Builder, Snapshots, blocking};
use crate::storage::{Blob, Kv, Op};

/// Raft entries that are applied before watchers see them at the latest.
const CHUNK: usize = 64;

/// What has been applied on this node.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The state.
    pub state: Arc<State>,
    /// The last applied log entry.
    pub log_id: Option<LogId>,
    /// The last applied membership.
    pub membership: StoredMembership,
    /// The highest node id that ever was a member.
    pub highest_node_id: u64,
    /// How often a snapshot has replaced the state since the node started.
    pub resets: u64,
}

impl View {
    /// The applied log index; 0 before the first.
    pub fn index(&self) -> u64 {
        self.log_id.map_or(0, |id| id.index)
    }
}

/// The state machine.
pub struct Machine {
    kv: Arc<dyn Kv>,
    history: Arc<History>,
    snapshots: Arc<Snapshots>,
    view: View,
    /// The state before the last entry; for a planted defect alone.
    before: Arc<State>,
    published: watch::Sender<Arc<View>>,
    sampler: Sampler,
    heads: Heads,
    supports: FeatureLevel,
    /// What was applied up to here before the node started is applied again before anybody looks.
    quiet_until: u64,
    /// For a simulation alone.
    delay: Option<Delay>,
}

impl Machine {
    /// An empty machine. openraft brings it up to date from the last snapshot and the log behind it.
    pub fn new(
        kv: Arc<dyn Kv>,
        history: Arc<History>,
        snapshots: Arc<Snapshots>,
        sampler: Sampler,
        supports: FeatureLevel,
    ) -> (Self, watch::Receiver<Arc<View>>) {
        let (published, receiver) = watch::channel(Arc::new(View::default()));
        let (view, before) = (View::default(), Arc::default());
        let heads = Heads::default();
        let (delay, quiet_until) = (None, 0);
        let machine = Self {
            kv,
            history,
            snapshots,
            view,
            before,
            published,
            sampler,
            heads,
            supports,
            quiet_until,
            delay,
        };
        (machine, receiver)
    }

    /// The same, beside a decider that notes its heads there.
    pub(crate) fn with_heads(self, heads: Heads) -> Self {
        Self { heads, ..self }
    }

    /// The same, on a log that was applied up to `committed` before: openraft applies that again before it starts.
    pub(crate) fn behind(self, committed: Option<LogId>) -> Self {
        Self { quiet_until: committed.map_or(0, |id| id.index), ..self }
    }

    /// The same, but applying takes as long as `delay` says.
    pub(crate) fn delayed(self, delay: Option<Delay>) -> Self {
        Self { delay, ..self }
    }

    fn publish(&self) {
        // A state that is shared is copied as it changes.
        if self.view.index() < self.quiet_until {
            return;
        }
        metrics::gauge!("trireme_raft_applied_index").set(self.view.index() as f64);
        metrics::gauge!("trireme_feature_level").set(f64::from(self.view.state.level().get()));
        self.published.send_replace(Arc::new(self.view.clone()));
    }

    fn apply_batch(&mut self, batch: &Batch, ops: &mut Vec<Op>) -> io::Result<Reply> {
        if planted::is("snapshot-one-entry-off") {
            self.before = Arc::clone(&self.view.state);
        }
        let decided = batch.decided_here().and_then(|number| self.heads.take(number));
        let (entries, head) = match decided {
            Some(decided) => (decided.entries, decided.head),
            None => (batch.entries()?, None),
        };
        if let Some(reply) = head.and_then(|head| self.take_head(&entries, head, ops)) {
            return Ok(reply);
        }
        let state = Arc::make_mut(&mut self.view.state);
        let mut reply = Reply::default();
        for entry in &entries {
            let (before, level) = (state.position().sequence, state.level());
            let applied = apply_entry(state, entry) == Outcome::Applied;
            if applied {
                self.history.record(entry, ops);
            }
            if state.level() != level {
                level::check_applied(state.level(), self.supports)?;
                ops.extend(level::put(&*self.kv, state.level())?);
            }
            if hash::is_hashed(before, state.position().sequence) {
                self.sampler.offer(state);
            }
            reply.applied.push(applied);
        }
        Ok(reply)
    }

    /// What was decided here is in the head already: the state becomes that, and only the history is written. Not where a
    /// state between two entries is to be hashed or the feature level changes.
    fn take_head(&mut self, entries: &[Entry], head: State, ops: &mut Vec<Op>) -> Option<Reply> {
        let state = &self.view.state;
        let follows = entries.first().is_some_and(|first| first.base == state.position())
            && end(entries) == Some(head.position().sequence);
        let between = hash::is_hashed(state.position().sequence, head.position().sequence);
        if !follows || between || head.level() != state.level() {
            return None;
        }
        for entry in entries {
            self.history.record(entry, ops);
        }
        self.view.state = Arc::new(head);
        Some(Reply { applied: vec![true; entries.len()] })
    }

    fn set_membership(&mut self, log_id: Option<LogId>, membership: &Membership) {
        let highest = membership.nodes().map(|(id, _)| *id).max().unwrap_or(0);
        self.view.highest_node_id = self.view.highest_node_id.max(highest);
        self.view.membership = StoredMembership::new(log_id, membership.clone());
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Blob;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.view.log_id, self.view.membership.clone()))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(CHUNK);
        while let Some(chunk) = chunks.next().await {
            if let Some(delay) = self.delay.as_ref().map(|delay| delay()).filter(|delay| !delay.is_zero()) {
                tokio::time::sleep(delay).await;
            }
            let mut ops = Vec::new();
            let mut answers = Vec::with_capacity(chunk.len());
            for item in chunk {
                let (entry, responder) = item?;
                let reply = match &entry.payload {
                    EntryPayload::Blank => Reply::default(),
                    EntryPayload::Normal(batch) => self.apply_batch(batch, &mut ops)?,
                    EntryPayload::Membership(membership) => {
                        self.set_membership(Some(entry.log_id), membership);
                        Reply::default()
                    }
                };
                self.view.log_id = Some(entry.log_id);
                answers.extend(responder.map(|responder| (responder, reply)));
            }
            if !ops.is_empty() {
                self.kv.write(ops)?;
            }
            self.publish();
            for (responder, reply) in answers {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        if !force && !self.snapshots.has_room() {
            return None;
        }
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        // The capture is here, between two entries; the clone of the state is O(1).
        let state = if planted::is("snapshot-one-entry-off") { &self.before } else { &self.view.state };
        Builder::new(
            Arc::clone(&self.snapshots),
            self.sampler.clone(),
            self.view.log_id,
            self.view.membership.clone(),
            self.view.highest_node_id,
            State::clone(state),
        )
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, blob: Blob) -> io::Result<()> {
        let (snapshots, source) = (Arc::clone(&self.snapshots), Arc::clone(&blob));
        let content = blocking(move || snapshots.read(&source)).await?;
        if content.meta != *meta {
            let text = format!("the snapshot covers {}, not {meta} as it was announced", content.meta);
            return Err(crate::error::corrupt(text));
        }
        level::check_applied(content.state.level(), self.supports)?;
        if let Some(op) = level::put(&*self.kv, content.state.level())? {
            self.kv.write(vec![op])?;
        }
        if !planted::is("installed-snapshot-not-kept") {
            self.snapshots.commit(meta.clone(), Arc::clone(&blob)).await?;
        }
        self.history.jump(content.state.position())?;
        // After the jump: behind a gap it has to become a checkpoint.
        self.snapshots.offer(content.state.position(), &blob);
        self.view = View {
            state: Arc::new(content.state),
            log_id: meta.last_log_id,
            membership: meta.last_membership.clone(),
            highest_node_id: content.highest_node_id,
            resets: self.view.resets.saturating_add(1),
        };
        metrics::counter!("trireme_raft_snapshots_installed_total").increment(1);
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let Some(current) = self.snapshots.current() else { return Ok(None) };
        let (snapshots, blob) = (Arc::clone(&self.snapshots), Arc::clone(&current.snapshot));
        let Err(error) = blocking(move || snapshots.verify(&blob)).await else { return Ok(Some(current)) };
        if self.view.log_id.is_none() || self.view.log_id < current.meta.last_log_id {
            // The log before it is gone, and so is what it says.
            return Err(error);
        }
        tracing::error!(%error, "the snapshot on this disk is damaged; a new one takes its place");
        metrics::counter!("trireme_raft_damaged_snapshots_total").increment(1);
        self.get_snapshot_builder().await.build_snapshot().await.map(Some)
    }
}
