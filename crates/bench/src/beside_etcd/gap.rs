//! How long nobody's write is answered when the leader is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::Mutex;

use super::target::{Connection, Killable, Numbers};

const CLIENTS: usize = 32;
/// A client that hears nothing for so long turns to the next node.
const PATIENCE: Duration = Duration::from_millis(300);
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(8);

/// Kills the leader under a load over all nodes; the longest gap between two answered writes, in milliseconds.
pub(crate) async fn measure<T: Killable>(target: &mut T) -> Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let answered: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let connections = target.connect_each().await?;
        clients.push(tokio::spawn(write_on(client, connections, Arc::clone(&stop), Arc::clone(&answered))));
    }
    tokio::time::sleep(BEFORE).await;
    let killed_at = Instant::now();
    let node = target.kill_leader().await?;
    tokio::time::sleep(AFTER).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await?;
    }
    let mut answered = answered.lock().await.clone();
    answered.sort_unstable();
    target.revive(node).await?;
    let from = killed_at - Duration::from_millis(50);
    let around = answered.windows(2).filter(|pair| pair[1] >= from);
    let gap = around.map(|pair| pair[1] - pair[0]).max();
    // No answer after the kill at all is no gap that was measured.
    match gap.filter(|_| answered.last().is_some_and(|last| *last > killed_at + Duration::from_secs(2))) {
        Some(gap) => Ok(gap.as_secs_f64() * 1000.0),
        None => bail!("no write was answered after the kill"),
    }
}

async fn write_on<C: Connection>(
    client: usize,
    mut connections: Vec<C>,
    stop: Arc<AtomicBool>,
    answered: Arc<Mutex<Vec<Instant>>>,
) {
    let mut numbers = Numbers::new(client);
    let mut turn = client % connections.len();
    while !stop.load(Ordering::Relaxed) {
        let (object, value) = (numbers.object(), numbers.value());
        match tokio::time::timeout(PATIENCE, connections[turn].write(object, &value)).await {
            Ok(Ok(())) => answered.lock().await.push(Instant::now()),
            Ok(Err(_)) => {
                turn = (turn + 1) % connections.len();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(_) => turn = (turn + 1) % connections.len(),
        }
    }
}
