//! Steps of deployments: their stages, their hooks, their failures.

use super::*;

/// What needs the seventh feature level, and is refused below it.
pub fn deployment_step() -> impl Strategy<Value = Step> {
    let name = || 0u8..3;
    prop_oneof![
        1 => (name(), any::<bool>()).prop_map(|(name, beside)| Step::Ask { name, beside }),
        3 => (name(), proptest::option::of(0usize..10), proptest::option::of(0u8..4), 0u32..5)
            .prop_map(|(name, stage, failed, failures)| Step::Live { name, stage, failed, failures }),
        1 => (name(), 0usize..3, any::<bool>()).prop_map(|(name, back, on)| Step::Answer { name, back, on }),
        1 => (name(), 0usize..3, proptest::collection::vec(0usize..6, 1..4))
            .prop_map(|(name, back, instances)| Step::StartOf { name, back, instances }),
    ]
}

pub fn deployment_command(state: &State, step: &Step) -> Option<Command> {
    Some(match step {
        Step::Ask { name, beside } => {
            let json = |text: &str| Some(text.to_owned());
            let hooks = r#"[{"targetType":"PAUSE","lifecycleStages":["PRE_SCALE_UP","POST_SCALE_UP"],
                "timeoutConfiguration":{"timeoutInMinutes":1}}]"#;
            let described = [
                (DEPLOYMENT_STRATEGY.to_owned(), json("\"BLUE_GREEN\"").filter(|_| *beside)),
                (LIFECYCLE_HOOKS.to_owned(), json(hooks).filter(|_| *beside)),
                (CIRCUIT_BREAKER.to_owned(), json(r#"{"enable":true,"rollback":true}"#)),
            ];
            let change = ServiceChange { described: described.into(), ..ServiceChange::default() };
            Command::UpdateService { key: service_name(*name), change }
        }
        Step::Live { name, stage, failed, failures } => {
            let service = service_name(*name);
            let found = state.service(&service)?;
            let cause = |number: u8| match number {
                0 => FailureCause::Tasks,
                1 => FailureCause::Alarm,
                2 => FailureCause::HookTimedOut(LifecycleStage::ScaleUp),
                _ => FailureCause::HookFailed(LifecycleStage::CleanUp),
            };
            let lifecycle = command::LifecycleProgress {
                deployment: found.deployments.first()?.id,
                failures: Some(TaskFailures { count: *failures, ..TaskFailures::default() }),
                stage: stage.map(|stage| LifecycleStage::ALL[stage]),
                failed: failed.map(cause),
            };
            let (version, progress) = (found.version, ServiceProgress::default());
            Command::RecordDeployment(Box::new(command::RecordDeployment {
                service,
                version,
                progress,
                lifecycle,
            }))
        }
        Step::Answer { name, back, on } => {
            let service = service_name(*name);
            let deployment = state.deployment_history(&service).deployments.get(*back)?.id;
            let hook = state.lifecycles(&service).of(deployment).hooks.first()?.name();
            let action = if *on { HookAction::Continue } else { HookAction::Rollback };
            Command::ContinueDeployment(Box::new(command::ContinueDeployment {
                service,
                deployment,
                hook,
                action,
            }))
        }
        Step::StartOf { name, back, instances } => {
            let service = service_name(*name);
            let found = state.service(&service)?;
            Command::StartServiceTasks {
                version: found.version,
                deployment: found.deployments.get(*back)?.id,
                placements: placements(state, instances),
                service,
            }
        }
        _ => return None,
    })
}
