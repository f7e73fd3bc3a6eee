//! What it costs the leader to know what 100,000 tasks use: three hours of samples, one of each task every five seconds, as another node
//! relays them. Prints the share of a core and the memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

use std::time::{Duration, Instant};

use prost::Message as _;
use trireme_dispatcher::usage::{RelayedUsage, STEP, TaskUsage, UsageTable};
use trireme_rpc::control::RelayUsageRequest;
use trireme_state::object::{
    ClusterKey, DesiredStatus, Reservation, Tags, Task, TaskDefinitionKey, TaskOrigin, TaskOverrides,
    TaskStatus, TaskTimes,
};
use trireme_state::{Event, State};
use trireme_types::{ClusterName, ContainerInstanceId, Family, Scope, TaskId, Timestamp, Zone};

const TASKS: u128 = 100_000;
const STEPS: u64 = 3 * 3_600 / 5;
/// Tasks of one request.
const BATCH: usize = 1_024;

fn state() -> State {
    let scope = Scope::development();
    let mut state = State::new();
    for number in 0..TASKS {
        let task = Task {
            id: TaskId::from_bits(number << 96 | number),
            cluster: ClusterKey { scope: scope.clone(), name: ClusterName::default_cluster() },
            definition: TaskDefinitionKey {
                scope: scope.clone(),
                family: Family::new("web").unwrap(),
                revision: 1,
            },
            origin: TaskOrigin::Standalone,
            instance: ContainerInstanceId::from_bits(number / 20),
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

/// What this process holds now, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1_024.0
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let state = state();
    let ids: Vec<TaskId> = state.tasks().map(|task| task.id).collect();
    let table = UsageTable::default();
    let before = resident();
    let mut rounds = Vec::new();
    for step in 0..STEPS {
        let one = |task: &TaskId| RelayedUsage {
            task: *task,
            age: Duration::ZERO,
            latest: TaskUsage {
                cpu_millis: 250,
                memory_bytes: 64 << 20,
                network_received_bytes: step * 10_000,
                network_sent_bytes: step * 20_000,
                disk_read_bytes: step * 1_000,
                disk_written_bytes: step * 2_000,
            },
            before: Vec::new(),
        };
        let requests: Vec<Vec<u8>> = ids
            .chunks(BATCH)
            .map(|part| {
                let tasks = part.iter().map(|task| one(task).to_wire()).collect();
                RelayUsageRequest { tasks, ..RelayUsageRequest::default() }.encode_to_vec()
            })
            .collect();
        let began = Instant::now();
        for request in &requests {
            let request = RelayUsageRequest::decode(&request[..]).unwrap();
            table.record_relayed(&state, request.tasks.iter().filter_map(RelayedUsage::of_wire));
        }
        rounds.push(began.elapsed());
        tokio::time::advance(STEP).await;
    }
    let after = resident();
    rounds.sort_unstable();
    let percent = |round: Duration| 100.0 * round.as_secs_f64() / STEP.as_secs_f64();
    let (median, worst) = (rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
    println!(
        "{TASKS} tasks, every {} s: a round takes {:.0} ms, {:.1} % of a core (worst {:.1} %; target < 10 %)",
        STEP.as_secs(),
        median.as_secs_f64() * 1_000.0,
        percent(median),
        percent(worst)
    );
    let began = Instant::now();
    let current = table.current().len();
    println!("what {current} tasks use now is read in {:.0} ms", began.elapsed().as_secs_f64() * 1_000.0);
    println!("three hours of them: {:.0} MiB (target < 300 MB, which are 286 MiB)", after - before);
}
