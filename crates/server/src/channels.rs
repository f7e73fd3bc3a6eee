//! Channels to agents from whichever control node is asked. An agent has its session with one of them: that one is looked for
//! among all, and the channel goes through it.

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};
use trireme_dispatcher::channel::{Carrier, pair};
use trireme_dispatcher::{Dispatcher, FromChannel, ToChannel, Unreachable};
use trireme_raft::Node;
use trireme_rpc::channel::channels_server::Channels as Service;
use trireme_rpc::channel::join_message::Message;
use trireme_rpc::channel::{
    FromAgent, HoldsRequest, HoldsResponse, JoinMessage, Joining, Purpose, ToAgent, purpose,
};
use trireme_state::store::Store;
use trireme_types::{ContainerInstanceId, SessionEpoch};

/// One control node has so long to say whether it has a session.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// An agent whose session is looked for may be on its way from one control node to another.
const FIND_LIMIT: Duration = Duration::from_secs(4);
const FIND_PAUSE: Duration = Duration::from_millis(200);
/// Opening a channel, with the agent's part in it.
const JOIN_LIMIT: Duration = Duration::from_secs(7);
const FIRST_LIMIT: Duration = Duration::from_secs(5);
const FRAMES_WAITING: usize = 4;

/// An instance to which there is no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("container instance {name} cannot be reached: {reason}")]
pub(crate) struct NoChannel {
    /// Its name, or its id when that is not known.
    pub(crate) name: String,
    /// Why.
    pub(crate) reason: String,
}

/// Opens channels to agents, from this control node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Channels {
    pub(crate) node: Node,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) stop: CancellationToken,
}

/// Who has an instance's session.
enum Holder {
    Here,
    /// The control node at this address.
    There(String),
}

/// Why a try failed.
enum Failed {
    /// The session may be elsewhere by now.
    Moved(String),
    For(String),
}

impl Channels {
    /// Opens a channel to an instance, wherever its agent's session is.
    ///
    /// # Errors
    /// No control node that answers has its session, or its agent does not open the channel. What it was for was not begun.
    pub(crate) async fn open(
        &self,
        instance: ContainerInstanceId,
        purpose: purpose::Purpose,
    ) -> Result<(ToChannel, FromChannel), NoChannel> {
        let purpose = Purpose { purpose: Some(purpose) };
        let deadline = Instant::now() + FIND_LIMIT;
        loop {
            let failed = match self.find(instance).await {
                Ok(Holder::Here) => match self.dispatcher.open(instance, purpose.clone()).await {
                    Ok(channel) => return Ok(channel),
                    Err(error @ Unreachable::NoSession) => Failed::Moved(error.to_string()),
                    Err(error) => Failed::For(error.to_string()),
                },
                Ok(Holder::There(address)) => match self.join(&address, instance, purpose.clone()).await {
                    Ok(channel) => return Ok(channel),
                    Err(failed) => failed,
                },
                Err(reason) => Failed::Moved(reason),
            };
            let (reason, over) = match failed {
                Failed::For(reason) => (reason, true),
                Failed::Moved(reason) => (reason, Instant::now() >= deadline),
            };
            let view = self.node.store().view();
            let known = view.instance(instance);
            let name = known.map_or_else(|| instance.to_string(), |known| known.registration.name.clone());
            if known.is_none_or(|known| !known.connected) {
                let reason = "its agent is lost, or it was deregistered".to_owned();
                return Err(NoChannel { name, reason });
            }
            if over {
                return Err(NoChannel { name, reason });
            }
            drop(view);
            tokio::time::sleep(FIND_PAUSE).await;
        }
    }

    /// Asks all control nodes at once who has the session; the newest one counts.
    async fn find(&self, instance: ContainerInstanceId) -> Result<Holder, String> {
        let own = self.dispatcher.session_of(instance);
        let known = self.node.store().view().instance(instance).map(|known| known.epoch);
        if own.is_some() && own >= known {
            return Ok(Holder::Here);
        }
        let status = self.node.status();
        let members = status.members.into_iter().filter_map(|member| member.member);
        let others = members.filter(|member| member.id != status.node_id);
        let answers = join_all(others.map(|member| self.ask(member.peer_address, instance))).await;
        let here = own.map(|epoch| (epoch, Holder::Here));
        let mut silent = Vec::new();
        let mut newest: Option<(SessionEpoch, Holder)> = here;
        for (address, answer) in answers {
            match answer {
                Ok(Some(epoch)) if newest.as_ref().is_none_or(|(known, _)| epoch > *known) => {
                    newest = Some((epoch, Holder::There(address)));
                }
                Ok(_) => {}
                Err(reason) => silent.push(format!("{address}: {reason}")),
            }
        }
        newest.map(|(_, holder)| holder).ok_or_else(|| match silent.is_empty() {
            true => "its agent has a session with no control node".to_owned(),
            false => format!("no control node that answers has its session ({})", silent.join(", ")),
        })
    }

    async fn ask(
        &self,
        address: String,
        instance: ContainerInstanceId,
    ) -> (String, Result<Option<SessionEpoch>, String>) {
        let peers = self.node.peers();
        let answer = async {
            let mut client = peers.channels(&address).map_err(|error| error.to_string())?;
            let request =
                HoldsRequest { cluster_id: peers.life(), container_instance_id: instance.to_string() };
            let answered = timeout(ASK_LIMIT, client.holds(request)).await;
            match answered.map_err(|_| "no answer in time".to_owned())? {
                Ok(held) => Ok(held.into_inner().epoch.map(SessionEpoch::new)),
                Err(status) => {
                    peers.note(&status);
                    Err(status.message().to_owned())
                }
            }
        };
        let answer = answer.await;
        (address, answer)
    }

    /// A channel through another control node.
    async fn join(
        &self,
        address: &str,
        instance: ContainerInstanceId,
        purpose: Purpose,
    ) -> Result<(ToChannel, FromChannel), Failed> {
        let peers = self.node.peers();
        let failed = |reason: String| Failed::For(format!("{address}: {reason}"));
        let mut client = peers.channels_apart(address).map_err(|error| failed(error.to_string()))?;
        let (out, messages) = mpsc::channel(FRAMES_WAITING);
        let joining = Joining {
            cluster_id: peers.life(),
            container_instance_id: instance.to_string(),
            purpose: Some(purpose),
        };
        let joining = JoinMessage { message: Some(Message::Joining(joining)) };
        out.try_send(joining).map_err(|error| failed(error.to_string()))?;
        let answered = timeout(JOIN_LIMIT, client.join(ReceiverStream::new(messages))).await;
        match answered.map_err(|_| failed("no answer in time".to_owned()))? {
            Ok(response) => {
                let (to, from, carrier) = pair();
                tokio::spawn(carry(response.into_inner(), out, carrier));
                Ok((to, from))
            }
            Err(status) if status.code() == Code::NotFound => Err(Failed::Moved(status.message().to_owned())),
            Err(status) => {
                peers.note(&status);
                Err(failed(status.message().to_owned()))
            }
        }
    }
}

/// Carries the frames of a channel through another control node, until it is over or nobody is interested any more.
async fn carry(mut inbound: Streaming<FromAgent>, out: mpsc::Sender<JoinMessage>, carrier: Carrier) {
    let Carrier { mut to_agent, from_agent, broken } = carrier;
    let nobody = from_agent.clone();
    let mut upward = pin!(async move {
        loop {
            match inbound.message().await {
                Ok(Some(frame)) => {
                    if from_agent.send(frame).await.is_err() {
                        return None;
                    }
                }
                Ok(None) => return None,
                Err(status) => return Some(status.message().to_owned()),
            }
        }
    });
    let mut downward = pin!(async move {
        while let Some(frame) = to_agent.recv().await {
            if out.send(JoinMessage { message: Some(Message::Frame(frame)) }).await.is_err() {
                break;
            }
        }
        let _open = out;
        std::future::pending::<()>().await;
    });
    let end = tokio::select! {
        end = &mut upward => end,
        () = &mut downward => None,
        () = nobody.closed() => None,
    };
    if let Some(reason) = end {
        broken.tell(reason);
    }
}

#[tonic::async_trait]
impl Service for Channels {
    async fn holds(&self, request: Request<HoldsRequest>) -> Result<Response<HoldsResponse>, Status> {
        let request = request.into_inner();
        self.node.peers().check(&request.cluster_id)?;
        let instance = instance(&request.container_instance_id)?;
        let epoch = self.dispatcher.session_of(instance).map(SessionEpoch::get);
        Ok(Response::new(HoldsResponse { epoch }))
    }

    type JoinStream = Pin<Box<dyn Stream<Item = Result<FromAgent, Status>> + Send>>;

    async fn join(
        &self,
        request: Request<Streaming<JoinMessage>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let mut inbound = request.into_inner();
        let first = timeout(FIRST_LIMIT, inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("nothing was said in time"))??;
        let Some(JoinMessage { message: Some(Message::Joining(joining)) }) = first else {
            return Err(Status::invalid_argument("the first message must be Joining"));
        };
        self.node.peers().check(&joining.cluster_id)?;
        let instance = instance(&joining.container_instance_id)?;
        let purpose = joining.purpose.unwrap_or_default();
        let (to, from) = self.dispatcher.open(instance, purpose).await.map_err(|error| match error {
            Unreachable::NoSession => Status::not_found(error.to_string()),
            Unreachable::TooMany { .. } => Status::resource_exhausted(error.to_string()),
            Unreachable::Silent { .. } => Status::unavailable(error.to_string()),
        })?;
        let (sender, frames) = mpsc::channel(FRAMES_WAITING);
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(pass_on(inbound, to, from, sender)));
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }
}

fn instance(text: &str) -> Result<ContainerInstanceId, Status> {
    text.parse().map_err(|_| Status::invalid_argument("it is no container instance's id"))
}

/// Passes frames on for another control node, until the channel is over or that node's interest ends.
async fn pass_on(
    mut inbound: Streaming<JoinMessage>,
    to: ToChannel,
    mut from: FromChannel,
    sender: mpsc::Sender<Result<FromAgent, Status>>,
) {
    let upward = async {
        loop {
            let frame = match from.next().await {
                Ok(Some(frame)) => Ok(frame),
                Ok(None) => return,
                Err(broken) => Err(Status::aborted(broken.reason)),
            };
            let last = frame.is_err();
            if sender.send(frame).await.is_err() || last {
                return;
            }
        }
    };
    let downward = async {
        while let Ok(Some(message)) = inbound.message().await {
            if let Some(Message::Frame(frame)) = message.message {
                send(&to, frame).await;
            }
        }
    };
    tokio::select! {
        () = upward => {}
        () = downward => {}
        () = sender.closed() => {}
    }
}

/// What comes for a channel that is over is too late.
async fn send(to: &ToChannel, frame: ToAgent) {
    let _in_time = to.send(frame).await;
}
