//! Alarms: each is held against its metric's newest periods, and goes where they say (CloudWatch: alarm evaluation).
//!
//! - `evaluate`: what some datapoints say · `text`: how it is told.
//! - Every alarm is looked at in each pass, at least once a second; CloudWatch looks once a minute, or every ten seconds.
//! - A period counts a second after it ended, when what was put on other nodes is here. One that is under way counts only once nothing that
//!   still comes can undo its breach: the largest value above the threshold, the smallest below it, or too many samples.
//! - A state that a user has set, and one that was just come to, stays for a period, ten seconds at most.
//! - A period that began before this node had all samples is not known: an alarm moves only if it would whatever was in it.
//! - A new leader first listens: for a while it takes no lack of samples for one, and while it copies some that it missed it judges nothing.

use std::time::Duration;

use trireme_state::command::AlarmCommand;
use trireme_state::object::{Alarm, MetricQuery};
use trireme_state::{Command, State};
use trireme_types::Timestamp;

use crate::driver::{Controller, Plan};
use crate::observed::Observed;

pub mod evaluate;
mod text;

use evaluate::{Slots, Verdict};

/// How long a state is kept at least, if the period is not shorter.
const HELD: Duration = Duration::from_secs(10);
/// The shortest pause between two looks at all alarms.
const LOOK: Duration = Duration::from_millis(500);
/// How long a new leader listens.
const LISTENS: Duration = Duration::from_secs(15);

/// Moves alarms from state to state.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlarmController;

impl Controller for AlarmController {
    const NAME: &'static str = "alarms";
    const PAUSE: Duration = LOOK;

    fn queried(&self, view: &State) -> Vec<(MetricQuery, usize)> {
        let queries = view.alarms().map(|alarm| (alarm.spec.query.clone(), evaluate::asked(&alarm.spec)));
        queries.collect()
    }

    fn plan(&self, view: &State, observed: &Observed, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let listened = observed.deciding_for >= LISTENS;
        for alarm in view.alarms() {
            if held_until(alarm).is_some_and(|until| now < until) {
                continue;
            }
            let datapoints = observed.metrics.get(&alarm.spec.query).map_or(&[][..], Vec::as_slice);
            let slots = Slots::of(&alarm.spec, (datapoints, observed.metrics_since), now);
            let Some(verdict) = evaluate::judge(&alarm.spec, &slots) else { continue };
            if verdict.state == alarm.status.value || (verdict.by_missing && !listened) {
                continue;
            }
            plan.report.say(format!("alarm {}: {}", alarm.key.name, verdict.state.name()));
            plan.commands.push(moved(alarm, &slots, &verdict, now));
        }
        plan
    }
}

/// Until when it stays as it is: unless it is new, or is another one than it was when it came there.
fn held_until(alarm: &Alarm) -> Option<Timestamp> {
    let since = alarm.status.updated_at;
    let period = Duration::from_secs(alarm.spec.query.period_seconds.into());
    (since > alarm.configured_at).then(|| since.plus(period.min(HELD)))
}

fn moved(alarm: &Alarm, slots: &Slots, verdict: &Verdict, now: Timestamp) -> Command {
    Command::Alarm(Box::new(AlarmCommand::SetState {
        key: alarm.key.clone(),
        version: Some(alarm.version),
        state: verdict.state,
        reason: text::reason(&alarm.spec, slots, verdict, alarm.status.value),
        reason_data: Some(text::data(&alarm.spec, slots, now)),
    }))
}
