//! Answers what control nodes ask of the store.

use std::io;

use trireme_rpc::logs::answer::Answer as Kind;
use trireme_rpc::logs::question::Question as Asked;
use trireme_rpc::logs::{
    Answer, Append, Done, Events, Found, Question, RecordList, Stream, StreamList, Streams,
};
use trireme_types::LogPattern;

use super::StreamName;
use super::read::{Span, of_wire};
use super::store::{NewRecord, Store};

/// logs API: GetLogEvents, FilterLogEvents: events and bytes of one answer.
const EVENTS: u32 = 10_000;
const BYTES: u64 = 1 << 20;
/// Streams of one answer.
const STREAMS: usize = 1_000;

/// Answers a question. It may take as long as the disk does.
pub fn answer(store: &Store, question: Question) -> Answer {
    let kind = asked(store, question).unwrap_or_else(|error| Kind::Failed(error.to_string()));
    Answer { answer: Some(kind) }
}

fn asked(store: &Store, question: Question) -> io::Result<Kind> {
    let name = |stream: &str| StreamName {
        region: question.region.clone(),
        group: question.group.clone(),
        stream: stream.to_owned(),
    };
    // What has no region is not for anybody to ask for.
    if question.region.is_empty() {
        return Ok(Kind::Failed("the question names no region".to_owned()));
    }
    if question.kept_from > 0 {
        store.expire(&question.region, &question.group, question.kept_from);
    }
    match &question.question {
        Some(Asked::Streams(asked)) => Ok(Kind::Streams(streams(store, &question, asked))),
        Some(Asked::Events(asked)) => events(store, &question, asked).map(Kind::Records),
        Some(Asked::Append(asked)) => append(store, name(&asked.stream), asked),
        Some(Asked::Create(asked)) => {
            let created = store.create(&name(&asked.stream))?;
            Ok(Kind::Done(Done { known: !created }))
        }
        Some(Asked::Delete(asked)) => {
            let mut known = false;
            for stream in store.streams(&question.region, &question.group, 0) {
                if asked.stream.is_empty() || asked.stream == stream.name {
                    known |= store.delete(&name(&stream.name))?;
                }
            }
            Ok(Kind::Done(Done { known }))
        }
        None => Ok(Kind::Failed("this agent does not know the question; upgrade it".to_owned())),
    }
}

fn streams(store: &Store, question: &Question, asked: &Streams) -> StreamList {
    let mut found = store.streams(&question.region, &question.group, question.ingested_from);
    found.retain(|stream| {
        stream.name.starts_with(&asked.prefix) && (asked.name.is_empty() || stream.name == asked.name)
    });
    let place =
        |stream: &Stream| (if asked.by_last_event { stream.last_event } else { 0 }, stream.name.clone());
    found.sort_by_key(place);
    if asked.descending {
        found.reverse();
    }
    if let Some(after) = &asked.after {
        let after = (if asked.by_last_event { after.last_event } else { 0 }, after.name.clone());
        found.retain(|stream| if asked.descending { place(stream) < after } else { place(stream) > after });
    }
    found.truncate(STREAMS.min(asked.limit as usize));
    StreamList { streams: found }
}

fn events(store: &Store, question: &Question, asked: &Events) -> io::Result<RecordList> {
    let known = store.streams(&question.region, &question.group, question.ingested_from);
    let wanted = known.iter().filter(|stream| {
        stream.name.starts_with(&asked.prefix)
            && (asked.streams.is_empty() || asked.streams.contains(&stream.name))
    });
    let names: Vec<StreamName> = wanted
        .map(|stream| StreamName {
            region: question.region.clone(),
            group: question.group.clone(),
            stream: stream.name.clone(),
        })
        .collect();
    let span = Span {
        start: asked.start.max(question.kept_from),
        end: (asked.end > 0).then_some(asked.end),
        after: of_wire(asked.after.as_ref()),
        before: of_wire(asked.before.as_ref()),
        ingested_from: question.ingested_from,
        newest: asked.newest,
        limit: asked.limit.clamp(1, EVENTS) as usize,
        bytes: BYTES,
        pattern: LogPattern::parse(&asked.pattern).map_err(io::Error::other)?,
    };
    let (found, more) = store.read(&names, &span)?;
    let found = found.into_iter().map(|(name, mut record)| {
        record.stamps.clear();
        Found { stream: name.stream, record: Some(record) }
    });
    Ok(RecordList { found: found.collect(), more, known: !names.is_empty() })
}

/// Is on the disk when it is answered.
fn append(store: &Store, name: StreamName, asked: &Append) -> io::Result<Kind> {
    if !store.has(&name) {
        return Ok(Kind::Done(Done { known: false }));
    }
    let record = |record: &trireme_rpc::logs::Record| NewRecord {
        at: record.at,
        stamps: Vec::new(),
        message: record.message.clone(),
    };
    store.append(&name, asked.records.iter().map(record).collect(), true)?;
    Ok(Kind::Done(Done { known: true }))
}
