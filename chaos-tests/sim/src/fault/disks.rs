//! Faults of disks and of power.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;
use trireme_raft::storage::memory::{Call, Failure};
use turmoil::Sim;

use super::links::between;
use super::moment::Moment;
use super::{Armed, Chaos, Kind, Undo, hosts};
use crate::control::ControlHost;
use crate::trace;

/// So long a disk waits for the call at which its power fails.
const ARMED: Duration = Duration::from_secs(5);

/// Calls at which power may fail.
const CALLS: [Option<Call>; 7] = [
    None,
    Some(Call::Write),
    Some(Call::Cut),
    Some(Call::Sync),
    Some(Call::Mark),
    Some(Call::Commit),
    Some(Call::Remove),
];

impl Chaos {
    pub(super) fn slow_down(&mut self, now: Duration, victim: &ControlHost) {
        let millis = self.rng.random_range(20..800_u64);
        trace::line(format_args!("FAULT syncs of n{} take {millis} ms", victim.number));
        victim.sync_micros.store(millis * 1000, Ordering::Relaxed);
        self.later(now, Undo::Disk(victim.number));
    }

    /// Nobody is told: what the machine would still have sent is lost.
    pub(super) fn power_off(&mut self, sim: &mut Sim<'_>, now: Duration, victim: &Rc<ControlHost>) {
        let ways = between(&[victim.name()], &self.everyone());
        self.links.cut(sim, &ways);
        let unsynced = victim.disk.unsynced();
        let kept = if self.rng.random_bool(0.5) { 0 } else { self.rng.random_range(0..=unsynced) };
        hosts::power_off(sim, victim, kept);
        self.undo.push((now, Undo::Mend(ways)));
    }

    pub(super) fn blackout(&mut self, sim: &mut Sim<'_>, now: Duration) {
        trace::line("FAULT every control node loses power");
        let hosts: Vec<Rc<ControlHost>> = self.shared.controls.borrow().clone();
        for host in hosts {
            if sim.is_host_running(host.name()) {
                self.power_off(sim, now, &host);
                self.later(now, Undo::Start(host.number));
            }
        }
    }

    /// A blackout, at once or at a bad moment of one of the nodes.
    pub(super) fn dim(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let moment = Moment::ALL.choose(&mut self.rng).copied();
        let victim = self.victim().filter(|_| self.rng.random_bool(0.7));
        let (Some(moment), Some(victim)) = (moment, victim) else { return self.blackout(sim, now) };
        if self.rng.random_bool(0.5) {
            let hosts: Vec<Rc<ControlHost>> = self.shared.controls.borrow().clone();
            hosts.iter().for_each(|host| self.slow_down(now, host));
        }
        let until = now + Duration::from_secs(4);
        self.armed.push(Armed { number: victim.number, kind: Kind::Blackout, moment, until });
    }

    /// Power fails at an exact call to a disk: between any two of them at some time.
    pub(super) fn fail_at_call(&mut self, now: Duration) {
        let Some(victim) = self.victim() else { return };
        if victim.node.borrow().is_none() {
            return;
        }
        let call = CALLS.choose(&mut self.rng).copied().flatten();
        // Some calls are rare.
        let after = match call {
            None | Some(Call::Write | Call::Sync) => self.rng.random_range(0..40),
            _ => self.rng.random_range(0..2),
        };
        let kept = if self.rng.random_bool(0.7) { 0 } else { self.rng.random_range(0..=1000) };
        if self.rng.random_bool(0.7) {
            // So that there is something to lose at that call.
            let millis = self.rng.random_range(20..800_u64);
            trace::line(format_args!("FAULT syncs of n{} take {millis} ms", victim.number));
            victim.sync_micros.store(millis * 1000, Ordering::Relaxed);
            self.undo.push((now + ARMED, Undo::Disk(victim.number)));
        }
        let failure = Failure { call, after, done: self.rng.random_bool(0.7), kept };
        trace::line(format_args!("FAULT n{} will lose power at {failure:?}", victim.number));
        victim.disk.fail_at(Some(failure));
        victim.spoiled.set(true);
        self.undo.push((now + ARMED, Undo::Failure(victim.number)));
    }

    /// Ends the processes whose disk has lost its power in this step.
    pub fn fell(&mut self, sim: &mut Sim<'_>) {
        let hosts: Vec<Rc<ControlHost>> = self.shared.controls.borrow().clone();
        for host in hosts.iter().filter(|host| host.disk.has_failed()) {
            let now = sim.elapsed();
            trace::line(format_args!("FAULT {} has lost power at its call", host.name()));
            self.power_off(sim, now, host);
            self.later(now, Undo::Start(host.number));
        }
    }

    pub(super) fn spoil_disk(&mut self, now: Duration, kind: Kind) {
        let Some(victim) = self.victim() else { return };
        let number = victim.number;
        if kind == Kind::FailedSync {
            trace::line(format_args!("FAULT syncs of n{number} fail"));
            victim.disk.fail_syncs(true);
            victim.spoiled.set(true);
            // The process ends; it is started again on a disk that works.
            self.undo.push((now + Duration::from_millis(500), Undo::Disk(number)));
            self.later(now + Duration::from_secs(1), Undo::Start(number));
            return;
        }
        self.slow_down(now, &victim);
    }
}
