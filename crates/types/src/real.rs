//! Real numbers as users give them: metrics, thresholds, targets.

use serde::{Deserialize, Serialize};

/// A real number. Finite: what is not cannot be made. Two are equal when all their bits are, but for the sign of zero.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Real(f64);

impl Real {
    /// From a finite number.
    pub fn new(value: f64) -> Option<Self> {
        // Zero has one sign only.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// A number that is not finite.
#[derive(Debug, thiserror::Error)]
#[error("not a finite number")]
pub struct NotFinite;

impl TryFrom<f64> for Real {
    type Error = NotFinite;

    fn try_from(value: f64) -> Result<Self, NotFinite> {
        Self::new(value).ok_or(NotFinite)
    }
}

impl From<Real> for f64 {
    fn from(real: Real) -> Self {
        real.0
    }
}

impl From<u32> for Real {
    fn from(value: u32) -> Self {
        Self(f64::from(value))
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Real {}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl std::fmt::Display for Real {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for Real {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_are_made_and_zero_has_one_sign() {
        assert_eq!(Real::new(f64::NAN), None);
        assert_eq!(Real::new(f64::INFINITY), None);
        assert_eq!(Real::new(-0.0), Real::new(0.0));
        assert!(Real::new(-1.5) < Real::new(0.0));
        assert_eq!(Real::new(70.0).map(|real| real.to_string()).as_deref(), Some("70"));
    }
}
