use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;
use trireme_state::Event;
use trireme_state::object::{
    ClusterKey, DesiredStatus, Reservation, Tags, Task, TaskDefinitionKey, TaskOrigin, TaskOverrides,
    TaskStatus, TaskTimes,
};
use trireme_state::store::BoxFuture;
use trireme_types::{ClusterName, Family, Scope, Timestamp, Zone};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const INSTANCE: ContainerInstanceId = ContainerInstanceId::from_bits(1);

fn id(number: u128) -> TaskId {
    TaskId::from_bits(number)
}

/// A state in which so many tasks run on one instance.
fn with_tasks(count: u128) -> State {
    let scope = Scope::development();
    let mut state = State::new();
    for number in 1..=count {
        let task = Task {
            id: id(number),
            cluster: ClusterKey { scope: scope.clone(), name: ClusterName::default_cluster() },
            definition: TaskDefinitionKey {
                scope: scope.clone(),
                family: Family::new("web").unwrap(),
                revision: 1,
            },
            origin: TaskOrigin::Standalone,
            instance: INSTANCE,
            zone: Zone::new("us-east-1a").unwrap(),
            reservation: Reservation::default(),
            overrides: TaskOverrides::default(),
            group: "family:web".to_owned(),
            started_by: None,
            tags: Tags::new(),
            desired_status: DesiredStatus::Running,
            last_status: TaskStatus::Running,
            times: TaskTimes::default(),
            stop_code: None,
            stopped_reason: None,
            containers: Vec::new(),
            version: 1,
        };
        let created = Event::TaskCreated { task: Box::new(task) };
        trireme_state::apply_event(&mut state, Timestamp::default(), &created);
    }
    state
}

fn said(number: u128, cpu_millis: u32, received: u64) -> wire::TaskUsage {
    wire::TaskUsage {
        task_id: id(number).to_string(),
        cpu_millis,
        memory_bytes: 3 << 20,
        network_received_bytes: received,
        ..wire::TaskUsage::default()
    }
}

/// Lets so much time go by, and who waits for it do what they do then.
async fn pass(time: Duration) {
    tokio::time::advance(time).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_says_of_its_own_tasks_is_what_they_use_now() {
    let (state, table) = (with_tasks(2), UsageTable::default());
    table.record(&state, INSTANCE, &[said(1, 500, 1_000), said(9, 1, 1)], Duration::ZERO);
    table.record(&state, ContainerInstanceId::from_bits(2), &[said(2, 1, 1)], Duration::ZERO);
    assert_eq!(table.current().keys().copied().collect::<Vec<_>>(), [id(1)], "the others are not its own");
    pass(5 * SECOND).await;
    table.record(&state, INSTANCE, &[said(1, 700, 6_000)], Duration::ZERO);
    let now = table.current()[&id(1)];
    assert_eq!(now.usage.cpu_millis, 700);
    assert_eq!(now.rates.map(|rates| rates.network_received), Some(1_000.0));
    pass(30 * SECOND).await;
    assert!(table.current().is_empty(), "nothing was said for long");
    assert_eq!(table.history(id(1)).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn three_hours_are_kept_at_falling_resolution() {
    for steps in [2_880_u32, 2_887, 2_941] {
        let (state, table) = (with_tasks(1), UsageTable::default());
        // The cpu rises by one each five seconds, for four hours.
        for step in 0..steps {
            table.record(&state, INSTANCE, &[said(1, step, u64::from(step) * 500)], Duration::ZERO);
            tokio::time::advance(5 * SECOND).await;
        }
        let points = table.history(id(1));
        let of =
            |seconds: u64| points.iter().filter(|point| point.step == Duration::from_secs(seconds)).count();
        assert!((49..=60).contains(&of(5)) && (10..=20).contains(&of(60)), "{} {}", of(5), of(60));
        assert!((31..=36).contains(&of(300)), "{}", of(300));
        let oldest = points.last().unwrap();
        assert!(oldest.age > Duration::from_secs(10_000), "{oldest:?}");
        // They follow each other without a gap or an overlap, and each is what was used then.
        for pair in points.windows(2) {
            assert_eq!(pair[0].age + pair[0].step, pair[1].age, "{pair:?}");
        }
        for point in &points {
            let middle = (point.age + point.step / 2).as_secs_f64() / 5.0;
            let then = f64::from(steps) - middle;
            assert!((then - point.cpu_millis).abs() <= 1.0, "{then} {point:?}");
            assert!(
                point.rates.is_none_or(|rates| (rates.network_received - 100.0).abs() < 0.01),
                "{point:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_fills_in_what_is_not_known_and_nothing_else() {
    let (state, table) = (with_tasks(1), UsageTable::default());
    for age in [60, 45, 30, 15, 0] {
        table.record(&state, INSTANCE, &[said(1, age, 0)], age * SECOND);
    }
    let known =
        |table: &UsageTable| table.history(id(1)).iter().map(|point| point.cpu_millis).collect::<Vec<_>>();
    assert_eq!(known(&table), [0.0, 15.0, 30.0, 45.0, 60.0]);
    // The agent's next session says it again.
    for age in [60, 45, 30, 15] {
        table.record(&state, INSTANCE, &[said(1, 999, 0)], age * SECOND);
    }
    assert_eq!(known(&table), [0.0, 15.0, 30.0, 45.0, 60.0]);
    table.record(&state, INSTANCE, &[said(1, 999, 0)], AGE_MAX + SECOND);
    assert_eq!(known(&table).len(), 5, "what is too old is not heard");
}

#[tokio::test(start_paused = true)]
async fn who_speaks_at_the_border_of_two_steps_is_heard_each_time() {
    let (state, table) = (with_tasks(1), UsageTable::default());
    let pauses = [4_999, 5_001, 4_997, 5_001, 4_997, 5_001, 4_997, 5_001];
    for (number, pause) in (0..).zip(pauses) {
        pass(Duration::from_millis(pause)).await;
        table.record(&state, INSTANCE, &[said(1, number, u64::from(number) * 5_000)], Duration::ZERO);
        // Its next session says it again, a little later on its way.
        pass(Duration::from_millis(1)).await;
        table.record(&state, INSTANCE, &[said(1, number, u64::from(number) * 5_000)], Duration::ZERO);
        let rates = table.current()[&id(1)].rates;
        assert!(rates.is_none_or(|rates| (rates.network_received - 1_000.0).abs() < 5.0), "{rates:?}");
    }
    let known = table.history(id(1)).into_iter().map(|point| point.cpu_millis as usize);
    assert_eq!(known.collect::<Vec<_>>(), (0..pauses.len()).rev().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_gone_are_forgotten() {
    let table = UsageTable::default();
    table.record(&with_tasks(2), INSTANCE, &[said(1, 1, 1), said(2, 1, 1)], Duration::ZERO);
    table.sweep(&with_tasks(1));
    assert_eq!(table.current().len(), 1);
    pass(KEPT + 5 * SECOND).await;
    table.sweep(&with_tasks(1));
    assert!(table.history(id(1)).is_empty());
}

/// Nodes that lead in the term of their number: what is sent to one is in its table, unless another one leads.
#[derive(Clone)]
struct Nodes {
    state: Arc<State>,
    leader: Arc<AtomicU64>,
    tables: [Arc<UsageTable>; 2],
}

impl UsageTransport for Nodes {
    fn leader(&self) -> Option<Leader> {
        let id = self.leader.load(Ordering::SeqCst);
        (id > 0).then_some(Leader { id, term: id })
    }

    fn send(&self, to: Leader, tasks: Vec<RelayedUsage>) -> BoxFuture<'_, Result<(), String>> {
        let known = self.leader() == Some(to);
        let table = usize::try_from(to.id).ok().and_then(|to| self.tables.get(to - 1)).filter(|_| known);
        let on_the_wire = tasks.iter().map(RelayedUsage::to_wire);
        let tasks = on_the_wire.map(|task| RelayedUsage::of_wire(&task).unwrap()).collect::<Vec<_>>();
        let sent = table.map(|table| table.record_relayed(&self.state, tasks));
        Box::pin(async move { sent.ok_or_else(|| "cut off".to_owned()) })
    }
}

#[tokio::test(start_paused = true)]
async fn the_leader_is_told_of_each_sample_once_and_the_next_one_of_the_last_minutes() {
    let state = Arc::new(with_tasks(5_000));
    let nodes = Nodes {
        state: state.clone(),
        leader: Arc::new(AtomicU64::new(1)),
        tables: [(); 2].map(|()| Arc::default()),
    };
    let here = Arc::new(UsageTable::default());
    let stop = CancellationToken::new();
    let view = state.clone();
    let relaying = tokio::spawn(relay(here.clone(), move || view.clone(), nodes.clone(), stop.clone()));
    let all = |cpu: u32| (1..=5_000).map(|number| said(number, cpu, 0)).collect::<Vec<_>>();
    for step in 1..=20_u32 {
        // More than an instance may have are said by several agents; here one by one.
        for part in all(step).chunks(TASKS_PER_INSTANCE) {
            here.record(&state, INSTANCE, part, Duration::ZERO);
        }
        if step == 10 {
            nodes.leader.store(2, Ordering::SeqCst);
        }
        pass(5 * SECOND).await;
    }
    let cpu = |table: &UsageTable| {
        let points = table.history(id(4_321)).into_iter();
        points.map(|point| point.cpu_millis as u32).collect::<Vec<u32>>()
    };
    assert_eq!(cpu(&nodes.tables[0]), (1..=9).rev().collect::<Vec<_>>(), "until another node led");
    assert_eq!(cpu(&nodes.tables[1]), (1..=20).rev().collect::<Vec<_>>(), "what was said before it led too");
    assert_eq!(nodes.tables[1].current().len(), 5_000);
    stop.cancel();
    relaying.await.unwrap();
}

/// The tables of two nodes do not begin a step at the same moment, and what is relayed is under way for a while.
#[tokio::test(start_paused = true)]
async fn steps_that_begin_at_different_moments_keep_each_sample() {
    let state = with_tasks(1);
    for offset in [0, 700, 1_900, 2_500, 4_900] {
        let here = UsageTable::default();
        tokio::time::advance(Duration::from_millis(offset)).await;
        let there = UsageTable::default();
        tokio::time::advance(Duration::from_millis(1_300)).await;
        let leader = Leader { id: 1, term: 1 };
        for step in 1..=30_u32 {
            here.record(&state, INSTANCE, &[said(1, step, u64::from(step) * 5_000)], Duration::ZERO);
            // Now soon after it was said, now late.
            let late = if step % 2 == 0 { 1_900 } else { 200 };
            tokio::time::advance(Duration::from_millis(late)).await;
            let untold = here.untold(leader, None, 10);
            here.told(leader, &untold);
            there.record_relayed(&state, untold.tasks);
            let known = there.current()[&id(1)];
            assert!(
                known.rates.is_none_or(|rates| (rates.network_received - 1_000.0).abs() < 1.0),
                "{known:?}"
            );
            tokio::time::advance(5 * SECOND - Duration::from_millis(late)).await;
        }
        let points = there.history(id(1)).into_iter().map(|point| point.cpu_millis as u32);
        assert_eq!(points.collect::<Vec<_>>(), (1..=30).rev().collect::<Vec<u32>>(), "{offset} ms apart");
    }
}
