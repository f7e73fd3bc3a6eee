//! What is in a task's way at most: all tasks that are still to be placed but for itself.

use trireme_scheduler::{Node, Wanted};

use super::Kind;

/// All tasks that are still to be placed but for one.
pub(super) struct Others<'a> {
    /// Of each kind, how many.
    kinds: Vec<(&'a Kind, u64)>,
    pub count: u64,
    cpu: u64,
    memory: u64,
    /// What every amount of cpu that some of them hold together is a multiple of.
    cpu_step: u64,
    memory_step: u64,
}

impl<'a> Others<'a> {
    pub fn of(kind: &Kind, kinds: &'a [Kind]) -> Self {
        let mut others = Self { kinds: Vec::new(), count: 0, cpu: 0, memory: 0, cpu_step: 0, memory_step: 0 };
        for other in kinds {
            let itself = u64::from(std::ptr::eq(kind, other));
            let count = other.count.saturating_sub(itself);
            if count == 0 {
                continue;
            }
            let (cpu, memory) = sizes(&other.request.wanted);
            others.kinds.push((other, count));
            others.count = others.count.saturating_add(count);
            others.cpu = others.cpu.saturating_add(cpu.saturating_mul(count));
            others.memory = others.memory.saturating_add(memory.saturating_mul(count));
            others.cpu_step = common(others.cpu_step, cpu);
            others.memory_step = common(others.memory_step, memory);
        }
        others
    }

    /// On how many nodes they can be in the way of `kind` by what they hold.
    pub fn by_size(&self, kind: &Kind, nodes: &[&Node]) -> usize {
        let sum = |of: &dyn Fn(&Node) -> u32| {
            nodes.iter().fold(0_u64, |sum, node| sum.saturating_add(of(node).into()))
        };
        let free = (sum(&|node| node.free_cpu().get()), sum(&|node| node.free_memory().get()));
        // Any of them would do; the one that counts fewest is best.
        let scales = [sizes(&kind.request.wanted), (self.cpu, self.memory), free];
        let mut least = self.in_number(kind, nodes);
        for scale in scales {
            least = least.min(self.in_size(kind, nodes, scale));
        }
        least
    }

    /// What they must hold on a node at least, of cpu and of memory, to be in the way of `kind` there. `None`: they cannot be by that.
    fn costs(&self, kind: &Kind, node: &Node) -> (Option<u64>, Option<u64>) {
        let (cpu, memory) = sizes(&kind.request.wanted);
        let cost = |free: u64, wanted: u64, step: u64| {
            let least = free.checked_sub(wanted)?.saturating_add(1);
            (wanted > 0 && step > 0).then(|| least.div_ceil(step).saturating_mul(step))
        };
        (
            cost(node.free_cpu().get().into(), cpu, self.cpu_step),
            cost(node.free_memory().get().into(), memory, self.memory_step),
        )
    }

    /// Cpu and memory are made comparable by `scale`: whatever it is, the number is not too small, and with a good one it is not too
    /// large.
    fn in_size(&self, kind: &Kind, nodes: &[&Node], (cpu_scale, memory_scale): (u64, u64)) -> usize {
        let (by_cpu, by_memory) = (u128::from(memory_scale.max(1)), u128::from(cpu_scale.max(1)));
        let weight = |cpu: u64, memory: u64| {
            u128::from(cpu).saturating_mul(by_cpu).max(u128::from(memory).saturating_mul(by_memory))
        };
        let budget = self.kinds.iter().fold(0_u128, |sum, (other, count)| {
            let (cpu, memory) = sizes(&other.request.wanted);
            sum.saturating_add(weight(cpu, memory).saturating_mul(u128::from(*count)))
        });
        let costs = nodes.iter().filter_map(|node| {
            let (cpu, memory) = self.costs(kind, node);
            let cpu = cpu.map(|cost| u128::from(cost).saturating_mul(by_cpu));
            let memory = memory.map(|cost| u128::from(cost).saturating_mul(by_memory));
            [cpu, memory].into_iter().flatten().min()
        });
        cheapest(costs, budget)
    }

    /// By their number, as if all were as large as the largest.
    fn in_number(&self, kind: &Kind, nodes: &[&Node]) -> usize {
        let largest = self.kinds.iter().fold((1, 1), |(cpu, memory), (other, _)| {
            let (own_cpu, own_memory) = sizes(&other.request.wanted);
            (own_cpu.max(cpu), own_memory.max(memory))
        });
        let costs = nodes.iter().filter_map(|node| {
            let (cpu, memory) = self.costs(kind, node);
            let number = |cost: Option<u64>, each: u64| cost.map(|cost| u128::from(cost.div_ceil(each)));
            [number(cpu, largest.0), number(memory, largest.1)].into_iter().flatten().min()
        });
        cheapest(costs, u128::from(self.count))
    }

    /// On how many nodes they can be in the way of `kind` by the GPUs that they hold.
    pub fn by_gpus(&self, kind: &Kind, nodes: &[&Node]) -> usize {
        let wanted = kind.request.wanted.gpus;
        if wanted == 0 {
            return 0;
        }
        let gpus =
            |(other, count): &(&Kind, u64)| u64::from(other.request.wanted.gpus).saturating_mul(*count);
        let all = self.kinds.iter().map(gpus).fold(0, u64::saturating_add);
        let cost = |node: &&Node| u128::from(node.free_gpus().saturating_sub(wanted)).saturating_add(1);
        cheapest(nodes.iter().map(cost), u128::from(all))
    }

    /// On how many nodes one of them is enough: it has a port of `kind`, or is of a group whose tasks are to be apart.
    pub fn one_each(&self, kind: &Kind) -> usize {
        let ports = &kind.request.wanted.reservation.ports;
        let distinct = kind.request.rules.are_distinct();
        let in_way = |other: &Kind| {
            let shares = other.request.wanted.reservation.ports.iter().any(|port| ports.contains(port));
            shares || distinct && other.request.group.name() == kind.request.group.name()
        };
        let tasks = self.kinds.iter().filter(|(other, _)| in_way(other)).map(|(_, count)| *count);
        usize::try_from(tasks.fold(0, u64::saturating_add)).unwrap_or(usize::MAX)
    }
}

/// How many of these can be paid for, the cheapest first; or somewhat more, where that is few all the same and soon found.
pub(super) fn cheapest(costs: impl Iterator<Item = u128>, budget: u128) -> usize {
    let mut costs: Vec<u128> = costs.collect();
    let least = costs.iter().min().copied().unwrap_or_default();
    let at_most = budget.checked_div(least).and_then(|most| usize::try_from(most).ok());
    if let Some(most) = at_most.filter(|most| *most < costs.len() / 8) {
        return most;
    }
    costs.sort_unstable();
    let mut left = budget;
    let paid = costs.iter().take_while(|cost| match left.checked_sub(**cost) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    paid.count()
}

fn sizes(wanted: &Wanted) -> (u64, u64) {
    (wanted.reservation.cpu.get().into(), wanted.reservation.memory.get().into())
}

/// The greatest common divisor; 0 divides nothing.
fn common(one: u64, other: u64) -> u64 {
    let (mut one, mut other) = (one, other);
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_paid_for_is_counted_from_the_cheapest() {
        assert_eq!(cheapest([5, 3, 9, 1].into_iter(), 9), 3);
        assert_eq!(cheapest([5, 3].into_iter(), 2), 0);
        assert_eq!(cheapest(std::iter::empty(), 9), 0);
        // What is found soon is no less than what is counted.
        let costs: Vec<u128> = (1..=80).rev().collect();
        assert!(cheapest(costs.iter().copied(), 5) >= 2);
    }

    #[test]
    fn a_common_step_divides_both() {
        assert_eq!((common(0, 256), common(256, 384), common(256, 0), common(0, 0)), (256, 128, 256, 0));
    }
}
