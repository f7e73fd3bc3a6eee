//! One address for all control nodes: each new connection goes to the next one that takes it. It looks at nothing and repeats
//! nothing; that is the client's part.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const CONNECT_LIMIT: Duration = Duration::from_millis(250);

/// Listens for as long as the runtime runs, and gives the address to use as an endpoint.
///
/// # Errors
/// It cannot listen.
pub async fn open(nodes: Vec<String>, first: usize) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let next = AtomicUsize::new(first);
        while let Ok((client, _)) = listener.accept().await {
            let start = next.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(pass(client, nodes.clone(), start));
        }
    });
    Ok(format!("http://{address}"))
}

async fn pass(mut client: TcpStream, nodes: Vec<String>, start: usize) {
    for step in 0..nodes.len() {
        let node = &nodes[(start + step) % nodes.len()];
        if let Ok(Ok(mut stream)) = timeout(CONNECT_LIMIT, TcpStream::connect(node)).await {
            let _nodelay = (client.set_nodelay(true), stream.set_nodelay(true));
            let _ended = copy_bidirectional(&mut client, &mut stream).await;
            return;
        }
    }
}
