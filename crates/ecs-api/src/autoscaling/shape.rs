//! Requests and answers of Application Auto Scaling, as far as they are read and given. A member that asks for something else is refused by
//! whoever reads it.

use serde::{Deserialize, Serialize};
use trireme_state::object::Tags;

use super::{common, invalid};
use crate::error::Result;
use crate::page::{key_of, token_of};

macro_rules! shapes {
    ($($(#[$about:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
            #[serde(rename_all = "PascalCase", default)]
            pub(super) struct $name {
                $($(#[$meta])* #[serde(skip_serializing_if = "Option::is_none")] pub(super) $field: Option<$type>,)*
            }
        )*
    };
}

shapes! {
    /// Nothing.
    Empty {}
    /// SuspendedState.
    Suspended {
        dynamic_scaling_in_suspended: bool, dynamic_scaling_out_suspended: bool, scheduled_scaling_suspended: bool,
    }
    /// RegisterScalableTarget.
    Register {
        service_namespace: String, resource_id: String, scalable_dimension: String, min_capacity: i64,
        max_capacity: i64, #[serde(rename = "RoleARN")] role_arn: String, suspended_state: Suspended, tags: Tags,
    }
    /// RegisterScalableTarget's answer.
    Registered { #[serde(rename = "ScalableTargetARN")] scalable_target_arn: String, }
    /// DeregisterScalableTarget.
    OfTarget { service_namespace: String, resource_id: String, scalable_dimension: String, }
    /// DescribeScalableTargets.
    DescribeTargets {
        service_namespace: String, resource_ids: Vec<String>, scalable_dimension: String, max_results: i64,
        next_token: String,
    }
    /// ScalableTarget.
    Target {
        service_namespace: String, resource_id: String, scalable_dimension: String, min_capacity: u32,
        max_capacity: u32, #[serde(rename = "RoleARN")] role_arn: String, creation_time: f64,
        suspended_state: Suspended, #[serde(rename = "ScalableTargetARN")] scalable_target_arn: String,
    }
    /// DescribeScalableTargets's answer.
    Targets { scalable_targets: Vec<Target>, next_token: String, }
    /// PutScalingPolicy.
    PutPolicy {
        policy_name: String, service_namespace: String, resource_id: String, scalable_dimension: String,
        policy_type: String, step_scaling_policy_configuration: Step,
        target_tracking_scaling_policy_configuration: Tracking,
        predictive_scaling_policy_configuration: serde_json::Value,
    }
    /// PutScalingPolicy's answer.
    Put { #[serde(rename = "PolicyARN")] policy_arn: String, alarms: Vec<AlarmName>, }
    /// DeleteScalingPolicy, DeleteScheduledAction.
    OfOne {
        policy_name: String, scheduled_action_name: String, service_namespace: String, resource_id: String,
        scalable_dimension: String,
    }
    /// DescribeScalingPolicies, DescribeScheduledActions, DescribeScalingActivities.
    DescribeOf {
        policy_names: Vec<String>, scheduled_action_names: Vec<String>, service_namespace: String,
        resource_id: String, scalable_dimension: String, max_results: i64, next_token: String,
        include_not_scaled_activities: bool,
    }
    /// TargetTrackingScalingPolicyConfiguration.
    Tracking {
        target_value: f64, predefined_metric_specification: Predefined,
        customized_metric_specification: Customized, scale_out_cooldown: i64, scale_in_cooldown: i64,
        disable_scale_in: bool,
    }
    /// PredefinedMetricSpecification.
    Predefined { predefined_metric_type: String, resource_label: String, }
    /// CustomizedMetricSpecification.
    Customized {
        metric_name: String, namespace: String, dimensions: Vec<Dimension>, statistic: String, unit: String,
        metrics: Vec<serde_json::Value>,
    }
    /// MetricDimension.
    Dimension { name: String, value: String, }
    /// StepScalingPolicyConfiguration.
    Step {
        adjustment_type: String, step_adjustments: Vec<Adjustment>, min_adjustment_magnitude: i64, cooldown: i64,
        metric_aggregation_type: String,
    }
    /// StepAdjustment.
    Adjustment {
        metric_interval_lower_bound: f64, metric_interval_upper_bound: f64, scaling_adjustment: i64,
    }
    /// ScalingPolicy.
    Policy {
        #[serde(rename = "PolicyARN")] policy_arn: String, policy_name: String, service_namespace: String,
        resource_id: String, scalable_dimension: String, policy_type: String,
        step_scaling_policy_configuration: Step, target_tracking_scaling_policy_configuration: Tracking,
        alarms: Vec<AlarmName>, creation_time: f64,
    }
    /// Alarm.
    AlarmName { alarm_name: String, #[serde(rename = "AlarmARN")] alarm_arn: String, }
    /// DescribeScalingPolicies's answer.
    Policies { scaling_policies: Vec<Policy>, next_token: String, }
    /// ScalableTargetAction.
    Bounds { min_capacity: i64, max_capacity: i64, }
    /// PutScheduledAction.
    PutAction {
        service_namespace: String, schedule: String, timezone: String, scheduled_action_name: String,
        resource_id: String, scalable_dimension: String, start_time: f64, end_time: f64,
        scalable_target_action: Bounds,
    }
    /// ScheduledAction.
    Action {
        scheduled_action_name: String, #[serde(rename = "ScheduledActionARN")] scheduled_action_arn: String,
        service_namespace: String, schedule: String, timezone: String, resource_id: String,
        scalable_dimension: String, start_time: f64, end_time: f64, scalable_target_action: Bounds,
        creation_time: f64,
    }
    /// DescribeScheduledActions's answer.
    Actions { scheduled_actions: Vec<Action>, next_token: String, }
    /// NotScaledReason.
    NotScaled { code: String, max_capacity: u32, min_capacity: u32, current_capacity: u32, }
    /// ScalingActivity.
    Activity {
        activity_id: String, service_namespace: String, resource_id: String, scalable_dimension: String,
        description: String, cause: String, start_time: f64, end_time: f64, status_code: String,
        status_message: String, not_scaled_reasons: Vec<NotScaled>,
    }
    /// DescribeScalingActivities's answer.
    Activities { scaling_activities: Vec<Activity>, next_token: String, }
    /// TagResource, UntagResource, ListTagsForResource.
    OfResource {
        #[serde(rename = "ResourceARN")] resource_arn: String, tags: Tags, tag_keys: Vec<String>,
    }
    /// ListTagsForResource's answer.
    TagList { tags: Tags, }
}

/// A count of tasks or seconds, which is not negative.
pub(super) fn count(value: Option<i64>, member: &str) -> Result<Option<u32>> {
    let Some(value) = value else { return Ok(None) };
    let count = u32::try_from(value)
        .map_err(|_| invalid(format!("{member} must not be negative, or that large: {value}.")))?;
    Ok(Some(count))
}

/// Items on a page.
const PAGE: usize = 50;

/// The page of items that is asked for, in the order of their keys, as they are shown; and the token of the next one. Only what is on it is
/// made.
pub(super) fn page<T, U>(
    list: &str,
    mut items: Vec<(String, T)>,
    (max_results, token): (Option<i64>, Option<&str>),
    show: impl Fn(T) -> U,
) -> Result<(Vec<U>, Option<String>)> {
    let size = match max_results {
        None => PAGE,
        Some(asked @ 1..=50) => usize::try_from(asked).unwrap_or(PAGE),
        Some(asked) => return Err(invalid(format!("MaxResults must be between 1 and {PAGE}, not {asked}."))),
    };
    let wrong = || common("InvalidNextTokenException", "The token is not one of this list.");
    let after = token.map(|token| key_of(list, token).ok_or_else(wrong)).transpose()?;
    items.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut rest = items.into_iter().skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after));
    let (mut page, mut last) = (Vec::new(), None);
    for (key, item) in rest.by_ref().take(size) {
        page.push(show(item));
        last = Some(key);
    }
    let more = rest.next().is_some();
    Ok((page, last.filter(|_| more).map(|last| token_of(list, &last))))
}
