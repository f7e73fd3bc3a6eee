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

/// What happens to machines with GPUs and to their tasks, and little else: so that there are many of both.
fn busy_step() -> impl Strategy<Value = Step> {
    let at = || 0usize..3;
    prop_oneof![
        12 => gpu_step(),
        1 => (0u8..3).prop_map(|zone| Step::Open { zone }),
        1 => (at(), 0u8..3).prop_map(|(instance, zone)| Step::Reopen { instance, zone }),
        1 => at().prop_map(|instance| Step::Lose { instance, stale: false }),
        1 => at().prop_map(|instance| Step::DeregisterInstance { instance, force: true }),
        2 => (0usize..20).prop_map(|task| Step::Stop { task }),
        1 => (0usize..20).prop_map(|task| Step::Reap { task }),
        // To STOPPED, or to anything before.
        4 => (0usize..20, prop_oneof![Just(7), 0usize..8])
            .prop_map(|(task, status)| Step::Report { task, status, exit: None }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// [`play_on`] looks after each step.
    #[test]
    fn a_gpu_is_never_given_twice(steps in proptest::collection::vec(busy_step(), 20..80)) {
        let mut node = Node::at_latest_level();
        let at = node.open("agent", "us-east-1a");
        let fit = Step::Fit { instance: 0, count: 5 };
        let run = Step::RunWithGpus { instances: vec![0], count: 1 };
        // It registers, and runs.
        let node = play_on(node, &[fit, run.clone(), run]);
        prop_assert_eq!(node.state.index().instance_load(at.instance).gpus.len(), 1);
        play_on(node, &steps);
    }
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
            register_with_gpus(&format!("gpu-{count}"), &[*count, *count - 1])
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
