//! A service's deployments so far, and the revisions of the service that they rolled out (ECS API: ServiceDeployment,
//! ServiceRevision). What is told here is never needed to run a task.

use imbl::Vector;
use serde::{Deserialize, Serialize};
use trireme_types::{DeploymentId, ServiceRevisionId, Timestamp};

use super::ServiceSpec;

/// What is kept of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentHistory {
    /// The newest first; at most [`crate::limits::DEPLOYMENTS_PER_SERVICE`].
    pub deployments: Vector<ServiceDeployment>,
    /// Those that the deployments name, the newest first.
    pub revisions: Vector<ServiceRevision>,
}

impl DeploymentHistory {
    /// A deployment by its id.
    pub fn deployment(&self, id: DeploymentId) -> Option<&ServiceDeployment> {
        self.deployments.iter().find(|one| one.id == id)
    }

    /// A revision by its id.
    pub fn revision(&self, id: ServiceRevisionId) -> Option<&ServiceRevision> {
        self.revisions.iter().find(|one| one.id == id)
    }

    /// The revision that a deployment of the service runs: of its own record, or of the one that it rolls back.
    pub fn revision_of(&self, id: DeploymentId) -> Option<ServiceRevisionId> {
        self.deployments.iter().find_map(|one| match &one.rollback {
            Some(rollback) if rollback.deployment == id => Some(rollback.revision),
            _ => (one.id == id).then_some(one.target),
        })
    }

    /// The revision that the last successful deployment came to: what a rollback goes back to.
    pub fn last_successful(&self) -> Option<&ServiceRevision> {
        self.revision(self.revision_of(self.last_completed()?)?)
    }

    /// The service's deployment that was the last one to be successful, be it as a way back.
    pub fn last_completed(&self) -> Option<DeploymentId> {
        use ServiceDeploymentStatus::{RollbackSuccessful, Successful};
        let done = |one: &&ServiceDeployment| matches!(one.status, Successful | RollbackSuccessful);
        self.deployments.iter().find(done).map(ServiceDeployment::rolls_out)
    }

    /// The record that a deployment of the service belongs to: its own, or that of the one that it rolls back.
    pub fn record_of(&self, id: DeploymentId) -> Option<&ServiceDeployment> {
        self.deployments.iter().find(|one| one.rolls_out() == id || one.id == id)
    }

    /// Whether a deployment of the service is the way back of another one.
    pub fn is_way_back(&self, id: DeploymentId) -> bool {
        self.record_of(id).is_some_and(|one| one.id != id)
    }
}

/// ECS API: ServiceRevision. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRevision {
    /// Its id.
    pub id: ServiceRevisionId,
    /// What the service was asked for.
    pub spec: ServiceSpec,
    /// When.
    pub created_at: Timestamp,
}

/// ECS API: ServiceDeploymentStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceDeploymentStatus {
    /// Under way.
    InProgress,
    /// Its tasks run, and older ones are gone.
    Successful,
    /// Another deployment took its place, or the service was deleted.
    Stopped,
    /// On the way back to the last successful revision.
    RollbackInProgress,
    /// Back there.
    RollbackSuccessful,
    /// The way back failed too.
    RollbackFailed,
}

impl ServiceDeploymentStatus {
    /// Whether it still moves.
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::InProgress | Self::RollbackInProgress)
    }
}

/// ECS API: ServiceDeployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDeployment {
    /// Its id, which is that of the service's deployment.
    pub id: DeploymentId,
    /// What it rolls out.
    pub target: ServiceRevisionId,
    /// What ran before it.
    pub sources: Vec<ServiceRevisionId>,
    /// How far it is.
    pub status: ServiceDeploymentStatus,
    /// Why.
    pub reason: Option<String>,
    /// When it was asked for, which is when it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was stopped.
    pub stopped_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// The way back, if it took one.
    pub rollback: Option<Rollback>,
}

impl ServiceDeployment {
    /// The service's deployment that it comes to: its own, or the way back.
    pub fn rolls_out(&self) -> DeploymentId {
        self.rollback.as_ref().map_or(self.id, |rollback| rollback.deployment)
    }
}

/// ECS API: Rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Why.
    pub reason: String,
    /// When it began.
    pub started_at: Timestamp,
    /// What it goes back to.
    pub revision: ServiceRevisionId,
    /// The service's deployment that goes there.
    pub deployment: DeploymentId,
}
