//! Two sides beside each other, victim by victim.

use super::measure::Death;
use super::plan::Victim;
use super::side::Audit;

/// What came of one side.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Every death.
    pub deaths: Vec<Death>,
    /// What became of the writes.
    pub audit: Audit,
}

/// The median; of an even number the upper one of the two.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn of(outcome: &Outcome, victim: Victim, what: fn(&Death) -> Option<f64>) -> Vec<f64> {
    outcome.deaths.iter().filter(|death| death.victim == victim).filter_map(what).collect()
}

fn cell(values: &[f64]) -> String {
    match (median(values.to_vec()), values.iter().copied().reduce(f64::max)) {
        (Some(median), Some(worst)) => format!("{median:.2} ({worst:.2})"),
        _ => "–".to_owned(),
    }
}

/// Looks at the tasks are so far apart, in seconds: a shorter time is no time.
const SEEN: f64 = 0.2;

fn ratio(ours: &[f64], theirs: &[f64]) -> String {
    match (median(ours.to_vec()), median(theirs.to_vec())) {
        // Below what can be seen at all, both are the same.
        (Some(ours), Some(theirs)) => format!("{:.1} ×", theirs.max(SEEN) / ours.max(SEEN)),
        _ => "–".to_owned(),
    }
}

/// A table of all victims: medians, the worst in parentheses, and how many times longer the other side took.
pub fn table(ours: &Outcome, theirs: Option<&Outcome>) -> Vec<Vec<String>> {
    let other = theirs.map_or("(not run)", |it| it.name.as_str());
    let heading = [
        "killed".to_owned(),
        "times".to_owned(),
        format!("writes away, s: {}", ours.name),
        other.to_owned(),
        "ratio".to_owned(),
        format!("desired count after, s: {}", ours.name),
        other.to_owned(),
        "ratio".to_owned(),
    ];
    let mut rows = vec![heading.to_vec()];
    for victim in Victim::ALL {
        let writes: fn(&Death) -> Option<f64> = |death| Some(death.writes_away);
        let desired: fn(&Death) -> Option<f64> = |death| death.desired_after;
        let mut row = vec![victim.to_string(), of(ours, victim, writes).len().to_string()];
        for what in [writes, desired] {
            let mine = of(ours, victim, what);
            let its = theirs.map(|theirs| of(theirs, victim, what)).unwrap_or_default();
            row.extend([cell(&mine), cell(&its), ratio(&mine, &its)]);
        }
        rows.push(row);
    }
    rows
}

/// What became of the writes of each side.
pub fn audits(sides: &[&Outcome]) -> Vec<Vec<String>> {
    let heading = ["", "acknowledged", "lost", "done twice", "unknown", "refused"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for side in sides {
        let audit = &side.audit;
        let counts = [audit.acked, audit.lost, audit.twice, audit.unknown, audit.refused];
        rows.push(std::iter::once(side.name.clone()).chain(counts.map(|it| it.to_string())).collect());
    }
    rows
}

/// Rows under each other, for the terminal.
pub fn lines(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(ratio(&[1.0, 2.0, 9.0], &[4.0, 4.0, 5.0]), "2.0 ×");
        assert_eq!(ratio(&[], &[1.0]), "–");
        assert_eq!(ratio(&[0.01], &[0.02]), "1.0 ×");
    }
}
