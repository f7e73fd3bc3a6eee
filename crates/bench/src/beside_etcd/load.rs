//! A closed loop: each client sends its next call when the last one is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::figures::Figure;
use super::target::{CONNECTIONS, Connection, Numbers, Target};

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Read,
}

const WARM: Duration = Duration::from_secs(1);

/// Runs a load and measures it, after a moment of warming up.
pub(crate) async fn run<T: Target>(target: &T, kind: Kind, clients: usize, time: Duration) -> Result<Figure> {
    let connections = target.connect(CONNECTIONS.min(clients)).await?;
    let (stop, record) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let errors = Arc::new(AtomicU64::new(0));
    let running: Vec<_> = (0..clients)
        .map(|client| {
            let mut connection = connections[client % connections.len()].clone();
            let (stop, record, errors) = (Arc::clone(&stop), Arc::clone(&record), Arc::clone(&errors));
            tokio::spawn(async move {
                let mut numbers = Numbers::new(client);
                let mut took: Vec<u64> = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let (object, value) = (numbers.object(), numbers.value());
                    let started = Instant::now();
                    let done = match kind {
                        Kind::Write => connection.write(object, &value).await,
                        Kind::Read => connection.read(object).await,
                    };
                    match done {
                        Ok(()) if record.load(Ordering::Relaxed) => {
                            took.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
                        }
                        Ok(()) => {}
                        Err(error) => {
                            if errors.fetch_add(1, Ordering::Relaxed) == 0 {
                                eprintln!("a call failed: {error:#}");
                            }
                        }
                    }
                }
                took
            })
        })
        .collect();
    tokio::time::sleep(WARM).await;
    record.store(true, Ordering::Relaxed);
    let before = target.processor_time();
    let started = Instant::now();
    tokio::time::sleep(time).await;
    record.store(false, Ordering::Relaxed);
    let cpu = target.processor_time().saturating_sub(before);
    let seconds = started.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let mut took = Vec::new();
    for client in running {
        took.extend(client.await?);
    }
    if took.is_empty() {
        bail!("no call was answered");
    }
    Ok(Figure::of(took, seconds, cpu, errors.load(Ordering::Relaxed)))
}
