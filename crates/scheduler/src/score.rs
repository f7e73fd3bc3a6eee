//! Scores: which of the nodes that can hold a task is best. Each is a part of one sort key; the lowest key wins.

pub mod binpack;
pub mod spread;
