//! Machines that are to leave a pool: they are drained, and once their agents are gone they are forgotten, as ECS does with instances that
//! were terminated.

use trireme_state::object::{CapacityProvider, InstanceStatus};
use trireme_state::{Command, State};

use crate::driver::Plan;

pub(super) fn plan(view: &State, provider: &CapacityProvider, plan: &mut Plan) {
    let Some(size) = view.pool_size(&provider.key) else { return };
    for instance in size.leaving.iter().filter_map(|id| view.instance(*id)) {
        let cluster = instance.registration.cluster.clone();
        let id = instance.id;
        if !view.is_present(instance) {
            if view.tasks_of_instance(id).is_empty() {
                plan.report.say(format!("{} has left its pool", instance.registration.name));
                plan.commands.push(Command::DeregisterInstance { cluster, instance: id, force: false });
            }
        } else if instance.status == InstanceStatus::Active && provider.group.managed_draining {
            let status = InstanceStatus::Draining;
            plan.commands.push(Command::SetInstanceStatus { cluster, instance: id, status });
        }
    }
}
