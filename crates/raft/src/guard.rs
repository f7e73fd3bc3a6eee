//! The disk guard. The control nodes' disks hold the same data, so they fill together: when a voter's room gets tight, the
//! history goes first; while there is too little all the same, the leader takes nothing that makes the state larger. Stops,
//! deletes and status go on.

use std::collections::BTreeMap;

use tokio::sync::watch;
use trireme_state::command::Growth;
use trireme_state::{Command, Rejection, State};

/// The part of the reserve below which even lost tasks of services are not replaced any more.
const LAST_PART: u64 = 4;
/// What more than the reserve has to be free before growth is taken again: a quarter of it. With less than that the history
/// is let go.
const SLACK_PART: u64 = 4;
const MIB: u64 = 1024 * 1024;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The history is let go, so that nothing has to be refused.
    Tight,
    /// Nothing grows that someone asks for.
    Full,
    /// Nothing at all may grow.
    Last,
}

/// A voter has little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// The node with the least.
    pub node: u64,
    /// What is free there, in bytes.
    pub free: u64,
    pub stage: Stage,
}

impl Pressure {
    /// Whether growth is refused.
    pub(crate) fn refuses(self) -> bool {
        self.stage >= Stage::Full
    }
}

/// What is to be thought of the voters' room, given what was thought before.
pub(crate) fn judge(free: &BTreeMap<u64, u64>, reserve: u64, before: Option<Pressure>) -> Option<Pressure> {
    let (node, free) = free.iter().map(|(node, free)| (*node, *free)).min_by_key(|(_, free)| *free)?;
    let wide = reserve.saturating_add(reserve / SLACK_PART);
    // Room that comes and goes with every compaction must not open and close the gate each time.
    let gate = if before.is_some_and(Pressure::refuses) { wide } else { reserve };
    let stage = match free {
        free if free < reserve / LAST_PART => Stage::Last,
        free if free < gate => Stage::Full,
        free if free < wide => Stage::Tight,
        _ => return None,
    };
    Some(Pressure { node, free, stage })
}

/// The decider's view of it.
#[derive(Debug, Clone)]
pub(crate) struct Guard(watch::Receiver<Option<Pressure>>);

impl Guard {
    pub(crate) fn new(pressure: watch::Receiver<Option<Pressure>>) -> Self {
        Self(pressure)
    }

    /// Refuses a command that has events, if there is no room for them.
    pub(crate) fn admit(&self, command: &Command, state: &State) -> Result<(), Rejection> {
        let Some(pressure) = *self.0.borrow() else { return Ok(()) };
        let refused = match command.growth(state) {
            Growth::None => false,
            Growth::Kept => pressure.stage >= Stage::Last,
            Growth::Asked => pressure.refuses(),
        };
        if !refused {
            return Ok(());
        }
        metrics::counter!("trireme_writes_refused_total", "reason" => "disk").increment(1);
        Err(Rejection::DiskFull { node: pressure.node, free_mib: pressure.free / MIB })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(all: &[(u64, u64)]) -> BTreeMap<u64, u64> {
        all.iter().copied().collect()
    }

    #[test]
    fn the_fullest_voter_counts_and_the_gate_opens_later_than_it_closes() {
        let stage = |pressure: Option<Pressure>| pressure.map(|pressure| pressure.stage);
        assert_eq!(judge(&free(&[(1, 5_000), (2, 1_250)]), 1_000, None), None);
        let pressed = judge(&free(&[(1, 5_000), (2, 999)]), 1_000, None);
        assert_eq!(pressed, Some(Pressure { node: 2, free: 999, stage: Stage::Full }));
        assert_eq!(stage(judge(&free(&[(2, 1_249)]), 1_000, pressed)), Some(Stage::Full));
        assert_eq!(judge(&free(&[(2, 1_250)]), 1_000, pressed), None);
        assert_eq!(stage(judge(&free(&[(2, 249)]), 1_000, pressed)), Some(Stage::Last));
        // Nobody could measure: nobody is judged.
        assert_eq!(judge(&free(&[]), 1_000, None), None);
    }

    #[test]
    fn the_history_is_let_go_before_anything_is_refused() {
        let tight = judge(&free(&[(1, 1_249)]), 1_000, None);
        assert_eq!(tight, Some(Pressure { node: 1, free: 1_249, stage: Stage::Tight }));
        assert_eq!(judge(&free(&[(1, 1_000)]), 1_000, tight).map(Pressure::refuses), Some(false));
        assert_eq!(judge(&free(&[(1, 999)]), 1_000, tight).map(Pressure::refuses), Some(true));
    }
}
