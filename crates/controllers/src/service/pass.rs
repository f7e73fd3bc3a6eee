//! One look at one service, or at one of its task sets: which tasks stop, how many start and where, and what there is to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trireme_scheduler::{Expression, Group, Placed, Request, Wanted, choose_to_stop};
use trireme_state::command::CapacityCommand;
use trireme_state::index::ServiceLoad;
use trireme_state::limits::PLACEMENTS_PER_COMMAND;
use trireme_state::object::{
    ClusterKey, ContainerInstance, Deployment, Described, Launch, Launching, PlacementConstraint,
    PlacementRules, RolloutState, Service, Task,
};
use trireme_state::{Command, Placement};
use trireme_types::{ContainerInstanceId, DeploymentId, TaskId};

use super::census::{Census, Sorting, runs};
use super::daemon::{self, Seats};
use super::health::Health;
use super::judged::Judged;
use super::launch::{self, Launched};
use super::memory::Machines;
use super::rollout::{self, Counts, Moves, Retired};
use super::room::Asked;
use super::{Look, rebalance, restart, text};
use crate::unit;

/// One look at one service, or at one of its task sets.
pub struct Pass<'a> {
    /// The service.
    pub service: &'a Service,
    /// What new tasks belong to.
    pub primary: &'a Deployment,
    /// What runs the same revision, the primary included.
    pub ours: BTreeSet<DeploymentId>,
    /// How many tasks there are to be.
    pub desired: u32,
    /// What its tasks' network is read from.
    pub described: &'a Described,
    /// Of whom people are told.
    pub subject: String,
    /// Those that are not STOPPED.
    pub tasks: &'a [Arc<Task>],
    /// Who is healthy.
    pub health: Health<'a>,
    /// It has not failed: tasks may start, and take the place of others.
    pub starts: bool,
    /// There are enough new tasks: others need not wait for more of them to go.
    pub clears: bool,
    /// What is needed.
    pub judged: Judged,
    /// Tasks that are wanted beyond the desired count, for a while.
    pub extra: usize,
    /// Where its tasks belong, if it is a daemon.
    pub seats: Option<Seats>,
}

/// What a step found, to be recorded.
pub struct Found<'a> {
    /// The tasks.
    pub census: Census<'a>,
    /// The same, counted.
    pub counts: Counts,
    /// Those that failed.
    pub restart: restart::Restart,
    /// What a service's owner is to be told.
    pub events: Vec<String>,
}

impl<'a> Pass<'a> {
    /// Stops and starts what is to be stopped and started.
    pub fn step(&mut self, look: &mut Look<'_>, load: &ServiceLoad) -> Found<'a> {
        let lasting = look.view.deployments_like(&self.service.key, load, self.primary.id);
        let sorting = Sorting {
            primary: self.ours.clone(),
            draining: look.draining,
            seats: self.seats.as_ref(),
            lasting: &lasting,
            health: self.health,
        };
        let census = sorting.census(self.tasks);
        let restart = restart::judge(&self.scene(look, load));
        let held = if self.starts { restart.held.map_or(0, |(_, count)| count) } else { usize::MAX };
        let counts = census.counts(self.service, (self.desired, self.extra), self.health, held);
        let mut moves = rollout::moves(&counts);
        if !self.starts {
            moves.retire = rollout::fewer_of_failed(&counts);
        }
        let placed = self.place(look, &census, &restart.unstarted, moves.start);
        if placed.unplaced.is_some() && counts.replaced() > 0 {
            self.judged.looked_at(Machines::All);
        }
        let mut room = Retired::default();
        if let Some(why) = &placed.unplaced {
            let wanted = rollout::make_room(&counts, moves.retire, why.unplaced, census.stopping);
            if wanted.all() > 0 && self.would_help(look, &census, moves.retire.plus(wanted)) {
                room = wanted;
            }
        }
        if room.all() == 0 && self.clears {
            room = rollout::make_room(&counts, moves.retire, usize::MAX, 0);
        }
        let mut events = Vec::new();
        self.tell_of_placement(&placed, &mut events);
        if moves.stuck && census.stopping == 0 {
            self.tell(text::stuck(&self.service.key.name), &mut events);
        }
        if self.starts {
            self.tell_of_restart(&restart, &counts, &mut events);
        }
        self.wake_for_health(&counts, &restart);
        self.stop(&census, &moves, moves.retire.plus(room), &mut events);
        if counts.replaced() > 0 || counts.fresh > counts.desired {
            self.wake_for_protections(&census);
        }
        self.start(&placed.placed);
        Found { census, counts, restart, events }
    }

    /// Where its failures are looked for.
    pub fn scene<'s>(&'s self, look: &Look<'s>, load: &'s ServiceLoad) -> restart::Scene<'s> {
        let (view, deployment, tasks, health) = (look.view, self.primary, self.tasks, self.health);
        restart::Scene { view, deployment, tasks, load, health }
    }

    /// Stops them: those that nobody counts on, those beyond the desired count, and those that others have replaced.
    fn stop(&mut self, census: &Census<'_>, moves: &Moves, retire: Retired, events: &mut Vec<String>) {
        let health = self.health;
        let free = |task: &Task| health.protected_until(task).is_none();
        let mut stops: Vec<TaskId> = census.idle.iter().map(|task| task.id).collect();
        let excess = |count| self.to_stop_of_fresh(&census.fresh, count, free);
        stops.extend(choose_excess(&census.fresh, moves, health, excess));
        let (retired, sick) = self.retired(census, retire);
        stops.extend(retired);
        self.judged.stop(self.service, &stops, &text::scaling(self.primary.id));
        self.judged.stop(self.service, &sick, text::HEALTH_CHECKS_FAILED);
        if moves.kept > 0 {
            self.tell(text::protected(&self.service.key.name), events);
        }
    }

    /// Which tasks that others replace stop, and which sick ones.
    fn retired(&self, census: &Census<'_>, retire: Retired) -> (Vec<TaskId>, Vec<TaskId>) {
        let health = self.health;
        let free = |task: &Task| health.protected_until(task).is_none();
        let weak = |task: &Task| free(task) && !health.is_healthy(task);
        let mut stops = self.to_retire(census, retire.weak, weak);
        let healthy = |task: &Task| free(task) && health.is_healthy(task);
        stops.extend(self.to_retire(census, retire.outgoing, healthy));
        (stops, self.to_stop(&census.sick, retire.sick, |_| true))
    }

    /// The end of a protection is no news; and one that may stop may have to stay because another may not.
    fn wake_for_protections(&mut self, census: &Census<'_>) {
        let ends = census.fresh.iter().chain(&census.outgoing);
        if let Some(at) = ends.filter_map(|task| self.health.protected_until(task)).min() {
            self.judged.wake(at);
        }
    }

    /// Which of some tasks stop first: the service's strategy the other way round. Those that may not stop crowd the others all the same.
    fn to_stop(&self, tasks: &[&Task], count: usize, may_stop: impl Fn(&Task) -> bool) -> Vec<TaskId> {
        let strategy = PlacementRules::of_service(&self.service.spec.described).strategy;
        choose_to_stop(self.health.view, &strategy, tasks.iter().copied(), count, may_stop)
    }

    /// The same of fresh tasks. Those of a deployment that has failed, for which another stands in, are the first.
    fn to_stop_of_fresh(
        &self,
        fresh: &[&Task],
        count: usize,
        may_stop: impl Fn(&Task) -> bool,
    ) -> Vec<TaskId> {
        if count == 0 {
            return Vec::new();
        }
        let failed = |task: &Task| !self.health.view.runs(&self.service.key, task, self.primary.id);
        let mut stops = self.to_stop(fresh, count, |task| may_stop(task) && failed(task));
        let left: Vec<&Task> = fresh.iter().copied().filter(|task| !stops.contains(&task.id)).collect();
        let more = count.saturating_sub(stops.len());
        let launching = Launching::of(self.described);
        stops.extend(match launching.strategy() {
            [] | [_] => self.to_stop(&left, more, may_stop),
            strategy => launch::to_stop(self.health.view, strategy, &left, more, |tasks| {
                self.to_stop(tasks, tasks.len(), &may_stop)
            }),
        });
        stops
    }

    /// The same of tasks that others replace: of a daemon those beside a healthy one.
    fn to_retire(&self, census: &Census<'_>, count: usize, may_stop: impl Fn(&Task) -> bool) -> Vec<TaskId> {
        if self.seats.is_none() {
            return self.to_stop(&census.outgoing, count, may_stop);
        }
        let healthy = census.fresh.iter().filter(|task| self.health.is_healthy(task));
        let replaced: BTreeSet<ContainerInstanceId> = healthy.map(|task| task.instance).collect();
        let mut tasks: Vec<&Task> = census.outgoing.iter().filter(|task| may_stop(task)).copied().collect();
        tasks.sort_by_key(|task| (!replaced.contains(&task.instance), task.instance));
        tasks.into_iter().take(count).map(|task| task.id).collect()
    }

    /// Where its tasks may be placed: as the service says, and as their definition does.
    pub fn rules(&self) -> PlacementRules {
        unit::rules(self.health.view, self.service, &self.primary.task_definition)
    }

    /// A task that failed to start counts as if it were there still: a machine that cannot start it, for want of a port or an
    /// image, has no task of the service, and would otherwise be the first choice for ever.
    fn place(
        &mut self,
        look: &mut Look<'_>,
        census: &Census<'_>,
        unstarted: &[Arc<Task>],
        count: usize,
    ) -> Launched {
        let wanted = if count > 0 { self.wanted(look) } else { None };
        let Some(wanted) = wanted else { return Launched::default() };
        if self.seats.is_some() {
            let request =
                Request { wanted, group: self.group(std::iter::empty()), rules: self.rules(), count };
            let placed = daemon::place(self, look, census, &request);
            self.wait_for_place(&placed, &request);
            return Launched { placed: vec![(None, placed.placements)], unplaced: placed.unplaced };
        }
        let unstarted = match self.extra {
            0 => unstarted.iter().collect(),
            _ => rebalance::lately(unstarted, self.health.now),
        };
        let there = census.fresh.iter().copied().chain(unstarted.into_iter().map(|task| &**task));
        let request = Request { wanted, group: self.group(there), rules: self.rules(), count };
        launch::place(self, look, request, census.fresh.iter().copied())
    }

    /// The cluster that its machines are in.
    pub fn machines(&self) -> ClusterKey {
        Launching::of(self.described).machines(&self.service.key.cluster)
    }

    /// Who found no place waits for one.
    pub fn wait_for_place(&mut self, placed: &Placed, request: &Request) {
        let Some(why) = &placed.unplaced else { return };
        self.judged.unplaced = self.judged.unplaced.saturating_add(why.unplaced);
        let cluster = &self.machines();
        let asked = Asked { cluster, wanted: &request.wanted, rules: &request.rules };
        self.judged.wait(asked.anywhere(why));
    }

    /// The service's tasks, with these of them there.
    pub fn group<'t>(&self, tasks: impl Iterator<Item = &'t Task>) -> Group {
        unit::group(self.service, tasks)
    }

    /// What a new task asks of its machine; `None` when there is nothing to make it from.
    pub fn wanted(&self, look: &mut Look<'_>) -> Option<Wanted> {
        let (view, scope) = (look.view, &self.service.key.cluster.scope);
        let definition = &self.primary.task_definition;
        unit::wanted(view, scope, definition, self.described, |subnet| look.free_addresses(subnet))
    }

    /// Whether a new task could run where an outgoing one does, if those were gone that would make room: else stopping them serves nobody.
    fn would_help(&self, look: &mut Look<'_>, census: &Census<'_>, retire: Retired) -> bool {
        let Some(Wanted { reservation: wanted, gpus, requirements, addresses }) = self.wanted(look) else {
            return false;
        };
        let expressions: Vec<Expression> = self.rules().constraints.iter().filter_map(expression).collect();
        let (view, now) = (look.view, self.health.now);
        let (retired, sick) = self.retired(census, retire);
        let leaving: BTreeSet<TaskId> = retired.into_iter().chain(sick).collect();
        // A daemon's own tasks are seen by none of them.
        let unseen = self.seats.as_ref().map(|_| self.group(std::iter::empty()));
        let seen = |task: &Task| {
            let own = unseen.as_ref().is_some_and(|group| task.group == group.name());
            task.wanted() && !leaving.contains(&task.id) && !own
        };
        let holds = |one: &Expression, instance: &ContainerInstance| one.holds_of(seen, view, instance, now);
        census.outgoing.iter().chain(&census.sick).any(|task| {
            !look.draining.contains(&task.instance)
                && look.view.instance(task.instance).is_some_and(|instance| {
                    let all = &instance.registration.resources;
                    let ports_free = !wanted.ports.iter().any(|port| all.reserved_ports.contains(port));
                    let met = requirements.iter().all(|requirement| requirement.is_met(instance));
                    let zone = &instance.registration.zone;
                    look.view.is_present(instance)
                        && met
                        && expressions.iter().all(|one| holds(one, instance))
                        && addresses.as_ref().is_none_or(|addresses| addresses.are_in(zone))
                        && wanted.cpu <= all.cpu
                        && wanted.memory <= all.memory
                        && (gpus == 0 || gpus as usize <= instance.registration.gpus().len())
                        && ports_free
                })
        })
    }

    fn tell_of_placement(&mut self, placed: &Launched, events: &mut Vec<String>) {
        let Some(why) = &placed.unplaced else { return };
        let subject = &self.subject;
        self.judged.say(format!("{subject}: {} tasks without a place: {why}", why.unplaced));
        for node in &why.refusals {
            self.judged.say(format!("{} ({}): {}", node.name, node.zone, node.refusal));
        }
        let name = &self.service.key.name;
        let text = match Launching::of(self.described).is_fargate() {
            true => text::no_capacity(name),
            false => text::cannot_place(name, why),
        };
        self.tell(text, events);
    }

    /// Says it now, or again when that is due.
    fn tell(&mut self, text: String, events: &mut Vec<String>) {
        match text::told_until(self.service, &text, self.health.now) {
            Some(until) => self.judged.wake(until),
            None => events.push(text),
        }
    }

    fn tell_of_restart(&mut self, restart: &restart::Restart, counts: &Counts, events: &mut Vec<String>) {
        let subject = &self.subject;
        let missing = counts.desired.saturating_sub(counts.fresh);
        let waiting = missing.min(counts.held);
        if let Some((at, _)) = restart.held.filter(|_| waiting > 0) {
            let what = if restart.never_starts { "fail to start" } else { "exit soon after they start" };
            let wait = at.since(self.health.now);
            self.judged.say(format!("{subject}: its tasks {what}; {waiting} wait for {wait:?}"));
            self.judged.wake(at);
        }
        if restart.never_starts && missing > 0 {
            self.tell(text::cannot_start(&self.service.key.name), events);
        }
    }

    /// Nothing else happens when a task becomes healthy: it must be looked for.
    fn wake_for_health(&mut self, counts: &Counts, restart: &restart::Restart) {
        let sick = self.tasks.iter().filter_map(|task| self.health.sick_from(task));
        if let Some(at) = sick.filter(|at| *at > self.health.now).min() {
            self.judged.wake(at);
        }
        let too_many = counts.fresh > counts.desired;
        let each_matters = counts.replaced() > 0 || too_many || restart.ends_with_health;
        let last_matters =
            self.primary.rollout == RolloutState::InProgress && counts.fresh_running == counts.desired;
        if !each_matters && !last_matters {
            return;
        }
        let ours =
            |task: &&Arc<Task>| each_matters || task.deployment().is_some_and(|id| self.ours.contains(&id));
        let proven = self.tasks.iter().filter(ours).filter_map(|task| self.health.proven_at(task));
        let to_come = proven.filter(|at| *at > self.health.now);
        let at = if each_matters { to_come.min() } else { to_come.max() };
        if let Some(at) = at {
            self.judged.wake(at);
        }
    }

    fn start(&mut self, placed: &[(Option<Launch>, Vec<Placement>)]) {
        let (service, version, deployment) = (&self.service.key, self.service.version, self.primary.id);
        for (launch, placements) in placed.iter().filter(|(_, placements)| !placements.is_empty()) {
            self.judged.say(format!("{}: starts {} tasks", self.subject, placements.len()));
            self.judged.start(placements.chunks(PLACEMENTS_PER_COMMAND).map(|placements| {
                let (service, placements) = (service.clone(), placements.to_vec());
                match launch.clone() {
                    None => Command::StartServiceTasks { service, version, deployment, placements },
                    Some(launch) => Command::Capacity(Box::new(CapacityCommand::StartServiceTasks {
                        service,
                        version,
                        deployment,
                        placements,
                        launch,
                    })),
                }
            }));
        }
    }
}

fn expression(constraint: &PlacementConstraint) -> Option<Expression> {
    match constraint {
        PlacementConstraint::MemberOf(text) => Expression::parse(text).ok(),
        // A task that goes leaves room for another.
        PlacementConstraint::DistinctInstance => None,
    }
}

/// Of too many fresh tasks, those to stop: by crowding, but no more RUNNING and no more healthy ones than allowed.
fn choose_excess(
    fresh: &[&Task],
    moves: &Moves,
    health: Health<'_>,
    to_stop: impl Fn(usize) -> Vec<TaskId>,
) -> Vec<TaskId> {
    let count = moves.excess;
    if count == 0 {
        return Vec::new();
    }
    if moves.excess_healthy >= count {
        return to_stop(count);
    }
    let kinds: BTreeMap<TaskId, (bool, bool)> =
        fresh.iter().map(|task| (task.id, (runs(task), health.is_healthy(task)))).collect();
    let (mut running, mut healthy) = (moves.excess_running, moves.excess_healthy);
    let order = to_stop(fresh.len());
    let chosen = order.into_iter().filter(|id| {
        let (runs, is_healthy) = kinds.get(id).copied().unwrap_or_default();
        let take = (!runs || running > 0) && (!is_healthy || healthy > 0);
        if take {
            running = running.saturating_sub(usize::from(runs));
            healthy = healthy.saturating_sub(usize::from(is_healthy));
        }
        take
    });
    chosen.take(count).collect()
}
