//! A few clients that create, write, remove and read the same few registers through any node: clusters with one tag. What they
//! asked and saw is the history that must be linearizable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::{ClusterField, Tag};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trireme_testkit::hold;
use trireme_testkit::linear::{Change, History, Seen};

use super::api::{Patience, client};
use super::writers::steadfast_client;
use crate::lab::host::{ZONES, api};

const CLIENTS: u64 = 3;
const REGISTERS: u64 = 3;
const PAUSE: Duration = Duration::from_millis(60);
/// One try, at one node: what comes of it is known or is not.
const PATIENCE: Patience =
    Patience { attempts: 1, attempt: Duration::from_secs(2), call: Duration::from_secs(2) };
/// The tag that holds a register's value.
const TAG: &str = "v";

/// Running clients.
pub struct Registers {
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<()>>,
    history: Arc<Mutex<History>>,
}

impl Registers {
    /// Starts clients of registers whose names begin with `prefix`; the same `seed`, the same choices.
    ///
    /// # Errors
    /// The cluster `default` cannot be described.
    pub async fn start(key: &(String, String), prefix: &str, seed: u64) -> Result<Self> {
        let anyone = steadfast_client(key, 0).await?;
        let found = anyone.describe_clusters().clusters("default").send().await?;
        let arn = found.clusters().first().and_then(|it| it.cluster_arn()).context("no cluster default")?;
        let stem = arn.strip_suffix("default").context("an ARN that does not end in the name")?;
        let (stop, stopped) = watch::channel(false);
        let history = Arc::new(Mutex::new(History::default()));
        let nodes: Vec<Client> =
            ZONES.into_iter().map(|zone| client(&format!("http://{}", api(zone)), key, PATIENCE)).collect();
        let clients = (0..CLIENTS).map(|number| {
            let one = One {
                nodes: nodes.clone(),
                stem: stem.to_owned(),
                prefix: prefix.to_owned(),
                rng: StdRng::seed_from_u64(seed.wrapping_add(number)),
                history: Arc::clone(&history),
            };
            tokio::spawn(one.work(stopped.clone()))
        });
        Ok(Self { stop, clients: clients.collect(), history })
    }

    /// Lets each client end its call, and gives what they saw.
    ///
    /// # Errors
    /// A client panicked.
    pub async fn finish(self) -> Result<History> {
        self.stop.send_replace(true);
        for client in self.clients {
            client.await?;
        }
        Ok(self.history.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What came of one call.
enum Told {
    Seen(Seen),
    /// Nobody knows.
    Unknown,
    /// It had no effect, and says nothing.
    Nothing,
}

fn told<E>(error: &SdkError<E>) -> Told
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let code = error.as_service_error().and_then(|error| error.code()).unwrap_or_default();
    let refused = error.raw_response().is_some_and(|response| response.status().is_client_error());
    match error {
        _ if code.contains("NotFound") || code.contains("NotActive") => Told::Seen(Seen::Absent),
        // A signature is refused before anything is done; too many requests are too.
        _ if refused => Told::Nothing,
        SdkError::ConstructionFailure(_) => Told::Nothing,
        // It never reached anybody.
        SdkError::DispatchFailure(_)
            if format!("{}", DisplayErrorContext(error)).contains("client error (Connect)") =>
        {
            Told::Nothing
        }
        _ => Told::Unknown,
    }
}

/// One client.
struct One {
    nodes: Vec<Client>,
    stem: String,
    prefix: String,
    rng: StdRng,
    history: Arc<Mutex<History>>,
}

impl One {
    async fn work(mut self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let name = format!("{}-r{}", self.prefix, self.rng.random_range(0..REGISTERS));
            let node = self.nodes[self.rng.random_range(0..self.nodes.len())].clone();
            match self.rng.random_range(0..100) {
                0..8 => self.ensure(&node, &name).await,
                8..12 => self.remove(&node, &name).await,
                12..45 => self.write(&node, &name).await,
                _ => self.read(&node, &name).await,
            }
            hold(PAUSE).await;
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, name: &str, change: Change) -> usize {
        self.history().begin(name, change)
    }

    fn end(&self, operation: usize, told: Told) {
        match told {
            Told::Seen(seen) => self.history().end(operation, seen),
            Told::Nothing => self.history().cancel(operation),
            Told::Unknown => {}
        }
    }

    fn value(&self) -> (u64, Tag) {
        let value = self.history().value();
        (value, Tag::builder().key(TAG).value(value.to_string()).build())
    }

    async fn ensure(&self, node: &Client, name: &str) {
        let (value, tag) = self.value();
        let operation = self.begin(name, Change::Ensure(value));
        let answer = node.create_cluster().cluster_name(name).tags(tag).send().await;
        self.end(operation, answer.map_or_else(|error| told(&error), |_| Told::Seen(Seen::Done)));
    }

    async fn remove(&self, node: &Client, name: &str) {
        let operation = self.begin(name, Change::Delete);
        let answer = node.delete_cluster().cluster(name).send().await;
        self.end(operation, answer.map_or_else(|error| told(&error), |_| Told::Seen(Seen::Done)));
    }

    async fn write(&self, node: &Client, name: &str) {
        let (value, tag) = self.value();
        let operation = self.begin(name, Change::Write(value));
        let answer = node.tag_resource().resource_arn(format!("{}{name}", self.stem)).tags(tag).send().await;
        self.end(operation, answer.map_or_else(|error| told(&error), |_| Told::Seen(Seen::Done)));
    }

    async fn read(&self, node: &Client, name: &str) {
        let operation = self.begin(name, Change::Read);
        let answer = node.describe_clusters().clusters(name).include(ClusterField::Tags).send().await;
        let told = answer.map_or(Told::Nothing, |answer| {
            let found = answer.clusters().iter().find(|found| found.status() == Some("ACTIVE"));
            let tag = |found: &aws_sdk_ecs::types::Cluster| {
                let tag = found.tags().iter().find(|tag| tag.key() == Some(TAG));
                tag.and_then(|tag| tag.value()?.parse().ok()).unwrap_or(0)
            };
            Told::Seen(found.map_or(Seen::Absent, |found| Seen::Value(tag(found))))
        });
        self.end(operation, told);
    }
}
