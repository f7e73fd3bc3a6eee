//! What operators ask of what is, was and would be. The answers are the controllers' and the scheduler's own; here is only where they
//! are read from, and how they are sent.
//!
//! Reading order: [`ExplainerService`] · `moment` (a state, now or then) · `find` (what a name means) · `task` and `service` (why) ·
//! `foresee` (what would be) · `drain` · `diff` (what changed) · `wire` (what they share).

mod diff;
mod drain;
mod find;
mod foresee;
mod moment;
mod service;
mod task;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};
use trireme_raft::node::Node;
use trireme_rpc::explain::explain_response::Answer;
use trireme_rpc::explain::explainer_server::Explainer;
use trireme_rpc::explain::{
    DiffRequest, DiffResponse, DrainResponse, ExplainRequest, ExplainResponse, Forecast, InstanceRequest,
    PlanServiceRequest, StatusAtRequest, StatusAtResponse, ZoneLossRequest, ZoneLossResponse,
};

use crate::operator::Heartbeats;
use find::Subject;
use moment::Seen;

pub(crate) use foresee::Quorum;

/// Answers that are worked out at once. Each holds a state, and works for seconds where a cluster is large.
const TURNS: usize = 2;
/// The longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The explainer on one control node.
#[derive(Clone)]
pub(crate) struct ExplainerService {
    node: Node,
    turns: Arc<Semaphore>,
}

/// Leave to work something out, of which few are given.
type Turn = Arc<OwnedSemaphorePermit>;

impl ExplainerService {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, turns: Arc::new(Semaphore::new(TURNS)) }
    }

    async fn turn(&self) -> Result<Turn, Status> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let busy = || Status::resource_exhausted("this control node works out other answers; ask again");
        turn.map_err(|_| busy())?.map(Arc::new).map_err(|_| busy())
    }
}

/// Works something out where it keeps nobody waiting. The turn is over when the work is, though nobody waits for it any more.
async fn work_out<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let work = move || {
        let _turn = turn;
        work()
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Status::internal(format!("it could not be worked out: {error}"))))
}

#[tonic::async_trait]
impl Explainer for ExplainerService {
    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let request = request.into_inner();
        let turn = self.turn().await?;
        let store = self.node.store();
        let seen = moment::see(&store, request.at).await?;
        let answer = match find::subject(&seen.state, &request)? {
            Subject::Task(id) => Answer::Task(task::explain(&store, &seen, id, &turn).await?),
            Subject::Service(key) => {
                let Seen { state, at, .. } = seen.clone();
                Answer::Service(work_out(turn, move || service::explain(&state, &key, at)).await?)
            }
        };
        Ok(Response::new(ExplainResponse { point: Some(seen.point()), answer: Some(answer) }))
    }

    async fn plan_service(&self, request: Request<PlanServiceRequest>) -> Result<Response<Forecast>, Status> {
        let turn = self.turn().await?;
        let seen = moment::see(&self.node.store(), None).await?;
        let request = request.into_inner();
        work_out(turn, move || foresee::update(&seen, &request)).await.map(Response::new)
    }

    async fn plan_drain(&self, request: Request<InstanceRequest>) -> Result<Response<Forecast>, Status> {
        let turn = self.turn().await?;
        let seen = moment::see(&self.node.store(), None).await?;
        let request = request.into_inner();
        work_out(turn, move || foresee::drain(&seen, &request)).await.map(Response::new)
    }

    async fn drain(&self, request: Request<InstanceRequest>) -> Result<Response<DrainResponse>, Status> {
        drain::drain(&self.node.store(), &request.into_inner()).await.map(Response::new)
    }

    async fn zone_loss(
        &self,
        request: Request<ZoneLossRequest>,
    ) -> Result<Response<ZoneLossResponse>, Status> {
        let turn = self.turn().await?;
        let seen = moment::see(&self.node.store(), None).await?;
        let zone = request.into_inner().zone;
        let elsewhere = || Status::unavailable("this control node does not lead: the leader knows who lives");
        let quorum = foresee::Quorum::of(&self.node).ok_or_else(elsewhere)?;
        work_out(turn, move || foresee::zone_loss(&seen, &zone, &quorum)).await.map(Response::new)
    }

    async fn status_at(
        &self,
        request: Request<StatusAtRequest>,
    ) -> Result<Response<StatusAtResponse>, Status> {
        let turn = self.turn().await?;
        let seen = moment::see(&self.node.store(), request.into_inner().at).await?;
        let work = move || {
            let status = crate::operator::of_state(&seen.state, &Heartbeats::new());
            Ok(StatusAtResponse { point: Some(seen.point()), status: Some(status) })
        };
        work_out(turn, work).await.map(Response::new)
    }

    async fn diff(&self, request: Request<DiffRequest>) -> Result<Response<DiffResponse>, Status> {
        let DiffRequest { from, to } = request.into_inner();
        let turn = self.turn().await?;
        let store = self.node.store();
        let (from, to) = (moment::see(&store, from).await?, moment::see(&store, to).await?);
        work_out(turn, move || Ok(diff::between(&from, &to))).await.map(Response::new)
    }
}
