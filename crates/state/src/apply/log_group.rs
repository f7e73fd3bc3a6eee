//! What happens to log groups.

use std::sync::Arc;

use trireme_types::Timestamp;

use crate::State;
use crate::event::LogGroupEvent;
use crate::object::{LogGroup, LogGroupKey};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &LogGroupEvent) {
    match event {
        LogGroupEvent::LogGroupCreated { key, tags } => {
            let created =
                LogGroup { key: key.clone(), created_at: at, retention_days: None, tags: tags.clone() };
            state.log_groups.insert(key.clone(), Arc::new(created));
        }
        LogGroupEvent::LogGroupDeleted { key } => {
            state.log_groups.remove(key);
        }
        LogGroupEvent::LogGroupRetentionChanged { key, days } => with(state, key, |group| {
            group.retention_days = *days;
        }),
        LogGroupEvent::LogGroupTagged { key, tags } => with(state, key, |group| {
            group.tags.clone_from(tags);
        }),
    }
}

fn with(state: &mut State, key: &LogGroupKey, change: impl FnOnce(&mut LogGroup)) {
    if let Some(group) = state.log_groups.get_mut(key) {
        change(Arc::make_mut(group));
    }
}
