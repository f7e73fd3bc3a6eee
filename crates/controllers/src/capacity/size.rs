//! What size a pool is to have: arithmetic on counts, and the command that follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use trireme_state::command::CapacityCommand;
use trireme_state::limits::INSTANCES_PER_CLUSTER;
use trireme_state::object::{CapacityProvider, ContainerInstance, InstanceStatus, ManagedScaling, PoolSize};
use trireme_state::{Command, State};
use trireme_types::{ContainerInstanceId, Timestamp, Zone};

use super::demand::Demand;
use super::order;
use crate::driver::Plan;

/// No pool is to have more machines: a cluster takes no more.
fn most() -> u32 {
    u32::try_from(INSTANCES_PER_CLUSTER).unwrap_or(u32::MAX)
}

/// ECS API: CapacityProviderReservation, in percent: of the machines that are there, those that are needed. Of none that is there 200 are
/// needed if any is, else 100.
pub(super) fn reservation(needed: u32, there: u32) -> u32 {
    match (needed, there) {
        (0, 0) => 100,
        (_, 0) => 200,
        _ => needed.saturating_mul(100).checked_div(there).unwrap_or(0),
    }
}

/// So many machines that the reservation is what it is to be, or less. Never fewer than are needed.
fn at_target(needed: u32, target: u32) -> u32 {
    let machines = u64::from(needed).saturating_mul(100).div_ceil(u64::from(target.clamp(1, 100)));
    u32::try_from(machines).unwrap_or(u32::MAX)
}

/// What there is to know.
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Machines that take tasks.
    there: u32,
    /// Machines that were asked for already.
    asked: u32,
    /// Machines that are needed.
    needed: u32,
    /// So many may be asked for.
    most: u32,
    /// Machines that may go.
    spare: u32,
    /// Whether a machine that was asked for has had the time to come.
    warm: bool,
    /// Whether there were more than needed for so long that some may go.
    idle: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// It is as it should be, or on its way there.
    Stay,
    /// So many are to be there.
    Grow(u32),
    /// So many may go.
    Shrink(u32),
    /// What was asked for and never came is not needed any more: so many will do.
    Settle(u32),
}

impl Facts {
    fn judge(self, scaling: &ManagedScaling) -> Move {
        let wanted = at_target(self.needed, scaling.target_capacity);
        let coming = self.there.max(self.asked);
        if wanted > coming && coming < self.most && (self.asked <= self.there || self.warm) {
            let least = scaling.minimum_step.max(1);
            let step = wanted.saturating_sub(coming).max(least).min(scaling.maximum_step.max(least));
            return Move::Grow(coming.saturating_add(step).min(self.most));
        }
        if self.asked > self.there && wanted < self.asked && self.warm {
            return Move::Settle(wanted.max(self.there));
        }
        let too_many = self.there.saturating_sub(wanted).min(self.spare).min(scaling.maximum_step.max(1));
        if too_many > 0 && self.asked <= self.there && self.idle {
            Move::Shrink(too_many)
        } else {
            Move::Stay
        }
    }
}

pub(super) fn plan(
    view: &State,
    provider: &CapacityProvider,
    demand: &Demand,
    now: Timestamp,
    plan: &mut Plan,
) {
    let scaling = &provider.group.managed_scaling;
    let known = view.pool_size(&provider.key).cloned();
    let warmup = Duration::from_secs(u64::from(scaling.warmup_seconds));
    let there = u32::try_from(demand.usable.len()).unwrap_or(u32::MAX);
    let leaving: Vec<ContainerInstanceId> = known
        .iter()
        .flat_map(|known| known.leaving.iter().copied())
        .filter(|id| view.instance(*id).is_some())
        .collect();
    let asked = known.as_ref().map_or(0, |known| known.wanted.saturating_sub(demand.drained));
    let spare = spare(demand, now, warmup, plan);
    // While machines are on their way it is not known yet what they will take.
    let warm_at = known.as_ref().map(|known| known.at.plus(warmup)).filter(|at| *at > now);
    warm_at.iter().filter(|_| asked > there).for_each(|at| plan.wake(*at));
    let at_target = at_target(demand.needed, scaling.target_capacity);
    let more = there > at_target && !demand.empty.is_empty() && asked <= there;
    let idle_since = known.as_ref().and_then(|known| known.idle_since);
    let facts = Facts {
        there,
        asked,
        needed: demand.needed,
        most: most().saturating_sub(demand.drained),
        spare: u32::try_from(spare.len()).unwrap_or(u32::MAX),
        warm: warm_at.is_none(),
        idle: more && idle_since.is_some_and(|since| since.plus(warmup) <= now),
    };
    let sizing = Sizing { view, provider, known, demand, leaving };
    match facts.judge(scaling) {
        Move::Stay => sizing.note(more, now.plus(warmup), plan),
        Move::Grow(to) => sizing.grow(to, plan),
        Move::Settle(to) => sizing.settle(to, plan),
        Move::Shrink(count) => sizing.shrink(&spare, count as usize, plan),
    }
}

/// Machines that may go: nothing but daemons runs there, and they have had their time to be given something.
fn spare<'d>(
    demand: &'d Demand,
    now: Timestamp,
    warmup: Duration,
    plan: &mut Plan,
) -> Vec<&'d Arc<ContainerInstance>> {
    let empty = demand.usable.iter().filter(|instance| demand.empty.contains(&instance.id));
    let warm = |instance: &&Arc<ContainerInstance>| {
        let at = instance.session_opened_at.plus(warmup);
        if at > now {
            plan.wake(at);
        }
        at <= now
    };
    empty.filter(warm).collect()
}

struct Sizing<'a> {
    view: &'a State,
    provider: &'a CapacityProvider,
    known: Option<Arc<PoolSize>>,
    demand: &'a Demand,
    /// Those that are to go and are there still.
    leaving: Vec<ContainerInstanceId>,
}

impl Sizing<'_> {
    fn propose(
        &self,
        wanted: u32,
        leaving: Vec<ContainerInstanceId>,
        (idle, why): (bool, &str),
        plan: &mut Plan,
    ) {
        let name = &self.provider.key.name;
        let wanted = wanted.min(most());
        let standing = self.demand.standing();
        let reason = format!(
            "{why}: {} of {} machines are needed (CapacityProviderReservation {}, target {})",
            standing.needed,
            standing.present,
            standing.reservation,
            self.provider.group.managed_scaling.target_capacity
        );
        plan.report.say(format!("capacity provider {name}: {wanted} machines wanted; {reason}"));
        plan.commands.push(Command::Capacity(Box::new(CapacityCommand::SizePool {
            key: self.provider.key.clone(),
            seen: self.known.as_ref().map_or(0, |known| known.request),
            wanted,
            leaving,
            idle,
            reason,
        })));
    }

    /// Notes what is new though the size stays: that there are more than needed, or no longer; and which of those that leave are gone.
    fn note(&self, more: bool, until: Timestamp, plan: &mut Plan) {
        if more {
            plan.wake(until);
        }
        match &self.known {
            None if more => {
                self.propose(self.demand.present, Vec::new(), (true, "more are there than needed"), plan);
            }
            None => {}
            Some(known) => {
                let gone = known.leaving.len() != self.leaving.len();
                if gone || known.idle_since.is_some() != more {
                    self.propose(known.wanted, self.leaving.clone(), (more, &known.reason), plan);
                }
            }
        }
    }

    /// Those that leave do so all the same.
    fn settle(&self, to: u32, plan: &mut Plan) {
        let wanted = to.saturating_add(self.demand.drained);
        self.propose(wanted, self.leaving.clone(), (false, "fewer are needed"), plan);
    }

    /// Those that were to leave stay, as far as they are needed; new ones come for the rest. Those of which the hook was told are as good as
    /// gone: it may be about to remove them.
    fn grow(&self, to: u32, plan: &mut Plan) {
        let there = u32::try_from(self.demand.usable.len()).unwrap_or(u32::MAX);
        let stays = |id: &ContainerInstanceId| {
            let found = self.view.instance(*id).filter(|instance| self.view.is_present(instance));
            found.is_some_and(|instance| !order::may_go(self.view, instance))
        };
        let (may_stay, gone): (Vec<_>, Vec<_>) = self.leaving.iter().copied().partition(stays);
        let count = (to.saturating_sub(there) as usize).min(may_stay.len());
        let back: BTreeSet<ContainerInstanceId> = may_stay.iter().take(count).copied().collect();
        let of_back = |command: &Command| matches!(command, Command::SetInstanceStatus { instance, .. } if back.contains(instance));
        // This pass was about to drain some of them.
        plan.commands.retain(|command| !of_back(command));
        for instance in back.iter().filter_map(|id| self.view.instance(*id)) {
            if instance.status == InstanceStatus::Draining {
                let (cluster, status) = (instance.registration.cluster.clone(), InstanceStatus::Active);
                let command = Command::SetInstanceStatus { cluster, instance: instance.id, status };
                plan.commands.push(command);
            }
        }
        let leaving = may_stay.into_iter().skip(count).chain(gone).collect();
        let wanted = to.saturating_add(self.demand.drained);
        self.propose(wanted, leaving, (false, "more are needed"), plan);
    }

    /// The newest of the zone that has most go first.
    fn shrink(&self, spare: &[&Arc<ContainerInstance>], count: usize, plan: &mut Plan) {
        let mut zones: BTreeMap<&Zone, usize> = BTreeMap::new();
        for instance in &self.demand.usable {
            let count = zones.entry(&instance.registration.zone).or_default();
            *count = count.saturating_add(1);
        }
        let mut left: Vec<&&Arc<ContainerInstance>> = spare.iter().collect();
        let mut leaving = self.leaving.clone();
        let room = INSTANCES_PER_CLUSTER.saturating_sub(leaving.len());
        for _ in 0..count.min(room) {
            let key = |one: &&Arc<ContainerInstance>| {
                let crowd = zones.get(&one.registration.zone).copied().unwrap_or(0);
                (crowd, one.registered_at, one.id)
            };
            let Some(at) = (0..left.len()).max_by_key(|at| left.get(*at).map(|one| key(one))) else { break };
            let gone = left.swap_remove(at);
            leaving.push(gone.id);
            if let Some(crowd) = zones.get_mut(&gone.registration.zone) {
                *crowd = crowd.saturating_sub(1);
            }
        }
        let there = |id: &&ContainerInstanceId| self.view.instance(**id).is_some_and(|one| one.connected);
        let going = u32::try_from(leaving.iter().filter(there).count()).unwrap_or(u32::MAX);
        let wanted = self.demand.present.saturating_sub(going);
        self.propose(wanted, leaving, (false, "fewer are needed"), plan);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> impl Strategy<Value = Facts> {
        (0u32..50, 0u32..50, 0u32..50, 0u32..50, any::<bool>(), any::<bool>(), 0u32..80).prop_map(
            |(there, asked, needed, spare, warm, idle, most)| Facts {
                there,
                asked,
                needed,
                most,
                spare: spare.min(there.saturating_sub(needed)),
                warm,
                idle,
            },
        )
    }

    fn scaling() -> impl Strategy<Value = ManagedScaling> {
        (1u32..=100, 1u32..20, 0u32..20).prop_map(|(target_capacity, minimum_step, more)| ManagedScaling {
            enabled: true,
            target_capacity,
            minimum_step,
            maximum_step: minimum_step + more,
            warmup_seconds: 300,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

        /// Never below what is needed, never by more than a step or beyond what there may be, and nothing goes that is not spare.
        #[test]
        fn a_pool_has_what_it_needs(facts in facts(), scaling in scaling()) {
            match facts.judge(&scaling) {
                Move::Stay => {}
                Move::Grow(to) => {
                    let from = facts.there.max(facts.asked);
                    prop_assert!(facts.needed > 0 && to > from && (facts.warm || facts.asked <= facts.there));
                    let least = scaling.minimum_step.min(facts.most - from);
                    prop_assert!(to <= facts.most && (least..=scaling.maximum_step).contains(&(to - from)));
                }
                Move::Shrink(count) => {
                    prop_assert!(facts.idle && count <= facts.spare && count <= scaling.maximum_step);
                    prop_assert!(facts.there - count >= facts.needed);
                    prop_assert!(reservation(facts.needed, facts.there - count) <= scaling.target_capacity.max(100));
                }
                Move::Settle(to) => prop_assert!(to >= facts.there && to >= facts.needed && to < facts.asked),
            }
        }

        /// With the same tasks it comes to rest, at a size at which nothing more is wanted, and moves in one direction only.
        #[test]
        fn it_does_not_flap(start in 0u32..60, needed in 0u32..60, scaling in scaling()) {
            let mut there = start;
            let (mut grew, mut shrank) = (false, false);
            for _ in 0..200 {
                let facts = Facts {
                    there, asked: there, needed, most: most(), spare: there.saturating_sub(needed), warm: true, idle: true,
                };
                match facts.judge(&scaling) {
                    Move::Grow(to) => (there, grew) = (to, true),
                    Move::Shrink(count) => (there, shrank) = (there - count, true),
                    Move::Stay | Move::Settle(_) => break,
                }
                // A step that is larger than what is needed may be taken back, but not again.
                prop_assert!(!(grew && shrank) || scaling.minimum_step > 1);
                if grew && shrank {
                    break;
                }
            }
            prop_assert!(there >= needed);
        }
    }

    #[test]
    fn the_reservation_is_ecss() {
        assert_eq!(reservation(0, 0), 100);
        assert_eq!(reservation(3, 0), 200);
        assert_eq!(reservation(3, 4), 75);
        assert_eq!(reservation(6, 4), 150);
        assert_eq!(at_target(3, 100), 3);
        assert_eq!(at_target(3, 80), 4);
        assert_eq!(at_target(0, 50), 0);
    }
}
