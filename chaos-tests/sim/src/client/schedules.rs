//! Schedules and rules that start tasks, made, changed and deleted.

use std::time::Duration;

use http::Method;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use trireme_types::Timestamp;

use super::wire::Operation;
use super::{Client, TRIES};
use crate::shim;

/// Schedules of each group.
const SCHEDULES: u64 = 3;
/// Rules.
const RULES: u64 = 2;
/// Groups, with what their tags say of how their schedules fire. The first is there already, and has none.
const GROUPS: [(&str, &str, &str); 3] =
    [("default", "", ""), ("alone", "trireme:overlap", "skip"), ("newest", "trireme:missed-runs", "latest")];

impl Client {
    pub(super) async fn operate_schedules(&mut self) {
        let rule = format!("r{}", self.rng.random_range(0..RULES));
        match self.rng.random_range(0..100) {
            0..6 => self.make_group().await,
            6..48 => self.put_schedule(Method::POST).await,
            48..62 => self.put_schedule(Method::PUT).await,
            62..70 => self.delete_schedule().await,
            70..80 => self.put_rule(&rule).await,
            80..91 => self.put_target(&rule).await,
            91..95 => {
                let name =
                    ["EnableRule", "DisableRule"].choose(&mut self.rng).copied().unwrap_or("EnableRule");
                self.rule_by(name, &json!({ "Name": rule })).await;
            }
            _ => {
                self.rule_by("RemoveTargets", &json!({ "Rule": rule, "Ids": ["one", "two"] })).await;
                self.rule_by("DeleteRule", &json!({ "Name": rule })).await;
            }
        }
    }

    /// When something is due: mostly in a few seconds, else at each minute. A rule has no times of its own.
    pub(super) fn expression(&mut self, may_be_once: bool) -> String {
        match self.rng.random_range(0..10) {
            0..6 if may_be_once => {
                let soon = shim::EPOCH + shim::now() + Duration::from_secs(self.rng.random_range(1..9));
                let soon = Timestamp::from_millis(soon.as_secs() * 1_000).to_string();
                // Without fractions and zone.
                format!("at({:.19})", soon)
            }
            6..8 => "cron(* * * * ? *)".to_owned(),
            _ => "rate(1 minute)".to_owned(),
        }
    }

    fn target(&mut self) -> Value {
        let arn = |of: &str| format!("arn:aws:ecs:us-east-1:123456789012:{of}");
        let mut parameters = json!({ "TaskDefinitionArn": "job",
            "TaskCount": self.rng.random_range(1..=2) });
        if self.shared.plan.networks {
            let subnets = &crate::network::configuration()["awsvpcConfiguration"]["subnets"];
            parameters["NetworkConfiguration"] = json!({ "awsvpcConfiguration": { "Subnets": subnets } });
        }
        let mut target = json!({ "Arn": arn("cluster/default"), "RoleArn": "arn:aws:iam::123456789012:role/r",
            "EcsParameters": parameters });
        if self.rng.random_bool(0.2) {
            target["RetryPolicy"] = json!({ "MaximumRetryAttempts": self.rng.random_range(0..3) });
        }
        target
    }

    async fn make_group(&mut self) {
        let (name, tag, value) = GROUPS[self.rng.random_range(1..GROUPS.len())];
        let body = json!({ "Tags": [{ "Key": tag, "Value": value }] });
        self.schedule_by(Method::POST, format!("/schedule-groups/{name}"), &body).await;
    }

    fn schedule(&mut self) -> (&'static str, String) {
        let (group, ..) = GROUPS[self.rng.random_range(0..GROUPS.len())];
        (group, format!("t{}", self.rng.random_range(0..SCHEDULES)))
    }

    async fn put_schedule(&mut self, method: Method) {
        let (group, name) = self.schedule();
        let mut body = json!({ "GroupName": group, "ScheduleExpression": self.expression(true),
            "FlexibleTimeWindow": { "Mode": "OFF" }, "Target": self.target(),
            "State": if self.rng.random_bool(0.05) { "DISABLED" } else { "ENABLED" } });
        if self.rng.random_bool(0.1) {
            body["FlexibleTimeWindow"] = json!({ "Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1 });
        }
        if self.rng.random_bool(0.3) {
            body["ActionAfterCompletion"] = json!("DELETE");
        }
        self.schedule_by(method, format!("/schedules/{name}"), &body).await;
    }

    async fn delete_schedule(&mut self) {
        if self.rng.random_bool(0.1) {
            let (group, ..) = GROUPS[self.rng.random_range(1..GROUPS.len())];
            return self.schedule_by(Method::DELETE, format!("/schedule-groups/{group}"), &json!({})).await;
        }
        let (group, name) = self.schedule();
        self.schedule_by(Method::DELETE, format!("/schedules/{name}?groupName={group}"), &json!({})).await;
    }

    async fn schedule_by(&mut self, method: Method, path: String, body: &Value) {
        self.ask(&Operation::scheduler(method, path), body, TRIES).await;
    }

    async fn put_rule(&mut self, rule: &str) {
        let body = json!({ "Name": rule, "ScheduleExpression": self.expression(false) });
        self.rule_by("PutRule", &body).await;
    }

    async fn put_target(&mut self, rule: &str) {
        let mut target = self.target();
        target["Id"] = json!(["one", "two"].choose(&mut self.rng));
        self.rule_by("PutTargets", &json!({ "Rule": rule, "Targets": [target] })).await;
    }

    async fn rule_by(&mut self, name: &str, body: &Value) {
        self.ask(&Operation::events(name), body, TRIES).await;
    }
}
