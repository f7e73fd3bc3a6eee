//! Sessions with control nodes, one after the other: dial, say Hello, follow assignments, send heartbeats and reports. When one
//! ends the next control node is tried; the containers do not notice.

pub(crate) mod absence;
mod flush;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use trireme_rpc::agent as wire;
use trireme_rpc::agent::agent_message::Message as FromAgent;
use trireme_rpc::agent::agents_client::AgentsClient;
use trireme_rpc::agent::control_message::Message as ToAgent;
use trireme_types::{GpuId, capability};

use crate::channel::{Asked, Channels};
use crate::clock::{self, Instant};
use crate::control::{Link, Links};
use crate::dial::Dial;
use crate::endpoints;
use crate::error::describe;
use crate::ledger::{Fenced, Ledger};
use crate::logs::store::Store;
use crate::outbox::Outbox;
use crate::runtime::{About, Owner, Runtime, Secret};
use crate::usage::Latest;
use crate::worker::{Inbox, Input};
use crate::{AgentConfig, Error};
use flush::Flush;

const MESSAGE_BYTES: usize = 64 << 20;
/// ECS API: LogDriver, those that Docker sees to, and the agent's own.
const LOG_DRIVERS: [&str; 7] = ["awslogs", "fluentd", "gelf", "journald", "json-file", "splunk", "syslog"];
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Opening a session waits for a leader.
const WELCOME_LIMIT: Duration = Duration::from_secs(4);
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// A control node that does not answer pings for so long is left: a node is lost after five seconds of silence.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const PING_LIMIT: Duration = Duration::from_secs(2);
const OUTBOUND_MESSAGES: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Of one who was told that there are too many.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// A session that lasted so long was a good one.
const GOOD_SESSION: Duration = Duration::from_secs(5);
/// An agent that has not removed by then what it is not to run begins another session: others count from a session's beginning.
const ALONE_LIMIT: Duration = Duration::from_secs(60);
/// How long a forgotten agent waits for its containers to go.
const FORGET_LIMIT: Duration = Duration::from_secs(120);

/// Why a session ended.
enum End {
    /// The agent stops.
    Shutdown,
    /// Anything that another session may cure.
    Lost(String),
    /// The control node has too many agents to see to at the moment.
    Busy(String),
    /// The control plane does not know this agent.
    Unknown,
    /// What the agent says of itself is not allowed.
    Refused(String),
}

fn lost(reason: impl Into<String>) -> End {
    End::Lost(reason.into())
}

/// What outlives sessions.
pub(crate) struct Sessions {
    pub(crate) config: AgentConfig,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// What is kept of logs, if anything is.
    pub(crate) logs: Option<Arc<Store>>,
    pub(crate) about: About,
    /// The machine's GPUs.
    pub(crate) gpus: watch::Receiver<Vec<GpuId>>,
    pub(crate) ledger: Ledger,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) worker: Inbox,
    /// Whether the worker has removed what the last full set does not have.
    pub(crate) alone: watch::Receiver<bool>,
    /// The session's connection, for questions beside it.
    pub(crate) links: Links,
    pub(crate) shutdown: CancellationToken,
    /// After shutdown there is no time left to say so.
    pub(crate) over: CancellationToken,
    /// Who the agent is, for who looks at what its tasks use.
    pub(crate) owned: watch::Sender<Option<Arc<Owner>>>,
    /// What they use.
    pub(crate) usage: Latest,
    /// Whether there was a session since the agent's start.
    pub(crate) welcomed: bool,
}

/// Counts a session while it is held.
struct Connected;

impl Connected {
    fn begin() -> Self {
        metrics::gauge!(crate::CONNECTED).increment(1.0);
        Self
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        metrics::gauge!(crate::CONNECTED).decrement(1.0);
    }
}

impl Sessions {
    /// Holds sessions until shutdown. Otherwise only a deregistration ends it, or, before there ever was a session, that the
    /// control node refuses what it is told, or that the identity cannot be kept.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let (mut turn, mut failures) = (0_usize, 0_u32);
        loop {
            let begun = clock::now();
            let mut busy = false;
            let endpoints = endpoints::in_order(&self.config.endpoints, &self.ledger.entries().control_nodes);
            let endpoint = endpoints[turn % endpoints.len()].clone();
            let end = self.hold(&endpoint).await?;
            self.outbox.rewind();
            match end {
                End::Shutdown => return Ok(()),
                End::Lost(reason) => tracing::warn!(endpoint, reason, "session over"),
                End::Busy(reason) => {
                    busy = true;
                    tracing::info!(endpoint, reason, "again soon");
                }
                End::Unknown => {
                    let instance = self.ledger.entries().instance.clone();
                    self.leave().await?;
                    return Err(Error::Deregistered { instance });
                }
                End::Refused(reason) if !self.welcomed => return Err(Error::Refused { reason }),
                // It was good enough once: another control node may take it, and meanwhile its containers are looked after.
                End::Refused(reason) => tracing::error!(endpoint, reason, "refused"),
            }
            failures = if begun.elapsed() > GOOD_SESSION { 0 } else { failures.saturating_add(1) };
            turn = turn.wrapping_add(1);
            if self.is_done() {
                return Ok(());
            }
            // The first round over the control nodes is quick: one of them may just have died.
            let rounds = failures / u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
            let first = if busy { BUSY_PAUSE } else { FIRST_PAUSE };
            let longest = (first * 2_u32.saturating_pow(rounds.min(8))).min(LONGEST_PAUSE);
            tokio::select! {
                () = tokio::time::sleep(longest.mul_f64(rand::random_range(0.5..1.0))) => {}
                () = self.done() => return Ok(()),
            }
        }
    }

    async fn hold(&mut self, endpoint: &str) -> Result<End, Error> {
        self.gpus.mark_unchanged();
        let opened = tokio::select! {
            opened = timeout(WELCOME_LIMIT, self.open(endpoint)) => opened,
            () = self.done() => return Ok(End::Shutdown),
        };
        let (mut stream, welcome) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(end)) => return Ok(end),
            Err(_) => return Ok(lost("no welcome in time")),
        };
        let known = self.ledger.entries();
        if !known.instance.is_empty() && known.cluster_uuid != welcome.cluster_uuid {
            return Ok(lost("this agent's data folder belongs to another control plane"));
        }
        let incarnation = welcome.incarnation.max(1);
        if incarnation < known.incarnation {
            let fenced = Fenced::EarlierIncarnation { incarnation, known: known.incarnation };
            return Ok(lost(fenced.to_string()));
        }
        self.ledger.identify(&welcome.container_instance_id, &welcome.cluster_uuid, incarnation)?;
        let owner = Arc::new(self.owner());
        if self.introduce().await.is_none() {
            return Ok(End::Shutdown);
        }
        tracing::info!(endpoint, instance = welcome.container_instance_id, epoch = welcome.epoch, "session");
        stream.epoch = welcome.epoch;
        self.welcomed = true;
        let _connected = Connected::begin();
        self.links.send_replace(Some(Link {
            client: stream.client.clone(),
            instance: welcome.container_instance_id.clone(),
            epoch: welcome.epoch,
        }));
        let heartbeat = Duration::from_millis(welcome.heartbeat_interval_ms.clamp(50, 10_000).into());
        let asked = Asked {
            runtime: Arc::clone(&self.runtime),
            logs: self.logs.clone(),
            dial: Arc::clone(&self.dial),
            owner,
            endpoint: endpoint.to_owned(),
            epoch: welcome.epoch,
        };
        let end = self.follow(stream, heartbeat, Channels::new(asked)).await;
        self.links.send_replace(None);
        Ok(end)
    }

    /// Tells the worker who it is, if that is known, if only from a former life: it sees to its containers before any session.
    pub(crate) async fn introduce(&self) -> Option<()> {
        if self.ledger.entries().instance.is_empty() {
            return Some(());
        }
        let owner = Arc::new(self.owner());
        self.owned.send_replace(Some(Arc::clone(&owner)));
        self.tell(Input::Identity(owner)).await
    }

    /// This agent's labels.
    fn owner(&self) -> Owner {
        let known = self.ledger.entries();
        Owner {
            instance: known.instance.clone(),
            cluster_uuid: known.cluster_uuid.clone(),
            name: self.config.name.clone(),
            secret: Secret(known.registration_token.clone()),
        }
    }

    async fn open(&self, endpoint: &str) -> Result<(Stream, wire::Welcome), End> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| lost(error.to_string()))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_LIMIT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_LIMIT)
            .keep_alive_while_idle(true);
        let channel = self.dial.dial(endpoint).await.map_err(|error| lost(describe(&error)))?;
        let mut client = AgentsClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let (out, receiver) = mpsc::channel(OUTBOUND_MESSAGES);
        let mut stream = Stream { client: client.clone(), out, inbound: None, epoch: 0 };
        stream.send(FromAgent::Hello(self.hello())).await?;
        let answer = client.session(ReceiverStream::new(receiver)).await;
        let mut inbound = answer.map_err(|status| refusal(&status))?.into_inner();
        match inbound.message().await {
            Ok(Some(wire::ControlMessage { message: Some(ToAgent::Welcome(welcome)) })) => {
                stream.inbound = Some(inbound);
                Ok((stream, welcome))
            }
            Ok(Some(wire::ControlMessage { message: Some(ToAgent::Goodbye(goodbye)) })) => {
                Err(end_of(goodbye))
            }
            Ok(_) => Err(lost("the control node did not say welcome")),
            Err(status) => Err(refusal(&status)),
        }
    }

    fn hello(&self) -> wire::Hello {
        let known = self.ledger.entries();
        let mut attributes = self.config.attributes.clone();
        attributes.extend(self.config.pool.iter().map(|pool| (capability::POOL.to_owned(), pool.clone())));
        let machine = [
            (capability::AVAILABILITY_ZONE, self.config.zone.as_str()),
            (capability::OS_TYPE, std::env::consts::OS),
            (capability::CPU_ARCHITECTURE, capability::cpu_architecture()),
        ];
        for (name, value) in machine {
            attributes.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        for name in self.capabilities() {
            attributes.entry(name).or_default();
        }
        let gpus = trireme_types::gpu::list(&self.gpus.borrow());
        if !gpus.is_empty() {
            attributes.insert(capability::GPUS.to_owned(), gpus);
        }
        let offer = self.config.offer();
        let port = |port: &u16| wire::HostPort { port: u32::from(*port), udp: false };
        wire::Hello {
            container_instance_id: known.instance.clone(),
            cluster_uuid: known.cluster_uuid.clone(),
            account: self.config.account.clone(),
            region: self.config.region.clone(),
            cluster: self.config.cluster.clone(),
            name: self.config.name.clone(),
            zone: self.config.zone.clone(),
            cpu_units: offer.cpu_units,
            memory_mib: offer.memory_mib,
            reserved_ports: self.config.reserved_ports.iter().map(port).collect(),
            attributes: attributes.into_iter().collect(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            docker_version: self.about.version.clone(),
            registration_token: known.registration_token.clone(),
            incarnation: known.incarnation,
        }
    }

    /// What this agent can do: what all can, what its runtime has, and what its operator allows.
    fn capabilities(&self) -> impl Iterator<Item = String> {
        let allowed = [
            (capability::PRIVILEGED, self.config.allow.privileged),
            (capability::HOST_DEVICES, self.config.allow.host_devices),
            (capability::HOST_PATHS, self.config.allow.host_paths),
            (capability::HOST_NAMESPACES, self.config.allow.host_namespaces),
            (capability::ENVIRONMENT_FILES, self.config.object_dir.is_some()),
            (capability::STORAGE_LIMIT, self.about.limits_storage),
        ];
        let allowed = allowed.into_iter().filter(|(_, allowed)| *allowed).map(|(name, _)| name.to_owned());
        let known = |driver: &&String| LOG_DRIVERS.contains(&driver.as_str());
        let drivers = self.about.log_drivers.iter().filter(known);
        let drivers = drivers.map(|driver| format!("{}{driver}", capability::LOG_DRIVER));
        let volumes = self.about.volume_drivers.iter();
        let volumes = volumes.map(|driver| capability::of_volume_driver(driver));
        let security = self.about.security_modules.iter();
        let security = security.map(|module| format!("{}{module}", capability::SECURITY));
        let settings = capability::SETTINGS.into_iter().chain(capability::TASK_SETTINGS);
        let settings = settings.map(capability::of_setting);
        let shares = |name: &&str| ![capability::TASK_ENI, capability::SHARED_NAMESPACES].contains(name);
        let all =
            capability::OF_AGENT.into_iter().filter(move |name| self.about.holds_namespaces || shares(name));
        let all = all.map(str::to_owned).chain(settings);
        // A task that logs to FireLens is placed, and says then why it cannot run.
        let firelens = format!("{}awsfirelens", capability::LOG_DRIVER);
        all.chain(drivers).chain(volumes).chain(security).chain(allowed).chain([firelens])
    }

    async fn tell(&self, input: Input) -> Option<()> {
        self.worker.send(input).await.ok()
    }

    async fn follow(&mut self, mut stream: Stream, heartbeat: Duration, mut channels: Channels) -> End {
        let Some(mut inbound) = stream.inbound.take() else { return lost("no stream") };
        let mut beats = tokio::time::interval(heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flush = Flush::default();
        let (mut usage, mut gpus) = (self.usage.clone(), self.gpus.clone());
        let shutdown = self.shutdown.clone();
        let mut alone_by = Some(clock::now() + ALONE_LIMIT);
        let used = self.usage.borrow().clone();
        for before in used.tell_before(stream.epoch) {
            if let Err(end) = stream.send(FromAgent::Usage(before)).await {
                return end;
            }
        }
        loop {
            let due = flush.due(&self.outbox);
            let result = tokio::select! {
                message = inbound.message() => match message {
                    Ok(Some(wire::ControlMessage { message: Some(ToAgent::OpenChannel(call)) })) => {
                        channels.open(call);
                        Ok(())
                    }
                    Ok(Some(message)) => self.hear(&stream, message).await,
                    Ok(None) => Err(lost("the control node closed the stream")),
                    Err(status) => Err(lost(status.message())),
                },
                _ = beats.tick() => {
                    let heartbeat = wire::Heartbeat { epoch: stream.epoch };
                    stream.send(FromAgent::Heartbeat(heartbeat)).await
                }
                Ok(()) = usage.changed() => {
                    let told = usage.borrow_and_update().tell(stream.epoch);
                    stream.send(FromAgent::Usage(told)).await
                }
                // What a machine has is said once in a session.
                Ok(()) = gpus.changed() => Err(lost("there are more GPUs")),
                () = at(alone_by) => match *self.alone.borrow() {
                    true => { alone_by = None; Ok(()) }
                    false => Err(lost("containers that are not to run are still here")),
                },
                () = self.outbox.filled() => Ok(()),
                () = at(due) => flush.send(&self.outbox, &stream).await,
                () = shutdown.cancelled() => {
                    return self.announce(&stream, &mut inbound, &mut flush).await;
                }
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    async fn hear(&mut self, stream: &Stream, message: wire::ControlMessage) -> Result<(), End> {
        let told = match message.message {
            Some(ToAgent::Assignments(assignments)) => return self.assigned(stream, assignments).await,
            Some(ToAgent::StatusAck(ack)) => {
                let stopped = self.outbox.acknowledge(ack.batch);
                if stopped.is_empty() { Some(()) } else { self.tell(Input::Acknowledged(stopped)).await }
            }
            Some(ToAgent::Goodbye(goodbye)) => return Err(end_of(goodbye)),
            Some(ToAgent::ControlNodes(nodes)) => {
                let usable = endpoints::usable(nodes.addresses);
                if !usable.is_empty() {
                    self.ledger.remember(usable);
                }
                Some(())
            }
            Some(ToAgent::Welcome(_) | ToAgent::OpenChannel(_)) | None => Some(()),
        };
        told.ok_or(End::Shutdown)
    }

    async fn assigned(&mut self, stream: &Stream, assignments: wire::Assignments) -> Result<(), End> {
        let (sequence, epoch) = (assignments.sequence, assignments.epoch);
        if epoch != stream.epoch {
            return Err(lost("assignments of another session"));
        }
        let incarnation = assignments.incarnation.max(1);
        if let Err(fenced) = self.ledger.accept(&assignments.cluster_uuid, incarnation, sequence, epoch) {
            return Err(lost(fenced.to_string()));
        }
        if self.tell(Input::Assignments(assignments)).await.is_none() {
            return Err(End::Shutdown);
        }
        stream.send(FromAgent::Ack(wire::AssignmentsAck { sequence, epoch })).await
    }

    /// The control plane does not know the agent: removes what the former registration ran. Registering again is its operator's decision, as with ECS's agent: else
    /// DeregisterContainerInstance would have no effect.
    async fn leave(&mut self) -> Result<(), Error> {
        let (done, gone) = oneshot::channel();
        if self.tell(Input::Forget(done)).await.is_some() && timeout(FORGET_LIMIT, gone).await.is_err() {
            tracing::error!("containers of the former registration are still there");
        }
        self.outbox.retain(|_| false);
        self.ledger.forget()
    }
}

struct Stream {
    client: AgentsClient<Channel>,
    out: mpsc::Sender<wire::AgentMessage>,
    inbound: Option<Streaming<wire::ControlMessage>>,
    epoch: u64,
}

impl Stream {
    async fn send(&self, message: FromAgent) -> Result<(), End> {
        let message = wire::AgentMessage { message: Some(message) };
        match timeout(SEND_LIMIT, self.out.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(lost("the control node does not read")),
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn end_of(goodbye: wire::Goodbye) -> End {
    if goodbye.unknown_instance { End::Unknown } else { lost(goodbye.reason) }
}

/// What a status in place of a welcome means.
fn refusal(status: &Status) -> End {
    match status.code() {
        Code::ResourceExhausted => End::Busy(status.message().to_owned()),
        Code::InvalidArgument => End::Refused(status.message().to_owned()),
        _ => lost(status.message()),
    }
}
