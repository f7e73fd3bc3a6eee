//! Steps of what is configured and kept: clusters, providers, attributes, settings, log groups, instances without a session.

use super::*;

/// What needs the second feature level, and is refused below it.
pub fn configuration_step() -> impl Strategy<Value = Step> {
    let name = || 0u8..3;
    prop_oneof![
        (any::<bool>(), proptest::option::of(name()))
            .prop_map(|(insights, provider)| Step::Configure { insights, provider }),
        (name(), proptest::option::of(1u32..4)).prop_map(|(name, step)| Step::Provider { name, step }),
        name().prop_map(|name| Step::DropProvider { name }),
        (0usize..6, 0u8..12, any::<bool>()).prop_map(|(instance, name, delete)| Step::Attribute {
            instance,
            name,
            delete
        }),
        (0usize..20, proptest::option::of(1u32..5))
            .prop_map(|(task, minutes)| Step::Protect { task, minutes }),
        (proptest::option::of(name()), proptest::option::of(name()))
            .prop_map(|(principal, value)| Step::Setting { principal, value }),
        (name(), proptest::option::of(1u32..4), any::<bool>())
            .prop_map(|(name, days, delete)| Step::LogGroup { name, days, delete }),
        (name(), 1u32..4).prop_map(|(family, revision)| Step::DeleteDefinition { family, revision }),
        (name(), 1u32..4).prop_map(|(family, revision)| Step::Forget { family, revision }),
        (0u8..3, proptest::option::of(0usize..6))
            .prop_map(|(zone, again)| Step::RegisterInstance { zone, again }),
        (name(), 0usize..3).prop_map(|(name, back)| Step::RollBack { name, back }),
        (name(), proptest::option::of(name())).prop_map(|(name, value)| Step::Describe { name, value }),
        name().prop_map(|name| Step::Complete { name }),
    ]
}

pub fn configuration_command(state: &State, step: &Step) -> Option<Command> {
    let machines = |number: u8| format!("machines-{number}");
    Some(match step {
        Step::Configure { insights, provider: number } => {
            let providers: Vec<CapacityProviderName> =
                number.map(|number| provider(&machines(number)).name).into_iter().collect();
            let item =
                |name: &CapacityProviderName| StrategyItem { provider: name.clone(), weight: 1, base: 0 };
            let strategy = providers.iter().map(item).collect();
            let insights = if *insights { ContainerInsights::Enabled } else { ContainerInsights::Disabled };
            let change = ClusterChange {
                container_insights: Some(insights),
                capacity: Some((providers, strategy)),
                ..ClusterChange::default()
            };
            Command::UpdateCluster { cluster: cluster("default"), change: Box::new(change) }
        }
        Step::Provider { name, step: None } => create_provider(&machines(*name)),
        Step::Provider { name, step: minimum_step } => Command::UpdateCapacityProvider {
            key: provider(&machines(*name)),
            change: AutoScalingGroupChange { minimum_step: *minimum_step, ..Default::default() },
        },
        Step::DropProvider { name } => Command::DeleteCapacityProvider { key: provider(&machines(*name)) },
        Step::Attribute { instance, name, delete } => {
            let attribute = InstanceAttribute {
                instance: placement(state, *instance)?.instance,
                name: format!("attribute-{name}"),
                value: (!delete).then(|| "v".to_owned()),
            };
            let (cluster, attributes) = (cluster("default"), vec![attribute]);
            match delete {
                true => Command::DeleteAttributes { cluster, attributes },
                false => Command::PutAttributes { cluster, attributes },
            }
        }
        Step::Protect { task: number, minutes } => Command::ProtectTask {
            cluster: cluster("default"),
            task: task(state, *number)?,
            minutes: *minutes,
        },
        Step::Setting { principal, value } => Command::ChangeAccountSetting {
            key: SettingsKey {
                scope: Scope::development(),
                principal: principal.map(|number| format!("arn:aws:iam::123456789012:user/{number}")),
            },
            name: "containerInsights".to_owned(),
            value: value.map(|number| number.to_string()),
        },
        Step::LogGroup { name, days, delete } => {
            let key = log_group(&family(*name));
            match (state.log_group(&key).is_some(), delete) {
                (false, _) => Command::CreateLogGroup { key, tags: Tags::new() },
                (true, true) => Command::DeleteLogGroup { key },
                (true, false) => Command::ChangeLogGroup { key, change: LogGroupChange::Retention(*days) },
            }
        }
        Step::Forget { family: f, revision } => {
            Command::ForgetTaskDefinitions { keys: vec![definition(&family(*f), *revision)] }
        }
        Step::DeleteDefinition { family: f, revision } => {
            Command::DeleteTaskDefinition { key: definition(&family(*f), *revision) }
        }
        other => return record_command(state, other),
    })
}

/// Instances without a session, and what deployments leave.
fn record_command(state: &State, step: &Step) -> Option<Command> {
    Some(match step {
        Step::Away { instance, seconds } => {
            let Placement { instance, epoch } = placement(state, *instance)?;
            Command::AnnounceAbsence { instance, epoch, millis: seconds * 1_000 }
        }
        Step::Patience { seconds } => Command::SetLostAfter {
            cluster: cluster("default"),
            millis: seconds.map(|seconds| seconds * 1_000),
        },
        Step::RegisterInstance { zone, again } => Command::RegisterInstance {
            instance: again.and_then(|number| placement(state, number)).map(|found| found.instance),
            registration: Box::new(registration("i", &format!("us-east-1{}", char::from(b'a' + zone)))),
            tags: Tags::new(),
        },
        Step::RollBack { name, back } => Command::RollBackDeployment {
            service: service_name(*name),
            deployment: state.deployment_history(&service_name(*name)).deployments.get(*back)?.id,
            reason: "because".to_owned(),
        },
        Step::Describe { name, value } => {
            let value = value.map(|number| number.to_string());
            let described = [("loadBalancers".to_owned(), value)].into();
            let change = ServiceChange { described, ..ServiceChange::default() };
            Command::UpdateService { key: service_name(*name), change }
        }
        Step::Complete { name } => {
            let found = state.service(&service_name(*name))?;
            let rollouts = vec![(found.deployments.first()?.id, RolloutState::Completed)];
            let progress = Box::new(ServiceProgress { rollouts, ..ServiceProgress::default() });
            let version = found.version;
            Command::RecordProgress { service: service_name(*name), version, progress }
        }
        _ => return None,
    })
}
