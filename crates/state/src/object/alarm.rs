//! Alarms on metrics (CloudWatch's): what is watched, and how it stands. What the metric itself is, is never state.

use imbl::Vector;
use serde::{Deserialize, Serialize};
use trireme_types::{Real, Scope, Timestamp};

use super::{MetricQuery, Tags};

/// An alarm's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlarmKey {
    /// Account and region.
    pub scope: Scope,
    /// Its name.
    pub name: String,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its full name.
    pub key: AlarmKey,
    /// What a user asks of it.
    pub spec: AlarmSpec,
    /// How it stands.
    pub status: AlarmStatus,
    /// When a user last said what it is (CloudWatch API: AlarmConfigurationUpdatedTimestamp).
    pub configured_at: Timestamp,
    /// Its tags.
    pub tags: Tags,
    /// What happened to it, the newest first; at most [`crate::limits::ALARM_HISTORY`].
    pub history: Vector<AlarmNote>,
    /// Rises with each change. Who moves it names the version that was seen.
    pub version: u64,
}

/// What a user asks of an alarm (CloudWatch API: PutMetricAlarm).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmSpec {
    /// The datapoints that are held against the threshold.
    pub query: MetricQuery,
    /// Of so many periods.
    pub evaluation_periods: u32,
    /// So many of them must breach, if that is not all.
    pub datapoints_to_alarm: Option<u32>,
    /// What they are held against.
    pub threshold: Real,
    /// When one breaches.
    pub comparison: Comparison,
    /// What a period without samples counts as; [`MissingData::Missing`] when it is not given.
    pub missing_data: Option<MissingData>,
    /// For people.
    pub description: Option<String>,
    /// Whether its actions are done at all.
    pub actions_enabled: bool,
    /// ARNs of what is done when it goes to ALARM.
    pub alarm_actions: Vec<String>,
    /// To OK.
    pub ok_actions: Vec<String>,
    /// To INSUFFICIENT_DATA.
    pub insufficient_data_actions: Vec<String>,
}

impl AlarmSpec {
    /// How many datapoints must breach.
    pub fn needed(&self) -> u32 {
        self.datapoints_to_alarm.unwrap_or(self.evaluation_periods)
    }

    /// Whether a datapoint breaches.
    pub fn breaches(&self, value: Real) -> bool {
        match self.comparison {
            Comparison::GreaterOrEqual => value >= self.threshold,
            Comparison::Greater => value > self.threshold,
            Comparison::Less => value < self.threshold,
            Comparison::LessOrEqual => value <= self.threshold,
        }
    }
}

/// When a datapoint breaches: it is this to the threshold (CloudWatch API: ComparisonOperator).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// At or above it.
    GreaterOrEqual,
    /// Above it.
    Greater,
    /// Below it.
    Less,
    /// At or below it.
    LessOrEqual,
}

impl Comparison {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::GreaterOrEqual, "GreaterThanOrEqualToThreshold"),
        (Self::Greater, "GreaterThanThreshold"),
        (Self::Less, "LessThanThreshold"),
        (Self::LessOrEqual, "LessThanOrEqualToThreshold"),
    ];

    /// CloudWatch's name of it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(one, _)| *one == self).map_or("", |(_, name)| name)
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(one, _)| *one)
    }
}

/// What a period without samples counts as (CloudWatch API: TreatMissingData).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MissingData {
    /// As nothing; when there is nothing else the alarm has too little to say.
    #[default]
    Missing,
    /// As nothing; when there is nothing else the alarm stays as it is.
    Ignore,
    /// As one that breaches.
    Breaching,
    /// As one that does not.
    NotBreaching,
}

impl MissingData {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Missing, "missing"),
        (Self::Ignore, "ignore"),
        (Self::Breaching, "breaching"),
        (Self::NotBreaching, "notBreaching"),
    ];

    /// CloudWatch's name of it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(one, _)| *one == self).map_or("", |(_, name)| name)
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(one, _)| *one)
    }
}

/// CloudWatch API: StateValue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AlarmState {
    /// The metric is as it should be.
    Ok,
    /// It is not.
    Alarm,
    /// Nobody knows.
    #[default]
    InsufficientData,
}

impl AlarmState {
    const NAMES: [(Self, &'static str); 3] =
        [(Self::Ok, "OK"), (Self::Alarm, "ALARM"), (Self::InsufficientData, "INSUFFICIENT_DATA")];

    /// CloudWatch's name of it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(one, _)| *one == self).map_or("", |(_, name)| name)
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(one, _)| *one)
    }
}

/// How an alarm stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmStatus {
    /// Its state.
    pub value: AlarmState,
    /// Why, for people.
    pub reason: String,
    /// The same for programs, as JSON.
    pub reason_data: Option<String>,
    /// When that was said.
    pub updated_at: Timestamp,
    /// When it came into this state.
    pub transitioned_at: Timestamp,
}

/// Something that happened to an alarm (CloudWatch API: AlarmHistoryItem).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmNote {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: AlarmHappening,
}

/// What happened to an alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmHappening {
    /// It was made.
    Created,
    /// It watches something else, or otherwise.
    Configured,
    /// It is in another state.
    Moved {
        /// The one before.
        from: AlarmState,
        /// The one now.
        to: AlarmState,
        /// Why, for people.
        reason: String,
    },
}

impl Alarm {
    /// The state that it was in at a moment, as far as is known; [`AlarmState::InsufficientData`] before it was made.
    pub fn was(&self, at: Timestamp) -> AlarmState {
        let later = self.history.iter().take_while(|note| note.at > at);
        let moves = later.filter_map(|note| match &note.what {
            AlarmHappening::Moved { from, .. } => Some(*from),
            AlarmHappening::Created => Some(AlarmState::InsufficientData),
            AlarmHappening::Configured => None,
        });
        moves.last().unwrap_or(self.status.value)
    }

    /// Whether it was in ALARM at a moment. Where its history does not reach back so far: whether it came there more than once since, for whoever
    /// listens to it has acted on the first time, if it was one.
    pub fn rang_at(&self, at: Timestamp) -> bool {
        let oldest = self.history.iter().last();
        let is_cut = oldest.is_some_and(|note| note.at > at && note.what != AlarmHappening::Created);
        let comes = |note: &&AlarmNote| {
            note.at > at && matches!(note.what, AlarmHappening::Moved { to: AlarmState::Alarm, .. })
        };
        let often = is_cut && self.history.iter().filter(comes).count() > 1;
        often || self.was(at) == AlarmState::Alarm
    }

    /// Whether it is in ALARM, or went there after a moment, as far as is known.
    pub fn has_rung_since(&self, at: Timestamp) -> bool {
        let to_alarm = |note: &AlarmNote| {
            note.at > at && matches!(note.what, AlarmHappening::Moved { to: AlarmState::Alarm, .. })
        };
        self.status.value == AlarmState::Alarm || self.history.iter().any(to_alarm)
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        let AlarmKey { scope, name } = &self.key;
        format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", scope.region, scope.account)
    }
}
