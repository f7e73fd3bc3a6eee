//! Services that are scaled: targets, policies, scheduled actions, alarms and metrics come, change and go. Their desired counts are nobody's
//! registers, for autoscaling writes them too.

use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::wire::Operation;
use super::{Client, TRIES, Told};

/// Services that are scaled.
const SERVICES: u64 = 3;
/// The most that one may have.
const MOST: u64 = 5;
/// Scheduled actions of one.
const ACTIONS: u64 = 3;
/// ARNs of policies that a client remembers.
const POLICIES: usize = 8;

impl Client {
    pub(super) async fn operate_scaling(&mut self) {
        let service = format!("g{}", self.rng.random_range(0..SERVICES));
        match self.rng.random_range(0..100) {
            0..14 => self.grow(&service).await,
            14..34 => self.register(&service).await,
            34..37 => self.scale_by("DeregisterScalableTarget", &service, json!({})).await,
            37..59 => self.put_policy(&service).await,
            59..62 => self.delete_policy(&service).await,
            62..68 => self.put_action(&service).await,
            68..70 => {
                let name = json!({ "ScheduledActionName": self.action() });
                self.scale_by("DeleteScheduledAction", &service, name).await;
            }
            70..80 => self.put_alarm(&service).await,
            80..83 => {
                let names = json!({ "AlarmNames": [self.alarm(&service)] });
                self.watch("DeleteAlarms", &names).await;
            }
            83..97 => self.put_metric(&service).await,
            _ => self.count(&service).await,
        }
    }

    /// The last word, for the calm at the end: more tasks than an idle service needs.
    pub(super) async fn leave_scaled(&mut self) {
        for number in 0..SERVICES {
            let service = format!("g{number}");
            self.grow(&service).await;
            let bounds = json!({ "MinCapacity": 1, "MaxCapacity": MOST });
            self.scale_by("RegisterScalableTarget", &service, bounds).await;
            let policy = self.tracking("cpu", "ECSServiceAverageCPUUtilization");
            self.scale_by("PutScalingPolicy", &service, policy).await;
            for action in 0..ACTIONS {
                let name = json!({ "ScheduledActionName": format!("action{action}") });
                self.scale_by("DeleteScheduledAction", &service, name).await;
            }
            let body = json!({ "service": service, "desiredCount": MOST - 1 });
            self.call("UpdateService", &body, TRIES).await;
        }
    }

    /// A service that is there already stays as it is.
    async fn grow(&mut self, service: &str) {
        let body = json!({ "serviceName": service, "taskDefinition": "web", "desiredCount": 1,
            "deploymentConfiguration": self.deployment_configuration(), "clientToken": self.unique() });
        let body = self.launched(self.networked(body), service);
        self.call("CreateService", &body, TRIES).await;
    }

    /// Someone sets what autoscaling sets.
    async fn count(&mut self, service: &str) {
        let count = self.rng.random_range(0..=MOST + 1);
        self.call("UpdateService", &json!({ "service": service, "desiredCount": count }), TRIES).await;
    }

    async fn scale_by(&mut self, name: &str, service: &str, body: Value) {
        self.scaled_by(name, service, body).await;
    }

    async fn scaled_by(&mut self, name: &str, service: &str, mut body: Value) -> Told {
        body["ServiceNamespace"] = json!("ecs");
        body["ScalableDimension"] = json!("ecs:service:DesiredCount");
        body["ResourceId"] = json!(format!("service/default/{service}"));
        self.ask(&Operation::scaling(name), &body, TRIES).await
    }

    fn bounds(&mut self) -> (u64, u64) {
        let least = self.rng.random_range(0..=2);
        let most = if self.rng.random_bool(0.7) { MOST } else { self.rng.random_range(least.max(1)..=MOST) };
        (least, most)
    }

    async fn register(&mut self, service: &str) {
        let (least, most) = self.bounds();
        let mut body = json!({ "MinCapacity": least, "MaxCapacity": most });
        if self.rng.random_bool(0.1) {
            body["SuspendedState"] = json!({
                "DynamicScalingInSuspended": self.rng.random_bool(0.3),
                "DynamicScalingOutSuspended": self.rng.random_bool(0.2),
                "ScheduledScalingSuspended": self.rng.random_bool(0.2),
            });
        }
        self.scale_by("RegisterScalableTarget", service, body).await;
    }

    async fn put_policy(&mut self, service: &str) {
        let body = match self.rng.random_range(0..10) {
            0..5 => self.tracking("cpu", "ECSServiceAverageCPUUtilization"),
            5..7 => self.tracking("memory", "ECSServiceAverageMemoryUtilization"),
            _ => self.steps(),
        };
        let Told::Done(value) = self.scaled_by("PutScalingPolicy", service, body).await else { return };
        if let Some(arn) = value["PolicyARN"].as_str() {
            self.policies.push(arn.to_owned());
            let beyond = self.policies.len().saturating_sub(POLICIES);
            self.policies.drain(..beyond);
        }
    }

    fn tracking(&mut self, name: &str, metric: &str) -> Value {
        json!({ "PolicyName": name, "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "PredefinedMetricSpecification": { "PredefinedMetricType": metric },
                "TargetValue": self.rng.random_range(30..=70),
                "ScaleOutCooldown": self.rng.random_range(0..=20),
                "ScaleInCooldown": self.rng.random_range(0..=20),
                "DisableScaleIn": self.rng.random_bool(0.05) } })
    }

    /// Steps that want more than there may be, and fewer.
    fn steps(&mut self) -> Value {
        let kinds = ["ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"];
        let kind = kinds.choose(&mut self.rng).copied().unwrap_or(kinds[0]);
        let (up, down) = match kind {
            "ExactCapacity" => (self.rng.random_range(2..12), 0),
            "ChangeInCapacity" => (self.rng.random_range(1..8), -1),
            _ => (self.rng.random_range(50..400), -50),
        };
        json!({ "PolicyName": "steps", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": {
            "AdjustmentType": kind, "Cooldown": self.rng.random_range(0..=15),
            "StepAdjustments": [
                { "MetricIntervalUpperBound": 20.0, "ScalingAdjustment": down },
                { "MetricIntervalLowerBound": 20.0, "ScalingAdjustment": up }] } })
    }

    async fn delete_policy(&mut self, service: &str) {
        let name = ["cpu", "memory", "steps"].choose(&mut self.rng).copied().unwrap_or("cpu");
        self.scale_by("DeleteScalingPolicy", service, json!({ "PolicyName": name })).await;
    }

    fn action(&mut self) -> String {
        format!("action{}", self.rng.random_range(0..ACTIONS))
    }

    async fn put_action(&mut self, service: &str) {
        let (least, most) = self.bounds();
        let schedule = self.expression(true);
        let mut bounds = json!({ "MinCapacity": least, "MaxCapacity": most });
        if self.rng.random_bool(0.3) {
            bounds = json!({ "MaxCapacity": most });
        }
        let body = json!({ "ScheduledActionName": self.action(), "Schedule": schedule, "ScalableTargetAction": bounds });
        self.scale_by("PutScheduledAction", service, body).await;
    }

    fn alarm(&mut self, service: &str) -> String {
        format!("{service}-{}", if self.rng.random_bool(0.7) { "waiting" } else { "busy" })
    }

    /// One on a metric of the clients' own, or on what the service uses.
    async fn put_alarm(&mut self, service: &str) {
        let name = self.alarm(service);
        let own = name.ends_with("waiting");
        let dimension = |name: &str, value: &str| json!({ "Name": name, "Value": value });
        let mut body = json!({ "AlarmName": name, "Statistic": "Average", "EvaluationPeriods": 1, "Threshold": 40.0,
            "ComparisonOperator": "GreaterThanThreshold", "AlarmActions": self.policies.last().cloned().as_slice(),
            "Period": if own { 10 } else { 60 } });
        if own {
            body["Namespace"] = json!("Sim");
            body["MetricName"] = json!("Waiting");
            body["Dimensions"] = json!([dimension("Queue", service)]);
        } else {
            body["Namespace"] = json!("AWS/ECS");
            body["MetricName"] = json!("CPUUtilization");
            body["Dimensions"] =
                json!([dimension("ClusterName", "default"), dimension("ServiceName", service)]);
        }
        if self.rng.random_bool(0.1) {
            body["TreatMissingData"] = json!("breaching");
        }
        self.watch("PutMetricAlarm", &body).await;
    }

    async fn put_metric(&mut self, service: &str) {
        let value = [10.0, 50.0, 90.0].choose(&mut self.rng).copied().unwrap_or(10.0);
        let datum = json!({ "MetricName": "Waiting", "Dimensions": [{ "Name": "Queue", "Value": service }],
            "Value": value, "StorageResolution": 1 });
        self.watch("PutMetricData", &json!({ "Namespace": "Sim", "MetricData": [datum] })).await;
    }

    async fn watch(&mut self, name: &str, body: &Value) {
        self.ask(&Operation::monitoring(name), body, TRIES).await;
    }
}
