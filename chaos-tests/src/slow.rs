//! Latency by proxy, where the kernel has no queue that delays: what a control node opens to the others goes through a proxy
//! in its own namespace, which passes every byte on later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until as until};

use crate::lab::host::{Host, ZONES};
use crate::lab::{net, rule};

const PORT: u16 = 8001;
const FIRST_PORT: u16 = 9000;
/// What the proxy opens itself carries this mark, and is not diverted again.
const MARK: u32 = 77;
/// Chunks under way in one direction.
const QUEUE: usize = 256;

/// A slow control node; it is as fast as ever when this is dropped and the rules are cleared.
pub struct Slow {
    connections: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

impl Slow {
    /// Delays what a control node opens to the others, and what comes back.
    ///
    /// # Errors
    /// The kernel cannot divert connections.
    pub fn start(host: Host, delay: Duration, jitter: Duration) -> Result<Self> {
        let peers: Vec<Host> = ZONES.into_iter().map(Host::Control).filter(|peer| *peer != host).collect();
        let connections = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let (count, to) = (connections.clone(), peers.clone());
        // A thread of its own: a namespace is a thread's.
        std::thread::spawn(move || {
            let started = net::enter(host).and_then(|()| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.context("no runtime")
            });
            match started {
                Ok(runtime) => runtime.block_on(async {
                    let listening = listen(&to, delay, jitter, &count).await;
                    let _runner_gone = ready.send(listening);
                    let _stopped = stopped.await;
                }),
                Err(error) => drop(ready.send(Err(error))),
            }
        });
        is_ready.recv().context("the proxy ended")??;
        for (port, peer) in (FIRST_PORT..).zip(&peers) {
            rule::divert(host, *peer, PORT, port, MARK)?;
            // What stands would go on past the proxy.
            rule::reset(host, *peer, PORT)?;
        }
        for peer in peers {
            // The resets are for what stood only.
            trim_resets(host, peer)?;
        }
        Ok(Self { connections, _stop: stop })
    }

    /// How many connections went through it.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Lets a reset meet the heartbeats that are under way, and takes it back.
fn trim_resets(from: Host, to: Host) -> Result<()> {
    let until = std::time::Instant::now() + Duration::from_millis(150);
    while std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    rule::unreset(from, to, PORT)
}

async fn listen(peers: &[Host], delay: Duration, jitter: Duration, count: &Arc<AtomicU64>) -> Result<()> {
    for (port, peer) in (FIRST_PORT..).zip(peers) {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let (peer, count) = (format!("{}:{PORT}", peer.address()), count.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(pass(stream, peer.clone(), delay, jitter));
            }
        });
    }
    Ok(())
}

async fn pass(near: TcpStream, peer: String, delay: Duration, jitter: Duration) {
    let Ok(far) = dial(&peer).await else { return };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        () = later(near_read, far_write, delay, jitter) => {}
        () = later(far_read, near_write, delay, jitter) => {}
    }
}

async fn dial(peer: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    setsockopt(&socket, sockopt::Mark, &MARK)?;
    Ok(socket.connect(peer.parse()?).await?)
}

/// One way: each chunk leaves in order, no sooner than its time.
async fn later(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Duration,
    jitter: Duration,
) {
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(QUEUE);
    let reading = async move {
        let mut buffer = vec![0_u8; 32 << 10];
        while let Ok(count) = from.read(&mut buffer).await {
            let at = Instant::now() + delay + jitter.mul_f64(rand::random::<f64>());
            if count == 0 || queue.send((at, buffer[..count].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((at, bytes)) = queued.recv().await {
            until(at).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(reading, writing);
}
