//! One call: who made it, and its way to the state and back.

use std::sync::Arc;

use trireme_ecs_model::Operation;
use trireme_state::object::ClusterKey;
use trireme_state::store::ProposeError;
use trireme_state::{Actor, Command, IdempotencyKey, Outcome, Proposal, Rejection, State};
use trireme_types::{RequestId, Scope};

use crate::Api;
use crate::auth::Caller;
use crate::error::{Error, Result, of_propose, of_rejection};

/// A longer `amz-sdk-invocation-id` is nobody's: SDKs send a UUID.
const LONGEST_INVOCATION_ID: usize = 64;

/// One call of one operation.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) api: Api,
    pub(crate) operation: Operation,
    pub(crate) caller: Caller,
    pub(crate) request_id: RequestId,
    /// `amz-sdk-invocation-id`: constant over an SDK's retries.
    pub(crate) invocation: Option<String>,
    /// Where the caller found this API.
    pub(crate) host: Option<String>,
    /// SHA-256 of the input without its client token.
    pub(crate) parameters: [u8; 32],
    /// The input's client token.
    pub(crate) client_token: Option<String>,
}

impl Context {
    pub(crate) fn scope(&self) -> &Scope {
        &self.caller.scope
    }

    /// A state that holds everything acknowledged before this call.
    pub(crate) async fn read(&self) -> Result<Arc<State>> {
        Ok(self.api.store.read().await?)
    }

    /// Has a command done, once however often the call is repeated. The state that comes back holds it.
    pub(crate) async fn write(&self, command: Command) -> Result<(Outcome, Arc<State>)> {
        self.write_part("", command).await
    }

    /// One of several writes of one call. `part` tells them apart.
    pub(crate) async fn write_part(&self, part: &str, command: Command) -> Result<(Outcome, Arc<State>)> {
        self.propose(part, command).await.map_err(|error| of_propose(self.operation, error))
    }

    /// The same, for callers who do something about a rejection.
    pub(crate) async fn propose(
        &self,
        part: &str,
        command: Command,
    ) -> std::result::Result<(Outcome, Arc<State>), ProposeError> {
        let (needed, level) = (command.level(), self.api.store.view().level());
        if needed > level {
            return Err(ProposeError::Rejected(Rejection::FeatureLevel { needed, level }));
        }
        let proposal = Proposal {
            actor: Actor::Principal(self.caller.principal.arn.clone()),
            request_id: self.request_id,
            key: Some(self.idempotency_key(part)),
            command,
        };
        let committed = self.api.store.propose(proposal).await?;
        Ok((committed.outcome, self.api.store.view()))
    }

    /// What makes a repeat of this call one write: principal and region, operation, and the client token, else the SDK's
    /// invocation, else the request itself.
    pub(crate) fn idempotency_key(&self, part: &str) -> IdempotencyKey {
        let invocation = || self.invocation.clone().filter(|id| id.len() <= LONGEST_INVOCATION_ID);
        let token = match &self.client_token {
            Some(token) => token.clone(),
            None => invocation().unwrap_or_else(|| self.request_id.to_string()),
        };
        let token = if part.is_empty() { token } else { format!("{token}/{part}") };
        IdempotencyKey {
            principal: format!("{}@{}", self.caller.principal.arn, self.caller.scope.region),
            operation: self.operation.name().to_owned(),
            token,
            is_client_token: self.client_token.is_some(),
            parameters: self.parameters,
        }
    }

    /// What an earlier call with the same token came to. A repeat has the same answer even if what its input names is gone
    /// meanwhile.
    pub(crate) fn answered_before<'a>(&self, state: &'a State) -> Result<Option<&'a Outcome>> {
        let key = self.idempotency_key("");
        let Some(recorded) = state.recorded_request(&key) else { return Ok(None) };
        if recorded.parameters == key.parameters {
            return Ok(Some(&recorded.outcome));
        }
        let resources = recorded.outcome.resources();
        Err(of_rejection(self.operation, Rejection::IdempotencyConflict { resources }))
    }

    /// The cluster that a request names: by name or ARN; the default one when it names none.
    pub(crate) fn cluster(&self, named: Option<&str>) -> Result<ClusterKey> {
        // Nobody's own, it is none of a caller's.
        let key = crate::resolve::cluster(self.scope(), named)?;
        if key.is_managed_pool() { Err(Error::cluster_not_found()) } else { Ok(key) }
    }

    /// The same, if it may be used.
    pub(crate) fn active_cluster(&self, state: &State, named: Option<&str>) -> Result<ClusterKey> {
        let key = self.cluster(named)?;
        state.active_cluster(&key).ok_or_else(Error::cluster_not_found)?;
        Ok(key)
    }
}
