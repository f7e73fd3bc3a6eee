//! An event starts tasks, and its target is moved on in the same entry: a new leader finds that it was seen to.

use trireme_controllers::start_target;
use trireme_ecs_api::eventbridge::for_event;
use trireme_state::Rejection;
use trireme_state::command::{DeliveryCommand, Mark, RunResult};
use trireme_state::object::{DeliveryKey, Rule, Target};
use trireme_state::store::ProposeError;
use trireme_types::Sequence;

use crate::Parts;
use crate::lane::{Done, Failure, Item};
use crate::office::propose;

pub(crate) async fn start(
    parts: &Parts,
    key: &DeliveryKey,
    (rule, target): (&Rule, &Target),
    item: &Item<'_>,
) -> Result<Done, Failure> {
    let command = plan(parts, key, (rule, target), item)?;
    match propose(parts, command).await {
        // The state has counted it: as delivered, or as given up, with the reason.
        Ok(_) => Ok(Done::Recorded),
        Err(ProposeError::Rejected(Rejection::Stale { .. })) => Err(Failure::Overtaken),
        Err(ProposeError::Rejected(refused)) => Err(Failure::again(refused.to_string())),
        Err(ProposeError::Unknown { reason } | ProposeError::Unavailable { reason }) => {
            Err(Failure::again(reason))
        }
    }
}

fn plan(
    parts: &Parts,
    key: &DeliveryKey,
    (rule, target): (&Rule, &Target),
    item: &Item<'_>,
) -> Result<DeliveryCommand, Failure> {
    let view = parts.store.view();
    let delivery = view.delivery(key).ok_or(Failure::Overtaken)?;
    let now = parts.store.now().ok_or(Failure::Overtaken)?;
    let target = for_event(&view, &rule.key, target, item.event).map_err(Failure::Final)?;
    let run = match start_target(&view, &rule.key, &target, now) {
        RunResult::Start { run, .. } => run,
        RunResult::Defer { reason, .. } => return Err(Failure::again(reason)),
        RunResult::Fail { reason } => return Err(Failure::Final(reason)),
    };
    let before = Sequence::new(item.sequence.get().saturating_sub(1));
    let mark = Mark {
        key: key.clone(),
        from: (delivery.seen, delivery.part),
        to: if item.number == item.of { (item.sequence, 0) } else { (before, item.number) },
        delivered: 1,
        dropped: 0,
        error: None,
    };
    Ok(DeliveryCommand::Start { mark, version: rule.version, run })
}
