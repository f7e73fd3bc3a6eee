//! I1: an acknowledged write is never lost. Every control node is asked, each by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ecs::Client;
use trireme_testkit::try_wait;

use super::Finding;
use crate::lab::host::{ZONES, api};
use crate::load::api::{ONCE, client};
use crate::load::{Kind, Record};

const LIMIT: Duration = Duration::from_secs(20);

/// Asks every control node for every acknowledged write; gives those that are missing on any, or who cannot be asked.
///
/// # Errors
/// A control node does not answer.
pub async fn lost(records: &[Record], key: &(String, String)) -> Result<BTreeSet<String>, String> {
    let acked =
        |kind| records.iter().filter(move |it| it.acked() && it.kind == kind).map(|it| it.name.clone());
    let clusters: Vec<String> = acked(Kind::Cluster).collect();
    let definitions: Vec<String> = acked(Kind::Definition).collect();
    let mut lost = BTreeSet::new();
    for zone in ZONES {
        let node = client(&format!("http://{}", api(zone)), key, ONCE);
        let missing = missing(&node, &clusters, &definitions).await;
        lost.extend(missing.map_err(|text| format!("node {zone} cannot be asked: {text}"))?);
    }
    Ok(lost)
}

/// Judges what [`lost`] has given.
pub fn judge(records: &[Record], lost: &Result<BTreeSet<String>, String>) -> Finding {
    let lost = match lost {
        Ok(lost) => lost,
        Err(text) => return Finding::open("I1", text),
    };
    let all = records.iter().filter(|record| record.acked()).count();
    if all == 0 {
        return Finding::open("I1", format!("none of {} writes was acknowledged", records.len()));
    }
    let unknown = records.len() - all;
    let examples: Vec<String> = lost.iter().take(3).cloned().collect();
    let text = format!(
        "{all} writes acknowledged, {unknown} of unknown outcome; {} lost{}{}",
        lost.len(),
        if lost.is_empty() { "" } else { ": " },
        examples.join(", ")
    );
    Finding::new("I1", lost.is_empty(), text)
}

/// Asks every control node for every acknowledged write, and judges.
pub async fn check(records: &[Record], key: &(String, String)) -> Finding {
    judge(records, &lost(records, key).await)
}

async fn missing(node: &Client, clusters: &[String], definitions: &[String]) -> Result<Vec<String>, String> {
    let mut missing = Vec::new();
    for names in clusters.chunks(100) {
        let described = try_wait("DescribeClusters", LIMIT, || async {
            let call = node.describe_clusters().set_clusters(Some(names.to_vec())).send().await;
            call.map_err(|error| format!("{}", aws_sdk_ecs::error::DisplayErrorContext(error)))
        });
        let described = described.await?;
        let there: Vec<&str> = described.clusters().iter().filter_map(|it| it.cluster_name()).collect();
        missing.extend(names.iter().filter(|name| !there.contains(&name.as_str())).cloned());
    }
    for family in definitions {
        let known = try_wait("DescribeTaskDefinition", LIMIT, || async {
            match node.describe_task_definition().task_definition(family).send().await {
                Ok(_) => Ok(true),
                // The node answered, and does not know it.
                Err(error) if error.raw_response().is_some_and(|it| it.status().as_u16() == 400) => Ok(false),
                Err(error) => Err(format!("{}", aws_sdk_ecs::error::DisplayErrorContext(error))),
            }
        });
        if !known.await? {
            missing.push(family.clone());
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::load::Outcome;

    #[test]
    fn who_cannot_be_asked_has_lost_nothing_and_kept_nothing() {
        let now = Instant::now();
        let write =
            |outcome| Record { kind: Kind::Cluster, name: "a".to_owned(), began: now, ended: now, outcome };
        let acked = [write(Outcome::Acked)];
        assert_eq!(judge(&acked, &Ok(BTreeSet::new())).held, Some(true));
        assert_eq!(judge(&acked, &Ok(BTreeSet::from(["a".to_owned()]))).held, Some(false));
        assert_eq!(judge(&acked, &Err("node 2 cannot be asked".to_owned())).held, None);
        assert_eq!(judge(&[write(Outcome::Unknown(String::new()))], &Ok(BTreeSet::new())).held, None);
    }
}
