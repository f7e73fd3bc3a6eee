//! What operators do at a control node: access keys.

use trireme_types::AccountId;

use super::{Decided, Decision};
use crate::object::{AccessKey, AccessKeyId, SealedSecret};
use crate::{Event, Rejection, Stamp, State};

pub(super) fn create_access_key(
    state: &State,
    id: &AccessKeyId,
    account: &AccountId,
    principal: &str,
    secret: &SealedSecret,
    stamp: &Stamp,
) -> Decided {
    if let Some(known) = state.access_key(id) {
        if known.secret == *secret {
            return Ok(Decision::nothing());
        }
        return Err(Rejection::Invalid { message: format!("access key {} exists", id.as_str()) });
    }
    let key = AccessKey {
        id: id.clone(),
        account: account.clone(),
        principal: principal.to_owned(),
        secret: secret.clone(),
        created_at: stamp.now,
    };
    Ok(Decision::one(Event::AccessKeyCreated { key: Box::new(key) }))
}
