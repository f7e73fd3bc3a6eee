//! One run: the cluster comes up, works under faults, heals without them, and serves.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use trireme_testkit::linear;
use turmoil::Sim;

use crate::client::Client;
use crate::fault::{Chaos, hosts};
use crate::invariant::{Check, Checks, Violation, acked, explained, healed, hold, replay, spread};
use crate::plan::Plan;
use crate::shared::{Phase, Shared};
use crate::{shim, trace};

/// For the cluster to come up.
const SETUP: Duration = Duration::from_secs(30);
/// For clients to be served again after the last fault, while they go on (I7).
const RECOVER: Duration = Duration::from_secs(30);
/// For everything to heal after the last fault, clients' last operations included (I7: 60 s, as after the loss of a zone).
const HEAL: Duration = Duration::from_secs(60);
/// For a write through each node.
const SERVE: Duration = Duration::from_secs(60);
/// Steps between two looks at whether all is well.
const LOOK: u64 = 50;

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What does not hold, if anything.
    pub violation: Option<Violation>,
    /// What there was of it.
    pub trace: trace::Summary,
    /// Simulated time.
    pub elapsed: Duration,
    /// Faults.
    pub faults: u64,
    /// Events in the history.
    pub events: u64,
    /// Client operations on registers that were answered.
    pub answered: usize,
    /// Absences that agents announced.
    pub absences: u64,
    /// Images of containers that were held against their pins.
    pub images: u64,
    /// How often a task had an address of its own.
    pub addresses: u64,
    /// Desired counts that autoscaling set.
    pub scalings: u64,
    /// Those of them that are fewer tasks, by what tasks use.
    pub fewer: u64,
    /// Runs of schedules and rules.
    pub runs: u64,
    /// Tasks on the managed pool.
    pub launched: u64,
    /// How long healing took.
    pub healed_in: Duration,
}

/// Runs a plan. The agents' ledgers are in `folder`.
pub fn run(plan: Plan, folder: &Path, file: Option<&Path>) -> Outcome {
    let seed = plan.seed;
    if let Err(error) = trace::begin(file) {
        let violation = Violation::new("the_trace_is_written", error.to_string());
        return Outcome { violation: Some(violation), ..Outcome::default() };
    }
    shim::enter(seed);
    let mut harness = Harness::new(plan, folder);
    let ended = harness.run();
    let mut outcome = harness.outcome();
    if let Err(violation) = ended {
        trace::line(format_args!("VIOLATION {violation}"));
        outcome.violation = Some(violation);
    }
    // Everything ends within the simulated world.
    drop(harness);
    shim::leave();
    outcome.trace = trace::end();
    outcome
}

struct Harness {
    sim: Sim<'static>,
    shared: Rc<Shared>,
    chaos: Chaos,
    checks: Checks,
    healed_in: Duration,
}

impl Harness {
    fn new(plan: Plan, folder: &Path) -> Self {
        trace::line(format_args!("{plan:?}"));
        let mut sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .epoch(std::time::UNIX_EPOCH + shim::EPOCH)
            .simulation_duration(Duration::from_secs(3600))
            .tick_duration(plan.tick)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(plan.latency)
            .repair_rate(0.05)
            .tcp_capacity(4096)
            .enable_random_order()
            .build();
        let shared = Shared::new(plan);
        for number in 1..=shared.plan.controls {
            hosts::add_control(&mut sim, &shared, number);
        }
        for number in 1..=shared.plan.agents + shared.plan.managed {
            hosts::add_agent(&mut sim, &shared, number, folder);
        }
        for number in 1..=shared.plan.clients {
            hosts::add_client(&mut sim, &shared, number);
        }
        let (chaos, checks) = (Chaos::new(&shared), Checks::new(&shared));
        Self { sim, shared, chaos, checks, healed_in: Duration::ZERO }
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            violation: None,
            trace: trace::Summary::default(),
            elapsed: self.sim.elapsed(),
            faults: self.chaos.count,
            events: self.checks.truth.length(),
            answered: self.answered(),
            absences: self.checks.truth.absences,
            images: self.checks.truth.images.seen,
            addresses: self.checks.addresses.count(),
            scalings: self.checks.truth.scalings.count,
            fewer: self.checks.truth.scalings.fewer,
            runs: self.checks.truth.dues.runs,
            launched: self.checks.truth.launched,
            healed_in: self.healed_in,
        }
    }

    fn run(&mut self) -> Check {
        self.until("the_cluster_comes_up", self.sim.elapsed() + SETUP, |harness| {
            if !harness.shared.prepared.get() {
                return Err("the first client has not made the task definitions".to_owned());
            }
            healed::check(&harness.shared, &harness.checks.truth)
        })?;
        self.shared.phase.set(Phase::Work);
        self.under_faults()?;
        self.chaos.end(&mut self.sim);
        self.shared.faults_over.set(true);
        self.start_all();
        let began = self.sim.elapsed();
        // Healing must work under load too: as many answers as there are clients.
        let all = self.shared.plan.clients;
        let wanted = self.answered() + usize::try_from(all).unwrap_or(usize::MAX);
        self.until("clients_are_served_again", began + RECOVER, |harness| {
            let answered = harness.answered();
            if answered >= wanted { Ok(()) } else { Err(format!("{answered} answers, {wanted} are wanted")) }
        })?;
        self.shared.phase.set(Phase::Rest);
        self.until("clients_are_answered", began + HEAL, |harness| {
            let resting = harness.shared.resting.borrow().len() as u64;
            if resting == all { Ok(()) } else { Err(format!("{resting} of {all} clients rest")) }
        })?;
        self.until("everything_heals", began + HEAL, |harness| {
            harness.start_all();
            healed::check(&harness.shared, &harness.checks.truth)
        })?;
        self.healed_in = self.sim.elapsed().saturating_sub(began);
        trace::line(format_args!("healed in {:?}", self.healed_in));
        self.serve()?;
        self.stay_calm()?;
        self.last_checks()
    }

    fn under_faults(&mut self) -> Check {
        let end = self.sim.elapsed() + self.shared.plan.faults_for;
        while self.sim.elapsed() < end {
            let now = self.sim.elapsed();
            self.note_departures();
            self.chaos.step(&mut self.sim, now);
            self.step()?;
        }
        Ok(())
    }

    /// One step of everything, and then the invariants.
    fn step(&mut self) -> Check {
        let next = self.sim.elapsed() + self.shared.plan.tick;
        shim::set_now(next);
        let stepped = self.sim.step();
        stepped.map_err(|error| Violation::new("nothing_panics", error.to_string()))?;
        if let Some(panic) = crate::panics::take() {
            return Err(Violation::new("nothing_panics", panic));
        }
        if let Some(line) = trace::take_defect() {
            return Err(Violation::new("no_command_is_a_defect", line));
        }
        self.checks.step(self.sim.elapsed())?;
        self.chaos.fell(&mut self.sim);
        Ok(())
    }

    /// Client operations on registers that were answered so far.
    fn answered(&self) -> usize {
        self.shared.record.borrow().operations.answered()
    }

    /// Steps until it is `done`, which must be before `end`.
    fn until(
        &mut self,
        name: &str,
        end: Duration,
        mut done: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Check {
        let (mut steps, mut last) = (0_u64, String::new());
        loop {
            self.note_departures();
            self.step()?;
            steps += 1;
            if !steps.is_multiple_of(LOOK) {
                continue;
            }
            match done(self) {
                Ok(()) => return Ok(()),
                Err(missing) => {
                    if missing != last {
                        trace::line(format_args!("waiting: {missing}"));
                        last.clone_from(&missing);
                    }
                    hold(name, self.sim.elapsed() < end, || missing)?;
                }
            }
        }
    }

    /// Control nodes that are members no more have left for good.
    fn note_departures(&mut self) {
        let leaving = self.shared.leaving.borrow().clone();
        if leaving.is_empty() {
            return;
        }
        let members = self.shared.members();
        let newest = members.iter().filter_map(|host| Some(host.node.borrow().as_ref()?.probe()));
        let Some(newest) =
            newest.filter(|probe| probe.leads && probe.vote.2).max_by_key(|probe| probe.vote.0)
        else {
            return;
        };
        for host in &members {
            let Some(identity) = host.identity.get() else { continue };
            let id = identity.node_id;
            // It must be committed: a leader that is not one any more may still say otherwise.
            let gone = leaving.contains(&id) && !newest.members.contains(&id) && !newest.changing;
            let settled = newest.committed == newest.last;
            if gone && settled && newest.applied == newest.committed {
                trace::line(format_args!("{} has left", host.name()));
                self.shared.left.borrow_mut().insert(host.number);
            }
        }
    }

    /// Starts what does not run and belongs to the cluster.
    fn start_all(&mut self) {
        let controls: Vec<u64> = self.shared.members().iter().map(|host| host.number).collect();
        for number in controls {
            hosts::start(&mut self.sim, &self.shared, number);
        }
        let agents = self.shared.agents.borrow().len() as u64;
        for number in 1..=agents {
            hosts::start_agent(&mut self.sim, &self.shared, number);
        }
    }

    /// Every node takes a write.
    fn serve(&mut self) -> Check {
        let nodes = self.shared.api_nodes();
        let shared = Rc::clone(&self.shared);
        self.sim.client("last", async move {
            let served = Client::new(&shared, 99).serve_check(&nodes).await;
            shared.served.replace(Some(served));
            Ok(())
        });
        self.until("every_node_serves", self.sim.elapsed() + SERVE, |harness| {
            match &*harness.shared.served.borrow() {
                Some(_) => Ok(()),
                None => Err("no answer".to_owned()),
            }
        })?;
        let served = self.shared.served.borrow().clone();
        served.unwrap_or(Ok(())).map_err(|reason| Violation::new("every_node_serves", reason))?;
        let end = self.sim.elapsed() + HEAL;
        self.until("everything_heals", end, |harness| healed::check(&harness.shared, &harness.checks.truth))
    }

    /// I8: without faults nothing is lost and nothing replaced.
    fn stay_calm(&mut self) -> Check {
        let Some(calm) = self.shared.plan.calm else { return Ok(()) };
        let (end, lost) = (self.sim.elapsed() + calm, self.checks.truth.lost);
        while self.sim.elapsed() < end {
            self.step()?;
        }
        hold("nobody_is_lost_in_calm", self.checks.truth.lost == lost, || {
            format!("{} instances were lost without a fault", self.checks.truth.lost - lost)
        })?;
        // Schedules and autoscaling go on meanwhile.
        let end = self.sim.elapsed() + HEAL;
        self.until("everything_heals", end, |harness| healed::check(&harness.shared, &harness.checks.truth))
    }

    fn last_checks(&mut self) -> Check {
        spread::check(&self.shared, self.checks.truth.state())?;
        let record = self.shared.record.borrow();
        acked::check_all(&record, &self.checks.truth)?;
        explained::check_last(&record, &self.checks.truth)?;
        for host in self.shared.members() {
            if let Some(node) = host.node.borrow().as_ref() {
                replay::check(&host.name(), node, &self.checks.truth)?;
            }
        }
        let judged = linear::check(&record.operations)
            .map_err(|found| Violation::new("history_is_linearizable", found.to_string()))?;
        let enough = judged.operations > 0 && judged.open * 20 <= judged.operations;
        hold("history_is_judged", enough, || format!("{judged:?}"))
    }
}
