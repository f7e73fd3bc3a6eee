//! I4, I14: there is one history. What any node has applied at a sequence number is what every node has there, hash by hash
//! and state by state; each step of it holds the state's own invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trireme_raft::Node;
use trireme_raft::machine::View;
use trireme_state::object::TaskStatus;
use trireme_state::store::Record;
use trireme_state::{Applied, ChainHash, Entry, Event, Position, SealedEvent, State, apply_entry, invariant};
use trireme_types::{Sequence, TaskId};

use super::{Check, Violation, due, epoch, hold, images, launched, maximum, scaling};
use crate::control::ControlHost;
use crate::load::Load;

/// Records that are read at once.
const PART: usize = 1024;
/// States that are kept for nodes that lag behind.
const STATES: usize = 20_000;

/// The history that all nodes share, replayed once more beside them.
#[derive(Default)]
pub struct Truth {
    state: State,
    empty: [State; 1],
    states: BTreeMap<u64, State>,
    hashes: Vec<ChainHash>,
    seen: BTreeMap<u64, Arc<View>>,
    /// Standalone tasks by what started them.
    pub started: BTreeMap<String, Vec<TaskId>>,
    /// Tasks whose agent has said that they stopped.
    pub ended: BTreeSet<TaskId>,
    /// Instances that were declared lost.
    pub lost: u64,
    /// Absences that agents announced.
    pub absences: u64,
    /// What tasks run.
    pub images: images::Images,
    /// Schedules and rules.
    pub dues: due::Dues,
    /// What autoscaling did.
    pub scalings: scaling::Scalings,
    /// Tasks that were placed on the managed pool.
    pub launched: u64,
    load: Arc<Load>,
    views: u64,
}

impl Truth {
    /// Nothing was applied yet.
    pub fn new(load: &Arc<Load>) -> Self {
        Self { load: Arc::clone(load), ..Self::default() }
    }

    /// The state after all that was applied anywhere.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How many events there are.
    pub fn length(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// The state after event `sequence`, and after each later one, as far as they are kept.
    pub fn states_since(&self, sequence: u64) -> impl Iterator<Item = &State> {
        let states = self.states.range(sequence..).map(|(_, state)| state);
        self.empty.iter().filter(move |_| sequence == 0).chain(states)
    }

    /// The hash of an event.
    pub fn hash(&self, sequence: Sequence) -> Option<ChainHash> {
        let index = usize::try_from(sequence.get()).ok()?.checked_sub(1)?;
        self.hashes.get(index).copied()
    }

    /// A node's view against the history.
    ///
    /// # Errors
    /// It contradicts what another node has applied, or breaks an invariant of the state.
    pub fn check(&mut self, host: &ControlHost, node: &Node) -> Check {
        let view = node.store().applied();
        if self.seen.get(&host.number).is_some_and(|seen| Arc::ptr_eq(seen, &view)) {
            return Ok(());
        }
        self.seen.insert(host.number, Arc::clone(&view));
        let position = view.state.position();
        while self.length() < position.sequence.get() {
            let from = Sequence::new(self.length() + 1);
            let records = node.records(from, PART);
            let records = records
                .map_err(|error| Violation::new("the_chain_holds", format!("{}: {error}", host.name())))?;
            // A snapshot brought it here; others have what is missing.
            let Some(records) = records.filter(|records| !records.is_empty()) else { return Ok(()) };
            self.extend(&records)?;
        }
        self.compare(host, &view, position)
    }

    fn compare(&mut self, host: &ControlHost, view: &View, position: Position) -> Check {
        if position.sequence.get() == 0 {
            return Ok(());
        }
        let known = self.hash(position.sequence);
        hold("history_is_one", known == Some(position.hash), || {
            format!("{} has another event {} than was applied before", host.name(), position.sequence)
        })?;
        if let Some(state) = self.states.get(&position.sequence.get()) {
            hold("states_are_equal", *state == *view.state, || {
                format!("{} has another state at {}", host.name(), position.sequence)
            })?;
        }
        self.views += 1;
        if self.views.is_multiple_of(16) {
            invariant::check_state(&view.state)?;
        }
        Ok(())
    }

    /// Replays records. Those of one command are one step.
    fn extend(&mut self, records: &[Record]) -> Check {
        let together =
            |a: &Record, b: &Record| a.request_id == b.request_id && a.at == b.at && a.actor == b.actor;
        for command in records.chunk_by(together) {
            let before = self.state.clone();
            for record in command {
                self.apply(record)?;
            }
            let events: Vec<Event> = command.iter().map(|record| record.event.clone()).collect();
            invariant::check_step(&before, &self.state, &events)?;
            maximum::check(&before, &self.state, &events)?;
            epoch::check(&before, &self.state, &events)?;
            self.launched += launched::check(&self.state, &events)?;
            self.dues.check(&before, &self.state, command)?;
            self.scalings.check(&self.load, &before, &self.state, command)?;
        }
        Ok(())
    }

    fn apply(&mut self, record: &Record) -> Check {
        let entry = Entry {
            base: self.state.position(),
            at: record.at,
            actor: record.actor.clone(),
            request_id: record.request_id,
            events: vec![SealedEvent::seal(record.event.clone())],
        };
        let applied = apply_entry(&mut self.state, &entry) == Applied::Applied;
        let position = self.state.position();
        hold("the_chain_holds", applied && position.hash == record.hash, || {
            format!("record {} does not follow from the ones before", record.sequence)
        })?;
        if let Event::TaskCreated { task } = &record.event
            && let Some(by) = task.started_by.as_ref().filter(|by| is_token(by))
        {
            self.started.entry(by.clone()).or_default().push(task.id);
        }
        if let Event::TaskProgressed { report } = &record.event
            && report.status == TaskStatus::Stopped
        {
            self.ended.insert(report.task);
        }
        self.lost += u64::from(matches!(record.event, Event::InstanceLost { .. }));
        self.absences += u64::from(matches!(record.event, Event::InstanceAbsent { .. }));
        self.images.check(&self.state, &record.event)?;
        self.hashes.push(position.hash);
        self.states.insert(position.sequence.get(), self.state.clone());
        if self.states.len() > STATES {
            self.states.pop_first();
        }
        Ok(())
    }
}

/// Whether it is a client's, and no schedule's.
fn is_token(started_by: &str) -> bool {
    started_by.starts_with('c') && !started_by.contains('/')
}
