//! Account settings: what an account has by default, what a principal has instead, and what that comes to.

use trireme_ecs_model::shapes::{
    DeleteAccountSettingRequest, DeleteAccountSettingResponse, ListAccountSettingsRequest,
    ListAccountSettingsResponse, PutAccountSettingDefaultRequest, PutAccountSettingDefaultResponse,
    PutAccountSettingRequest, PutAccountSettingResponse, Setting, SettingName, SettingType,
};
use trireme_iam::Principal;
use trireme_state::object::SettingsKey;
use trireme_state::{Command, State};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::page::Page;

/// A setting: its name, its values (the first is ECS's default), and whether only AWS changes it.
#[derive(Debug)]
struct Known {
    name: &'static str,
    values: &'static [&'static str],
    managed: bool,
}

const fn known(name: &'static str, values: &'static [&'static str]) -> Known {
    Known { name, values, managed: false }
}

/// ECS API: SettingName, in the order of their names. ARNs have their long form always: it cannot be turned off.
const SETTINGS: [Known; 11] = [
    known("awsvpcTrunking", &["disabled", "enabled"]),
    known("containerInsights", &["disabled", "enabled", "enhanced"]),
    known("containerInstanceLongArnFormat", &["enabled"]),
    known("defaultLogDriverMode", &["non-blocking", "blocking"]),
    known("fargateEventWindows", &["disabled", "enabled"]),
    known("fargateFIPSMode", &["disabled", "enabled"]),
    known("fargateTaskRetirementWaitPeriod", &["7", "0", "14"]),
    Known { name: "guardDutyActivate", values: &["off", "on"], managed: true },
    known("serviceLongArnFormat", &["enabled"]),
    known("tagResourceAuthorization", &["on", "off"]),
    known("taskLongArnFormat", &["enabled"]),
];

impl Known {
    fn default(&self) -> &'static str {
        self.values.first().copied().unwrap_or_default()
    }

    fn setting(&self, value: &str, principal: &str) -> Setting {
        Setting {
            name: Some(SettingName::from(self.name)),
            value: Some(value.to_owned()),
            principal_arn: Some(principal.to_owned()),
            r#type: Some(if self.managed { SettingType::AwsManaged } else { SettingType::User }),
        }
    }
}

fn find(name: Option<&SettingName>) -> Result<&'static Known> {
    let text = name.map(ToString::to_string).unwrap_or_default();
    SETTINGS
        .iter()
        .find(|one| one.name == text)
        .ok_or_else(|| Error::invalid(format!("The account setting name {text} is not valid.")))
}

/// A setting and a value that a user may give it.
fn checked(name: Option<&SettingName>, value: Option<&str>) -> Result<(&'static Known, String)> {
    let known = find(name)?;
    let value = value.unwrap_or_default();
    if known.managed {
        return Err(Error::invalid(format!("The account setting {} is managed by AWS.", known.name)));
    }
    if known.name.ends_with("LongArnFormat") && value == "disabled" {
        return Err(Error::invalid("You can no longer disable Long Arn settings."));
    }
    if !known.values.contains(&value) {
        return Err(Error::invalid(format!(
            "The value {value} is not valid for the account setting {}: it is one of [{}].",
            known.name,
            known.values.join(", ")
        )));
    }
    Ok((known, value.to_owned()))
}

/// Whose settings a request is about, and the ARN that is shown. Root's own are the account's.
fn whose(cx: &Context, named: Option<&str>) -> Result<(SettingsKey, String)> {
    let root = Principal::root_arn(&cx.scope().account);
    let arn = named.filter(|arn| !arn.is_empty()).unwrap_or(&cx.caller.principal.arn);
    let of_account = format!("arn:aws:iam::{}:", cx.scope().account);
    let kind = arn.strip_prefix(&of_account).map(|rest| rest.split('/').next().unwrap_or_default());
    // A session acts with its role's settings, whose name it has.
    let session = arn.starts_with(&format!("arn:aws:sts::{}:assumed-role/", cx.scope().account));
    if !matches!(kind, Some("root" | "user" | "role")) && !session || arn.len() > ARN_LIMIT {
        return Err(Error::invalid(format!(
            "The principal ARN {arn} is not valid: it names this account's root, or a user or role of it."
        )));
    }
    let principal = (arn != root).then(|| arn.to_owned());
    Ok((SettingsKey { scope: cx.scope().clone(), principal }, arn.to_owned()))
}

/// The longest ARN that IAM makes.
const ARN_LIMIT: usize = 2_048;

fn account(cx: &Context) -> SettingsKey {
    SettingsKey { scope: cx.scope().clone(), principal: None }
}

pub(crate) async fn put(cx: Context, request: PutAccountSettingRequest) -> Result<PutAccountSettingResponse> {
    let (known, value) = checked(request.name.as_ref(), request.value.as_deref())?;
    let (key, arn) = whose(&cx, request.principal_arn.as_deref())?;
    let setting = known.setting(&value, &arn);
    let name = known.name.to_owned();
    cx.write(Command::ChangeAccountSetting { key, name, value: Some(value) }).await?;
    Ok(PutAccountSettingResponse { setting: Some(setting) })
}

pub(crate) async fn put_default(
    cx: Context,
    request: PutAccountSettingDefaultRequest,
) -> Result<PutAccountSettingDefaultResponse> {
    let (known, value) = checked(request.name.as_ref(), request.value.as_deref())?;
    let setting = known.setting(&value, &Principal::root_arn(&cx.scope().account));
    let (key, name) = (account(&cx), known.name.to_owned());
    cx.write(Command::ChangeAccountSetting { key, name, value: Some(value) }).await?;
    Ok(PutAccountSettingDefaultResponse { setting: Some(setting) })
}

/// What is left then is answered: the account's value, or ECS's own.
pub(crate) async fn delete(
    cx: Context,
    request: DeleteAccountSettingRequest,
) -> Result<DeleteAccountSettingResponse> {
    let known = find(request.name.as_ref())?;
    let (key, arn) = whose(&cx, request.principal_arn.as_deref())?;
    let command = Command::ChangeAccountSetting { key, name: known.name.to_owned(), value: None };
    let (_, state) = cx.write(command).await?;
    let left = state.account_settings(&account(&cx));
    let value = left.get(known.name).map_or(known.default(), String::as_str);
    Ok(DeleteAccountSettingResponse { setting: Some(known.setting(value, &arn)) })
}

pub(crate) async fn list(
    cx: Context,
    request: ListAccountSettingsRequest,
) -> Result<ListAccountSettingsResponse> {
    // ECS gives ten to a page unless told otherwise; all eleven fit into one here.
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, SETTINGS.len())?;
    let only = request.name.as_ref().map(|name| find(Some(name))).transpose()?;
    if request.value.is_some() && only.is_none() {
        return Err(Error::invalid("A value can only be specified together with the name of a setting."));
    }
    let (key, arn) = whose(&cx, request.principal_arn.as_deref())?;
    let state = cx.read().await?;
    let effective = request.effective_settings == Some(true);
    let settings = SETTINGS
        .iter()
        .filter(|known| only.is_none_or(|only| only.name == known.name))
        .filter_map(|known| value_of(&cx, &state, &key, &arn, known, effective))
        .filter(|setting| request.value.is_none() || setting.value == request.value);
    let (settings, next_token) = page
        .take(settings, false, |setting| setting.name.as_ref().map(ToString::to_string).unwrap_or_default());
    Ok(ListAccountSettingsResponse { settings: Some(settings), next_token })
}

/// What a principal has of one setting: its own, and if what counts is asked for, the account's, then ECS's, which are root's.
fn value_of(
    cx: &Context,
    state: &State,
    key: &SettingsKey,
    arn: &str,
    known: &Known,
    effective: bool,
) -> Option<Setting> {
    if let Some(own) = state.account_settings(key).get(known.name) {
        return Some(known.setting(own, arn));
    }
    if !effective {
        return None;
    }
    let of_account = state.account_settings(&account(cx));
    let value = of_account.get(known.name).map_or(known.default(), String::as_str);
    Some(known.setting(value, &Principal::root_arn(&cx.scope().account)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_model_is_known() {
        let names: Vec<&str> = SETTINGS.iter().map(|known| known.name).collect();
        assert!(names.is_sorted(), "pages follow the names");
        for name in SettingName::ALL {
            assert!(names.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn values_are_checked() {
        let check = |name: &str, value| checked(Some(&SettingName::from(name)), Some(value));
        assert!(check("containerInsights", "enhanced").is_ok());
        assert!(check("containerInsights", "on").is_err());
        assert!(check("guardDutyActivate", "on").unwrap_err().message.contains("managed by AWS"));
        let short = check("taskLongArnFormat", "disabled").unwrap_err();
        assert!(short.message.starts_with("You can no longer disable"), "there are only long ones");
    }
}
