//! Cells in the order of their best keys, kept while the counts of their values change: so the best of thousands is found without a look at
//! each of them.
//!
//! What a cell's values have is counted at each level of its path, and a count is the same for all cells below. So the cells are a tree:
//! the children of one value are sorted by their best key, with the counts from their own level down; what is above is the same for all of
//! them, and comes in where those are sorted.

use std::collections::BTreeSet;

use crate::rank::{Chain, Key};
use crate::view::{Cells, Counts};

/// Which end of the order is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Best {
    Lowest,
    Highest,
}

/// A key, and what decides among equal ones.
type Entry<T> = (Key, T);

/// What is below one value: the best entry of each of its children, with the child's number.
type Children<T> = BTreeSet<(Key, T, usize)>;

/// The values of one level.
#[derive(Debug, Clone)]
struct Level<T> {
    /// By the number of the value above.
    children: Vec<Children<T>>,
    /// What is there of each number.
    entries: Vec<Option<Entry<T>>>,
}

/// Cells in order.
#[derive(Debug, Clone)]
pub(crate) struct Ranking<T> {
    best: Best,
    levels: Vec<Level<T>>,
}

impl<T: Ord + Copy> Ranking<T> {
    /// No cell has anything yet.
    pub fn new(cells: &Cells, best: Best) -> Self {
        let mut above = 1;
        // Nodes that are spread over nothing are one cell.
        let depth = cells.depth().max(1);
        let levels = (0..depth).map(|level| {
            let width = cells.width(level).max(1);
            let children = vec![Children::new(); std::mem::replace(&mut above, width)];
            Level { children, entries: vec![None; width] }
        });
        Self { best, levels: levels.collect() }
    }

    /// The best of all cells, with its whole key.
    pub fn best(&self) -> Option<Entry<T>> {
        self.best_of(0, 0)
    }

    fn best_of(&self, level: usize, above: usize) -> Option<Entry<T>> {
        let children = self.levels.get(level)?.children.get(above)?;
        let best = match self.best {
            Best::Lowest => children.first(),
            Best::Highest => children.last(),
        };
        best.map(|(key, tie, _)| (*key, *tie))
    }

    /// This is the best of a cell now, and these are the counts: to be called whenever either has changed.
    pub fn set(
        &mut self,
        (cells, counts): (&Cells, &Counts),
        chain: &Chain,
        cell: usize,
        best: Option<Entry<T>>,
    ) {
        let mut below = best;
        for at in (0..self.levels.len()).rev() {
            let number = cells.number(cell, at);
            let above = at.checked_sub(1).map_or(0, |level| cells.number(cell, level));
            let count = counts.at(cells, cell, at);
            let new = below.map(|(key, tie)| (chain.with_count(key, at, count), tie));
            let Some(level) = self.levels.get_mut(at) else { return };
            let (Some(children), Some(known)) =
                (level.children.get_mut(above), level.entries.get_mut(number))
            else {
                return;
            };
            if let Some((key, tie)) = std::mem::replace(known, new) {
                children.remove(&(key, tie, number));
            }
            children.extend(new.map(|(key, tie)| (key, tie, number)));
            below = self.best_of(at, above);
        }
    }
}
