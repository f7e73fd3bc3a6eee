//! Scaling activities: what was done, and why; on request also what was not.

use trireme_state::State;
use trireme_state::object::{HeldScaling, ScalingActivity, ServiceKey};

use super::name::{self, DIMENSION, NAMESPACE, resource_id};
use super::shape::{self, Activities, Activity, DescribeOf, NotScaled};
use crate::companion::Context;
use crate::error::Result;

pub(super) async fn describe(cx: Context, request: DescribeOf) -> Result<Activities> {
    name::check_namespace(request.service_namespace.as_deref())?;
    let with_held = request.include_not_scaled_activities.unwrap_or(false);
    let state = cx.read().await?;
    let mut found = Vec::new();
    for (key, activities) in state.all_scaling_activities() {
        let asked = request.resource_id.as_ref().is_none_or(|asked| *asked == resource_id(key));
        if key.cluster.scope != *cx.scope() || !asked {
            continue;
        }
        let newest = activities.iter().find(|activity| activity.held.is_none()).map(|activity| activity.id);
        for activity in activities.iter().filter(|activity| with_held || activity.held.is_none()) {
            // The newest first.
            let order = u64::MAX.saturating_sub(activity.at.millis());
            let newest = Some(activity.id) == newest;
            found.push((format!("{order:020} {:032x}", activity.id), (key, activity, newest)));
        }
    }
    let page = (request.max_results, request.next_token.as_deref());
    let show = |(key, activity, newest)| shown(&state, key, activity, newest);
    let (activities, next_token) = shape::page("DescribeScalingActivities", found, page, show)?;
    Ok(Activities { scaling_activities: Some(activities), next_token })
}

fn shown(state: &State, key: &ServiceKey, activity: &ScalingActivity, newest: bool) -> Activity {
    let held = activity.held;
    // The last one is over when the service has as many tasks as it asked for.
    let running = state.index().service_load(key).counts().running;
    let under_way = held.is_none()
        && newest
        && state
            .service(key)
            .is_some_and(|service| service.spec.desired_count == activity.to && running != activity.to);
    let (status, message) = match (held, under_way) {
        (Some(_), _) => ("Failed", "Nothing was scaled.".to_owned()),
        (None, true) => (
            "InProgress",
            format!(
                "Successfully set desired count to {}. Waiting for change to be fulfilled by ecs.",
                activity.to
            ),
        ),
        (None, false) => (
            "Successful",
            format!(
                "Successfully set desired count to {}. Change successfully fulfilled by ecs.",
                activity.to
            ),
        ),
    };
    let description = match held {
        Some(_) => "Attempting to scale due to a policy".to_owned(),
        None => format!("Setting desired count to {}.", activity.to),
    };
    let at = activity.at.epoch_seconds();
    Activity {
        activity_id: Some(name::uuid(activity.id)),
        service_namespace: Some(NAMESPACE.to_owned()),
        resource_id: Some(resource_id(key)),
        scalable_dimension: Some(DIMENSION.to_owned()),
        description: Some(description),
        cause: Some(activity.cause.clone()),
        start_time: Some(at),
        end_time: (!under_way).then_some(at),
        status_code: Some(status.to_owned()),
        status_message: Some(message),
        not_scaled_reasons: held.map(|held| vec![reason(state, key, activity, held)]),
    }
}

fn reason(state: &State, key: &ServiceKey, activity: &ScalingActivity, held: HeldScaling) -> NotScaled {
    let bounds = state.scalable_target(key).map(|target| &target.spec);
    let code = match held {
        HeldScaling::AtMaximum => "AlreadyAtMaxCapacity",
        HeldScaling::Suspended => "ScalingSuspended",
    };
    NotScaled {
        code: Some(code.to_owned()),
        max_capacity: bounds.map(|spec| spec.max),
        min_capacity: bounds.map(|spec| spec.min),
        current_capacity: Some(activity.from),
    }
}
