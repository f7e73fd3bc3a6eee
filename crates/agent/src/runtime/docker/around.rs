//! What a container is put into, and what of that is left when its task is over.

use std::collections::BTreeSet;

use trireme_rpc::agent::EnvironmentVariable;

use super::DockerRuntime;
use crate::Allowed;
use crate::runtime::{Failure, FailureKind, NewContainer, Over, Owner};

/// What there is around one container.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// What of the machine it may have.
    pub(super) allowed: Allowed,
    /// The control group around its task, if there is one.
    pub(super) cgroup: Option<String>,
    /// Its variables.
    pub(super) environment: Vec<EnvironmentVariable>,
}

impl DockerRuntime {
    /// What there is around a container that is to be made: it is made, or read.
    pub(super) async fn around(&self, new: &NewContainer) -> Result<Around, Failure> {
        let cgroup = match self.cgroups.clone() {
            Some(cgroups) => {
                let new = new.clone();
                let made = blocking(move || cgroups.prepare(&new.owner, &new.task)).await;
                let failed = |error| format!("cannot make the control group around the task: {error}");
                made.map_err(|error| Failure::new(FailureKind::CannotCreate, failed(error)))?
            }
            None => None,
        };
        let (objects, of_files) = (self.objects.clone(), new.clone());
        let variables = blocking(move || objects.environment(of_files.definition())).await;
        let missing = |reason| Failure::new(FailureKind::CannotInitialize, reason);
        Ok(Around { allowed: self.allowed, cgroup, environment: variables.map_err(missing)? })
    }

    /// Removes the control groups of all of `owner`'s tasks.
    ///
    /// # Errors
    /// A container is in one.
    pub async fn remove_groups(&self, owner: &Owner) -> Result<(), Failure> {
        self.release_groups(owner, &Over::AllBut(BTreeSet::new())).await
    }

    pub(super) async fn release_groups(&self, owner: &Owner, over: &Over) -> Result<(), Failure> {
        let Some(cgroups) = self.cgroups.clone().filter(|_| !owner.instance.is_empty()) else {
            return Ok(());
        };
        let (owner, over) = (owner.clone(), over.clone());
        let released = blocking(move || cgroups.release(&owner, &over)).await;
        let failed = |error| Failure::new(FailureKind::CannotRemove, format!("control group: {error}"));
        released.map_err(failed)
    }
}

/// Work with the machine's files, off the threads on which others wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    // A panic of it is a defect: it is not hidden. It is never cancelled.
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
