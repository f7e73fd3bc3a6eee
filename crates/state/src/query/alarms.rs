//! Alarms, and what they say of deployments.

use std::sync::Arc;

use serde::Deserialize;
use trireme_types::{DeploymentId, Scope};

use crate::State;
use crate::object::{Alarm, AlarmKey, DEPLOYMENT_ALARMS, Deployment, Described, Service, ServiceKey};

/// Of which alarms a service wants to hear while a deployment of it is under way (ECS API: DeploymentAlarms).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentAlarms {
    /// Their names, in the service's account and region.
    pub alarm_names: Vec<String>,
    /// Whether it wants to.
    pub enable: bool,
    /// Whether the deployment turns back then.
    pub rollback: bool,
}

impl DeploymentAlarms {
    /// What a service says.
    pub fn of(described: &Described) -> Self {
        let read = |json: &String| serde_json::from_str(json).ok();
        described.get(DEPLOYMENT_ALARMS).and_then(read).unwrap_or_default()
    }
}

impl State {
    /// Every alarm, by account, region and name.
    pub fn alarms(&self) -> impl Iterator<Item = &Arc<Alarm>> {
        self.alarms.values()
    }

    /// An alarm.
    pub fn alarm(&self, key: &AlarmKey) -> Option<&Arc<Alarm>> {
        self.alarms.get(key)
    }

    /// The alarms of an account and region, by name.
    pub fn alarms_of<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Alarm>> {
        let first = AlarmKey { scope: scope.clone(), name: String::new() };
        let alarms = self.alarms.range(first..);
        alarms.take_while(move |(key, _)| key.scope == *scope).map(|(_, alarm)| alarm)
    }

    /// The alarms of an account and region that do something with `arn` when they go to ALARM; those whose actions are switched off are
    /// among them.
    pub fn alarms_acting_on<'a>(
        &'a self,
        scope: &'a Scope,
        arn: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Alarm>> {
        self.alarms_of(scope).filter(move |alarm| alarm.spec.alarm_actions.iter().any(|action| action == arn))
    }

    /// The alarms that a deployment of a service listens to. None when one of them was in ALARM as the deployment began: it may be what
    /// mends that.
    pub fn alarms_of_deployment(&self, service: &Service, deployment: &Deployment) -> Vec<&Arc<Alarm>> {
        let wanted = DeploymentAlarms::of(&service.spec.described);
        if !wanted.enable {
            return Vec::new();
        }
        let scope = &service.key.cluster.scope;
        let find = |name: &String| self.alarms.get(&AlarmKey { scope: scope.clone(), name: name.clone() });
        let alarms: Vec<&Arc<Alarm>> = wanted.alarm_names.iter().filter_map(find).collect();
        let deaf = alarms.iter().any(|alarm| alarm.rang_at(deployment.created_at));
        if deaf { Vec::new() } else { alarms }
    }

    /// The alarms by which a service's deployment failed.
    pub fn triggered_alarms(&self, service: &ServiceKey, deployment: DeploymentId) -> &[String] {
        let all = self.triggered_alarms.get(service);
        all.and_then(|all| all.get(&deployment)).map_or(&[], Vec::as_slice)
    }
}
