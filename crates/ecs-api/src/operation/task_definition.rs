//! Task definitions.

use std::sync::Arc;

use trireme_ecs_model::shapes::{
    DeleteTaskDefinitionsRequest, DeleteTaskDefinitionsResponse, DeregisterTaskDefinitionRequest,
    DeregisterTaskDefinitionResponse, DescribeTaskDefinitionRequest, DescribeTaskDefinitionResponse, Failure,
    ListTaskDefinitionFamiliesRequest, ListTaskDefinitionFamiliesResponse, ListTaskDefinitionsRequest,
    ListTaskDefinitionsResponse, RegisterTaskDefinitionRequest, RegisterTaskDefinitionResponse, SortOrder,
    TaskDefinitionFamilyStatus, TaskDefinitionField, TaskDefinitionStatus as Status,
};
use trireme_state::object::{TaskDefinition, TaskDefinitionKey, TaskDefinitionStatus};
use trireme_state::store::ProposeError;
use trireme_state::{Command, Outcome, Rejection, State};
use trireme_types::Family;

use crate::context::Context;
use crate::convert::{definition_input, tags, task_definition};
use crate::error::{Error, Result, of_propose, of_rejection, sentence};
use crate::length;
use crate::page::Page;
use crate::resolve::DefinitionName;

pub(crate) async fn register(
    cx: Context,
    request: RegisterTaskDefinitionRequest,
) -> Result<RegisterTaskDefinitionResponse> {
    let family = Family::new(request.family.as_deref().unwrap_or_default())
        .map_err(|error| Error::client(sentence(&error)))?;
    let spec = definition_input::spec(&request)?;
    let tags = tags::parse(request.tags.as_deref())?;
    let command = Command::RegisterTaskDefinition {
        scope: cx.scope().clone(),
        family,
        spec: Arc::new(spec),
        tags,
        registered_by: cx.caller.principal.arn.clone(),
    };
    let (outcome, state) = cx.write(command).await?;
    let Outcome::TaskDefinition(key) = outcome else {
        return Err(Error::server("The registration has no revision."));
    };
    let definition = find(&state, &key)?;
    Ok(RegisterTaskDefinitionResponse {
        task_definition: Some(task_definition::describe(definition)),
        tags: Some(tags::list(&definition.tags)),
    })
}

fn find<'a>(state: &'a State, key: &TaskDefinitionKey) -> Result<&'a TaskDefinition> {
    state.task_definition(key).map(AsRef::as_ref).ok_or_else(|| Error::client("TaskDefinition not found."))
}

pub(crate) async fn describe(
    cx: Context,
    request: DescribeTaskDefinitionRequest,
) -> Result<DescribeTaskDefinitionResponse> {
    let state = cx.read().await?;
    let name = DefinitionName::parse(cx.scope(), request.task_definition.as_deref().unwrap_or_default());
    let definition = name
        .and_then(|name| name.find(&state, cx.scope()))
        .ok_or_else(|| Error::client("Unable to describe task definition."))?;
    let with_tags = request.include.iter().flatten().any(|field| *field == TaskDefinitionField::Tags);
    Ok(DescribeTaskDefinitionResponse {
        task_definition: Some(task_definition::describe(definition)),
        tags: Some(if with_tags { tags::list(&definition.tags) } else { Vec::new() }),
    })
}

/// A task definition that is named with its revision. It need not exist.
fn revision(cx: &Context, text: &str) -> Result<TaskDefinitionKey> {
    match DefinitionName::parse(cx.scope(), text) {
        Some(DefinitionName::Revision(family, revision)) => {
            Ok(TaskDefinitionKey { scope: cx.scope().clone(), family, revision })
        }
        Some(DefinitionName::Family(_)) => {
            Err(Error::invalid(format!("The revision is missing: name {text}:REVISION, not {text}.")))
        }
        None => Err(Error::client("TaskDefinition not found.")),
    }
}

pub(crate) async fn deregister(
    cx: Context,
    request: DeregisterTaskDefinitionRequest,
) -> Result<DeregisterTaskDefinitionResponse> {
    let key = revision(&cx, request.task_definition.as_deref().unwrap_or_default())?;
    let (_, state) = cx.write(Command::DeregisterTaskDefinition { key: key.clone() }).await?;
    let definition = task_definition::describe(find(&state, &key)?);
    Ok(DeregisterTaskDefinitionResponse { task_definition: Some(definition) })
}

/// ECS API: task definitions in one DeleteTaskDefinitions.
const DELETE_LIMIT: usize = 10;

pub(crate) async fn delete(
    cx: Context,
    request: DeleteTaskDefinitionsRequest,
) -> Result<DeleteTaskDefinitionsResponse> {
    let named = request.task_definitions.unwrap_or_default();
    length::not_empty("Task definitions", &named)?;
    length::items("taskDefinitions", &named, DELETE_LIMIT)?;
    // All are read before the first one is changed.
    let keys: Vec<TaskDefinitionKey> = named.iter().map(|text| revision(&cx, text)).collect::<Result<_>>()?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for key in keys {
        let part = format!("{}:{}", key.family, key.revision);
        match cx.propose(&part, Command::DeleteTaskDefinition { key: key.clone() }).await {
            Ok((_, state)) => deleted.push(task_definition::describe(find(&state, &key)?)),
            Err(ProposeError::Rejected(
                rejection @ (Rejection::TaskDefinitionNotFound | Rejection::TaskDefinitionActive),
            )) => failures.push(Failure {
                arn: Some(task_definition::arn(&key)),
                reason: Some(of_rejection(cx.operation, rejection).message),
                detail: None,
            }),
            Err(error) => return Err(of_propose(cx.operation, error)),
        }
    }
    Ok(DeleteTaskDefinitionsResponse { task_definitions: Some(deleted), failures: Some(failures) })
}

/// By family, then by revision as a number. The separator sorts before everything that a family may hold.
fn page_key(key: &TaskDefinitionKey) -> String {
    format!("{}\0{:010}", key.family, key.revision)
}

pub(crate) async fn list(
    cx: Context,
    request: ListTaskDefinitionsRequest,
) -> Result<ListTaskDefinitionsResponse> {
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, 100)?;
    let wanted = match request.status {
        None | Some(Status::Active) => Some(TaskDefinitionStatus::Active),
        Some(Status::Inactive) => Some(TaskDefinitionStatus::Inactive),
        Some(Status::DeleteInProgress) => Some(TaskDefinitionStatus::DeleteInProgress),
        Some(_) => None,
    };
    let state = cx.read().await?;
    let family = request.family_prefix.as_deref().filter(|family| !family.is_empty());
    // Despite its name, ECS takes familyPrefix for the whole family here.
    let mut found: Vec<_> = state
        .task_definitions()
        .filter(|one| one.key.scope == *cx.scope() && Some(one.status) == wanted)
        .filter(|one| family.is_none_or(|family| one.key.family.as_str() == family))
        .collect();
    let descending = request.sort == Some(SortOrder::Desc);
    if descending {
        found.reverse();
    }
    let (definitions, next_token) = page.take(found.into_iter(), descending, |one| page_key(&one.key));
    let arns = definitions.into_iter().map(|one| task_definition::arn(&one.key)).collect();
    Ok(ListTaskDefinitionsResponse { task_definition_arns: Some(arns), next_token })
}

pub(crate) async fn list_families(
    cx: Context,
    request: ListTaskDefinitionFamiliesRequest,
) -> Result<ListTaskDefinitionFamiliesResponse> {
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, 100)?;
    let prefix = request.family_prefix.unwrap_or_default();
    let state = cx.read().await?;
    // Each family once, with whether any revision of it is active.
    let mut families: Vec<(&Family, bool)> = Vec::new();
    for one in state.task_definitions().filter(|one| one.key.scope == *cx.scope()) {
        let active = one.status == TaskDefinitionStatus::Active;
        match families.last_mut() {
            Some((family, any)) if **family == one.key.family => *any |= active,
            _ => families.push((&one.key.family, active)),
        }
    }
    let wanted = |active: bool| match request.status {
        Some(TaskDefinitionFamilyStatus::Inactive) => !active,
        Some(TaskDefinitionFamilyStatus::All) => true,
        _ => active,
    };
    let found = families
        .into_iter()
        .filter(|(family, active)| wanted(*active) && family.as_str().starts_with(&prefix))
        .map(|(family, _)| family.to_string());
    let (families, next_token) = page.take(found, false, Clone::clone);
    Ok(ListTaskDefinitionFamiliesResponse { families: Some(families), next_token })
}
