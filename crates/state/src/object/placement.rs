//! What is asked of the machines that tasks are placed on: constraints, which bind, and strategies, which choose among the machines that fit
//! (ECS API: PlacementConstraint, PlacementStrategy). Services and task definitions keep them as ECS's JSON; a task that RunTask placed by
//! rules has them in the state until it is forgotten.

use serde::{Deserialize, Serialize};

use super::{Described, PLACEMENT_CONSTRAINTS, PLACEMENT_STRATEGY};
use crate::query::ZONE_ATTRIBUTE;

/// What a machine must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementConstraint {
    /// No other task of the group is on it.
    DistinctInstance,
    /// An expression of the cluster query language holds for it.
    MemberOf(String),
}

/// Over what tasks are spread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpreadField {
    /// Over the machines themselves.
    InstanceId,
    /// Over the values that an attribute has, by its name.
    Attribute(String),
}

/// What is to be used up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BinpackField {
    /// Cpu units.
    Cpu,
    /// Memory.
    Memory,
}

/// Which of the machines that fit is best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementStrategy {
    /// One where fewest tasks of the group are.
    Spread(SpreadField),
    /// One that has least left.
    Binpack(BinpackField),
    /// Any.
    Random,
}

/// Both. A strategy decides among the machines that those before it hold equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRules {
    /// All of them bind.
    pub constraints: Vec<PlacementConstraint>,
    /// The first one counts most. None: over zones, then over instances.
    pub strategy: Vec<PlacementStrategy>,
}

/// ECS's words for a constraint, as it is kept.
#[derive(Deserialize)]
struct KeptConstraint {
    #[serde(rename = "type")]
    kind: String,
    expression: Option<String>,
}

/// ECS's words for a strategy, as it is kept.
#[derive(Deserialize)]
struct KeptStrategy {
    #[serde(rename = "type")]
    kind: String,
    field: Option<String>,
}

impl PlacementConstraint {
    fn of(kept: KeptConstraint) -> Option<Self> {
        match kept.kind.as_str() {
            "distinctInstance" => Some(Self::DistinctInstance),
            "memberOf" => Some(Self::MemberOf(kept.expression.unwrap_or_default())),
            _ => None,
        }
    }
}

impl PlacementStrategy {
    /// By ECS's words for the kind and the field. `None` if they are none.
    pub fn named(kind: &str, field: &str) -> Option<Self> {
        match kind {
            "random" => Some(Self::Random),
            "binpack" if field.eq_ignore_ascii_case("cpu") => Some(Self::Binpack(BinpackField::Cpu)),
            "binpack" if field.eq_ignore_ascii_case("memory") => Some(Self::Binpack(BinpackField::Memory)),
            "spread" if ["instanceId", "host"].contains(&field) => {
                Some(Self::Spread(SpreadField::InstanceId))
            }
            "spread" => {
                let name = field.strip_prefix("attribute:").filter(|name| !name.is_empty())?;
                Some(Self::Spread(SpreadField::Attribute(name.to_owned())))
            }
            _ => None,
        }
    }
}

impl PlacementRules {
    /// Whether the spread over zones comes first, as it does when there is no strategy.
    pub fn spreads_over_zones(&self) -> bool {
        let zones = PlacementStrategy::Spread(SpreadField::Attribute(ZONE_ATTRIBUTE.to_owned()));
        self.strategy.first().is_none_or(|first| *first == zones)
    }

    /// What a service says.
    pub fn of_service(described: &Described) -> Self {
        Self { constraints: constraints(described), strategy: strategy(described) }
    }

    /// What a task definition says: constraints only.
    pub fn of_definition(described: &Described) -> Self {
        Self { constraints: constraints(described), strategy: Vec::new() }
    }

    /// Both sides' constraints, and the strategy of the side that has one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.constraints.extend(other.constraints);
        if self.strategy.is_empty() {
            self.strategy = other.strategy;
        }
        self
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.constraints.is_empty() && self.strategy.is_empty()
    }

    /// Whether they ask for what happens anyway: over zones, then over instances.
    pub fn is_default(&self) -> bool {
        use SpreadField::{Attribute, InstanceId};
        let zones = |one: &PlacementStrategy| matches!(one, PlacementStrategy::Spread(Attribute(name)) if name == ZONE_ATTRIBUTE);
        let spread = match &self.strategy[..] {
            [] => true,
            [first] => zones(first),
            [first, second] => zones(first) && *second == PlacementStrategy::Spread(InstanceId),
            _ => false,
        };
        self.constraints.is_empty() && spread
    }

    /// Whether no two tasks of the group may be on one machine.
    pub fn are_distinct(&self) -> bool {
        self.constraints.contains(&PlacementConstraint::DistinctInstance)
    }
}

fn constraints(described: &Described) -> Vec<PlacementConstraint> {
    let kept = described.get(PLACEMENT_CONSTRAINTS).and_then(|json| serde_json::from_str(json).ok());
    let kept: Vec<KeptConstraint> = kept.unwrap_or_default();
    kept.into_iter().filter_map(PlacementConstraint::of).collect()
}

fn strategy(described: &Described) -> Vec<PlacementStrategy> {
    let kept = described.get(PLACEMENT_STRATEGY).and_then(|json| serde_json::from_str(json).ok());
    let kept: Vec<KeptStrategy> = kept.unwrap_or_default();
    let named =
        |kept: &KeptStrategy| PlacementStrategy::named(&kept.kind, kept.field.as_deref().unwrap_or_default());
    kept.iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_from_what_a_service_keeps() {
        let described = Described::from([
            (
                PLACEMENT_CONSTRAINTS.to_owned(),
                r#"[{"type":"distinctInstance"},{"type":"memberOf","expression":"attribute:disk == ssd"}]"#
                    .to_owned(),
            ),
            (
                PLACEMENT_STRATEGY.to_owned(),
                r#"[{"type":"spread","field":"attribute:rack"},{"type":"spread","field":"host"},
                    {"type":"binpack","field":"MEMORY"},{"type":"random"}]"#
                    .to_owned(),
            ),
        ]);
        let member = PlacementConstraint::MemberOf("attribute:disk == ssd".to_owned());
        let rules = PlacementRules::of_service(&described);
        assert_eq!(rules.constraints, [PlacementConstraint::DistinctInstance, member]);
        assert_eq!(
            rules.strategy,
            [
                PlacementStrategy::Spread(SpreadField::Attribute("rack".to_owned())),
                PlacementStrategy::Spread(SpreadField::InstanceId),
                PlacementStrategy::Binpack(BinpackField::Memory),
                PlacementStrategy::Random,
            ]
        );
        assert!(PlacementRules::of_definition(&described).strategy.is_empty());
        assert!(PlacementRules::of_service(&Described::new()).is_empty());
    }

    #[test]
    fn a_service_and_its_definition_bind_together() {
        let member = |text: &str| PlacementConstraint::MemberOf(text.to_owned());
        let rules = |constraint, strategy: &[PlacementStrategy]| PlacementRules {
            constraints: vec![constraint],
            strategy: strategy.to_vec(),
        };
        let both = rules(member("a"), &[PlacementStrategy::Random]).and(rules(member("b"), &[]));
        assert_eq!(both.constraints, [member("a"), member("b")]);
        assert_eq!(both.strategy, [PlacementStrategy::Random]);
    }
}
