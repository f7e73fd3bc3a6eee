//! Faults, drawn from the seed: what kind, where, for how long. Each ends by itself; [`Chaos::end`] ends them all.
//!
//! `links` says which messages get through, `network` cuts and clogs them, `disks` spoils disks and power, `hosts` kills and
//! starts, [`kind`] lists the kinds, and [`moment`] the moments that a fault may wait for.

mod disks;
pub mod hosts;
pub mod kind;
pub mod links;
pub mod moment;
mod network;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use moment::Moment;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use trireme_raft::probe::Probe;
use turmoil::Sim;

pub use kind::Kind;
use links::{Links, Way, between};

use crate::control::{Ask, ControlHost};
use crate::plan::Profile;
use crate::shared::Shared;
use crate::trace;

/// What ends a fault.
enum Undo {
    Mend(Vec<Way>),
    Release(Vec<Way>),
    Latency,
    Loss,
    Start(u64),
    StartAgent(u64),
    Disk(u64),
    Clock(u64),
    AgentClock(u64),
    Machine(u64),
    Failure(u64),
}

/// A fault that waits for its moment.
struct Armed {
    number: u64,
    kind: Kind,
    moment: Moment,
    until: Duration,
}

/// A leader that is cut off until there is another one.
struct Deposing {
    term: u64,
    ways: Vec<Way>,
    /// Messages wait on them; otherwise they are dropped.
    held: bool,
    until: Duration,
}

/// The source of all faults.
pub struct Chaos {
    shared: Rc<Shared>,
    rng: StdRng,
    links: Links,
    next: Duration,
    undo: Vec<(Duration, Undo)>,
    armed: Vec<Armed>,
    deposing: Vec<Deposing>,
    seen: BTreeMap<u64, Probe>,
    /// Faults so far.
    pub count: u64,
}

impl Chaos {
    /// No fault yet.
    pub fn new(shared: &Rc<Shared>) -> Self {
        let rng = StdRng::seed_from_u64(shared.plan.seed ^ 0x0c0f_fee0_fa01_7575);
        Self {
            shared: Rc::clone(shared),
            rng,
            links: Links::default(),
            next: Duration::ZERO,
            undo: Vec::new(),
            armed: Vec::new(),
            deposing: Vec::new(),
            seen: BTreeMap::new(),
            count: 0,
        }
    }

    /// Ends what is over, and begins the next fault when its time has come.
    pub fn step(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let (over, rest) = std::mem::take(&mut self.undo).into_iter().partition(|(at, _)| *at <= now);
        self.undo = rest;
        let over: Vec<(Duration, Undo)> = over;
        for (_, undo) in over {
            if let Undo::Start(number) = undo {
                self.arm_again(now, number);
            }
            self.undo(sim, undo);
        }
        self.spring(sim, now);
        self.end_deposing(sim, now);
        if now < self.next {
            return;
        }
        let first = self.next.is_zero();
        self.next = now + self.shared.plan.pause.mul_f64(self.rng.random_range(0.2..1.8));
        let kind = self.shared.plan.kinds.choose_weighted(&mut self.rng, |(_, weight)| *weight);
        if let (false, Ok((kind, _))) = (first, kind.copied()) {
            self.begin(sim, now, kind);
        }
    }

    /// Ends all of them: the network is whole, the clocks are right, and everything runs.
    pub fn end(&mut self, sim: &mut Sim<'_>) {
        trace::line("all faults end");
        self.armed.clear();
        self.deposing.clear();
        for (_, undo) in std::mem::take(&mut self.undo) {
            self.undo(sim, undo);
        }
        self.links.mend_all(sim);
        for host in self.shared.controls.borrow().iter() {
            host.clock.set_right();
            self.mend_disk(host);
            self.mend_machine(host);
            host.disk.fail_at(None);
        }
        self.shared.agents.borrow().iter().for_each(|host| host.clock.set_right());
    }

    fn undo(&mut self, sim: &mut Sim<'_>, undo: Undo) {
        match undo {
            Undo::Mend(ways) => self.links.mend(sim, &ways),
            Undo::Release(links) => self.links.release(sim, &links),
            Undo::Latency => sim.set_max_message_latency(self.shared.plan.latency),
            Undo::Loss => sim.set_fail_rate(0.0),
            Undo::Start(number) => hosts::start(sim, &self.shared, number),
            Undo::StartAgent(number) => hosts::start_agent(sim, &self.shared, number),
            Undo::Disk(number) => {
                if let Some(host) = self.control(number) {
                    self.mend_disk(&host);
                }
            }
            Undo::Clock(number) => {
                if let Some(host) = self.control(number) {
                    host.clock.set_right();
                }
            }
            Undo::AgentClock(number) => {
                let agents = self.shared.agents.borrow();
                agents.iter().filter(|host| host.number == number).for_each(|host| host.clock.set_right());
            }
            Undo::Machine(number) => {
                if let Some(host) = self.control(number) {
                    self.mend_machine(&host);
                }
            }
            Undo::Failure(number) => {
                if let Some(host) = self.control(number) {
                    host.disk.fail_at(None);
                }
            }
        }
    }

    fn mend_disk(&self, host: &ControlHost) {
        let micros = u64::try_from(self.shared.plan.sync.as_micros()).unwrap_or(u64::MAX);
        host.sync_micros.store(micros, Ordering::Relaxed);
        host.disk.fail_syncs(false);
    }

    fn mend_machine(&self, host: &ControlHost) {
        let millis = u64::try_from(self.shared.plan.apply.as_millis()).unwrap_or(u64::MAX);
        host.apply_millis.store(millis, Ordering::Relaxed);
        host.refusals.store(0, Ordering::Relaxed);
    }

    fn control(&self, number: u64) -> Option<Rc<ControlHost>> {
        self.shared.controls.borrow().iter().find(|host| host.number == number).cloned()
    }

    /// A control node that is a member; half of the time the leader.
    fn victim(&mut self) -> Option<Rc<ControlHost>> {
        let members = self.shared.members();
        let leads =
            |host: &&Rc<ControlHost>| host.node.borrow().as_ref().is_some_and(|node| node.probe().leads);
        if self.rng.random_bool(0.5)
            && let Some(leader) = members.iter().find(leads)
        {
            return Some(Rc::clone(leader));
        }
        members.choose(&mut self.rng).cloned()
    }

    /// Every host's name, clients included.
    fn everyone(&self) -> Vec<String> {
        let controls = self.shared.controls.borrow();
        let agents = self.shared.agents.borrow();
        let clients = (1..=self.shared.plan.clients).map(|number| format!("c{number}"));
        let machines = controls.iter().map(|host| host.name()).chain(agents.iter().map(|host| host.name()));
        machines.chain(clients).collect()
    }

    fn control_names(&self) -> Vec<String> {
        self.shared.controls.borrow().iter().map(|host| host.name()).collect()
    }

    /// Mostly short, sometimes long enough for others to give up on whoever is away, and sometimes just about that long.
    fn duration(&mut self) -> Duration {
        let millis = match self.rng.random_range(0..100) {
            0..70 => self.rng.random_range(50..2_500),
            70..85 => self.rng.random_range(2_500..9_000),
            _ => self.rng.random_range(4_600..6_400),
        };
        Duration::from_millis(millis)
    }

    fn later(&mut self, now: Duration, undo: Undo) {
        let at = now + self.duration();
        self.undo.push((at, undo));
    }

    fn begin(&mut self, sim: &mut Sim<'_>, now: Duration, kind: Kind) {
        self.count += 1;
        match kind {
            Kind::Partition | Kind::OneWay | Kind::Isolate | Kind::Bridge => self.cut(sim, now, kind),
            Kind::Depose => self.depose(sim, now),
            Kind::Swizzle | Kind::Pause => self.hold(sim, now, kind),
            Kind::Latency => {
                let millis = self.rng.random_range(20..250);
                trace::line(format_args!("FAULT messages take up to {millis} ms"));
                sim.set_max_message_latency(Duration::from_millis(millis));
                self.later(now, Undo::Latency);
            }
            Kind::Loss => {
                trace::line("FAULT links break at random");
                sim.set_fail_rate(0.01);
                self.later(now, Undo::Loss);
            }
            Kind::Kill | Kind::PowerLoss | Kind::Stop => self.stop_one(sim, now, kind),
            Kind::Blackout => self.dim(sim, now),
            Kind::PowerLossAtCall => self.fail_at_call(now),
            Kind::AgentKill | Kind::AgentStop | Kind::MachineLoss => self.stop_agent(sim, now, kind),
            Kind::ZoneLoss => self.lose_zone(sim, now),
            Kind::SlowDisk | Kind::FailedSync => self.spoil_disk(now, kind),
            Kind::SlowApply | Kind::Refusals => self.burden(now, kind),
            Kind::ClockJump | Kind::ClockDrift => self.turn_clock(now, kind),
            Kind::Handover => {
                self.delay_successors(now);
                self.ask(Ask::Handover);
            }
            Kind::Membership => self.change_members(sim),
        }
    }

    /// A node that comes back may end again as soon as it has the snapshot that it needs.
    fn arm_again(&mut self, now: Duration, number: u64) {
        if self.shared.plan.profile == Profile::Snapshots && self.rng.random_bool(0.7) {
            let kind = if self.rng.random_bool(0.7) { Kind::Kill } else { Kind::PowerLoss };
            let until = now + Duration::from_secs(4);
            self.armed.push(Armed { number, kind, moment: Moment::Snapshot, until });
        }
    }

    /// Lets those faults happen whose moment has come.
    fn spring(&mut self, sim: &mut Sim<'_>, now: Duration) {
        if self.armed.is_empty() {
            self.seen.clear();
            return;
        }
        let hosts = self.shared.controls.borrow().clone();
        let (mut waiting, seen) = (Vec::new(), std::mem::take(&mut self.seen));
        for armed in std::mem::take(&mut self.armed) {
            let Some(host) = hosts.iter().find(|host| host.number == armed.number) else { continue };
            let probe = host.node.borrow().as_ref().map(trireme_raft::Node::probe);
            let Some(probe) = probe.filter(|_| now < armed.until) else {
                if now < armed.until {
                    waiting.push(armed);
                }
                continue;
            };
            let before = seen.get(&armed.number).unwrap_or(&probe);
            self.seen.insert(armed.number, probe.clone());
            if armed.moment.is_now(host, before, &probe) {
                trace::line(format_args!("FAULT {:?} {} at {:?}", armed.kind, host.name(), armed.moment));
                self.bring_down(sim, now, host, armed.kind);
            } else {
                waiting.push(armed);
            }
        }
        self.armed.extend(waiting);
    }

    fn bring_down(&mut self, sim: &mut Sim<'_>, now: Duration, victim: &Rc<ControlHost>, kind: Kind) {
        match kind {
            Kind::Stop => {
                victim.asked.borrow_mut().push_back(Ask::Stop);
                victim.ask.notify_one();
            }
            Kind::Kill => hosts::kill(sim, victim),
            Kind::Blackout => return self.blackout(sim, now),
            _ => self.power_off(sim, now, victim),
        }
        // Long enough for the others to purge what it lacks.
        let away = if self.shared.plan.profile == Profile::Snapshots { 1_000..4_000 } else { 0..1 };
        let away = Duration::from_millis(self.rng.random_range(away));
        self.later(now + away, Undo::Start(victim.number));
    }

    fn stop_one(&mut self, sim: &mut Sim<'_>, now: Duration, kind: Kind) {
        let Some(victim) = self.victim() else { return };
        if !sim.is_host_running(victim.name()) {
            return;
        }
        let moment = Moment::ALL.choose(&mut self.rng).copied().unwrap_or(Moment::Unsynced);
        if kind == Kind::Stop || self.rng.random_bool(0.3) {
            trace::line(format_args!("FAULT {kind:?} {}", victim.name()));
            self.bring_down(sim, now, &victim, kind);
            return;
        }
        if self.rng.random_bool(0.5) {
            // More is lost, and more is on its way, on a disk that is slow already.
            self.slow_down(now, &victim);
        }
        let until = now + Duration::from_secs(4);
        self.armed.push(Armed { number: victim.number, kind, moment, until });
    }

    fn stop_agent(&mut self, sim: &mut Sim<'_>, now: Duration, kind: Kind) {
        let agents = self.shared.agents.borrow().clone();
        let Some(agent) = agents.choose(&mut self.rng).cloned() else { return };
        if !sim.is_host_running(agent.name()) {
            return;
        }
        trace::line(format_args!("FAULT {kind:?} {}", agent.name()));
        if kind == Kind::MachineLoss {
            let ways = between(&[agent.name()], &self.everyone());
            self.links.cut(sim, &ways);
            self.undo.push((now, Undo::Mend(ways)));
            agent.lose_containers();
        }
        if kind == Kind::AgentStop {
            agent.stop();
        } else {
            sim.crash(agent.name());
        }
        self.later(now, Undo::StartAgent(agent.number));
    }

    fn lose_zone(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let Some(zone) = crate::plan::ZONES.choose(&mut self.rng) else { return };
        trace::line(format_args!("FAULT zone {zone}"));
        let controls = self.shared.controls.borrow().clone();
        let agents = self.shared.agents.borrow().clone();
        let lost = controls.iter().filter(|host| host.zone == *zone).map(|host| host.name());
        let lost = lost.chain(agents.iter().filter(|host| host.zone == *zone).map(|host| host.name()));
        let lost: Vec<String> = lost.collect();
        if self.rng.random_bool(0.5) {
            let others: Vec<String> =
                self.everyone().into_iter().filter(|name| !lost.contains(name)).collect();
            let ways = between(&lost, &others);
            self.links.cut(sim, &ways);
            self.later(now, Undo::Mend(ways));
            return;
        }
        for host in controls.iter().filter(|host| lost.contains(&host.name())) {
            if sim.is_host_running(host.name()) {
                self.power_off(sim, now, host);
                self.later(now, Undo::Start(host.number));
            }
        }
        for agent in agents.iter().filter(|host| lost.contains(&host.name())) {
            if sim.is_host_running(agent.name()) {
                agent.lose_containers();
                sim.crash(agent.name());
                self.later(now, Undo::StartAgent(agent.number));
            }
        }
    }

    fn turn_clock(&mut self, now: Duration, kind: Kind) {
        if kind == Kind::ClockDrift && self.rng.random_bool(0.3) {
            return self.turn_agents_clock(now);
        }
        let Some(victim) = self.victim() else { return };
        if kind == Kind::ClockJump {
            let span = *[300, 3_000, 60_000, 3_600_000].choose(&mut self.rng).unwrap_or(&300);
            let millis = self.rng.random_range(-span..=span);
            trace::line(format_args!("FAULT the clock of n{} jumps by {millis} ms", victim.number));
            victim.clock.jump(millis);
        } else {
            let millionths = self.rng.random_range(-200_000..200_000);
            trace::line(format_args!("FAULT the clock of n{} drifts by {millionths} ppm", victim.number));
            victim.clock.drift(millionths);
        }
        self.later(now, Undo::Clock(victim.number));
    }

    /// Half of the time: all but the leader apply late, so that the next leader begins with less than it holds.
    fn delay_successors(&mut self, now: Duration) {
        if self.rng.random_bool(0.5) {
            return;
        }
        let leads =
            |host: &Rc<ControlHost>| host.node.borrow().as_ref().is_some_and(|node| node.probe().leads);
        for host in self.shared.members().into_iter().filter(|host| !leads(host)) {
            let millis = self.rng.random_range(50..600);
            host.apply_millis.store(millis, Ordering::Relaxed);
            self.undo.push((now + Duration::from_secs(3), Undo::Machine(host.number)));
        }
    }

    fn turn_agents_clock(&mut self, now: Duration) {
        let agents = self.shared.agents.borrow().clone();
        let Some(agent) = agents.choose(&mut self.rng) else { return };
        let millionths = self.rng.random_range(-200_000..200_000);
        trace::line(format_args!("FAULT the clock of {} drifts by {millionths} ppm", agent.name()));
        agent.clock.drift(millionths);
        self.later(now, Undo::AgentClock(agent.number));
    }

    /// A machine that is busy, or a quorum that is just too late.
    fn burden(&mut self, now: Duration, kind: Kind) {
        let Some(victim) = self.victim() else { return };
        if kind == Kind::SlowApply {
            let millis = self.rng.random_range(5..400);
            trace::line(format_args!("FAULT n{} takes up to {millis} ms to apply", victim.number));
            victim.apply_millis.store(millis, Ordering::Relaxed);
        } else {
            let thousandths = self.rng.random_range(20..400);
            trace::line(format_args!("FAULT n{} refuses {thousandths} of 1000 proposals", victim.number));
            victim.refusals.store(thousandths, Ordering::Relaxed);
        }
        self.later(now, Undo::Machine(victim.number));
    }

    fn ask(&mut self, ask: Ask) {
        let Some(host) = self.victim() else { return };
        trace::line(format_args!("FAULT n{} is asked: {ask:?}", host.number));
        host.asked.borrow_mut().push_back(ask);
        host.ask.notify_one();
    }

    fn change_members(&mut self, sim: &mut Sim<'_>) {
        let members = self.shared.members();
        let most = self.shared.plan.controls + self.shared.plan.spares;
        let started = self.shared.controls.borrow().len() as u64;
        if started < most && self.rng.random_bool(0.6) {
            trace::line(format_args!("FAULT n{} joins", started + 1));
            hosts::add_control(sim, &self.shared, started + 1);
            return;
        }
        // Three stay.
        if members.len() > 3
            && let Some(leaver) = members.choose(&mut self.rng)
            && let Some(identity) = leaver.identity.get()
        {
            self.shared.leaving.borrow_mut().insert(identity.node_id);
            self.ask(Ask::Remove(identity.node_id));
        }
    }
}
