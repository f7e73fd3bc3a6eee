//! Who is let in. Beyond what the node can do at once, requests wait, shortly and not too many; the rest is told at once to come
//! back later. So a flood costs its callers time, and no heartbeat, report or election anything.
//!
//! Reads and writes have doors of their own: a flood of one does not shut out the other. While it sheds, a door keeps its queue
//! short: a request that waited long has often been given up by its caller.
//!
//! Bodies have a door too, for nobody is known before all of the body is there. It counts the bytes that came, not those that were
//! announced: a connection that promises much and sends nothing holds nothing. Who waits for more gives back what it has when its
//! wait ends, so that bodies that wait for one another cannot do so for ever. A part of the room is for beginnings alone: large bodies
//! that trickle in cannot shut out the small ones, which nearly all calls have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Stopwatch;
use crate::error::{Error, Result};
use crate::metrics;

/// While a door sheds, and for so long after, its queue is short.
const SHEDDING: Duration = Duration::from_secs(1);
/// Bodies are counted in units of so many bytes.
const UNIT: usize = 1024;
/// A body takes at most so many units at a time: one that needs much waits no longer before the others than one that needs little.
const STEP: usize = 16;

/// How much is let in.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Writes at once.
    pub writes: usize,
    /// Reads at once.
    pub reads: usize,
    /// Requests that wait at each door.
    pub waiting: usize,
    /// How long they wait.
    pub wait: Duration,
    /// How long they wait while others are shed.
    pub wait_shedding: Duration,
    /// Bytes of all bodies that are held at once, beyond their beginnings.
    pub body_bytes: usize,
    /// Bytes of the beginnings of bodies.
    pub beginning_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            writes: 128,
            reads: 64,
            waiting: 512,
            wait: Duration::from_millis(500),
            wait_shedding: Duration::from_millis(100),
            body_bytes: 24 * 1024 * 1024,
            beginning_bytes: 8 * 1024 * 1024,
        }
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It only looks.
    Read,
    /// It may change something.
    Write,
}

impl Class {
    /// By an operation's name: all of AWS's reads begin so.
    pub(crate) fn of(operation: &str) -> Self {
        let reads = ["Describe", "List", "Get", "Discover", "Filter"];
        if reads.iter().any(|read| operation.starts_with(read)) { Self::Read } else { Self::Write }
    }
}

/// One door: of a class, or of the bodies.
#[derive(Debug)]
struct Door {
    name: &'static str,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// When it last shed one, in milliseconds since the node's start and 1; 0: never.
    shed_at: AtomicU64,
}

impl Door {
    fn new(name: &'static str, permits: usize) -> Self {
        Self {
            name,
            permits: Arc::new(Semaphore::new(permits)),
            waiting: AtomicUsize::new(0),
            shed_at: AtomicU64::new(0),
        }
    }
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    begun: Stopwatch,
    read: Door,
    write: Door,
    bodies: Door,
    beginnings: Arc<Semaphore>,
}

/// The node's doors. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

impl Default for Admission {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// Leave to go on; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Entered(#[expect(dead_code, reason = "held, never read")] OwnedSemaphorePermit);

/// Room for one body; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    admission: Admission,
    beginning: Option<OwnedSemaphorePermit>,
    held: Option<OwnedSemaphorePermit>,
}

/// Counts one that waits, however its wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// Doors with these limits.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared {
            begun: Stopwatch::start(),
            read: Door::new("read", limits.reads),
            write: Door::new("write", limits.writes),
            bodies: Door::new("body", limits.body_bytes / UNIT),
            beginnings: Arc::new(Semaphore::new(limits.beginning_bytes / UNIT)),
            limits,
        }))
    }

    /// Room for a body of which nothing came yet: none.
    pub(crate) fn room(&self) -> Room {
        Room { admission: self.clone(), beginning: None, held: None }
    }

    /// Waits for a turn.
    pub(crate) async fn enter(&self, class: Class) -> Result<Entered> {
        let door = match class {
            Class::Read => &self.0.read,
            Class::Write => &self.0.write,
        };
        self.pass(door, 1).await.map(Entered)
    }

    async fn pass(&self, door: &Door, permits: u32) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&door.permits).try_acquire_many_owned(permits) {
            return Ok(permit);
        }
        if door.waiting.fetch_add(1, Ordering::Relaxed) >= self.0.limits.waiting {
            door.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(self.turn_away(door, "queue"));
        }
        let _counted = Waiting(&door.waiting);
        let turn = Arc::clone(&door.permits).acquire_many_owned(permits);
        match tokio::time::timeout(self.patience(door), turn).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.turn_away(door, "time")),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn patience(&self, door: &Door) -> Duration {
        let shed_at = door.shed_at.load(Ordering::Relaxed);
        let ago = Duration::from_millis(self.now().saturating_sub(shed_at));
        if shed_at != 0 && ago < SHEDDING { self.0.limits.wait_shedding } else { self.0.limits.wait }
    }

    fn turn_away(&self, door: &Door, reason: &'static str) -> Error {
        door.shed_at.store(self.now(), Ordering::Relaxed);
        metrics::record_shed(door.name, reason);
        Error::throttled()
    }
}

impl Room {
    /// Makes it large enough for so many bytes.
    pub(crate) async fn hold(&mut self, bytes: usize) -> Result<()> {
        let wanted = bytes.div_ceil(UNIT);
        self.begin(wanted.min(STEP));
        loop {
            let held = units(&self.beginning) + units(&self.held);
            if held >= wanted {
                return Ok(());
            }
            let step = u32::try_from((wanted - held).min(STEP)).unwrap_or(u32::MAX);
            let more = self.admission.pass(&self.admission.0.bodies, step).await?;
            add(&mut self.held, more);
        }
    }

    /// Takes what the beginning needs from the room that is for beginnings, if it is there; it may come from the rest too.
    fn begin(&mut self, wanted: usize) {
        let missing = u32::try_from(wanted.saturating_sub(units(&self.beginning))).unwrap_or(u32::MAX);
        if missing == 0 || self.held.is_some() {
            return;
        }
        if let Ok(more) = Arc::clone(&self.admission.0.beginnings).try_acquire_many_owned(missing) {
            add(&mut self.beginning, more);
        }
    }
}

fn units(held: &Option<OwnedSemaphorePermit>) -> usize {
    held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
}

fn add(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            writes: 2,
            reads: 1,
            waiting: 1,
            body_bytes: 4 * UNIT,
            beginning_bytes: 0,
            ..Limits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_some_wait_and_the_rest_is_shed() {
        let admission = Admission::new(limits());
        let first = admission.enter(Class::Write).await.unwrap();
        let _second = admission.enter(Class::Write).await.unwrap();
        let third = tokio::spawn({
            let admission = admission.clone();
            async move { admission.enter(Class::Write).await }
        });
        tokio::task::yield_now().await;
        let fourth = admission.enter(Class::Write).await.unwrap_err();
        assert_eq!((fourth.code.name(), fourth.code.status()), ("ThrottlingException", 429));
        admission.enter(Class::Read).await.unwrap();
        drop(first);
        let third = third.await.unwrap().unwrap();
        assert!(admission.enter(Class::Write).await.is_err(), "nobody left within the time");
        drop(third);
        admission.enter(Class::Write).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_door_that_sheds_lets_nobody_wait_long() {
        let admission = Admission::new(limits());
        let _first = (admission.enter(Class::Read).await.unwrap(), ());
        let begun = tokio::time::Instant::now();
        assert!(admission.enter(Class::Read).await.is_err());
        assert_eq!(begun.elapsed(), limits().wait);
        let begun = tokio::time::Instant::now();
        assert!(admission.enter(Class::Read).await.is_err());
        assert_eq!(begun.elapsed(), limits().wait_shedding);
    }

    async fn room(admission: &Admission, units: usize) -> Result<Room> {
        let mut room = admission.room();
        room.hold(units * UNIT).await.map(|()| room)
    }

    #[tokio::test(start_paused = true)]
    async fn the_bodies_of_all_have_a_limit() {
        let admission = Admission::new(limits());
        let large = room(&admission, 3).await.unwrap();
        admission.room().hold(10).await.unwrap();
        let refused = room(&admission, 2).await.unwrap_err();
        assert_eq!((refused.code.name(), refused.code.status()), ("ThrottlingException", 429));
        drop(large);
        room(&admission, 4).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_room_already_takes_no_more() {
        let admission = Admission::new(limits());
        let mut body = room(&admission, 2).await.unwrap();
        body.hold(UNIT + 1).await.unwrap();
        body.hold(2 * UNIT).await.unwrap();
        room(&admission, 2).await.unwrap();
        body.hold(2 * UNIT + 1).await.unwrap();
        assert!(room(&admission, 2).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_wait_for_one_another_do_so_for_a_while_only() {
        let admission = Admission::new(Limits { waiting: 2, ..limits() });
        let (one, other) = (room(&admission, 2).await.unwrap(), room(&admission, 2).await.unwrap());
        let growing = |mut room: Room| async move { room.hold(4 * UNIT).await.map(|()| room) };
        let one = tokio::spawn(growing(one));
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_millis(10)).await;
        let other = tokio::spawn(growing(other));
        assert!(one.await.unwrap().is_err(), "it waited first, and gives up first");
        other.await.unwrap().unwrap();
        room(&admission, 4).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn few_wait_for_room_and_the_rest_is_told_at_once() {
        let admission = Admission::new(limits());
        let all = room(&admission, 4).await.unwrap();
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { room(&admission, 1).await }
        });
        tokio::task::yield_now().await;
        let begun = tokio::time::Instant::now();
        assert!(room(&admission, 1).await.is_err());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(all);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_lets_small_ones_by() {
        let admission = Admission::new(Limits { waiting: 2, body_bytes: 2 * STEP * UNIT, ..limits() });
        let held = room(&admission, STEP).await.unwrap();
        let large = tokio::spawn({
            let admission = admission.clone();
            async move { room(&admission, 2 * STEP).await }
        });
        tokio::task::yield_now().await;
        let small = tokio::spawn({
            let admission = admission.clone();
            async move { room(&admission, 1).await }
        });
        tokio::task::yield_now().await;
        drop(held);
        large.await.unwrap().unwrap();
        small.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_that_trickle_in_leave_room_for_beginnings() {
        let limits = Limits { body_bytes: 4 * STEP * UNIT, beginning_bytes: 4 * STEP * UNIT, ..limits() };
        let admission = Admission::new(limits);
        let large = [room(&admission, 3 * STEP).await.unwrap(), room(&admission, 3 * STEP).await.unwrap()];
        assert!(room(&admission, 2 * STEP).await.is_err(), "there is none for a third");
        let mut small = Vec::new();
        for _ in 0..2 * STEP {
            small.push(room(&admission, 1).await.unwrap());
        }
        assert!(room(&admission, 1).await.is_err(), "that has an end too");
        drop(large);
        room(&admission, 5 * STEP).await.unwrap();
    }

    #[test]
    fn reads_are_known_by_their_names() {
        let reads = ["DescribeTasks", "ListServices", "GetTaskProtection", "DiscoverPollEndpoint"];
        assert!(reads.iter().all(|name| Class::of(name) == Class::Read));
        assert!(["RunTask", "CreateCluster", "None"].iter().all(|name| Class::of(name) == Class::Write));
    }
}
