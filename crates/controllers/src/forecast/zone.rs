//! The loss of a zone: what is lost, what runs elsewhere then, and what does not.

use std::collections::BTreeSet;

use trireme_state::object::{ContainerInstance, SchedulingStrategy, ServiceKey};
use trireme_state::{Actor, Command, State};
use trireme_types::{Timestamp, Zone};

use super::course::{Bounds, Course};
use super::outlook::{Outlook, ServiceOutlook, Verdict};
use super::room;
use crate::driver::Controller;
use crate::node_health::NodeHealth;

/// What the loss of a zone comes to, as far as tasks go. Whether its control nodes are missed is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneLoss {
    /// Which zone.
    pub zone: Zone,
    /// Container instances that are lost.
    pub instances: usize,
    /// What comes of its tasks, and of all services.
    pub outlook: Outlook,
    /// The worst of the services' verdicts, DAEMON services apart: a machine that is gone needs no task of theirs.
    pub verdict: Verdict,
}

/// Every zone that a container instance is in.
pub fn zones(state: &State) -> BTreeSet<Zone> {
    state.instances().map(|instance| instance.registration.zone.clone()).collect()
}

/// What happens if all container instances of a zone are lost, and nothing else.
pub fn loss(state: &State, zone: &Zone, now: Timestamp, bounds: Bounds) -> ZoneLoss {
    let mut course = Course::new(state, now, bounds);
    let in_zone = |instance: &&ContainerInstance| instance.registration.zone == *zone;
    let lost: Vec<&ContainerInstance> =
        state.instances().map(AsRef::as_ref).filter(in_zone).filter(|instance| instance.connected).collect();
    // Who said that it goes away is lost when it does not come back.
    if let Some(until) = lost.iter().filter_map(|instance| state.absence(instance.id)).max() {
        course.wait_until(until);
    }
    let mut refused = None;
    for instance in &lost {
        let reason = format!("{zone} was lost");
        let command = Command::LoseInstance { instance: instance.id, epoch: instance.epoch, reason };
        let lost = course.propose(Actor::Controller(NodeHealth::NAME.to_owned()), command);
        refused = refused.or(lost.err());
    }
    let doubtful = room::doubtful(course.state(), course.now());
    course.run();
    let outlook = Outlook::of(state, &course, &doubtful);
    let verdict = match refused {
        Some(why) => Verdict::Uncertain(format!("an instance could not be lost: {why}")),
        None => outlook.verdict(|service| !is_daemon(course.state(), service)),
    };
    ZoneLoss { zone: zone.clone(), instances: lost.len(), outlook, verdict }
}

fn is_daemon(state: &State, service: &ServiceOutlook) -> bool {
    strategy(state, &service.key) == SchedulingStrategy::Daemon
}

fn strategy(state: &State, service: &ServiceKey) -> SchedulingStrategy {
    state
        .service(service)
        .map_or_else(Default::default, |service| SchedulingStrategy::of(&service.spec.described))
}
