//! Figures, their medians over the rounds, and the table that people read.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::median;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Processor time of all nodes together for one call, in microseconds.
    pub cpu_us: f64,
    pub errors: u64,
}

impl Figure {
    /// From each call's microseconds.
    pub(crate) fn of(mut took: Vec<u64>, seconds: f64, cpu: Duration, errors: u64) -> Self {
        took.sort_unstable();
        let at = |part: f64| {
            let index = ((took.len().saturating_sub(1)) as f64 * part).round() as usize;
            took.get(index).copied().unwrap_or(0) as f64 / 1000.0
        };
        let calls = took.len() as f64;
        let cpu_us = cpu.as_secs_f64() * 1e6 / calls;
        Self { per_second: calls / seconds, p50_ms: at(0.5), p99_ms: at(0.99), cpu_us, errors }
    }
}

/// All measurements of a run.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    figures: BTreeMap<(&'static str, usize, String), Vec<Figure>>,
    gaps: BTreeMap<String, Vec<f64>>,
}

impl Rounds {
    pub(crate) fn add(&mut self, name: &str, kind: &'static str, clients: usize, figure: Figure) {
        self.figures.entry((kind, clients, name.to_owned())).or_default().push(figure);
    }

    /// The longest gap between two answered writes around a kill, in milliseconds.
    pub(crate) fn add_gap(&mut self, name: &str, gap_ms: f64) {
        self.gaps.entry(name.to_owned()).or_default().push(gap_ms);
    }
}

/// The medians.
pub(crate) struct Table {
    rows: Vec<Row>,
    gaps: BTreeMap<String, Vec<f64>>,
    memory: Vec<(String, Vec<u64>)>,
}

struct Row {
    kind: &'static str,
    clients: usize,
    name: String,
    middle: Figure,
    /// Against etcd in the same rounds.
    ratio: Option<f64>,
}

impl Table {
    pub(crate) fn of(rounds: &Rounds, memory: &[(&str, Vec<u64>)]) -> Self {
        let middle = |figures: &[Figure]| Figure {
            per_second: median(figures.iter().map(|figure| figure.per_second).collect()),
            p50_ms: median(figures.iter().map(|figure| figure.p50_ms).collect()),
            p99_ms: median(figures.iter().map(|figure| figure.p99_ms).collect()),
            cpu_us: median(figures.iter().map(|figure| figure.cpu_us).collect()),
            errors: figures.iter().map(|figure| figure.errors).sum(),
        };
        let rows = rounds.figures.iter().map(|((kind, clients, name), figures)| {
            let etcd = rounds.figures.get(&(*kind, *clients, "etcd".to_owned()));
            let middle_one = middle(figures);
            let ratio =
                etcd.filter(|_| name != "etcd").map(|etcd| middle_one.per_second / middle(etcd).per_second);
            Row { kind, clients: *clients, name: name.clone(), middle: middle_one, ratio }
        });
        Self {
            rows: rows.collect(),
            gaps: rounds.gaps.clone(),
            memory: memory.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "kind": row.kind, "clients": row.clients, "name": row.name,
                "per_second": row.middle.per_second, "p50_ms": row.middle.p50_ms, "p99_ms": row.middle.p99_ms,
                "cpu_us_per_call": row.middle.cpu_us, "errors": row.middle.errors, "ratio_to_etcd": row.ratio,
            })
        });
        json!({ "loads": rows.collect::<Vec<_>>(), "write_gaps_ms": self.gaps, "resident_bytes": self.memory })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header([
            "", "clients", "cluster", "calls/s", "p50 ms", "p99 ms", "cpu us", "errors", "x etcd",
        ]);
        for row in &self.rows {
            table.add_row([
                row.kind.to_owned(),
                row.clients.to_string(),
                row.name.clone(),
                format!("{:.0}", row.middle.per_second),
                format!("{:.2}", row.middle.p50_ms),
                format!("{:.2}", row.middle.p99_ms),
                format!("{:.0}", row.middle.cpu_us),
                row.middle.errors.to_string(),
                row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            ]);
        }
        writeln!(f, "{table}\n")?;
        for (name, gaps) in &self.gaps {
            let all: Vec<String> = gaps.iter().map(|gap| format!("{gap:.0}")).collect();
            let middle = median(gaps.clone());
            writeln!(
                f,
                "{name}: longest gap in writes around a kill of the leader: median {middle:.0} ms ({})",
                all.join(", ")
            )?;
        }
        for (name, bytes) in &self.memory {
            let all: Vec<String> = bytes.iter().map(|bytes| format!("{}", bytes / (1024 * 1024))).collect();
            writeln!(f, "{name}: resident memory at the end: {} MiB", all.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_of_its_calls() {
        let figure =
            Figure::of((1..=100).map(|number| number * 1_000).collect(), 2.0, Duration::from_millis(1), 3);
        assert_eq!((figure.per_second, figure.p50_ms, figure.p99_ms, figure.errors), (50.0, 51.0, 99.0, 3));
        assert!((figure.cpu_us - 10.0).abs() < 1e-9);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
