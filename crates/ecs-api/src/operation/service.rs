//! Services.

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{
    self, CreateServiceRequest, CreateServiceResponse, DeleteServiceRequest, DeleteServiceResponse,
    DescribeServicesRequest, DescribeServicesResponse, LaunchType, ListServicesByNamespaceRequest,
    ListServicesByNamespaceResponse, ListServicesRequest, ListServicesResponse, SchedulingStrategy,
    ServiceField, UpdateServiceRequest, UpdateServiceResponse,
};
use trireme_scheduler::launch;
use trireme_state::command::ServiceChange;
use trireme_state::object::{
    ClusterKey, DeploymentConfiguration, Launching, NETWORK_CONFIGURATION, NetworkMode, PlacementRules,
    PropagateTags, ServiceKey, ServiceSpec, ServiceStatus, TaskDefinition, TaskDefinitionKey,
    TaskDefinitionStatus,
};
use trireme_state::{Command, State};
use trireme_types::ServiceName;

use crate::context::Context;
use crate::convert::{self, deployment_input, described, network, placement, service_input, tags};
use crate::error::{Error, Result, sentence};
use crate::length;
use crate::page::Page;
use crate::{resolve, unsupported};

use super::{launching, service_external, service_scheduling};

/// ECS API: services in one DescribeServices.
const DESCRIBE_LIMIT: usize = 10;
/// ECS API: CreateService.clientToken.
const TOKEN_LIMIT: usize = 36;

pub(crate) async fn create(cx: Context, request: CreateServiceRequest) -> Result<CreateServiceResponse> {
    unsupported::create_service(&request)?;
    let constraints = request.placement_constraints.as_deref().map(placement::constraints).transpose()?;
    let strategy = request.placement_strategy.as_deref().map(placement::strategy).transpose()?;
    let request =
        CreateServiceRequest { placement_constraints: constraints, placement_strategy: strategy, ..request };
    let external = service_external::is_external(request.deployment_controller.as_ref());
    let request = deployment_input::of_create(request, external)?;
    let balanced = request.load_balancers.as_ref().is_some_and(|list| !list.is_empty());
    check_role(request.role.as_deref(), balanced)?;
    let name = request.service_name.as_deref().unwrap_or_default();
    let name = ServiceName::new(name).map_err(|error| Error::invalid(sentence(&error)))?;
    length::characters("clientToken", cx.client_token.as_deref(), TOKEN_LIMIT)?;
    let desired = service_scheduling::desired_count(&request, external)?;
    service_scheduling::check_create(&request, external)?;
    if external {
        service_external::check_create(&request)?;
    } else if request.task_definition.as_ref().is_none_or(String::is_empty) {
        return Err(Error::invalid("TaskDefinition can not be blank."));
    }
    let state = cx.read().await?;
    let key = ServiceKey { cluster: cx.active_cluster(&state, request.cluster.as_deref())?, name };
    if cx.answered_before(&state)?.is_some() {
        return Ok(CreateServiceResponse { service: Some(described(&state, &key, true)?) });
    }
    let default = service_scheduling::default_limits(&request);
    let limits = configuration(default, request.deployment_configuration.as_ref())?;
    let mut kept = described::of_service(&request);
    service_scheduling::describe(&state, &request, limits, external, &mut kept)?;
    let task_definition = match external {
        true => TaskDefinitionKey::none(cx.scope()),
        false => {
            let launching = launching::of_create(&state, &key.cluster, &request, &mut kept)?;
            definition_of(&cx, &state, &key, (&request, &launching))?
        }
    };
    let spec = ServiceSpec {
        task_definition,
        desired_count: count("desiredCount", desired)?,
        deployment_configuration: limits,
        propagate_tags: request.propagate_tags.as_ref().map_or(PropagateTags::None, propagate),
        enable_ecs_managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
        health_check_grace_period_seconds: grace_period(
            request.health_check_grace_period_seconds,
            balanced || external,
        )?,
        role_arn: request.role.clone().filter(|role| !role.is_empty()),
        described: kept,
    };
    let tags = tags::parse(request.tags.as_deref())?;
    let created_by = cx.caller.principal.arn.clone();
    let command = match external {
        true => Command::CreateServiceWithTaskSets { key: key.clone(), spec, tags, created_by },
        false => Command::CreateService { key: key.clone(), spec, tags, created_by },
    };
    let (_, state) = cx.write(command).await?;
    Ok(CreateServiceResponse { service: Some(described(&state, &key, true)?) })
}

/// What a service's tasks are to be made from, if its traffic fits it.
fn definition_of(
    cx: &Context,
    state: &State,
    key: &ServiceKey,
    (request, launching): (&CreateServiceRequest, &Launching),
) -> Result<TaskDefinitionKey> {
    let named = request.task_definition.as_deref().unwrap_or_default();
    let definition = resolve::definition(state, cx.scope(), named)?;
    service_input::load_balancers(request.load_balancers.as_deref(), definition)?;
    service_input::registries(request.service_registries.as_deref(), definition)?;
    let namespace = has_namespace(state, &key.cluster);
    service_input::connect(request.service_connect_configuration.as_ref(), definition, namespace)?;
    let mode = definition.spec.network_mode;
    let constraints = request.placement_constraints.as_ref().map_or(0, Vec::len);
    let strategies = request.placement_strategy.as_ref().map_or(0, Vec::len);
    launch::check_definition(launching, &definition.spec, (constraints, strategies))?;
    network::parse(state, cx.scope(), request.network_configuration.as_ref(), mode, launching)?;
    placement::together(constraints, definition)?;
    Ok(definition.key.clone())
}

fn described(state: &State, key: &ServiceKey, with_tags: bool) -> Result<shapes::Service> {
    let service = state.service(key).ok_or_else(Error::service_not_found)?;
    Ok(convert::service::describe(state, service, with_tags))
}

fn count(member: &str, value: i32) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::invalid(format!("{member} must not be negative.")))
}

/// Whether a cluster has a namespace for Service Connect by default.
fn has_namespace(state: &State, cluster: &ClusterKey) -> bool {
    let configuration = state.cluster_configuration(cluster);
    configuration.described.contains_key(described::SERVICE_CONNECT_DEFAULTS)
}

/// Without load balancers ECS takes 0 only.
fn grace_period(value: Option<i32>, balanced: bool) -> Result<Option<u32>> {
    let seconds = value.map(|seconds| count("healthCheckGracePeriodSeconds", seconds)).transpose()?;
    if !balanced && seconds.is_some_and(|seconds| seconds > 0) {
        return Err(Error::invalid(
            "Health check grace period is only valid for services configured to use load balancers.",
        ));
    }
    Ok(seconds)
}

fn check_role(role: Option<&str>, balanced: bool) -> Result<()> {
    if !balanced && role.is_some_and(|role| !role.is_empty()) {
        return Err(Error::invalid("Role is only valid for services configured to use load balancers."));
    }
    Ok(())
}

fn propagate(value: &shapes::PropagateTags) -> PropagateTags {
    match value {
        shapes::PropagateTags::TaskDefinition => PropagateTags::TaskDefinition,
        shapes::PropagateTags::Service => PropagateTags::Service,
        _ => PropagateTags::None,
    }
}

/// What is given, over what was there before.
fn configuration(
    before: DeploymentConfiguration,
    given: Option<&shapes::DeploymentConfiguration>,
) -> Result<DeploymentConfiguration> {
    let Some(given) = given else { return Ok(before) };
    let percent = |member: &str, value: Option<i32>, before: u32| {
        value.map_or(Ok(before), |value| count(&format!("deploymentConfiguration.{member}"), value))
    };
    let result = DeploymentConfiguration {
        maximum_percent: percent("maximumPercent", given.maximum_percent, before.maximum_percent)?,
        minimum_healthy_percent: percent(
            "minimumHealthyPercent",
            given.minimum_healthy_percent,
            before.minimum_healthy_percent,
        )?,
    };
    let (maximum, minimum) = (result.maximum_percent, result.minimum_healthy_percent);
    if maximum == 100 && minimum == 100 {
        return Err(Error::invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ));
    }
    if !(100..=1000).contains(&maximum) {
        return Err(Error::invalid("deploymentConfiguration.maximumPercent must be between 100 and 1000."));
    }
    if minimum > 100 {
        return Err(Error::invalid(
            "deploymentConfiguration.minimumHealthyPercent must be between 0 and 100.",
        ));
    }
    Ok(result)
}

pub(crate) async fn update(cx: Context, request: UpdateServiceRequest) -> Result<UpdateServiceResponse> {
    unsupported::update_service(&request)?;
    let constraints = request.placement_constraints.as_deref().map(placement::constraints).transpose()?;
    let strategy = request.placement_strategy.as_deref().map(placement::strategy).transpose()?;
    let request =
        UpdateServiceRequest { placement_constraints: constraints, placement_strategy: strategy, ..request };
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let text = request.service.as_deref().unwrap_or_default();
    let service = resolve::service(&state, &cluster, text)?.ok_or_else(Error::service_not_found)?;
    if cx.answered_before(&state)?.is_some() {
        return Ok(UpdateServiceResponse { service: Some(described(&state, &service.key, true)?) });
    }
    let external = state.task_sets(&service.key).is_some();
    if external {
        service_external::check_update(&request)?;
    }
    service_scheduling::check_update(&request, service)?;
    check_controller(request.deployment_controller.as_ref(), external)?;
    let request = deployment_input::of_update(request, service, external)?;
    let before = service.spec.deployment_configuration;
    let definition = match request.task_definition.as_deref() {
        None => None,
        Some(text) => Some(changed_definition(resolve::definition(&state, cx.scope(), text)?, service)?),
    };
    let balanced = check_traffic(&state, &request, service, definition)?;
    check_placement(&state, &request, service, definition)?;
    let mut described = described::of_update(&request);
    let launching = launching::of_update(&state, service, &request, &mut described)?;
    check_launching(&state, &request, service, (definition, &launching))?;
    if !check_network(&state, &request, service, (definition, &launching))? {
        described.insert(NETWORK_CONFIGURATION.to_owned(), None);
    }
    let limits = configuration(before, request.deployment_configuration.as_ref())?;
    service_scheduling::changed(&request, service, limits, external, &mut described)?;
    let change = ServiceChange {
        desired_count: request.desired_count.map(|value| count("desiredCount", value)).transpose()?,
        task_definition: definition.map(|definition| definition.key.clone()),
        deployment_configuration: request.deployment_configuration.is_some().then_some(limits),
        force_new_deployment: request.force_new_deployment.unwrap_or(false),
        propagate_tags: request.propagate_tags.as_ref().map(propagate),
        enable_ecs_managed_tags: request.enable_ecs_managed_tags,
        health_check_grace_period_seconds: grace_period(
            request.health_check_grace_period_seconds,
            balanced || external,
        )?,
        described,
    };
    let key = service.key.clone();
    let (_, state) = cx.write(Command::UpdateService { key: key.clone(), change }).await?;
    Ok(UpdateServiceResponse { service: Some(self::described(&state, &key, true)?) })
}

/// The network configuration that a service has after an update must fit the definition that it has then. One that the definition has
/// no use for any more goes, unless it is asked for. Gives whether it stays.
fn check_network(
    state: &State,
    request: &UpdateServiceRequest,
    service: &trireme_state::object::Service,
    (definition, launching): (Option<&TaskDefinition>, &Launching),
) -> Result<bool> {
    let known = state.task_definition(&service.spec.task_definition).map(AsRef::as_ref);
    let changes = definition.is_some()
        || request.network_configuration.is_some()
        || request.capacity_provider_strategy.is_some();
    let Some(definition) = definition.or(known).filter(|_| changes) else { return Ok(true) };
    let mode = definition.spec.network_mode;
    let interfaces = mode == Some(NetworkMode::Awsvpc);
    let kept = network::read(&service.spec.described).filter(|_| interfaces);
    let given =
        request.network_configuration.clone().filter(|given| given.awsvpc_configuration.is_some()).or(kept);
    network::parse(state, &service.key.cluster.scope, given.as_ref(), mode, launching)?;
    Ok(interfaces)
}

/// What a service is launched on after an update must fit the definition, the constraints and the strategies that it has then.
fn check_launching(
    state: &State,
    request: &UpdateServiceRequest,
    service: &trireme_state::object::Service,
    (definition, launching): (Option<&TaskDefinition>, &Launching),
) -> Result<()> {
    let known = state.task_definition(&service.spec.task_definition).map(AsRef::as_ref);
    let kept = PlacementRules::of_service(&service.spec.described);
    let constraints = request.placement_constraints.as_ref().map_or(kept.constraints.len(), Vec::len);
    let strategies = request.placement_strategy.as_ref().map_or(kept.strategy.len(), Vec::len);
    let Some(definition) = definition.or(known) else { return Ok(()) };
    Ok(launch::check_definition(launching, &definition.spec, (constraints, strategies))?)
}

/// The constraints that a service has after an update, and those of the definition that it has then, are not too many.
fn check_placement(
    state: &State,
    request: &UpdateServiceRequest,
    service: &trireme_state::object::Service,
    definition: Option<&TaskDefinition>,
) -> Result<()> {
    let known = state.task_definition(&service.spec.task_definition).map(AsRef::as_ref);
    let kept = PlacementRules::of_service(&service.spec.described).constraints.len();
    let constraints = request.placement_constraints.as_ref().map_or(kept, Vec::len);
    definition.or(known).map_or(Ok(()), |definition| placement::together(constraints, definition))
}

/// A service keeps the deployment controller that it was created with.
fn check_controller(given: Option<&shapes::DeploymentController>, external: bool) -> Result<()> {
    match given.and_then(|controller| controller.r#type.as_ref()) {
        Some(_) if service_external::is_external(given) != external => {
            Err(Error::unsupported(Operation::UpdateService, "another deploymentController"))
        }
        _ => Ok(()),
    }
}

/// The load balancers, registries and Service Connect that a service has after an update must fit the definition that it has then.
/// Gives whether it has load balancers.
fn check_traffic(
    state: &State,
    request: &UpdateServiceRequest,
    service: &trireme_state::object::Service,
    definition: Option<&TaskDefinition>,
) -> Result<bool> {
    let kept = &service.spec.described;
    let balancers =
        request.load_balancers.clone().or_else(|| described::read(kept, described::LOAD_BALANCERS));
    let changes = definition.is_some()
        || request.load_balancers.is_some()
        || request.service_registries.is_some()
        || request.service_connect_configuration.is_some();
    let known = state.task_definition(&service.spec.task_definition).map(AsRef::as_ref);
    if let Some(definition) = definition.or(known).filter(|_| changes) {
        let registries = request.service_registries.clone();
        let registries = registries.or_else(|| described::read(kept, described::SERVICE_REGISTRIES));
        let connect = request.service_connect_configuration.clone();
        let connect = connect.or_else(|| described::read(kept, described::SERVICE_CONNECT));
        service_input::load_balancers(balancers.as_deref(), definition)?;
        service_input::registries(registries.as_deref(), definition)?;
        let namespace = has_namespace(state, &service.key.cluster);
        service_input::connect(connect.as_ref(), definition, namespace)?;
    }
    Ok(balancers.is_some_and(|list| !list.is_empty()))
}

/// A service may keep a definition that is inactive by now, but not change to one.
fn changed_definition<'a>(
    definition: &'a TaskDefinition,
    service: &trireme_state::object::Service,
) -> Result<&'a TaskDefinition> {
    let keeps = definition.key == service.spec.task_definition;
    if definition.status != TaskDefinitionStatus::Active && !keeps {
        return Err(Error::client("TaskDefinition is inactive"));
    }
    Ok(definition)
}

pub(crate) async fn describe(
    cx: Context,
    request: DescribeServicesRequest,
) -> Result<DescribeServicesResponse> {
    let named = request.services.unwrap_or_default();
    length::not_empty("Services", &named)?;
    length::items("services", &named, DESCRIBE_LIMIT)?;
    let with_tags = request.include.iter().flatten().any(|field| *field == ServiceField::Tags);
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for text in &named {
        match resolve::service(&state, &cluster, text)? {
            Some(service) => services.push(convert::service::describe(&state, service, with_tags)),
            None => {
                let kind = format!("service/{}", cluster.name);
                failures.push(convert::missing(convert::arn_of(cx.scope(), &kind, text)));
            }
        }
    }
    Ok(DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

pub(crate) async fn list(cx: Context, request: ListServicesRequest) -> Result<ListServicesResponse> {
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, 10)?;
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    // Every service runs on machines that the customer manages.
    let any =
        request.resource_management_type.is_none_or(|kind| kind == shapes::ResourceManagementType::Customer);
    let launched = |service: &trireme_state::object::Service| {
        let fargate = Launching::of(&service.spec.described).is_fargate();
        let launch_type = if fargate { LaunchType::Fargate } else { LaunchType::Ec2 };
        request.launch_type.as_ref().is_none_or(|asked| *asked == launch_type)
    };
    let found = state
        .services_of_cluster(&cluster)
        .filter(|service| any && service.status != ServiceStatus::Inactive && launched(service))
        .filter(|service| {
            let daemon = service_scheduling::is_daemon_service(service);
            let asked = request.scheduling_strategy.as_ref();
            asked.is_none_or(|strategy| (*strategy == SchedulingStrategy::Daemon) == daemon)
        });
    let (services, next_token) = page.take(found, false, |service| service.key.name.to_string());
    let arns = services.into_iter().map(|service| convert::service::arn(&service.key)).collect();
    Ok(ListServicesResponse { service_arns: Some(arns), next_token })
}

/// The services that use a namespace for Service Connect: their own, or their cluster's default.
pub(crate) async fn list_by_namespace(
    cx: Context,
    request: ListServicesByNamespaceRequest,
) -> Result<ListServicesByNamespaceResponse> {
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, 10)?;
    let namespace = request.namespace.unwrap_or_default();
    if namespace.is_empty() {
        return Err(Error::invalid("namespace must not be empty."));
    }
    let state = cx.read().await?;
    // The separator sorts before everything that a name may hold.
    let key = |service: &&std::sync::Arc<trireme_state::object::Service>| {
        format!("{}\0{}", service.key.cluster.name, service.key.name)
    };
    let after: Option<String> = page.after();
    let rest = state.services().filter(|service| {
        service.key.cluster.scope == *cx.scope()
            && service.status != ServiceStatus::Inactive
            && after.as_ref().is_none_or(|after| key(service) > *after)
    });
    let found = rest.filter(|service| {
        convert::service::namespace(&state, service).as_deref() == Some(namespace.as_str())
    });
    let (services, next_token) = page.take(found, false, key);
    let arns = services.into_iter().map(|service| convert::service::arn(&service.key)).collect();
    Ok(ListServicesByNamespaceResponse { service_arns: Some(arns), next_token })
}

pub(crate) async fn delete(cx: Context, request: DeleteServiceRequest) -> Result<DeleteServiceResponse> {
    let cluster = cx.cluster(request.cluster.as_deref())?;
    let text = request.service.as_deref().unwrap_or_default();
    let not_found = || crate::error::of_rejection(cx.operation, trireme_state::Rejection::ServiceNotFound);
    let key = resolve::service_key(&cluster, text)?.ok_or_else(not_found)?;
    let force = request.force.unwrap_or(false);
    let (_, state) = cx.write(Command::DeleteService { key: key.clone(), force }).await?;
    Ok(DeleteServiceResponse { service: Some(described(&state, &key, true)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolling_limits_are_checked_together() {
        let given = |maximum, minimum| shapes::DeploymentConfiguration {
            maximum_percent: maximum,
            minimum_healthy_percent: minimum,
            ..Default::default()
        };
        let before = DeploymentConfiguration::default();
        let check = |maximum, minimum| configuration(before, Some(&given(maximum, minimum)));
        assert_eq!(check(None, None), Ok(before));
        assert_eq!(check(None, Some(50)).unwrap().maximum_percent, 200);
        assert!(check(Some(100), Some(100)).unwrap_err().message.starts_with("Both maximumPercent"));
        assert!(check(Some(100), None).is_err(), "the minimum is 100 already");
        assert!(check(Some(99), Some(0)).is_err());
        assert!(check(Some(-1), None).is_err());
        assert!(check(None, Some(101)).is_err());
    }
}
