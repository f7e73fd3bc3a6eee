//! What a scenario works with: the laboratory, clients, and a place to put what it saw.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use aws_sdk_ecs::Client;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde::Serialize;
use trireme_testkit::hold;

use super::Installed;
use crate::history::History;
use crate::invariant::Finding;
use crate::lab::Lab;
use crate::lab::host::{ZONES, api};
use crate::lab::rule;
use crate::load::Load;
use crate::load::api::{ONCE, client};

/// The service whose tasks run all the time.
pub const SERVICE: &str = "web";
/// How many tasks it has.
pub const TASKS: i32 = 6;

/// For a control node to be back.
const RESTART: Duration = Duration::from_secs(60);

/// A figure that was measured, in seconds or pieces.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
    /// How much it may be.
    pub budget: Option<f64>,
}

/// The unit of wall-clock time.
const SECONDS: &str = "s";

impl Figure {
    /// Whether it is more than it may be.
    pub fn is_over(&self) -> bool {
        self.budget.is_some_and(|budget| self.value > budget)
    }

    /// Whether it is a wall-clock time: only such a figure may be worse for what others do to the machine.
    pub fn is_time(&self) -> bool {
        self.unit == SECONDS
    }
}

/// A time during which a fault was there.
#[derive(Debug, Clone)]
pub struct Window {
    /// Which.
    pub label: String,
    /// From.
    pub from: Instant,
    /// To; `None` while it lasts.
    pub to: Option<Instant>,
}

/// What a scenario works with.
pub struct Stage {
    /// The cluster.
    pub lab: Lab,
    /// A client that tries all control nodes.
    pub client: Client,
    /// The event stream from the first event on.
    pub history: History,
    /// Times that things are held are multiplied with this.
    pub pace: f64,
    /// All chance comes from here.
    pub rng: StdRng,
    /// The load of this scenario.
    pub load: Option<Load>,
    /// What was seen.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// When which fault was there.
    pub windows: Vec<Window>,
    /// What else to tell.
    pub notes: Vec<String>,
}

impl Stage {
    /// From now on there is this fault.
    pub fn fault(&mut self, label: impl Into<String>) {
        let label = label.into();
        println!("    fault: {label}");
        self.windows.push(Window { label, from: Instant::now(), to: None });
    }

    /// The faults are over.
    pub fn over(&mut self) {
        let now = Instant::now();
        self.windows.iter_mut().filter(|window| window.to.is_none()).for_each(|window| window.to = Some(now));
    }

    /// Something that must hold.
    pub fn expect(&mut self, invariant: &str, held: bool, text: impl Into<String>) {
        self.findings.push(Finding::new(invariant, held, text));
    }

    /// Something measured, which must be within its budget if it has one.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str, budget: Option<f64>) {
        self.figures.push(Figure { name: name.to_owned(), value, unit: unit.to_owned(), budget });
    }

    /// Something else to tell.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Something that nobody could look at.
    pub fn open(&mut self, invariant: &str, text: impl Into<String>) {
        self.findings.push(Finding::open(invariant, text));
    }

    /// Terms that were used up between two looks at all control nodes, if there was an answer at both.
    pub fn terms(&mut self, before: Option<u64>, after: Option<u64>, budget: Option<f64>) {
        match (before, after) {
            (Some(before), Some(after)) => {
                self.figure("terms used up", after.saturating_sub(before) as f64, "", budget);
            }
            _ => self.open("terms", "no control node told its term"),
        }
    }

    /// Whether the rules that stand now have dropped anything: a cut that nobody ran into was no fault.
    ///
    /// # Errors
    /// A machine is gone.
    pub fn met(&mut self) -> Result<Installed> {
        let packets = rule::dropped()?;
        self.note(format!("{packets} packets were dropped"));
        Ok(met(packets))
    }

    /// Starts each control node again, one after the other, with these further arguments.
    ///
    /// # Errors
    /// The cluster does not become whole in between.
    pub async fn restart_with(&mut self, arguments: &[&str]) -> Result<()> {
        for zone in ZONES {
            self.lab.server_arguments(zone, arguments);
            self.lab.kill_server(zone);
            self.lab.start_server(zone)?;
            self.lab.wait_whole(RESTART).await.map_err(|text| anyhow!(text))?;
        }
        Ok(())
    }

    /// Holds things as they are for so many seconds, times the pace.
    pub async fn hold(&self, seconds: f64) {
        hold(Duration::from_secs_f64(seconds * self.pace)).await;
    }

    /// A zone whose control node does not lead, by chance.
    ///
    /// # Errors
    /// None leads.
    pub async fn follower(&mut self) -> Result<u8> {
        let leader = self.lab.leader().await?;
        let others: Vec<u8> = ZONES.into_iter().filter(|zone| *zone != leader).collect();
        others.choose(&mut self.rng).copied().context("no other zone")
    }

    /// The zones in an order of chance.
    pub fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        use rand::seq::SliceRandom;
        items.shuffle(&mut self.rng);
        items
    }

    /// A client of one control node that tries once.
    pub fn node(&self, zone: u8) -> Client {
        client(&format!("http://{}", api(zone)), &self.lab.key, ONCE)
    }

    /// The name of the newest acknowledged cluster of the load.
    pub fn last_acked(&self) -> Option<String> {
        let records = self.load.as_ref()?.records();
        let acked = records.iter().filter(|it| it.acked() && it.kind == crate::load::Kind::Cluster);
        acked.max_by_key(|record| record.ended).map(|record| record.name.clone())
    }

    /// Acknowledged writes so far.
    pub fn acked(&self) -> usize {
        self.load.as_ref().map_or(0, |load| load.records().iter().filter(|record| record.acked()).count())
    }
}

/// What so many dropped packets say of a cut.
pub fn met(packets: u64) -> Installed {
    match packets {
        0 => Installed::No("nothing was sent where it was cut".to_owned()),
        _ => Installed::Yes,
    }
}
