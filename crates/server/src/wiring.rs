//! What runs on a control node, and on which threads: Raft and gRPC's connections on Raft's own, so that a busy API keeps no heartbeat
//! waiting; the API, the controllers, the relay and the agents' sessions on the process's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt;
use trireme_dispatcher::HeartbeatTable;
use trireme_ecs_api::logs::LogNodes;
use trireme_ecs_api::{Admission, Api, AuthMode, Clock};
use trireme_iam::SealingKey;
use trireme_monitoring::Monitoring;
use trireme_raft::{Folder, Node, Threads, VotersClock};
use trireme_rpc::channel::channels_server::ChannelsServer;
use trireme_rpc::explain::explainer_server::ExplainerServer;
use trireme_rpc::operator::operator_server::OperatorServer;
use trireme_state::store::Store;
use trireme_types::Timestamp;

use crate::accept;
use crate::channels::Channels;
use crate::explain::ExplainerService;
use crate::founding::key_path;
use crate::metrics::{self, Metrics};
use crate::operator::OperatorService;
use crate::rooms::Rooms;
use crate::shutdown::Signals;
use crate::{Auth, Error, ServerConfig, logs, rooms, scaling, survival};

/// For requests that are under way when the node is told to stop.
const FINISH: Duration = Duration::from_secs(10);
/// For Raft to end.
const HALT: Duration = Duration::from_secs(5);

/// Runs a control node until it is told to stop, or cannot go on.
///
/// # Errors
/// A data folder that is damaged or another's, an address that is taken, storage that fails.
pub async fn run(config: ServerConfig, version: &'static str) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let metrics = installed(version)?;
    let sealing_key = Arc::new(SealingKey::read(&key_path(&config))?);
    let settings = config.raft_settings();
    let threads = Threads::start(&settings)?;
    let folder = Folder::new(&config.data);
    let node = threads.run(async move { Node::open(&folder, settings).await }).await??;
    let leaving = CancellationToken::new();
    // Whoever stops has left.
    let stop = CancellationToken::new();
    let delivers = rooms::deliver(&node, sealing_key.clone(), config.deliver_to_loopback, &stop);
    let (api, grpc) = match delivers.and_then(|()| prepare(&node, &config)) {
        Ok(listeners) => listeners,
        Err(error) => {
            close(&node).await;
            return Err(error);
        }
    };
    tracing::info!(node = %node.identity(), zone = config.zone, api = %config.listen_api, grpc = %config.listen_grpc, "starting");

    let heartbeats = Arc::new(HeartbeatTable::new());
    let Rooms { dispatcher, monitoring } = rooms::start(&node, &heartbeats, &leaving, &stop);
    survival::start(&node, &stop);
    scaling::start(&node, config.scaling_hook.clone(), &stop);
    let channels = Channels { node: node.clone(), dispatcher: dispatcher.clone(), stop: stop.clone() };
    let logs: Arc<dyn LogNodes> = Arc::new(channels.clone());
    let operator = OperatorService {
        node: node.clone(),
        heartbeats,
        channels: channels.clone(),
        stop: stop.clone(),
        version,
    };
    let routes = node
        .routes()
        .add_service(dispatcher.service())
        .add_service(ChannelsServer::new(channels))
        .add_service(OperatorServer::new(operator))
        .add_service(ExplainerServer::new(ExplainerService::new(node.clone())));
    let serving = serve_grpc(&threads, &node, grpc, routes);
    let with = (config.auth, sealing_key, logs, monitoring);
    let api = tokio::spawn(serve_api(&node, api, with, metrics, leaving.clone(), stop.clone()));

    let unable = async {
        tokio::select! {
            error = node.fatal() => Err(error.into()),
            served = serving => served,
        }
    };
    tokio::pin!(unable);
    let mut ended = tokio::select! {
        () = signals.next() => Ok(()),
        error = &mut unable => error,
    };
    leaving.cancel();
    if ended.is_ok() {
        ended = tokio::select! {
            () = leave_in_order(&node, config.drain, &mut signals) => Ok(()),
            error = &mut unable => error,
        };
    }
    stop.cancel();
    let _drained = api.await;
    if tokio::time::timeout(HALT, node.halt()).await.is_err() {
        tracing::warn!("raft did not end in time");
        close(&node).await;
    }
    ended
}

/// The recorder of metrics, which knows what they mean.
fn installed(version: &'static str) -> Result<Metrics, Error> {
    let metrics = Metrics::install(version)?;
    metrics::describe();
    logs::describe_metrics();
    trireme_monitoring::describe_metrics();
    trireme_delivery::describe();
    Ok(metrics)
}

/// Everything that may be refused once the storage is open.
fn prepare(node: &Node, config: &ServerConfig) -> Result<(TcpListener, TcpListener), Error> {
    check_addresses(node, config)?;
    Ok((listen(config.listen_api)?, listen(config.listen_grpc)?))
}

/// Serves gRPC on Raft's threads. It returns only with an error: the node stops before its listener does.
async fn serve_grpc(
    threads: &Threads,
    node: &Node,
    listener: TcpListener,
    routes: Routes,
) -> Result<(), Error> {
    let node = node.clone();
    // The listener was registered with this runtime; its connections are to live on the other one.
    let listener = listener.into_std().map_err(Error::System)?;
    let serving = async move {
        let listener = TcpListener::from_std(listener).map_err(Error::System)?;
        node.serve(listener, routes).await.map_err(Error::from)
    };
    threads.run(serving).await?
}

/// The age of a signature is judged by the voters' clock: a node whose own is wrong turns no caller away.
struct VotersTime(Arc<VotersClock>);

impl Clock for VotersTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// The ECS API, `/healthz` and `/metrics`, until `stop` and until what is under way is answered.
fn serve_api(
    node: &Node,
    listener: TcpListener,
    (auth, sealing_key, logs, monitoring): (Auth, Arc<SealingKey>, Arc<dyn LogNodes>, Monitoring),
    metrics: Metrics,
    leaving: CancellationToken,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let time = VotersTime(node.store().time());
    let store: Arc<dyn Store> = Arc::new(node.store());
    let (clock, admission) = (Arc::new(time), Admission::default());
    let auth = match auth {
        Auth::Off => AuthMode::Off,
        Auth::Sigv4 => AuthMode::Sigv4,
    };
    let api = Api { store, auth, sealing_key, clock, admission, logs, monitoring };
    let (health, gone) = (node.clone(), leaving.clone());
    let router = Router::new()
        .route("/healthz", get(move || async move { health_of(&health, gone.is_cancelled()) }))
        .merge(metrics.router())
        .fallback_service(trireme_ecs_api::router(api));
    let answer = move |request: http::Request<hyper::body::Incoming>| {
        let (router, leaving) = (router.clone(), leaving.clone());
        // HTTP/2 has no such header; its connections are told when the listener stops.
        let may_close = request.version() < http::Version::HTTP_2;
        async move {
            let answered: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
            let mut response = answered.unwrap_or_else(|never| match never {});
            if may_close && leaving.is_cancelled() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    };
    accept::serve(listener, answer, stop, FINISH)
}

/// What a front door or a load balancer wants to know.
fn health_of(node: &Node, leaving: bool) -> (StatusCode, Json<serde_json::Value>) {
    let leadership = node.store().leadership();
    let health = serde_json::json!({
        "status": if leaving { "draining" } else { "serving" },
        "node": node.identity().node_id,
        "leads": leadership.deciding,
        "leader": leadership.leader.map(|id| id.get()),
        "applied": node.store().view().position().sequence.get(),
    });
    (if leaving { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, Json(health))
}

/// Leadership first, so that others go on while this one ends. Agents are told to go elsewhere, and `/healthz` says so, from
/// the first moment; what still comes is answered for a while, until balancers and clients have noticed.
async fn leave_in_order(node: &Node, drain: Duration, signals: &mut Signals) {
    tracing::info!(seconds = drain.as_secs_f64(), "draining; a second signal ends it at once");
    let drained = tokio::time::sleep(drain);
    tokio::pin!(drained);
    hand_over(node).await;
    tokio::select! {
        () = &mut drained => {}
        () = signals.next() => {}
    }
    // It may have been elected again meanwhile.
    hand_over(node).await;
    tracing::info!("stopping");
}

async fn hand_over(node: &Node) {
    if let Err(error) = node.handover().await {
        tracing::info!(%error, "stopping while leading");
    }
}

/// RocksDB's threads must end before the process does. A disk that hangs must not keep it for ever.
async fn close(node: &Node) {
    let node = node.clone();
    let closing = tokio::task::spawn_blocking(move || node.close());
    if tokio::time::timeout(HALT, closing).await.is_err() {
        tracing::warn!("the storage did not close in time");
    }
}

/// Connections that wait to be accepted. Thousands of agents may dial at once, while the node still loads its state.
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let listening = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    });
    listening.map_err(|source| Error::Listen { address, source })
}

/// The other control nodes know this one by what it said when it joined.
fn check_addresses(node: &Node, config: &ServerConfig) -> Result<(), Error> {
    let status = node.status();
    let own = status.members.into_iter().filter_map(|status| status.member);
    let Some(own) = own.into_iter().find(|member| member.id == status.node_id) else { return Ok(()) };
    let same = |setting, given: String, known: String| match given == known {
        true => Ok(()),
        false => Err(Error::Setting {
            setting,
            reason: format!("this control node joined with {known}, not {given}"),
        }),
    };
    same("--zone", config.zone.clone(), own.zone)?;
    same("--listen-grpc", config.listen_grpc.to_string(), own.peer_address)
}
