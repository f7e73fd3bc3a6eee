//! The load: a few writers, each with one call at a time and a client that tries every control node.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::ContainerDefinition;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trireme_testkit::hold;

use super::api::{STEADFAST, client};
use super::door;
use super::record::{Kind, Outcome, Record, outcome_of};
use crate::lab::host::{ZONES, api};

/// Writers at once.
const WRITERS: usize = 3;
/// Each writer's pause between two calls: the load is to see gaps, not to fill the machine.
const PAUSE: Duration = Duration::from_millis(40);
/// After a failure: nobody who means well tries without a pause.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// One call in so many registers a task definition.
const DEFINITIONS: u64 = 8;

/// A running load.
pub struct Load {
    stop: watch::Sender<bool>,
    writers: Vec<JoinHandle<()>>,
    records: Arc<Mutex<Vec<Record>>>,
}

/// A client that tries all control nodes, and tries long.
///
/// # Errors
/// No port is free.
pub async fn steadfast_client(key: &(String, String), first: usize) -> Result<Client> {
    let endpoint = door::open(ZONES.into_iter().map(api).collect(), first).await?;
    Ok(client(&endpoint, key, STEADFAST))
}

impl Load {
    /// Starts writing under names that begin with `prefix`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(key: &(String, String), prefix: &str) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let records = Arc::new(Mutex::new(Vec::new()));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let client = steadfast_client(key, writer).await?;
            let (stopped, records) = (stopped.clone(), records.clone());
            let prefix = format!("{prefix}-{writer}");
            writers.push(tokio::spawn(async move { write(&client, &prefix, &stopped, &records).await }));
        }
        Ok(Self { stop, writers, records })
    }

    /// What was written so far.
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets each writer end its call, and gives all of them.
    ///
    /// # Errors
    /// A writer panicked.
    pub async fn finish(self) -> Result<Vec<Record>> {
        self.stop.send_replace(true);
        for writer in self.writers {
            writer.await?;
        }
        Ok(self.records.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

async fn write(client: &Client, prefix: &str, stopped: &watch::Receiver<bool>, records: &Mutex<Vec<Record>>) {
    let mut number = 0;
    while !*stopped.borrow() {
        number += 1;
        let kind = if number % DEFINITIONS == 0 { Kind::Definition } else { Kind::Cluster };
        let name = format!("{prefix}-{number:06}");
        let began = Instant::now();
        let outcome = match kind {
            Kind::Cluster => create_cluster(client, &name).await,
            Kind::Definition => register(client, &name).await,
        };
        let pause = if outcome == Outcome::Acked { PAUSE } else { FAILURE_PAUSE };
        let record = Record { kind, name, began, ended: Instant::now(), outcome };
        records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        hold(pause).await;
    }
}

async fn create_cluster(client: &Client, name: &str) -> Outcome {
    match client.create_cluster().cluster_name(name).send().await {
        Ok(_) => Outcome::Acked,
        Err(error) => outcome_of(error),
    }
}

async fn register(client: &Client, family: &str) -> Outcome {
    let container = ContainerDefinition::builder().name("one").image("trireme/web:1").memory(16);
    let call = client.register_task_definition().family(family).container_definitions(container.build());
    match call.send().await {
        Ok(_) => Outcome::Acked,
        Err(error) => outcome_of(error),
    }
}
