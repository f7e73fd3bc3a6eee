//! Node health: an instance that was silent for five seconds, or for what its cluster has set, is lost, and its tasks with it.
//!
//! An agent that said that it goes away is waited for until the time that the log holds; then its silence counts as any other's.
//!
//! Silence counts from the latest of: a heartbeat under the instance's epoch, the session's start, this node's office, its
//! quorum, its own last stall. So a new leader, or one that stood still, first listens.
//!
//! The brake: no instance is judged unless one in another zone was heard within two seconds. If everything looks dead, it is us.
//! With connected instances in one zone only, another instance will do as the witness. A cluster's only instance has no
//! witness and is never judged: its tasks could go nowhere else anyway.

use std::collections::BTreeMap;
use std::time::Duration;

use trireme_state::object::ContainerInstance;
use trireme_state::{Command, State};
use trireme_types::{Timestamp, Zone};

use crate::driver::{Controller, Plan};
use crate::metrics;
use crate::observed::{Heard, Observed};

/// Declares silent instances lost.
#[derive(Debug, Clone, Copy)]
pub struct NodeHealth {
    /// Silence after which an instance is lost, unless its cluster has set another time.
    pub lost_after: Duration,
    /// How recently a witness must have been heard.
    pub witness_within: Duration,
}

impl Default for NodeHealth {
    fn default() -> Self {
        Self { lost_after: Duration::from_secs(5), witness_within: Duration::from_secs(2) }
    }
}

/// Connected instances of a zone, and those of them that were just heard.
#[derive(Default)]
struct ZoneCount {
    connected: usize,
    witnesses: usize,
}

impl Controller for NodeHealth {
    const NAME: &'static str = "node-health";
    const HEARS: bool = true;

    fn plan(&self, view: &State, observed: &Observed, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(attentive) = observed.attentive_for() else {
            plan.report.gauge(metrics::NODES_HELD_BACK, 0);
            return plan;
        };
        let zones = self.zones(view, observed);
        let mut held_back = 0_usize;
        for instance in view.instances().filter(|instance| instance.connected) {
            let heard = heard(instance, observed).map_or(Duration::MAX, |heard| heard.age);
            let silent = heard.min(attentive).min(now.since(instance.session_opened_at));
            let absence = view.absence(instance.id);
            let lost_after = view.lost_after(&instance.registration.cluster).unwrap_or(self.lost_after);
            if let Some(until) = absence.filter(|until| *until > now) {
                plan.wake(until);
            } else if silent < lost_after {
                plan.wake(now.plus(lost_after.saturating_sub(silent)));
            } else if has_witness(&zones, &instance.registration.zone) {
                lose(&mut plan, instance, silent, absence);
            } else {
                held_back = held_back.saturating_add(1);
            }
        }
        if held_back > 0 {
            plan.report.say(format!("{held_back} silent instances are not judged: nobody else is heard"));
        }
        plan.report.gauge(metrics::NODES_HELD_BACK, held_back);
        plan
    }
}

impl NodeHealth {
    fn zones<'a>(&self, view: &'a State, observed: &Observed) -> BTreeMap<&'a Zone, ZoneCount> {
        let mut zones: BTreeMap<&Zone, ZoneCount> = BTreeMap::new();
        // Who said that it goes away is no sign of anything.
        for instance in view.instances().filter(|instance| view.is_present(instance)) {
            let zone = zones.entry(&instance.registration.zone).or_default();
            zone.connected = zone.connected.saturating_add(1);
            let witness = heard(instance, observed).is_some_and(|heard| heard.age <= self.witness_within);
            zone.witnesses = zone.witnesses.saturating_add(usize::from(witness));
        }
        zones
    }
}

fn lose(plan: &mut Plan, instance: &ContainerInstance, silent: Duration, absence: Option<Timestamp>) {
    let registration = &instance.registration;
    let why = match absence {
        Some(_) => "went away for a while and did not come back in the time that it gave".to_owned(),
        None => format!("was not heard for {} seconds", silent.as_secs()),
    };
    let reason =
        format!("Container instance {} ({}) was lost: its agent {why}", registration.name, registration.zone);
    plan.report.say(reason.clone());
    plan.commands.push(Command::LoseInstance { instance: instance.id, epoch: instance.epoch, reason });
}

/// A heartbeat under an older epoch is a stranger's.
pub(crate) fn heard(instance: &ContainerInstance, observed: &Observed) -> Option<Heard> {
    observed.heartbeats.get(&instance.id).copied().filter(|heard| heard.epoch >= instance.epoch)
}

/// Whether someone beside a silent instance of `zone` was just heard. The silent one itself is no witness: a witness was heard
/// more recently than an instance may be silent.
fn has_witness(zones: &BTreeMap<&Zone, ZoneCount>, zone: &Zone) -> bool {
    let elsewhere = zones.len() > 1;
    zones.iter().any(|(name, count)| count.witnesses > 0 && (!elsewhere || *name != zone))
}
