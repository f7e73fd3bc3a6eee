//! Deployments of a service that run the same revision: one that turned back goes on with the tasks that are left of what it turned
//! back to.

use std::collections::BTreeSet;

use trireme_types::DeploymentId;

use crate::index::{ServiceLoad, TaskCounts};
use crate::object::{
    Deployment, DeploymentStatus, DeploymentStrategy, LifecycleStage, RolloutState, Service, ServiceKey, Task,
};
use crate::{FeatureLevel, State};

impl State {
    /// Whether two deployments of a service run the same revision, so that the tasks of the one serve as the other's. Nodes of
    /// earlier levels replace them.
    pub fn run_the_same(&self, service: &ServiceKey, one: DeploymentId, other: DeploymentId) -> bool {
        one == other
            || (self.level() >= FeatureLevel::SERVICES
                && self.revision_of(service, one) == self.revision_of(service, other))
    }

    /// Whether a task runs what a deployment of its service rolls out.
    pub fn runs(&self, service: &ServiceKey, task: &Task, deployment: DeploymentId) -> bool {
        task.deployment().is_some_and(|id| self.run_the_same(service, id, deployment))
    }

    /// The deployments of a service whose tasks, of which there are some, run what one of them rolls out; and that one.
    pub fn deployments_like(
        &self,
        key: &ServiceKey,
        load: &ServiceLoad,
        id: DeploymentId,
    ) -> BTreeSet<DeploymentId> {
        let all = load.counts_by_deployment().map(|(other, _)| other);
        all.filter(|other| self.run_the_same(key, *other, id)).chain([id]).collect()
    }

    /// The tasks that run what a deployment of a service rolls out, counted.
    pub fn counts_of_deployment(&self, key: &ServiceKey, load: &ServiceLoad, id: DeploymentId) -> TaskCounts {
        let same = load.counts_by_deployment().filter(|(other, _)| self.run_the_same(key, *other, id));
        same.fold(TaskCounts::default(), |sum, (_, counts)| sum.plus(counts))
    }

    /// Whether a deployment of a service is under way.
    pub fn is_deploying(&self, service: &ServiceKey) -> bool {
        self.service(service).is_some_and(|service| {
            let mut rollouts = service.deployments.iter().map(|deployment| deployment.rollout);
            rollouts.any(|rollout| rollout == RolloutState::InProgress)
        })
    }

    /// Whether a service's primary deployment runs all its tasks beside those that serve, instead of in their place: a way back does
    /// not, for what it goes back to is there.
    pub fn is_beside(&self, service: &Service) -> bool {
        let Some(primary) = service.deployments.first() else { return false };
        primary.rollout == RolloutState::InProgress
            && DeploymentStrategy::of(&service.spec.described) == DeploymentStrategy::BlueGreen
            && !self.deployment_history(&service.key).is_way_back(primary.id)
            && match self.lifecycles(&service.key).of(primary.id).stage {
                Some((stage, _)) => stage < LifecycleStage::CleanUp,
                // One that has begun as a rolling one goes on as that.
                None => {
                    let load = self.index().service_load(&service.key);
                    self.counts_of_deployment(&service.key, &load, primary.id).tasks == 0
                }
            }
    }

    /// Of a service whose primary deployment is beside another one: the older deployment that serves. The tasks of further ones are
    /// left over.
    pub fn serving<'a>(&self, service: &'a Service) -> Option<&'a Deployment> {
        let older = service.deployments.get(1..).unwrap_or_default();
        older.iter().find(|one| self.has_served(service, one)).or(older.last())
    }

    /// Of a service whose primary deployment has failed and did not turn back: the one that completed last, of which tasks are started
    /// instead, as what is failed starts none. A way back that failed has none: what would stand in for it is what failed.
    pub fn stand_in<'a>(&self, service: &'a Service) -> Option<&'a Deployment> {
        let (primary, older) = service.deployments.split_first()?;
        let last = older.iter().find(|one| one.rollout == RolloutState::Completed)?;
        let failed = primary.rollout == RolloutState::Failed
            && !self.deployment_history(&service.key).is_way_back(primary.id);
        (failed && !self.run_the_same(&service.key, primary.id, last.id)).then_some(last)
    }

    /// A service's deployments as people see them: an older one that completed and has no task is kept only because it may have to stand in
    /// for the primary one, and ECS does not list what is INACTIVE.
    pub fn listed_deployments<'a>(
        &'a self,
        service: &'a Service,
        load: &'a ServiceLoad,
    ) -> impl Iterator<Item = &'a Deployment> {
        service.deployments.iter().filter(move |one| {
            one.status == DeploymentStatus::Primary
                || one.rollout != RolloutState::Completed
                || self.counts_of_deployment(&service.key, load, one.id).tasks > 0
        })
    }

    /// Whether production traffic has gone to a deployment of a service, and it did not fail then.
    pub fn has_served(&self, service: &Service, deployment: &Deployment) -> bool {
        match deployment.rollout {
            RolloutState::Completed => true,
            RolloutState::InProgress => self.lifecycles(&service.key).of(deployment.id).has_shifted(),
            RolloutState::Failed => false,
        }
    }
}
