//! Questions to the control plane beside the session, on the session's connection: what is not needed to run containers.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use trireme_rpc::agent as wire;
use trireme_rpc::agent::agents_client::AgentsClient;

/// How long an answer may take. The control plane may be electing a leader.
const LIMIT: Duration = Duration::from_secs(5);

/// The connection of a session.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) client: AgentsClient<Channel>,
    pub(crate) instance: String,
    pub(crate) epoch: u64,
}

/// The session's side: what the connection is now.
pub(crate) type Links = watch::Sender<Option<Link>>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no control plane to ask, or it cannot answer now.
    #[error("{0}")]
    Unreachable(String),
}

impl From<Status> for Unanswered {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument => Self::Invalid(status.message().to_owned()),
            _ => Self::Unreachable(status.message().to_owned()),
        }
    }
}

/// Who asks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ControlPlane {
    links: watch::Receiver<Option<Link>>,
}

impl ControlPlane {
    /// Without a session, and the session's side of it.
    pub(crate) fn new() -> (Links, Self) {
        let (sender, links) = watch::channel(None);
        (sender, Self { links })
    }

    /// The tags of a task of ours, and of this instance.
    pub(crate) async fn tags(&self, task: &str) -> Result<wire::TagsResponse, Unanswered> {
        let mut link = self.link()?;
        let question = question(&link, task);
        answered(link.client.tags(question)).await
    }

    /// What protects a task of ours, after a change if there is one.
    pub(crate) async fn protection(
        &self,
        task: &str,
        change: Option<wire::ProtectionChange>,
    ) -> Result<wire::ProtectionResponse, Unanswered> {
        let mut link = self.link()?;
        let request = wire::ProtectionRequest { task: Some(question(&link, task)), change };
        answered(link.client.protection(request)).await
    }

    fn link(&self) -> Result<Link, Unanswered> {
        let none = || Unanswered::Unreachable("the agent has no connection to the control plane".to_owned());
        self.links.borrow().clone().ok_or_else(none)
    }
}

fn question(link: &Link, task: &str) -> wire::TaskQuestion {
    wire::TaskQuestion {
        container_instance_id: link.instance.clone(),
        epoch: link.epoch,
        task_id: task.to_owned(),
    }
}

async fn answered<T>(
    asked: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Unanswered> {
    match timeout(LIMIT, asked).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Unanswered::Unreachable("the control plane does not answer in time".to_owned())),
    }
}
