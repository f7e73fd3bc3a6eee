//! The decider: the one task that turns commands into entries, on the leader. It decides against its [`head`],
//! hands batches of entries to Raft without waiting for them, and answers when they are applied ([`flight`]). Commands wait for it
//! in a [`queue`]; the state machine of this node finds what was decided in [`heads`].

pub(crate) mod flight;
pub(crate) mod head;
pub(crate) mod heads;
mod queue;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::raft::ClientWriteResult;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::watch;
use trireme_state::State;
use trireme_types::planted;

pub use flight::{Answer, Refusal};
pub use head::Rules;
pub use heads::{Decided, Heads};
pub(crate) use queue::{Queue, Request, Requests, is_urgent, queue};

use crate::batch::Batch;
use crate::clock::{Clock, Deadline, OfficeClock, Random};
use crate::config::{Answer as RaftAnswer, LeaderId, Raft, TypeConfig};
use crate::guard::Guard;
use crate::machine::View;
use crate::simulation::Refuse;
use flight::{Flights, Passenger};
use head::{ENTRY_BYTES, Head, Verdict};

/// Asked before a decider takes office: how far its clock may be too late. `None`: this node must not decide, and hands
/// leadership on.
pub(crate) type Fitness =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<Duration>> + Send>> + Send + Sync>;

/// What the decider needs.
pub(crate) struct Decider {
    pub raft: Raft,
    pub node_id: u64,
    pub view: watch::Receiver<Arc<View>>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub rules: Rules,
    pub guard: Guard,
    /// Where the state machine finds what was decided here.
    pub heads: Heads,
    pub fitness: Fitness,
    /// For a simulation alone.
    pub refuse: Option<Refuse>,
    /// Set while this node decides.
    pub office: watch::Sender<Option<OfficeClock>>,
}

/// What waits while entries are in flight goes after so long all the same: to nodes that are far away many are under way.
const LINGER: Duration = Duration::from_millis(5);

type Metrics = WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>;
type Landing = Pin<Box<dyn Future<Output = (u64, Option<ClientWriteResult<TypeConfig>>)> + Send>>;
type Round = Pin<Box<dyn Future<Output = (u64, Result<(), String>)> + Send>>;

impl Decider {
    /// Decides whenever this node leads, until Raft stops or nobody can ask any more.
    pub(crate) async fn run(self, mut requests: Requests) {
        let mut metrics = self.raft.server_metrics();
        loop {
            let leading = leading(&metrics, self.node_id);
            if let Some(leader) = leading
                && let Some(office) = self.take_office(leader, &mut metrics, &mut requests).await
            {
                office.serve(&mut metrics, &mut requests).await;
                self.heads.clear();
                self.office.send_replace(None);
                tracing::info!(%leader, "the decider has left office");
                continue;
            }
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() { return },
                request = requests.recv() => match request {
                    None => return,
                    Some(request) => refuse(request),
                },
            }
        }
    }

    /// Waits until all that this node held on becoming leader is applied, its own blank entry last.
    async fn take_office(
        &self,
        leader: LeaderId,
        metrics: &mut Metrics,
        requests: &mut Requests,
    ) -> Option<Office> {
        let prepared = prepare(self.raft.clone(), leader, self.view.clone(), Arc::clone(&self.fitness));
        tokio::pin!(prepared);
        let (view, ahead) = loop {
            tokio::select! {
                prepared = &mut prepared => break prepared?,
                changed = metrics.changed() => {
                    if changed.is_err() || leading(metrics, self.node_id) != Some(leader) {
                        return None;
                    }
                }
                Some(request) = requests.recv() => refuse(request),
            }
        };
        let clock = OfficeClock::new(Arc::clone(&self.clock), ahead, view.state.clock());
        let head = Head::new(
            State::clone(&view.state),
            self.random.seed(),
            clock.clone(),
            self.rules,
            self.guard.clone(),
        );
        tracing::info!(%leader, position = ?view.state.position().sequence, "the decider has taken office");
        self.office.send_replace(Some(clock));
        Some(Office {
            raft: self.raft.clone(),
            node_id: self.node_id,
            leader,
            head,
            view: self.view.clone(),
            clock: Arc::clone(&self.clock),
            refuse: self.refuse.clone(),
            heads: self.heads.clone(),
            flights: Flights::default(),
            landings: FuturesUnordered::new(),
            round: None,
            backlog: VecDeque::new(),
            linger: None,
        })
    }
}

/// The leadership that this node holds, as far as it knows.
fn leading(metrics: &Metrics, node_id: u64) -> Option<LeaderId> {
    let metrics = metrics.borrow_watched();
    let mine = metrics.vote.committed && metrics.vote.leader_id.node_id == node_id;
    (mine && metrics.state.is_leader()).then_some(metrics.vote.leader_id)
}

fn refuse(request: Request) {
    let _gone = request.reply.send(Err(Refusal::NotDeciding));
}

async fn prepare(
    raft: Raft,
    leader: LeaderId,
    mut view: watch::Receiver<Arc<View>>,
    fitness: Fitness,
) -> Option<(Arc<View>, Duration)> {
    let index = loop {
        // The index of a read is that of the leader's blank entry at least, and all that it held lies before that.
        match raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) if *read.committed_leader_id() == leader => break read.index(),
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(%error, "the new leader is not confirmed yet");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let ahead = fitness().await?;
    let index = if planted::is("office-before-all-is-applied") { 0 } else { index };
    let reached = view.wait_for(|view| view.index() >= index).await.ok()?;
    Some((Arc::clone(&reached), ahead))
}

/// One leadership's decider.
struct Office {
    raft: Raft,
    node_id: u64,
    leader: LeaderId,
    head: Head,
    view: watch::Receiver<Arc<View>>,
    clock: Arc<dyn Clock>,
    refuse: Option<Refuse>,
    heads: Heads,
    flights: Flights,
    landings: FuturesUnordered<Landing>,
    round: Option<Round>,
    backlog: VecDeque<Request>,
    /// Until when what comes is gathered.
    linger: Option<Deadline>,
}

impl Office {
    async fn serve(mut self, metrics: &mut Metrics, requests: &mut Requests) {
        let reason = loop {
            if self.flights.is_poisoned() && self.flights.is_empty() {
                self.rebuild();
            }
            if self.is_open() && !self.backlog.is_empty() && self.decide().await.is_err() {
                break "raft has stopped";
            }
            self.confirm();
            let open = self.is_open() && self.backlog.is_empty();
            tokio::select! {
                biased;
                changed = metrics.changed() => {
                    if changed.is_err() || leading(metrics, self.node_id) != Some(self.leader) {
                        break "leadership was lost";
                    }
                }
                Some((number, result)) = self.landings.next() => self.land(number, result),
                Some((number, result)) = next_round(&mut self.round) => {
                    self.round = None;
                    self.flights.end_round(number, result);
                }
                () = gathered(self.linger) => {}
                more = requests.fill(&mut self.backlog), if open => {
                    if !more {
                        break "the node stops";
                    }
                }
            }
        };
        self.flights.abandon(reason);
        self.backlog.drain(..).for_each(refuse);
    }

    /// Whether commands are decided now, or gathered.
    fn is_open(&mut self) -> bool {
        if self.flights.is_busy() {
            self.linger.get_or_insert_with(|| Deadline::after(LINGER));
        } else {
            self.linger = None;
        }
        let gathered = self.linger.is_none_or(|linger| linger.left().is_zero());
        gathered && self.flights.has_room() && !self.flights.is_poisoned()
    }

    /// Decides what waits and sends it off, as long as there is room.
    async fn decide(&mut self) -> Result<(), ()> {
        let mut entries = Vec::new();
        let mut passengers = Vec::new();
        let mut size = 0usize;
        while self.flights.has_room() {
            let Some(request) = self.backlog.pop_front() else { break };
            if request.reply.is_closed() {
                continue;
            }
            match self.head.decide(&request.proposal) {
                Verdict::Rejected(rejection) => {
                    // Held until this batch has landed too: the head held it at the decision.
                    self.send_off(&mut entries, &mut passengers, &mut size).await?;
                    self.flights.hold(request.reply, Err(Refusal::Rejected(rejection)));
                }
                Verdict::Unchanged(outcome) => {
                    self.send_off(&mut entries, &mut passengers, &mut size).await?;
                    let sequence = self.head.state().position().sequence;
                    let committed = trireme_state::store::Committed { sequence, outcome };
                    self.flights.hold(request.reply, Ok(committed));
                }
                Verdict::Entry { entry, bytes, outcome } => {
                    if size.saturating_add(bytes) > ENTRY_BYTES {
                        self.send_off(&mut entries, &mut passengers, &mut size).await?;
                    }
                    size = size.saturating_add(bytes);
                    entries.push(entry);
                    let sequence = self.head.state().position().sequence;
                    passengers.push(Passenger { reply: request.reply, outcome, sequence });
                }
            }
        }
        self.send_off(&mut entries, &mut passengers, &mut size).await
    }

    /// Proposes one Raft entry, under the leadership under which its head was built.
    async fn send_off(
        &mut self,
        entries: &mut Vec<trireme_state::Entry>,
        passengers: &mut Vec<Passenger>,
        size: &mut usize,
    ) -> Result<(), ()> {
        if entries.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(entries);
        let batch = Batch::new(&entries);
        let bytes = batch.encoded().len();
        *size = 0;
        self.linger = None;
        let number = self.flights.depart(std::mem::take(passengers), bytes, self.clock.monotonic());
        if let Some(late) = self.refuse.as_ref().and_then(|refuse| refuse()) {
            self.landings.push(Box::pin(async move {
                tokio::time::sleep(late).await;
                (number, None)
            }));
            return Ok(());
        }
        let number_here = self.heads.note(Decided::new(entries, self.head.state()));
        let batch = batch.decided_as(number_here);
        let (responder, receiver) = RaftAnswer::pair();
        self.landings.push(Box::pin(async move { (number, receiver.await.ok()) }));
        if planted::is("answered-before-it-is-committed") {
            self.flights.answer_all(number);
        }
        let sent = self.raft.write(batch).with_leader(self.leader).responder(responder).await;
        sent.map_err(|error| tracing::error!(%error, "raft takes no proposals any more"))
    }

    fn land(&mut self, number: u64, result: Option<ClientWriteResult<TypeConfig>>) {
        let now = self.clock.monotonic();
        match result {
            Some(Ok(response)) => {
                let applied = &response.data.applied;
                if applied.contains(&false) {
                    tracing::warn!(number, "an entry was void");
                }
                self.flights.arrive(number, Ok(applied), now);
            }
            Some(Err(error)) => {
                tracing::warn!(number, %error, "a proposal was refused");
                self.flights.arrive(number, Err(&error.to_string()), now);
            }
            None => self.flights.arrive(number, Err("raft gave no answer"), now),
        }
    }

    /// Builds the head anew from the applied state. Nothing is in flight.
    fn rebuild(&mut self) {
        let view = Arc::clone(&self.view.borrow());
        tracing::warn!(position = ?view.state.position().sequence, "the head is built anew");
        metrics::counter!("trireme_raft_head_rebuilds_total").increment(1);
        self.heads.clear();
        self.head.rebuild(State::clone(&view.state));
        self.flights.rebuilt();
    }

    /// Starts a round of confirmation when an answer waits for one. One round serves all that wait.
    fn confirm(&mut self) {
        if self.round.is_some() || !self.flights.wants_round() {
            return;
        }
        let number = self.flights.start_round();
        let (raft, leader) = (self.raft.clone(), self.leader);
        self.round = Some(Box::pin(async move {
            let result = match raft.get_read_log_id(ReadPolicy::ReadIndex).await {
                Ok((read, _)) if *read.committed_leader_id() == leader => Ok(()),
                Ok(_) => Err("leadership has changed".to_owned()),
                Err(error) => Err(format!("the leader was not confirmed: {error}")),
            };
            (number, result)
        }));
    }
}

/// Returns when what was gathered is to go. Once that is so there is nothing to wait for.
async fn gathered(linger: Option<Deadline>) {
    match linger {
        Some(linger) if !linger.left().is_zero() => tokio::time::sleep_until(linger.at()).await,
        _ => std::future::pending().await,
    }
}

async fn next_round(round: &mut Option<Round>) -> Option<(u64, Result<(), String>)> {
    match round {
        Some(round) => Some(round.await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
