//! Account settings: an account's defaults, and what principals have instead.

use trireme_types::Scope;

use super::{Decided, Decision};
use crate::limits::PRINCIPALS_WITH_SETTINGS;
use crate::object::{ContainerInsights, SettingsKey};
use crate::{Actor, Event, Rejection, State};

/// ECS's name of what a new cluster has when its creator does not say.
const CONTAINER_INSIGHTS: &str = "containerInsights";

/// What a new cluster has when its creator does not say: as the creator has it, else as the account (ECS API: PutAccountSetting).
pub(super) fn container_insights(state: &State, scope: &Scope, actor: &Actor) -> ContainerInsights {
    let of = |principal: Option<String>| {
        let settings = state.account_settings(&SettingsKey { scope: scope.clone(), principal });
        settings.get(CONTAINER_INSIGHTS).and_then(|value| value.parse().ok())
    };
    let own = match actor {
        Actor::Principal(arn) => of(Some(arn.clone())),
        _ => None,
    };
    own.or_else(|| of(None)).unwrap_or_default()
}

pub(super) fn change(state: &State, key: &SettingsKey, name: &str, value: Option<&str>) -> Decided {
    let known = state.account_settings(key);
    if known.get(name).map(String::as_str) == value {
        return Ok(Decision::nothing());
    }
    let is_new = known.is_empty() && value.is_some();
    if is_new && state.settings_of(&key.scope).count() >= PRINCIPALS_WITH_SETTINGS {
        return Err(Rejection::LimitExceeded {
            what: "principals with account settings".to_owned(),
            limit: PRINCIPALS_WITH_SETTINGS as u64,
        });
    }
    let event = Event::AccountSettingChanged {
        key: key.clone(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    Ok(Decision::one(event))
}
