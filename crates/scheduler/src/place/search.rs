//! The search for the best node, task after task of one request. Two kinds of nodes are told apart: those that are known, because tasks of the
//! group are on them, lie in a heap of their cell; all others have none of the group, so that within a cell the order in which the copy keeps
//! its nodes anyway is the order of choice: the first that fits is the best. Where no order is kept, or few nodes come into question, all of
//! them are known from the start.
//!
//! What is placed only fills: a node that refuses once is never asked again within a request. So each node is passed over once at most.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::btree_set::Range;

use trireme_state::Placement;

use super::{Ask, Request};
use crate::explain::Refusal;
use crate::filter;
use crate::group::Group;
use crate::rank::{self, Chain, Key, Order, Part, Standing};
use crate::ranking::{Best, Ranking};
use crate::view::{Bits, Counts, Desk, Node, Nodes, Seat, place_of, spread_value};

/// A cell's nodes that have no task of the group, from the fullest that may have room.
struct Fresh<'a> {
    rest: Range<'a, Seat>,
    /// The first of them that fits, once it is settled.
    first: Option<usize>,
    /// What the seat's second number must be at least.
    second: u64,
}

impl Fresh<'_> {
    /// Goes on to the next that fits.
    fn settle(&mut self, fits: impl Fn(usize) -> bool) {
        let still = self.first.is_some_and(&fits);
        if !still {
            let second = self.second;
            let seats = self.rest.by_ref().filter(|(free, _)| free & u64::from(u32::MAX) >= second);
            self.first = seats.map(|(_, place)| *place as usize).find(|place| fits(*place));
        }
    }
}

/// What may be chosen of a cell.
struct Queue<'a> {
    known: BinaryHeap<Reverse<(Key, usize)>>,
    fresh: Option<Fresh<'a>>,
    /// Those that one is drawn from, where nodes are drawn.
    urn: Vec<usize>,
    /// The best of both; `None` when none fits. Of a queue that is not settled it is out of date.
    best: Option<(Key, usize)>,
    settled: bool,
}

/// A request on its way.
pub(crate) struct Search<'a> {
    desk: Desk<'a>,
    chain: &'a Chain,
    ask: Ask,
    group: &'a Group,
    /// Tasks of the group, by place; empty where all tasks count.
    of_group: Vec<u32>,
    counts: Counts,
    /// Tasks of the group that were there before, and how many lots were drawn since.
    tasks: u64,
    lots: u64,
    /// Nodes that may be chosen and are not known.
    open: Bits,
    queues: Vec<Queue<'a>>,
    /// The cells by the best that each has, but for those that have changed.
    ranking: Ranking<usize>,
    changed: Vec<usize>,
}

/// Whether so few nodes of all are open that it is cheaper to know all of them than to look for them among the others.
fn few(open: usize, nodes: usize, count: usize) -> bool {
    let looked = count.saturating_mul(nodes.checked_div(open).unwrap_or(0)).min(nodes);
    open.saturating_mul(3) <= looked
}

impl<'a> Search<'a> {
    /// A search on a copy for what `request` asks by `chain`.
    pub fn new(nodes: &'a mut Nodes, request: &'a Request, chain: &'a Chain) -> Self {
        let ask = Ask::new(nodes, request);
        let open = ask.open(nodes);
        let group = &request.group;
        let scanned = group.by_node().is_none() || few(open.count(), nodes.len(), request.count);
        let order = chain.order().filter(|_| !scanned);
        let desk = nodes.in_cells(&chain.fields, order);
        let cells = desk.partition.cells();
        let (counts, ranking) = (cells.counts(), Ranking::new(cells, Best::Lowest));
        let (of_group, queues, changed) = (Vec::new(), Vec::new(), (0..cells.len()).collect());
        let mut search = Self {
            desk,
            chain,
            ask,
            group,
            of_group,
            counts,
            tasks: 0,
            lots: 0,
            open,
            queues,
            ranking,
            changed,
        };
        search.count_group();
        search.queues = search.fresh(order);
        match order {
            Some(_) => search.know_group(),
            None => search.know_all(),
        }
        search
    }

    /// Counts the group's tasks where they are.
    fn count_group(&mut self) {
        let cells = self.desk.partition.cells();
        let Some(tasks) = self.group.by_node() else {
            for node in self.desk.nodes.iter() {
                let tasks = u32::try_from(node.tasks()).unwrap_or(u32::MAX);
                self.counts.add(cells, cells.of(node.place()), tasks);
                self.tasks = self.tasks.saturating_add(u64::from(tasks));
            }
            return;
        };
        self.of_group = vec![0; self.desk.nodes.len()];
        for (instance, tasks) in tasks {
            let Some(place) = place_of(self.desk.nodes, *instance) else { continue };
            self.counts.add(cells, cells.of(place), *tasks);
            self.tasks = self.tasks.saturating_add(u64::from(*tasks));
            if let Some(known) = self.of_group.get_mut(place) {
                *known = *tasks;
            }
        }
    }

    fn fresh(&self, order: Option<Order>) -> Vec<Queue<'a>> {
        let wanted = &self.ask.wanted.reservation;
        let (cpu, memory) = (u64::from(wanted.cpu.get()), u64::from(wanted.memory.get()));
        let queue = |cell: usize| {
            let fresh = order.and_then(|order| {
                let (first, second) = match order {
                    Order::Memory => (memory, cpu),
                    Order::Cpu => (cpu, memory),
                };
                let rest = self.desk.partition.from(order, cell, first)?;
                Some(Fresh { rest, first: None, second })
            });
            Queue { known: BinaryHeap::new(), fresh, urn: Vec::new(), best: None, settled: false }
        };
        (0..self.desk.partition.cells().len()).map(queue).collect()
    }

    /// The group's nodes are known; the others may be looked for.
    fn know_group(&mut self) {
        let places = self.group.by_node().into_iter().flat_map(|tasks| tasks.keys());
        let places: Vec<usize> = places.filter_map(|id| place_of(self.desk.nodes, *id)).collect();
        for place in places {
            self.know(place);
            self.open.clear(place);
        }
    }

    fn know_all(&mut self) {
        let open = std::mem::take(&mut self.open);
        open.iter().for_each(|place| self.know(place));
    }

    /// Puts a node where it is chosen from, if it fits.
    fn know(&mut self, place: usize) {
        let Some(node) = self.desk.nodes.get(place).filter(|node| filter::fits(node, &self.ask)) else {
            return;
        };
        let key = self.chain.key(&self.standing(node));
        let Some(queue) = self.queues.get_mut(self.desk.partition.cells().of(place)) else { return };
        queue.settled = false;
        if self.chain.draws() {
            queue.urn.push(place);
        } else {
            queue.known.push(Reverse((key, place)));
        }
    }

    /// A node as it stands. Its lot is another one for each task on it.
    fn standing(&self, node: &Node) -> Standing {
        let all = || u32::try_from(node.tasks()).unwrap_or(u32::MAX);
        let counted = self.group.by_node().is_some();
        let of_group = || self.of_group.get(node.place()).copied().unwrap_or(0);
        let lot = || {
            let id = node.id().bits();
            rank::lot(self.group.name(), [id as u64, (id >> 64) as u64, node.tasks() as u64])
        };
        Standing {
            of_group: if counted { of_group() } else { all() },
            free_cpu: node.free_cpu(),
            free_memory: node.free_memory(),
            lot: if self.chain.parts.contains(&Part::Random) { lot() } else { 0 },
        }
    }

    /// Draws a node from a cell, until one fits.
    fn draw(&mut self, cell: usize) {
        let (nodes, ask) = (&*self.desk.nodes, &self.ask);
        let fits = |place: usize| nodes.get(place).is_some_and(|node| filter::fits(node, ask));
        let Some(queue) = self.queues.get_mut(cell).filter(|queue| !queue.settled) else { return };
        let mut drawn = None;
        while drawn.is_none() && !queue.urn.is_empty() {
            self.lots = self.lots.saturating_add(1);
            let lot = rank::lot(self.group.name(), [self.lots, self.tasks, cell as u64]);
            let at = ((lot >> 32) as usize).checked_rem(queue.urn.len()).unwrap_or(0);
            match queue.urn.get(at).filter(|place| fits(**place)) {
                Some(place) => drawn = Some((lot, *place)),
                None => {
                    queue.urn.swap_remove(at);
                }
            }
        }
        let best = drawn.and_then(|(lot, place)| {
            let standing = Standing { lot, ..self.standing(self.desk.nodes.get(place)?) };
            Some((self.chain.key(&standing), place))
        });
        if let Some(queue) = self.queues.get_mut(cell) {
            queue.best = best;
            queue.settled = true;
        }
    }

    /// Finds the best node of a cell anew.
    fn settle(&mut self, cell: usize) {
        if self.chain.draws() {
            return self.draw(cell);
        }
        let (nodes, ask, open) = (&*self.desk.nodes, &self.ask, &self.open);
        let fits = |place: usize| nodes.get(place).is_some_and(|node| filter::fits(node, ask));
        let Some(queue) = self.queues.get_mut(cell).filter(|queue| !queue.settled) else { return };
        while queue.known.peek().is_some_and(|Reverse((_, place))| !fits(*place)) {
            queue.known.pop();
        }
        let known = queue.known.peek().map(|Reverse(best)| *best);
        let first = queue.fresh.as_mut().and_then(|fresh| {
            fresh.settle(|place| open.has(place) && fits(place));
            fresh.first
        });
        let fresh = first.and_then(|place| self.desk.nodes.get(place));
        let fresh = fresh.map(|node| (self.chain.key(&self.standing(node)), node.place()));
        let best = known.into_iter().chain(fresh).min();
        if let Some(queue) = self.queues.get_mut(cell) {
            queue.best = best;
            queue.settled = true;
        }
    }

    /// The best of all nodes, with its whole key.
    pub fn best(&mut self) -> Option<(Key, usize)> {
        for cell in std::mem::take(&mut self.changed) {
            self.settle(cell);
            let best = self.queues.get(cell).and_then(|queue| queue.best);
            let counts = (self.desk.partition.cells(), &self.counts);
            self.ranking.set(counts, self.chain, cell, best);
        }
        self.ranking.best()
    }

    fn whole(&self, key: Key, cell: usize) -> Key {
        let cells = self.desk.partition.cells();
        self.chain.with_counts(key, |level| self.counts.at(cells, cell, level))
    }

    /// Places one task on the best node.
    pub fn place(&mut self) -> Option<Placement> {
        let (_, place) = self.best()?;
        self.desk.take(place, &self.ask.wanted);
        let node = self.desk.nodes.get(place)?;
        let placement = node.placement();
        self.ask.took(node);
        let spent = !self.ask.has_address(node);
        let cells = self.desk.partition.cells();
        let cell = cells.of(place);
        self.counts.add(cells, cell, 1);
        if let Some(count) = self.of_group.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.leave(cell, place);
        if !self.chain.draws() {
            self.know(place);
        }
        if spent {
            // What was best in any cell may be in the zone that has no address left.
            self.queues.iter_mut().for_each(|queue| queue.settled = false);
            self.changed = (0..self.queues.len()).collect();
        } else {
            self.changed.push(cell);
        }
        Some(placement)
    }

    /// A node is no longer where it was chosen from.
    fn leave(&mut self, cell: usize, place: usize) {
        self.open.clear(place);
        let Some(queue) = self.queues.get_mut(cell) else { return };
        queue.settled = false;
        if let Some(fresh) = queue.fresh.as_mut().filter(|fresh| fresh.first == Some(place)) {
            fresh.first = None;
        } else {
            queue.known.pop();
        }
    }

    /// How each node stands now: why it may not be chosen, or with what key it may.
    pub fn answers(&self) -> impl Iterator<Item = (&Node, Result<Key, (usize, Refusal)>)> {
        self.desk.nodes.iter().map(|node| {
            let answer = match filter::first_refusal(node, &self.ask) {
                Some(refusal) => Err(refusal),
                None => {
                    let cell = self.desk.partition.cells().of(node.place());
                    Ok(self.whole(self.chain.key(&self.standing(node)), cell))
                }
            };
            (node, answer)
        })
    }

    /// What is left of it for the copy to remember.
    pub fn finish(self) -> Ask {
        self.ask
    }

    /// The value of a field that a node's tasks are spread over.
    pub fn value<'b>(&'b self, node: &'b Node, field: &str) -> Option<&'b str> {
        spread_value(self.desk.view, node.instance(), field)
    }
}
