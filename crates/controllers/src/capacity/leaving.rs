//! Machines that are to leave a pool: they are drained, whatever the provider's managedDraining says (nothing but daemons runs there, and
//! nothing new may begin on a machine whose end is near), and once their agents are gone they are forgotten, as ECS does with instances that
//! were terminated. Node health would not judge the last one of all, for nobody is there to bear witness; here nothing is lost with it.

use std::time::Duration;

use trireme_state::object::{CapacityProvider, ContainerInstance, InstanceStatus};
use trireme_state::{Command, State};
use trireme_types::Timestamp;

use crate::driver::Plan;
use crate::node_health::heard;
use crate::observed::Observed;

/// A machine that is to go and is not heard for so long is gone.
const SILENT: Duration = Duration::from_secs(10);

pub(super) fn plan(
    view: &State,
    provider: &CapacityProvider,
    observed: &Observed,
    now: Timestamp,
    plan: &mut Plan,
) {
    let Some(size) = view.pool_size(&provider.key) else { return };
    for instance in size.leaving.iter().filter_map(|id| view.instance(*id)) {
        let (id, cluster) = (instance.id, instance.registration.cluster.clone());
        let empty = view.index().instance_load(id).tasks.is_empty();
        let drained = instance.status == InstanceStatus::Draining;
        if empty && (!view.is_present(instance) || (drained && is_silent(instance, observed, now, plan))) {
            plan.report.say(format!("{} has left its pool", instance.registration.name));
            plan.commands.push(Command::DeregisterInstance { cluster, instance: id, force: false });
        } else if !drained && view.is_present(instance) {
            let status = InstanceStatus::Draining;
            plan.commands.push(Command::SetInstanceStatus { cluster, instance: id, status });
        }
    }
}

/// Whether its agent was not heard though it could have been.
fn is_silent(instance: &ContainerInstance, observed: &Observed, now: Timestamp, plan: &mut Plan) -> bool {
    let Some(attentive) = observed.attentive_for() else { return false };
    let heard = heard(instance, observed).map_or(Duration::MAX, |heard| heard.age);
    let silent = heard.min(attentive).min(now.since(instance.session_opened_at));
    if silent < SILENT {
        plan.wake(now.plus(SILENT.saturating_sub(silent)));
    }
    silent >= SILENT
}
