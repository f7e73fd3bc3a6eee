//! Clusters.

use trireme_ecs_model::shapes::{
    ClusterField, CreateClusterRequest, CreateClusterResponse, DeleteClusterRequest, DeleteClusterResponse,
    DescribeClustersRequest, DescribeClustersResponse, ListClustersRequest, ListClustersResponse,
};
use trireme_state::Command;
use trireme_state::object::{ClusterKey, ClusterStatus};
use trireme_types::ClusterName;

use crate::context::Context;
use crate::convert::{self, tags};
use crate::error::{Error, Result, sentence};
use crate::page::Page;
use crate::unsupported;

pub(crate) async fn create(cx: Context, request: CreateClusterRequest) -> Result<CreateClusterResponse> {
    unsupported::create_cluster(&request)?;
    let key = match request.cluster_name.as_deref().filter(|name| !name.is_empty()) {
        None => cx.cluster(None)?,
        Some(name) => {
            let name = ClusterName::new(name).map_err(|error| Error::invalid(sentence(&error)))?;
            ClusterKey { scope: cx.scope().clone(), name }
        }
    };
    let tags = tags::parse(request.tags.as_deref())?;
    let (_, state) = cx.write(Command::CreateCluster { cluster: key.clone(), tags }).await?;
    let cluster = state.cluster(&key).ok_or_else(Error::cluster_not_found)?;
    let include = [ClusterField::Tags, ClusterField::Settings];
    Ok(CreateClusterResponse { cluster: Some(convert::cluster::describe(&state, cluster, &include)) })
}

pub(crate) async fn describe(
    cx: Context,
    request: DescribeClustersRequest,
) -> Result<DescribeClustersResponse> {
    let named = request.clusters.unwrap_or_default();
    if named.len() > 100 {
        return Err(Error::invalid("clusters can have at most 100 items."));
    }
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
        .filter(|cluster| cluster.key.scope == *cx.scope() && cluster.status == ClusterStatus::Active);
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
