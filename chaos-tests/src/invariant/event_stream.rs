//! I11: the stream of events has no gap and nothing twice, through everything, for one who follows it from the cluster's
//! beginning.

use super::Finding;
use crate::history::Event;

/// The number of a cluster's first event.
const FIRST: u64 = 1;

/// Looks at the events from the first of the cluster on. `end` is the last event that any control node knows, if one answers;
/// `complete`, whether the follower came so far and still follows.
pub fn check(events: &[Event], end: Option<u64>, complete: bool) -> Finding {
    let broken = events.windows(2).find(|pair| pair[1].sequence != pair[0].sequence + 1);
    let first = events.first().map_or(0, |event| event.sequence);
    let last = events.last().map_or(0, |event| event.sequence);
    if let Some(pair) = broken {
        let text = format!("event {} was followed by event {}", pair[0].sequence, pair[1].sequence);
        return Finding::new("I11", false, text);
    }
    let Some(end) = end else {
        return Finding::open(
            "I11",
            format!("events {first} to {last}; no control node says which is the last"),
        );
    };
    if first != FIRST {
        let text = match events.is_empty() {
            true => format!("the follower read nothing of {end} events"),
            false => format!("the stream began with event {first}"),
        };
        return Finding::new("I11", false, text);
    }
    match complete {
        false => Finding::new("I11", false, format!("the follower gave up after event {last} of {end}")),
        true => Finding::new(
            "I11",
            true,
            format!("events {first} to {last} in one stream, none missing or twice"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn events(numbers: &[u64]) -> Vec<Event> {
        let event = |sequence: &u64| Event {
            sequence: *sequence,
            at: 0.0,
            kind: String::new(),
            body: serde_json::Value::Null,
            heard: Instant::now(),
        };
        numbers.iter().map(event).collect()
    }

    #[test]
    fn a_stream_is_whole_from_the_first_event_to_the_last() {
        let held = |numbers: &[u64], end, complete| check(&events(numbers), end, complete).held;
        assert_eq!(held(&[1, 2, 3], Some(3), true), Some(true));
        assert_eq!(held(&[1, 2, 3], Some(9), false), Some(false));
        assert_eq!(held(&[1, 3], Some(3), true), Some(false));
        assert_eq!(held(&[1, 1], Some(1), true), Some(false));
        assert_eq!(held(&[2, 3], Some(3), true), Some(false));
        assert_eq!(held(&[], Some(0), true), Some(false));
        assert_eq!(held(&[1, 2], None, false), None);
    }
}
