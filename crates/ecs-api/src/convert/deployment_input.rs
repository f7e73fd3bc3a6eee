//! What requests say of a service's deployments, checked, with ECS's defaults, over what was said before (ECS API:
//! DeploymentConfiguration). Its percents are elsewhere: every service has those.

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{
    CreateServiceRequest, DeploymentAlarms, DeploymentCircuitBreaker, DeploymentConfiguration,
    DeploymentEarlySuccessCriteria, DeploymentLifecycleHook, DeploymentLifecycleHookAction,
    DeploymentLifecycleHookStage, DeploymentLifecycleHookTargetType,
    DeploymentLifecycleHookTimeoutConfiguration, DeploymentStrategy, LoadBalancer, SchedulingStrategy,
    ServiceConnectConfiguration, ServiceRegistry, ThresholdConfiguration, ThresholdType,
    UpdateServiceRequest,
};
use trireme_state::object::{
    self, BAKE_TIME, CIRCUIT_BREAKER, DEPLOYMENT_ALARMS, DEPLOYMENT_STRATEGY, Described, EARLY_SUCCESS,
    LIFECYCLE_HOOKS,
};

use super::described;
use crate::error::{Error, Result};

/// ECS API: DeploymentConfiguration.bakeTimeInMinutes.
const BAKE_MINUTES: std::ops::RangeInclusive<i32> = 0..=1_440;
/// ECS API: DeploymentLifecycleHookTimeoutConfiguration.timeoutInMinutes.
const TIMEOUT_MINUTES: std::ops::RangeInclusive<i32> = 1..=20_160;
/// The same, when it is not given.
const TIMEOUT_MINUTES_DEFAULT: i32 = 1_440;
/// Alarms of a service's deployments.
const ALARMS: usize = 100;
/// ECS developer guide: hooks of type PAUSE of a service.
const PAUSES: usize = 10;

/// A circuit breaker with ECS's defaults.
fn breaker(given: DeploymentCircuitBreaker) -> DeploymentCircuitBreaker {
    DeploymentCircuitBreaker {
        enable: given.enable.or(Some(false)),
        rollback: given.rollback.or(Some(false)),
        reset_on_healthy_task: given.reset_on_healthy_task.or(Some(true)),
        threshold_configuration: given.threshold_configuration.or(Some(ThresholdConfiguration {
            r#type: Some(ThresholdType::BoundedPercent),
            value: Some(50),
        })),
    }
}

/// What a service is described with, of what is kept of it.
pub(crate) fn describe(kept: &Described) -> DeploymentConfiguration {
    DeploymentConfiguration {
        deployment_circuit_breaker: Some(breaker(described::read(kept, CIRCUIT_BREAKER).unwrap_or_default())),
        alarms: described::read(kept, DEPLOYMENT_ALARMS),
        strategy: described::read(kept, DEPLOYMENT_STRATEGY).or(Some(DeploymentStrategy::Rolling)),
        bake_time_in_minutes: described::read(kept, BAKE_TIME).or(Some(0)),
        lifecycle_hooks: described::read(kept, LIFECYCLE_HOOKS),
        early_success_criteria: described::read(kept, EARLY_SUCCESS),
        ..Default::default()
    }
}

/// A request to create a service, with what it asks of deployments checked and made whole.
pub(crate) fn of_create(
    mut request: CreateServiceRequest,
    is_external: bool,
) -> Result<CreateServiceRequest> {
    let kept = Described::new();
    request.deployment_configuration = over(&kept, request.deployment_configuration);
    let given = request.deployment_configuration.as_ref();
    let usual = if request.scheduling_strategy == Some(SchedulingStrategy::Daemon) { 0 } else { 100 };
    let minimum = given.and_then(|given| given.minimum_healthy_percent).unwrap_or(usual);
    let traffic = Traffic {
        balancers: request.load_balancers.clone(),
        registries: request.service_registries.clone(),
        connect: request.service_connect_configuration.clone(),
    };
    let service = Service {
        minimum: u32::try_from(minimum).unwrap_or_default(),
        has_traffic: traffic.is_some(),
        is_external,
    };
    check(Operation::CreateService, &kept, given, service)?;
    Ok(request)
}

/// The same of a request to update a service.
pub(crate) fn of_update(
    mut request: UpdateServiceRequest,
    known: &object::Service,
    is_external: bool,
) -> Result<UpdateServiceRequest> {
    let kept = &known.spec.described;
    request.deployment_configuration = over(kept, request.deployment_configuration);
    let given = request.deployment_configuration.as_ref();
    let before = known.spec.deployment_configuration.minimum_healthy_percent;
    let minimum = given.and_then(|given| given.minimum_healthy_percent);
    let read_balancers = || described::read(kept, described::LOAD_BALANCERS);
    let read_registries = || described::read(kept, described::SERVICE_REGISTRIES);
    let read_connect = || described::read(kept, described::SERVICE_CONNECT);
    let traffic = Traffic {
        balancers: request.load_balancers.clone().or_else(read_balancers),
        registries: request.service_registries.clone().or_else(read_registries),
        connect: request.service_connect_configuration.clone().or_else(read_connect),
    };
    let service = Service {
        minimum: minimum.and_then(|minimum| u32::try_from(minimum).ok()).unwrap_or(before),
        has_traffic: traffic.is_some(),
        is_external,
    };
    check(Operation::UpdateService, kept, given, service)?;
    Ok(request)
}

/// What sends traffic to a service's tasks.
struct Traffic {
    balancers: Option<Vec<LoadBalancer>>,
    registries: Option<Vec<ServiceRegistry>>,
    connect: Option<ServiceConnectConfiguration>,
}

impl Traffic {
    fn is_some(&self) -> bool {
        self.balancers.as_ref().is_some_and(|list| !list.is_empty())
            || self.registries.as_ref().is_some_and(|list| !list.is_empty())
            || self.connect.as_ref().is_some_and(|connect| connect.enabled == Some(true))
    }
}

/// What a request for a service's deployments comes to: each member that is given, whole. What is not said of the circuit breaker is
/// as it was.
fn over(kept: &Described, given: Option<DeploymentConfiguration>) -> Option<DeploymentConfiguration> {
    let mut given = given?;
    given.deployment_circuit_breaker = given.deployment_circuit_breaker.map(|new| {
        let old: DeploymentCircuitBreaker = described::read(kept, CIRCUIT_BREAKER).unwrap_or_default();
        breaker(DeploymentCircuitBreaker {
            enable: new.enable.or(old.enable),
            rollback: new.rollback.or(old.rollback),
            reset_on_healthy_task: new.reset_on_healthy_task.or(old.reset_on_healthy_task),
            threshold_configuration: new.threshold_configuration.or(old.threshold_configuration),
        })
    });
    given.lifecycle_hooks = given.lifecycle_hooks.map(|hooks| hooks.into_iter().map(with_timeout).collect());
    Some(given)
}

fn with_timeout(hook: DeploymentLifecycleHook) -> DeploymentLifecycleHook {
    let timeout = hook.timeout_configuration.unwrap_or_default();
    DeploymentLifecycleHook {
        timeout_configuration: Some(DeploymentLifecycleHookTimeoutConfiguration {
            timeout_in_minutes: timeout.timeout_in_minutes.or(Some(TIMEOUT_MINUTES_DEFAULT)),
            action: timeout.action.or(Some(DeploymentLifecycleHookAction::Rollback)),
        }),
        ..hook
    }
}

/// What else of a service has a say in how it may be deployed.
#[derive(Debug, Clone, Copy, Default)]
struct Service {
    /// Its minimumHealthyPercent.
    minimum: u32,
    /// Traffic is sent to its tasks: by a load balancer, a registry or Service Connect.
    has_traffic: bool,
    /// Its deployments are task sets.
    is_external: bool,
}

/// Checks what is given, over what is kept.
fn check(
    operation: Operation,
    kept: &Described,
    given: Option<&DeploymentConfiguration>,
    service: Service,
) -> Result<()> {
    let strategy = given.and_then(|given| given.strategy.clone());
    let strategy = strategy.or_else(|| described::read(kept, DEPLOYMENT_STRATEGY));
    let strategy = strategy.unwrap_or(DeploymentStrategy::Rolling);
    let beside = strategy == DeploymentStrategy::BlueGreen;
    if beside && service.has_traffic {
        let what = "deploymentConfiguration.strategy BLUE_GREEN of a service with traffic";
        return Err(Error::unsupported(operation, what));
    }
    let Some(given) = given else { return Ok(()) };
    if service.is_external && (beside || asks(given)) {
        return Err(Error::invalid(
            "deploymentConfiguration can have percents only for services with an EXTERNAL deployment controller.",
        ));
    }
    if given.bake_time_in_minutes.is_some_and(|minutes| !BAKE_MINUTES.contains(&minutes)) {
        return Err(out_of_range("bakeTimeInMinutes", &BAKE_MINUTES));
    }
    threshold(given.deployment_circuit_breaker.as_ref())?;
    alarms(given.alarms.as_ref())?;
    hooks(operation, given.lifecycle_hooks.as_deref().unwrap_or_default(), beside)?;
    early(given.early_success_criteria.as_ref(), beside, service.minimum)
}

/// Whether something is asked for that only Trireme's own deployments do.
fn asks(given: &DeploymentConfiguration) -> bool {
    let breaker = given.deployment_circuit_breaker.as_ref().and_then(|breaker| breaker.enable);
    let early = given.early_success_criteria.as_ref().and_then(|early| early.enable);
    let alarms = given.alarms.as_ref().and_then(|alarms| alarms.enable);
    [breaker, early, alarms].contains(&Some(true))
        || given.bake_time_in_minutes.is_some_and(|minutes| minutes != 0)
        || given.lifecycle_hooks.as_ref().is_some_and(|hooks| !hooks.is_empty())
}

fn out_of_range(member: &str, range: &std::ops::RangeInclusive<i32>) -> Error {
    let (first, last) = (range.start(), range.end());
    Error::invalid(format!("deploymentConfiguration.{member} must be between {first} and {last}."))
}

fn threshold(breaker: Option<&DeploymentCircuitBreaker>) -> Result<()> {
    let Some(threshold) = breaker.and_then(|breaker| breaker.threshold_configuration.as_ref()) else {
        return Ok(());
    };
    if threshold.r#type.is_none() || threshold.value.is_none_or(|value| value < 1) {
        return Err(Error::invalid(
            "deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration must have a type, and a value of 1 or more.",
        ));
    }
    Ok(())
}

fn alarms(given: Option<&DeploymentAlarms>) -> Result<()> {
    let Some(given) = given else { return Ok(()) };
    let names = given.alarm_names.as_deref().unwrap_or_default();
    if names.len() > ALARMS || names.iter().any(|name| !(1..=255).contains(&name.chars().count())) {
        return Err(Error::invalid(format!(
            "deploymentConfiguration.alarms can have at most {ALARMS} names of 1 to 255 characters."
        )));
    }
    if given.enable == Some(true) && names.is_empty() {
        return Err(Error::invalid(
            "deploymentConfiguration.alarms must have alarmNames when they are enabled.",
        ));
    }
    Ok(())
}

fn hooks(operation: Operation, given: &[DeploymentLifecycleHook], beside: bool) -> Result<()> {
    use DeploymentLifecycleHookStage::{ProductionTrafficShift, TestTrafficShift};
    let lambda =
        |hook: &DeploymentLifecycleHook| hook.target_type != Some(DeploymentLifecycleHookTargetType::Pause);
    if given.iter().any(lambda) {
        return Err(Error::unsupported(
            operation,
            "deploymentConfiguration.lifecycleHooks of type AWS_LAMBDA",
        ));
    }
    if !given.is_empty() && !beside {
        return Err(Error::invalid("lifecycleHooks are not supported for the ROLLING deployment strategy."));
    }
    if given.len() > PAUSES {
        return Err(Error::invalid(format!(
            "A service can have at most {PAUSES} lifecycle hooks of type PAUSE."
        )));
    }
    for hook in given {
        let stages = hook.lifecycle_stages.as_deref().unwrap_or_default();
        if stages.is_empty() {
            return Err(Error::invalid("lifecycleStages of a lifecycle hook must not be empty."));
        }
        if let Some(stage) =
            stages.iter().find(|one| matches!(one, TestTrafficShift | ProductionTrafficShift))
        {
            return Err(Error::invalid(format!(
                "A lifecycle hook of type PAUSE is not supported at {stage}."
            )));
        }
        if hook.hook_target_arn.is_some() || hook.role_arn.is_some() {
            return Err(Error::invalid(
                "A lifecycle hook of type PAUSE has neither hookTargetArn nor roleArn.",
            ));
        }
        let minutes = hook.timeout_configuration.as_ref().and_then(|timeout| timeout.timeout_in_minutes);
        if minutes.is_some_and(|minutes| !TIMEOUT_MINUTES.contains(&minutes)) {
            return Err(out_of_range(
                "lifecycleHooks.timeoutConfiguration.timeoutInMinutes",
                &TIMEOUT_MINUTES,
            ));
        }
    }
    Ok(())
}

fn early(given: Option<&DeploymentEarlySuccessCriteria>, beside: bool, minimum: u32) -> Result<()> {
    let Some(given) = given.filter(|given| given.enable == Some(true)) else { return Ok(()) };
    if beside {
        return Err(Error::invalid(
            "earlySuccessCriteria are supported for the ROLLING deployment strategy only.",
        ));
    }
    let (Some(percent), Some(_)) = (given.healthy_percent, &given.source_service_revision_cleanup) else {
        return Err(Error::invalid(
            "earlySuccessCriteria must have healthyPercent and sourceServiceRevisionCleanup.",
        ));
    };
    let percent = u32::try_from(percent).unwrap_or(u32::MAX);
    if !(minimum..=100).contains(&percent) {
        return Err(Error::invalid(
            "earlySuccessCriteria.healthyPercent must be between minimumHealthyPercent and 100.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(given: Value, service: Service) -> std::result::Result<(), String> {
        let given: DeploymentConfiguration = serde_json::from_value(given).unwrap();
        let given = over(&Described::new(), Some(given));
        check(Operation::CreateService, &Described::new(), given.as_ref(), service)
            .map_err(|error| error.message)
    }

    fn pause(stages: &[&str]) -> Value {
        json!({"strategy": "BLUE_GREEN", "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": stages}]})
    }

    #[test]
    fn what_there_is_is_taken() {
        let service = Service { minimum: 50, ..Service::default() };
        for given in [
            json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}, "bakeTimeInMinutes": 1440}),
            pause(&["RECONCILE_SERVICE", "PRE_PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"]),
            json!({"earlySuccessCriteria":
                {"enable": true, "healthyPercent": 50, "sourceServiceRevisionCleanup": "DEFERRED"}}),
            json!({"earlySuccessCriteria": {"enable": false}}),
            json!({"alarms": {"enable": true, "rollback": true, "alarmNames": ["high"]}}),
        ] {
            assert_eq!(checked(given, service), Ok(()));
        }
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let (plain, other) = (Service { minimum: 100, ..Service::default() }, Service::default());
        let mut long = pause(&["POST_SCALE_UP"]);
        long["lifecycleHooks"][0]["timeoutConfiguration"] = json!({"timeoutInMinutes": 20_161});
        let mut many = pause(&["POST_SCALE_UP"]);
        many["lifecycleHooks"] = json!(vec![many["lifecycleHooks"][0].clone(); 11]);
        let mut rolling = pause(&["POST_SCALE_UP"]);
        rolling["strategy"] = json!("ROLLING");
        let early = json!({"enable": true, "healthyPercent": 50, "sourceServiceRevisionCleanup": "BLOCKING"});
        for (given, service, text) in [
            (json!({"bakeTimeInMinutes": 1441}), plain, "bakeTimeInMinutes must be between 0 and 1440"),
            (pause(&["TEST_TRAFFIC_SHIFT"]), plain, "not supported at TEST_TRAFFIC_SHIFT"),
            (pause(&[]), plain, "must not be empty"),
            (long, plain, "timeoutInMinutes must be between 1 and 20160"),
            (many, plain, "at most 10"),
            (rolling, plain, "not supported for the ROLLING"),
            (json!({"lifecycleHooks": [{"hookTargetArn": "arn:x"}]}), plain, "AWS_LAMBDA"),
            (json!({"alarms": {"enable": true, "alarmNames": []}}), plain, "must have alarmNames"),
            (json!({"alarms": {"enable": false, "alarmNames": [""]}}), plain, "1 to 255 characters"),
            (
                json!({"alarms": {"enable": true, "alarmNames": ["high"]}}),
                Service { is_external: true, ..other },
                "EXTERNAL",
            ),
            (json!({"earlySuccessCriteria": {"enable": true}}), plain, "must have healthyPercent"),
            (json!({"earlySuccessCriteria": early.clone()}), plain, "between minimumHealthyPercent and 100"),
            (
                json!({"strategy": "BLUE_GREEN", "earlySuccessCriteria": early}),
                other,
                "ROLLING deployment strategy only",
            ),
            (json!({"strategy": "BLUE_GREEN"}), Service { has_traffic: true, ..other }, "with traffic"),
            (json!({"bakeTimeInMinutes": 5}), Service { is_external: true, ..other }, "EXTERNAL"),
            (
                json!({"deploymentCircuitBreaker": {"enable": true, "thresholdConfiguration": {"type": "COUNT", "value": 0}}}),
                plain,
                "a value of 1 or more",
            ),
        ] {
            let refused = checked(given, service).unwrap_err();
            assert!(refused.contains(text), "{refused} is not about {text}");
        }
    }

    #[test]
    fn an_update_leaves_what_it_does_not_say_of_the_breaker() {
        let mut kept = Described::new();
        let before = json!({"enable": true, "rollback": true, "resetOnHealthyTask": false});
        kept.insert(CIRCUIT_BREAKER.to_owned(), before.to_string());
        let given = serde_json::from_value(json!({"deploymentCircuitBreaker": {"enable": false}})).unwrap();
        let breaker = over(&kept, Some(given)).unwrap().deployment_circuit_breaker.unwrap();
        assert_eq!((breaker.enable, breaker.rollback), (Some(false), Some(true)));
        assert_eq!(breaker.reset_on_healthy_task, Some(false));
        assert_eq!(breaker.threshold_configuration.unwrap().value, Some(50));
    }
}
