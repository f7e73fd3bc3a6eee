//! What operators and upkeep do at a control node: access keys, the history's retention, the feature level.

use trireme_types::Sequence;

use super::{Decided, Decision};
use crate::command::NewAccessKey;
use crate::object::{AccessKey, RestoreSource, Retention};
use crate::{Event, FeatureLevel, Rejection, Stamp, State};

pub(super) fn create_access_key(state: &State, new: &NewAccessKey, stamp: &Stamp) -> Decided {
    if let Some(known) = state.access_key(&new.id) {
        if known.secret == new.secret {
            return Ok(Decision::nothing());
        }
        return Err(Rejection::Invalid { message: format!("access key {} exists", new.id.as_str()) });
    }
    let key = AccessKey {
        id: new.id.clone(),
        account: new.account.clone(),
        principal: new.principal.clone(),
        secret: new.secret.clone(),
        created_at: stamp.now,
    };
    Ok(Decision::one(Event::AccessKeyCreated { key: Box::new(key) }))
}

/// Merged here, so that of two operators who set one each at the same time none is overruled.
pub(super) fn set_retention(state: &State, events: Option<u64>, millis: Option<u64>) -> Decided {
    let now = state.retention();
    let retention = Retention { events: events.unwrap_or(now.events), millis: millis.unwrap_or(now.millis) };
    if retention.events < Retention::EVENTS_MIN {
        return Err(Rejection::Invalid {
            message: format!("a history keeps at least {} events", Retention::EVENTS_MIN),
        });
    }
    if retention.millis == 0 {
        return Err(Rejection::Invalid { message: "an event has to be kept for some time".to_owned() });
    }
    if retention == now {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(Event::RetentionSet { retention }))
}

/// What happened last is always kept: there is something to follow on.
pub(super) fn trim_history(state: &State, to: Sequence) -> Decided {
    if to <= state.trimmed() || to >= state.position().sequence {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(Event::HistoryTrimmed { to }))
}

pub(super) fn restored(incarnation: u64, source: RestoreSource) -> Decision {
    Decision::one(Event::ClusterRestored { incarnation, source })
}

pub(super) fn raise_feature_level(state: &State, level: FeatureLevel) -> Decided {
    if level <= state.level() {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(Event::FeatureLevelRaised { level }))
}
