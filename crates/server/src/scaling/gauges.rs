//! How pools stand, for metrics: found out beside the runtime's threads, for placing what waits takes as long as there is of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use trireme_controllers::capacity::{scaled, standings};
use trireme_state::State;
use trireme_state::object::CapacityProviderKey;
use trireme_types::Timestamp;

const RESERVATION: &str = "trireme_capacity_provider_reservation_ratio";
const WANTED: &str = "trireme_capacity_provider_machines_wanted";
const PRESENT: &str = "trireme_capacity_provider_machines";

/// How often they are set.
const EVERY: Duration = Duration::from_secs(15);
/// Providers that have gauges: the first by account, region, and name.
const PROVIDERS: usize = 200;

/// Tells the recorder what the metrics mean.
pub(super) fn describe() {
    use metrics::{Unit, describe_gauge};
    describe_gauge!(
        RESERVATION,
        Unit::Count,
        "Machines that a capacity provider's tasks need, by those that are there; on the leader, elsewhere not a number"
    );
    describe_gauge!(
        WANTED,
        Unit::Count,
        "Machines that a capacity provider's pool is to have; on the leader"
    );
    describe_gauge!(
        PRESENT,
        Unit::Count,
        "Machines of a capacity provider's pool whose agents are heard; on the leader"
    );
}

/// Reservation, wanted, present.
type Values = [f64; 3];

/// Sets the gauges every so often.
pub(super) struct Gauges {
    next: Instant,
    finding: Option<JoinHandle<BTreeMap<CapacityProviderKey, Values>>>,
    /// Those that have been set, and may have to be unset.
    shown: Vec<CapacityProviderKey>,
}

impl Gauges {
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), finding: None, shown: Vec::new() }
    }

    /// Shows what was found out, and begins anew when it is time. `now` is none on a node that does not lead.
    pub(super) fn look(&mut self, view: &Arc<State>, now: Option<Timestamp>) {
        if now.is_none() && !self.shown.is_empty() {
            self.show(&BTreeMap::new());
        }
        match &mut self.finding {
            Some(finding) if finding.is_finished() => {
                let found = futures_util::FutureExt::now_or_never(finding).and_then(Result::ok);
                self.finding = None;
                if let (Some(found), Some(_)) = (found, now) {
                    self.show(&found);
                }
            }
            Some(_) => {}
            None => {
                let due = now.filter(|_| Instant::now() >= self.next);
                let Some(now) = due else { return };
                self.next = Instant::now() + EVERY;
                let view = Arc::clone(view);
                self.finding = Some(tokio::task::spawn_blocking(move || find(&view, now)));
            }
        }
    }

    /// Those of providers that are gone are set to no number.
    fn show(&mut self, found: &BTreeMap<CapacityProviderKey, Values>) {
        for key in self.shown.iter().filter(|key| !found.contains_key(key)) {
            set(key, [f64::NAN; 3]);
        }
        found.iter().for_each(|(key, values)| set(key, *values));
        self.shown = found.keys().cloned().collect();
    }
}

fn find(view: &State, now: Timestamp) -> BTreeMap<CapacityProviderKey, Values> {
    let found = standings(view, scaled(view).take(PROVIDERS), now).into_iter();
    let values = found.map(|(provider, standing)| {
        let wanted = view.pool_size(&provider.key).map_or(standing.present, |size| size.wanted);
        let reservation = f64::from(standing.reservation) / 100.0;
        (provider.key.clone(), [reservation, f64::from(wanted), f64::from(standing.present)])
    });
    values.collect()
}

fn set(key: &CapacityProviderKey, [reservation, wanted, present]: Values) {
    for (gauge, value) in [(RESERVATION, reservation), (WANTED, wanted), (PRESENT, present)] {
        let labels = [
            ("account", key.scope.account.to_string()),
            ("region", key.scope.region.to_string()),
            ("capacity_provider", key.name.to_string()),
        ];
        metrics::gauge!(gauge, &labels).set(value);
    }
}
