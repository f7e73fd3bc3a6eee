//! One service, looked at in full: what is there, what is to be, the commands between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trireme_scheduler::{Group, Placed, Request, Wanted, choose_to_stop};
use trireme_state::command::ServiceProgress;
use trireme_state::index::ServiceLoad;
use trireme_state::limits::PLACEMENTS_PER_COMMAND;
use trireme_state::object::{
    Deployment, DeploymentStatus, Described, NetworkConfiguration, RolloutState, Service, ServiceStatus,
    Task, TaskOverrides, TaskStatus,
};
use trireme_state::{Command, Placement};
use trireme_types::{DeploymentId, TaskId, Timestamp};

use super::health::Health;
use super::{Look, restart, rollout, stored, task_set, text};
use crate::driver::Plan;

/// What one service needs.
#[derive(Default)]
pub struct Judged {
    stops: Vec<Command>,
    starts: Vec<Command>,
    /// It raises the service's version: it comes after those that name the version before.
    record: Option<Command>,
    lines: Vec<String>,
    wake_at: Option<Timestamp>,
    /// Tasks that found no place.
    pub unplaced: usize,
}

impl Judged {
    /// Until when there is no need to look again while neither the service nor its tasks change: `Some(None)` is for ever,
    /// `None` is not at all.
    pub fn quiet_until(&self) -> Option<Option<Timestamp>> {
        let idle = self.stops.is_empty() && self.starts.is_empty() && self.record.is_none();
        (idle && self.unplaced == 0).then_some(self.wake_at)
    }

    /// It is to be looked at again then.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    fn stop(&mut self, service: &Service, tasks: &[TaskId], reason: &str) {
        if tasks.is_empty() {
            return;
        }
        self.lines.push(format!("service {}: stops {} tasks", service.key.name, tasks.len()));
        self.stops.extend(tasks.chunks(PLACEMENTS_PER_COMMAND).map(|tasks| Command::StopServiceTasks {
            service: service.key.clone(),
            version: service.version,
            tasks: tasks.to_vec(),
            reason: reason.to_owned(),
        }));
    }

    /// Adds what another look at the same service came to.
    pub fn extend(&mut self, other: Self) {
        self.stops.extend(other.stops);
        self.starts.extend(other.starts);
        self.lines.extend(other.lines);
        if let Some(at) = other.wake_at {
            self.wake(at);
        }
        self.unplaced = self.unplaced.saturating_add(other.unplaced);
    }

    /// What is to be recorded of the service, and what of it people are told.
    pub fn record<'a>(&mut self, command: Command, told: impl IntoIterator<Item = &'a String>) {
        self.lines.extend(told.into_iter().cloned());
        self.record = Some(command);
    }

    /// Adds all of it to the pass's plan.
    pub fn add_to(self, plan: &mut Plan) {
        // What frees goes before what takes: where nothing may be taken any more, it is freed all the same.
        plan.commands.extend(self.stops.into_iter().chain(self.starts).chain(self.record));
        self.lines.into_iter().for_each(|line| plan.report.say(line));
        if let Some(at) = self.wake_at {
            plan.wake(at);
        }
    }
}

/// Judges one service.
pub fn service(look: &mut Look<'_>, service: &Arc<Service>, load: &ServiceLoad) -> Judged {
    let tasks: Vec<Arc<Task>> = load.tasks.iter().filter_map(|id| look.view.task(*id)).cloned().collect();
    let sets = look.view.task_sets(&service.key).cloned();
    match (service.status, sets) {
        (ServiceStatus::Inactive, _) => Judged::default(),
        (ServiceStatus::Draining, _) => draining(service, &tasks),
        (ServiceStatus::Active, Some(sets)) => task_set::all(look, service, &sets, &tasks, load),
        (ServiceStatus::Active, None) => rolling(look, service, &tasks, load),
    }
}

/// A service whose deployments Trireme controls.
fn rolling(look: &mut Look<'_>, service: &Service, tasks: &[Arc<Task>], load: &ServiceLoad) -> Judged {
    let Some(primary) = service.deployments.iter().find(|one| one.status == DeploymentStatus::Primary) else {
        return Judged::default();
    };
    let mut pass = Pass {
        service,
        primary,
        desired: service.spec.desired_count,
        described: &service.spec.described,
        subject: format!("service {}", service.key.name),
        tasks,
        health: look.health,
        judged: Judged::default(),
    };
    let mut progress = ServiceProgress::default();
    let found = pass.step(look, load);
    if let Some((back_off, not_started)) = found.restart.record {
        progress.back_offs.push((primary.id, back_off, not_started));
    }
    let subject = format!("(service {}) (deployment {})", service.key.name, primary.id);
    progress.events.extend(stored::event(look.view, service, primary, &service.spec.described, &subject));
    progress.events.extend(found.events);
    pass.record_rollout(&found.census, &found.counts, load, found.restart.failing, &mut progress);
    pass.record(progress);
    pass.judged
}

/// A deleted service: its tasks stop, and then it is inactive.
fn draining(service: &Service, tasks: &[Arc<Task>]) -> Judged {
    let mut judged = Judged::default();
    let wanted: Vec<&Arc<Task>> = tasks.iter().filter(|task| task.wanted()).collect();
    // Each of its deployments stops its own.
    let deployments: BTreeSet<Option<DeploymentId>> = wanted.iter().map(|task| task.deployment()).collect();
    for deployment in deployments {
        let of = wanted.iter().filter(|task| task.deployment() == deployment);
        let ids: Vec<TaskId> = of.map(|task| task.id).collect();
        judged.stop(service, &ids, &deployment.map(text::scaling).unwrap_or_default());
    }
    if tasks.is_empty() {
        let progress = Box::new(ServiceProgress { inactive: true, ..ServiceProgress::default() });
        let (service, version) = (service.key.clone(), service.version);
        judged.record(Command::RecordProgress { service, version, progress }, []);
    }
    judged
}

/// A service's tasks that are wanted, sorted by what may become of them.
#[derive(Default)]
pub struct Census<'a> {
    /// Of the primary deployment, where they may stay.
    fresh: Vec<&'a Task>,
    /// RUNNING, of an older deployment or on a draining instance.
    outgoing: Vec<&'a Task>,
    /// Like `outgoing`, but not RUNNING: they serve nobody and stop at once.
    idle: Vec<&'a Task>,
    /// On their way out already; they hold their places until they are STOPPED.
    stopping: usize,
}

impl Census<'_> {
    fn counts(&self, service: &Service, desired: u32, health: Health, held: usize) -> rollout::Counts {
        let limits = service.spec.deployment_configuration;
        rollout::Counts {
            desired: desired as usize,
            maximum: limits.maximum(desired) as usize,
            minimum: limits.minimum(desired) as usize,
            fresh: self.fresh.len(),
            fresh_running: self.fresh.iter().filter(|task| runs(task)).count(),
            fresh_healthy: self.fresh.iter().filter(|task| health.is_healthy(task)).count(),
            outgoing: self.outgoing.len(),
            held,
        }
    }
}

fn runs(task: &Task) -> bool {
    task.last_status == TaskStatus::Running
}

/// One look at one service, or at one of its task sets.
pub struct Pass<'a> {
    /// The service.
    pub service: &'a Service,
    /// What new tasks belong to.
    pub primary: &'a Deployment,
    /// How many tasks there are to be.
    pub desired: u32,
    /// What its tasks' network is read from.
    pub described: &'a Described,
    /// Of whom people are told.
    pub subject: String,
    /// Those that are not STOPPED.
    pub tasks: &'a [Arc<Task>],
    /// Who is healthy.
    pub health: Health,
    /// What is needed.
    pub judged: Judged,
}

/// What a step found, to be recorded.
pub struct Found<'a> {
    /// The tasks.
    pub census: Census<'a>,
    /// The same, counted.
    pub counts: rollout::Counts,
    /// Those that failed.
    pub restart: restart::Restart,
    /// What a service's owner is to be told.
    pub events: Vec<String>,
}

impl<'a> Pass<'a> {
    /// Stops and starts what is to be stopped and started.
    pub fn step(&mut self, look: &mut Look<'_>, load: &ServiceLoad) -> Found<'a> {
        let census = self.census(look);
        let restart = restart::judge(&restart::Scene {
            view: look.view,
            deployment: self.primary,
            tasks: self.tasks,
            load,
            health: self.health,
        });
        let counts = census.counts(
            self.service,
            self.desired,
            self.health,
            restart.held.map_or(0, |(_, count)| count),
        );
        let moves = rollout::moves(&counts);

        let mut stops: Vec<TaskId> = census.idle.iter().map(|task| task.id).collect();
        stops.extend(choose_excess(&census.fresh, &moves, self.health));
        let placed = self.place(look, &census, &restart.unstarted, moves.start);
        let room = match &placed.unplaced {
            Some(why) if self.would_help(look, &census) => {
                rollout::make_room(&counts, moves.retire, why.unplaced, census.stopping)
            }
            _ => 0,
        };
        let retire = moves.retire.saturating_add(room);
        stops.extend(choose_to_stop(census.outgoing.iter().copied(), retire));

        let mut events = Vec::new();
        self.tell_of_placement(&placed, &mut events);
        if moves.stuck && census.stopping == 0 {
            self.tell(text::stuck(&self.service.key.name), &mut events);
        }
        self.tell_of_restart(&restart, &counts, &mut events);
        self.wake_for_health(&counts, &restart);
        self.judged.stop(self.service, &stops, &text::scaling(self.primary.id));
        self.start(&placed.placements);
        Found { census, counts, restart, events }
    }

    fn census(&self, look: &Look<'_>) -> Census<'a> {
        let mut census = Census::default();
        for task in self.tasks {
            if !task.wanted() {
                census.stopping = census.stopping.saturating_add(1);
            } else if task.deployment() == Some(self.primary.id) && !look.draining.contains(&task.instance) {
                census.fresh.push(task);
            } else if runs(task) {
                census.outgoing.push(task);
            } else {
                census.idle.push(task);
            }
        }
        census
    }

    /// A task that failed to start counts as if it were there still: a machine that cannot start it, for want of a port or an
    /// image, has no task of the service, and would otherwise be the first choice for ever.
    fn place(
        &mut self,
        look: &mut Look<'_>,
        census: &Census<'_>,
        unstarted: &[Arc<Task>],
        count: usize,
    ) -> Placed {
        let wanted = if count > 0 { self.wanted(look) } else { None };
        let Some(wanted) = wanted else { return Placed::default() };
        let request = Request {
            wanted,
            group: Group::of_tasks(census.fresh.iter().copied().chain(unstarted.iter().map(|task| &**task))),
            count,
        };
        let placed = look.place(&self.service.key.cluster, &request);
        self.judged.unplaced = placed.unplaced.as_ref().map_or(0, |why| why.unplaced);
        placed
    }

    /// What a new task asks of its machine; `None` when there is nothing to make it from.
    fn wanted(&self, look: &mut Look<'_>) -> Option<Wanted> {
        let view = look.view;
        let spec = &view.task_definition(&self.primary.task_definition)?.spec;
        let network = NetworkConfiguration::of(self.described);
        let scope = &self.service.key.cluster.scope;
        let wanted = Wanted::of(spec, &TaskOverrides::default());
        Some(wanted.in_subnets(view, scope, spec, network.as_ref(), |subnet| look.free_addresses(subnet)))
    }

    /// Whether a new task could run where an outgoing one does, if that one were gone: else stopping it serves nobody.
    fn would_help(&self, look: &mut Look<'_>, census: &Census<'_>) -> bool {
        let Some(Wanted { reservation: wanted, requirements, addresses }) = self.wanted(look) else {
            return false;
        };
        census.outgoing.iter().any(|task| {
            !look.draining.contains(&task.instance)
                && look.view.instance(task.instance).is_some_and(|instance| {
                    let all = &instance.registration.resources;
                    let ports_free = !wanted.ports.iter().any(|port| all.reserved_ports.contains(port));
                    let met = requirements.iter().all(|requirement| requirement.is_met(instance));
                    let zone = &instance.registration.zone;
                    look.view.is_present(instance)
                        && met
                        && addresses.as_ref().is_none_or(|addresses| addresses.are_in(zone))
                        && wanted.cpu <= all.cpu
                        && wanted.memory <= all.memory
                        && ports_free
                })
        })
    }

    fn tell_of_placement(&mut self, placed: &Placed, events: &mut Vec<String>) {
        let Some(why) = &placed.unplaced else { return };
        let subject = &self.subject;
        self.judged.lines.push(format!("{subject}: {} tasks without a place: {why}", why.unplaced));
        self.judged.lines.extend(
            why.refusals.iter().map(|node| format!("{} ({}): {}", node.name, node.zone, node.refusal)),
        );
        self.tell(text::cannot_place(&self.service.key.name, why), events);
    }

    /// Says it now, or again when that is due.
    fn tell(&mut self, text: String, events: &mut Vec<String>) {
        match text::told_until(self.service, &text, self.health.now) {
            Some(until) => self.judged.wake(until),
            None => events.push(text),
        }
    }

    fn tell_of_restart(
        &mut self,
        restart: &restart::Restart,
        counts: &rollout::Counts,
        events: &mut Vec<String>,
    ) {
        let subject = &self.subject;
        let missing = counts.desired.saturating_sub(counts.fresh);
        let waiting = missing.min(counts.held);
        if let Some((at, _)) = restart.held.filter(|_| waiting > 0) {
            let what = if restart.never_starts { "fail to start" } else { "exit soon after they start" };
            let wait = at.since(self.health.now);
            self.judged.lines.push(format!("{subject}: its tasks {what}; {waiting} wait for {wait:?}"));
            self.judged.wake(at);
        }
        if restart.never_starts && missing > 0 {
            self.tell(text::cannot_start(&self.service.key.name), events);
        }
    }

    /// Nothing else happens when a task becomes healthy: it must be looked for.
    fn wake_for_health(&mut self, counts: &rollout::Counts, restart: &restart::Restart) {
        let each_matters = counts.outgoing > 0 || restart.ends_with_health;
        let last_matters =
            self.primary.rollout == RolloutState::InProgress && counts.fresh_running == counts.desired;
        if !each_matters && !last_matters {
            return;
        }
        let ours = self.tasks.iter().filter(|task| task.deployment() == Some(self.primary.id));
        let to_come = ours.filter_map(|task| self.health.proven_at(task)).filter(|at| *at > self.health.now);
        let at = if each_matters { to_come.min() } else { to_come.max() };
        if let Some(at) = at {
            self.judged.wake(at);
        }
    }

    /// Old deployments whose tasks are gone, the primary's completion, and the steady state, which follow in this order.
    fn record_rollout(
        &mut self,
        census: &Census<'_>,
        counts: &rollout::Counts,
        load: &ServiceLoad,
        failing: bool,
        progress: &mut ServiceProgress,
    ) {
        let older = self.service.deployments.iter().filter(|one| one.id != self.primary.id);
        let (kept, gone): (Vec<&Deployment>, Vec<&Deployment>) =
            older.partition(|one| self.tasks.iter().any(|task| task.deployment() == Some(one.id)));
        progress.retired = gone.iter().map(|one| one.id).collect::<Vec<DeploymentId>>();
        let whole = kept.is_empty()
            && counts.fresh == counts.desired
            && counts.fresh_running == counts.desired
            && census.outgoing.is_empty()
            && census.idle.is_empty();
        let healthy = counts.fresh_healthy == counts.desired;
        let under_way = self.primary.rollout == RolloutState::InProgress;
        if whole && healthy && under_way {
            progress.rollouts.push((self.primary.id, RolloutState::Completed));
            progress.events.push(text::completed(&self.service.key.name, self.primary.id));
        }
        // A task on its way out that still runs counts as running for everyone who waits for stability.
        let runs = whole && load.counts().running as usize == counts.desired;
        let steady = runs && (healthy || !(under_way || failing));
        if steady == self.service.steady {
            return;
        }
        match text::unsteady_until(self.service, self.primary, self.health).filter(|_| steady) {
            Some(until) => self.judged.wake(until),
            None => {
                progress.steady = Some(steady);
                progress.events.extend(steady.then(|| text::steady(&self.service.key.name)));
            }
        }
    }

    fn start(&mut self, placements: &[Placement]) {
        if placements.is_empty() {
            return;
        }
        self.judged.lines.push(format!("{}: starts {} tasks", self.subject, placements.len()));
        self.judged.starts.extend(placements.chunks(PLACEMENTS_PER_COMMAND).map(|placements| {
            Command::StartServiceTasks {
                service: self.service.key.clone(),
                version: self.service.version,
                deployment: self.primary.id,
                placements: placements.to_vec(),
            }
        }));
    }

    fn record(&mut self, progress: ServiceProgress) {
        if progress == ServiceProgress::default() {
            return;
        }
        let told = progress.events.clone();
        let command = Command::RecordProgress {
            service: self.service.key.clone(),
            version: self.service.version,
            progress: Box::new(progress),
        };
        self.judged.record(command, &told);
    }
}

/// Of too many fresh tasks, those to stop: by crowding, but no more RUNNING and no more healthy ones than allowed.
fn choose_excess(fresh: &[&Task], moves: &rollout::Moves, health: Health) -> Vec<TaskId> {
    let count = moves.excess;
    if count == 0 {
        return Vec::new();
    }
    if moves.excess_healthy >= count {
        return choose_to_stop(fresh.iter().copied(), count);
    }
    let kinds: BTreeMap<TaskId, (bool, bool)> =
        fresh.iter().map(|task| (task.id, (runs(task), health.is_healthy(task)))).collect();
    let (mut running, mut healthy) = (moves.excess_running, moves.excess_healthy);
    let order = choose_to_stop(fresh.iter().copied(), fresh.len());
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
