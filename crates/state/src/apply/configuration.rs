//! What happens to clusters, capacity providers and account settings.

use std::sync::Arc;

use trireme_types::Timestamp;

use crate::object::{CapacityProvider, CapacityProviderKey, Cluster, ClusterConfiguration, ClusterStatus};
use crate::{Event, State};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::ClusterCreated { cluster, tags } => {
            let created = Cluster {
                key: cluster.clone(),
                status: ClusterStatus::Active,
                tags: tags.clone(),
                created_at: at,
            };
            state.clusters.insert(cluster.clone(), Arc::new(created));
            // A name that is used again begins with nothing.
            state.cluster_configurations.remove(cluster);
            state.lost_after.remove(cluster);
        }
        Event::ClusterLostAfterSet { cluster, millis } => {
            match millis.filter(|_| state.clusters.contains_key(cluster)) {
                Some(millis) => state.lost_after.insert(cluster.clone(), millis),
                None => state.lost_after.remove(cluster),
            };
        }
        Event::ClusterDeleted { cluster } => {
            if let Some(found) = state.clusters.get_mut(cluster) {
                Arc::make_mut(found).status = ClusterStatus::Inactive;
            }
        }
        Event::ClusterConfigured { cluster, configuration } => {
            if **configuration == ClusterConfiguration::default() || !state.clusters.contains_key(cluster) {
                state.cluster_configurations.remove(cluster);
            } else {
                state.cluster_configurations.insert(cluster.clone(), Arc::new((**configuration).clone()));
            }
        }
        Event::CapacityProviderCreated { key, group, tags } => {
            let created = CapacityProvider {
                key: key.clone(),
                group: (**group).clone(),
                tags: tags.clone(),
                created_at: at,
                updated: false,
            };
            state.capacity_providers.insert(key.clone(), Arc::new(created));
        }
        Event::CapacityProviderUpdated { key, group } => with(state, key, |provider| {
            provider.group = (**group).clone();
            provider.updated = true;
        }),
        Event::CapacityProviderDeleted { key } => {
            state.capacity_providers.remove(key);
            state.pool_sizes.remove(key);
        }
        Event::CapacityProviderTagged { key, tags } => with(state, key, |provider| {
            provider.tags.clone_from(tags);
        }),
        Event::AccountSettingChanged { key, name, value } => {
            let mut settings = (*state.account_settings(key)).clone();
            match value {
                Some(value) => settings.insert(name.clone(), value.clone()),
                None => settings.remove(name),
            };
            if settings.is_empty() {
                state.account_settings.remove(key);
            } else {
                state.account_settings.insert(key.clone(), Arc::new(settings));
            }
        }
        _ => {}
    }
}

fn with(state: &mut State, key: &CapacityProviderKey, change: impl FnOnce(&mut CapacityProvider)) {
    if let Some(provider) = state.capacity_providers.get_mut(key) {
        change(Arc::make_mut(provider));
    }
}
