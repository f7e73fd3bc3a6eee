#![allow(clippy::unwrap_used)]

use std::pin::Pin;

use futures_util::StreamExt;
use tonic::Code;
use trireme_state::{Actor, Entry, Event, SealedEvent, State, apply_entry};
use trireme_types::{ClusterName, ClusterUuid, RequestId, Scope, Timestamp};

use super::*;
use crate::outflow::STALLED;
use crate::storage::disk::DiskFiles;

const CLUSTER: ClusterUuid = ClusterUuid::from_bits(3);

/// A state after some events, of more than one part.
fn state(events: u64) -> State {
    let mut state = State::new();
    for number in 0..events {
        let name = ClusterName::new(&format!("c{number}")).unwrap();
        let cluster = trireme_state::object::ClusterKey { scope: Scope::development(), name };
        let tags = [("filler".to_owned(), "x".repeat(60_000))].into_iter().collect();
        let event = SealedEvent::seal(Event::ClusterCreated { cluster, tags });
        let entry = Entry {
            base: state.position(),
            at: Timestamp::from_millis(1),
            actor: Actor::Operator,
            request_id: RequestId::from_bits(1),
            events: vec![event],
        };
        apply_entry(&mut state, &entry);
    }
    state
}

fn checkpoints(place: &std::path::Path) -> Arc<Checkpoints> {
    Checkpoints::open(Arc::new(DiskFiles::open(place).unwrap()), CLUSTER).unwrap()
}

type Parts = Pin<Box<dyn Stream<Item = Sent> + Send>>;

async fn sent(checkpoints: &Arc<Checkpoints>, start: u64, last: u64) -> Result<Parts, Code> {
    sent_within(checkpoints, start, last, STALLED).await
}

async fn sent_within(
    checkpoints: &Arc<Checkpoints>,
    start: u64,
    last: u64,
    limit: Duration,
) -> Result<Parts, Code> {
    let sending = send(Arc::clone(checkpoints), Sequence::new(start), Sequence::new(last), limit).await;
    sending.map(|parts| Box::pin(parts) as Parts).map_err(|status| status.code())
}

/// Once whoever had the turn is seen to be gone.
async fn next_turn(checkpoints: &Arc<Checkpoints>) -> Parts {
    trireme_testkit::wait_for("the turn", Duration::from_secs(10), || async {
        sent(checkpoints, 0, 40).await.map_err(|code| code.to_string())
    })
    .await
}

#[tokio::test]
async fn who_takes_no_part_of_it_loses_the_turn_and_is_told_so() {
    let place = tempfile::tempdir().unwrap();
    let checkpoints = checkpoints(place.path());
    checkpoints.write(state(80)).unwrap();
    let stalled = sent_within(&checkpoints, 0, 80, Duration::from_millis(50)).await.unwrap();
    assert_eq!(sent(&checkpoints, 0, 80).await.err(), Some(Code::ResourceExhausted));
    trireme_testkit::wait_for("the turn", Duration::from_secs(10), || async {
        sent(&checkpoints, 0, 80).await.map(drop).map_err(|code| code.to_string())
    })
    .await;
    let parts: Vec<Sent> = stalled.collect().await;
    let Some(Err(status)) = parts.last() else { panic!("it ends with an error") };
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn what_is_of_no_use_is_refused_unread_and_one_is_sent_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let checkpoints = checkpoints(place.path());
    checkpoints.write(state(40)).unwrap();
    assert_eq!(sent(&checkpoints, 41, 100).await.err(), Some(Code::NotFound));
    assert_eq!(sent(&checkpoints, 0, 39).await.err(), Some(Code::FailedPrecondition));
    let first = sent(&checkpoints, 0, 40).await.unwrap();
    assert_eq!(sent(&checkpoints, 0, 40).await.err(), Some(Code::ResourceExhausted));
    drop(first);
    let parts = next_turn(&checkpoints).await;
    let parts: Vec<Part> = parts.map(|part| part.unwrap().part.unwrap()).collect().await;
    assert!(matches!(&parts[0], Part::Start(start) if start.length > CHUNK as u64));
    let sum = parts.iter().fold(0, |sum, part| match part {
        Part::Chunk(bytes) => crc32c::crc32c_append(sum, bytes),
        _ => sum,
    });
    assert!(parts.len() > 3);
    assert!(matches!(parts.last(), Some(Part::End(end)) if end.crc32c == sum));
    assert!(sent(&checkpoints, 0, 40).await.is_ok(), "it is the next one's turn");
}

#[tokio::test]
async fn a_damaged_one_is_found_while_it_is_sent_and_not_offered_again() {
    let place = tempfile::tempdir().unwrap();
    let checkpoints = checkpoints(place.path());
    checkpoints.write(state(40)).unwrap();
    let path = std::fs::read_dir(place.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let parts: Vec<Sent> = sent(&checkpoints, 0, 40).await.unwrap().collect().await;
    let Some(Err(status)) = parts.last() else { panic!("it ends with an error") };
    assert_eq!(status.code(), Code::DataLoss, "{status}");
    assert_eq!(sent(&checkpoints, 0, 40).await.err(), Some(Code::NotFound));
}
