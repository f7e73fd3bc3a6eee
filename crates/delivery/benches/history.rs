//! What it costs to follow the history for targets of rules: an event that changes a task, applied, and what it comes to on the event bus, beside applying
//! it alone. `cargo bench -p trireme-delivery`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program that prints figures"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use trireme_ecs_api::eventbridge::{Pattern, emitted};
use trireme_state::command::Placement;
use trireme_state::object::TaskStatus;
use trireme_state::store::{LocalStore, Record, Store};
use trireme_state::{Actor, Command, Outcome, Proposal, State, apply_event};
use trireme_types::{RequestId, Timestamp};

#[path = "../../state/tests/support/mod.rs"]
mod objects;

const INSTANCES: usize = 5_000;
const TASKS_EACH: usize = 4;
const ROUNDS: usize = 5;

fn ask(store: &LocalStore, command: Command) -> Outcome {
    let request_id = RequestId::from_bits(rand::random());
    let proposal = Proposal { actor: Actor::Operator, request_id, key: None, command };
    store.propose_now(&proposal).unwrap().outcome
}

/// A cluster of 20,000 tasks, the state before their first change, and the events of those changes.
fn history() -> (State, Vec<Record>) {
    let store = LocalStore::new([7; 32], Timestamp::from_millis(1_000_000));
    let cluster = objects::cluster("default");
    ask(&store, Command::CreateCluster { cluster, tags: Default::default() });
    ask(&store, objects::register("web", None));
    let mut tasks = Vec::new();
    for number in 0..INSTANCES {
        let registration = Box::new(objects::registration(&format!("m{number}"), "us-east-1a"));
        let Outcome::Session { instance, epoch } =
            ask(&store, Command::OpenSession { instance: None, registration })
        else {
            panic!("no session")
        };
        let places = vec![Placement { instance, epoch }; TASKS_EACH];
        let Outcome::Tasks(ids) = ask(&store, objects::run_tasks(objects::definition("web", 1), places))
        else {
            panic!("no tasks")
        };
        tasks.extend(ids.into_iter().map(|id| (instance, epoch, id)));
    }
    let before = State::clone(&store.view());
    let from = before.position().sequence.next();
    for (instance, epoch, id) in tasks {
        let reports = vec![objects::report(id, TaskStatus::Running)];
        ask(&store, Command::ReportTasks { instance, epoch, reports });
    }
    let records = futures_util::FutureExt::now_or_never(store.history(from, usize::MAX)).unwrap().unwrap();
    (before, records)
}

/// The shortest of some rounds, for each event.
fn each(records: &[Record], mut run: impl FnMut() -> usize) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        assert!(run() > 0);
        started.elapsed()
    });
    rounds.min().unwrap() / u32::try_from(records.len()).unwrap()
}

fn main() {
    let (before, records) = history();
    let pattern = Pattern::parse(
        r#"{"source":["aws.ecs"],"detail":{"lastStatus":["STOPPED"],"group":[{"prefix":"service:"}]}}"#,
    );
    let pattern = pattern.unwrap();
    let applied = each(&records, || {
        let mut state = before.clone();
        records.iter().for_each(|record| apply_event(&mut state, record.at, &record.event));
        state.tasks().count()
    });
    let mut all: Vec<Arc<serde_json::Value>> = Vec::new();
    let followed = each(&records, || {
        let mut state = before.clone();
        all.clear();
        for record in &records {
            let mut after = state.clone();
            apply_event(&mut after, record.at, &record.event);
            all.extend(emitted(&state, &after, &after, record).into_iter().map(|one| one.event));
            state = after;
        }
        all.len()
    });
    let matched = each(&records, || all.iter().filter(|event| !pattern.matches(event)).count());
    println!("{} events of {} tasks, the best of {ROUNDS} rounds", records.len(), INSTANCES * TASKS_EACH);
    println!("applied alone            {:>8.2} us an event", micros(applied));
    println!(
        "and what it comes to     {:>8.2} us an event, {} events of the bus",
        micros(followed),
        all.len()
    );
    println!("a pattern                {:>8.2} us an event", micros(matched));
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
