//! I11: the stream of events has no gap and nothing twice, through everything, for one who follows it.

use super::Finding;
use crate::history::Event;

/// Looks at the events from the first of the cluster on.
pub fn check(events: &[Event], gave_up: bool) -> Finding {
    let broken = events.windows(2).find(|pair| pair[1].sequence != pair[0].sequence + 1);
    let first = events.first().map_or(0, |event| event.sequence);
    let last = events.last().map_or(0, |event| event.sequence);
    match broken {
        Some(pair) => {
            let text = format!("event {} was followed by event {}", pair[0].sequence, pair[1].sequence);
            Finding::new("I11", false, text)
        }
        None if gave_up => Finding::new("I11", false, format!("the follower gave up after event {last}")),
        None => Finding::new(
            "I11",
            true,
            format!("events {first} to {last} in one stream, none missing or twice"),
        ),
    }
}
