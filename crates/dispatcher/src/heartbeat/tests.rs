use trireme_state::object::{ClusterKey, InstanceRegistration, InstanceResources};
use trireme_state::store::{LocalStore, Store};
use trireme_state::{Actor, Command, Outcome, Proposal};
use trireme_types::{ClusterName, CpuUnits, Mebibytes, RequestId, Scope, Timestamp};

use super::*;

fn instance(n: u128) -> ContainerInstanceId {
    ContainerInstanceId::from_bits(n)
}

fn epoch(n: u64) -> SessionEpoch {
    SessionEpoch::new(n)
}

#[tokio::test(start_paused = true)]
async fn ages_follow_the_monotonic_clock() {
    let table = HeartbeatTable::new();
    table.record(instance(1), epoch(3));
    tokio::time::advance(Duration::from_secs(2)).await;
    table.record_relayed([RelayedHeartbeat {
        instance: instance(2),
        epoch: epoch(1),
        age: Duration::from_millis(700),
    }]);
    let snapshot = table.snapshot();
    assert_eq!(snapshot[&instance(1)], Heard { epoch: epoch(3), age: Duration::from_secs(2) });
    assert_eq!(snapshot[&instance(2)], Heard { epoch: epoch(1), age: Duration::from_millis(700) });
}

#[tokio::test(start_paused = true)]
async fn an_older_heartbeat_or_epoch_changes_nothing() {
    let table = HeartbeatTable::new();
    table.record(instance(1), epoch(3));
    let late = |epoch, age| RelayedHeartbeat { instance: instance(1), epoch, age };
    table.record_relayed([late(epoch(2), Duration::ZERO), late(epoch(3), Duration::from_secs(1))]);
    assert_eq!(table.snapshot()[&instance(1)], Heard { epoch: epoch(3), age: Duration::ZERO });
    assert_eq!(table.drain_for_relay().len(), 1, "it is still to be relayed");
}

#[tokio::test(start_paused = true)]
async fn only_what_was_heard_here_is_relayed_and_only_once() {
    let table = HeartbeatTable::new();
    table.record(instance(1), epoch(1));
    table.record_relayed([RelayedHeartbeat { instance: instance(2), epoch: epoch(1), age: Duration::ZERO }]);
    let drained = table.drain_for_relay();
    assert_eq!(drained.iter().map(|beat| beat.instance).collect::<Vec<_>>(), [instance(1)]);
    assert!(table.drain_for_relay().is_empty());
}

struct Flaky(Mutex<Vec<Result<(), String>>>, tokio::sync::mpsc::Sender<usize>);

impl HeartbeatTransport for Flaky {
    fn send(&self, heartbeats: Vec<RelayedHeartbeat>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let _ = self.1.send(heartbeats.len()).await;
            self.0.lock().unwrap().pop().unwrap_or(Ok(()))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_relay_is_sent_again() {
    let table = Arc::new(HeartbeatTable::new());
    table.record(instance(1), epoch(1));
    let (sender, mut sent) = tokio::sync::mpsc::channel(8);
    let transport = Flaky(Mutex::new(vec![Err("no leader".to_owned())]), sender);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(relay(table.clone(), transport, shutdown.clone()));
    assert_eq!(sent.recv().await, Some(1));
    assert_eq!(sent.recv().await, Some(1), "the same heartbeat again");
    assert_eq!(sent.recv().await, Some(0), "and not once more");
    shutdown.cancel();
    task.await.unwrap();
}

/// Relays that are never answered while `cut` is set.
struct Cut(Arc<std::sync::atomic::AtomicBool>);

impl HeartbeatTransport for Cut {
    fn send(&self, _heartbeats: Vec<RelayedHeartbeat>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if self.0.load(std::sync::atomic::Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_out_of_reach_is_given_up_in_time_and_one_that_answers_again_is_not() {
    const PATIENCE: Duration = Duration::from_secs(3);
    let (table, shutdown) = (Arc::new(HeartbeatTable::new()), CancellationToken::new());
    let cut = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let task = tokio::spawn(relay(table.clone(), Cut(cut.clone()), shutdown.clone()));
    let given_up = tokio::spawn({
        let table = table.clone();
        async move {
            table.relay_fails_for(PATIENCE).await;
            tokio::time::Instant::now()
        }
    });
    let set = |is: bool| cut.store(is, std::sync::atomic::Ordering::Relaxed);
    set(true);
    tokio::time::advance(Duration::from_secs(2)).await;
    set(false);
    // Long enough for one that did not begin anew.
    let quiet = tokio::time::timeout(PATIENCE * 2, std::future::pending::<()>()).await;
    assert!(quiet.is_err() && !given_up.is_finished(), "it answers again");
    set(true);
    let since = tokio::time::Instant::now();
    let took = given_up.await.unwrap() - since;
    // A relay that began up to an interval later is the first that fails.
    assert!(took >= PATIENCE && took <= PATIENCE + RELAY_INTERVAL, "{took:?}");
    shutdown.cancel();
    task.await.unwrap();
}

/// An instance in this zone, with a session.
fn register(store: &LocalStore, zone: &str) -> (ContainerInstanceId, SessionEpoch) {
    let registration = InstanceRegistration {
        cluster: ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() },
        name: zone.to_owned(),
        zone: Zone::new(zone).unwrap(),
        resources: InstanceResources {
            cpu: CpuUnits::new(1),
            memory: Mebibytes::new(1),
            reserved_ports: Vec::new(),
        },
        attributes: BTreeMap::new(),
        agent_version: String::new(),
        docker_version: String::new(),
    };
    let outcome =
        propose(store, Command::OpenSession { instance: None, registration: Box::new(registration) });
    match outcome {
        Outcome::Session { instance, epoch } => (instance, epoch),
        other => panic!("{other:?}"),
    }
}

fn propose(store: &LocalStore, command: Command) -> Outcome {
    let request_id = RequestId::from_bits(1);
    let proposal = Proposal { actor: Actor::Operator, request_id, key: None, command };
    store.propose_now(&proposal).unwrap().outcome
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_shows_in_its_zone_for_as_long_as_it_counts_as_connected() {
    let store = LocalStore::new([3; 32], Timestamp::from_millis(1_800_000_000_000));
    let table = HeartbeatTable::new();
    let (silent, silent_epoch) = register(&store, "a");
    let (talking, talking_epoch) = register(&store, "a");
    register(&store, "never-heard");
    table.record(silent, silent_epoch);
    tokio::time::advance(Duration::from_secs(4)).await;
    table.record(talking, talking_epoch);
    let ages = |at_most| {
        let ages = table.oldest_ages(&store.view(), Duration::from_secs(at_most));
        ages.into_iter().map(|(zone, age)| (zone.to_string(), age.as_secs())).collect::<Vec<_>>()
    };
    assert_eq!(ages(9), [("a".to_owned(), 4), ("never-heard".to_owned(), 9)]);
    assert_eq!(ages(1), [("a".to_owned(), 1), ("never-heard".to_owned(), 1)], "a new leader");
    let reason = "silent".to_owned();
    propose(&store, Command::LoseInstance { instance: silent, epoch: silent_epoch, reason });
    assert_eq!(ages(9), [("a".to_owned(), 0), ("never-heard".to_owned(), 9)]);
}
