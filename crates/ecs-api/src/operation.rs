//! What is asked: each real operation has one function that takes its context and request and gives its response. The names of
//! the others are in the service model's table; they answer `UnsupportedFeatureException`.

mod account_setting;
mod agent;
mod attribute;
mod capacity;
mod capacity_provider;
mod cluster;
mod container_instance;
mod execute_command;
pub(crate) mod launching;
mod service;
mod service_deployment;
mod service_external;
mod service_scheduling;
mod tag;
mod task;
mod task_definition;
mod task_protection;
mod task_run;
mod task_set;

use std::future::Future;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use trireme_ecs_model::{Operation, Request};
use trireme_types::RequestId;

use crate::Api;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::{Code, Error, Result};

/// An authenticated call.
pub(crate) struct Call {
    pub(crate) api: Api,
    pub(crate) caller: Caller,
    pub(crate) request_id: RequestId,
    pub(crate) invocation: Option<String>,
    /// Where the caller found this API.
    pub(crate) host: Option<String>,
}

/// Answers one call with the response's JSON.
pub(crate) async fn answer(call: Call, operation: Operation, body: &[u8]) -> Result<Bytes> {
    use Operation as O;
    match operation {
        O::CreateCluster => serve(call, body, cluster::create).await,
        O::DescribeClusters => serve(call, body, cluster::describe).await,
        O::ListClusters => serve(call, body, cluster::list).await,
        O::UpdateCluster => serve(call, body, cluster::update).await,
        O::UpdateClusterSettings => serve(call, body, cluster::update_settings).await,
        O::PutClusterCapacityProviders => serve(call, body, cluster::put_capacity_providers).await,
        O::DeleteCluster => serve(call, body, cluster::delete).await,
        O::CreateCapacityProvider => serve(call, body, capacity_provider::create).await,
        O::UpdateCapacityProvider => serve(call, body, capacity_provider::update).await,
        O::DescribeCapacityProviders => serve(call, body, capacity_provider::describe).await,
        O::DeleteCapacityProvider => serve(call, body, capacity_provider::delete).await,
        O::RegisterTaskDefinition => serve(call, body, task_definition::register).await,
        O::DescribeTaskDefinition => serve(call, body, task_definition::describe).await,
        O::DeregisterTaskDefinition => serve(call, body, task_definition::deregister).await,
        O::DeleteTaskDefinitions => serve(call, body, task_definition::delete).await,
        O::ListTaskDefinitions => serve(call, body, task_definition::list).await,
        O::ListTaskDefinitionFamilies => serve(call, body, task_definition::list_families).await,
        O::CreateService => serve(call, body, service::create).await,
        O::UpdateService => serve(call, body, service::update).await,
        O::DescribeServices => serve(call, body, service::describe).await,
        O::ListServices => serve(call, body, service::list).await,
        O::ListServicesByNamespace => serve(call, body, service::list_by_namespace).await,
        O::DeleteService => serve(call, body, service::delete).await,
        O::DescribeServiceDeployments => serve(call, body, service_deployment::describe).await,
        O::DescribeServiceRevisions => serve(call, body, service_deployment::describe_revisions).await,
        O::ListServiceDeployments => serve(call, body, service_deployment::list).await,
        O::StopServiceDeployment => serve(call, body, service_deployment::stop).await,
        O::ContinueServiceDeployment => serve(call, body, service_deployment::go_on).await,
        O::CreateTaskSet => serve(call, body, task_set::create).await,
        O::UpdateTaskSet => serve(call, body, task_set::update).await,
        O::DescribeTaskSets => serve(call, body, task_set::describe).await,
        O::DeleteTaskSet => serve(call, body, task_set::delete).await,
        O::UpdateServicePrimaryTaskSet => serve(call, body, task_set::set_primary).await,
        O::RunTask => serve(call, body, task_run::run).await,
        O::StartTask => serve(call, body, task_run::start).await,
        O::StopTask => serve(call, body, task::stop).await,
        O::DescribeTasks => serve(call, body, task::describe).await,
        O::ListTasks => serve(call, body, task::list).await,
        O::ExecuteCommand => serve(call, body, execute_command::execute).await,
        O::GetTaskProtection => serve(call, body, task_protection::get).await,
        O::UpdateTaskProtection => serve(call, body, task_protection::update).await,
        O::ListContainerInstances => serve(call, body, container_instance::list).await,
        O::DescribeContainerInstances => serve(call, body, container_instance::describe).await,
        O::UpdateContainerInstancesState => serve(call, body, container_instance::update_state).await,
        O::DeregisterContainerInstance => serve(call, body, container_instance::deregister).await,
        O::RegisterContainerInstance => serve(call, body, container_instance::register).await,
        O::UpdateContainerAgent => serve(call, body, container_instance::update_agent).await,
        O::DiscoverPollEndpoint => serve(call, body, agent::discover_poll_endpoint).await,
        O::SubmitTaskStateChange => serve(call, body, agent::submit_task).await,
        O::SubmitContainerStateChange => serve(call, body, agent::submit_container).await,
        O::SubmitAttachmentStateChanges => serve(call, body, agent::submit_attachments).await,
        O::PutAttributes => serve(call, body, attribute::put).await,
        O::DeleteAttributes => serve(call, body, attribute::delete).await,
        O::ListAttributes => serve(call, body, attribute::list).await,
        O::PutAccountSetting => serve(call, body, account_setting::put).await,
        O::PutAccountSettingDefault => serve(call, body, account_setting::put_default).await,
        O::DeleteAccountSetting => serve(call, body, account_setting::delete).await,
        O::ListAccountSettings => serve(call, body, account_setting::list).await,
        O::TagResource => serve(call, body, tag::add).await,
        O::UntagResource => serve(call, body, tag::remove).await,
        O::ListTagsForResource => serve(call, body, tag::list).await,
        other => Err(Error::unsupported_operation(other)),
    }
}

/// Reads the request, holds it against the service model, runs the operation and writes the response.
async fn serve<R, F, Fut>(call: Call, body: &[u8], run: F) -> Result<Bytes>
where
    R: Request + serde::Serialize,
    F: FnOnce(Context, R) -> Fut,
    Fut: Future<Output = Result<R::Response>> + Send,
{
    let broken = |error: serde_json::Error| Error::new(Code::serialization(), error.to_string());
    let body = if body.is_empty() { b"{}" } else { body };
    let request: R = serde_json::from_slice(body).map_err(broken)?;
    let violations = request.violations();
    if !violations.is_empty() {
        return Err(Error::violations(R::OPERATION, &violations));
    }
    let (parameters, client_token) = identity(&request)?;
    let context = Context {
        api: call.api,
        operation: R::OPERATION,
        caller: call.caller,
        request_id: call.request_id,
        invocation: call.invocation,
        host: call.host,
        parameters,
        client_token,
    };
    let response = Box::pin(run(context, request)).await.map_err(|error| error.declared_by(R::OPERATION))?;
    let json = serde_json::to_vec(&response)
        .map_err(|error| Error::server(format!("The answer could not be written: {error}.")))?;
    Ok(Bytes::from(json))
}

/// What tells a repeat from another call: the hash of the input as the model knows it, without its client token; and the token.
fn identity<R: serde::Serialize>(request: &R) -> Result<([u8; 32], Option<String>)> {
    let failed = |error| Error::server(format!("The request could not be written: {error}."));
    let mut input = serde_json::to_value(request).map_err(failed)?;
    let token = input.as_object_mut().and_then(|members| members.shift_remove("clientToken"));
    let token = token.and_then(|token| token.as_str().map(str::to_owned)).filter(|token| !token.is_empty());
    Ok((Sha256::digest(input.to_string()).into(), token))
}

#[cfg(test)]
mod any_input;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trireme_state::store::LocalStore;
    use trireme_types::{Scope, Timestamp};

    use super::*;
    use crate::{AuthMode, SystemClock, coverage};

    pub(super) fn call() -> Call {
        let scope = Scope::development();
        Call {
            api: Api {
                store: Arc::new(LocalStore::new([0; 32], Timestamp::EPOCH)),
                auth: AuthMode::Off,
                sealing_key: Arc::new(trireme_iam::SealingKey::from_bytes([7; 32])),
                clock: Arc::new(SystemClock),
                admission: crate::Admission::default(),
                logs: Arc::new(crate::logs::NoNodes),
                monitoring: trireme_monitoring::Monitoring::default(),
            },
            caller: Caller {
                principal: trireme_iam::Principal::unauthenticated(scope.account.clone()),
                scope,
            },
            request_id: RequestId::from_bits(1),
            invocation: None,
            host: Some("127.0.0.1:8000".to_owned()),
        }
    }

    #[tokio::test]
    async fn coverage_is_what_is_served() {
        let served: Vec<Operation> = coverage::served().collect();
        for operation in Operation::ALL {
            // A list where an object belongs: a served operation fails to read it, any other does not look.
            let error = answer(call(), *operation, b"[]").await.unwrap_err();
            let expected = if served.contains(operation) {
                "SerializationException"
            } else {
                "UnsupportedFeatureException"
            };
            assert_eq!(error.code.name(), expected, "{operation}");
        }
    }

    #[test]
    fn a_repeat_is_known_by_its_input_without_the_token() {
        let request = |token: &str, count| trireme_ecs_model::shapes::RunTaskRequest {
            task_definition: Some("web".to_owned()),
            client_token: Some(token.to_owned()),
            count: Some(count),
            ..Default::default()
        };
        let (first, token) = identity(&request("a", 1)).unwrap();
        assert_eq!(token.as_deref(), Some("a"));
        assert_eq!(identity(&request("b", 1)).unwrap().0, first);
        assert_ne!(identity(&request("a", 2)).unwrap().0, first);
    }
}
