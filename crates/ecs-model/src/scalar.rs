//! Scalars with a wire form of their own.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time as awsJson1.1 writes it: seconds since 1970 as a JSON number, to the millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct EpochSeconds(pub f64);

impl EpochSeconds {
    /// From milliseconds since 1970.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis as f64 / 1000.0)
    }

    /// Milliseconds since 1970, to the nearest. A time outside the range of `i64` becomes its end.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        (self.0 * 1000.0).round() as i64
    }
}

impl Serialize for EpochSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.as_millis();
        if millis % 1000 == 0 {
            serializer.serialize_i64(millis / 1000)
        } else {
            serializer.serialize_f64(Self::from_millis(millis).0)
        }
    }
}

impl<'de> Deserialize<'de> for EpochSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self)
    }
}
