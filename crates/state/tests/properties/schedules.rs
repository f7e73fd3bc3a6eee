//! Steps of schedules and rules.

use trireme_state::command::{Advance, DeliveryCommand, Fire, Mark, Run, RunResult, ScheduleCommand};

use super::*;

/// What needs the eighth feature level, and is refused below it.
pub fn schedule_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0u8..2, any::<bool>()).prop_map(|(name, delete)| Step::Schedule { name, delete }),
        1 => (0u8..2, any::<bool>()).prop_map(|(name, delete)| Step::Rule { name, delete }),
        4 => (0usize..4, 0usize..6, any::<bool>(), 0u64..3, proptest::option::of((0u8..3, 0usize..3))).prop_map(
            |(trigger, instance, defer, next, on)| Step::Fire { trigger, instance, defer, next, on }
        ),
        3 => (0usize..3, 0u64..20, proptest::option::of(0usize..6))
            .prop_map(|(delivery, ahead, instance)| Step::Deliver { delivery, ahead, instance }),
        1 => (0u8..2, any::<bool>()).prop_map(|(name, delete)| Step::Connect { name, delete }),
    ]
}

fn trigger(state: &State, number: usize) -> Option<Trigger> {
    let scope = Scope::development();
    let schedules = state.schedules_in(&scope).map(|one| Trigger::Schedule(one.key.clone()));
    let rules = state.rules_of(&scope).map(|one| Trigger::Rule(one.key.clone()));
    schedules.chain(rules).nth(number)
}

pub fn schedule_command(state: &State, step: &Step) -> Option<Command> {
    let command = match step {
        Step::Schedule { name, delete } => {
            let group = ScheduleGroupKey { scope: Scope::development(), name: DEFAULT_GROUP.to_owned() };
            let key = ScheduleKey { group, name: name.to_string() };
            let mut spec = Box::new(schedule_spec(schedule_target("a")));
            spec.delete_after = *delete;
            match (state.schedule(&key).is_some(), delete) {
                (false, _) => ScheduleCommand::Create { key, spec, next: Some(due_at(1)) },
                (true, false) => ScheduleCommand::Update { key, spec, next: Some(due_at(1)) },
                (true, true) => ScheduleCommand::Delete { key },
            }
        }
        Step::Rule { name, delete } => {
            let key = RuleKey { scope: Scope::development(), name: name.to_string() };
            match (state.rule(&key), delete) {
                (None, _) => ScheduleCommand::PutRule {
                    key,
                    spec: Box::new(rule_spec()),
                    next: Some(due_at(1)),
                    tags: Tags::new(),
                    seen: None,
                },
                (Some(rule), _) if rule.targets.is_empty() => ScheduleCommand::ChangeTargets {
                    key,
                    put: vec![schedule_target("a")],
                    remove: Vec::new(),
                },
                (Some(_), true) => {
                    ScheduleCommand::ChangeTargets { key, put: Vec::new(), remove: vec!["a".to_owned()] }
                }
                (Some(_), false) => ScheduleCommand::DeleteRule { key },
            }
        }
        Step::Fire { trigger: number, instance, defer, next, on } => {
            let trigger = trigger(state, *number)?;
            let firing = state.firing(&trigger);
            let pending = firing.pending.first();
            let advance = match pending {
                Some(_) => None,
                None => Some(Advance {
                    due: firing.next?.at,
                    next: (*next > 0).then(|| due_at(firing.next.map_or(0, |due| due.at.millis()) + next)),
                    missed: 0,
                    reason: String::new(),
                }),
            };
            let due = pending.map_or(firing.next.unwrap_or(due_at(0)).at, |pending| pending.due);
            let result = if *defer {
                let again_at = Timestamp::from_millis(due.millis() + 1);
                RunResult::Defer { again_at, reason: "no place".to_owned(), stop: Vec::new() }
            } else {
                let run = match on {
                    None => run_tasks(definition(&family(0), 1), placements(state, &[*instance])),
                    // Beside a task that is placed, or by themselves, some wait for a machine of a pool.
                    Some((provider, waiting)) => {
                        let instances = if *waiting > 1 { Vec::new() } else { vec![*instance] };
                        run_on(state, &instances, Some(*provider), *waiting)
                    }
                };
                let stop = firing.tasks.iter().map(|(_, id)| *id).take(1).collect();
                RunResult::Start { run: Box::new(run), stop }
            };
            let tries = pending.map_or(0, |pending| pending.tries);
            let version = state.trigger_version(&trigger)?;
            let runs = vec![Run { due, target: "a".to_owned(), tries, result }];
            ScheduleCommand::Fire(Box::new(Fire { trigger, version, advance, runs }))
        }
        Step::Deliver { .. } | Step::Connect { .. } => delivery_command(state, step)?,
        _ => return None,
    };
    Some(Command::Schedule(Box::new(command)))
}

fn delivery_command(state: &State, step: &Step) -> Option<ScheduleCommand> {
    Some(ScheduleCommand::Deliver(match step {
        Step::Deliver { delivery, ahead, instance } => {
            let (key, known) = state.deliveries().nth(*delivery)?;
            let to = (Sequence::new(known.seen.get() + ahead), u32::from(*ahead == 3));
            let error = (*ahead == 7).then(|| "no answer".to_owned());
            let mark = Mark {
                key: key.clone(),
                from: (known.seen, known.part),
                to,
                delivered: 1,
                dropped: 0,
                error,
            };
            match instance {
                None => DeliveryCommand::Advance(vec![mark]),
                Some(instance) => DeliveryCommand::Start {
                    mark,
                    version: state.rule(&key.rule)?.version,
                    run: Box::new(run_tasks(definition(&family(0), 1), placements(state, &[*instance]))),
                },
            }
        }
        Step::Connect { name, delete } => {
            let key = connection(&name.to_string());
            let known = state.connection(&key).map(|known| (known.id, known.version));
            match delete {
                true => DeliveryCommand::DeleteConnection { key },
                false => DeliveryCommand::PutConnection { key, spec: Box::new(connection_spec()), known },
            }
        }
        _ => return None,
    }))
}
