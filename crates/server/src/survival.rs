//! Whether each zone could be lost, as a gauge: worked out by the node that leads, when the state has changed, and seldom enough that it
//! takes only a small part of a processor.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trireme_controllers::forecast::{Bounds, zone};
use trireme_raft::node::Node;
use trireme_state::store::Store;
use trireme_types::{Sequence, Timestamp, Zone};

use crate::explain::Quorum;

const SURVIVABLE: &str = "trireme_zone_loss_survivable";
/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_secs(15);
/// A look that took long is followed by a rest so many times as long.
const RESTS: u32 = 20;

/// Tells the recorder what the metric means, and keeps it until `stop`. It works on threads of its own, which is why it is not among the
/// rooms that a simulation runs on one.
pub(crate) fn start(node: &Node, stop: &CancellationToken) {
    metrics::describe_gauge!(
        SURVIVABLE,
        metrics::Unit::Count,
        "1 if all services would be whole again elsewhere, for certain, after the loss of this zone, with a quorum to see to it; on the \
         leader, elsewhere not a number"
    );
    tokio::spawn(stop.clone().run_until_cancelled_owned(keep(node.clone())));
}

/// Keeps the gauge, for as long as the future is not dropped.
async fn keep(node: Node) {
    let store = node.store();
    // Of this office: what was looked at last.
    let mut known: Option<(Sequence, Quorum)> = None;
    let mut shown: BTreeSet<String> = BTreeSet::new();
    let mut rest = Duration::from_secs(1);
    loop {
        tokio::time::sleep(rest).await;
        rest = SHORTEST;
        let Some(now) = store.now().filter(|_| store.leadership().deciding) else {
            known = None;
            shown.iter().for_each(|zone| show(zone, f64::NAN));
            continue;
        };
        let Some(quorum) = Quorum::of(&node) else { continue };
        let seen = (store.view().position().sequence, quorum);
        if known.as_ref() == Some(&seen) {
            continue;
        }
        let began = Instant::now();
        let Some(zones) = look(&node, seen.1.clone(), now).await else { continue };
        if !store.leadership().deciding {
            continue;
        }
        for gone in shown.iter().filter(|zone| !zones.iter().any(|(known, _)| known == *zone)) {
            show(gone, f64::NAN);
        }
        for (zone, survivable) in zones {
            show(&zone, f64::from(u8::from(survivable)));
            shown.insert(zone);
        }
        known = Some(seen);
        rest = rest.max(began.elapsed().saturating_mul(RESTS));
    }
}

fn show(zone: &str, value: f64) {
    metrics::gauge!(SURVIVABLE, "zone" => zone.to_owned()).set(value);
}

/// Each zone with whether it could be lost.
async fn look(node: &Node, quorum: Quorum, now: Timestamp) -> Option<Vec<(String, bool)>> {
    let state = node.store().view();
    let work = move || {
        let mut zones: BTreeSet<Zone> = zone::zones(&state);
        zones.extend(quorum.zones().filter_map(|zone| Zone::new(zone).ok()));
        let survivable = |zone: &Zone| {
            quorum.survives(zone.as_str()) && zone::loss(&state, zone, now, Bounds::default()).verdict.fits()
        };
        zones.iter().map(|zone| (zone.to_string(), survivable(zone))).collect()
    };
    tokio::task::spawn_blocking(work).await.ok()
}
