//! Which messages get through. Several faults may cut the same link; it is whole again when all of them are over.

use std::collections::{BTreeMap, BTreeSet};

use turmoil::Sim;

/// From one host to another.
pub type Way = (String, String);

/// The cuts on top of a whole network.
#[derive(Default)]
pub struct Links {
    /// Messages that are dropped, by how many faults.
    cut: BTreeMap<Way, u32>,
    /// Links, the lesser name first, on which messages wait.
    held: BTreeMap<Way, u32>,
}

fn link(a: &str, b: &str) -> Way {
    if a < b { (a.to_owned(), b.to_owned()) } else { (b.to_owned(), a.to_owned()) }
}

impl Links {
    /// Drops what `ways` carry.
    pub fn cut(&mut self, sim: &Sim<'_>, ways: &[Way]) {
        for way in ways {
            *self.cut.entry(way.clone()).or_default() += 1;
            self.set(sim, &way.0, &way.1);
        }
    }

    /// The end of one such fault.
    pub fn mend(&mut self, sim: &Sim<'_>, ways: &[Way]) {
        for way in ways {
            lower(&mut self.cut, way);
            self.set(sim, &way.0, &way.1);
        }
    }

    /// Keeps what these links carry, both ways, until [`Links::release`].
    pub fn hold(&mut self, sim: &Sim<'_>, links: &[Way]) {
        for (a, b) in links {
            let link = link(a, b);
            let count = self.held.entry(link).or_default();
            *count += 1;
            if *count == 1 {
                sim.hold(a.as_str(), b.as_str());
            }
        }
    }

    /// Delivers what was kept.
    pub fn release(&mut self, sim: &Sim<'_>, links: &[Way]) {
        for (a, b) in links {
            let link = link(a, b);
            if lower(&mut self.held, &link) {
                sim.release(a.as_str(), b.as_str());
                self.set(sim, a, b);
            }
        }
    }

    /// Everything gets through again.
    pub fn mend_all(&mut self, sim: &Sim<'_>) {
        let held: Vec<Way> = self.held.keys().cloned().collect();
        let cut: BTreeSet<Way> = self.cut.keys().cloned().collect();
        self.held.clear();
        self.cut.clear();
        for (a, b) in &held {
            sim.release(a.as_str(), b.as_str());
        }
        for (a, b) in &cut {
            self.set(sim, a, b);
        }
    }

    /// Brings the network to what it shall be between two hosts. A link that is held stays as it is.
    fn set(&self, sim: &Sim<'_>, a: &str, b: &str) {
        if self.held.contains_key(&link(a, b)) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            if self.cut.contains_key(&(from.to_owned(), to.to_owned())) {
                sim.partition_oneway(from, to);
            } else {
                sim.repair_oneway(from, to);
            }
        }
    }
}

/// One less; true when none is left.
fn lower(counts: &mut BTreeMap<Way, u32>, way: &Way) -> bool {
    let Some(count) = counts.get_mut(way) else { return false };
    *count -= 1;
    if *count > 0 {
        return false;
    }
    counts.remove(way);
    true
}

/// Both ways between each of `left` and each of `right`.
pub fn between(left: &[String], right: &[String]) -> Vec<Way> {
    let mut ways = Vec::new();
    for a in left {
        for b in right.iter().filter(|b| *b != a) {
            ways.push((a.clone(), b.clone()));
            ways.push((b.clone(), a.clone()));
        }
    }
    ways
}
