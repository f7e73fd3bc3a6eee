//! Faults of the network: who hears whom, and when.

use std::time::Duration;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use trireme_raft::Node;
use trireme_raft::probe::Probe;
use turmoil::Sim;

use super::links::{Way, between};
use super::moment::Moment;
use super::{Armed, Chaos, Deposing, Kind, Undo};
use crate::control::ControlHost;
use crate::trace;

impl Chaos {
    pub(super) fn cut(&mut self, sim: &Sim<'_>, now: Duration, kind: Kind) {
        let mut names = if self.rng.random_bool(0.5) { self.control_names() } else { self.everyone() };
        names.shuffle(&mut self.rng);
        let ways = match kind {
            Kind::OneWay => {
                let count = self.rng.random_range(1..=4);
                let mut ways = between(&names, &names);
                ways.shuffle(&mut self.rng);
                ways.truncate(count);
                ways
            }
            Kind::Isolate => {
                let Some(victim) = self.victim() else { return };
                self.isolate(&victim.name())
            }
            Kind::Bridge => {
                // Two halves, and one in the middle that hears both.
                let middle = names.pop();
                let half = names.split_off(names.len() / 2);
                trace::line(format_args!("FAULT bridge over {middle:?}"));
                between(&names, &half)
            }
            _ => {
                let at = self.rng.random_range(1..names.len());
                let other = names.split_off(at);
                between(&names, &other)
            }
        };
        trace::line(format_args!("FAULT {kind:?}: {}", show(&ways)));
        self.links.cut(sim, &ways);
        self.later(now, Undo::Mend(ways));
    }

    pub(super) fn hold(&mut self, sim: &Sim<'_>, now: Duration, kind: Kind) {
        let links: Vec<Way> = match kind {
            Kind::Pause => {
                let Some(victim) = self.victim() else { return };
                between(&[victim.name()], &self.everyone()).into_iter().step_by(2).collect()
            }
            _ => {
                let names = self.control_names();
                let all = between(&names, &names).into_iter().filter(|(a, b)| a < b);
                let mut all: Vec<Way> = all.step_by(2).collect();
                all.shuffle(&mut self.rng);
                all
            }
        };
        trace::line(format_args!("FAULT {kind:?}: {}", show(&links)));
        self.links.hold(sim, &links);
        if kind == Kind::Pause {
            self.later(now, Undo::Release(links));
            return;
        }
        // Released one by one, in another order.
        let mut links = links;
        links.shuffle(&mut self.rng);
        for link in links {
            self.later(now, Undo::Release(vec![link]));
        }
    }

    pub(super) fn depose(&mut self, sim: &Sim<'_>, now: Duration) {
        let members = self.shared.members();
        let leads =
            |host: &ControlHost| host.node.borrow().as_ref().map(Node::probe).filter(|probe| probe.leads);
        let leader = members.iter().find_map(|host| Some((host.clone(), leads(host)?.vote.0)));
        let Some((leader, term)) = leader else { return };
        let mut others = self.control_names();
        others.retain(|name| *name != leader.name());
        let mut ways = between(&[leader.name()], &others);
        // What waits is delivered as soon as there is another leader: the first that the old one hears cuts its log.
        let held = self.rng.random_bool(0.6);
        if !held
            && self.rng.random_bool(0.5)
            && let Some(hears) = others.choose(&mut self.rng)
        {
            // One of them hears it, and is not heard.
            ways.retain(|way| way.1 != *hears);
        }
        trace::line(format_args!("FAULT {} is to be deposed, held {held}: {}", leader.name(), show(&ways)));
        if held {
            ways = ways.into_iter().step_by(2).collect();
            self.links.hold(sim, &ways);
        } else {
            self.links.cut(sim, &ways);
        }
        self.delay_successors(now);
        let until = now + Duration::from_secs(6);
        self.deposing.push(Deposing { term, ways, held, until });
        for host in members {
            if self.rng.random_bool(0.7) {
                let kind = if self.rng.random_bool(0.5) { Kind::Kill } else { Kind::PowerLoss };
                self.armed.push(Armed { number: host.number, kind, moment: Moment::Cut, until });
            }
        }
    }

    /// Mends the links around leaders that are leaders no more.
    pub(super) fn end_deposing(&mut self, sim: &Sim<'_>, now: Duration) {
        if self.deposing.is_empty() {
            return;
        }
        let probes: Vec<Probe> = self
            .shared
            .members()
            .iter()
            .filter_map(|host| host.node.borrow().as_ref().map(Node::probe))
            .collect();
        let newest = probes.iter().filter(|probe| probe.leads).map(|probe| probe.vote.0).max().unwrap_or(0);
        let (over, rest) = std::mem::take(&mut self.deposing)
            .into_iter()
            .partition(|deposing| newest > deposing.term || now > deposing.until);
        self.deposing = rest;
        let over: Vec<Deposing> = over;
        for deposing in over {
            trace::line(format_args!("there is a leader after term {}", deposing.term));
            if deposing.held {
                self.links.release(sim, &deposing.ways);
            } else {
                self.links.mend(sim, &deposing.ways);
            }
        }
    }

    /// What is cut around one control node: everything; what it says; all but its clients, who go on to ask it; or all but what
    /// it says to one other, which hears a leader that never learns so.
    fn isolate(&mut self, victim: &str) -> Vec<Way> {
        let mut others = self.control_names();
        others.retain(|name| name != victim);
        let around = |others: &[String]| between(&[victim.to_owned()], others);
        match self.rng.random_range(0..10) {
            0..3 => around(&self.everyone()),
            3..5 => around(&self.everyone()).into_iter().filter(|way| way.0 == victim).collect(),
            5..8 => around(&others),
            _ => {
                let Some(hears) = others.choose(&mut self.rng) else { return Vec::new() };
                around(&others).into_iter().filter(|way| way.1 != *hears).collect()
            }
        }
    }
}

fn show(ways: &[Way]) -> String {
    let shown: Vec<String> = ways.iter().take(12).map(|(a, b)| format!("{a}>{b}")).collect();
    format!("{} of {}", shown.join(" "), ways.len())
}
