//! Cells: nodes that have the same values of the attributes that tasks are spread over, with, in each cell, its nodes from the fullest to
//! the emptiest. A node without an attribute has a value of its own: none.

use std::collections::{BTreeMap, BTreeSet};

use trireme_state::State;

use super::{Bits, Node, spread_value};
use crate::rank::Order;

/// Nodes, or what else has a place, by the values of some attributes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cells {
    /// The cell of each place.
    of: Vec<usize>,
    /// For each cell its number at each level: cells that agree in the values up to there have the same one.
    paths: Vec<Vec<usize>>,
    /// How many numbers each level has.
    widths: Vec<usize>,
}

impl Cells {
    /// `values` gives each place's values, one for each of `levels`.
    pub fn new<'a, V>(levels: usize, values: impl Iterator<Item = V>) -> Self
    where
        V: Iterator<Item = Option<&'a str>>,
    {
        let mut known: Vec<BTreeMap<(usize, Option<&str>), usize>> = vec![BTreeMap::new(); levels];
        let mut cells: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let mut of = Vec::new();
        for values in values {
            let mut path: Vec<usize> = Vec::with_capacity(levels);
            for (level, value) in known.iter_mut().zip(values) {
                let next = level.len();
                let above = path.last().copied().unwrap_or(0);
                path.push(*level.entry((above, value)).or_insert(next));
            }
            let next = cells.len();
            of.push(*cells.entry(path).or_insert(next));
        }
        let mut paths: Vec<(usize, Vec<usize>)> =
            cells.into_iter().map(|(path, cell)| (cell, path)).collect();
        paths.sort_unstable();
        let paths = paths.into_iter().map(|(_, path)| path).collect();
        Self { of, paths, widths: known.iter().map(BTreeMap::len).collect() }
    }

    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Over how many attributes they are spread.
    pub fn depth(&self) -> usize {
        self.widths.len()
    }

    /// How many numbers a level has.
    pub fn width(&self, level: usize) -> usize {
        self.widths.get(level).copied().unwrap_or(0)
    }

    /// The cell of a place.
    pub fn of(&self, place: usize) -> usize {
        self.of.get(place).copied().unwrap_or(0)
    }

    /// A cell's number at a level.
    pub fn number(&self, cell: usize, level: usize) -> usize {
        self.paths.get(cell).and_then(|path| path.get(level)).copied().unwrap_or(0)
    }

    /// Nothing counted yet, at each level.
    pub fn counts(&self) -> Counts {
        Counts(self.widths.iter().map(|width| vec![0; *width]).collect())
    }
}

/// Tasks of a group by the values of each level.
#[derive(Debug, Clone)]
pub(crate) struct Counts(Vec<Vec<u32>>);

impl Counts {
    /// What a cell's values have at a level.
    pub fn at(&self, cells: &Cells, cell: usize, level: usize) -> u32 {
        let counts = self.0.get(level);
        counts.and_then(|counts| counts.get(cells.number(cell, level))).copied().unwrap_or(0)
    }

    /// More tasks are in a cell.
    pub fn add(&mut self, cells: &Cells, cell: usize, tasks: u32) {
        self.change(cells, cell, |count| count.saturating_add(tasks));
    }

    /// One task fewer is in a cell.
    pub fn take(&mut self, cells: &Cells, cell: usize) {
        self.change(cells, cell, |count| count.saturating_sub(1));
    }

    fn change(&mut self, cells: &Cells, cell: usize, change: impl Fn(u32) -> u32) {
        for (level, counts) in self.0.iter_mut().enumerate() {
            if let Some(count) = counts.get_mut(cells.number(cell, level)) {
                *count = change(*count);
            }
        }
    }
}

/// What is free on a node, as one number to sort by, and its place.
pub(crate) type Seat = (u64, u32);

/// What is free on a node as one number, what is first in the order first.
pub(crate) fn seat(node: &Node, order: Order) -> Seat {
    let (cpu, memory) = (u64::from(node.free_cpu().get()), u64::from(node.free_memory().get()));
    let (first, second) = match order {
        Order::Memory => (memory, cpu),
        Order::Cpu => (cpu, memory),
    };
    ((first << 32) | second, u32::try_from(node.place()).unwrap_or(u32::MAX))
}

/// The nodes of each cell in order.
#[derive(Debug, Clone)]
struct Shelf {
    order: Order,
    cells: Vec<BTreeSet<Seat>>,
    /// Where each node is now.
    seats: Vec<Seat>,
    /// How many of the copy's placements it has followed.
    followed: usize,
}

impl Shelf {
    fn new(order: Order, cells: &Cells, nodes: &[Node], ready: &Bits, followed: usize) -> Self {
        let mut sorted: Vec<Vec<Seat>> = vec![Vec::new(); cells.len()];
        for place in ready.iter() {
            if let (Some(cell), Some(node)) = (sorted.get_mut(cells.of(place)), nodes.get(place)) {
                cell.push(seat(node, order));
            }
        }
        let seats = nodes.iter().map(|node| seat(node, order)).collect();
        // A set of what is sorted is built in one go.
        let cells = sorted.into_iter().map(|cell| cell.into_iter().collect()).collect();
        Self { order, cells, seats, followed }
    }

    fn follow(&mut self, cells: &Cells, nodes: &[Node], taken: &[usize]) {
        for place in taken.get(self.followed..).unwrap_or_default() {
            let (Some(node), Some(old)) = (nodes.get(*place), self.seats.get_mut(*place)) else { continue };
            let new = seat(node, self.order);
            if *old == new {
                continue;
            }
            if let Some(cell) = self.cells.get_mut(cells.of(*place)) {
                cell.remove(old);
                cell.insert(new);
            }
            *old = new;
        }
        self.followed = taken.len();
    }
}

/// Cells by the attributes that make them, and shelves of them: made when they are asked for first, and brought up to date when they are
/// asked for again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partition {
    fields: Vec<String>,
    cells: Cells,
    shelves: Vec<Shelf>,
}

/// Partitions that are kept. Services that spread over the same attributes share one.
const PARTITIONS: usize = 16;

/// All partitions of a copy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partitions(Vec<Partition>);

impl Partitions {
    /// The one of these attributes.
    pub fn get(&mut self, fields: &[String], view: &State, nodes: &[Node]) -> &mut Partition {
        let known = self.0.iter().position(|one| one.fields == fields);
        let at = known.unwrap_or_else(|| {
            if self.0.len() >= PARTITIONS {
                self.0.remove(0);
            }
            let values = nodes.iter().map(|node| {
                let value = move |field: &String| spread_value(view, node.instance(), field);
                fields.iter().map(value)
            });
            let cells = Cells::new(fields.len(), values);
            self.0.push(Partition { fields: fields.to_vec(), cells, shelves: Vec::new() });
            self.0.len().saturating_sub(1)
        });
        // It is there: it was found, or was just put there.
        &mut self.0[at]
    }
}

impl Partition {
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Has the nodes of each cell in an order, as they are after all that was `taken`.
    pub fn follow(&mut self, order: Order, nodes: &[Node], ready: &Bits, taken: &[usize]) {
        match self.shelves.iter_mut().find(|shelf| shelf.order == order) {
            Some(shelf) => shelf.follow(&self.cells, nodes, taken),
            None => self.shelves.push(Shelf::new(order, &self.cells, nodes, ready, taken.len())),
        }
    }

    /// A cell's nodes in an order, from those on that have so much of what comes first in it. Only after [`Partition::follow`].
    pub fn from(
        &self,
        order: Order,
        cell: usize,
        least: u64,
    ) -> Option<std::collections::btree_set::Range<'_, Seat>> {
        let shelf = self.shelves.iter().find(|shelf| shelf.order == order)?;
        Some(shelf.cells.get(cell)?.range((least << 32, 0)..))
    }
}
