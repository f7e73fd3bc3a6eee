//! Steps of pools: machines that join them, tasks that are launched on them or wait for one of their machines, and their sizes.

use trireme_state::command::CapacityCommand;
use trireme_types::capability::POOL;

use super::*;

/// What needs the eighth feature level, and is refused below it.
pub fn capacity_step() -> impl Strategy<Value = Step> {
    let at = || 0usize..6;
    let instances = |least| proptest::collection::vec(at(), least..4);
    prop_oneof![
        2 => (0u8..3).prop_map(|zone| Step::OpenManaged { zone }),
        2 => (at(), any::<bool>()).prop_map(|(instance, leave)| Step::Join { instance, leave }),
        2 => (0u8..3).prop_map(|name| Step::Grow { name }),
        6 => (instances(0), proptest::option::of(0u8..3), 0usize..3, proptest::option::of(0u8..3)).prop_map(
            |(instances, provider, waiting, token)| Step::RunOn { instances, provider, waiting, token }
        ),
        5 => (at(), at()).prop_map(|(run, instance)| Step::PlaceWaiting { run, instance }),
        2 => (at(), 0u8..3).prop_map(|(run, how)| Step::EndWaiting { run, how }),
        2 => (0u8..3, 0u32..4, at(), any::<bool>())
            .prop_map(|(name, wanted, instance, idle)| Step::Size { name, wanted, instance, idle }),
        2 => (0u8..3, proptest::option::of(0u8..3)).prop_map(|(name, provider)| Step::ServeOn { name, provider }),
        5 => (0u8..3, instances(1), proptest::option::of(0u8..3))
            .prop_map(|(name, instances, provider)| Step::StartOn { name, instances, provider }),
    ]
}

fn machines(number: u8) -> CapacityProviderKey {
    provider(&format!("machines-{number}"))
}

/// On a provider's pool, or on the managed one.
fn launch(provider: Option<u8>) -> Launch {
    provider.map_or(Launch::Fargate, |number| Launch::Provider(machines(number).name))
}

/// Tasks that are placed on a pool, and others that wait for it.
pub fn run_on(state: &State, instances: &[usize], provider: Option<u8>, waiting: usize) -> Command {
    let placements = placements(state, instances);
    let launches = vec![launch(provider); placements.len()];
    Command::Capacity(Box::new(CapacityCommand::RunTasks {
        run: Box::new(run_tasks(definition(&family(0), 1), placements)),
        launches,
        waiting: vec![launch(provider); waiting],
        allows_commands: waiting == 1,
    }))
}

fn waiting(state: &State, number: usize) -> Option<TaskId> {
    let count = state.waiting_runs().count();
    state.waiting_runs().nth(number.checked_rem(count)?).map(|run| run.id)
}

pub fn capacity_command(state: &State, step: &Step) -> Option<Command> {
    let boxed = |command| Command::Capacity(Box::new(command));
    Some(match step {
        Step::OpenManaged { zone } => {
            let mut registration =
                Box::new(registration("managed", &format!("us-east-1{}", char::from(b'a' + zone))));
            registration.cluster = ClusterKey::managed_pool();
            Command::OpenSession { instance: None, registration }
        }
        Step::Join { instance, leave } => {
            let id = placement(state, *instance)?.instance;
            let mut registration = Box::new(state.instance(id)?.registration.clone());
            registration.attributes.remove(POOL);
            registration.attributes.extend((!leave).then(|| (POOL.to_owned(), "group-0".to_owned())));
            Command::OpenSession { instance: Some(id), registration }
        }
        Step::StartOn { .. } | Step::ServeOn { .. } => return service_command(state, step),
        Step::Grow { name } => Command::UpdateCapacityProvider {
            key: machines(*name),
            change: AutoScalingGroupChange { scaling: Some(true), ..Default::default() },
        },
        Step::RunOn { instances, provider, waiting, .. } => run_on(state, instances, *provider, *waiting),
        Step::PlaceWaiting { run, instance } => boxed(CapacityCommand::PlaceWaitingRun {
            task: waiting(state, *run)?,
            placement: placement(state, *instance)?,
        }),
        Step::EndWaiting { run, how } => {
            let task = waiting(state, *run)?;
            match how {
                0 => Command::StopTask { cluster: cluster("default"), task, reason: None },
                1 => boxed(CapacityCommand::GiveUpWaitingRuns { tasks: vec![task], reason: "r".to_owned() }),
                _ => boxed(CapacityCommand::ForgetWaitingRuns { tasks: vec![task] }),
            }
        }
        Step::Size { name, wanted, instance, idle } => boxed(CapacityCommand::SizePool {
            key: machines(*name),
            seen: state.pool_size(&machines(*name)).map_or(0, |size| size.request),
            wanted: *wanted,
            leaving: placement(state, *instance).map(|found| found.instance).into_iter().collect(),
            idle: *idle,
            reason: "r".to_owned(),
        }),
        _ => return None,
    })
}

/// Of services that are launched so.
fn service_command(state: &State, step: &Step) -> Option<Command> {
    Some(match step {
        Step::ServeOn { name, provider } => {
            let strategy = provider.map(|number| {
                kept_strategy(&[StrategyItem { provider: machines(number).name, weight: 1, base: 0 }])
            });
            let fargate = strategy.is_none().then(|| "\"FARGATE\"".to_owned());
            let described =
                [(CAPACITY_STRATEGY.to_owned(), strategy), (LAUNCH_TYPE.to_owned(), fargate)].into();
            let change = ServiceChange { described, ..ServiceChange::default() };
            Command::UpdateService { key: service_name(*name), change }
        }
        Step::StartOn { name, instances, provider } => {
            let found = state.service(&service_name(*name))?;
            Command::Capacity(Box::new(CapacityCommand::StartServiceTasks {
                service: service_name(*name),
                version: found.version,
                deployment: found.deployments.first()?.id,
                placements: placements(state, instances),
                launch: launch(*provider),
            }))
        }
        _ => return None,
    })
}

/// What happens to pools, and little else: so that there is much of it.
fn busy_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => capacity_step(),
        4 => schedule_step(),
        1 => (0u8..3).prop_map(|zone| Step::Open { zone }),
        1 => (0usize..6).prop_map(|instance| Step::Lose { instance, stale: false }),
        1 => (0u8..3).prop_map(|name| Step::Provider { name, step: None }),
        1 => (any::<bool>(), proptest::option::of(0u8..3))
            .prop_map(|(insights, provider)| Step::Configure { insights, provider }),
        2 => (0usize..20).prop_map(|task| Step::Stop { task }),
        1 => (0usize..20).prop_map(|task| Step::Reap { task }),
        3 => (0usize..20, prop_oneof![Just(7), 0usize..8])
            .prop_map(|(task, status)| Step::Report { task, status, exit: None }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// [`play_on`] looks after each step; here the index, which is made anew from a snapshot, is the same with what waits.
    #[test]
    fn what_waits_survives_a_snapshot(steps in proptest::collection::vec(busy_step(), 20..80)) {
        let mut node = Node::at_latest_level();
        node.propose(register(&family(0), None)).unwrap();
        node.open("agent", "us-east-1a");
        node.propose(create_provider("machines-0")).unwrap();
        node.propose(create_service("service-0", definition(&family(0), 1), 2)).unwrap();
        let node = play_on(node, &steps);
        let restored = codec::decode_snapshot(&codec::encode_snapshot(&node.state)).unwrap();
        prop_assert_eq!(&restored, &node.state);
    }
}
