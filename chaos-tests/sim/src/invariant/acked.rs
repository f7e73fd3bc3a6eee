//! I1, I15: what was acknowledged is in the history, and a client token has one effect.

use super::truth::Truth;
use super::{Check, hold};
use crate::record::Record;
use trireme_state::object::ClusterKey;
use trireme_types::{ClusterName, Scope};

/// How much of the record was checked.
#[derive(Default)]
pub struct Acked {
    clusters: usize,
    tasks: usize,
    /// Something was not there when it was looked for last.
    open: bool,
}

impl Acked {
    /// What is new in the record. What is not there may wait where [`super::explained`] lets answers wait: its node has applied it, and
    /// ended before that was seen.
    ///
    /// # Errors
    /// An acknowledged write that nobody has, or one that was done twice.
    pub fn check(&mut self, record: &Record, truth: &Truth, may_wait: bool) -> Check {
        let found = record.clusters[self.clusters..].iter().try_for_each(|name| has_cluster(truth, name));
        let grown = record.tasks.len() != self.tasks || self.open;
        let found = found.and_then(|()| if grown { have_tasks(record, truth) } else { Ok(()) });
        self.open = found.is_err();
        if found.is_ok() {
            (self.clusters, self.tasks) = (record.clusters.len(), record.tasks.len());
        } else if !may_wait {
            return found;
        }
        one_effect(truth)
    }
}

/// All acknowledged writes, once more at the end.
///
/// # Errors
/// One is not there.
pub fn check_all(record: &Record, truth: &Truth) -> Check {
    record.clusters.iter().try_for_each(|name| has_cluster(truth, name))?;
    have_tasks(record, truth)
}

fn has_cluster(truth: &Truth, name: &str) -> Check {
    let key = ClusterName::new(name).map(|name| ClusterKey { scope: Scope::development(), name });
    let there = key.is_ok_and(|key| truth.state().cluster(&key).is_some());
    hold("acked_writes_are_kept", there, || format!("cluster {name}"))
}

fn have_tasks(record: &Record, truth: &Truth) -> Check {
    record.tasks.iter().try_for_each(|(token, arn)| {
        let made = truth.started.get(token).map_or(&[][..], Vec::as_slice);
        let same = made.iter().any(|id| arn.ends_with(&id.to_string()));
        hold("acked_writes_are_kept", same, || format!("task {arn} of token {token}"))
    })
}

fn one_effect(truth: &Truth) -> Check {
    let twice = truth.started.iter().find(|(_, tasks)| tasks.len() > 1);
    hold("a_token_has_one_effect", twice.is_none(), || format!("{twice:?}"))
}
