//! How forecasts are shown: what comes of services, what moves, and whether all fits.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;
use trireme_rpc::explain::{Forecast, Move, NodeAnswer, Place, ServiceOutlook, TaskBrief, Verdict};

use crate::output;

/// Rows that a table shows.
const ROWS: usize = 40;
/// Machines that are shown of a task that none takes.
const NODES: usize = 12;

/// Nothing would change.
pub const NOTHING: u8 = 0;
/// Something would, and all fits.
pub const CHANGES: u8 = 1;
/// Not all fits, or it is not certain, or it could not be found out.
pub const FAILED: u8 = 255;

/// A forecast, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Shown {
    as_of: u64,
    verdict: &'static str,
    why: String,
    settled: bool,
    lasts_seconds: f64,
    services: Vec<Service>,
    moves: Vec<ShownMove>,
    moves_left_out: u64,
}

#[derive(Debug, Serialize)]
struct Service {
    cluster: String,
    name: String,
    verdict: &'static str,
    why: String,
    was_whole: bool,
    desired: u32,
    running_before: u32,
    running_after: u32,
    lowest_healthy: u32,
    started: u32,
    stopped: u32,
    lost: u32,
    unplaced: u32,
    nodes: Vec<Node>,
}

/// What one container instance says to a task.
#[derive(Debug, Serialize)]
pub struct Node {
    name: String,
    zone: String,
    container_instance: String,
    chosen: bool,
    refused: Option<String>,
    reason: Option<String>,
    score: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownMove {
    after_seconds: f64,
    kind: String,
    service: String,
    task_definition: String,
    task: String,
    instance: String,
    zone: String,
    reason: String,
}

/// A task, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Task {
    id: String,
    service: Option<String>,
    cluster: String,
    task_definition: String,
    instance: String,
    zone: String,
    status: String,
    stop_code: Option<String>,
    stopped_reason: Option<String>,
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A verdict's word.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fits => "fits",
        Verdict::DoesNotFit => "does not fit",
        Verdict::Uncertain | Verdict::Unspecified => "uncertain",
    }
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// Where something is: its name, else its id.
pub fn name_of(place: Option<&Place>) -> String {
    let place = place.cloned().unwrap_or_default();
    if place.name.is_empty() { place.instance_id } else { place.name }
}

impl From<&TaskBrief> for Task {
    fn from(task: &TaskBrief) -> Self {
        let place = task.place.clone().unwrap_or_default();
        Self {
            id: task.id.clone(),
            service: some(&task.service),
            cluster: task.cluster.clone(),
            task_definition: task.definition.clone(),
            instance: name_of(Some(&place)),
            zone: place.zone,
            status: task.last_status.clone(),
            stop_code: some(&task.stop_code),
            stopped_reason: some(&task.stopped_reason),
        }
    }
}

impl From<&NodeAnswer> for Node {
    fn from(answer: &NodeAnswer) -> Self {
        let place = answer.place.clone().unwrap_or_default();
        Self {
            name: place.name,
            zone: place.zone,
            container_instance: place.instance_id,
            chosen: answer.chosen,
            refused: some(&answer.refused_code),
            reason: some(&answer.refused_reason),
            score: some(&answer.score),
        }
    }
}

impl From<&ServiceOutlook> for Service {
    fn from(one: &ServiceOutlook) -> Self {
        Self {
            cluster: one.cluster.clone(),
            name: one.name.clone(),
            verdict: word(one.verdict()),
            why: one.why.clone(),
            was_whole: one.was_whole,
            desired: one.desired,
            running_before: one.running_before,
            running_after: one.running_after,
            lowest_healthy: one.lowest_healthy,
            started: one.started,
            stopped: one.stopped,
            lost: one.lost,
            unplaced: one.unplaced,
            nodes: one.nodes.iter().map(Node::from).collect(),
        }
    }
}

impl From<&Move> for ShownMove {
    fn from(one: &Move) -> Self {
        let task = one.task.clone().unwrap_or_default();
        let place = task.place.clone().unwrap_or_default();
        Self {
            after_seconds: seconds(one.after_millis),
            kind: one.kind.clone(),
            service: task.service,
            task_definition: task.definition,
            task: task.id,
            instance: name_of(Some(&place)),
            zone: place.zone,
            reason: one.reason.clone(),
        }
    }
}

impl From<&Forecast> for Shown {
    fn from(forecast: &Forecast) -> Self {
        Self {
            as_of: forecast.from.unwrap_or_default().sequence,
            verdict: word(forecast.verdict()),
            why: forecast.why.clone(),
            settled: forecast.settled,
            lasts_seconds: seconds(forecast.lasts_millis),
            services: forecast.services.iter().map(Service::from).collect(),
            moves: forecast.moves.iter().map(ShownMove::from).collect(),
            moves_left_out: forecast.moves_left_out,
        }
    }
}

/// The exit code of a plan, as Nomad has it.
pub fn exit_code(forecast: &Forecast, changes: bool) -> ExitCode {
    ExitCode::from(match (forecast.verdict(), changes) {
        (Verdict::Fits, false) => NOTHING,
        (Verdict::Fits, true) => CHANGES,
        _ => FAILED,
    })
}

/// What comes of each service.
pub fn services(forecast: &Forecast) -> String {
    let rows = forecast.services.iter().map(|one| {
        vec![
            one.name.clone(),
            one.cluster.clone(),
            one.desired.to_string(),
            one.running_before.to_string(),
            one.running_after.to_string(),
            one.lowest_healthy.to_string(),
            one.lost.to_string(),
            one.started.to_string(),
            one.stopped.to_string(),
            word(one.verdict()).to_owned(),
        ]
    });
    let header = [
        "service",
        "cluster",
        "desired",
        "running",
        "in the end",
        "lowest healthy",
        "lost",
        "starts",
        "stops",
        "verdict",
    ];
    output::rows(&header, rows.collect(), ROWS, "services")
}

/// What moves, in order; what is alike and happens at once is one line.
pub fn moves(forecast: &Forecast) -> String {
    let mut alike: BTreeMap<(u64, usize), (Vec<String>, usize)> = BTreeMap::new();
    let mut places: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for one in &forecast.moves {
        let task = one.task.clone().unwrap_or_default();
        let kind = match one.kind.as_str() {
            "STARTS" => "start",
            "STOPS" => "stop",
            _ => "lose",
        };
        let place = task.place.clone().unwrap_or_default();
        let whose = if task.service.is_empty() { "(no service)".to_owned() } else { task.service };
        let after = format!("+{:.1} s", seconds(one.after_millis));
        let row = vec![after, kind.to_owned(), whose, task.definition, name_of(Some(&place)), place.zone];
        let next = places.len();
        let at = *places.entry(row.clone()).or_insert(next);
        alike.entry((one.after_millis, at)).or_insert((row, 0)).1 += 1;
    }
    let rows = alike.into_values().map(|(mut row, count)| {
        row.insert(2, count.to_string());
        row
    });
    let header = ["after", "", "tasks", "service", "task definition", "on", "zone"];
    output::rows(&header, rows.collect(), ROWS, "steps")
}

/// Why a task of a service finds no place: what each machine says.
pub fn refusals(forecast: &Forecast) -> Option<String> {
    let one = forecast.services.iter().find(|one| one.unplaced > 0)?;
    let head = format!("{} tasks of service {} find no place:", one.unplaced, one.name);
    Some(format!("{head}\n{}", nodes(&one.nodes)))
}

/// What machines say to a task.
pub fn nodes(answers: &[NodeAnswer]) -> String {
    let rows = answers.iter().map(|answer| {
        let place = answer.place.clone().unwrap_or_default();
        let says = match (&answer.score, &answer.refused_code) {
            (score, code) if code.is_empty() => score.clone(),
            (_, code) => format!("{} ({code})", answer.refused_reason),
        };
        let mark = if answer.chosen { "->" } else { "" };
        vec![mark.to_owned(), name_of(Some(&place)), place.zone, says]
    });
    output::rows(&["", "container instance", "zone", "says"], rows.collect(), NODES, "container instances")
}

/// The verdict in a sentence.
pub fn verdict(forecast: &Forecast) -> String {
    match forecast.verdict() {
        Verdict::Fits => "All fits, in whatever order it happens.".to_owned(),
        Verdict::DoesNotFit => format!("IT DOES NOT FIT: {}", forecast.why),
        Verdict::Uncertain | Verdict::Unspecified => format!("IT IS NOT CERTAIN: {}", forecast.why),
    }
}
