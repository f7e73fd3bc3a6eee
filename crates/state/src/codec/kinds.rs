//! The table of event kinds: number, variant, fields in the order in which they are written. Numbers are never reused, lines
//! never changed; a golden fixture holds each.

use super::{CodecError, decode_payload, encode_payload};
use crate::Event;

/// The version of each kind's layout that this binary writes. A new layout is a new version beside the old one.
pub(super) const VERSION: u16 = 1;

macro_rules! kinds {
    ($($kind:literal => $variant:ident { $($field:ident),* },)*) => {
        impl Event {
            /// The number of this kind in the log. Never reused.
            pub const fn kind(&self) -> u32 {
                match self {
                    $(Self::$variant { .. } => $kind,)*
                }
            }

            /// The kind's name, for people: `trireme events` and metrics.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => stringify!($variant),)*
                }
            }
        }

        /// Each kind that this binary knows, with its name.
        pub const KINDS: &[(u32, &str)] = &[$(($kind, stringify!($variant)),)*];

        pub(super) fn encode(event: &Event) -> Vec<u8> {
            match event {
                $(Event::$variant { $($field),* } => encode_payload(&($($field,)*)),)*
            }
        }

        pub(super) fn decode(kind: u32, payload: &[u8]) -> Result<Event, CodecError> {
            match kind {
                $($kind => {
                    let ($($field,)*) = decode_payload(payload)?;
                    Ok(Event::$variant { $($field),* })
                })*
                _ => Err(CodecError::UnknownKind { kind }),
            }
        }
    };
}

kinds! {
    1 => ClusterCreated { cluster, tags },
    2 => ClusterDeleted { cluster },
    10 => TaskDefinitionRegistered { key, spec, tags, registered_by },
    11 => TaskDefinitionDeregistered { key },
    20 => ServiceCreated { key, spec, tags, created_by, deployment },
    21 => ServiceUpdated { key, spec, deployment },
    22 => ServiceDraining { key },
    23 => ServiceInactive { key },
    24 => ServiceEventRecorded { key, id, message },
    25 => ServiceSteadinessChanged { key, steady },
    26 => DeploymentProgressed { key, deployment, rollout },
    27 => DeploymentRetired { key, deployment },
    28 => DeploymentBackedOff { key, deployment, back_off, failed_tasks },
    30 => TaskCreated { task },
    31 => TaskStopRequested { task, code, reason },
    32 => TaskProgressed { report },
    33 => TaskLost { task, code, reason },
    34 => TaskReaped { task },
    40 => SessionOpened { instance, epoch, registration },
    41 => InstanceLost { instance, epoch },
    42 => InstanceStatusChanged { instance, status },
    43 => InstanceDeregistered { instance },
    50 => ResourceTagged { resource, tags },
    51 => ResourceUntagged { resource, keys },
    60 => RequestRecorded { key, outcome },
    70 => AccessKeyCreated { key },
    80 => Reset {},
}
