//! Channels: what a control node wants of one agent beside the state, frame by frame. Agents dial, never control nodes: so the
//! agent is asked through its session, comes back with a call of its own, and names a number that nobody else was told.
//!
//! A channel lives no longer than the session through which it was opened: what comes under an epoch that is over is nobody's
//! business. What a side sends waits until the other one takes it; a slow reader holds up its own channel and nothing else, for
//! each one has a connection of its own.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use trireme_rpc::agent as wire;
use trireme_rpc::agent::channel_message::Message;
use trireme_rpc::channel::{FromAgent, Purpose, ToAgent};
use trireme_rpc::convert::wire_bytes;
use trireme_types::{ContainerInstanceId, SessionEpoch};

use crate::Shared;

/// Frames in one direction that wait to be taken.
const FRAMES_WAITING: usize = 8;
/// The longest frame. Bytes of commands and logs come in much shorter ones.
pub const FRAME_BYTES: usize = 3 << 20;
/// How long an agent may take to open a channel that it was asked for.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// Of one agent.
const CHANNELS_OF_AGENT: usize = 32;
/// Of one control node.
const CHANNELS_OF_NODE: usize = 512;

/// Why there is no channel to an instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Its session is not here.
    #[error("its agent has no session with this control node")]
    NoSession,
    /// There are enough.
    #[error("{whose} has as many channels as it may have ({most}); close some, or try again later")]
    TooMany {
        /// Who.
        whose: &'static str,
        /// How many those are.
        most: usize,
    },
    /// It was asked and did nothing.
    #[error("its agent did not open a channel within {} s", limit.as_secs())]
    Silent {
        /// For so long.
        limit: Duration,
    },
}

/// How a channel broke off before the agent was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the channel broke off: {reason}")]
pub struct Broken {
    /// What happened.
    pub reason: String,
}

/// What is sent to the agent. Clones send on the same channel.
#[derive(Debug, Clone)]
pub struct ToChannel(mpsc::Sender<ToAgent>);

impl ToChannel {
    /// Waits until there is room. False when the channel is over.
    pub async fn send(&self, frame: ToAgent) -> bool {
        self.0.send(frame).await.is_ok()
    }
}

/// What the agent sends. Dropping it is the end of the channel: the agent is told that nobody is interested any more.
#[derive(Debug)]
pub struct FromChannel {
    frames: mpsc::Receiver<FromAgent>,
    broken: oneshot::Receiver<Broken>,
}

impl FromChannel {
    /// The next frame. `None` after the agent's last one.
    ///
    /// # Errors
    /// The channel broke off. All that came before was received.
    pub async fn next(&mut self) -> Result<Option<FromAgent>, Broken> {
        match self.frames.recv().await {
            Some(frame) => Ok(Some(frame)),
            None => self.broken.try_recv().map_or(Ok(None), Err),
        }
    }
}

/// The other ends: of who carries the frames.
#[derive(Debug)]
pub struct Carrier {
    /// What is to go to the agent. `None`: nothing more will come, but answers are still waited for.
    pub to_agent: mpsc::Receiver<ToAgent>,
    /// What came of it. Closed when nobody is interested any more.
    pub from_agent: mpsc::Sender<FromAgent>,
    /// Told before `from_agent` is dropped, if the channel breaks off.
    pub broken: Verdict,
}

/// Says why a channel broke off.
#[derive(Debug)]
pub struct Verdict(oneshot::Sender<Broken>);

impl Verdict {
    /// It broke off for this reason.
    pub fn tell(self, reason: impl Into<String>) {
        let _nobody_waits = self.0.send(Broken { reason: reason.into() });
    }
}

/// A channel, and who is to carry its frames.
pub fn pair() -> (ToChannel, FromChannel, Carrier) {
    let (to, to_agent) = mpsc::channel(FRAMES_WAITING);
    let (from_agent, frames) = mpsc::channel(FRAMES_WAITING);
    let (broken, told) = oneshot::channel();
    let carrier = Carrier { to_agent, from_agent, broken: Verdict(broken) };
    (ToChannel(to), FromChannel { frames, broken: told }, carrier)
}

/// A channel that an agent was asked for.
struct Awaited {
    instance: ContainerInstanceId,
    epoch: SessionEpoch,
    arrived: oneshot::Sender<Arrived>,
}

/// The agent's call.
struct Arrived {
    inbound: Streaming<wire::ChannelMessage>,
    out: mpsc::Sender<Result<ToAgent, Status>>,
}

/// A session through which channels are opened.
struct Open {
    epoch: SessionEpoch,
    calls: mpsc::Sender<wire::OpenChannel>,
    over: CancellationToken,
    permits: Arc<Semaphore>,
}

/// The channels of one node.
pub(crate) struct Channels {
    sessions: Mutex<BTreeMap<ContainerInstanceId, Open>>,
    awaited: Mutex<BTreeMap<String, Awaited>>,
    permits: Arc<Semaphore>,
}

impl Default for Channels {
    fn default() -> Self {
        let permits = Arc::new(Semaphore::new(CHANNELS_OF_NODE));
        Self { sessions: Mutex::default(), awaited: Mutex::default(), permits }
    }
}

/// A session's part: what the agent is to be asked. Dropping it ends the session's channels.
pub(crate) struct Calls {
    pub(crate) next: mpsc::Receiver<wire::OpenChannel>,
    shared: Arc<Shared>,
    instance: ContainerInstanceId,
    over: CancellationToken,
    epoch: SessionEpoch,
}

impl Calls {
    /// A session is open.
    pub(crate) fn of_session(
        shared: &Arc<Shared>,
        instance: ContainerInstanceId,
        epoch: SessionEpoch,
    ) -> Self {
        let (calls, next) = mpsc::channel(CHANNELS_OF_AGENT);
        let over = shared.closing.child_token();
        let permits = Arc::new(Semaphore::new(CHANNELS_OF_AGENT));
        let open = Open { epoch, calls, over: over.clone(), permits };
        let mut sessions = lock(&shared.channels.sessions);
        if sessions.get(&instance).is_none_or(|known| known.epoch < epoch)
            && let Some(replaced) = sessions.insert(instance, open)
        {
            replaced.over.cancel();
        }
        drop(sessions);
        Self { next, shared: Arc::clone(shared), instance, over, epoch }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.over.cancel();
        let mut sessions = lock(&self.shared.channels.sessions);
        if sessions.get(&self.instance).is_some_and(|open| open.epoch == self.epoch) {
            sessions.remove(&self.instance);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a channel off the list of those that are waited for, when who waits is gone.
struct Waiting<'a> {
    channels: &'a Channels,
    id: String,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.channels.awaited).remove(&self.id);
    }
}

type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// The epoch of the instance's session with this node.
pub(crate) fn held(shared: &Shared, instance: ContainerInstanceId) -> Option<SessionEpoch> {
    lock(&shared.channels.sessions).get(&instance).map(|open| open.epoch)
}

/// Opens a channel to an instance whose session is here.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    instance: ContainerInstanceId,
    purpose: Purpose,
) -> Result<(ToChannel, FromChannel), Unreachable> {
    let opened = try_open(shared, instance, purpose).await;
    let result = match &opened {
        Ok(_) => "ok",
        Err(Unreachable::NoSession) => "no_session",
        Err(Unreachable::TooMany { .. }) => "too_many",
        Err(Unreachable::Silent { .. }) => "silent",
    };
    metrics::counter!("trireme_channels_total", "result" => result).increment(1);
    opened
}

async fn try_open(
    shared: &Arc<Shared>,
    instance: ContainerInstanceId,
    purpose: Purpose,
) -> Result<(ToChannel, FromChannel), Unreachable> {
    let channels = &shared.channels;
    let (epoch, calls, over, of_agent) = {
        let sessions = lock(&channels.sessions);
        let open = sessions.get(&instance).ok_or(Unreachable::NoSession)?;
        (open.epoch, open.calls.clone(), open.over.clone(), Arc::clone(&open.permits))
    };
    let too_many = |whose, most| move |_| Unreachable::TooMany { whose, most };
    let of_agent =
        of_agent.try_acquire_owned().map_err(too_many("the container instance", CHANNELS_OF_AGENT))?;
    let of_node = Arc::clone(&channels.permits).try_acquire_owned();
    let of_node = of_node.map_err(too_many("this control node", CHANNELS_OF_NODE))?;

    let id = format!("{:032x}", rand::random::<u128>());
    let (arrived, arrival) = oneshot::channel();
    lock(&channels.awaited).insert(id.clone(), Awaited { instance, epoch, arrived });
    let _waiting = Waiting { channels, id: id.clone() };
    let call = wire::OpenChannel { channel_id: id, purpose: Some(purpose) };
    // There is room for as many as may be open.
    calls.try_send(call).map_err(|_| Unreachable::NoSession)?;
    let arrived = tokio::select! {
        arrived = timeout(OPEN_LIMIT, arrival) => arrived,
        () = over.cancelled() => return Err(Unreachable::NoSession),
    };
    let Ok(Ok(arrived)) = arrived else { return Err(Unreachable::Silent { limit: OPEN_LIMIT }) };
    let (to, from, carrier) = pair();
    tokio::spawn(carry(arrived, carrier, over, (of_agent, of_node)));
    Ok((to, from))
}

/// An agent's call: it is given to who waits for it. Refuses one that nobody waits for.
pub(crate) async fn arrive(
    shared: &Shared,
    mut inbound: Streaming<wire::ChannelMessage>,
    out: mpsc::Sender<Result<ToAgent, Status>>,
) -> Result<(), Status> {
    let first = timeout(OPEN_LIMIT, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no ChannelOpening in time"))??;
    let Some(wire::ChannelMessage { message: Some(Message::Opening(opening)) }) = first else {
        return Err(Status::invalid_argument("the first message must be ChannelOpening"));
    };
    let unknown = || Status::not_found("nobody waits for this channel");
    let awaited = {
        let mut awaited = lock(&shared.channels.awaited);
        let ours = awaited.get(&opening.channel_id).is_some_and(|awaited| {
            awaited.instance.to_string() == opening.container_instance_id
                && awaited.epoch.get() == opening.epoch
        });
        if ours { awaited.remove(&opening.channel_id) } else { None }
    };
    let awaited = awaited.ok_or_else(unknown)?;
    awaited.arrived.send(Arrived { inbound, out }).map_err(|_| unknown())
}

/// Carries frames in both directions until the agent is done, nobody is interested any more, or the session is over.
async fn carry(arrived: Arrived, carrier: Carrier, over: CancellationToken, permits: Permits) {
    let Arrived { mut inbound, out } = arrived;
    let Carrier { mut to_agent, from_agent, broken } = carrier;
    let nobody = from_agent.clone();
    let mut upward = pin!(async move {
        loop {
            match inbound.message().await {
                Ok(Some(wire::ChannelMessage { message: Some(Message::Frame(frame)) })) => {
                    if wire_bytes(&frame) > FRAME_BYTES {
                        return Some("the agent sent a frame that is too long".to_owned());
                    }
                    if from_agent.send(frame).await.is_err() {
                        return None;
                    }
                }
                Ok(Some(_)) => return Some("the agent sent something that is no frame".to_owned()),
                Ok(None) => return None,
                Err(status) => return Some(format!("the agent is gone: {}", status.message())),
            }
        }
    });
    let mut downward = pin!(async move {
        while let Some(frame) = to_agent.recv().await {
            if out.send(Ok(frame)).await.is_err() {
                // Its last frames may be on their way.
                break;
            }
        }
        // Nothing more to say is not the end: `out` stays open.
        let _open = out;
        pending::<()>().await;
    });
    let end = tokio::select! {
        end = &mut upward => end,
        () = &mut downward => None,
        () = nobody.closed() => None,
        () = over.cancelled() => Some("the agent's session is over".to_owned()),
    };
    if let Some(reason) = end {
        broken.tell(reason);
    }
    drop(permits);
}
