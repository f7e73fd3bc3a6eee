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
}

impl Acked {
    /// What is new in the record.
    ///
    /// # Errors
    /// An acknowledged write that nobody has, or one that was done twice.
    pub fn check(&mut self, record: &Record, truth: &Truth) -> Check {
        for name in &record.clusters[self.clusters..] {
            has_cluster(truth, name)?;
        }
        self.clusters = record.clusters.len();
        if record.tasks.len() != self.tasks {
            self.tasks = record.tasks.len();
            for (token, arn) in &record.tasks {
                let made = truth.started.get(token).map_or(&[][..], Vec::as_slice);
                let same = made.iter().any(|id| arn.ends_with(&id.to_string()));
                hold("acked_writes_are_kept", same, || format!("task {arn} of token {token}"))?;
            }
        }
        one_effect(truth)
    }
}

/// All acknowledged writes, once more at the end.
///
/// # Errors
/// One is not there.
pub fn check_all(record: &Record, truth: &Truth) -> Check {
    record.clusters.iter().try_for_each(|name| has_cluster(truth, name))
}

fn has_cluster(truth: &Truth, name: &str) -> Check {
    let key = ClusterName::new(name).map(|name| ClusterKey { scope: Scope::development(), name });
    let there = key.is_ok_and(|key| truth.state().cluster(&key).is_some());
    hold("acked_writes_are_kept", there, || format!("cluster {name}"))
}

fn one_effect(truth: &Truth) -> Check {
    let twice = truth.started.iter().find(|(_, tasks)| tasks.len() > 1);
    hold("a_token_has_one_effect", twice.is_none(), || format!("{twice:?}"))
}
