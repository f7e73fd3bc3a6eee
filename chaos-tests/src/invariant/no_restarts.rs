//! I8: losing the control plane restarts no container.

use super::Finding;
use crate::containers::Container;

/// Compares the running containers of before and after: the same, started when they were.
pub fn check(before: &[Container], after: &[Container]) -> Finding {
    if before.is_empty() {
        return Finding::open("I8", "no container ran before");
    }
    let gone = before.iter().filter(|container| !after.contains(container)).count();
    let text = format!("{} of {} containers untouched", before.len() - gone, before.len());
    Finding::new("I8", gone == 0, text)
}
