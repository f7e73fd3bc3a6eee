//! `trireme top`: what is reserved beside what is used, of instances, services and tasks.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tonic::Status;
use trireme_dispatcher::usage::{Current, Point, Rates, UsageTable};
use trireme_rpc::operator::{self, Top, TopRequest, TopResponse, UsagePoint};
use trireme_state::State;
use trireme_state::object::{ClusterKey, ContainerInstance, Service, Task, TaskStatus};
use trireme_types::TaskId;

/// Rows of each kind, unless it is said how many.
const ROWS: usize = 20;
/// The most.
const ROWS_MAX: usize = 1_000;
const MEBIBYTE: f64 = 1_048_576.0;

type Used = BTreeMap<TaskId, Current>;

/// What is asked for, as this node knows it. It looks at all that there is: on a large cluster that takes a while.
pub(crate) fn answer(
    state: &State,
    usage: &UsageTable,
    complete: bool,
    request: &TopRequest,
) -> Result<TopResponse, Status> {
    if !request.task.is_empty() {
        return of_task(state, usage, complete, &request.task);
    }
    let used = usage.current();
    let wanted =
        |cluster: &ClusterKey| request.cluster.is_empty() || cluster.name.as_str() == request.cluster;
    let instances = state.instances().filter(|instance| wanted(&instance.registration.cluster));
    let instances: Vec<Top> = instances.map(|instance| of_instance(state, instance, &used)).collect();
    let services = state.services().filter(|service| wanted(&service.key.cluster));
    let services = services.map(|service| of_service(state, service, &used));
    let services: Vec<Top> = services.filter(|row| row.running > 0).collect();
    let tasks = state.tasks().filter(|task| task.last_status != TaskStatus::Stopped && wanted(&task.cluster));
    let mut tasks: Vec<&Arc<Task>> = tasks.collect();
    let count = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
    let counts = (count(instances.len()), count(services.len()), count(tasks.len()));
    let by_task = |task: &&Arc<Task>| {
        let usage = used.get(&task.id).map(|known| known.usage).unwrap_or_default();
        let by = if request.by_memory { usage.memory_bytes } else { usage.cpu_millis.into() };
        (Reverse(by), task.id)
    };
    tasks.sort_by_key(by_task);
    tasks.truncate(rows(request));
    Ok(TopResponse {
        complete,
        instances: most(instances, request),
        services: most(services, request),
        tasks: tasks.into_iter().map(|task| of(state, task, &used)).collect(),
        instance_count: counts.0,
        service_count: counts.1,
        task_count: counts.2,
        history: Vec::new(),
    })
}

fn of_task(state: &State, usage: &UsageTable, complete: bool, named: &str) -> Result<TopResponse, Status> {
    let id = named.rsplit('/').next().unwrap_or_default().parse::<TaskId>();
    let id = id.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let none = || Status::not_found(format!("there is no task {id}, or it stopped long ago"));
    let task = state.task(id).ok_or_else(none)?;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let point = |point: Point| UsagePoint {
        age_ms: millis(point.age),
        step_ms: millis(point.step),
        cpu_millis: point.cpu_millis,
        memory_bytes: point.memory_bytes,
        rates: point.rates.map(rates),
    };
    let history = usage.history(id).into_iter().map(point).collect();
    let used = usage.current_of(id).map(|known| (id, known)).into_iter().collect();
    let tasks = vec![of(state, task, &used)];
    Ok(TopResponse { complete, tasks, task_count: 1, history, ..TopResponse::default() })
}

fn of_instance(state: &State, instance: &ContainerInstance, used: &Used) -> Top {
    let load = state.index().instance_load(instance.id);
    let registration = &instance.registration;
    Top {
        name: registration.name.clone(),
        cluster: registration.cluster.name.to_string(),
        zone: registration.zone.to_string(),
        cpu_total: registration.resources.cpu.get().into(),
        memory_total: registration.resources.memory.get().into(),
        cpu_reserved: load.cpu.get().into(),
        memory_reserved: load.memory.get().into(),
        ..sum(load.tasks.iter().filter_map(|id| state.task(*id)), used)
    }
}

fn of_service(state: &State, service: &Service, used: &Used) -> Top {
    let tasks = state.tasks_of_service(&service.key);
    let (name, cluster) = (service.key.name.to_string(), service.key.cluster.name.to_string());
    Top { name, cluster, ..sum(tasks.iter(), used) }
}

fn of(state: &State, task: &Arc<Task>, used: &Used) -> Top {
    let (cpu_reserved, memory_reserved) = reserved(task);
    Top {
        name: task.id.to_string(),
        cluster: task.cluster.name.to_string(),
        of: task.service().map_or_else(|| task.group.clone(), |key| key.name.to_string()),
        zone: task.zone.to_string(),
        on: state.instance(task.instance).map(|on| on.registration.name.clone()).unwrap_or_default(),
        cpu_reserved,
        memory_reserved,
        ..sum(std::iter::once(task), used)
    }
}

/// Of some tasks, what those that run reserve and use.
fn sum<'t>(tasks: impl Iterator<Item = &'t Arc<Task>>, used: &Used) -> Top {
    let mut row = Top::default();
    let (mut cpu, mut memory) = (Share::default(), Share::default());
    for task in tasks.filter(|task| task.last_status == TaskStatus::Running) {
        row.running = row.running.saturating_add(1);
        let (units, mebibytes) = reserved(task);
        row.cpu_reserved = row.cpu_reserved.saturating_add(units);
        row.memory_reserved = row.memory_reserved.saturating_add(mebibytes);
        let Some(Current { usage, rates }) = used.get(&task.id) else { continue };
        row.known = row.known.saturating_add(1);
        row.cpu_used_millis = row.cpu_used_millis.saturating_add(usage.cpu_millis.into());
        row.memory_used_bytes = row.memory_used_bytes.saturating_add(usage.memory_bytes);
        cpu.add(f64::from(usage.cpu_millis) / 1_000.0, units as f64 / 1_024.0);
        memory.add(usage.memory_bytes as f64, (mebibytes as f64) * MEBIBYTE);
        if let Some(rates) = rates {
            let all = row.rates.get_or_insert_default();
            all.network_received += f64::from(rates.network_received);
            all.network_sent += f64::from(rates.network_sent);
            all.disk_read += f64::from(rates.disk_read);
            all.disk_written += f64::from(rates.disk_written);
        }
    }
    (row.cpu_percent, row.memory_percent) = (cpu.percent(), memory.percent());
    row
}

/// In cpu units and MiB.
fn reserved(task: &Task) -> (u64, u64) {
    (task.reservation.cpu.get().into(), task.reservation.memory.get().into())
}

/// What is used of what is reserved, by those who reserve any.
#[derive(Default)]
struct Share {
    used: f64,
    reserved: f64,
}

impl Share {
    fn add(&mut self, used: f64, reserved: f64) {
        if reserved > 0.0 {
            self.used += used;
            self.reserved += reserved;
        }
    }

    fn percent(&self) -> Option<f64> {
        (self.reserved > 0.0).then(|| 100.0 * self.used / self.reserved)
    }
}

fn rows(request: &TopRequest) -> usize {
    let wanted = usize::try_from(request.rows).unwrap_or(ROWS_MAX);
    if wanted == 0 { ROWS } else { wanted.min(ROWS_MAX) }
}

/// Those that use most; of those that use as much the first by name.
fn most(mut all: Vec<Top>, request: &TopRequest) -> Vec<Top> {
    let by = |row: &Top| if request.by_memory { row.memory_used_bytes } else { row.cpu_used_millis };
    all.sort_by(|one, other| by(other).cmp(&by(one)).then_with(|| one.name.cmp(&other.name)));
    all.truncate(rows(request));
    all
}

fn rates(rates: Rates) -> operator::Rates {
    operator::Rates {
        network_received: rates.network_received.into(),
        network_sent: rates.network_sent.into(),
        disk_read: rates.disk_read.into(),
        disk_written: rates.disk_written.into(),
    }
}
