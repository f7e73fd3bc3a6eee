//! What would be: forecasts, asked for and sent.

use tonic::Status;
use trireme_controllers::forecast::course::MoveKind;
use trireme_controllers::forecast::{self, Bounds, Move, Outlook, ServiceOutlook, Verdict};
use trireme_raft::node::Node;
use trireme_rpc::explain as wire_format;
use trireme_rpc::explain::{Forecast, InstanceRequest, PlanServiceRequest, ZoneLossResponse};
use trireme_state::State;
use trireme_state::command::ServiceChange;
use trireme_state::object::DeploymentConfiguration;
use trireme_types::Zone;

use super::moment::Seen;
use super::{find, wire};

/// A voter that was not heard for so long, by the node that leads, is not counted on.
const HEARD_WITHIN_MILLIS: u64 = 3_000;

/// Who votes, by zone, and whether they live; as the node that leads knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quorum {
    /// Each voter's zone, if it is known, with whether the voter lives.
    voters: Vec<(Option<String>, bool)>,
    changing: bool,
}

impl Quorum {
    /// As this node knows it; `None` on one that does not lead, which hears nobody.
    pub(crate) fn of(node: &Node) -> Option<Self> {
        let status = node.status();
        let (own, changing) = (status.node_id, status.membership_changing);
        let voters = status.members.into_iter().filter(|member| member.voter).map(|voter| {
            let heard = voter.heard_millis_ago.is_some_and(|ago| ago <= HEARD_WITHIN_MILLIS);
            let member = voter.member;
            let lives = heard || member.as_ref().is_some_and(|member| member.id == own);
            (member.map(|member| member.zone), lives)
        });
        let voters = voters.collect();
        (status.role == "leader").then_some(Self { voters, changing })
    }

    /// The zones with voters.
    pub(crate) fn zones(&self) -> impl Iterator<Item = &str> {
        self.voters.iter().filter_map(|(zone, _)| zone.as_deref())
    }

    fn in_zone(&self, zone: &str) -> usize {
        self.zones().filter(|known| *known == zone).count()
    }

    /// Whether those outside of a zone that live are a majority of all. While voters come and go nobody can say.
    pub(crate) fn survives(&self, zone: &str) -> bool {
        let outside = |known: &&(Option<String>, bool)| known.0.as_deref().is_some_and(|at| at != zone);
        let left = self.voters.iter().filter(outside).filter(|(_, lives)| *lives).count();
        !self.changing && left > self.voters.len() / 2
    }

    /// How many there are.
    fn len(&self) -> usize {
        self.voters.len()
    }
}

/// What an update would do.
pub(super) fn update(seen: &Seen, request: &PlanServiceRequest) -> Result<Forecast, Status> {
    let state = &seen.state;
    let key = find::service(state, &request.cluster, &request.service)?;
    let none = || Status::not_found(format!("there is no service {}", request.service));
    let service = state.service(&key).ok_or_else(none)?;
    let definition = match request.task_definition.as_str() {
        "" => None,
        text => Some(find::definition(state, &key.cluster.scope, text)?),
    };
    let limits = service.spec.deployment_configuration;
    let limits = DeploymentConfiguration {
        maximum_percent: request.maximum_percent.unwrap_or(limits.maximum_percent),
        minimum_healthy_percent: request.minimum_healthy_percent.unwrap_or(limits.minimum_healthy_percent),
    };
    let change = ServiceChange {
        desired_count: request.desired_count,
        task_definition: definition,
        deployment_configuration: Some(limits),
        force_new_deployment: request.force_new_deployment,
        ..ServiceChange::default()
    };
    let update = forecast::update::update(state, &key, change, seen.at, Bounds::default());
    let update =
        update.map_err(|why| Status::invalid_argument(format!("the update would be refused: {why}")))?;
    let mut sent = to_wire(seen, &update.outlook, &update.verdict);
    (sent.changes, sent.deploys) = (update.changes, update.deploys);
    Ok(sent)
}

/// What draining an instance would do.
pub(super) fn drain(seen: &Seen, request: &InstanceRequest) -> Result<Forecast, Status> {
    let instance = find::instance(&seen.state, request)?.id;
    let drained = forecast::drain::drain(&seen.state, &[instance].into(), seen.at, Bounds::default());
    let drained = drained.map_err(|why| Status::invalid_argument(format!("it would be refused: {why}")))?;
    let mut sent = to_wire(seen, &drained.outlook, &drained.verdict);
    sent.tasks = drained.left.iter().map(|task| wire::brief(&seen.state, task)).collect();
    Ok(sent)
}

/// What the loss of a zone would do.
pub(super) fn zone_loss(seen: &Seen, zone: &str, quorum: &Quorum) -> Result<ZoneLossResponse, Status> {
    let wrong = |error: trireme_types::NameError| Status::invalid_argument(error.to_string());
    let zone = Zone::new(zone).map_err(wrong)?;
    let zones = forecast::zone::zones(&seen.state);
    if !zones.contains(&zone) && !quorum.zones().any(|known| known == zone.as_str()) {
        let known: Vec<&str> = zones.iter().map(Zone::as_str).collect();
        return Err(Status::not_found(format!("nothing is in zone {zone}; there are {}", known.join(", "))));
    }
    let loss = forecast::zone::loss(&seen.state, &zone, seen.at, Bounds::default());
    let keeps_quorum = quorum.survives(zone.as_str());
    let mut forecast = to_wire(seen, &loss.outlook, &loss.verdict);
    forecast.tasks = loss.outlook.standalone_lost().map(|task| wire::brief(&seen.state, task)).collect();
    Ok(ZoneLossResponse {
        zone: zone.to_string(),
        instances: wire::count(loss.instances),
        forecast: Some(forecast),
        voters: wire::count(quorum.len()),
        voters_in_zone: wire::count(quorum.in_zone(zone.as_str())),
        keeps_quorum,
        survivable: keeps_quorum && loss.verdict.fits(),
    })
}

fn to_wire(seen: &Seen, outlook: &Outlook, verdict: &Verdict) -> Forecast {
    Forecast {
        from: Some(seen.point()),
        verdict: code(verdict).into(),
        why: why(verdict),
        changes: false,
        deploys: false,
        settled: outlook.settled,
        lasts_millis: wire::millis(outlook.lasted),
        services: outlook.services.iter().map(service).collect(),
        moves: outlook.moves.iter().map(|one| to_move(&seen.state, one)).collect(),
        moves_left_out: outlook.moves_left_out as u64,
        tasks: Vec::new(),
    }
}

fn code(verdict: &Verdict) -> wire_format::Verdict {
    match verdict {
        Verdict::Fits => wire_format::Verdict::Fits,
        Verdict::Uncertain(_) => wire_format::Verdict::Uncertain,
        Verdict::DoesNotFit(_) => wire_format::Verdict::DoesNotFit,
    }
}

fn why(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Fits => String::new(),
        Verdict::Uncertain(why) | Verdict::DoesNotFit(why) => why.clone(),
    }
}

fn service(outlook: &ServiceOutlook) -> wire_format::ServiceOutlook {
    let unplaced = outlook.unplaced.as_ref();
    wire_format::ServiceOutlook {
        cluster: outlook.key.cluster.name.to_string(),
        name: outlook.key.name.to_string(),
        desired: outlook.desired,
        running_before: wire::count(outlook.running_before),
        running_after: wire::count(outlook.running_after),
        lowest_healthy: wire::count(outlook.lowest_healthy),
        started: wire::count(outlook.started),
        stopped: wire::count(outlook.stopped),
        lost: wire::count(outlook.lost),
        was_whole: outlook.was_whole,
        verdict: code(&outlook.verdict).into(),
        why: why(&outlook.verdict),
        unplaced: unplaced.map_or(0, |why| wire::count(why.unplaced)),
        nodes: unplaced.map(|why| wire::refusals(&why.refusals)).unwrap_or_default(),
    }
}

fn to_move(state: &State, one: &Move) -> wire_format::Move {
    let kind = match one.kind {
        MoveKind::Starts => "STARTS",
        MoveKind::Stops => "STOPS",
        MoveKind::IsLost => "IS_LOST",
    };
    wire_format::Move {
        after_millis: wire::millis(one.after),
        kind: kind.to_owned(),
        task: Some(wire::brief(state, &one.task)),
        reason: one.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum(voters: &[(&str, bool)]) -> Quorum {
        let voters = voters.iter().map(|(zone, lives)| (Some((*zone).to_owned()), *lives)).collect();
        Quorum { voters, changing: false }
    }

    #[test]
    fn a_majority_of_all_voters_must_live_outside_of_the_zone() {
        let three = quorum(&[("a", true), ("b", true), ("c", true)]);
        assert!(three.survives("a") && three.survives("elsewhere"));
        let one_dead = quorum(&[("a", true), ("b", false), ("c", true)]);
        assert!(!one_dead.survives("a") && !one_dead.survives("c"), "one of three would be left");
        assert!(one_dead.survives("b"), "what is dead is lost already");
        let five = quorum(&[("a", true), ("a", true), ("b", true), ("b", true), ("c", true)]);
        assert!(five.survives("a") && five.survives("b") && five.survives("c"));
        assert!(!quorum(&[("a", true)]).survives("a"));
    }

    #[test]
    fn a_voter_of_whom_nothing_is_known_counts_as_one_and_is_not_counted_on() {
        let mut voters = quorum(&[("a", true), ("b", true)]);
        voters.voters.push((None, true));
        assert!(!voters.survives("a"));
    }

    #[test]
    fn while_voters_come_and_go_nobody_can_say() {
        let changing = Quorum { changing: true, ..quorum(&[("a", true), ("b", true), ("c", true)]) };
        assert!(!changing.survives("a"));
    }
}
