//! [`Store`] on Raft: views and watches are local, writes go to the leader's decider wherever it is, reads are
//! linearizable through a read index.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use prost::bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::WatchStream;
use tonic::Code;
use trireme_rpc::control;
use trireme_rpc::log::HistoryRecord;
use trireme_rpc::tcp;
use trireme_state::store::{
    BoxFuture, BoxStream, Committed, Leadership, ProposeError, ReadError, Record, Store,
};
use trireme_state::{Position, Proposal, State, codec};
use trireme_types::{Sequence, Timestamp};

use crate::checkpoint::Checkpoints;
use crate::clock::{Deadline, OfficeClock};
use crate::config::Settings;
use crate::control::history::first_kept;
use crate::decider::{self, Refusal, Request};
use crate::error::Error;
use crate::history::{self, Extent, History, Part};
use crate::machine::View;
use crate::network::peers::{Lane, Peers};
use crate::read::Reader;
use crate::snapshot::blocking;
use crate::voters_clock::VotersClock;

/// Bytes of events that are fetched from a peer at once.
const FETCH_BYTES: usize = 8 * 1024 * 1024;
/// The shortest and the longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// Where the leader is, as this node knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Leader {
    pub leadership: Leadership,
    /// Its address, unless it is this node.
    pub address: Option<String>,
}

/// The store of one control node.
#[derive(Clone)]
pub struct RaftStore {
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) requests: decider::Queue,
    pub(crate) leader: watch::Receiver<Leader>,
    pub(crate) office: watch::Receiver<Option<OfficeClock>>,
    pub(crate) reader: Reader,
    pub(crate) history: Arc<History>,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) peers: Peers,
    pub(crate) settings: Settings,
    pub(crate) time: Arc<VotersClock>,
}

/// What one try came to.
enum Attempt {
    Done(Committed),
    Rejected(trireme_state::Rejection),
    /// It may have been committed.
    Unknown(String),
    /// Nobody looked at it.
    NotTaken(String),
    /// Nobody looked at it, for there is no way from here to the leader.
    OutOfReach(String),
}

impl RaftStore {
    /// What has been applied here, with its place in the log.
    pub fn applied(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Watches what has been applied here, snapshots included.
    pub fn watch_applied(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// The time of day that the voters agree on, whatever this machine's clock says.
    pub fn time(&self) -> Arc<VotersClock> {
        Arc::clone(&self.time)
    }

    /// Has this node's decider decide. Fails at once when this node does not decide.
    pub(crate) async fn decide_here(&self, proposal: Box<Proposal>) -> Result<Committed, Refusal> {
        let (reply, answer) = oneshot::channel();
        let request = Request { proposal, reply };
        self.requests.send(request).await?;
        answer.await.unwrap_or_else(|_| Err(Refusal::Unknown("the decider has stopped".to_owned())))
    }

    /// Whether this node decides now.
    pub(crate) fn leadership_is_here(&self) -> bool {
        self.leader.borrow().leadership.deciding
    }

    async fn attempt(&self, proposal: &Proposal, limit: Duration) -> Attempt {
        let leader = self.leader.borrow().clone();
        if leader.leadership.deciding {
            return match tokio::time::timeout(limit, self.decide_here(Box::new(proposal.clone()))).await {
                Ok(Ok(committed)) => Attempt::Done(committed),
                Ok(Err(Refusal::Rejected(rejection))) => Attempt::Rejected(rejection),
                Ok(Err(Refusal::Unknown(reason))) => Attempt::Unknown(reason),
                Ok(Err(Refusal::NotDeciding)) => Attempt::NotTaken("leadership has moved".to_owned()),
                Err(_) => Attempt::Unknown("the leader did not commit it in time".to_owned()),
            };
        }
        match leader.address {
            Some(address) => self.forward(&address, proposal, limit).await,
            None => Attempt::NotTaken("no leader is known".to_owned()),
        }
    }

    async fn forward(&self, address: &str, proposal: &Proposal, limit: Duration) -> Attempt {
        use control::propose_response::Result as Wire;
        let limit = limit.min(self.settings.call_limit);
        let request = control::ProposeRequest {
            cluster_id: self.peers.life(),
            proposal: Bytes::from(codec::encode_proposal(proposal)),
            limit_millis: u32::try_from(limit.as_millis()).unwrap_or(u32::MAX),
        };
        let lane = if decider::is_urgent(proposal) { Lane::Urgent } else { Lane::Usual };
        let mut client = match self.peers.control_by(address, lane) {
            Ok(client) => client,
            Err(error) => return Attempt::NotTaken(error.to_string()),
        };
        let answer = match tokio::time::timeout(limit, client.propose(request)).await {
            Err(_) => return Attempt::Unknown("the leader did not answer in time".to_owned()),
            Ok(Err(status)) if is_unconnected(&status) => {
                return Attempt::OutOfReach(status.message().to_owned());
            }
            // It is not the node that was meant, and said so.
            Ok(Err(status)) if status.code() == Code::FailedPrecondition => {
                return Attempt::NotTaken(status.message().to_owned());
            }
            Ok(Err(status)) => return Attempt::Unknown(status.message().to_owned()),
            Ok(Ok(answer)) => answer.into_inner(),
        };
        match answer.result {
            Some(Wire::Success(success)) => match codec::decode_outcome(&success.outcome) {
                Ok(outcome) => {
                    Attempt::Done(Committed { sequence: Sequence::new(success.sequence), outcome })
                }
                Err(error) => Attempt::Unknown(error.to_string()),
            },
            Some(Wire::Rejection(bytes)) => match codec::decode_rejection(&bytes) {
                Ok(rejection) => Attempt::Rejected(rejection),
                Err(error) => Attempt::Unknown(error.to_string()),
            },
            Some(Wire::NotLeader(_)) => Attempt::NotTaken("leadership has moved".to_owned()),
            Some(Wire::Unknown(unknown)) => Attempt::Unknown(unknown.reason),
            None => Attempt::Unknown("the leader answered nothing".to_owned()),
        }
    }

    /// Proposes until it is known what became of it, or the limit is over.
    async fn propose_until(&self, proposal: Proposal) -> Result<Committed, ProposeError> {
        let deadline = Deadline::after(self.settings.propose_limit);
        // Without a key nothing tells a repeat from a new command.
        let repeatable = proposal.key.is_some() || proposal.command.may_be_repeated();
        let mut unknown: Option<String> = None;
        let mut pause = PAUSE.0;
        let mut leader = self.leader.clone();
        loop {
            leader.mark_unchanged();
            let left = deadline.left();
            let reason = match self.attempt(&proposal, left).await {
                Attempt::Done(committed) => {
                    self.reach(deadline, |view| view.state.position().sequence >= committed.sequence).await?;
                    return Ok(committed);
                }
                Attempt::Rejected(rejection) => {
                    // An earlier try may have succeeded.
                    return Err(match unknown {
                        Some(reason) if proposal.key.is_none() => ProposeError::Unknown { reason },
                        _ => ProposeError::Rejected(rejection),
                    });
                }
                Attempt::Unknown(reason) if !repeatable => return Err(ProposeError::Unknown { reason }),
                Attempt::Unknown(reason) => {
                    unknown = Some(reason.clone());
                    reason
                }
                // Its sender may reach the leader by way of another node, and sooner: an agent that opens a session does.
                Attempt::OutOfReach(reason) if !repeatable => {
                    return Err(ProposeError::Unavailable { reason });
                }
                Attempt::NotTaken(reason) | Attempt::OutOfReach(reason) => reason,
            };
            if deadline.left() <= pause || !rest(&mut leader, pause).await {
                return Err(match unknown {
                    Some(reason) => ProposeError::Unknown { reason },
                    None => ProposeError::Unavailable { reason },
                });
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Waits until this node has applied enough.
    async fn reach(
        &self,
        deadline: Deadline,
        enough: impl Fn(&View) -> bool,
    ) -> Result<Arc<View>, ProposeError> {
        let mut view = self.view.clone();
        match tokio::time::timeout_at(deadline.at(), view.wait_for(|view| enough(view))).await {
            Ok(Ok(view)) => Ok(Arc::clone(&view)),
            Ok(Err(_)) => Err(ProposeError::Unknown { reason: "the node stops".to_owned() }),
            Err(_) => {
                Err(ProposeError::Unknown { reason: "it is committed, but this node lags behind".to_owned() })
            }
        }
    }

    async fn read_until(&self) -> Result<Arc<State>, ReadError> {
        self.read_view().await.map(|view| Arc::clone(&view.state))
    }

    /// What has been applied here, once that is at or after everything that was acknowledged before this call.
    ///
    /// # Errors
    /// No leader answers, or this node lags behind.
    pub async fn read_view(&self) -> Result<Arc<View>, ReadError> {
        let deadline = Deadline::after(self.settings.call_limit);
        let mut pause = PAUSE.0;
        let mut leader = self.leader.clone();
        loop {
            leader.mark_unchanged();
            let reason = match tokio::time::timeout_at(deadline.at(), self.reader.index()).await {
                Ok(Ok(index)) => {
                    let reached = self.reach(deadline, |view| view.index() >= index).await;
                    return match reached {
                        Ok(view) => Ok(view),
                        Err(_) => Err(ReadError { reason: "this node lags behind".to_owned() }),
                    };
                }
                Ok(Err(reason)) => reason,
                Err(_) => "the leader did not answer in time".to_owned(),
            };
            if deadline.left() <= pause || !rest(&mut leader, pause).await {
                return Err(ReadError { reason });
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// What this node holds of the history.
    pub fn history_extent(&self) -> Extent {
        self.history.extent()
    }

    /// Where this node's checkpoints are, the oldest first.
    pub fn checkpoints(&self) -> Vec<Position> {
        self.checkpoints.positions()
    }

    /// At most `limit` events from `from` on, in order: from this node, or from a peer while they are not here.
    ///
    /// # Errors
    /// [`Error::Trimmed`], [`Error::Elsewhere`], [`Error::History`].
    pub async fn records(&self, from: Sequence, limit: usize) -> Result<Vec<Record>, Error> {
        let applied = self.view.borrow().state.position();
        let records = self.raw_records(from, limit, applied).await?;
        let decoded: std::io::Result<Vec<Record>> = records.into_iter().map(history::decode).collect();
        decoded.map_err(|error| Error::History { reason: error.to_string() })
    }

    /// The same, up to `applied`, as they are kept.
    pub(crate) async fn raw_records(
        &self,
        from: Sequence,
        limit: usize,
        applied: Position,
    ) -> Result<Vec<HistoryRecord>, Error> {
        let history = Arc::clone(&self.history);
        let read = blocking(move || history.read(from, limit, applied)).await;
        match read.map_err(|error| Error::History { reason: error.to_string() })? {
            Part::Records(records) => Ok(records),
            Part::Trimmed { first } => Err(Error::Trimmed { asked: from, first }),
            Part::Elsewhere => self.records_elsewhere(from, limit).await,
        }
    }

    async fn records_elsewhere(&self, from: Sequence, limit: usize) -> Result<Vec<HistoryRecord>, Error> {
        let membership = self.applied().membership.membership().clone();
        let (mut reason, mut kept) = ("no other node is known".to_owned(), None::<Sequence>);
        for (_, member) in membership.nodes() {
            let fetched =
                fetch_history(&self.peers, &member.peer_address, from, limit, self.settings.call_limit);
            match fetched.await {
                Ok(records) => return Ok(records),
                Err(NotFetched::Trimmed { first }) => kept = Some(kept.map_or(first, |kept| kept.min(first))),
                Err(NotFetched::Failed(error)) => reason = error,
            }
        }
        // A peer deletes only what no node has to keep.
        Err(match kept {
            Some(first) => Error::Trimmed { asked: from, first },
            None => Error::Elsewhere { asked: from, reason },
        })
    }

    /// The state after event `sequence`, which this node has applied: the nearest checkpoint and a replay of the records
    /// behind it, checked against the history's hashes.
    ///
    /// # Errors
    /// [`Error::Trimmed`], [`Error::Elsewhere`], [`Error::NotYet`], [`Error::History`].
    pub async fn state_at(&self, sequence: Sequence) -> Result<State, Error> {
        let (history, checkpoints) = (Arc::clone(&self.history), Arc::clone(&self.checkpoints));
        let applied = self.view.borrow().state.position();
        let replay = move || Ok(history.state_at(&checkpoints, sequence, applied));
        blocking(replay).await.unwrap_or_else(|error| Err(Error::Storage(error)))
    }
}

/// Why a peer gave no records.
#[derive(Debug)]
pub(crate) enum NotFetched {
    /// It does not keep them any more.
    Trimmed { first: Sequence },
    /// It does not answer, or does not have them.
    Failed(String),
}

impl NotFetched {
    fn because(status: &tonic::Status) -> Self {
        match first_kept(status) {
            Some(first) => Self::Trimmed { first },
            None => Self::Failed(status.message().to_owned()),
        }
    }
}

/// Rests between two tries, until there is another leader. False when there will be none: this node stops, and another try
/// would only spin.
async fn rest(leader: &mut watch::Receiver<Leader>, pause: Duration) -> bool {
    !matches!(tokio::time::timeout(pause, leader.changed()).await, Ok(Err(_)))
}

/// At most `limit` records from a peer, as many as come in `time`: those of a slow link are no worse. What breaks off after
/// the first is found out by who asks for the next.
pub(crate) async fn fetch_history(
    peers: &Peers,
    address: &str,
    from: Sequence,
    limit: usize,
    time: Duration,
) -> Result<Vec<HistoryRecord>, NotFetched> {
    let request = control::HistoryRequest {
        cluster_id: peers.life(),
        from_sequence: from.get(),
        limit: limit as u64,
        follow: false,
    };
    let deadline = Deadline::after(time);
    let late = || NotFetched::Failed(format!("{address} did not answer in time"));
    let mut client = peers.control(address).map_err(|error| NotFetched::Failed(error.to_string()))?;
    let answer = within(time, client.history(request)).await.ok_or_else(late)?;
    let mut stream = answer.map_err(|status| NotFetched::because(&status))?.into_inner();
    let (mut records, mut bytes) = (Vec::new(), 0usize);
    while records.len() < limit && bytes < FETCH_BYTES {
        let failed = match tokio::time::timeout_at(deadline.at(), stream.next()).await {
            Ok(Some(Ok(record))) => {
                bytes = bytes.saturating_add(record.event.len());
                records.push(record);
                continue;
            }
            Ok(None) => break,
            Ok(Some(Err(status))) => NotFetched::because(&status),
            Err(_) => late(),
        };
        return if records.is_empty() { Err(failed) } else { Ok(records) };
    }
    Ok(records)
}

/// True when there was no connection over which a request could be sent.
fn is_unconnected(status: &tonic::Status) -> bool {
    status.code() == Code::Unavailable && status.message().starts_with(tcp::NOT_CONNECTED)
}

impl Store for RaftStore {
    fn view(&self) -> Arc<State> {
        Arc::clone(&self.view.borrow().state)
    }

    fn watch(&self) -> BoxStream<'static, Arc<State>> {
        Box::pin(WatchStream::new(self.view.clone()).map(|view| Arc::clone(&view.state)))
    }

    fn read(&self) -> BoxFuture<'_, Result<Arc<State>, ReadError>> {
        Box::pin(self.read_until())
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, ProposeError>> {
        Box::pin(self.propose_until(proposal))
    }

    fn leadership(&self) -> Leadership {
        self.leader.borrow().leadership
    }

    fn watch_leadership(&self) -> BoxStream<'static, Leadership> {
        Box::pin(WatchStream::new(self.leader.clone()).map(|leader| leader.leadership))
    }

    fn now(&self) -> Option<Timestamp> {
        self.office.borrow().as_ref().map(OfficeClock::now)
    }

    fn history(&self, from: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>> {
        Box::pin(async move {
            self.records(from, limit).await.map_err(|error| ReadError { reason: error.to_string() })
        })
    }
}

/// Bounds a future by time; `None` when it was over first.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}
