//! Connections between nodes that can be made to stand still: nothing is lost, nothing is closed, nothing moves.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::transport::Channel;
use trireme_raft::Settings;
use trireme_raft::network::peers::{Connect, Lane, TcpConnect};

/// All connections of a cluster. Each but the spare ones goes through a listener of its own.
#[derive(Clone)]
pub struct Links {
    inner: Arc<TcpConnect>,
    /// How often they were made to stand still: a connection that is older than the last time moves no more.
    stills: watch::Sender<u64>,
}

impl Links {
    pub fn new(settings: &Settings) -> Self {
        Self { inner: Arc::new(TcpConnect::new(settings)), stills: watch::Sender::new(0) }
    }

    /// What is connected now stands still for good, but for spare connections. What is connected later moves.
    pub fn stand_still(&self) {
        self.stills.send_modify(|stills| *stills += 1);
    }
}

impl Connect for Links {
    fn connect(&self, address: &str, lane: Lane) -> Result<Channel, tonic::transport::Error> {
        if lane == Lane::Spare {
            return self.inner.connect(address, lane);
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let proxy = listener.local_addr().unwrap().to_string();
        tokio::spawn(serve(
            TcpListener::from_std(listener).unwrap(),
            address.to_owned(),
            self.stills.clone(),
        ));
        self.inner.connect(&proxy, lane)
    }
}

async fn serve(listener: TcpListener, address: String, stills: watch::Sender<u64>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (address, mut stills) = (address.clone(), stills.subscribe());
        let mine = *stills.borrow();
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(&address).await else { return };
            let still = tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => false,
                still = stills.wait_for(|stills| *stills > mine) => still.is_ok(),
            };
            if still {
                std::future::pending::<()>().await;
            }
        });
    }
}
