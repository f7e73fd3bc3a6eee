//! Steps of machines with GPUs, and of tasks that ask for some.

use std::collections::BTreeSet;

use trireme_types::capability::GPUS;

use super::*;

/// What needs the seventh feature level, and is refused below it.
pub fn gpu_step() -> impl Strategy<Value = Step> {
    let at = || 0usize..6;
    prop_oneof![
        3 => (at(), 0usize..6).prop_map(|(instance, count)| Step::Fit { instance, count }),
        6 => (proptest::collection::vec(at(), 1..4), 1u32..4)
            .prop_map(|(instances, count)| Step::RunWithGpus { instances, count }),
    ]
}

pub fn gpu_command(state: &State, step: &Step) -> Option<Command> {
    Some(match step {
        Step::Fit { instance, count } => {
            let id = placement(state, *instance)?.instance;
            let mut registration = Box::new(state.instance(id)?.registration.clone());
            let ids: Vec<String> = (0..*count).map(|number| format!("GPU-{number}")).collect();
            registration.attributes.insert(GPUS.to_owned(), ids.join(","));
            Command::OpenSession { instance: Some(id), registration }
        }
        Step::RunWithGpus { count, .. }
            if state.task_definition(&definition(&format!("gpu-{count}"), 1)).is_none() =>
        {
            register_with_gpus(&format!("gpu-{count}"), &[*count, 1])
        }
        Step::RunWithGpus { instances, count } => {
            run_tasks(definition(&format!("gpu-{count}"), 1), placements(state, instances))
        }
        _ => return None,
    })
}

/// Looks at the objects alone: of the tasks that are not STOPPED no two on a machine have the same GPU.
pub fn no_two_live_tasks_share_a_gpu(state: &State) {
    let mut seen = BTreeSet::new();
    for task in state.tasks().filter(|task| task.last_status != TaskStatus::Stopped) {
        for gpu in state.task_gpus(task.id).values().flatten() {
            assert!(seen.insert((task.instance, gpu.clone())), "{gpu} of {} twice", task.instance);
        }
    }
}
