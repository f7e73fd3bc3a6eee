//! Clusters.

use trireme_ecs_model::shapes::{
    self, ClusterField, CreateClusterRequest, CreateClusterResponse, DeleteClusterRequest,
    DeleteClusterResponse, DescribeClustersRequest, DescribeClustersResponse, ListClustersRequest,
    ListClustersResponse, PutClusterCapacityProvidersRequest, PutClusterCapacityProvidersResponse,
    UpdateClusterRequest, UpdateClusterResponse, UpdateClusterSettingsRequest, UpdateClusterSettingsResponse,
};
use trireme_state::command::ClusterChange;
use trireme_state::object::{ClusterKey, ClusterStatus};
use trireme_state::{Command, State};
use trireme_types::ClusterName;

use crate::context::Context;
use crate::convert::{self, cluster_input, tags};
use crate::error::{Error, Result, sentence};
use crate::length;
use crate::page::Page;

/// ECS API: clusters in one DescribeClusters.
const DESCRIBE_LIMIT: usize = 100;
/// What ECS shows of a cluster that a call has changed.
const CHANGED: [ClusterField; 3] = [ClusterField::Tags, ClusterField::Settings, ClusterField::Configurations];

pub(crate) async fn create(cx: Context, request: CreateClusterRequest) -> Result<CreateClusterResponse> {
    let key = match request.cluster_name.as_deref().filter(|name| !name.is_empty()) {
        None => cx.cluster(None)?,
        Some(name) => {
            let name = ClusterName::new(name).map_err(|error| Error::invalid(sentence(&error)))?;
            ClusterKey { scope: cx.scope().clone(), name }
        }
    };
    if key.is_managed_pool() {
        return Err(Error::invalid("The cluster name is Trireme's own."));
    }
    let tags = tags::parse(request.tags.as_deref())?;
    let described =
        cluster_input::described(request.configuration.as_ref(), request.service_connect_defaults.as_ref())?;
    let providers = cluster_input::capacity_providers(cx.scope(), request.capacity_providers.as_deref())?;
    let strategy = request.default_capacity_provider_strategy.as_deref();
    let capacity = Some((providers, cluster_input::strategy(cx.scope(), strategy)?));
    let configuration = ClusterChange {
        container_insights: cluster_input::settings(request.settings.as_deref())?,
        capacity: capacity.filter(|(providers, strategy)| !providers.is_empty() || !strategy.is_empty()),
        described,
    };
    let cluster = key.clone();
    let command = match configuration == ClusterChange::default() {
        true => Command::CreateCluster { cluster, tags },
        false => Command::CreateConfiguredCluster { cluster, tags, configuration: Box::new(configuration) },
    };
    let (_, state) = cx.write(command).await?;
    Ok(CreateClusterResponse { cluster: Some(described_cluster(&state, &key)?) })
}

fn described_cluster(state: &State, key: &ClusterKey) -> Result<shapes::Cluster> {
    let cluster = state.cluster(key).ok_or_else(Error::cluster_not_found)?;
    Ok(convert::cluster::describe(state, cluster, &CHANGED))
}

async fn change(cx: &Context, named: Option<&str>, change: ClusterChange) -> Result<shapes::Cluster> {
    let cluster = cx.cluster(named)?;
    let command = Command::UpdateCluster { cluster: cluster.clone(), change: Box::new(change) };
    let (_, state) = cx.write(command).await?;
    described_cluster(&state, &cluster)
}

pub(crate) async fn update(cx: Context, request: UpdateClusterRequest) -> Result<UpdateClusterResponse> {
    let wanted = ClusterChange {
        container_insights: cluster_input::settings(request.settings.as_deref())?,
        capacity: None,
        described: cluster_input::described(
            request.configuration.as_ref(),
            request.service_connect_defaults.as_ref(),
        )?,
    };
    let cluster = change(&cx, request.cluster.as_deref(), wanted).await?;
    Ok(UpdateClusterResponse { cluster: Some(cluster) })
}

pub(crate) async fn update_settings(
    cx: Context,
    request: UpdateClusterSettingsRequest,
) -> Result<UpdateClusterSettingsResponse> {
    let container_insights = cluster_input::settings(request.settings.as_deref())?;
    if container_insights.is_none() {
        return Err(Error::invalid("Settings cannot be empty."));
    }
    let wanted = ClusterChange { container_insights, ..ClusterChange::default() };
    let cluster = change(&cx, request.cluster.as_deref(), wanted).await?;
    Ok(UpdateClusterSettingsResponse { cluster: Some(cluster) })
}

pub(crate) async fn put_capacity_providers(
    cx: Context,
    request: PutClusterCapacityProvidersRequest,
) -> Result<PutClusterCapacityProvidersResponse> {
    let providers = cluster_input::capacity_providers(cx.scope(), request.capacity_providers.as_deref())?;
    let strategy =
        cluster_input::strategy(cx.scope(), request.default_capacity_provider_strategy.as_deref())?;
    let wanted = ClusterChange { capacity: Some((providers, strategy)), ..ClusterChange::default() };
    let mut cluster = change(&cx, request.cluster.as_deref(), wanted).await?;
    // Nothing has to be attached: it is done with the call.
    cluster.attachments = Some(Vec::new());
    cluster.attachments_status = Some("UPDATE_COMPLETE".to_owned());
    Ok(PutClusterCapacityProvidersResponse { cluster: Some(cluster) })
}

pub(crate) async fn describe(
    cx: Context,
    request: DescribeClustersRequest,
) -> Result<DescribeClustersResponse> {
    let named = request.clusters.unwrap_or_default();
    length::items("clusters", &named, DESCRIBE_LIMIT)?;
    let keys = if named.is_empty() { vec!["default".to_owned()] } else { named };
    let include = request.include.unwrap_or_default();
    let state = cx.read().await?;
    let mut response = DescribeClustersResponse { clusters: Some(Vec::new()), failures: Some(Vec::new()) };
    for name in keys {
        match cx.cluster(Some(&name)).ok().and_then(|key| state.cluster(&key).cloned()) {
            Some(cluster) => {
                let cluster = convert::cluster::describe(&state, &cluster, &include);
                response.clusters.get_or_insert_default().push(cluster);
            }
            None => {
                let arn = convert::arn_of(cx.scope(), "cluster", &name);
                response.failures.get_or_insert_default().push(convert::missing(arn));
            }
        }
    }
    Ok(response)
}

pub(crate) async fn list(cx: Context, request: ListClustersRequest) -> Result<ListClustersResponse> {
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, 100)?;
    let state = cx.read().await?;
    let active = state
        .clusters()
        .filter(|cluster| cluster.key.scope == *cx.scope() && cluster.status == ClusterStatus::Active)
        .filter(|cluster| !cluster.key.is_managed_pool());
    let (clusters, next_token) = page.take(active, false, |cluster| cluster.key.name.to_string());
    let arns = clusters.into_iter().map(|cluster| convert::cluster::arn(&cluster.key)).collect();
    Ok(ListClustersResponse { cluster_arns: Some(arns), next_token })
}

pub(crate) async fn delete(cx: Context, request: DeleteClusterRequest) -> Result<DeleteClusterResponse> {
    let key = cx.cluster(request.cluster.as_deref())?;
    let (_, state) = cx.write(Command::DeleteCluster { cluster: key.clone() }).await?;
    let cluster = state.cluster(&key).ok_or_else(Error::cluster_not_found)?;
    let include = [ClusterField::Tags];
    Ok(DeleteClusterResponse { cluster: Some(convert::cluster::describe(&state, cluster, &include)) })
}
