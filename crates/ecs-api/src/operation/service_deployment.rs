//! Service deployments and service revisions: describe, list, roll back.

use trireme_ecs_model::EpochSeconds;
use trireme_ecs_model::shapes::{
    ContinueServiceDeploymentRequest, ContinueServiceDeploymentResponse, DeploymentLifecycleHookAction,
    DescribeServiceDeploymentsRequest, DescribeServiceDeploymentsResponse, DescribeServiceRevisionsRequest,
    DescribeServiceRevisionsResponse, Failure, ListServiceDeploymentsRequest, ListServiceDeploymentsResponse,
    ServiceDeploymentBrief, StopServiceDeploymentRequest, StopServiceDeploymentResponse,
    StopServiceDeploymentStopType,
};
use trireme_state::command::ContinueDeployment;
use trireme_state::object::{ClusterKey, HookAction, ServiceDeployment, ServiceKey};
use trireme_state::{Command, Rejection, State};
use trireme_types::arn::Resource;
use trireme_types::{Arn, DeploymentId, ServiceRevisionId};

use crate::context::Context;
use crate::convert;
use crate::convert::service_deployment::{arn, brief, describe as described, describe_revision};
use crate::error::{Error, Result, of_rejection};
use crate::length;
use crate::page::Page;
use crate::resolve;

/// ECS API: records in one DescribeServiceDeployments or DescribeServiceRevisions.
const DESCRIBE_LIMIT: usize = 20;

/// An ARN's resource, if it is in the caller's account and region.
fn own(cx: &Context, text: &str) -> Option<Resource> {
    let arn: Arn = text.parse().ok()?;
    (arn.scope == *cx.scope()).then_some(arn.resource)
}

fn deployment_named(cx: &Context, text: &str) -> Option<(ServiceKey, DeploymentId)> {
    let Some(Resource::ServiceDeployment(cluster, name, id)) = own(cx, text) else { return None };
    let cluster = ClusterKey { scope: cx.scope().clone(), name: cluster };
    Some((ServiceKey { cluster, name }, id))
}

fn revision_named(cx: &Context, text: &str) -> Option<(ServiceKey, ServiceRevisionId)> {
    let Some(Resource::ServiceRevision(cluster, name, id)) = own(cx, text) else { return None };
    let cluster = ClusterKey { scope: cx.scope().clone(), name: cluster };
    Some((ServiceKey { cluster, name }, id))
}

fn check_arns(member: &str, arns: &[String]) -> Result<()> {
    length::not_empty(member, arns)?;
    length::items(member, arns, DESCRIBE_LIMIT)?;
    match arns.iter().find(|arn| !Arn::looks_like(arn)) {
        Some(wrong) => Err(Error::invalid(format!("Invalid ARN: {wrong}"))),
        None => Ok(()),
    }
}

/// Each ARN's object, or that it is not there.
fn each<T>(arns: &[String], find: impl Fn(&str) -> Option<T>) -> (Vec<T>, Vec<Failure>) {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in arns {
        match find(text) {
            Some(one) => found.push(one),
            None => failures.push(convert::missing(text.clone())),
        }
    }
    (found, failures)
}

pub(crate) async fn describe(
    cx: Context,
    request: DescribeServiceDeploymentsRequest,
) -> Result<DescribeServiceDeploymentsResponse> {
    let arns = request.service_deployment_arns.unwrap_or_default();
    check_arns("serviceDeploymentArns", &arns)?;
    let state = cx.read().await?;
    let (found, failures) = each(&arns, |text| {
        let (key, id) = deployment_named(&cx, text)?;
        let (service, history) = (state.service(&key)?, state.deployment_history(&key));
        Some(described(&state, service, &history, history.deployment(id)?))
    });
    Ok(DescribeServiceDeploymentsResponse { service_deployments: Some(found), failures: Some(failures) })
}

pub(crate) async fn describe_revisions(
    cx: Context,
    request: DescribeServiceRevisionsRequest,
) -> Result<DescribeServiceRevisionsResponse> {
    let arns = request.service_revision_arns.unwrap_or_default();
    check_arns("serviceRevisionArns", &arns)?;
    let state = cx.read().await?;
    let (found, failures) = each(&arns, |text| {
        let (key, id) = revision_named(&cx, text)?;
        Some(describe_revision(&state, &key, state.deployment_history(&key).revision(id)?))
    });
    Ok(DescribeServiceRevisionsResponse { service_revisions: Some(found), failures: Some(failures) })
}

/// The newest first.
pub(crate) async fn list(
    cx: Context,
    request: ListServiceDeploymentsRequest,
) -> Result<ListServiceDeploymentsResponse> {
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, 20)?;
    let state = cx.read().await?;
    let text = request.service.as_deref().unwrap_or_default();
    let service = named_service(&cx, &state, request.cluster.as_deref(), text)?;
    let history = state.deployment_history(&service);
    let statuses = request.status.unwrap_or_default();
    let created = request.created_at.unwrap_or_default();
    let limits = (created.after.map(EpochSeconds::as_millis), created.before.map(EpochSeconds::as_millis));
    let in_time = |one: &ServiceDeployment| {
        let at = i64::try_from(one.created_at.millis()).unwrap_or(i64::MAX);
        limits.0.is_none_or(|after| at > after) && limits.1.is_none_or(|before| at < before)
    };
    let of_status = |brief: &ServiceDeploymentBrief| {
        statuses.is_empty() || brief.status.as_ref().is_some_and(|status| statuses.contains(status))
    };
    // The order is that of the history: two may have begun in the same millisecond.
    let after: Option<String> = page.after();
    let at = after.map(|after| history.deployments.iter().position(|one| one.id.to_string() == after));
    let begin = at.map_or(0, |at| at.map_or(usize::MAX, |at| at.saturating_add(1)));
    let found = history
        .deployments
        .iter()
        .skip(begin)
        .filter(|one| in_time(one))
        .map(|one| (one.id, brief(&service, one)))
        .filter(|(_, brief)| of_status(brief));
    let (deployments, next_token) = page.take_first(found, |(id, _)| id.to_string());
    let deployments = deployments.into_iter().map(|(_, brief)| brief).collect();
    Ok(ListServiceDeploymentsResponse { service_deployments: Some(deployments), next_token })
}

/// A service by name, or by an ARN that names its cluster too.
fn named_service(cx: &Context, state: &State, cluster: Option<&str>, text: &str) -> Result<ServiceKey> {
    let of_arn = match own(cx, text) {
        Some(Resource::Service(of, _)) if cluster.is_none() => Some(of.to_string()),
        _ => None,
    };
    let cluster = cx.active_cluster(state, cluster.or(of_arn.as_deref()))?;
    let service = resolve::service(state, &cluster, text)?.ok_or_else(Error::service_not_found)?;
    Ok(service.key.clone())
}

pub(crate) async fn stop(
    cx: Context,
    request: StopServiceDeploymentRequest,
) -> Result<StopServiceDeploymentResponse> {
    let text = request.service_deployment_arn.as_deref().unwrap_or_default();
    check_arns("serviceDeploymentArn", &[text.to_owned()])?;
    if request.stop_type == Some(StopServiceDeploymentStopType::Abort) {
        return Err(Error::unsupported(cx.operation, "stopType ABORT"));
    }
    let missing = || of_rejection(cx.operation, Rejection::ServiceDeploymentNotFound);
    let (service, deployment) = deployment_named(&cx, text).ok_or_else(missing)?;
    let reason = "Rollback requested by the user.".to_owned();
    let command = Command::RollBackDeployment { service: service.clone(), deployment, reason };
    cx.write(command).await?;
    Ok(StopServiceDeploymentResponse { service_deployment_arn: Some(arn(&service, deployment)) })
}

/// Only a hook of type PAUSE waits for this.
pub(crate) async fn go_on(
    cx: Context,
    request: ContinueServiceDeploymentRequest,
) -> Result<ContinueServiceDeploymentResponse> {
    let text = request.service_deployment_arn.as_deref().unwrap_or_default();
    check_arns("serviceDeploymentArn", &[text.to_owned()])?;
    let missing = || of_rejection(cx.operation, Rejection::ServiceDeploymentNotFound);
    let (service, deployment) = deployment_named(&cx, text).ok_or_else(missing)?;
    let hook = request.hook_id.unwrap_or_default();
    let action = match request.action {
        None | Some(DeploymentLifecycleHookAction::Continue) => HookAction::Continue,
        Some(DeploymentLifecycleHookAction::Rollback) => HookAction::Rollback,
        Some(other) => return Err(Error::invalid(format!("Unknown action: {other}."))),
    };
    cx.write(Command::ContinueDeployment(Box::new(ContinueDeployment {
        service: service.clone(),
        deployment,
        hook,
        action,
    })))
    .await?;
    Ok(ContinueServiceDeploymentResponse { service_deployment_arn: Some(arn(&service, deployment)) })
}
