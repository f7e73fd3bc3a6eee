//! Channels that a control node asks for: each on a connection of its own, so that a reader that does not read holds up nothing
//! else. They end with the session, and with the interest of who asked.

mod exec;
mod logs;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;
use trireme_rpc::agent as wire;
use trireme_rpc::agent::agents_client::AgentsClient;
use trireme_rpc::agent::channel_message::Message;
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::purpose::Purpose;
use trireme_rpc::channel::{FromAgent, Refusal, ToAgent};

use crate::dial::Dial;
use crate::logs::store::Store;
use crate::runtime::inside::{Denied, Member};
use crate::runtime::{Owner, Runtime};

/// Channels at once.
const CHANNELS: usize = 32;
/// Frames that wait to be sent.
const FRAMES_WAITING: usize = 4;
/// Bytes in a frame.
const FRAME_BYTES: usize = 64 << 10;
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// A control node that does not answer pings for so long is gone.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_LIMIT: Duration = Duration::from_secs(5);

/// What a session's channels need.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) runtime: Arc<dyn Runtime>,
    /// What is kept of logs, if anything is.
    pub(crate) logs: Option<Arc<Store>>,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) owner: Arc<Owner>,
    /// The control node of the session.
    pub(crate) endpoint: String,
    pub(crate) epoch: u64,
}

/// The channels of one session. Dropping it ends them.
pub(crate) struct Channels {
    asked: Asked,
    permits: Arc<Semaphore>,
    open: JoinSet<()>,
}

/// Where frames are sent.
pub(crate) struct Out(mpsc::Sender<wire::ChannelMessage>);

impl Out {
    /// Waits until there is room. `None` when nobody is interested any more.
    pub(crate) async fn send(&self, frame: Frame) -> Option<()> {
        let message = Message::Frame(FromAgent { frame: Some(frame) });
        self.0.send(wire::ChannelMessage { message: Some(message) }).await.ok()
    }

    /// Returns when nobody is interested any more.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Channels {
    pub(crate) fn new(asked: Asked) -> Self {
        Self { asked, permits: Arc::new(Semaphore::new(CHANNELS)), open: JoinSet::new() }
    }

    /// Opens a channel that the control node asks for.
    pub(crate) fn open(&mut self, call: wire::OpenChannel) {
        while self.open.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            tracing::warn!("the control node asks for more channels than an agent has");
            return;
        };
        self.open.spawn(serve(self.asked.clone(), call, permit));
    }
}

async fn serve(asked: Asked, call: wire::OpenChannel, permit: OwnedSemaphorePermit) {
    let purpose = call.purpose.and_then(|purpose| purpose.purpose);
    match attach(&asked, call.channel_id).await {
        Ok((out, inbound)) => carry_out(&asked, purpose, out, inbound).await,
        Err(error) => tracing::info!(error, "a channel was not opened"),
    }
    drop(permit);
}

/// Dials the control node of the session, and names the channel.
async fn attach(asked: &Asked, channel_id: String) -> Result<(Out, Streaming<ToAgent>), String> {
    let endpoint = Endpoint::from_shared(asked.endpoint.clone()).map_err(|error| error.to_string())?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_LIMIT)
        .keep_alive_while_idle(true);
    let connection = asked.dial.dial(endpoint).await.map_err(|error| crate::error::describe(&error))?;
    let (out, frames) = mpsc::channel(FRAMES_WAITING);
    let opening = wire::ChannelOpening {
        channel_id,
        container_instance_id: asked.owner.instance.clone(),
        epoch: asked.epoch,
    };
    let opening = wire::ChannelMessage { message: Some(Message::Opening(opening)) };
    out.try_send(opening).map_err(|error| error.to_string())?;
    let mut client = AgentsClient::new(connection);
    let answer = timeout(CONNECT_LIMIT, client.channel(ReceiverStream::new(frames))).await;
    let answer = answer.map_err(|_| "no answer in time".to_owned())?;
    let inbound = answer.map_err(|status| status.message().to_owned())?.into_inner();
    Ok((Out(out), inbound))
}

async fn carry_out(asked: &Asked, purpose: Option<Purpose>, out: Out, mut inbound: Streaming<ToAgent>) {
    let done = match purpose {
        Some(Purpose::Exec(exec)) => exec::run(asked, exec, &out, &mut inbound).await,
        Some(Purpose::Logs(logs)) => logs::run(asked, logs, &out, &mut inbound).await,
        Some(Purpose::StoredLogs(_)) => stored::run(asked, &out, &mut inbound).await,
        None => {
            Err(Denied::because("this agent does not know what is asked of it; it may have to be updated"))
        }
    };
    if let Err(denied) = done {
        let _nobody_reads = out.send(Frame::Refusal(Refusal { reason: denied.reason })).await;
    }
    drop(out);
    // Letting go of the call would throw away what is on its way. The control node ends it when it has all.
    while let Ok(Some(_)) = inbound.message().await {}
}

/// The container that is meant.
fn member(asked: &Asked, task: &str, container: String) -> Result<Member, Denied> {
    let task = task.parse().map_err(|_| Denied::because(format!("{task} is no task's id")))?;
    Ok(Member { owner: Arc::clone(&asked.owner), task, container })
}
