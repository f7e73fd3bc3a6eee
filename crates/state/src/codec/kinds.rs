//! The table of event kinds: number and version, the feature level from which it is written, variant, fields in the order in
//! which they are written. Numbers are never reused, lines never changed; a golden fixture holds each. A kind whose layout
//! must change gets a second line with the next version, which is written from its level on, and the old line decodes into
//! frozen structs of its own. Kinds of one area may have an enum of their own within [`Event`].

use super::{CodecError, decode_payload, encode_payload};
use crate::event::{
    AlarmEvent, AutoscalingEvent, CapacityEvent, DeliveryEvent, DeploymentEvent, ExecuteCommandEvent,
    LogGroupEvent, NetworkEvent, PlacementEvent, RebalancingEvent, ScheduleEvent,
};
use crate::{Event, FeatureLevel};

macro_rules! kinds {
    (
        $($kind:literal @ $version:literal from $level:literal => $variant:ident { $($field:ident),* },)*
        $(in $group:ident($of:ident): $gkind:literal @ $gversion:literal from $glevel:literal
            => $gvariant:ident { $($gfield:ident),* },)*
    ) => {
        impl Event {
            /// The number of this kind in the log. Never reused.
            pub const fn kind(&self) -> u32 {
                match self {
                    $(Self::$variant { .. } => $kind,)*
                    $(Self::$group($of::$gvariant { .. }) => $gkind,)*
                }
            }

            /// The level from which this kind is written: a node that supports less cannot read it.
            pub const fn level(&self) -> FeatureLevel {
                match self {
                    $(Self::$variant { .. } => FeatureLevel::new($level),)*
                    $(Self::$group($of::$gvariant { .. }) => FeatureLevel::new($glevel),)*
                }
            }

            /// The kind's name, for people: `trireme events` and metrics.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => stringify!($variant),)*
                    $(Self::$group($of::$gvariant { .. }) => stringify!($gvariant),)*
                }
            }
        }

        /// Each kind that this binary knows, with its name.
        pub const KINDS: &[(u32, &str)] = &[$(($kind, stringify!($variant)),)* $(($gkind, stringify!($gvariant)),)*];

        /// The version of its layout, and the payload.
        pub(super) fn encode(event: &Event) -> (u16, Vec<u8>) {
            match event {
                $(Event::$variant { $($field),* } => ($version, encode_payload(&($($field,)*))),)*
                $(Event::$group($of::$gvariant { $($gfield),* }) => ($gversion, encode_payload(&($($gfield,)*))),)*
            }
        }

        pub(super) fn decode(kind: u32, version: u16, payload: &[u8]) -> Result<Event, CodecError> {
            match (kind, version) {
                $(($kind, $version) => {
                    let ($($field,)*) = decode_payload(payload)?;
                    Ok(Event::$variant { $($field),* })
                })*
                $(($gkind, $gversion) => {
                    let ($($gfield,)*) = decode_payload(payload)?;
                    Ok(Event::$group($of::$gvariant { $($gfield),* }))
                })*
                $(($kind, _) => Err(CodecError::UnknownVersion { kind, version }),)*
                $(($gkind, _) => Err(CodecError::UnknownVersion { kind, version }),)*
                _ => Err(CodecError::UnknownKind { kind }),
            }
        }
    };
}

kinds! {
    1 @ 1 from 1 => ClusterCreated { cluster, tags },
    2 @ 1 from 1 => ClusterDeleted { cluster },
    3 @ 1 from 2 => ClusterConfigured { cluster, configuration },
    4 @ 1 from 2 => CapacityProviderCreated { key, group, tags },
    5 @ 1 from 2 => CapacityProviderUpdated { key, group },
    6 @ 1 from 2 => CapacityProviderDeleted { key },
    7 @ 1 from 2 => CapacityProviderTagged { key, tags },
    8 @ 1 from 5 => ClusterLostAfterSet { cluster, millis },
    10 @ 1 from 1 => TaskDefinitionRegistered { key, spec, tags, registered_by },
    11 @ 1 from 1 => TaskDefinitionDeregistered { key },
    12 @ 1 from 2 => TaskDefinitionDeleted { key },
    13 @ 1 from 2 => TaskDefinitionForgotten { key },
    20 @ 1 from 1 => ServiceCreated { key, spec, tags, created_by, deployment },
    21 @ 1 from 1 => ServiceUpdated { key, spec, deployment },
    22 @ 1 from 1 => ServiceDraining { key },
    23 @ 1 from 1 => ServiceInactive { key },
    24 @ 1 from 1 => ServiceEventRecorded { key, id, message },
    25 @ 1 from 1 => ServiceSteadinessChanged { key, steady },
    26 @ 1 from 1 => DeploymentProgressed { key, deployment, rollout },
    27 @ 1 from 1 => DeploymentRetired { key, deployment },
    28 @ 1 from 1 => DeploymentBackedOff { key, deployment, back_off, failed_tasks },
    30 @ 1 from 1 => TaskCreated { task },
    31 @ 1 from 1 => TaskStopRequested { task, code, reason },
    32 @ 1 from 1 => TaskProgressed { report },
    33 @ 1 from 1 => TaskLost { task, code, reason },
    34 @ 1 from 1 => TaskReaped { task },
    35 @ 1 from 2 => TaskProtectionChanged { task, until },
    36 @ 1 from 4 => TaskHealthChanged { task, health },
    40 @ 1 from 1 => SessionOpened { instance, epoch, registration },
    41 @ 1 from 1 => InstanceLost { instance, epoch },
    42 @ 1 from 1 => InstanceStatusChanged { instance, status },
    43 @ 1 from 1 => InstanceDeregistered { instance },
    44 @ 1 from 2 => InstanceAttributesChanged { instance, attributes },
    45 @ 1 from 2 => InstanceRegistered { instance, registration, tags },
    46 @ 1 from 5 => InstanceAbsent { instance, until },
    50 @ 1 from 1 => ResourceTagged { resource, tags },
    51 @ 1 from 1 => ResourceUntagged { resource, keys },
    60 @ 1 from 1 => RequestRecorded { key, outcome },
    70 @ 1 from 1 => AccessKeyCreated { key },
    71 @ 1 from 2 => AccountSettingChanged { key, name, value },
    80 @ 1 from 1 => Reset {},
    81 @ 1 from 1 => FeatureLevelRaised { level },
    82 @ 1 from 1 => RetentionSet { retention },
    83 @ 1 from 1 => HistoryTrimmed { to },
    84 @ 1 from 1 => ClusterRestored { incarnation, source },
    90 @ 1 from 2 => ServiceDeploymentStarted { key, deployment, revision, sources },
    91 @ 1 from 2 => ServiceDeploymentRolledBack { key, deployment, by, revision, reason },
    92 @ 1 from 3 => ServiceWithTaskSetsCreated { key, spec, tags, created_by },
    93 @ 1 from 3 => TaskSetCreated { key, set },
    94 @ 1 from 3 => TaskSetScaled { key, id, scale },
    95 @ 1 from 3 => TaskSetDraining { key, id },
    96 @ 1 from 3 => TaskSetDeleted { key, id },
    97 @ 1 from 3 => PrimaryTaskSetChanged { key, id },
    98 @ 1 from 3 => TaskSetBackedOff { key, id, back_off, failed_tasks },
    99 @ 1 from 3 => TaskSetSteadinessChanged { key, id, steady },
    100 @ 1 from 3 => TaskSetTagged { key, id, tags },
    101 @ 1 from 5 => ImagesPinned { key, revision, images },
    in ExecuteCommand(ExecuteCommandEvent): 120 @ 1 from 5 => CommandStarted { execution, task, container, command, by, forced },
    in ExecuteCommand(ExecuteCommandEvent): 121 @ 1 from 5 => CommandEnded { execution, task, container, exit_code, reason },
    in ExecuteCommand(ExecuteCommandEvent): 122 @ 1 from 5 => TasksAllowCommands { tasks },
    in LogGroup(LogGroupEvent): 115 @ 1 from 5 => LogGroupCreated { key, tags },
    in LogGroup(LogGroupEvent): 116 @ 1 from 5 => LogGroupDeleted { key },
    in LogGroup(LogGroupEvent): 117 @ 1 from 5 => LogGroupRetentionChanged { key, days },
    in LogGroup(LogGroupEvent): 118 @ 1 from 5 => LogGroupTagged { key, tags },
    in Network(NetworkEvent): 110 @ 1 from 6 => SubnetAdded { subnet },
    in Network(NetworkEvent): 111 @ 1 from 6 => SubnetRemoved { subnet },
    in Network(NetworkEvent): 112 @ 1 from 6 => TaskAttached { task, interface },
    in Rebalancing(RebalancingEvent): 145 @ 1 from 7 => ZoneMoveChanged { key, under_way },
    in Placement(PlacementEvent): 140 @ 1 from 7 => TasksPlaced { tasks, rules },
    in Placement(PlacementEvent): 141 @ 1 from 7 => GpusAssigned { tasks },
    in Deployment(DeploymentEvent): 130 @ 1 from 7 => LifecycleStageEntered { key, deployment, stage, hooks },
    in Deployment(DeploymentEvent): 131 @ 1 from 7 => LifecycleHookEnded { key, deployment, hook, status },
    in Deployment(DeploymentEvent): 132 @ 1 from 7 => TaskFailuresCounted { key, deployment, failures },
    in Schedule(ScheduleEvent): 175 @ 1 from 8 => ScheduleGroupCreated { key, tags },
    in Schedule(ScheduleEvent): 176 @ 1 from 8 => ScheduleGroupDeleted { key },
    in Schedule(ScheduleEvent): 177 @ 1 from 8 => ScheduleGroupTagged { key, tags },
    in Schedule(ScheduleEvent): 178 @ 1 from 8 => SchedulePut { key, spec, next },
    in Schedule(ScheduleEvent): 179 @ 1 from 8 => ScheduleDeleted { key },
    in Schedule(ScheduleEvent): 180 @ 1 from 8 => RulePut { key, spec, next },
    in Schedule(ScheduleEvent): 181 @ 1 from 8 => RuleDeleted { key },
    in Schedule(ScheduleEvent): 182 @ 1 from 8 => RuleTagged { key, tags },
    in Schedule(ScheduleEvent): 183 @ 1 from 8 => RuleTargetsChanged { key, targets },
    in Schedule(ScheduleEvent): 184 @ 1 from 8 => TriggerFired { trigger, due, next },
    in Schedule(ScheduleEvent): 185 @ 1 from 8 => RunsMissed { trigger, from, count, next, reason },
    in Schedule(ScheduleEvent): 186 @ 1 from 8 => RunStarted { trigger, due, target, tasks },
    in Schedule(ScheduleEvent): 187 @ 1 from 8 => RunDeferred { trigger, due, target, tries, again_at, reason },
    in Schedule(ScheduleEvent): 188 @ 1 from 8 => RunFailed { trigger, due, target, reason },
    in Deployment(DeploymentEvent): 133 @ 1 from 7 => DeploymentFailed { key, deployment, cause, record },
    in Autoscaling(AutoscalingEvent): 150 @ 1 from 8 => ScalableTargetRegistered { key, id, spec },
    in Autoscaling(AutoscalingEvent): 151 @ 1 from 8 => ScalableTargetDeregistered { key },
    in Autoscaling(AutoscalingEvent): 152 @ 1 from 8 => ScalableTargetTagged { key, tags },
    in Autoscaling(AutoscalingEvent): 153 @ 1 from 8 => ScalingPolicyPut { key, name, id, spec },
    in Autoscaling(AutoscalingEvent): 154 @ 1 from 8 => ScalingPolicyDeleted { key, name },
    in Autoscaling(AutoscalingEvent): 155 @ 1 from 8 => ScheduledActionPut { key, name, id, spec, next },
    in Autoscaling(AutoscalingEvent): 156 @ 1 from 8 => ScheduledActionDeleted { key, name },
    in Autoscaling(AutoscalingEvent): 157 @ 1 from 8 => ScheduledActionTaken { key, name, next },
    in Autoscaling(AutoscalingEvent): 158 @ 1 from 8 => ScalingActivityRecorded { key, activity, policy },
    in Delivery(DeliveryEvent): 189 @ 1 from 8 => DeliveryAdvanced { key, seen, part, delivered, dropped, error },
    in Alarm(AlarmEvent): 190 @ 1 from 8 => AlarmConfigured { key, spec, tags },
    in Alarm(AlarmEvent): 191 @ 1 from 8 => AlarmDeleted { key },
    in Alarm(AlarmEvent): 192 @ 1 from 8 => AlarmStateChanged { key, state, reason, reason_data },
    in Alarm(AlarmEvent): 193 @ 1 from 8 => AlarmActionsSwitched { key, enabled },
    in Alarm(AlarmEvent): 194 @ 1 from 8 => AlarmTagged { key, tags },
    in Alarm(AlarmEvent): 195 @ 1 from 8 => DeploymentAlarmsTriggered { key, deployment, alarms },
    in Delivery(DeliveryEvent): 196 @ 1 from 8 => ConnectionPut { key, id, spec },
    in Delivery(DeliveryEvent): 197 @ 1 from 8 => ConnectionDeleted { key },
    in Delivery(DeliveryEvent): 198 @ 1 from 8 => ApiDestinationPut { key, id, spec },
    in Delivery(DeliveryEvent): 199 @ 1 from 8 => ApiDestinationDeleted { key },
    in Capacity(CapacityEvent): 165 @ 1 from 8 => TasksLaunched { tasks, launch },
    in Capacity(CapacityEvent): 166 @ 1 from 8 => RunWaits { run },
    in Capacity(CapacityEvent): 167 @ 1 from 8 => WaitingRunEnded { task, end },
    in Capacity(CapacityEvent): 168 @ 1 from 8 => WaitingRunForgotten { task },
    in Capacity(CapacityEvent): 169 @ 1 from 8 => PoolSized { key, size },
}
