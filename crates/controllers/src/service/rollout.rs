//! How many tasks to stop and to start, as arithmetic on counts. Which ones, others decide.
//!
//! - Never more than the maximum with desired status RUNNING; never fewer healthy ones than the minimum by our own stops. A new task
//!   counts toward the minimum once it is healthy: an outgoing one never makes way for one that may exit the next moment.
//! - Start first: an outgoing task goes when a new one is healthy in its place. Only when nothing more may start are running
//!   ones stopped down to the minimum to make room. Starting waits for nobody's health.
//! - A task that does not run yet serves nobody: stopping it costs nothing. One that runs and is not healthy yet may serve
//!   somebody: it is neither enough to stop another for, nor is it nothing.
//! - A task whose health check fails is replaced start first too; but it counts for nothing, and makes room before any other.
//! - A protected task is not stopped for fewer or for newer ones.

/// A service's tasks that are wanted, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What is asked for.
    pub desired: usize,
    /// The most with desired status RUNNING.
    pub maximum: usize,
    /// The fewest healthy ones that our stops leave. Not above what the user asked for.
    pub minimum: usize,
    /// Of the primary deployment, where they may stay, and not known to be unhealthy.
    pub fresh: usize,
    /// Of them, RUNNING.
    pub fresh_running: usize,
    /// Of those, healthy.
    pub fresh_healthy: usize,
    /// Of `fresh`, those that are not protected.
    pub free: usize,
    /// Of `fresh_running`, the same.
    pub free_running: usize,
    /// Of `fresh_healthy`, the same.
    pub free_healthy: usize,
    /// RUNNING and healthy, of an older deployment or on a draining instance.
    pub outgoing: usize,
    /// Of them, those that are not protected.
    pub outgoing_free: usize,
    /// Like `outgoing`, but not healthy yet.
    pub weak: usize,
    /// Of them, those that are not protected.
    pub weak_free: usize,
    /// RUNNING, and unhealthy.
    pub sick: usize,
    /// Fresh tasks that are missing and wait for the end of a back-off.
    pub held: usize,
}

impl Counts {
    /// Those that a stop may count on.
    fn healthy(&self) -> usize {
        self.fresh_healthy.saturating_add(self.outgoing)
    }

    /// Those that may serve somebody.
    fn running(&self) -> usize {
        self.fresh_running.saturating_add(self.outgoing).saturating_add(self.weak)
    }

    /// All but the fresh ones.
    pub fn replaced(&self) -> usize {
        self.outgoing.saturating_add(self.weak).saturating_add(self.sick)
    }
}

/// Tasks to stop that are not fresh, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retired {
    /// Sick ones.
    pub sick: usize,
    /// Weak ones.
    pub weak: usize,
    /// Outgoing ones.
    pub outgoing: usize,
}

impl Retired {
    /// All of them.
    pub fn all(self) -> usize {
        self.sick.saturating_add(self.weak).saturating_add(self.outgoing)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sick: self.sick.saturating_add(other.sick),
            weak: self.weak.saturating_add(other.weak),
            outgoing: self.outgoing.saturating_add(other.outgoing),
        }
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    /// Fresh tasks too many.
    pub excess: usize,
    /// Of them, at most so many may be RUNNING.
    pub excess_running: usize,
    /// Of those, at most so many may be healthy.
    pub excess_healthy: usize,
    /// Others to stop.
    pub retire: Retired,
    /// Tasks to start.
    pub start: usize,
    /// The limits allow no step: nothing may start, and nothing may stop.
    pub stuck: bool,
    /// Tasks that would stop if they were not protected.
    pub kept: usize,
}

/// The next step. Nothing makes room for tasks that wait for the end of a back-off.
pub fn moves(counts: &Counts) -> Moves {
    if counts.fresh > counts.desired { fewer(counts) } else { more(counts) }
}

fn fewer(counts: &Counts) -> Moves {
    let Counts { desired, minimum, fresh, .. } = *counts;
    let all = fresh.saturating_sub(desired);
    let excess = all.min(counts.free);
    let excess_running = excess.min(counts.running().saturating_sub(minimum)).min(counts.free_running);
    let excess_healthy = excess.min(counts.healthy().saturating_sub(minimum)).min(counts.free_healthy);
    // The excess may take them all; what is left above the desired count is outgoing for sure.
    let (mut retire, kept) = surplus(counts, counts.healthy().saturating_sub(excess_healthy));
    let left = counts.running().saturating_sub(excess_running).saturating_sub(retire.outgoing);
    retire.weak = retire.weak.min(left.saturating_sub(minimum));
    let kept = kept.saturating_add(all.saturating_sub(excess));
    Moves { excess, excess_running, excess_healthy, retire, kept, ..Moves::default() }
}

/// Those that are not needed beside so many healthy ones, the least useful first; and how many of them are protected.
fn surplus(counts: &Counts, healthy: usize) -> (Retired, usize) {
    let Counts { desired, weak, weak_free, outgoing, outgoing_free, sick, .. } = *counts;
    let all = healthy.saturating_add(weak).saturating_add(sick).saturating_sub(desired);
    let of_sick = all.min(sick);
    let of_weak = all.saturating_sub(of_sick).min(weak);
    let of_outgoing = healthy.saturating_sub(desired).min(outgoing);
    let retired =
        Retired { sick: of_sick, weak: of_weak.min(weak_free), outgoing: of_outgoing.min(outgoing_free) };
    let kept =
        of_weak.saturating_sub(retired.weak).saturating_add(of_outgoing.saturating_sub(retired.outgoing));
    (retired, kept)
}

/// So many of the others to make room for new ones: down to the minimum, the least useful first.
fn clear(counts: &Counts, retired: Retired, wanted: usize) -> Retired {
    let sick = wanted.min(counts.sick.saturating_sub(retired.sick));
    let left = wanted.saturating_sub(sick);
    // A weak one is no reason to stop another; but as long as nobody healthy is there in its place, it is kept like a healthy one.
    let healthy = counts.healthy().saturating_sub(retired.outgoing);
    let weak = counts.weak.saturating_sub(retired.weak);
    let spare = healthy.saturating_add(weak).saturating_sub(counts.minimum);
    let weak = left.min(counts.weak_free.saturating_sub(retired.weak)).min(spare);
    let outgoing = left
        .saturating_sub(weak)
        .min(counts.outgoing_free.saturating_sub(retired.outgoing))
        .min(healthy.saturating_sub(counts.minimum))
        .min(spare.saturating_sub(weak));
    Retired { sick, weak, outgoing }
}

/// Of a service whose primary deployment has failed: those of the others that are more than it wants. Nothing takes the place of
/// anything.
pub fn fewer_of_failed(counts: &Counts) -> Retired {
    let over = counts.outgoing.saturating_add(counts.weak).saturating_sub(counts.desired);
    let weak = over.min(counts.weak_free);
    let spare = counts.healthy().saturating_sub(counts.minimum);
    let outgoing = over.saturating_sub(weak).min(counts.outgoing_free).min(spare);
    Retired { sick: 0, weak, outgoing }
}

fn more(counts: &Counts) -> Moves {
    let Counts { desired, maximum, fresh, fresh_healthy, held, .. } = *counts;
    let (surplus, kept) = surplus(counts, counts.healthy());
    let needed = desired.saturating_sub(fresh).saturating_sub(held);
    let wanted = fresh.saturating_add(counts.replaced()).saturating_sub(surplus.all());
    let lacking = wanted.saturating_add(needed).saturating_sub(maximum);
    let cleared = if needed > 0 { clear(counts, surplus, lacking) } else { Retired::default() };
    let start = needed.min(maximum.saturating_add(cleared.all()).saturating_sub(wanted));
    let retire = surplus.plus(cleared);
    let idle = needed > 0 && start == 0 && retire == Retired::default();
    let stuck = idle && counts.replaced() > 0 && fresh == fresh_healthy && counts.weak == 0;
    Moves { retire, start, stuck, kept, ..Moves::default() }
}

/// How many more others to stop for new ones that find no place: down to the minimum, and not again for those whose
/// places are about to be free.
pub fn make_room(counts: &Counts, retired: Retired, unplaced: usize, stopping: usize) -> Retired {
    clear(counts, retired, unplaced.saturating_sub(stopping.saturating_add(retired.all())))
}

#[cfg(test)]
mod tests;
