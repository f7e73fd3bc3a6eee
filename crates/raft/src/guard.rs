//! The disk guard. The control nodes' disks hold the same data, so they fill together: while a voter has too little room, the
//! leader takes nothing that makes the state larger. Stops, deletes and status go on.

use std::collections::BTreeMap;

use tokio::sync::watch;
use trireme_state::command::Growth;
use trireme_state::{Command, Rejection, State};

/// The part of the reserve below which even lost tasks of services are not replaced any more.
const LAST_PART: u64 = 4;
/// What more than the reserve has to be free before the pressure is over: a quarter of it.
const SLACK_PART: u64 = 4;
const MIB: u64 = 1024 * 1024;

/// A voter has too little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// The node with the least.
    pub node: u64,
    /// What is free there, in bytes.
    pub free: u64,
    /// Nothing at all may grow.
    pub last: bool,
}

/// What is to be thought of the voters' room, given what was thought before.
pub(crate) fn judge(free: &BTreeMap<u64, u64>, reserve: u64, before: Option<Pressure>) -> Option<Pressure> {
    let (node, free) = free.iter().map(|(node, free)| (*node, *free)).min_by_key(|(_, free)| *free)?;
    // Room that comes and goes with every compaction must not open and close the gate each time.
    let slack = if before.is_some() { reserve / SLACK_PART } else { 0 };
    let pressed = free < reserve.saturating_add(slack);
    pressed.then_some(Pressure { node, free, last: free < reserve / LAST_PART })
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
            Growth::Kept => pressure.last,
            Growth::Asked => true,
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
        assert_eq!(judge(&free(&[(1, 5_000), (2, 1_000)]), 1_000, None), None);
        let pressed = judge(&free(&[(1, 5_000), (2, 999)]), 1_000, None);
        assert_eq!(pressed, Some(Pressure { node: 2, free: 999, last: false }));
        assert!(judge(&free(&[(2, 1_249)]), 1_000, pressed).is_some());
        assert_eq!(judge(&free(&[(2, 1_250)]), 1_000, pressed), None);
        assert!(judge(&free(&[(2, 249)]), 1_000, pressed).is_some_and(|pressure| pressure.last));
        // Nobody could measure: nobody is judged.
        assert_eq!(judge(&free(&[]), 1_000, None), None);
    }
}
