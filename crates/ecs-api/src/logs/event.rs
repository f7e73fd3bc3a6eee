//! Reading events: of one stream, page by page in both directions, and of all that match a pattern.

use trireme_rpc::logs::answer::Answer as Kind;
use trireme_rpc::logs::question::Question as Asked;
use trireme_rpc::logs::{Events, Found, Place, Record};
use trireme_types::LogPattern;

use super::ask::{self, Answers};
use super::shape::{
    Event, EventPage, FilterEvents, Filtered, GetEvents, check_stream_name, limit, required, time,
};
use super::{Context, invalid, no_stream};
use crate::error::{Error, Result};

/// logs API: GetLogEvents, FilterLogEvents.
const EVENTS: u32 = 10_000;
const PAGE_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
/// logs API: FilterLogEvents.
const STREAM_NAMES: usize = 100;
const PATTERN_LENGTH: usize = 1_024;

type Order = (u64, u64);

fn place(record: &Record) -> Order {
    (record.at, record.number)
}

fn wire((at, number): Order) -> Place {
    Place { at, number }
}

/// Which way a page goes from a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Backward,
}

fn token(way: Way, (at, number): Order) -> String {
    let letter = if way == Way::Forward { 'f' } else { 'b' };
    format!("{letter}/{at:020}{number:020}/s")
}

fn bad_token() -> Error {
    invalid("The specified nextToken is invalid.")
}

fn read_place(digits: &str) -> Result<Order> {
    let whole = digits.len() == 40 && digits.bytes().all(|digit| digit.is_ascii_digit());
    let (at, number) = digits.split_at_checked(20).filter(|_| whole).ok_or_else(bad_token)?;
    match (at.parse(), number.parse()) {
        (Ok(at), Ok(number)) => Ok((at, number)),
        _ => Err(bad_token()),
    }
}

fn read_token(token: &str) -> Result<(Way, Order)> {
    let mut parts = token.split('/');
    let way = match parts.next() {
        Some("f") => Way::Forward,
        Some("b") => Way::Backward,
        _ => return Err(bad_token()),
    };
    Ok((way, read_place(parts.next().unwrap_or_default())?))
}

/// What all of them have, in one order, cut to one page. True when there is more.
fn merged(answers: Answers, most: usize, newest: bool) -> (Vec<Found>, bool) {
    let mut more = false;
    let mut found: Vec<Found> = Vec::new();
    for (_, kind) in answers.found {
        if let Kind::Records(list) = kind {
            more |= list.more;
            found.extend(list.found.into_iter().filter(|one| one.record.is_some()));
        }
    }
    found.sort_by_key(|one| one.record.as_ref().map(place));
    if newest {
        found.reverse();
    }
    let mut bytes = 0;
    let fits = found.iter().take(most).take_while(|one| {
        bytes += one.record.as_ref().map_or(0, |record| record.message.len() + EVENT_OVERHEAD);
        bytes <= PAGE_BYTES
    });
    let kept = fits.count().max(1);
    more |= kept < found.len();
    found.truncate(kept);
    if newest {
        found.reverse();
    }
    (found, more)
}

pub(super) async fn get(cx: Context, request: GetEvents) -> Result<EventPage> {
    let name = required(request.log_stream_name, "logStreamName")?;
    check_stream_name(&name)?;
    let most = limit(request.limit, EVENTS)?;
    let (start, end) = (time(request.start_time, "startTime")?, time(request.end_time, "endTime")?);
    let given = request.next_token.filter(|token| !token.is_empty());
    let given = given.map(|token| read_token(&token)).transpose()?;
    let newest = match given {
        Some((way, _)) => way == Way::Backward,
        None => request.start_from_head != Some(true),
    };
    let state = cx.read().await?;
    let group =
        cx.log_group(&state, request.log_group_name.as_deref(), request.log_group_identifier.as_deref())?;
    let at = |way: Way| given.filter(|(asked, _)| *asked == way).map(|(_, place)| wire(place));
    let asked = Asked::Events(Events {
        streams: vec![name.clone()],
        start: start.unwrap_or(0),
        end: end.unwrap_or(0),
        after: at(Way::Forward),
        before: at(Way::Backward),
        newest,
        limit: most,
        ..Events::default()
    });
    let answers = ask::about_stream(&cx, &state, &group, &name, &asked).await;
    if !answers.known() {
        answers.sure()?;
        return Err(no_stream());
    }
    let (found, _) = merged(answers, most as usize, newest);
    let edge = |one: Option<&Found>| one.and_then(|one| one.record.as_ref()).map(place);
    let (forward, backward) = match (edge(found.last()), edge(found.first()), given) {
        (Some(last), Some(first), _) => (last, first),
        // At an end: the way that was asked for goes on from the same place, and the other one turns there.
        (_, _, Some((Way::Forward, (at, number)))) => ((at, number), (at, number.saturating_add(1))),
        (_, _, Some((Way::Backward, (at, number)))) => ((at, number.saturating_sub(1)), (at, number)),
        _ => ((start.unwrap_or(0), 0), (start.unwrap_or(0), 0)),
    };
    let events = found.into_iter().filter_map(|one| {
        let record = one.record?;
        Some(Event {
            timestamp: Some(record.at),
            ingestion_time: Some(record.ingested_at),
            message: Some(record.message),
            ..Event::default()
        })
    });
    Ok(EventPage {
        events: Some(events.collect()),
        next_forward_token: Some(token(Way::Forward, forward)),
        next_backward_token: Some(token(Way::Backward, backward)),
    })
}

pub(super) async fn filter(cx: Context, request: FilterEvents) -> Result<Filtered> {
    let most = limit(request.limit, EVENTS)?;
    let (start, end) = (time(request.start_time, "startTime")?, time(request.end_time, "endTime")?);
    let pattern = request.filter_pattern.unwrap_or_default();
    if pattern.chars().count() > PATTERN_LENGTH {
        return Err(invalid(format!("filterPattern must have at most {PATTERN_LENGTH} characters.")));
    }
    LogPattern::parse(&pattern).map_err(|error| invalid(format!("Invalid filter pattern: {error}.")))?;
    let streams = request.log_stream_names.unwrap_or_default();
    let prefix = request.log_stream_name_prefix.unwrap_or_default();
    if !streams.is_empty() && !prefix.is_empty() {
        return Err(invalid("Only one of logStreamNames and logStreamNamePrefix may be given."));
    }
    if streams.len() > STREAM_NAMES {
        return Err(invalid(format!("At most {STREAM_NAMES} logStreamNames may be given.")));
    }
    let after = request.next_token.filter(|token| !token.is_empty());
    let after = after.map(|digits| read_place(&digits)).transpose()?;
    let state = cx.read().await?;
    let group =
        cx.log_group(&state, request.log_group_name.as_deref(), request.log_group_identifier.as_deref())?;
    let named = !streams.is_empty();
    let asked = Asked::Events(Events {
        streams,
        prefix,
        start: start.unwrap_or(0),
        end: end.unwrap_or(0),
        after: after.map(wire),
        limit: most,
        pattern,
        ..Events::default()
    });
    let answers = ask::all(&cx, &state, &group, &asked).await;
    if named && !answers.known() {
        answers.sure()?;
        return Err(no_stream());
    }
    let (found, more) = merged(answers, most as usize, false);
    let last = found.last().and_then(|one| one.record.as_ref()).map(place);
    let next_token = last.filter(|_| more).map(|(at, number)| format!("{at:020}{number:020}"));
    let events = found.into_iter().filter_map(|one| {
        let record = one.record?;
        Some(Event {
            event_id: Some(format!("{:020}{:036}", record.at, record.number)),
            log_stream_name: Some(one.stream),
            timestamp: Some(record.at),
            ingestion_time: Some(record.ingested_at),
            message: Some(record.message),
        })
    });
    Ok(Filtered { events: Some(events.collect()), searched_log_streams: Some(Vec::new()), next_token })
}

#[cfg(test)]
mod tests {
    use trireme_rpc::logs::RecordList;
    use trireme_types::ContainerInstanceId;

    use super::*;

    #[test]
    fn tokens_say_where_and_which_way() {
        for (way, at) in [(Way::Forward, (0, 0)), (Way::Backward, (u64::MAX, 7))] {
            assert_eq!(read_token(&token(way, at)), Ok((way, at)));
        }
        for wrong in ["", "f/", "x/0", "f/12", "f/+000000000000000000100000000000000000001/s"] {
            assert!(read_token(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn answers_of_several_are_one_page() {
        let list = |numbers: &[u64], more| {
            let found = numbers.iter().map(|number| Found {
                stream: "s".to_owned(),
                record: Some(Record { at: *number, number: *number, ..Record::default() }),
            });
            Kind::Records(RecordList { found: found.collect(), more, known: true })
        };
        let answers = || Answers {
            found: [list(&[1, 4, 5], false), list(&[2, 3], false)]
                .into_iter()
                .map(|kind| (ContainerInstanceId::from_bits(1), kind))
                .collect(),
            silent: 0,
        };
        let ats = |found: &[Found]| {
            found.iter().filter_map(|one| Some(one.record.as_ref()?.at)).collect::<Vec<_>>()
        };
        let (all, more) = merged(answers(), 10, false);
        assert_eq!((ats(&all), more), (vec![1, 2, 3, 4, 5], false));
        let (first, more) = merged(answers(), 2, false);
        assert_eq!((ats(&first), more), (vec![1, 2], true));
        let (last, more) = merged(answers(), 2, true);
        assert_eq!((ats(&last), more), (vec![4, 5], true));
    }
}
