//! What a course comes to: for each service that it touches, and as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use trireme_scheduler::{Explanation, Nodes, place, place_each};
use trireme_state::State;
use trireme_state::object::{Service, ServiceKey, ServiceStatus, Task, TaskStatus};
use trireme_types::ContainerInstanceId;

use super::course::{Counts, Course, Move, MoveKind};
use crate::unit::{self, Unit};

/// Whether a service is whole in the end. The order is from good to bad.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is, in whatever order things happen.
    Fits,
    /// It is in the order that was tried; in another one it may not be.
    Uncertain(String),
    /// It is not.
    DoesNotFit(String),
}

impl Verdict {
    /// Whether it is certain that all is well.
    pub fn fits(&self) -> bool {
        *self == Self::Fits
    }
}

/// What comes of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceOutlook {
    /// Its full name.
    pub key: ServiceKey,
    /// How many tasks it wants in the end.
    pub desired: u32,
    /// Of its tasks that are wanted, those that run at the beginning.
    pub running_before: usize,
    /// And at the end.
    pub running_after: usize,
    /// The fewest healthy ones on the way.
    pub lowest_healthy: usize,
    /// Tasks that start.
    pub started: usize,
    /// Tasks that are told to stop.
    pub stopped: usize,
    /// Tasks that are lost with their machines.
    pub lost: usize,
    /// It was whole at the beginning.
    pub was_whole: bool,
    /// Whether it is whole in the end.
    pub verdict: Verdict,
    /// Why a task finds no place in the end, if one finds none.
    pub unplaced: Option<Explanation>,
}

/// What comes of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Those that something happens to, and those that are not whole; by name.
    pub services: Vec<ServiceOutlook>,
    /// What happens to tasks, in order.
    pub moves: Vec<Move>,
    /// Moves that were not kept.
    pub moves_left_out: usize,
    /// It came to rest: nothing more happens by itself.
    pub settled: bool,
    /// How long it took on the made clock.
    pub lasted: Duration,
}

impl Outlook {
    /// What `course`, which began with `before`, has come to. `doubtful` are services of which a task may find no place in another order.
    pub fn of(before: &State, course: &Course, doubtful: &BTreeSet<ServiceKey>) -> Self {
        let (moves, moves_left_out) = course.moves();
        let services = course.state().services().filter_map(|service| {
            let counts = course.counts(&service.key);
            let outlook = one(before, course, service, counts, doubtful)?;
            (counts != Counts::default() || !outlook.verdict.fits()).then_some(outlook)
        });
        Self {
            services: services.collect(),
            moves: moves.to_vec(),
            moves_left_out,
            settled: course.is_settled(),
            lasted: course.lasted(),
        }
    }

    /// Without services that nothing happens to, but for those that `concerned` picks, and those that lack something only because others
    /// took their room: they are whole at the end of `without`, which is the course of things without the change.
    #[must_use]
    pub fn of_touched(mut self, without: &Course, concerned: impl Fn(&ServiceKey) -> bool) -> Self {
        let whole = |key: &ServiceKey| {
            without.state().service(key).is_some_and(|service| unit::is_whole(without.state(), service))
        };
        let crowded_out =
            |one: &ServiceOutlook| matches!(one.verdict, Verdict::DoesNotFit(_)) && whole(&one.key);
        self.services
            .retain(|one| one.started > 0 || one.stopped > 0 || concerned(&one.key) || crowded_out(one));
        self
    }

    /// The worst verdict of those services that `judged` picks.
    pub fn verdict(&self, judged: impl Fn(&ServiceOutlook) -> bool) -> Verdict {
        let verdicts = self.services.iter().filter(|one| judged(one)).map(|one| &one.verdict);
        verdicts.max().cloned().unwrap_or(Verdict::Fits)
    }

    /// Tasks of nobody's service that are lost: they run nowhere else.
    pub fn standalone_lost(&self) -> impl Iterator<Item = &Arc<Task>> {
        let lost = self.moves.iter().filter(|one| one.kind == MoveKind::IsLost);
        lost.map(|one| &one.task).filter(|task| task.service().is_none())
    }
}

fn running(state: &State, service: &ServiceKey) -> usize {
    let runs = |task: &&Arc<Task>| task.wanted() && task.last_status == TaskStatus::Running;
    state.tasks_of_service(service).iter().filter(runs).count()
}

/// `None` for a service that is gone, or on its way.
fn one(
    before: &State,
    course: &Course,
    service: &Arc<Service>,
    counts: Counts,
    doubtful: &BTreeSet<ServiceKey>,
) -> Option<ServiceOutlook> {
    if service.status != ServiceStatus::Active {
        return None;
    }
    let (after, key) = (course.state(), &service.key);
    let units = Unit::of_service(after, service);
    let unplaced = if unit::is_whole(after, service) { None } else { unplaced(course, &units) };
    let was = before.service(key);
    Some(ServiceOutlook {
        key: key.clone(),
        desired: units.iter().fold(0, |sum, unit| sum.saturating_add(unit.desired)),
        running_before: running(before, key),
        running_after: running(after, key),
        lowest_healthy: course.lowest(key),
        started: counts.started,
        stopped: counts.stopped,
        lost: counts.lost,
        was_whole: was.is_some_and(|was| unit::is_whole(before, was)),
        verdict: verdict(before, course, service, doubtful, unplaced.as_ref()),
        unplaced,
    })
}

fn verdict(
    before: &State,
    course: &Course,
    service: &Arc<Service>,
    doubtful: &BTreeSet<ServiceKey>,
    unplaced: Option<&Explanation>,
) -> Verdict {
    if let Some(why) = course.refused() {
        return Verdict::Uncertain(format!("a step of the control plane was refused: {why}"));
    }
    if !course.is_settled() {
        return Verdict::Uncertain("it does not come to rest within what is looked ahead".to_owned());
    }
    if waits(course.state(), service) {
        return Verdict::Uncertain(
            "its deployment waits for a word of its user (ContinueServiceDeployment)".to_owned(),
        );
    }
    if !unit::is_whole(course.state(), service) {
        return Verdict::DoesNotFit(match unplaced {
            Some(why) => format!("tasks find no place: {why}"),
            None => "nothing may start and nothing may stop within minimumHealthyPercent and maximumPercent"
                .to_owned(),
        });
    }
    if before.service(&service.key).is_some_and(|was| is_failing(before, was)) {
        return Verdict::Uncertain("its tasks fail by themselves already".to_owned());
    }
    if doubtful.contains(&service.key) {
        return Verdict::Uncertain(
            "there is a place in the order that was tried; in another order there may be none".to_owned(),
        );
    }
    Verdict::Fits
}

/// Whether the deployment of a service waits for somebody.
fn waits(state: &State, service: &Service) -> bool {
    let primary = service.deployments.first();
    primary.is_some_and(|primary| state.lifecycles(&service.key).of(primary.id).waits())
}

/// Whether tasks of a service fail one after another.
fn is_failing(state: &State, service: &Service) -> bool {
    let sets = state.task_sets(&service.key);
    let of_sets = sets.is_some_and(|sets| sets.sets.iter().any(|set| set.back_off.is_some()));
    of_sets || service.deployments.iter().any(|deployment| deployment.back_off.is_some())
}

/// Why the next task of a unit that lacks some finds no place.
fn unplaced(course: &Course, units: &[Unit<'_>]) -> Option<Explanation> {
    let state = course.state();
    units.iter().find_map(|unit| {
        let tasks = state.tasks_of_service(&unit.service.key);
        let there: Vec<&Arc<Task>> = tasks.iter().filter(|task| unit.holds(state, task)).collect();
        let missing = unit.missing(&there);
        if missing == 0 {
            return None;
        }
        let empty = unit.seats.as_ref().map(|_| unit.empty_seats(&there));
        let request = unit.request(state, there.into_iter().map(|task| &**task), missing, course.now())?;
        let cluster = &unit.machines();
        match empty {
            None => place(state, cluster, &request).unplaced,
            Some(empty) => {
                let on: Vec<ContainerInstanceId> = empty.into_iter().collect();
                place_each(&mut Nodes::of_cluster(state, cluster), &request, &on).unplaced
            }
        }
    })
}
