//! What ECS says of clusters and services by itself: namespaces `AWS/ECS` and, where a cluster asks for it, `ECS/ContainerInsights`. Of what
//! nobody measured nothing is said: no sample is another thing than zero.

use std::collections::BTreeMap;

use trireme_state::State;
use trireme_state::object::{
    ClusterKey, ContainerInsights, InstanceStatus, MetricKey, Service, ServiceKey, ServiceStatus, TaskStatus,
};
use trireme_types::{TaskId, Timestamp};

use crate::sample::{Sample, StatisticSet, Unit};

/// ECS's own namespace.
pub const NAMESPACE: &str = "AWS/ECS";
/// The one of Container Insights.
pub const INSIGHTS: &str = "ECS/ContainerInsights";
/// Processor, of what is reserved, in per cent.
pub const CPU: &str = "CPUUtilization";
/// Memory, of what is reserved, in per cent.
pub const MEMORY: &str = "MemoryUtilization";

const MEBIBYTE: f64 = 1_048_576.0;

/// What a task uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Thousandths of a processor.
    pub cpu_millis: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// What is used of what there is.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    used: f64,
    whole: f64,
    known: bool,
}

impl Share {
    fn add(&mut self, used: f64, whole: f64) {
        if whole > 0.0 {
            self.used += used;
            self.whole += whole;
            self.known = true;
        }
    }

    /// In per cent; it may be more than 100.
    fn percent(self) -> Option<f64> {
        (self.known && self.whole > 0.0).then(|| 100.0 * self.used / self.whole)
    }
}

/// The metric of a service (CloudWatch: dimensions ClusterName and ServiceName).
pub fn of_service(key: &ServiceKey, namespace: &str, name: &str) -> MetricKey {
    let mut metric = of_cluster(&key.cluster, namespace, name);
    metric.dimensions.insert("ServiceName".to_owned(), key.name.to_string());
    metric
}

/// The metric of a cluster (CloudWatch: dimension ClusterName).
pub fn of_cluster(key: &ClusterKey, namespace: &str, name: &str) -> MetricKey {
    MetricKey {
        scope: key.scope.clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        dimensions: BTreeMap::from([("ClusterName".to_owned(), key.name.to_string())]),
    }
}

/// What there is to say now, in the order of the services' names. `used` is what tasks use of which it is known.
pub fn samples(view: &State, used: &BTreeMap<TaskId, Used>, now: Timestamp) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut say = |metric, unit, value| {
        samples.push(Sample { metric, at: now, unit, set: StatisticSet::of(value, 1.0) });
    };
    let mut clusters: BTreeMap<ClusterKey, (Share, Share)> = BTreeMap::new();
    for instance in view.instances().filter(|one| one.status == InstanceStatus::Active && one.connected) {
        let (cpu, memory) = clusters.entry(instance.registration.cluster.clone()).or_default();
        let resources = &instance.registration.resources;
        cpu.whole += f64::from(resources.cpu.get());
        memory.whole += f64::from(resources.memory.get()) * MEBIBYTE;
        for task in view.tasks_of_instance(instance.id) {
            let Some(used) = used.get(&task.id) else { continue };
            cpu.used += units(used.cpu_millis);
            memory.used += used.memory_bytes as f64;
            (cpu.known, memory.known) = (true, true);
        }
    }
    for (key, (cpu, memory)) in &clusters {
        for (name, share) in [(CPU, cpu), (MEMORY, memory)] {
            if let Some(percent) = share.percent() {
                say(of_cluster(key, NAMESPACE, name), Unit::PERCENT, percent);
            }
        }
    }
    for service in view.services().filter(|service| service.status == ServiceStatus::Active) {
        let (cpu, memory) = shares(view, service, used);
        for (name, share) in [(CPU, cpu), (MEMORY, memory)] {
            if let Some(percent) = share.percent() {
                say(of_service(&service.key, NAMESPACE, name), Unit::PERCENT, percent);
            }
        }
        let insights = view.cluster_configuration(&service.key.cluster).container_insights;
        if insights == ContainerInsights::Disabled {
            continue;
        }
        let counts = view.index().service_load(&service.key).counts();
        for (name, value) in [
            ("DesiredTaskCount", service.spec.desired_count),
            ("RunningTaskCount", counts.running),
            ("PendingTaskCount", counts.pending),
        ] {
            say(of_service(&service.key, INSIGHTS, name), Unit::COUNT, f64::from(value));
        }
    }
    samples
}

/// Cpu units.
fn units(millis: u32) -> f64 {
    f64::from(millis) * 1_024.0 / 1_000.0
}

/// What a service's running tasks use of what they reserve, by those of which it is known and that reserve any.
fn shares(view: &State, service: &Service, used: &BTreeMap<TaskId, Used>) -> (Share, Share) {
    let (mut cpu, mut memory) = (Share::default(), Share::default());
    let load = view.index().service_load(&service.key);
    let tasks = load.tasks.iter().filter_map(|id| view.task(*id));
    for task in tasks.filter(|task| task.last_status == TaskStatus::Running) {
        let Some(used) = used.get(&task.id) else { continue };
        cpu.add(units(used.cpu_millis), f64::from(task.reservation.cpu.get()));
        memory.add(used.memory_bytes as f64, f64::from(task.reservation.memory.get()) * MEBIBYTE);
    }
    (cpu, memory)
}

#[cfg(test)]
mod tests;
