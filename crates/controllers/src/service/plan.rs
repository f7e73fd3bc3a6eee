//! One service, looked at in full: what is there, what is to be, the commands between the two.

use std::sync::Arc;

use trireme_scheduler::{Group, Placed, Request, choose_to_stop};
use trireme_state::command::ServiceProgress;
use trireme_state::index::ServiceLoad;
use trireme_state::limits::PLACEMENTS_PER_COMMAND;
use trireme_state::object::{
    Deployment, DeploymentStatus, RolloutState, Service, ServiceStatus, Task, TaskOverrides, TaskStatus,
};
use trireme_state::query::reservation;
use trireme_state::{Command, Placement};
use trireme_types::{DeploymentId, TaskId, Timestamp};

use super::{Look, restart, rollout, text};
use crate::driver::Plan;

/// What one service needs.
#[derive(Default)]
pub struct Judged {
    commands: Vec<Command>,
    lines: Vec<String>,
    wake_at: Option<Timestamp>,
    /// Tasks that found no place.
    pub unplaced: usize,
}

impl Judged {
    /// Whether the next pass must look again, though neither the service nor its tasks change.
    pub fn needs_more(&self) -> bool {
        !self.commands.is_empty() || self.wake_at.is_some() || self.unplaced > 0
    }

    /// Adds all of it to the pass's plan.
    pub fn add_to(self, plan: &mut Plan) {
        plan.commands.extend(self.commands);
        self.lines.into_iter().for_each(|line| plan.report.say(line));
        if let Some(at) = self.wake_at {
            plan.wake(at);
        }
    }
}

/// Judges one service.
pub fn service(look: &mut Look<'_>, service: &Arc<Service>, load: &ServiceLoad) -> Judged {
    let tasks: Vec<Arc<Task>> = load.tasks.iter().filter_map(|id| look.view.task(*id)).cloned().collect();
    let Some(primary) = service.deployments.iter().find(|one| one.status == DeploymentStatus::Primary) else {
        return Judged::default();
    };
    let mut pass = Pass { service, primary, tasks: &tasks, judged: Judged::default() };
    match service.status {
        ServiceStatus::Active => pass.active(look, load),
        ServiceStatus::Draining => pass.draining(),
        ServiceStatus::Inactive => {}
    }
    pass.judged
}

/// A service's tasks that are wanted, sorted by what may become of them.
#[derive(Default)]
struct Census<'a> {
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
    fn counts(&self, service: &Service) -> rollout::Counts {
        let desired = service.spec.desired_count;
        let limits = service.spec.deployment_configuration;
        rollout::Counts {
            desired: desired as usize,
            maximum: limits.maximum(desired) as usize,
            minimum: limits.minimum(desired) as usize,
            fresh: self.fresh.len(),
            fresh_running: self.fresh.iter().filter(|task| runs(task)).count(),
            outgoing: self.outgoing.len(),
        }
    }
}

fn runs(task: &Task) -> bool {
    task.last_status == TaskStatus::Running
}

/// One look at one service.
struct Pass<'a> {
    service: &'a Service,
    primary: &'a Deployment,
    /// Those that are not STOPPED.
    tasks: &'a [Arc<Task>],
    judged: Judged,
}

impl<'a> Pass<'a> {
    fn active(&mut self, look: &mut Look<'_>, load: &ServiceLoad) {
        let census = self.census(look);
        let counts = census.counts(self.service);
        let restart = restart::judge(look.view, self.primary, self.tasks, load, look.now);
        let moves = rollout::moves(&counts, restart.blocked_until.is_none());

        let mut stops: Vec<TaskId> = census.idle.iter().map(|task| task.id).collect();
        stops.extend(choose_excess(&census.fresh, moves.excess, moves.excess_running));
        let placed = self.place(look, &census, moves.start);
        let room = match &placed.unplaced {
            Some(why) if would_help(look, self.service, &census) => {
                rollout::make_room(&counts, moves.retire, why.unplaced, census.stopping)
            }
            _ => 0,
        };
        let retire = moves.retire.saturating_add(room);
        stops.extend(choose_to_stop(census.outgoing.iter().copied(), retire));

        let mut progress = ServiceProgress::default();
        self.tell_of_placement(&placed, &mut progress, look.now);
        if moves.stuck && census.stopping == 0 {
            self.tell(text::stuck(&self.service.key.name), &mut progress, look.now);
        }
        self.record_restart(restart, counts.desired > counts.fresh, &mut progress, look.now);
        self.record_rollout(&census, &counts, load, &mut progress);
        self.stop(&stops);
        self.start(&placed.placements);
        self.record(progress);
    }

    fn draining(&mut self) {
        let wanted: Vec<TaskId> =
            self.tasks.iter().filter(|task| task.wanted()).map(|task| task.id).collect();
        self.stop(&wanted);
        if self.tasks.is_empty() {
            self.record(ServiceProgress { inactive: true, ..ServiceProgress::default() });
        }
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

    fn place(&mut self, look: &mut Look<'_>, census: &Census<'_>, count: usize) -> Placed {
        let definition = look.view.task_definition(&self.primary.task_definition);
        let Some(definition) = definition.filter(|_| count > 0) else { return Placed::default() };
        let request = Request {
            reservation: reservation(&definition.spec, &TaskOverrides::default()),
            group: Group::of_tasks(census.fresh.iter().copied()),
            count,
        };
        let placed = look.place(&self.service.key.cluster, &request);
        self.judged.unplaced = placed.unplaced.as_ref().map_or(0, |why| why.unplaced);
        placed
    }

    fn tell_of_placement(&mut self, placed: &Placed, progress: &mut ServiceProgress, now: Timestamp) {
        let Some(why) = &placed.unplaced else { return };
        let name = &self.service.key.name;
        self.judged.lines.push(format!("service {name}: {} tasks without a place: {why}", why.unplaced));
        self.judged.lines.extend(
            why.refusals.iter().map(|node| format!("{} ({}): {}", node.name, node.zone, node.refusal)),
        );
        self.tell(text::cannot_place(name, why), progress, now);
    }

    fn tell(&self, text: String, progress: &mut ServiceProgress, now: Timestamp) {
        if !text::told_lately(self.service, &text, now) {
            progress.events.push(text);
        }
    }

    fn record_restart(
        &mut self,
        restart: restart::Restart,
        needs_tasks: bool,
        progress: &mut ServiceProgress,
        now: Timestamp,
    ) {
        if let Some((back_off, failed)) = restart.record {
            progress.back_offs.push((self.primary.id, back_off, failed));
        }
        if restart.failing {
            self.tell(text::cannot_start(&self.service.key.name), progress, now);
        }
        if let Some(at) = restart.blocked_until.filter(|_| needs_tasks) {
            let name = &self.service.key.name;
            self.judged.lines.push(format!(
                "service {name}: its tasks fail to start; the next comes in {:?}",
                at.since(now)
            ));
            self.judged.wake_at = Some(at);
        }
    }

    /// Old deployments whose tasks are gone, the primary's completion, and the steady state, which follow in this order.
    fn record_rollout(
        &mut self,
        census: &Census<'_>,
        counts: &rollout::Counts,
        load: &ServiceLoad,
        progress: &mut ServiceProgress,
    ) {
        let name = &self.service.key.name;
        let older = self.service.deployments.iter().filter(|one| one.id != self.primary.id);
        let (kept, gone): (Vec<&Deployment>, Vec<&Deployment>) =
            older.partition(|one| self.tasks.iter().any(|task| task.deployment() == Some(one.id)));
        progress.retired = gone.iter().map(|one| one.id).collect::<Vec<DeploymentId>>();
        let whole = kept.is_empty()
            && counts.fresh == counts.desired
            && counts.fresh_running == counts.desired
            && census.outgoing.is_empty()
            && census.idle.is_empty();
        if whole && self.primary.rollout == RolloutState::InProgress {
            progress.rollouts.push((self.primary.id, RolloutState::Completed));
            progress.events.push(text::completed(name, self.primary.id));
        }
        // A task on its way out that still runs counts as running for everyone who waits for stability.
        let steady = whole && load.running as usize == counts.desired;
        if steady != self.service.steady {
            progress.steady = Some(steady);
            if steady {
                progress.events.push(text::steady(name));
            }
        }
    }

    fn stop(&mut self, tasks: &[TaskId]) {
        if tasks.is_empty() {
            return;
        }
        self.judged.lines.push(format!("service {}: stops {} tasks", self.service.key.name, tasks.len()));
        self.judged.commands.extend(tasks.chunks(PLACEMENTS_PER_COMMAND).map(|tasks| {
            Command::StopServiceTasks {
                service: self.service.key.clone(),
                version: self.service.version,
                tasks: tasks.to_vec(),
                reason: text::scaling(self.primary.id),
            }
        }));
    }

    fn start(&mut self, placements: &[Placement]) {
        if placements.is_empty() {
            return;
        }
        self.judged.lines.push(format!(
            "service {}: starts {} tasks",
            self.service.key.name,
            placements.len()
        ));
        self.judged.commands.extend(placements.chunks(PLACEMENTS_PER_COMMAND).map(|placements| {
            Command::StartServiceTasks {
                service: self.service.key.clone(),
                version: self.service.version,
                deployment: self.primary.id,
                placements: placements.to_vec(),
            }
        }));
    }

    /// Last, for it may raise the service's version.
    fn record(&mut self, progress: ServiceProgress) {
        if progress == ServiceProgress::default() {
            return;
        }
        self.judged.lines.extend(progress.events.iter().cloned());
        self.judged.commands.push(Command::RecordProgress {
            service: self.service.key.clone(),
            version: self.service.version,
            progress: Box::new(progress),
        });
    }
}

/// Of too many fresh tasks, those to stop: by crowding, but no more RUNNING ones than allowed.
fn choose_excess(fresh: &[&Task], count: usize, running: usize) -> Vec<TaskId> {
    if count == 0 {
        return Vec::new();
    }
    if running >= count {
        return choose_to_stop(fresh.iter().copied(), count);
    }
    let runs: std::collections::BTreeSet<TaskId> =
        fresh.iter().filter(|task| self::runs(task)).map(|task| task.id).collect();
    let mut allowed = running;
    let order = choose_to_stop(fresh.iter().copied(), fresh.len());
    let chosen = order.into_iter().filter(|id| {
        let free = !runs.contains(id);
        let take = free || allowed > 0;
        allowed = if free { allowed } else { allowed.saturating_sub(1) };
        take
    });
    chosen.take(count).collect()
}

/// Whether a new task could run where an outgoing one does, if that one were gone: else stopping it serves nobody.
fn would_help(look: &Look<'_>, service: &Service, census: &Census<'_>) -> bool {
    let Some(primary) = service.deployments.first() else { return false };
    let Some(definition) = look.view.task_definition(&primary.task_definition) else { return false };
    let wanted = reservation(&definition.spec, &TaskOverrides::default());
    census.outgoing.iter().any(|task| {
        !look.draining.contains(&task.instance)
            && look.view.instance(task.instance).is_some_and(|instance| {
                let all = &instance.registration.resources;
                let ports_free = !wanted.ports.iter().any(|port| all.reserved_ports.contains(port));
                instance.connected && wanted.cpu <= all.cpu && wanted.memory <= all.memory && ports_free
            })
    })
}
