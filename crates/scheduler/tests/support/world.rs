//! A cluster as a real state, made of events.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code)]

use trireme_state::event::PlacementEvent;
use trireme_state::object::*;
use trireme_state::{Event, State, apply_event};
use trireme_types::*;

pub fn cluster() -> ClusterKey {
    ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() }
}

pub fn happen(state: &mut State, event: Event) {
    apply_event(state, Timestamp::from_millis(1_000), &event);
}

/// A state with these machines, as they are.
pub fn state_of<'a>(nodes: impl Iterator<Item = &'a ContainerInstance>) -> State {
    let mut state = State::new();
    happen(&mut state, Event::ClusterCreated { cluster: cluster(), tags: Tags::new() });
    for node in nodes {
        let instance = node.id;
        let registration = Box::new(node.registration.clone());
        happen(&mut state, Event::SessionOpened { instance, epoch: node.epoch, registration });
        if node.status != InstanceStatus::Active {
            happen(&mut state, Event::InstanceStatusChanged { instance, status: node.status });
        }
        if !node.connected {
            happen(&mut state, Event::InstanceLost { instance, epoch: node.epoch });
        }
    }
    state
}

pub fn add_task(state: &mut State, task: Task) {
    happen(state, Event::TaskCreated { task: Box::new(task) });
}

/// Some GPUs that its machine has left are a task's from now on.
pub fn give_gpus(state: &mut State, id: TaskId, count: u32) {
    if count == 0 {
        return;
    }
    let instance = state.task(id).unwrap().instance;
    let held = state.index().instance_load(instance).gpus.clone();
    let all = state.instance(instance).unwrap().registration.gpus();
    // Which ones does not matter to who counts.
    let own: Vec<GpuId> =
        all.into_iter().rev().filter(|gpu| !held.contains(gpu)).take(count as usize).collect();
    assert_eq!(own.len(), count as usize);
    let gpus = TaskGpus::from([(ContainerName::new("main").unwrap(), own)]);
    happen(state, Event::Placement(PlacementEvent::GpusAssigned { tasks: [(id, gpus)].into() }));
}

/// A custom attribute of a machine.
pub fn give(state: &mut State, instance: ContainerInstanceId, name: &str, value: &str) {
    let mut attributes = (*state.custom_attributes(instance)).clone();
    attributes.insert(name.to_owned(), value.to_owned());
    happen(state, Event::InstanceAttributesChanged { instance, attributes });
}
