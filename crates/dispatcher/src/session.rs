//! One agent's session: its stream under one epoch, from Hello to Goodbye.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};
use tonic::{Status, Streaming};
use trireme_rpc::agent as wire;
use trireme_rpc::agent::agent_message::Message as FromAgent;
use trireme_rpc::agent::control_message::Message as ToAgent;
use trireme_rpc::convert::wire_bytes;
use trireme_state::command::IdempotencyKey;
use trireme_state::object::InstanceRegistration;
use trireme_state::store::ProposeError;
use trireme_state::{Actor, Command, Outcome, Proposal, Rejection};
use trireme_types::{ClusterUuid, ContainerInstanceId, SessionEpoch};

use crate::assignment::Assignment;
use crate::channel::Calls;
use crate::status::{BATCHES_WAITING, Held, Pump, Word};
use crate::{Shared, clock, convert, request_id};

/// The first message must come within this time.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// How long opening a session may wait for a leader. A node is lost after five seconds of silence: there must be time for
/// another control node.
const OPEN_LIMIT: Duration = Duration::from_secs(2);
const OPEN_PAUSE: Duration = Duration::from_millis(50);
/// An agent that does not read for so long has lost its session.
const SEND_LIMIT: Duration = Duration::from_secs(5);

type Outbound = mpsc::Sender<Result<wire::ControlMessage, Status>>;

/// Why a session ends, as the agent is told.
pub(crate) struct Goodbye {
    reason: String,
    unknown_instance: bool,
    absence_noted: bool,
}

impl Goodbye {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), unknown_instance: false, absence_noted: false }
    }

    pub(crate) fn epoch_over() -> Self {
        Self::because("the session's epoch is over")
    }

    pub(crate) fn unknown_instance() -> Self {
        let reason = "this container instance is not registered".to_owned();
        Self { unknown_instance: true, ..Self::because(reason) }
    }

    /// The answer to an agent that goes away for a while.
    pub(crate) fn until_later() -> Self {
        Self { absence_noted: true, ..Self::because("the absence is noted") }
    }
}

/// Serves one agent until its stream or its epoch ends.
pub(crate) async fn serve(shared: Arc<Shared>, mut inbound: Streaming<wire::AgentMessage>, out: Outbound) {
    let (instance, epoch) = match open(&shared, &mut inbound).await {
        Ok(opened) => opened,
        Err(Refused::Status(status)) => {
            tracing::info!(reason = status.message(), "a session was refused");
            let _ = out.send(Err(status)).await;
            return;
        }
        Err(Refused::Goodbye(goodbye)) => {
            say_goodbye(&out, goodbye).await;
            return;
        }
    };
    let wake = shared.sessions.add(instance, epoch);
    tracing::info!(%instance, %epoch, "session opened");
    let session = Session::start(&shared, instance, epoch, out.clone());
    let end = session.run(&mut inbound, &wake).await;
    shared.sessions.remove(instance, &wake);
    match end {
        Some(goodbye) => {
            tracing::info!(%instance, %epoch, reason = %goodbye.reason, "session closed");
            say_goodbye(&out, goodbye).await;
        }
        None => tracing::info!(%instance, %epoch, "the agent is gone"),
    }
}

async fn say_goodbye(out: &Outbound, goodbye: Goodbye) {
    let Goodbye { reason, unknown_instance, absence_noted } = goodbye;
    let message = wire::Goodbye { reason, unknown_instance, absence_noted };
    let _ = send(out, ToAgent::Goodbye(message)).await;
}

/// `None` when the agent is gone or does not read.
async fn send(out: &Outbound, message: ToAgent) -> Option<()> {
    let message = wire::ControlMessage { message: Some(message) };
    timeout(SEND_LIMIT, out.send(Ok(message))).await.ok()?.ok()
}

enum Refused {
    Status(Status),
    Goodbye(Goodbye),
}

impl From<crate::Error> for Refused {
    fn from(error: crate::Error) -> Self {
        Self::Status(Status::invalid_argument(error.describe()))
    }
}

async fn open(
    shared: &Shared,
    inbound: &mut Streaming<wire::AgentMessage>,
) -> Result<(ContainerInstanceId, SessionEpoch), Refused> {
    let first = timeout(HELLO_LIMIT, inbound.message()).await;
    let first = first.map_err(|_| Refused::Status(Status::deadline_exceeded("no Hello in time")))?;
    let Ok(Some(wire::AgentMessage { message: Some(FromAgent::Hello(hello)) })) = first else {
        return Err(Refused::Status(Status::invalid_argument("the first message must be Hello")));
    };
    let known: Option<ContainerInstanceId> =
        convert::optional_id("container instance id", &hello.container_instance_id)?;
    let cluster: Option<ClusterUuid> = convert::optional_id("cluster uuid", &hello.cluster_uuid)?;
    if cluster.is_some_and(|cluster| cluster != shared.config.cluster_uuid) {
        let message = "this agent's data folder belongs to another control plane";
        return Err(Refused::Status(Status::failed_precondition(message)));
    }
    let (own, seen) = (shared.config.incarnation, hello.incarnation);
    if seen > own {
        tracing::error!(own, seen, instance = ?known, "an agent has seen a later incarnation of this cluster");
        if let (Some(_), Some(instance)) = (cluster, known)
            && let Some(believed) = shared.later.note(&shared.store.view(), instance, seen)
        {
            shared.config.later_incarnation.send_if_modified(|later| {
                let higher = believed > *later;
                *later = believed.max(*later);
                higher
            });
        }
        let message = format!(
            "this control node is of incarnation {own} of its cluster, and the agent belongs to incarnation {seen}: the cluster \
             was restored, and this node is to be removed"
        );
        return Err(Refused::Status(Status::failed_precondition(message)));
    }
    let token: Option<ClusterUuid> = convert::optional_id("registration token", &hello.registration_token)?;
    if let Some(known) = known.and_then(|id| shared.store.view().instance(id).cloned()) {
        shared.heartbeats.record(known.id, known.epoch);
    }
    let Some(_turn) = shared.openings.take().await else {
        crate::count_shed("openings");
        return Err(Refused::Status(Status::resource_exhausted(
            "too many agents open sessions; try again soon",
        )));
    };
    let opening = Opening { shared, known, token, registration: convert::registration(hello)? };
    timeout(OPEN_LIMIT, opening.run())
        .await
        .unwrap_or_else(|_| Err(Refused::Status(Status::unavailable("no leader opened the session in time"))))
}

struct Opening<'a> {
    shared: &'a Shared,
    known: Option<ContainerInstanceId>,
    token: Option<ClusterUuid>,
    registration: InstanceRegistration,
}

impl Opening<'_> {
    async fn run(mut self) -> Result<(ContainerInstanceId, SessionEpoch), Refused> {
        loop {
            let (instance, epoch) = self.propose().await?;
            let view = self.shared.store.view();
            if view.instance(instance).is_some_and(|known| known.epoch == epoch) {
                return Ok((instance, epoch));
            }
            // The answer to a repeated registration: meanwhile that session is over.
            self.known = Some(instance);
        }
    }

    async fn propose(&self) -> Result<(ContainerInstanceId, SessionEpoch), Refused> {
        let proposal = self.proposal();
        loop {
            match self.shared.store.propose(proposal.clone()).await {
                Ok(committed) => match committed.outcome {
                    Outcome::Session { instance, epoch } => return Ok((instance, epoch)),
                    _ => {
                        return Err(Refused::Status(Status::internal(
                            "the state answered with another outcome",
                        )));
                    }
                },
                Err(ProposeError::Rejected(Rejection::ContainerInstanceNotFound)) => {
                    return Err(Refused::Goodbye(Goodbye::unknown_instance()));
                }
                Err(ProposeError::Rejected(rejection)) => {
                    return Err(Refused::Status(Status::failed_precondition(rejection.to_string())));
                }
                Err(ProposeError::Unknown { .. } | ProposeError::Unavailable { .. }) => {
                    tokio::time::sleep(OPEN_PAUSE).await;
                }
            }
        }
    }

    fn proposal(&self) -> Proposal {
        // A registration whose answer got lost must not leave a second instance behind.
        let key = match (self.known, self.token) {
            (None, Some(token)) => Some(IdempotencyKey {
                principal: "agent".to_owned(),
                operation: "RegisterContainerInstance".to_owned(),
                token: token.to_string(),
                is_client_token: false,
                parameters: [0; 32],
            }),
            _ => None,
        };
        Proposal {
            actor: self.known.map_or(Actor::Operator, Actor::Agent),
            request_id: request_id(),
            key,
            command: Command::OpenSession {
                instance: self.known,
                registration: Box::new(self.registration.clone()),
            },
        }
    }
}

/// What the agent has not been told yet. Never, when nobody will say so.
async fn changed(control_nodes: &mut watch::Receiver<Vec<String>>) -> Vec<String> {
    loop {
        if control_nodes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let addresses = control_nodes.borrow_and_update().clone();
        if !addresses.is_empty() {
            return addresses;
        }
    }
}

struct Session<'a> {
    shared: &'a Arc<Shared>,
    instance: ContainerInstanceId,
    epoch: SessionEpoch,
    out: Outbound,
    assignment: Assignment,
    batches: mpsc::Sender<Word>,
    control_nodes: watch::Receiver<Vec<String>>,
    /// Channels that the agent is asked for; they end with the session.
    calls: Calls,
    /// Ends with the session.
    pump: JoinSet<Option<Goodbye>>,
}

impl<'a> Session<'a> {
    fn start(
        shared: &'a Arc<Shared>,
        instance: ContainerInstanceId,
        epoch: SessionEpoch,
        out: Outbound,
    ) -> Self {
        let (batches, waiting) = mpsc::channel(BATCHES_WAITING);
        let mut pump = JoinSet::new();
        let status = Pump {
            shared: Arc::clone(shared),
            instance,
            epoch,
            batches: waiting,
            out: out.clone(),
            untold: BTreeMap::new(),
        };
        pump.spawn(status.run());
        let life = (shared.config.cluster_uuid, shared.config.incarnation);
        let assignment = Assignment::new(life, instance, epoch);
        let mut control_nodes = shared.config.control_nodes.clone();
        control_nodes.mark_changed();
        let calls = Calls::of_session(shared, instance, epoch);
        Self { shared, instance, epoch, out, assignment, batches, control_nodes, calls, pump }
    }

    /// Runs until the session ends. `None` when the agent is gone: nobody is left to be told why.
    async fn run(mut self, inbound: &mut Streaming<wire::AgentMessage>, wake: &Notify) -> Option<Goodbye> {
        self.shared.heartbeats.record(self.instance, self.epoch);
        self.welcome().await?;
        if let Some(goodbye) = self.assign().await? {
            return Some(goodbye);
        }
        let mut heard = clock::now();
        let shared = self.shared;
        let mut out_of_reach = pin!(shared.heartbeats.relay_fails_for(shared.config.relay_patience));
        loop {
            let idle = heard + self.shared.config.idle_limit;
            tokio::select! {
                message = timeout_at(idle, inbound.message()) => {
                    heard = clock::now();
                    let Ok(message) = message else { return Some(Goodbye::because("nothing was heard for too long")) };
                    if let Some(goodbye) = self.hear(message.ok()??) {
                        return Some(goodbye);
                    }
                }
                // Not at the agent's next word: it must be with another control node before the leader takes it for lost.
                () = &mut out_of_reach => {
                    return Some(Goodbye::because("this control node cannot reach the leader"));
                }
                () = wake.notified() => {
                    if let Some(goodbye) = self.assign().await? {
                        return Some(goodbye);
                    }
                }
                addresses = changed(&mut self.control_nodes) => {
                    let message = wire::ControlNodes { addresses };
                    send(&self.out, ToAgent::ControlNodes(message)).await?;
                }
                Some(call) = self.calls.next.recv() => send(&self.out, ToAgent::OpenChannel(call)).await?,
                ended = self.pump.join_next() => {
                    return match ended {
                        Some(Ok(goodbye)) => goodbye,
                        _ => Some(Goodbye::because("internal error")),
                    };
                }
                () = self.shared.closing.cancelled() => {
                    return Some(Goodbye::because("this control node is going away"));
                }
            }
        }
    }

    async fn welcome(&self) -> Option<()> {
        let interval = self.shared.config.heartbeat_interval.as_millis();
        let welcome = wire::Welcome {
            container_instance_id: self.instance.to_string(),
            cluster_uuid: self.shared.config.cluster_uuid.to_string(),
            epoch: self.epoch.get(),
            heartbeat_interval_ms: u32::try_from(interval).unwrap_or(u32::MAX),
            incarnation: self.shared.config.incarnation,
        };
        send(&self.out, ToAgent::Welcome(welcome)).await
    }

    /// Tells the agent what changed. Outside `None`: the agent is gone; inside: why the session is over, if it is.
    async fn assign(&mut self) -> Option<Option<Goodbye>> {
        let view = self.shared.store.view();
        match view.instance(self.instance) {
            None => return Some(Some(Goodbye::unknown_instance())),
            Some(known) if known.epoch != self.epoch => return Some(Some(Goodbye::epoch_over())),
            Some(_) => {}
        }
        if let Some(assignments) = self.assignment.next(&view) {
            drop(view);
            send(&self.out, ToAgent::Assignments(assignments)).await?;
        }
        Some(None)
    }

    fn hear(&mut self, message: wire::AgentMessage) -> Option<Goodbye> {
        match message.message {
            Some(FromAgent::Heartbeat(heartbeat)) if heartbeat.epoch == self.epoch.get() => {}
            Some(FromAgent::Status(batch)) if batch.epoch == self.epoch.get() => {
                let bytes = u32::try_from(wire_bytes(&batch)).unwrap_or(u32::MAX);
                let room = Arc::clone(&self.shared.report_bytes).try_acquire_many_owned(bytes);
                let held = room.ok().map(|room| Held { batch, room });
                if held.is_none_or(|held| self.batches.try_send(Word::Batch(held)).is_err()) {
                    crate::count_shed("reports");
                    return Some(Goodbye::because("too many reports at once; send them again soon"));
                }
            }
            Some(FromAgent::Absence(absence)) if absence.epoch == self.epoch.get() => {
                if self.batches.try_send(Word::Absence { millis: absence.millis }).is_err() {
                    return Some(Goodbye::because(
                        "too many reports at once; say again soon that you go away",
                    ));
                }
            }
            Some(FromAgent::Usage(usage)) if usage.epoch == self.epoch.get() => {
                let age = Duration::from_millis(usage.age_ms);
                self.shared.usage.record(&self.shared.store.view(), self.instance, &usage.tasks, age);
            }
            Some(FromAgent::Ack(ack)) if ack.epoch == self.epoch.get() => {
                tracing::trace!(instance = %self.instance, sequence = ack.sequence, "assignments acknowledged");
            }
            Some(FromAgent::Hello(_)) => return Some(Goodbye::because("Hello may only come once")),
            // Nothing, or something from before this session.
            _ => return None,
        }
        self.shared.heartbeats.record(self.instance, self.epoch);
        None
    }
}
