//! Scaling policies.

use std::sync::Arc;

use trireme_monitoring::Unit;
use trireme_state::State;
use trireme_state::command::AutoscalingCommand;
use trireme_state::object::{
    AdjustmentType, Alarm, MetricKey, ScalingPolicy, ScalingPolicySpec, ServiceKey, Statistic,
    StepAdjustment, StepScaling, TargetTracking, TrackedMetric,
};
use trireme_types::{Real, Scope};

use super::name::{self, DIMENSION, NAMESPACE, null, resource_id};
use super::shape::{
    self, Adjustment, AlarmName, Customized, DescribeOf, Dimension, Empty, OfOne, Policies, Policy,
    Predefined, Put, PutPolicy, Step, Tracking, count,
};
use super::target::parts;
use super::{invalid, missing, unavailable, write};
use crate::companion::Context;
use crate::error::Result;

const TRACKING: &str = "TargetTrackingScaling";
const STEP: &str = "StepScaling";
/// Application Auto Scaling API: PolicyName.
const NAME_LENGTH: usize = 256;
/// CloudWatch API: Dimensions.
const DIMENSIONS: usize = 30;

pub(super) async fn put(cx: Context, request: PutPolicy) -> Result<Put> {
    let service =
        name::service(&cx, (&request.service_namespace, &request.scalable_dimension, &request.resource_id))?;
    let name = request.policy_name.clone().ok_or_else(|| null("policyName"))?;
    if name.is_empty() || name.chars().count() > NAME_LENGTH || name.chars().any(char::is_control) {
        return Err(invalid("PolicyName has 1 to 256 printable characters."));
    }
    let state = cx.read().await?;
    let target = state.scalable_target(&service).ok_or_else(|| missing("scalable target", &service))?;
    let known = target.policies.get(&name).map(|policy| &policy.spec);
    let spec = spec(cx.scope(), request, known)?;
    write(&cx, AutoscalingCommand::PutPolicy { service: service.clone(), name: name.clone(), spec }).await?;
    let state = cx.read().await?;
    let policy = state.scalable_target(&service).and_then(|target| target.policies.get(&name));
    let policy = policy.ok_or_else(|| unavailable("The scaling policy was deleted meanwhile.".to_owned()))?;
    let arn = name::policy_arn(&service, &name, policy.id);
    Ok(Put { policy_arn: Some(arn.clone()), alarms: Some(alarms(&state, &service, &arn)) })
}

fn spec(scope: &Scope, request: PutPolicy, known: Option<&ScalingPolicySpec>) -> Result<ScalingPolicySpec> {
    let before = known.map(kind);
    let kind = request.policy_type.as_deref().or(before).unwrap_or(STEP);
    if before.is_some_and(|before| before != kind) {
        return Err(invalid("The type of a scaling policy cannot be changed. Delete it and make it anew."));
    }
    match kind {
        TRACKING => {
            let asked = request.target_tracking_scaling_policy_configuration;
            tracking(scope, asked.ok_or_else(|| null("targetTrackingScalingPolicyConfiguration"))?)
        }
        STEP => step(
            request
                .step_scaling_policy_configuration
                .ok_or_else(|| null("stepScalingPolicyConfiguration"))?,
        ),
        "PredictiveScaling" => Err(invalid("Predictive scaling is not supported.")),
        other => Err(invalid(format!("The policy type {} is not known.", other.escape_debug()))),
    }
}

fn kind(spec: &ScalingPolicySpec) -> &'static str {
    match spec {
        ScalingPolicySpec::TargetTracking(_) => TRACKING,
        ScalingPolicySpec::Step(_) => STEP,
    }
}

fn real(value: Option<f64>, member: &str) -> Result<Option<Real>> {
    let Some(value) = value else { return Ok(None) };
    Real::new(value).map(Some).ok_or_else(|| invalid(format!("{member} is not a number.")))
}

fn tracking(scope: &Scope, asked: Tracking) -> Result<ScalingPolicySpec> {
    let metric = match (asked.predefined_metric_specification, asked.customized_metric_specification) {
        (Some(predefined), None) => of_predefined(&predefined)?,
        (None, Some(customized)) => of_customized(scope, customized)?,
        _ => {
            return Err(invalid(
                "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given.",
            ));
        }
    };
    let target = real(asked.target_value, "TargetValue")?.ok_or_else(|| null("targetValue"))?;
    Ok(ScalingPolicySpec::TargetTracking(TargetTracking {
        target,
        metric,
        scale_out_cooldown: count(asked.scale_out_cooldown, "ScaleOutCooldown")?,
        scale_in_cooldown: count(asked.scale_in_cooldown, "ScaleInCooldown")?,
        disable_scale_in: asked.disable_scale_in.unwrap_or(false),
    }))
}

const CPU: &str = "ECSServiceAverageCPUUtilization";
const MEMORY: &str = "ECSServiceAverageMemoryUtilization";
const HIGH_RESOLUTION: &str = "HighResolution";

fn of_predefined(asked: &Predefined) -> Result<TrackedMetric> {
    let name = asked.predefined_metric_type.as_deref().ok_or_else(|| null("predefinedMetricType"))?;
    if asked.resource_label.is_some() {
        return Err(invalid("ResourceLabel is for metrics of load balancers."));
    }
    let base = name.strip_suffix(HIGH_RESOLUTION);
    let high_resolution = base.is_some();
    match base.unwrap_or(name) {
        CPU => Ok(TrackedMetric::Cpu { high_resolution }),
        MEMORY => Ok(TrackedMetric::Memory { high_resolution }),
        _ => Err(invalid(format!(
            "The metric {} is not supported: {CPU} and {MEMORY} are, and customized ones.",
            name.escape_debug()
        ))),
    }
}

/// CloudWatch API: Namespace, MetricName, Dimension.Name, Dimension.Value.
const TEXT_LENGTH: usize = 255;
const VALUE_LENGTH: usize = 1_024;

fn text(given: Option<String>, member: &str, length: usize) -> Result<String> {
    let text = given.ok_or_else(|| null(member))?;
    if text.is_empty() || text.chars().count() > length {
        return Err(invalid(format!("{member} has 1 to {length} characters.")));
    }
    Ok(text)
}

const STATISTICS: [(&str, Statistic); 5] = [
    ("Average", Statistic::Average),
    ("Minimum", Statistic::Minimum),
    ("Maximum", Statistic::Maximum),
    ("Sum", Statistic::Sum),
    ("SampleCount", Statistic::SampleCount),
];

fn statistic(name: &str) -> Result<Statistic> {
    let found = STATISTICS.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, statistic)| *statistic)
        .ok_or_else(|| invalid(format!("The statistic {} is not known.", name.escape_debug())))
}

fn statistic_name(statistic: Statistic) -> String {
    STATISTICS.iter().find(|(_, known)| *known == statistic).map_or("", |(name, _)| name).to_owned()
}

fn of_customized(scope: &Scope, asked: Customized) -> Result<TrackedMetric> {
    if asked.metrics.is_some_and(|metrics| !metrics.is_empty()) {
        return Err(invalid(
            "Metrics with expressions are not supported: name one metric with MetricName and Namespace.",
        ));
    }
    let dimensions = asked.dimensions.unwrap_or_default();
    if dimensions.len() > DIMENSIONS {
        return Err(invalid(format!("A metric has at most {DIMENSIONS} dimensions.")));
    }
    let dimension = |one: Dimension| {
        let name = text(one.name, "dimensions.name", TEXT_LENGTH)?;
        Ok((name, text(one.value, "dimensions.value", VALUE_LENGTH)?))
    };
    let dimensions = dimensions.into_iter().map(dimension).collect::<Result<_>>()?;
    if asked.unit.as_ref().is_some_and(|unit| Unit::named(unit).is_none()) {
        return Err(invalid("Unit must be one of CloudWatch's."));
    }
    Ok(TrackedMetric::Customized {
        metric: MetricKey {
            scope: scope.clone(),
            namespace: text(asked.namespace, "namespace", TEXT_LENGTH)?,
            name: text(asked.metric_name, "metricName", TEXT_LENGTH)?,
            dimensions,
        },
        statistic: statistic(asked.statistic.as_deref().ok_or_else(|| null("statistic"))?)?,
        unit: asked.unit,
    })
}

const ADJUSTMENTS: [(&str, AdjustmentType); 3] = [
    ("ChangeInCapacity", AdjustmentType::ChangeInCapacity),
    ("PercentChangeInCapacity", AdjustmentType::PercentChangeInCapacity),
    ("ExactCapacity", AdjustmentType::ExactCapacity),
];

fn step(asked: Step) -> Result<ScalingPolicySpec> {
    let name = asked.adjustment_type.as_deref().ok_or_else(|| null("adjustmentType"))?;
    let found = ADJUSTMENTS.iter().find(|(known, _)| *known == name).map(|(_, adjustment)| *adjustment);
    let adjustment =
        found.ok_or_else(|| invalid(format!("The adjustment type {} is not known.", name.escape_debug())))?;
    let min_magnitude = count(asked.min_adjustment_magnitude, "MinAdjustmentMagnitude")?;
    if min_magnitude.is_some() && adjustment != AdjustmentType::PercentChangeInCapacity {
        return Err(invalid("MinAdjustmentMagnitude is for PercentChangeInCapacity."));
    }
    let one = |asked: Adjustment| {
        let adjusted = asked.scaling_adjustment.ok_or_else(|| null("scalingAdjustment"))?;
        Ok(StepAdjustment {
            lower: real(asked.metric_interval_lower_bound, "MetricIntervalLowerBound")?,
            upper: real(asked.metric_interval_upper_bound, "MetricIntervalUpperBound")?,
            adjustment: i32::try_from(adjusted).map_err(|_| invalid("ScalingAdjustment is too large."))?,
        })
    };
    let mut steps =
        asked.step_adjustments.unwrap_or_default().into_iter().map(one).collect::<Result<Vec<_>>>()?;
    steps.sort_by_key(|step| step.lower);
    if adjustment == AdjustmentType::ExactCapacity && steps.iter().any(|step| step.adjustment < 0) {
        return Err(invalid("An exact capacity is not negative."));
    }
    Ok(ScalingPolicySpec::Step(StepScaling {
        adjustment,
        steps,
        min_magnitude,
        cooldown: count(asked.cooldown, "Cooldown")?,
        aggregation: asked.metric_aggregation_type.as_deref().map(statistic).transpose()?,
    }))
}

pub(super) async fn delete(cx: Context, request: OfOne) -> Result<Empty> {
    let service =
        name::service(&cx, (&request.service_namespace, &request.scalable_dimension, &request.resource_id))?;
    let name = request.policy_name.ok_or_else(|| null("policyName"))?;
    let state = cx.read().await?;
    let known = state.scalable_target(&service).is_some_and(|target| target.policies.contains_key(&name));
    if !known && !cx.was_done(&state) {
        return Err(missing(&format!("scaling policy named {name}"), &service));
    }
    write(&cx, AutoscalingCommand::DeletePolicy { service, name }).await?;
    Ok(Empty {})
}

pub(super) async fn describe(cx: Context, request: DescribeOf) -> Result<Policies> {
    name::check_namespace(request.service_namespace.as_deref())?;
    let names = request.policy_names.unwrap_or_default();
    let state = cx.read().await?;
    let found = parts(&state, cx.scope(), (request.resource_id.as_ref(), &names), |target| &target.policies);
    let page = (request.max_results, request.next_token.as_deref());
    let show =
        |(key, name, policy): (&ServiceKey, &String, &Arc<ScalingPolicy>)| shown(&state, key, name, policy);
    let (policies, next_token) = shape::page("DescribeScalingPolicies", found, page, show)?;
    Ok(Policies { scaling_policies: Some(policies), next_token })
}

fn shown(state: &State, key: &ServiceKey, name: &str, policy: &ScalingPolicy) -> Policy {
    let (step, tracking) = match &policy.spec {
        ScalingPolicySpec::Step(step) => (Some(shown_step(step)), None),
        ScalingPolicySpec::TargetTracking(tracking) => (None, Some(shown_tracking(tracking))),
    };
    let arn = name::policy_arn(key, name, policy.id);
    Policy {
        alarms: Some(alarms(state, key, &arn)),
        policy_arn: Some(arn),
        policy_name: Some(name.to_owned()),
        service_namespace: Some(NAMESPACE.to_owned()),
        resource_id: Some(resource_id(key)),
        scalable_dimension: Some(DIMENSION.to_owned()),
        policy_type: Some(kind(&policy.spec).to_owned()),
        step_scaling_policy_configuration: step,
        target_tracking_scaling_policy_configuration: tracking,
        creation_time: Some(policy.created_at.epoch_seconds()),
    }
}

/// The alarms that have a policy among their actions.
fn alarms(state: &State, service: &ServiceKey, arn: &str) -> Vec<AlarmName> {
    let alarms = state.alarms_acting_on(&service.cluster.scope, arn);
    let name = |alarm: &Arc<Alarm>| AlarmName {
        alarm_name: Some(alarm.key.name.clone()),
        alarm_arn: Some(alarm.arn()),
    };
    alarms.map(name).collect()
}

fn shown_step(step: &StepScaling) -> Step {
    let adjustment =
        ADJUSTMENTS.iter().find(|(_, known)| *known == step.adjustment).map(|(name, _)| (*name).to_owned());
    let one = |step: &StepAdjustment| Adjustment {
        metric_interval_lower_bound: step.lower.map(Real::get),
        metric_interval_upper_bound: step.upper.map(Real::get),
        scaling_adjustment: Some(step.adjustment.into()),
    };
    Step {
        adjustment_type: adjustment,
        step_adjustments: Some(step.steps.iter().map(one).collect()),
        min_adjustment_magnitude: step.min_magnitude.map(i64::from),
        cooldown: step.cooldown.map(i64::from),
        metric_aggregation_type: step.aggregation.map(statistic_name),
    }
}

fn shown_tracking(tracking: &TargetTracking) -> Tracking {
    let predefined = |name: &str, high: bool| Predefined {
        predefined_metric_type: Some(format!("{name}{}", if high { HIGH_RESOLUTION } else { "" })),
        resource_label: None,
    };
    let (predefined, customized) = match &tracking.metric {
        TrackedMetric::Cpu { high_resolution } => (Some(predefined(CPU, *high_resolution)), None),
        TrackedMetric::Memory { high_resolution } => (Some(predefined(MEMORY, *high_resolution)), None),
        TrackedMetric::Customized { metric, statistic, unit } => {
            (None, Some(shown_metric(metric, *statistic, unit.as_ref())))
        }
    };
    Tracking {
        target_value: Some(tracking.target.get()),
        predefined_metric_specification: predefined,
        customized_metric_specification: customized,
        scale_out_cooldown: tracking.scale_out_cooldown.map(i64::from),
        scale_in_cooldown: tracking.scale_in_cooldown.map(i64::from),
        disable_scale_in: Some(tracking.disable_scale_in),
    }
}

fn shown_metric(metric: &MetricKey, statistic: Statistic, unit: Option<&String>) -> Customized {
    let one = |(name, value): (&String, &String)| Dimension {
        name: Some(name.clone()),
        value: Some(value.clone()),
    };
    Customized {
        metric_name: Some(metric.name.clone()),
        namespace: Some(metric.namespace.clone()),
        dimensions: Some(metric.dimensions.iter().map(one).collect()),
        statistic: Some(statistic_name(statistic)),
        unit: unit.cloned(),
        metrics: None,
    }
}

/// There are no predictive policies, so that none has a forecast.
pub(super) async fn forecast(_cx: Context, _request: serde_json::Value) -> Result<Empty> {
    Err(invalid("Predictive scaling is not supported: there is no policy that makes a forecast."))
}
