//! The answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trireme_rpc::agent as wire;

use super::server::{Answer, Asked, Server};
use super::shape::{self, Problem};
use crate::control::Unanswered;
use crate::runtime::{Failure, Inspection};
use crate::task::step::Record;

/// What a task says of its protection (ECS developer guide: task scale-in protection endpoint).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ProtectionRequest {
    protection_enabled: Option<bool>,
    expires_in_minutes: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Protection {
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_date: Option<String>,
    protection_enabled: bool,
    task_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl Server {
    /// Answers a question that may be answered.
    pub(super) async fn tell(
        &self,
        asked: Asked,
        record: &Record,
        found: &[Inspection],
        request: &Request<Bytes>,
    ) -> Answer {
        match asked {
            Asked::Container => {
                let document = shape::container(record, record.index, &found[record.index]);
                Answer::json(StatusCode::OK, &document)
            }
            Asked::Task { tags } => {
                let mut document = shape::task(record, found, &self.zone);
                if tags {
                    match self.control.tags(&record.spec.task_id).await {
                        Ok(tags) => {
                            document.task_tags = Some(sorted(tags.task));
                            document.container_instance_tags = Some(sorted(tags.container_instance));
                        }
                        Err(error) => document.errors.push(no_tags(&error, &record.spec.task_arn)),
                    }
                }
                Answer::json(StatusCode::OK, &document)
            }
            Asked::ContainerStats => match self.stats(record, record.index).await {
                Ok(stats) => Answer::json(StatusCode::OK, &stats),
                Err(failure) => Answer::failed(&failure.to_string()),
            },
            Asked::TaskStats => self.task_stats(record).await,
            Asked::Protection if request.method() == Method::PUT => {
                self.protect(record, request.body()).await
            }
            Asked::Protection => self.protection(record, None).await,
        }
    }

    async fn stats(&self, record: &Record, index: usize) -> Result<Value, Failure> {
        self.runtime.stats(record.members[index].id().unwrap_or_default()).await
    }

    /// The statistics of all of the task's containers, by their ids on the engine; `null` for what they could not be had of.
    async fn task_stats(&self, record: &Record) -> Answer {
        let all = record.members.iter().enumerate().map(|(index, member)| async move {
            let id = member.id()?.to_owned();
            Some((id, self.stats(record, index).await.unwrap_or(Value::Null)))
        });
        let all: Map<String, Value> =
            futures_util::future::join_all(all).await.into_iter().flatten().collect();
        Answer::json(StatusCode::OK, &all)
    }

    async fn protect(&self, record: &Record, body: &Bytes) -> Answer {
        let arn = &record.spec.task_arn;
        let Ok(request) = serde_json::from_slice::<ProtectionRequest>(body) else {
            return invalid("", "UpdateTaskProtection: failed to decode request");
        };
        let Some(enabled) = request.protection_enabled else {
            return invalid(arn, "Invalid request: does not contain 'ProtectionEnabled' field");
        };
        let minutes = request.expires_in_minutes.map_or(Ok(0), u32::try_from);
        let Ok(minutes) = minutes else {
            return invalid(arn, "expiresInMinutes must be between 1 and 2880.");
        };
        let given = request.expires_in_minutes.is_some();
        let change = wire::ProtectionChange { enabled, minutes: given.then_some(minutes) };
        self.protection(record, Some(change)).await
    }

    /// What the task has, after a change if there is one.
    async fn protection(&self, record: &Record, change: Option<wire::ProtectionChange>) -> Answer {
        let arn = record.spec.task_arn.as_str();
        match self.control.protection(&record.spec.task_id, change).await {
            Ok(wire::ProtectionResponse { not_valid: true, .. }) => {
                let failure = Refusal { arn, reason: Some("TASK_NOT_VALID"), code: None, message: None };
                Answer::json(StatusCode::OK, &BTreeMap::from([("failure", failure)]))
            }
            Ok(response) => {
                let protection = Protection {
                    expiration_date: response.until_millis.and_then(shape::time),
                    protection_enabled: response.until_millis.is_some(),
                    task_arn: arn.to_owned(),
                };
                Answer::json(StatusCode::OK, &BTreeMap::from([("protection", protection)]))
            }
            Err(Unanswered::Invalid(message)) => invalid(arn, &message),
            Err(Unanswered::Unreachable(message)) => {
                refusal(StatusCode::GATEWAY_TIMEOUT, arn, "ServerException", &message)
            }
        }
    }
}

fn invalid(arn: &str, message: &str) -> Answer {
    refusal(StatusCode::BAD_REQUEST, arn, "InvalidParameterException", message)
}

fn refusal(status: StatusCode, arn: &str, code: &str, message: &str) -> Answer {
    let error = Refusal { arn, reason: None, code: Some(code), message: Some(message) };
    Answer::json(status, &BTreeMap::from([("error", error)]))
}

fn no_tags(error: &Unanswered, task_arn: &str) -> Problem {
    Problem {
        error_field: "TaskTags",
        error_code: "ServerException",
        error_message: error.to_string(),
        status_code: StatusCode::GATEWAY_TIMEOUT.as_u16(),
        resource_arn: task_arn.to_owned(),
    }
}

fn sorted(tags: std::collections::HashMap<String, String>) -> BTreeMap<String, String> {
    tags.into_iter().collect()
}
