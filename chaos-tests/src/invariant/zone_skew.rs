//! I12: a service's tasks are spread: between two zones that can take tasks there is a difference of one at most.

use std::collections::BTreeMap;

use super::Finding;

/// Judges the RUNNING tasks of the zones that live.
pub fn check(running: &BTreeMap<String, usize>, zones: &[String]) -> Finding {
    let counts: Vec<usize> = zones.iter().map(|zone| running.get(zone).copied().unwrap_or(0)).collect();
    let (most, least) =
        (counts.iter().max().copied().unwrap_or(0), counts.iter().min().copied().unwrap_or(0));
    if most == 0 {
        return Finding::open("I12", "no task is RUNNING in these zones");
    }
    Finding::new("I12", most - least <= 1, format!("RUNNING by zone {running:?}, skew {}", most - least))
}
