//! Scale-in: which tasks of a service stop first. The strategies that placed them, the other way round: from the most crowded value of a
//! spread, from the emptiest node of a binpack. What they hold equal is decided as it is without any: from the most crowded node, of its
//! tasks one that does not run yet, else the newest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trireme_state::State;
use trireme_state::object::{ContainerInstance, PlacementStrategy, Task, TaskStatus};
use trireme_state::query::ZONE_ATTRIBUTE;
use trireme_types::{ContainerInstanceId, CpuUnits, Mebibytes, TaskId, Timestamp};

use crate::rank::{self, Chain, Key, Part, Standing};
use crate::ranking::{Best, Ranking};
use crate::view::{Cells, Counts, spread_value};

/// What makes one of a node's tasks go before another: its lot, if lots are drawn; not yet running, then newer, then the higher id.
type StopKey = (u64, bool, Timestamp, TaskId);

/// A node with tasks of the group.
struct Host<'a> {
    instance: Option<&'a Arc<ContainerInstance>>,
    /// Any of its tasks: it knows the zone of a node that is gone.
    one: &'a Task,
    /// Those that may stop, the first one last.
    tasks: BTreeMap<StopKey, &'a Task>,
    /// All of them that stay.
    of_group: u32,
    free_cpu: CpuUnits,
    free_memory: Mebibytes,
}

impl<'a> Host<'a> {
    fn new(view: &'a State, one: &'a Task) -> Self {
        let instance = view.instance(one.instance);
        let load = view.index().instance_load(one.instance);
        let total = instance.map(|instance| &instance.registration.resources);
        Self {
            one,
            tasks: BTreeMap::new(),
            of_group: 0,
            free_cpu: total.map_or(CpuUnits::ZERO, |total| total.cpu.saturating_sub(load.cpu)),
            free_memory: total.map_or(Mebibytes::ZERO, |total| total.memory.saturating_sub(load.memory)),
            instance,
        }
    }

    fn value(&self, view: &'a State, field: &str) -> Option<&'a str> {
        match self.instance {
            Some(instance) => spread_value(view, instance, field),
            None => (field == ZONE_ATTRIBUTE).then(|| self.one.zone.as_str()),
        }
    }

    /// Where it is in the order of stopping; the highest first. `None`: none of its tasks may stop.
    fn key(&self, chain: &Chain) -> Option<(Key, StopKey)> {
        let (first, _) = self.tasks.last_key_value()?;
        let standing = Standing {
            of_group: self.of_group,
            lot: first.0,
            free_cpu: self.free_cpu,
            free_memory: self.free_memory,
        };
        Some((chain.key(&standing), *first))
    }

    /// Its first task stops.
    fn take(&mut self) -> Option<TaskId> {
        let (_, task) = self.tasks.pop_last()?;
        self.of_group = self.of_group.saturating_sub(1);
        self.free_cpu = self.free_cpu.saturating_add(task.reservation.cpu);
        self.free_memory = self.free_memory.saturating_add(task.reservation.memory);
        Some(task.id)
    }
}

/// Which `count` of a group's tasks to stop, in this order. All of them count as there; only those that `may_stop` are chosen.
pub fn choose_to_stop<'a>(
    view: &'a State,
    strategy: &[PlacementStrategy],
    tasks: impl Iterator<Item = &'a Task>,
    count: usize,
    may_stop: impl Fn(&Task) -> bool,
) -> Vec<TaskId> {
    if count == 0 {
        return Vec::new();
    }
    let chain = Chain::for_stops(strategy);
    let drawn = chain.parts.contains(&Part::Random);
    let mut hosts: BTreeMap<ContainerInstanceId, Host<'_>> = BTreeMap::new();
    for task in tasks {
        let host = hosts.entry(task.instance).or_insert_with(|| Host::new(view, task));
        host.of_group = host.of_group.saturating_add(1);
        if may_stop(task) {
            let idle = task.last_status < TaskStatus::Running;
            let id = task.id.bits();
            let lot = if drawn { rank::lot(&task.group, [id as u64, (id >> 64) as u64, 0]) } else { 0 };
            host.tasks.insert((lot, idle, task.times.created_at, task.id), task);
        }
    }
    let hosts: Vec<Host<'_>> = hosts.into_values().collect();
    let values = hosts.iter().map(|host| chain.fields.iter().map(|field| host.value(view, field)));
    let cells = Cells::new(chain.fields.len(), values);
    Round::new(&chain, &cells, hosts).take(count).collect()
}

/// The order of stopping, task after task.
struct Round<'a> {
    chain: &'a Chain,
    cells: &'a Cells,
    hosts: Vec<Host<'a>>,
    counts: Counts,
    /// The hosts of each cell that have a task to stop, the first one last.
    order: Vec<BTreeSet<(Key, StopKey, usize)>>,
    /// The cells by the first host of each, and the cell.
    ranking: Ranking<(StopKey, usize)>,
}

impl<'a> Round<'a> {
    fn new(chain: &'a Chain, cells: &'a Cells, hosts: Vec<Host<'a>>) -> Self {
        let (mut counts, mut order) = (cells.counts(), vec![BTreeSet::new(); cells.len()]);
        for (place, host) in hosts.iter().enumerate() {
            counts.add(cells, cells.of(place), host.of_group);
            if let (Some((key, first)), Some(cell)) = (host.key(chain), order.get_mut(cells.of(place))) {
                cell.insert((key, first, place));
            }
        }
        let ranking = Ranking::new(cells, Best::Highest);
        let mut round = Self { chain, cells, hosts, counts, order, ranking };
        (0..cells.len()).for_each(|cell| round.rank(cell));
        round
    }

    /// The hosts of a cell have changed.
    fn rank(&mut self, cell: usize) {
        let last = self.order.get(cell).and_then(BTreeSet::last);
        let best = last.map(|(key, first, _)| (*key, (*first, cell)));
        self.ranking.set((self.cells, &self.counts), self.chain, cell, best);
    }
}

impl Iterator for Round<'_> {
    type Item = TaskId;

    fn next(&mut self) -> Option<TaskId> {
        let (_, (_, cell)) = self.ranking.best()?;
        let hosts = self.order.get_mut(cell)?;
        let (_, _, place) = hosts.pop_last()?;
        let host = self.hosts.get_mut(place)?;
        let task = host.take();
        self.counts.take(self.cells, cell);
        if let Some((key, first)) = host.key(self.chain) {
            hosts.insert((key, first, place));
        }
        self.rank(cell);
        task
    }
}
