//! 39: more calls than the control nodes can answer, for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::agent::count;
use super::{Installed, Stage, Step};
use crate::lab::host::ZONES;

const CLIENTS: usize = 64;

/// Sixty-four clients that ask as fast as they can, reads and writes; heartbeats, Raft and the patient writers live on.
pub fn api(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let before = stage.history.count();
        let stop = Arc::new(AtomicBool::new(false));
        let (answered, shed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut clients = tokio::task::JoinSet::new();
        stage.fault(format!("{CLIENTS} clients call without a pause, for 15 s"));
        for number in 0..CLIENTS {
            let node = stage.node(ZONES[number % ZONES.len()]);
            let (stop, answered, shed) = (stop.clone(), answered.clone(), shed.clone());
            clients.spawn(async move {
                let mut round = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let done = if round.is_multiple_of(2) {
                        node.describe_services().services("web").send().await.is_ok()
                    } else {
                        node.create_cluster()
                            .cluster_name(format!("flood-{number}-{round}"))
                            .send()
                            .await
                            .is_ok()
                    };
                    if done { &answered } else { &shed }.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        stage.hold(15.0).await;
        stop.store(true, Ordering::Relaxed);
        while clients.join_next().await.is_some() {}
        let (answered, shed) = (answered.load(Ordering::Relaxed), shed.load(Ordering::Relaxed));
        stage.figure("flood calls answered", answered as f64 / 15.0, "/s", None);
        stage.figure("flood calls shed or failed", shed as f64 / 15.0, "/s", None);
        let lost = count(&stage.history.since(before), "InstanceLost");
        stage.expect("heartbeats", lost == 0, format!("{lost} agents lost under the flood"));
        Ok(Installed::Yes)
    })
}
