//! Steps of task sets.

use super::*;

/// What needs the third feature level, and is refused below it.
pub fn task_set_step() -> impl Strategy<Value = Step> {
    let name = || 0u8..3;
    let set = || 0usize..3;
    prop_oneof![
        (name(), 0u32..5).prop_map(|(name, count)| Step::CreateExternal { name, count }),
        (name(), name(), 0u8..=100, proptest::option::of(0u8..3))
            .prop_map(|(name, family, percent, token)| Step::CreateSet { name, family, percent, token }),
        (name(), set(), 0u8..=100).prop_map(|(name, set, percent)| Step::ScaleSet { name, set, percent }),
        (name(), set(), any::<bool>()).prop_map(|(name, set, force)| Step::DeleteSet { name, set, force }),
        (name(), set()).prop_map(|(name, set)| Step::Choose { name, set }),
        (name(), set()).prop_map(|(name, set)| Step::TagSet { name, set }),
        (name(), set(), proptest::collection::vec(0usize..6, 1..4))
            .prop_map(|(name, set, instances)| Step::StartOfSet { name, set, instances }),
        (name(), set(), proptest::option::of(any::<bool>()), any::<bool>())
            .prop_map(|(name, set, steady, gone)| Step::RecordSet { name, set, steady, gone }),
    ]
}

pub fn task_set_command(state: &State, step: &Step) -> Option<Command> {
    let scale = |percent: u8| Scale::from_percent(f64::from(percent));
    let id = |name: u8, set: usize| Some(state.task_sets(&service_name(name))?.sets.get(set)?.id);
    Some(match step {
        Step::CreateExternal { name, count } => Command::CreateServiceWithTaskSets {
            key: service_name(*name),
            spec: spec(TaskDefinitionKey::none(&Scope::development()), *count),
            tags: Tags::new(),
            created_by: "p".to_owned(),
        },
        Step::CreateSet { name, family: f, percent, .. } => Command::CreateTaskSet {
            service: service_name(*name),
            spec: Box::new(TaskSetSpec {
                task_definition: definition(&family(*f), 1),
                scale: scale(*percent)?,
                external_id: None,
                described: Described::new(),
            }),
            tags: Tags::new(),
        },
        Step::ScaleSet { name, set, percent } => Command::ScaleTaskSet {
            service: service_name(*name),
            id: id(*name, *set)?,
            scale: scale(*percent)?,
        },
        Step::DeleteSet { name, set, force } => {
            Command::DeleteTaskSet { service: service_name(*name), id: id(*name, *set)?, force: *force }
        }
        Step::Choose { name, set } => {
            Command::SetPrimaryTaskSet { service: service_name(*name), id: id(*name, *set)? }
        }
        Step::StartOfSet { name, set, instances } => Command::StartServiceTasks {
            service: service_name(*name),
            version: state.service(&service_name(*name))?.version,
            deployment: id(*name, *set)?,
            placements: placements(state, instances),
        },
        Step::RecordSet { name, set, steady, gone } => Command::RecordTaskSets {
            service: service_name(*name),
            version: state.service(&service_name(*name))?.version,
            sets: vec![command::TaskSetProgress {
                id: id(*name, *set)?,
                back_off: Some((
                    gone.then_some(BackOff { failures: 1, not_before: Timestamp::from_millis(9) }),
                    1,
                )),
                steady: *steady,
                gone: *gone,
                events: Vec::new(),
            }],
            steady: *steady,
            events: gone.then(|| "told".to_owned()).into_iter().collect(),
        },
        Step::TagSet { name, set } => Command::TagResource {
            resource: command::TaggedResource::TaskSet(service_name(*name), id(*name, *set)?),
            tags: Tags::from([("k".to_owned(), set.to_string())]),
        },
        _ => return None,
    })
}
