//! Sections of a snapshot: the objects that came after the first feature level, each kind under its number. A kind without objects
//! has none. A section of a later level never reaches a node that does not know it: the level holds it back.

use imbl::OrdMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CodecError, decode_payload, encode_payload};
use crate::State;

/// A section's number and its payload.
pub(super) type Section = (u16, Vec<u8>);

fn objects<K, V>(map: &OrdMap<K, V>) -> Option<Vec<u8>>
where
    K: Ord + Clone + Serialize,
    V: Clone + Serialize,
{
    let all: Vec<(&K, &V)> = map.iter().collect();
    (!all.is_empty()).then(|| encode_payload(&all))
}

fn read<K, V>(map: &mut OrdMap<K, V>, payload: &[u8]) -> Result<(), CodecError>
where
    K: Ord + Clone + DeserializeOwned,
    V: Clone + DeserializeOwned,
{
    let all: Vec<(K, V)> = decode_payload(payload)?;
    *map = all.into_iter().collect();
    Ok(())
}

/// The table of sections. Numbers are never reused; they are those of the state hash too.
macro_rules! sections {
    ($($number:literal => $field:ident,)*) => {
        pub(super) fn of(state: &State) -> Vec<Section> {
            let all = [$(($number, objects(&state.$field)),)*];
            all.into_iter().filter_map(|(number, payload)| Some((number, payload?))).collect()
        }

        pub(super) fn into(state: &mut State, (number, payload): &Section) -> Result<(), CodecError> {
            match number {
                $($number => read(&mut state.$field, payload),)*
                other => Err(CodecError::Malformed { message: format!("a section {other}, which is unknown") }),
            }
        }
    };
}

sections! {
    9 => cluster_configurations,
    10 => custom_attributes,
    11 => task_protections,
    12 => capacity_providers,
    13 => account_settings,
    14 => deployment_histories,
    15 => deleted_definitions,
    16 => task_sets,
    17 => task_health,
    21 => image_pins,
    24 => tasks_allowing_commands,
    22 => absences,
    23 => lost_after,
    20 => log_groups,
    18 => subnets,
    19 => interfaces,
    27 => zone_moves,
    26 => placement_rules,
    25 => lifecycles,
    28 => task_gpus,
    29 => scalable_targets,
    30 => scaling_activities,
    35 => schedule_groups,
    36 => schedules,
    37 => rules,
    38 => firings,
    39 => deliveries,
    42 => connections,
    43 => api_destinations,
    40 => alarms,
    41 => triggered_alarms,
    32 => launches,
    33 => waiting_runs,
    34 => pool_sizes,
}
