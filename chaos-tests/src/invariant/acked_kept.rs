//! I1: an acknowledged write is never lost. Every control node is asked, each by itself.

use std::time::Duration;

use aws_sdk_ecs::Client;
use trireme_testkit::try_wait;

use super::Finding;
use crate::lab::host::{ZONES, api};
use crate::load::api::{ONCE, client};
use crate::load::{Kind, Record};

const LIMIT: Duration = Duration::from_secs(20);

/// Asks every control node for every acknowledged write.
pub async fn check(records: &[Record], key: &(String, String)) -> Finding {
    let acked =
        |kind| records.iter().filter(move |it| it.acked() && it.kind == kind).map(|it| it.name.clone());
    let clusters: Vec<String> = acked(Kind::Cluster).collect();
    let definitions: Vec<String> = acked(Kind::Definition).collect();
    let mut lost = Vec::new();
    for zone in ZONES {
        let node = client(&format!("http://{}", api(zone)), key, ONCE);
        match missing(&node, &clusters, &definitions).await {
            Ok(missing) => lost.extend(missing.into_iter().map(|name| format!("{name} on node {zone}"))),
            Err(text) => return Finding::open("I1", format!("node {zone} cannot be asked: {text}")),
        }
    }
    let (all, unknown) =
        (clusters.len() + definitions.len(), records.len() - records.iter().filter(|it| it.acked()).count());
    let examples: Vec<String> = lost.iter().take(3).cloned().collect();
    let text = format!(
        "{all} writes acknowledged, {unknown} of unknown outcome; {} lost{}{}",
        lost.len(),
        if lost.is_empty() { "" } else { ": " },
        examples.join(", ")
    );
    Finding::new("I1", lost.is_empty(), text)
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
