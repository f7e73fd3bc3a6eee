//! Which control nodes are up and which one leads, by asking each of them again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;
use trireme_cli::cluster_file::ClusterFile;

/// Between two questions to a node.
const EVERY: Duration = Duration::from_millis(200);
/// A node that takes longer to answer hangs.
const ANSWER_LIMIT: Duration = Duration::from_millis(1000);
const CONNECT_LIMIT: Duration = Duration::from_millis(250);

/// One control node, as the front door sees it.
pub struct Node {
    /// Where it serves the ECS API.
    pub api: String,
    /// Where it serves gRPC.
    pub grpc: String,
    up: watch::Sender<bool>,
    leads: AtomicBool,
}

impl Node {
    /// Resolves when the node, up until now, is found down; never if it is down already.
    pub async fn went_down(&self) {
        let mut up = self.up.subscribe();
        if !*up.borrow() {
            std::future::pending::<()>().await;
        }
        // The sender lives as long as `self`.
        let _closed = up.wait_for(|up| !up).await;
    }

    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }
}

/// All control nodes.
#[derive(Clone)]
pub struct Nodes(Arc<[Arc<Node>]>);

impl Nodes {
    /// The control nodes of a cluster, each watched from now on.
    pub fn watch(cluster: &ClusterFile) -> Self {
        let nodes: Vec<Arc<Node>> = cluster
            .zones
            .iter()
            .map(|zone| {
                let (up, leads) = (watch::Sender::new(false), AtomicBool::new(false));
                Arc::new(Node { api: zone.api.clone(), grpc: zone.grpc.clone(), up, leads })
            })
            .collect();
        for node in &nodes {
            tokio::spawn(keep_asking(node.clone()));
        }
        Self(nodes.into())
    }

    /// The nodes in the order in which a request should try them: the leader, those that are up, the rest.
    pub fn in_order(&self) -> Vec<Arc<Node>> {
        let mut nodes = self.0.to_vec();
        nodes.sort_by_key(|node| {
            let up = node.is_up();
            (!(up && node.leads.load(Ordering::Relaxed)), !up)
        });
        nodes
    }
}

/// A client for nodes on this machine.
pub fn client<B>(http2: bool) -> Client<HttpConnector, B>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_LIMIT));
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(64)
        .http2_only(http2)
        .build(connector)
}

async fn keep_asking(node: Arc<Node>) {
    let client = client::<Empty<Bytes>>(false);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = tokio::time::timeout(ANSWER_LIMIT, ask(&client, &node.api)).await;
        let leads = answer.ok().flatten();
        node.leads.store(leads == Some(true), Ordering::Relaxed);
        node.up.send_if_modified(|up| std::mem::replace(up, leads.is_some()) != leads.is_some());
    }
}

/// Whether the node leads; `None` when it does not answer.
async fn ask(client: &Client<HttpConnector, Empty<Bytes>>, address: &str) -> Option<bool> {
    let request = Request::get(format!("http://{address}/healthz")).body(Empty::new()).ok()?;
    let response = client.request(request).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let body = Limited::new(response.into_body(), 64 << 10).collect().await.ok()?.to_bytes();
    let health: serde_json::Value = serde_json::from_slice(&body).ok()?;
    Some(health.get("leads").and_then(serde_json::Value::as_bool).unwrap_or(false))
}
