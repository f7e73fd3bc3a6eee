//! An event starts tasks, and its target is moved on in the same entry: a new leader finds that it was seen to.

use trireme_controllers::start_target;
use trireme_ecs_api::eventbridge::for_event;
use trireme_state::command::{DeliveryCommand, Mark, RunResult};
use trireme_state::object::{DeliveryKey, Rule, Target};
use trireme_state::store::ProposeError;
use trireme_state::{Rejection, State};
use trireme_types::Sequence;

use crate::Parts;
use crate::lane::{Done, Failure, Job};
use crate::office::propose;

pub(crate) async fn start(
    parts: &Parts,
    view: &State,
    key: &DeliveryKey,
    (rule, target): (&Rule, &Target),
    job: &Job,
) -> Result<Done, Failure> {
    let Some(delivery) = view.delivery(key) else { return Ok(Done::Recorded) };
    if delivery.seen >= job.sequence {
        // Its answer was lost: the tasks have started.
        return Ok(Done::Recorded);
    }
    let now = parts.store.now().ok_or(Failure::Overtaken)?;
    let target = for_event(view, &rule.key, target, &job.event).map_err(Failure::Final)?;
    let run = match start_target(view, &rule.key, &target, now) {
        RunResult::Start { run, .. } => run,
        RunResult::Defer { reason, .. } => return Err(Failure::again(reason)),
        RunResult::Fail { reason } => return Err(Failure::Final(reason)),
    };
    let before = Sequence::new(job.sequence.get().saturating_sub(1));
    let mark = Mark {
        key: key.clone(),
        from: delivery.seen,
        to: if job.last { job.sequence } else { before.max(delivery.seen) },
        delivered: 1,
        dropped: 0,
        error: None,
    };
    match propose(parts, DeliveryCommand::Start { mark, version: rule.version, run }).await {
        // The state has counted it: as delivered, or as given up, with the reason.
        Ok(_) => Ok(Done::Recorded),
        Err(ProposeError::Rejected(Rejection::Stale { .. })) => Err(Failure::Overtaken),
        Err(ProposeError::Rejected(refused)) => Err(Failure::again(refused.to_string())),
        Err(ProposeError::Unknown { reason } | ProposeError::Unavailable { reason }) => {
            Err(Failure::again(reason))
        }
    }
}
