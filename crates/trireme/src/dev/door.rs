//! The front door: one HTTP address for the ECS API and one for the operator's verbs, which stay the same while control
//! nodes come and go.
//!
//! A request is read whole, sent to a living node, and its answer read whole before a byte of it is passed on. When the node
//! dies or hangs meanwhile the request goes to another: each carries an idempotency key (`amz-sdk-invocation-id`, added
//! here when the client sent none), so a write that was carried out already is not carried out again.
//!
//! Reading order: [`nodes`] (who is up, who leads) · [`http`] (the ECS API) · [`grpc`] (the operator's verbs).

mod grpc;
mod http;
mod nodes;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trireme_server::accept;

pub use nodes::Nodes;

/// A front door that is open but does not answer yet.
pub struct Door {
    http: TcpListener,
    grpc: TcpListener,
}

impl Door {
    /// Takes the two addresses.
    pub async fn bind(http: SocketAddr, grpc: SocketAddr) -> Result<Self> {
        let bind = async |address: SocketAddr| {
            let what = || {
                format!("cannot listen on {address}: is another cluster running? (--port chooses another)")
            };
            TcpListener::bind(address).await.with_context(what)
        };
        Ok(Self { http: bind(http).await?, grpc: bind(grpc).await? })
    }

    /// Answers until the process ends.
    pub fn open(self, nodes: &Nodes) {
        // It closes with the process.
        let stop = CancellationToken::new();
        let http = http::Forwarder::new(nodes.clone());
        let answer = move |request| http.clone().answer(request);
        tokio::spawn(accept::serve(self.http, answer, stop.clone(), Duration::ZERO));
        let grpc = grpc::Forwarder::new(nodes.clone());
        let answer = move |request| grpc.clone().answer(request);
        tokio::spawn(accept::serve(self.grpc, answer, stop, Duration::ZERO));
    }
}

#[cfg(test)]
mod tests;
