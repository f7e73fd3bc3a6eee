//! I3: what clients of the API saw is linearizable: no stale read, no lost or repeated write, through whichever node they asked.

use trireme_testkit::linear::{self, History};

use super::Finding;

/// The share of operations that the search may leave open.
const OPEN: f64 = 0.2;

/// Judges what the clients of the registers saw.
pub fn check(history: &History) -> Finding {
    match linear::check(history) {
        Ok(judged) => {
            let all = judged.operations + judged.open;
            let text = format!(
                "{} operations on registers through all nodes: linearizable; {} not judged, for too many answers are unknown",
                judged.operations, judged.open
            );
            match judged.open as f64 <= OPEN * all as f64 && all > 0 {
                true => Finding::new("I3", true, text),
                false => Finding::open("I3", text),
            }
        }
        Err(unexplained) => Finding::new("I3", false, unexplained.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trireme_testkit::linear::{Change, Seen};

    #[test]
    fn a_stale_read_is_found_and_nothing_to_judge_is_not_success() {
        let mut history = History::default();
        assert_eq!(check(&history).held, None);
        for value in [1, 2] {
            let write = history.begin("r", Change::Ensure(value));
            history.end(write, Seen::Done);
            let write = history.begin("r", Change::Write(value));
            history.end(write, Seen::Done);
        }
        assert_eq!(check(&history).held, Some(true));
        let read = history.begin("r", Change::Read);
        history.end(read, Seen::Value(1));
        assert_eq!(check(&history).held, Some(false));
    }
}
