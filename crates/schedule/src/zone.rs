//! Time zones by their IANA names, and where a local time lies.

use std::fmt;
use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{self, AmbiguousOffset, TimeZoneDatabase};
use trireme_types::Timestamp;

use crate::error::ExpressionError;

/// The database that is in the binary, not the machine's.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(tz::TimeZone);

impl TimeZone {
    /// Coordinated universal time, which is EventBridge's where none is named.
    pub const UTC: Self = Self(tz::TimeZone::UTC);

    /// The zone of that name, upper or lower case.
    ///
    /// # Errors
    ///
    /// No zone of the IANA database is called so.
    pub fn parse(name: &str) -> Result<Self, ExpressionError> {
        if name.eq_ignore_ascii_case("UTC") {
            return Ok(Self::UTC);
        }
        ZONES.get(name).map(Self).map_err(|_| ExpressionError::Zone { name: shortened(name) })
    }

    /// What clocks there show then; `None` beyond the year 9999.
    pub(crate) fn local(&self, at: Timestamp) -> Option<DateTime> {
        let millis = i64::try_from(at.millis()).ok()?;
        Some(self.0.to_datetime(jiff::Timestamp::from_millisecond(millis).ok()?))
    }

    /// When clocks there show `local` for the first time; `None` if they skip it, or if it is before 1970.
    pub(crate) fn first(&self, local: DateTime) -> Option<Timestamp> {
        let ambiguous = self.0.to_ambiguous_timestamp(local);
        if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
            return None;
        }
        let millis = ambiguous.earlier().ok()?.as_millisecond();
        u64::try_from(millis).ok().map(Timestamp::from_millis)
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

/// As much of a text as a message needs.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
