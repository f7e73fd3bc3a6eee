//! Who calls: the signature checked against the access keys in the state, or the development account without a check.

use std::time::Duration;

use http::request::Parts;
use trireme_iam::sigv4::{Refusal, Signed, SignedRequest};
use trireme_iam::{Principal, Sealed};
use trireme_state::object::{AccessKey, AccessKeyId};
use trireme_types::{AccountId, Region, Scope};

use crate::error::{Error, Result};
use crate::{Api, AuthMode};

/// How long an unknown key may keep its caller waiting for a look at the newest state.
const FRESH_LOOK: Duration = Duration::from_millis(500);

/// A caller, and whose objects it means: its account, in the region that it signed for.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) scope: Scope,
}

/// Finds out who sent a request to `service` (`ecs` or `sts`).
pub(crate) async fn authenticate(api: &Api, parts: &Parts, body: &[u8], service: &str) -> Result<Caller> {
    let headers = headers(parts)?;
    let request = SignedRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: &headers,
        body,
    };
    match &api.auth {
        AuthMode::Off => Ok(unchecked(&request)),
        AuthMode::Sigv4 => checked(api, &request, service).await,
    }
}

/// Nobody is checked; a region is still taken from a signature that names one.
fn unchecked(request: &SignedRequest<'_>) -> Caller {
    let named = Signed::parse(request).ok().and_then(|signed| Region::new(&signed.scope.region).ok());
    let account = AccountId::development();
    Caller {
        principal: Principal::unauthenticated(account.clone()),
        scope: Scope { account, region: named.unwrap_or_else(Region::development) },
    }
}

async fn checked(api: &Api, request: &SignedRequest<'_>, service: &str) -> Result<Caller> {
    let signed = Signed::parse(request)?;
    // All keys are permanent so far: a session's token belongs to none of them.
    if signed.has_token {
        return Err(Refusal::unknown_key().into());
    }
    let key = find_key(api, &AccessKeyId::new(&signed.access_key)).await.ok_or_else(Refusal::unknown_key)?;
    let sealed = Sealed { nonce: key.secret.nonce, ciphertext: key.secret.ciphertext.clone() };
    let secret = api.sealing_key.unseal(key.id.as_str(), &key.account, &sealed).map_err(|error| {
        tracing::error!(%error, "an access key does not open: does this node have the cluster's key?");
        Error::server("The access key's secret cannot be opened on this node. Ask its operator.")
    })?;
    signed.verify(request, &secret, service, api.clock.now())?;
    let region = Region::new(&signed.scope.region).map_err(|_| {
        Error::from(Refusal {
            kind: trireme_iam::sigv4::RefusalKind::InvalidSignature,
            message: format!("Credential should be scoped to a valid region, not '{}'.", signed.scope.region),
        })
    })?;
    Ok(Caller {
        principal: Principal {
            arn: key.principal.clone(),
            account: key.account.clone(),
            access_key: Some(key.id.as_str().to_owned()),
        },
        scope: Scope { account: key.account, region },
    })
}

/// This node's own view first; a key made a moment ago may be in the newest state only.
async fn find_key(api: &Api, id: &AccessKeyId) -> Option<AccessKey> {
    if let Some(key) = api.store.view().access_key(id) {
        return Some((**key).clone());
    }
    let newest = tokio::time::timeout(FRESH_LOOK, api.store.read()).await.ok()?.ok()?;
    newest.access_key(id).map(|key| (**key).clone())
}

/// The headers as text. HTTP/2 has `:authority` in place of `host`.
fn headers(parts: &Parts) -> Result<Vec<(&str, &str)>> {
    let mut headers = Vec::with_capacity(parts.headers.len() + 1);
    for (name, value) in &parts.headers {
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| Error::invalid(format!("The header {name} is not UTF-8.")))?;
        headers.push((name.as_str(), value));
    }
    if !parts.headers.contains_key(http::header::HOST)
        && let Some(authority) = parts.uri.authority()
    {
        headers.push(("host", authority.as_str()));
    }
    Ok(headers)
}
