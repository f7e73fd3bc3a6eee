//! I15: a write that is repeated has one effect. Each task definition of the load has a name of its own and is registered by
//! one call with its retries, so a second revision is a call that was done twice; and no cluster is created twice.

use std::collections::BTreeMap;

use super::Finding;
use crate::history::Event;
use crate::load::{Kind, Record};

/// What the events say of the writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// The writes that were done more than once.
    pub twice: Vec<String>,
    /// Writes that were acknowledged, and no event says so.
    pub never: usize,
}

/// Looks at the events of a scenario, and judges.
pub fn check(records: &[Record], events: &[Event]) -> Finding {
    judge(records, &effects(records, events))
}

/// Looks at the events of a scenario.
pub fn effects(records: &[Record], events: &[Event]) -> Effects {
    let mut made: BTreeMap<String, u32> = BTreeMap::new();
    for event in events {
        let name = match event.kind.as_str() {
            "TaskDefinitionRegistered" => event.body.pointer("/key/family"),
            "ClusterCreated" => event.body.pointer("/cluster/name"),
            _ => None,
        };
        if let Some(name) = name.and_then(|name| name.as_str()) {
            *made.entry(name.to_owned()).or_default() += 1;
        }
    }
    let count = |record: &&Record| made.get(&record.name).copied().unwrap_or(0);
    Effects {
        twice: records.iter().filter(|it| count(it) > 1).map(|it| it.name.clone()).collect(),
        never: records.iter().filter(|it| it.acked() && count(it) == 0).count(),
    }
}

/// Judges what [`effects`] has given.
pub fn judge(records: &[Record], effects: &Effects) -> Finding {
    let Effects { twice, never } = effects;
    if records.is_empty() {
        return Finding::open("I15", "nothing was written");
    }
    let definitions = records.iter().filter(|record| record.kind == Kind::Definition).count();
    let text = format!(
        "{} writes ({definitions} that would show in a second revision): {} done twice, {never} acknowledged without an event",
        records.len(),
        twice.len()
    );
    Finding::new("I15", twice.is_empty() && *never == 0, text)
}
