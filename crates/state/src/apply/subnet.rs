//! What happens to subnets and to the interfaces of tasks.

use std::sync::Arc;

use trireme_types::{ContainerInstanceId, TaskId, Timestamp};

use crate::State;
use crate::event::NetworkEvent;
use crate::object::{Hold, Interface, TaskStatus};

pub(super) fn happened(state: &mut State, event: &NetworkEvent) {
    match event {
        NetworkEvent::SubnetAdded { subnet } => {
            state.subnets.insert(subnet.id, Arc::new((**subnet).clone()));
        }
        NetworkEvent::SubnetRemoved { subnet } => {
            state.subnets.remove(subnet);
        }
        NetworkEvent::TaskAttached { task, interface } => attach(state, *task, interface),
    }
}

fn attach(state: &mut State, task: TaskId, interface: &Interface) {
    if !state.tasks.contains_key(&task) {
        return;
    }
    forget(state, task);
    if let Some(subnet) = state.subnets.get_mut(&interface.subnet) {
        Arc::make_mut(subnet).last_given = Some(interface.address);
    }
    state.index.addresses.add(task, interface);
    state.interfaces.insert(task, Arc::new(interface.clone()));
}

/// A task that is STOPPED holds its address no longer, unless nobody knows whether its containers are.
pub(super) fn let_go(state: &mut State, task: TaskId, lost: bool) {
    let stopped = state.tasks.get(&task).is_some_and(|task| task.last_status == TaskStatus::Stopped);
    let Some(interface) = state.interfaces.get_mut(&task).filter(|one| stopped && one.hold == Hold::Task)
    else {
        return;
    };
    state.index.addresses.remove(task, interface);
    let interface = Arc::make_mut(interface);
    interface.hold = if lost { Hold::Lost } else { Hold::Nobody };
    state.index.addresses.add(task, interface);
}

/// An instance was deregistered: the addresses of its lost tasks wait a while longer.
pub(super) fn instance_is_gone(state: &mut State, at: Timestamp, instance: ContainerInstanceId) {
    let lost = state.interfaces.iter().filter(|(task, interface)| {
        interface.hold == Hold::Lost && state.tasks.get(*task).is_some_and(|task| task.instance == instance)
    });
    let lost: Vec<TaskId> = lost.map(|(task, _)| *task).collect();
    for task in lost {
        if let Some(interface) = state.interfaces.get_mut(&task) {
            Arc::make_mut(interface).hold = Hold::Deregistered(at);
        }
    }
}

/// Nobody asks for the task any more.
pub(super) fn forget(state: &mut State, task: TaskId) {
    if let Some(gone) = state.interfaces.remove(&task) {
        state.index.addresses.remove(task, &gone);
    }
}
