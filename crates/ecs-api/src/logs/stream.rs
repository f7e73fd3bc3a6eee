//! Log streams: made by agents for their containers, and by clients, whose streams are given to an agent.

use std::collections::BTreeMap;

use trireme_rpc::logs::answer::Answer as Kind;
use trireme_rpc::logs::question::Question as Asked;
use trireme_rpc::logs::{Create, Delete, StreamPlace, Streams};
use trireme_state::object::LogGroup;

use super::shape::{
    DescribeStreams, Empty, OfStream, Stream, StreamPage, check_stream_name, limit, required,
};
use super::{Context, already_exists, ask, group, invalid, no_stream, unavailable};
use crate::error::Result;

/// logs API: DescribeLogStreams.
const PAGE: u32 = 50;
/// Instances that a new stream is offered to.
const OFFERS: usize = 3;

pub(super) async fn create(cx: Context, request: OfStream) -> Result<Empty> {
    let name = required(request.log_stream_name, "logStreamName")?;
    check_stream_name(&name)?;
    let state = cx.read().await?;
    let group = cx.log_group(&state, Some(&required(request.log_group_name, "logGroupName")?), None)?;
    // Who cannot be reached may have one of this name: then it has two parts, which are read as one.
    let (known, _) = ask::place_of(&cx, &state, &group, &name).await;
    if known.is_some() {
        return Err(already_exists("The specified log stream already exists"));
    }
    let asked = Asked::Create(Create { stream: name.clone() });
    for instance in ask::preferred(&state, &group, &name).into_iter().take(OFFERS) {
        match ask::one(&cx, instance, &group, &asked).await {
            Some(Kind::Done(done)) if done.known => {
                return Err(already_exists("The specified log stream already exists"));
            }
            Some(_) => return Ok(Empty {}),
            None => {}
        }
    }
    Err(unavailable("No container instance can keep the stream now. Retry.".to_owned()))
}

pub(super) async fn delete(cx: Context, request: OfStream) -> Result<Empty> {
    let name = required(request.log_stream_name, "logStreamName")?;
    check_stream_name(&name)?;
    let state = cx.read().await?;
    let group = cx.log_group(&state, Some(&required(request.log_group_name, "logGroupName")?), None)?;
    let answers = ask::all(&cx, &state, &group, &Asked::Delete(Delete { stream: name })).await;
    answers.sure()?;
    if answers.known() { Ok(Empty {}) } else { Err(no_stream()) }
}

/// How streams are ordered, and where a page begins.
struct Order {
    by_last_event: bool,
    descending: bool,
}

impl Order {
    fn place(&self, stream: &trireme_rpc::logs::Stream) -> (u64, String) {
        (if self.by_last_event { stream.last_event } else { 0 }, stream.name.clone())
    }
}

pub(super) async fn describe(cx: Context, request: DescribeStreams) -> Result<StreamPage> {
    let page = limit(request.limit, PAGE)?;
    let prefix = request.log_stream_name_prefix.unwrap_or_default();
    let by_last_event = match request.order_by.as_deref() {
        None | Some("LogStreamName") => false,
        Some("LastEventTime") if prefix.is_empty() => true,
        Some("LastEventTime") => {
            return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        Some(other) => {
            return Err(invalid(format!(
                "1 validation error detected: Value '{other}' at 'orderBy' failed to satisfy constraint: Member must satisfy \
                 enum value set: [LogStreamName, LastEventTime]"
            )));
        }
    };
    let order = Order { by_last_event, descending: request.descending == Some(true) };
    let after = request.next_token.filter(|token| !token.is_empty()).map(|token| read(&token)).transpose()?;
    let state = cx.read().await?;
    let group =
        cx.log_group(&state, request.log_group_name.as_deref(), request.log_group_identifier.as_deref())?;
    let asked = Asked::Streams(Streams {
        prefix,
        name: String::new(),
        by_last_event,
        descending: order.descending,
        after,
        limit: page + 1,
    });
    let answers = ask::all(&cx, &state, &group, &asked).await;
    let mut merged: BTreeMap<String, trireme_rpc::logs::Stream> = BTreeMap::new();
    for (_, kind) in answers.found {
        let Kind::Streams(list) = kind else { continue };
        for stream in list.streams {
            merged.entry(stream.name.clone()).and_modify(|known| join(known, &stream)).or_insert(stream);
        }
    }
    let mut streams: Vec<_> = merged.into_values().collect();
    streams.sort_by_key(|stream| order.place(stream));
    if order.descending {
        streams.reverse();
    }
    let more = streams.len() > page as usize;
    streams.truncate(page as usize);
    let next_token = streams.last().filter(|_| more).map(|last| {
        let (last_event, name) = order.place(last);
        format!("{last_event}:{name}")
    });
    let shown = streams.iter().map(|stream| shown(&group, stream)).collect();
    Ok(StreamPage { log_streams: Some(shown), next_token })
}

/// One stream in two parts.
fn join(known: &mut trireme_rpc::logs::Stream, other: &trireme_rpc::logs::Stream) {
    known.created_at = known.created_at.min(other.created_at);
    known.first_event = match (known.first_event, other.first_event) {
        (0, one) | (one, 0) => one,
        (one, two) => one.min(two),
    };
    known.last_event = known.last_event.max(other.last_event);
    known.last_ingested = known.last_ingested.max(other.last_ingested);
    known.bytes += other.bytes;
}

fn read(token: &str) -> Result<StreamPlace> {
    let place = token.split_once(':').and_then(|(last_event, name)| {
        Some(StreamPlace { last_event: last_event.parse().ok()?, name: name.to_owned() })
    });
    place.ok_or_else(|| invalid("The specified nextToken is invalid."))
}

fn shown(of: &LogGroup, stream: &trireme_rpc::logs::Stream) -> Stream {
    let time = |at: u64| (at > 0).then_some(at);
    Stream {
        log_stream_name: Some(stream.name.clone()),
        creation_time: Some(stream.created_at),
        first_event_timestamp: time(stream.first_event),
        last_event_timestamp: time(stream.last_event),
        last_ingestion_time: time(stream.last_ingested),
        upload_sequence_token: Some(stream.last_ingested.to_string()),
        arn: Some(format!("{}:log-stream:{}", group::arn(&of.key), stream.name)),
        // logs API: of a stream it is always 0 by now.
        stored_bytes: Some(0),
    }
}
