//! What is put: some values of a metric at a moment, as one set of statistics.

use trireme_state::object::{MetricKey, Statistic};
use trireme_types::{Real, Timestamp};

/// What is known of some values (CloudWatch API: StatisticSet).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatisticSet {
    /// How many there are.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
}

impl StatisticSet {
    /// One value, so many times.
    pub fn of(value: f64, count: f64) -> Self {
        Self { count, sum: value * count, minimum: value, maximum: value }
    }

    /// Both together.
    pub fn with(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            minimum: self.minimum.min(other.minimum),
            maximum: self.maximum.max(other.maximum),
        }
    }

    /// One statistic; `None` if it is no finite number.
    pub fn get(self, statistic: Statistic) -> Option<Real> {
        Real::new(match statistic {
            Statistic::Average => self.sum / self.count,
            Statistic::Minimum => self.minimum,
            Statistic::Maximum => self.maximum,
            Statistic::Sum => self.sum,
            Statistic::SampleCount => self.count,
        })
    }
}

/// CloudWatch API: StandardUnit, by its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit(u8);

impl Unit {
    const NAMES: [&'static str; 27] = [
        "None",
        "Seconds",
        "Microseconds",
        "Milliseconds",
        "Bytes",
        "Kilobytes",
        "Megabytes",
        "Gigabytes",
        "Terabytes",
        "Bits",
        "Kilobits",
        "Megabits",
        "Gigabits",
        "Terabits",
        "Percent",
        "Count",
        "Bytes/Second",
        "Kilobytes/Second",
        "Megabytes/Second",
        "Gigabytes/Second",
        "Terabytes/Second",
        "Bits/Second",
        "Kilobits/Second",
        "Megabits/Second",
        "Gigabits/Second",
        "Terabits/Second",
        "Count/Second",
    ];

    /// Of values of which no unit was said.
    pub const NONE: Self = Self(0);
    /// Per cent.
    pub const PERCENT: Self = Self(14);
    /// A number of things.
    pub const COUNT: Self = Self(15);

    /// CloudWatch's name of it.
    pub fn name(self) -> &'static str {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or("None")
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        let place = Self::NAMES.iter().position(|known| *known == name)?;
        u8::try_from(place).ok().map(Self)
    }
}

/// Some values of a metric at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which metric.
    pub metric: MetricKey,
    /// When.
    pub at: Timestamp,
    /// In which unit.
    pub unit: Unit,
    /// The values.
    pub set: StatisticSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_their_names() {
        assert_eq!(
            (Unit::PERCENT.name(), Unit::COUNT.name(), Unit::NONE.name()),
            ("Percent", "Count", "None")
        );
        assert_eq!(Unit::named("Count/Second").map(Unit::name), Some("Count/Second"));
        assert_eq!(Unit::named("Furlongs"), None);
    }

    #[test]
    fn sets_add_up() {
        let set = StatisticSet::of(2.0, 3.0).with(StatisticSet::of(-4.0, 1.0));
        let get = |statistic| set.get(statistic).map(Real::get);
        assert_eq!(get(Statistic::Average), Some(0.5));
        assert_eq!((get(Statistic::Minimum), get(Statistic::Maximum)), (Some(-4.0), Some(2.0)));
        assert_eq!((get(Statistic::Sum), get(Statistic::SampleCount)), (Some(2.0), Some(4.0)));
        assert_eq!(StatisticSet::of(1.0, 0.0).get(Statistic::Average), None, "of nothing there is no mean");
    }
}
