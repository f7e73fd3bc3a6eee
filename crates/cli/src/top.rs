//! `trireme top`: what is reserved beside what is used, of instances, services and tasks; of one task also over time.

use serde::Serialize;
use trireme_rpc::operator::{Rates, Top, TopRequest, TopResponse, UsagePoint};

use crate::client::{self, leader_first};
use crate::target::TargetArgs;
use crate::{Error, output};

/// The arguments of `trireme top`.
#[derive(Debug, Clone, clap::Args)]
pub struct TopArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// A task's id or ARN: what it used in the last three hours.
    task: Option<String>,
    /// Only what is in this cluster.
    #[arg(long)]
    cluster: Option<String>,
    /// Rows of each table, those that use most first.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rows: u32,
    /// Sort by memory instead of by cpu.
    #[arg(long)]
    memory: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `trireme top`.
///
/// # Errors
/// No control node answers, or there is no such task.
pub async fn run(args: &TopArgs) -> Result<(), Error> {
    let target = args.target.resolve()?;
    let request = TopRequest {
        cluster: args.cluster.clone().unwrap_or_default(),
        rows: args.rows,
        by_memory: args.memory,
        task: args.task.clone().unwrap_or_default(),
    };
    let request = &request;
    let ask = |address: String| async move { client::top(&address, request.clone()).await };
    let answer = leader_first(&target, ask).await?;
    if !answer.complete {
        output::notice(
            "No control node leads that answers: this is what one of them knows of its own agents' tasks.",
        );
    }
    if args.json {
        return output::json(&Shown::from(&answer));
    }
    output::line(if args.task.is_some() { of_one(&answer) } else { text(&answer) })
}

#[derive(Serialize)]
struct Shown {
    complete: bool,
    instances: Vec<Row>,
    services: Vec<Row>,
    tasks: Vec<Row>,
    instance_count: u32,
    service_count: u32,
    task_count: u32,
    history: Vec<Point>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    cluster: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    of: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    zone: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    on: String,
    running: u32,
    known: u32,
    cpu_reserved: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cpu_total: u64,
    cpu_used_millis: u64,
    cpu_percent: Option<f64>,
    memory_reserved: u64,
    #[serde(skip_serializing_if = "is_zero")]
    memory_total: u64,
    memory_used_bytes: u64,
    memory_percent: Option<f64>,
    rates: Option<Moved>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct Moved {
    network_received: f64,
    network_sent: f64,
    disk_read: f64,
    disk_written: f64,
}

#[derive(Serialize)]
struct Point {
    age: f64,
    step: f64,
    cpu_millis: f64,
    memory_bytes: f64,
    rates: Option<Moved>,
}

impl From<&TopResponse> for Shown {
    fn from(answer: &TopResponse) -> Self {
        let rows = |rows: &[Top]| rows.iter().map(Row::from).collect();
        Self {
            complete: answer.complete,
            instances: rows(&answer.instances),
            services: rows(&answer.services),
            tasks: rows(&answer.tasks),
            instance_count: answer.instance_count,
            service_count: answer.service_count,
            task_count: answer.task_count,
            history: answer.history.iter().map(Point::from).collect(),
        }
    }
}

impl From<&Top> for Row {
    fn from(row: &Top) -> Self {
        Self {
            name: row.name.clone(),
            cluster: row.cluster.clone(),
            of: row.of.clone(),
            zone: row.zone.clone(),
            on: row.on.clone(),
            running: row.running,
            known: row.known,
            cpu_reserved: row.cpu_reserved,
            cpu_total: row.cpu_total,
            cpu_used_millis: row.cpu_used_millis,
            cpu_percent: row.cpu_percent,
            memory_reserved: row.memory_reserved,
            memory_total: row.memory_total,
            memory_used_bytes: row.memory_used_bytes,
            memory_percent: row.memory_percent,
            rates: row.rates.as_ref().map(Moved::from),
        }
    }
}

impl From<&Rates> for Moved {
    fn from(rates: &Rates) -> Self {
        Self {
            network_received: rates.network_received,
            network_sent: rates.network_sent,
            disk_read: rates.disk_read,
            disk_written: rates.disk_written,
        }
    }
}

impl From<&UsagePoint> for Point {
    fn from(point: &UsagePoint) -> Self {
        Self {
            age: point.age_ms as f64 / 1_000.0,
            step: point.step_ms as f64 / 1_000.0,
            cpu_millis: point.cpu_millis,
            memory_bytes: point.memory_bytes,
            rates: point.rates.as_ref().map(Moved::from),
        }
    }
}

fn text(answer: &TopResponse) -> String {
    let place = |row: &Top| vec![row.name.clone(), row.zone.clone(), row.running.to_string()];
    let service = |row: &Top| vec![row.name.clone(), row.cluster.clone(), row.running.to_string()];
    let task = |row: &Top| vec![row.name.clone(), row.of.clone(), row.on.clone()];
    [
        part(
            "container instances",
            answer.instance_count,
            &["instance", "zone", "running"],
            &answer.instances,
            place,
        ),
        part("services", answer.service_count, &["service", "cluster", "running"], &answer.services, service),
        part("tasks", answer.task_count, &["task", "of", "on"], &answer.tasks, task),
    ]
    .join("\n\n")
}

/// One table, and how many rows it has not.
fn part(what: &str, all: u32, names: &[&str], rows: &[Top], name: impl Fn(&Top) -> Vec<String>) -> String {
    let header = [
        names,
        &["cpu used", "reserved", "", "memory used", "reserved", "", "network in/out", "disk read/written"],
    ];
    let cells = rows.iter().map(|row| name(row).into_iter().chain(usage(row)).collect());
    let table = output::table(&header.concat(), cells);
    let shown = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    match all.saturating_sub(shown) {
        0 => table,
        more => format!("{table}\n… and {more} more {what} (--rows)"),
    }
}

fn usage(row: &Top) -> Vec<String> {
    let known = |text: String| if row.known > 0 { text } else { "-".to_owned() };
    let of = |reserved: String, total: u64, all: String| {
        if total > 0 { format!("{reserved} of {all}") } else { reserved }
    };
    let cpu = |units: u64| format!("{:.2}", units as f64 / 1_024.0);
    let memory = |mebibytes: u64| bytes(mebibytes as f64 * 1_048_576.0);
    let pair = |of: fn(&Rates) -> (f64, f64)| {
        row.rates
            .as_ref()
            .map(of)
            .map_or_else(|| "-".to_owned(), |(one, other)| format!("{}/s {}/s", bytes(one), bytes(other)))
    };
    vec![
        known(format!("{:.2}", row.cpu_used_millis as f64 / 1_000.0)),
        of(cpu(row.cpu_reserved), row.cpu_total, cpu(row.cpu_total)),
        percent(row.cpu_percent),
        known(bytes(row.memory_used_bytes as f64)),
        of(memory(row.memory_reserved), row.memory_total, memory(row.memory_total)),
        percent(row.memory_percent),
        pair(|rates| (rates.network_received, rates.network_sent)),
        pair(|rates| (rates.disk_read, rates.disk_written)),
    ]
}

fn percent(percent: Option<f64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.0} %"))
}

/// In the largest unit of which there is one.
fn bytes(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let mut amount = bytes;
    for unit in units {
        if amount < 1_024.0 {
            return if unit == "B" { format!("{amount:.0} {unit}") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1_024.0;
    }
    format!("{amount:.1} TiB")
}

fn of_one(answer: &TopResponse) -> String {
    let rows = answer.history.iter().map(|point| {
        let pair = |of: fn(&Rates) -> (f64, f64)| {
            point
                .rates
                .as_ref()
                .map(of)
                .map_or_else(String::new, |(one, other)| format!("{}/s {}/s", bytes(one), bytes(other)))
        };
        vec![
            span(point.age_ms),
            span(point.step_ms),
            format!("{:.2}", point.cpu_millis / 1_000.0),
            bytes(point.memory_bytes),
            pair(|rates| (rates.network_received, rates.network_sent)),
            pair(|rates| (rates.disk_read, rates.disk_written)),
        ]
    });
    let history =
        output::table(&["ago", "over", "cpu", "memory", "network in/out", "disk read/written"], rows);
    let now = answer.tasks.iter().map(|row| {
        let name = vec![row.name.clone(), row.of.clone(), row.on.clone()];
        name.into_iter().chain(usage(row)).collect::<Vec<_>>()
    });
    let header = [
        "task",
        "of",
        "on",
        "cpu used",
        "reserved",
        "",
        "memory used",
        "reserved",
        "",
        "network in/out",
        "disk read/written",
    ];
    format!("{}\n\n{history}", output::table(&header, now))
}

/// Such as `2m 5s`.
fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stands_beside_what_is_reserved() {
        let row = Top {
            name: "us-east-1a/agent-1".to_owned(),
            zone: "us-east-1a".to_owned(),
            running: 2,
            known: 2,
            cpu_reserved: 512,
            cpu_total: 4_096,
            cpu_used_millis: 1_250,
            cpu_percent: Some(250.0),
            memory_reserved: 1_024,
            memory_total: 4_096,
            memory_used_bytes: 300 << 20,
            memory_percent: Some(29.3),
            rates: Some(Rates { network_received: 2_048.0, ..Rates::default() }),
            ..Top::default()
        };
        let answer = TopResponse { instances: vec![row], instance_count: 3, ..TopResponse::default() };
        let text = text(&answer);
        for part in
            ["1.25", "0.50 of 4.00", "250 %", "300.0 MiB", "1.0 GiB of 4.0 GiB", "29 %", "2.0 KiB/s 0 B/s"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("… and 2 more container instances (--rows)"), "{text}");
    }

    #[test]
    fn spans_and_amounts_are_short() {
        assert_eq!([5_000, 60_000, 125_000, 7_500_000].map(span), ["5s", "1m", "2m 5s", "2h 5m"]);
        assert_eq!([0.0, 1_536.0, 3.0 * 1024.0 * 1024.0].map(bytes), ["0 B", "1.5 KiB", "3.0 MiB"]);
    }
}
