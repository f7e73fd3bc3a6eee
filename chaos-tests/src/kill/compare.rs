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

/// The values of a victim's deaths. What never came took infinitely long.
fn of(outcome: &Outcome, victim: Victim, what: fn(&Death) -> Option<f64>) -> Vec<f64> {
    let deaths = outcome.deaths.iter().filter(|death| death.victim == victim);
    deaths.map(|death| what(death).unwrap_or(f64::INFINITY)).collect()
}

fn cell(values: &[f64]) -> String {
    let Some(median) = median(values.to_vec()) else { return NOTHING.to_owned() };
    let never = values.iter().filter(|value| value.is_infinite()).count();
    let never = format!("never ({never} of {})", values.len());
    match values.iter().copied().fold(0.0, f64::max) {
        worst if worst.is_finite() => format!("{median:.2} ({worst:.2})"),
        _ if median.is_finite() => format!("{median:.2}, {never}"),
        _ => never,
    }
}

/// Where there is nothing to tell, or nothing that means anything.
const NOTHING: &str = "–";
/// Looks at the tasks are so far apart, in seconds: a shorter time is no time.
const SEEN: f64 = 0.2;

fn ratio(ours: &[f64], theirs: &[f64]) -> String {
    match (median(ours.to_vec()), median(theirs.to_vec())) {
        (Some(ours), Some(theirs)) if ours.is_infinite() && theirs.is_infinite() => NOTHING.to_owned(),
        (Some(_), Some(theirs)) if theirs.is_infinite() => "∞ ×".to_owned(),
        // Below what can be seen at all, both are the same.
        (Some(ours), Some(theirs)) => format!("{:.1} ×", theirs.max(SEEN) / ours.max(SEEN)),
        _ => NOTHING.to_owned(),
    }
}

/// Whether both sides lose the same, so far as tasks are concerned. Of Trireme dies a process that runs no container; Swarm has
/// none such, and loses the engine with its tasks.
fn same_loss(victim: Victim) -> bool {
    !matches!(victim, Victim::Leader | Victim::Follower | Victim::Agent)
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
        for (what, comparable) in [(writes, true), (desired, same_loss(victim))] {
            let mine = of(ours, victim, what);
            let its = theirs.map(|theirs| of(theirs, victim, what)).unwrap_or_default();
            let ratio = if comparable { ratio(&mine, &its) } else { NOTHING.to_owned() };
            row.extend([cell(&mine), cell(&its), ratio]);
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
        let lost = audit.lost.map_or("not told".to_owned(), |lost| lost.to_string());
        let [acked, twice, unknown, refused] =
            [audit.acked, audit.twice, audit.unknown, audit.refused].map(|count| count.to_string());
        rows.push(vec![side.name.clone(), acked, lost, twice, unknown, refused]);
    }
    rows
}

/// What must hold besides, on each side that can be asked.
pub fn findings(sides: &[&Outcome]) -> Vec<Vec<String>> {
    let mut rows = vec![["", "invariant", "held", "seen"].map(str::to_owned).to_vec()];
    for side in sides {
        rows.extend(side.audit.findings.iter().map(|finding| {
            let held = match finding.held {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "not judged",
            };
            vec![side.name.clone(), finding.invariant.clone(), held.to_owned(), finding.text.clone()]
        }));
    }
    rows
}

/// Where the sides differ, so that the ratios say less than they seem to.
pub fn differences(sides: &[&Outcome]) -> Vec<Vec<String>> {
    let mut rows = vec![["", "what is to be known of the comparison"].map(str::to_owned).to_vec()];
    let known = [
        (
            "timing",
            "Trireme runs with the timing for one machine: heartbeats of 50 ms, elections after 150 to 250 ms (its default, for a region: 100 ms, 500 to 1,000 ms). Swarm runs with its defaults: `docker swarm` has no flag for Raft's ticks of a second, only for the dispatcher's heartbeat, which is left as it is.",
        ),
        (
            "victims",
            "leader, follower, agent: Trireme loses a process that runs no container, Swarm loses dockerd, which is manager, agent and engine in one. There is no ratio for the desired count then.",
        ),
        (
            "writes",
            "Trireme's are CreateCluster and RegisterTaskDefinition by AWS's SDK, Swarm's are POST /services/create: one call at a time each, by as many writers, tried on every node for 30 s.",
        ),
        (
            "count",
            "A desired count is reached when a side says so of living machines and as many containers have a living process: a node that is not missed yet still counts in its manager's word.",
        ),
        ("ratio", "of medians; never is infinitely long; what is below 0.2 s counts as 0.2 s."),
    ];
    rows.extend(known.map(|(what, text)| vec![what.to_owned(), text.to_owned()]));
    for side in sides {
        rows.extend(side.audit.notes.iter().map(|note| vec![side.name.clone(), note.clone()]));
    }
    rows
}

/// What is wrong with a side, a line each; nothing is wrong with one that lost nothing, did nothing twice, and was whole again
/// after each death.
pub fn wrong(side: &Outcome) -> Vec<String> {
    let audit = &side.audit;
    let mut wrong = Vec::new();
    match audit.lost {
        Some(0) => {}
        Some(lost) => wrong.push(format!("{lost} acknowledged writes lost")),
        None => wrong.push("nobody can tell whether acknowledged writes are lost".to_owned()),
    }
    if audit.twice > 0 {
        wrong.push(format!("{} writes done twice", audit.twice));
    }
    let open = audit.findings.iter().filter(|finding| finding.held != Some(true));
    wrong.extend(open.map(|finding| format!("{}: {}", finding.invariant, finding.text)));
    for victim in Victim::ALL {
        let deaths = of(side, victim, |death| death.desired_after);
        let never = deaths.iter().filter(|after| after.is_infinite()).count();
        if never > 0 {
            let of = deaths.len();
            wrong.push(format!("{victim}: the desired count was never reached after {never} of {of} deaths"));
        }
    }
    wrong
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
    use crate::invariant::Finding;

    fn outcome(deaths: &[(Victim, Option<f64>)]) -> Outcome {
        let death = |(victim, after): &(Victim, Option<f64>)| Death {
            victim: *victim,
            writes_away: 1.0,
            desired_after: *after,
        };
        let audit = Audit { lost: Some(0), ..Audit::default() };
        Outcome { name: "it".to_owned(), deaths: deaths.iter().map(death).collect(), audit }
    }

    #[test]
    fn ratios_are_of_medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(ratio(&[1.0, 2.0, 9.0], &[4.0, 4.0, 5.0]), "2.0 ×");
        assert_eq!(ratio(&[], &[1.0]), "–");
        assert_eq!(ratio(&[0.01], &[0.02]), "1.0 ×");
    }

    #[test]
    fn never_is_longer_than_anything() {
        let never = f64::INFINITY;
        assert_eq!(cell(&[1.0, 2.0, 9.0]), "2.00 (9.00)");
        assert_eq!(cell(&[1.0, never, 2.0]), "2.00, never (1 of 3)");
        assert_eq!(cell(&[never, 1.0, never]), "never (2 of 3)");
        assert_eq!(ratio(&[1.0], &[never]), "∞ ×");
        assert_eq!(ratio(&[never], &[1.0]), "0.0 ×");
        assert_eq!(ratio(&[never], &[never]), "–");
    }

    #[test]
    fn deaths_that_differ_have_no_ratio_of_tasks() {
        let side = outcome(&[(Victim::Leader, Some(1.0)), (Victim::Zone, Some(4.0))]);
        let rows = table(&side, Some(&side));
        let row = |name: &str| rows.iter().find(|row| row[0] == name).unwrap().clone();
        assert_eq!(row("leader")[4..], ["1.0 ×", "1.00 (1.00)", "1.00 (1.00)", "–"]);
        assert_eq!(row("zone")[7], "1.0 ×");
    }

    #[test]
    fn what_is_not_known_or_never_came_is_wrong() {
        let mut side = outcome(&[(Victim::Agent, Some(1.0))]);
        assert_eq!(wrong(&side), Vec::<String>::new());
        side.audit.lost = None;
        assert_eq!(audits(&[&side])[1][2], "not told");
        assert_eq!(wrong(&side).len(), 1);
        side.audit.findings = vec![Finding::new("I6", false, "too many"), Finding::new("I11", true, "")];
        side.deaths.push(outcome(&[(Victim::Agent, None)]).deaths.remove(0));
        let wrong = wrong(&side);
        assert_eq!(
            wrong[1..],
            [
                "I6: too many".to_owned(),
                "agent: the desired count was never reached after 1 of 2 deaths".to_owned(),
            ]
        );
    }
}
