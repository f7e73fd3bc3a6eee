//! Steps of alarms, and of services whose deployments listen to them.

use trireme_state::command::AlarmCommand;

use super::*;

/// What needs the eighth feature level, and is refused below it.
pub fn alarm_step() -> impl Strategy<Value = Step> {
    let name = || 0u8..3;
    prop_oneof![
        2 => (name(), 0u32..3).prop_map(|(name, threshold)| Step::PutAlarm { name, threshold }),
        4 => (name(), 0u8..3, any::<bool>())
            .prop_map(|(name, state, seen)| Step::MoveAlarm { name, state, seen }),
        1 => (name(), any::<bool>()).prop_map(|(name, delete)| Step::EndAlarm { name, delete }),
        1 => (name(), any::<bool>()).prop_map(|(name, rollback)| Step::Listen { name, rollback }),
    ]
}

fn key(name: u8) -> AlarmKey {
    AlarmKey { scope: Scope::development(), name: format!("alarm-{name}") }
}

fn spec(threshold: u32) -> AlarmSpec {
    let metric = MetricKey {
        scope: Scope::development(),
        namespace: "App".to_owned(),
        name: "Queue".to_owned(),
        dimensions: std::collections::BTreeMap::new(),
    };
    AlarmSpec {
        query: MetricQuery { metric, statistic: Statistic::Maximum, period_seconds: 60, unit: None },
        evaluation_periods: 1,
        datapoints_to_alarm: None,
        threshold: Real::from(threshold),
        comparison: Comparison::Greater,
        missing_data: None,
        description: None,
        actions_enabled: true,
        alarm_actions: Vec::new(),
        ok_actions: Vec::new(),
        insufficient_data_actions: Vec::new(),
    }
}

pub fn alarm_command(state: &State, step: &Step) -> Option<Command> {
    let command = match step {
        Step::PutAlarm { name, threshold } => {
            AlarmCommand::Put { key: key(*name), spec: Box::new(spec(*threshold)), tags: Tags::new() }
        }
        Step::MoveAlarm { name, state: to, seen } => AlarmCommand::SetState {
            key: key(*name),
            version: seen.then(|| state.alarm(&key(*name)).map_or(0, |alarm| alarm.version)),
            state: [AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData][usize::from(*to)],
            reason: "a test".to_owned(),
            reason_data: None,
        },
        Step::EndAlarm { name, delete: true } => AlarmCommand::Delete { keys: vec![key(*name)] },
        Step::EndAlarm { name, delete: false } => {
            AlarmCommand::SwitchActions { keys: vec![key(*name)], enabled: false }
        }
        Step::Listen { name, rollback } => {
            let names: Vec<String> = (0..3).map(|name| format!("\"{}\"", key(name).name)).collect();
            let names = names.join(",");
            let json = format!(r#"{{"alarmNames":[{names}],"enable":true,"rollback":{rollback}}}"#);
            let described = [(DEPLOYMENT_ALARMS.to_owned(), Some(json))].into();
            let change = ServiceChange { described, ..ServiceChange::default() };
            return Some(Command::UpdateService { key: service_name(*name), change });
        }
        _ => return None,
    };
    Some(Command::Alarm(Box::new(command)))
}
