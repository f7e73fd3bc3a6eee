//! One leadership: reads the history for the targets, hands them what they are to be told, and writes down how far they have come.
//!
//! Targets that stand at the same event are read for together. One whose queue is full stays behind, is read for by itself later, and so catches up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use trireme_ecs_api::eventbridge::Pattern;
use trireme_state::command::{DeliveryCommand, Mark, ScheduleCommand};
use trireme_state::object::{DeliveryKey, Rule};
use trireme_state::store::ProposeError;
use trireme_state::{Actor, Command, Proposal, State};
use trireme_types::{RequestId, Sequence};

use crate::lane::{Job, Lane, Progress, QUEUE};
use crate::past::Gone;
use crate::reader::{Reader, Told};
use crate::{Parts, metrics};

/// How often it is written down how far targets have come.
const SAVED: Duration = Duration::from_secs(1);
/// What was read without anything to tell is written down when it is so much: or a new leader reads all of it again.
const UNSAVED: u64 = 10_000;
/// Targets of one command.
const MARKS: usize = 200;
/// Changes are gathered for so long.
const GATHERED: Duration = Duration::from_millis(20);
/// When what cannot be read now is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Room without which a target is not read for: as much as one event of the history can come to, many times.
const ROOM: usize = 64;

pub(crate) async fn serve(parts: Arc<Parts>) {
    let mut views = parts.store.watch();
    let mut office = Office {
        parts,
        lanes: BTreeMap::new(),
        patterns: BTreeMap::new(),
        readers: BTreeMap::new(),
        wake: Arc::default(),
        saved: Instant::now(),
        rested: None,
    };
    loop {
        let view = office.parts.store.view();
        office.follow(&view);
        let more = office.read(&view).await;
        if office.saved.elapsed() >= SAVED {
            office.save().await;
        }
        if more {
            tokio::task::yield_now().await;
            continue;
        }
        let wake = office.wake.clone();
        tokio::select! {
            () = wake.notified() => {}
            next = views.next() => if next.is_none() { return },
            () = tokio::time::sleep(SAVED), if !office.lanes.is_empty() => {}
        }
        tokio::time::sleep(GATHERED).await;
    }
}

/// What a rule wants to be told of, as of its version.
struct Wanted {
    version: u64,
    pattern: Option<Pattern>,
}

struct Office {
    parts: Arc<Parts>,
    lanes: BTreeMap<DeliveryKey, Lane>,
    patterns: BTreeMap<trireme_state::object::RuleKey, Wanted>,
    /// By where they stand.
    readers: BTreeMap<Sequence, Reader>,
    wake: Arc<Notify>,
    saved: Instant,
    /// The history could not be read: not before then.
    rested: Option<Instant>,
}

impl Office {
    /// Takes up targets that are new, and drops those that are gone.
    fn follow(&mut self, view: &State) {
        self.lanes.retain(|key, _| view.delivery(key).is_some());
        for (key, delivery) in view.deliveries() {
            // One that stands further than it was read for is a new one of the same name.
            if self.lanes.get(key).is_none_or(|lane| lane.at < delivery.seen) {
                let lane = Lane::begin(&self.parts, key.clone(), delivery.seen, &self.wake);
                self.lanes.insert(key.clone(), lane);
            }
        }
        let lanes = &self.lanes;
        self.patterns.retain(|rule, _| lanes.keys().any(|key| key.rule == *rule));
        for rule in lanes.keys().filter_map(|key| view.rule(&key.rule)) {
            if self.patterns.get(&rule.key).is_none_or(|wanted| wanted.version != rule.version) {
                self.patterns.insert(rule.key.clone(), wanted(rule));
            }
        }
        // A place where nobody stands is not read on from.
        self.readers.retain(|at, _| lanes.values().any(|lane| lane.at == *at));
        metrics::targets(self.lanes.len());
    }

    /// Reads on for each group of targets that has room. Whether there may be more at once.
    async fn read(&mut self, view: &State) -> bool {
        if self.rested.is_some_and(|rested| rested > Instant::now()) {
            return false;
        }
        self.rested = None;
        let head = view.position().sequence;
        let mut places: Vec<Sequence> =
            self.lanes.values().map(|lane| lane.at).filter(|at| *at < head).collect();
        places.sort();
        places.dedup();
        let mut more = false;
        for at in places {
            match self.read_at(at).await {
                Ok(again) => more |= again,
                Err(Gone::Trimmed { first }) => self.missed(at, first),
                Err(Gone::Unavailable(reason)) => {
                    tracing::warn!(%reason, "events cannot be delivered now");
                    self.rested = Some(Instant::now() + AGAIN);
                }
            }
        }
        more && self.rested.is_none()
    }

    async fn read_at(&mut self, at: Sequence) -> Result<bool, Gone> {
        let stands = |lane: &Lane| lane.at == at && lane.room() >= ROOM.min(QUEUE);
        if !self.lanes.values().any(stands) {
            return Ok(false);
        }
        let past = self.parts.past.clone();
        let mut reader = match self.readers.remove(&at) {
            Some(reader) => reader,
            None => Reader::open(&*past, at).await?,
        };
        let mut with: Vec<(&DeliveryKey, &mut Lane)> =
            self.lanes.iter_mut().filter(|(_, lane)| stands(lane)).collect();
        let patterns = &self.patterns;
        let done = reader
            .read(&*past, |told| {
                with.iter_mut().for_each(|(key, lane)| tell(patterns, key, lane, &told));
                with.iter().all(|(_, lane)| lane.room() >= ROOM.min(QUEUE))
            })
            .await;
        let to = reader.at();
        with.iter_mut().for_each(|(_, lane)| lane.at = to);
        self.readers.insert(to, reader);
        done
    }

    /// What is kept no longer cannot be told.
    fn missed(&mut self, at: Sequence, first: Sequence) {
        let to = Sequence::new(first.get().saturating_sub(1)).max(at.next());
        for (key, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.at == at) {
            let error =
                format!("events {} to {to} are no longer in the history and were not delivered", at.next());
            tracing::warn!(rule = key.rule.name, target = key.target, %error, "events are missed");
            metrics::missed(to.get().saturating_sub(at.get()));
            lane.note(error);
            lane.at = to;
        }
    }

    /// Writes down how far targets have come.
    async fn save(&mut self) {
        self.saved = Instant::now();
        let view = self.parts.store.view();
        let mut marks = Vec::new();
        for (key, lane) in &self.lanes {
            let (Some(delivery), Some(rule)) = (view.delivery(key), view.rule(&key.rule)) else { continue };
            let progress = lane.progress();
            let settled = lane.settled();
            let told = progress.delivered > 0 || progress.dropped > 0 || progress.error.is_some();
            let far = settled.get().saturating_sub(delivery.seen.get()) >= UNSAVED;
            if settled >= delivery.seen
                && (told || far)
                && marks.len() < MARKS
                && rule.target(&key.target).is_some()
            {
                let taken = lane.report();
                let mark = Mark {
                    key: key.clone(),
                    from: delivery.seen,
                    to: settled,
                    delivered: taken.delivered,
                    dropped: taken.dropped,
                    error: taken.error.clone(),
                };
                marks.push((mark, taken));
            }
        }
        if !marks.is_empty() {
            self.advance(marks).await;
        }
    }

    async fn advance(&self, marks: Vec<(Mark, Progress)>) {
        let all = marks.iter().map(|(mark, _)| mark.clone()).collect();
        if let Err(error) = propose(&self.parts, DeliveryCommand::Advance(all)).await {
            tracing::info!(%error, "how far targets have come could not be written down");
            for (mark, taken) in marks {
                if let Some(lane) = self.lanes.get(&mark.key) {
                    lane.give_back(taken);
                }
            }
        }
    }
}

fn wanted(rule: &Rule) -> Wanted {
    let pattern = rule.spec.pattern.as_deref().map(Pattern::parse).and_then(Result::ok);
    Wanted { version: rule.version, pattern }
}

/// Hands a target what one event of the history comes to for it.
fn tell(
    patterns: &BTreeMap<trireme_state::object::RuleKey, Wanted>,
    key: &DeliveryKey,
    lane: &mut Lane,
    told: &Told,
) {
    let Some(wanted) = patterns.get(&key.rule) else { return };
    let means = |event: &&trireme_ecs_api::eventbridge::Emitted| match &event.only {
        Some(rule) => *rule == key.rule,
        None => {
            event.scope == key.rule.scope
                && wanted.pattern.as_ref().is_some_and(|pattern| pattern.matches(&event.event))
        }
    };
    let events: Vec<_> = told.events.iter().filter(means).collect();
    let count = events.len();
    for (number, event) in events.into_iter().enumerate() {
        lane.take(Job {
            sequence: told.sequence,
            at: told.at,
            event: Arc::new(event.event.clone()),
            last: number.saturating_add(1) == count,
        });
    }
}

/// Has a command done.
pub(crate) async fn propose(
    parts: &Parts,
    command: DeliveryCommand,
) -> Result<trireme_state::store::Committed, ProposeError> {
    let proposal = Proposal {
        actor: Actor::Controller("delivery".to_owned()),
        request_id: RequestId::from_bits(rand::random()),
        key: None,
        command: Command::Schedule(Box::new(ScheduleCommand::Deliver(command))),
    };
    parts.store.propose(proposal).await
}
