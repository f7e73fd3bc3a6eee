//! The loop: wait for office, then look, plan, propose, sleep, until office is lost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use trireme_state::State;
use trireme_state::store::{BoxStream, Leadership, Store};
use trireme_types::{Sequence, Timestamp};

use super::propose::propose;
use super::{Controller, Limits, Plan};
use crate::metrics;
use crate::observed::{Observed, Observer};

/// How often the driver looks whether it was held up.
const PULSE: Duration = Duration::from_millis(250);
/// A gap between two pulses that is longer by this means that the process stood still, and heard nobody meanwhile.
const STALL: Duration = Duration::from_secs(1);
/// The first pause after a refusal; it doubles up to the tick.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// How long a new leader waits for metrics that it missed: longer than a copy takes.
const COPIED: Duration = Duration::from_secs(60);
/// How often a plan that does nothing may say why.
const REASONS: Duration = Duration::from_secs(60);

/// Runs a controller for as long as the store lives: plans while this node decides, sleeps while another one does. Drop the
/// future to stop it; a command under way then commits or not, as after a crash.
pub async fn run<C: Controller>(
    controller: C,
    store: Arc<dyn Store>,
    observer: Arc<dyn Observer>,
    limits: Limits,
) {
    let mut changes = store.watch_leadership();
    let mut leadership = store.leadership();
    loop {
        if leadership.deciding {
            let mut office = Office::new(&controller, &*store, &*observer, limits);
            tracing::debug!(controller = C::NAME, term = leadership.term, "in office");
            let next = tokio::select! {
                biased;
                next = end_of_office(&mut changes, leadership) => next,
                () = office.serve() => None,
            };
            tracing::debug!(controller = C::NAME, term = leadership.term, "out of office");
            let Some(next) = next else { return };
            leadership = next;
        } else {
            let Some(next) = changes.next().await else { return };
            leadership = next;
        }
    }
}

/// The first leadership that is not this office any more.
async fn end_of_office(changes: &mut BoxStream<'static, Leadership>, now: Leadership) -> Option<Leadership> {
    loop {
        match changes.next().await {
            Some(next) if next.deciding && next.term == now.term => {}
            Some(next) => return Some(next),
            // Nothing more to hear of leadership: serve until the future is dropped.
            None => std::future::pending().await,
        }
    }
}

/// One term of office.
struct Office<'a, C> {
    controller: &'a C,
    store: &'a dyn Store,
    observer: &'a dyn Observer,
    limits: Limits,
    began: Duration,
    last_pulse: Duration,
    stalled: Option<Duration>,
    /// No view before this one is planned on: it lacks what this office has done.
    at_least: Sequence,
    failures: u32,
    /// When a plan that does nothing last said why.
    reasoned: Option<Duration>,
}

/// What a pass leaves to wait for.
struct Rest {
    /// Not before this has passed, whatever changes.
    pause: Duration,
    /// Not later than this.
    at_most: Duration,
}

impl<'a, C: Controller> Office<'a, C> {
    fn new(controller: &'a C, store: &'a dyn Store, observer: &'a dyn Observer, limits: Limits) -> Self {
        let began = observer.monotonic();
        Self {
            controller,
            store,
            observer,
            limits,
            began,
            last_pulse: began,
            stalled: None,
            at_least: Sequence::default(),
            failures: 0,
            reasoned: None,
        }
    }

    /// Ends when the store's watch ends.
    async fn serve(&mut self) {
        let mut views = self.store.watch();
        loop {
            let rest = self.pass().await;
            if !self.sleep(&mut views, rest).await {
                return;
            }
        }
    }

    async fn pass(&mut self) -> Rest {
        let tick = self.limits.tick;
        let view = self.store.view();
        // Without a clock this node does not decide, whatever leadership says yet.
        let Some(now) = self.store.now() else { return Rest { pause: Duration::ZERO, at_most: tick } };
        if view.position().sequence < self.at_least {
            return Rest { pause: Duration::ZERO, at_most: tick };
        }
        let (wake, spent, failed) = self.plan_and_propose(&view, now).await;
        let settle = spent.saturating_mul(4).min(self.limits.settle).max(C::PAUSE);
        if !failed {
            self.failures = 0;
            return Rest { pause: settle, at_most: wake.map_or(tick, |at| at.since(now).min(tick)) };
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(tick);
        self.failures = self.failures.saturating_add(1);
        Rest { pause: pause.max(settle), at_most: pause }
    }

    /// One look. Returns when the plan wants the next one, how long planning took, and whether a command failed.
    async fn plan_and_propose(
        &mut self,
        view: &State,
        now: Timestamp,
    ) -> (Option<Timestamp>, Duration, bool) {
        let observed = self.observe(view);
        let started = self.observer.monotonic();
        let plan = self.controller.plan(view, &observed, now);
        let spent = self.observer.monotonic().saturating_sub(started);
        metrics::pass(C::NAME, spent);
        for (name, value) in plan.report.gauges() {
            ::metrics::gauge!(*name).set(*value);
        }
        if plan.commands.is_empty() {
            self.say_why_not(&plan);
            return (plan.wake_at, spent, false);
        }
        tracing::info!(controller = C::NAME, commands = plan.commands.len(), report = %plan.report, "plan");
        let proposed = propose(self.store, C::NAME, plan.commands, &self.limits).await;
        self.at_least = self.at_least.max(proposed.last);
        if proposed.unknown > 0 {
            self.catch_up().await;
        }
        (plan.wake_at, spent, proposed.failed > 0)
    }

    /// A plan without commands that has something to say is held up. It says so now and then, not on each pass.
    fn say_why_not(&mut self, plan: &Plan) {
        let now = self.observer.monotonic();
        if plan.report.lines().is_empty() || self.reasoned.is_some_and(|at| now.saturating_sub(at) < REASONS)
        {
            return;
        }
        self.reasoned = Some(now);
        tracing::info!(controller = C::NAME, report = %plan.report, "nothing can be done");
    }

    /// After an unknown outcome: plan only on a view that holds whatever has committed by now.
    async fn catch_up(&mut self) {
        let read = tokio::time::timeout(self.limits.command_time, self.store.read()).await;
        if let Ok(Ok(view)) = read {
            self.at_least = self.at_least.max(view.position().sequence);
        }
    }

    fn observe(&mut self, view: &State) -> Observed {
        self.pulse();
        let now = self.observer.monotonic();
        let (tasks, queries) = (self.controller.measured(view), self.controller.queried(view));
        let deciding_for = now.saturating_sub(self.began);
        // What is put while this node leads is here. What it missed before, it is about to have: until then nothing is judged by metrics.
        let waits = deciding_for < COPIED && self.observer.lacks_metrics();
        let metrics_since = if waits { Timestamp::MAX } else { self.observer.metrics_since() };
        let mut metrics =
            if queries.is_empty() { Default::default() } else { self.observer.metrics(&queries) };
        for points in metrics.values_mut() {
            points.retain(|point| point.at >= metrics_since);
        }
        Observed {
            usage: if tasks.is_empty() { Default::default() } else { self.observer.usage(&tasks) },
            metrics,
            metrics_since,
            heartbeats: if C::HEARS { self.observer.heartbeats() } else { Default::default() },
            deciding_for,
            quorum_for: self.observer.quorum_held_for(),
            since_stall: self.stalled.map(|at| now.saturating_sub(at)),
        }
    }

    /// Notes a stall. A commit that took long counts as one: it only makes judgement later.
    fn pulse(&mut self) {
        let now = self.observer.monotonic();
        if now.saturating_sub(self.last_pulse) > PULSE.saturating_add(STALL) {
            self.stalled = Some(now);
        }
        self.last_pulse = now;
    }

    /// Sleeps until something has changed or the time has come; false when the store is gone.
    async fn sleep(&mut self, views: &mut BoxStream<'static, Arc<State>>, rest: Rest) -> bool {
        let wake = self.observer.monotonic().saturating_add(rest.at_most.max(rest.pause));
        if !rest.pause.is_zero() {
            tokio::time::sleep(rest.pause).await;
        }
        loop {
            self.pulse();
            let left = wake.saturating_sub(self.observer.monotonic());
            if left.is_zero() {
                return true;
            }
            // Timers count in milliseconds: a shorter sleep would spin.
            let nap = tokio::time::sleep(left.min(PULSE).max(Duration::from_millis(1)));
            tokio::select! {
                view = views.next() => return view.is_some(),
                () = nap => {}
            }
        }
    }
}
