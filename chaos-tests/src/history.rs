//! The event stream as an operator has it: `trireme events --follow`, from the first event on, through everything that happens.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use trireme_testkit::try_wait;

/// One event, as it was printed.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number.
    pub sequence: u64,
    /// The decider's time, in seconds.
    pub at: f64,
    /// Its name.
    pub kind: String,
    /// All of it.
    pub body: Value,
    /// When it was read here.
    pub heard: Instant,
}

/// A follower.
pub struct History {
    child: Child,
    events: Arc<Mutex<Vec<Event>>>,
}

impl History {
    /// Starts following the cluster that is described in `data`.
    ///
    /// # Errors
    /// The binary cannot be started.
    pub fn follow(binary: &Path, data: &Path) -> Result<Self> {
        let log = std::fs::File::create(data.join("events.log"))?;
        let mut command = Command::new(binary);
        command.args(["events", "--follow", "--json", "--data"]).arg(data);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start trireme events")?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = events.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(event) = parse(&line) {
                    sink.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                }
            }
        });
        Ok(Self { child, events })
    }

    /// How many events were read so far.
    pub fn count(&self) -> usize {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The events from the `from`th that was read.
    pub fn since(&self, from: usize) -> Vec<Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.get(from..).unwrap_or_default().to_vec()
    }

    /// Waits until an event with this number or a later one was read.
    ///
    /// # Errors
    /// It does not come; the text says how far the stream is.
    pub async fn wait_for(&self, sequence: u64, limit: Duration) -> Result<(), String> {
        try_wait("the event stream to catch up", limit, || async {
            let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            let last = events.last().map_or(0, |event| event.sequence);
            if last >= sequence { Ok(()) } else { Err(format!("event {last} of {sequence}")) }
        })
        .await
    }

    /// Whether the follower has given up.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().ok().flatten().is_some()
    }
}

fn parse(line: &str) -> Option<Event> {
    let value: Value = serde_json::from_str(line).ok()?;
    Some(Event {
        sequence: value["sequence"].as_u64()?,
        at: value["at"].as_f64()?,
        kind: value["kind"].as_str()?.to_owned(),
        body: value["event"].clone(),
        heard: Instant::now(),
    })
}
