//! I15: a write that is repeated has one effect. Each task definition of the load has a name of its own and is registered by
//! one call with its retries, so a second revision is a call that was done twice; and no cluster is created twice.

use std::collections::BTreeMap;

use super::Finding;
use crate::history::Event;
use crate::load::{Kind, Record};

/// Looks at the events of a scenario.
pub fn check(records: &[Record], events: &[Event]) -> Finding {
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
    let twice: Vec<&str> = records.iter().filter(|it| count(it) > 1).map(|it| it.name.as_str()).collect();
    let never = records.iter().filter(|it| it.acked() && count(it) == 0).count();
    let definitions = records.iter().filter(|record| record.kind == Kind::Definition).count();
    let text = format!(
        "{} writes ({definitions} that would show in a second revision): {} done twice, {never} acknowledged without an event",
        records.len(),
        twice.len()
    );
    Finding::new("I15", twice.is_empty() && never == 0, text)
}
