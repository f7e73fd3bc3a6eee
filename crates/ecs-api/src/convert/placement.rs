//! Placement constraints and strategies, checked with ECS's words, and as they are kept and described (ECS API: PlacementConstraint,
//! PlacementStrategy).

use trireme_ecs_model::shapes::{
    PlacementConstraint, PlacementConstraintType, PlacementStrategy, PlacementStrategyType,
    TaskDefinitionPlacementConstraint, TaskDefinitionPlacementConstraintType,
};
use trireme_scheduler::Expression;
use trireme_state::object::{
    Described, PLACEMENT_CONSTRAINTS, PLACEMENT_STRATEGY, PlacementRules, TaskDefinition,
};

use super::described;
use crate::error::{Error, Result};
use crate::length;

/// ECS API: constraints of a task, its definition's among them.
const CONSTRAINTS: usize = 10;
/// ECS API: strategies of a task or a service.
const STRATEGIES: usize = 5;

/// Sees that an expression can be read. `error` is the operation's for what is wrong.
fn expression(text: Option<&String>, error: fn(String) -> Error) -> Result<String> {
    let text = text.map(String::as_str).unwrap_or_default();
    if text.is_empty() {
        return Err(error("The expression of a memberOf placement constraint must not be empty.".to_owned()));
    }
    match Expression::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(wrong) => Err(error(format!("Invalid placement constraint expression: {wrong}."))),
    }
}

/// Sees that a service or a task does not have too many constraints, those of its definition among them.
pub(crate) fn together(constraints: usize, definition: &TaskDefinition) -> Result<()> {
    let of_definition = PlacementRules::of_definition(&definition.spec.described).constraints.len();
    if constraints.saturating_add(of_definition) <= CONSTRAINTS {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "placementConstraints can have at most {CONSTRAINTS} items, those of the task definition among them."
    )))
}

/// Constraints of a service or a task, as they are kept.
pub(crate) fn constraints(given: &[PlacementConstraint]) -> Result<Vec<PlacementConstraint>> {
    length::items("placementConstraints", given, CONSTRAINTS)?;
    let invalid: fn(String) -> Error = |message| Error::invalid(message);
    let constraint = |one: &PlacementConstraint| match &one.r#type {
        Some(kind @ PlacementConstraintType::MemberOf) => Ok(PlacementConstraint {
            r#type: Some(kind.clone()),
            expression: Some(expression(one.expression.as_ref(), invalid)?),
        }),
        Some(kind @ PlacementConstraintType::DistinctInstance) => {
            if one.expression.as_ref().is_some_and(|text| !text.is_empty()) {
                return Err(Error::invalid(
                    "An expression cannot be specified for a distinctInstance placement constraint.",
                ));
            }
            Ok(PlacementConstraint { r#type: Some(kind.clone()), expression: None })
        }
        _ => Err(Error::invalid("The type of a placement constraint must be specified.")),
    };
    given.iter().map(constraint).collect()
}

/// The same of a task definition, which knows memberOf only.
pub(crate) fn of_definition(
    given: &[TaskDefinitionPlacementConstraint],
) -> Result<Vec<TaskDefinitionPlacementConstraint>> {
    if given.len() > CONSTRAINTS {
        return Err(Error::client(format!("placementConstraints can have at most {CONSTRAINTS} items.")));
    }
    let wrong: fn(String) -> Error = |message| Error::client(message);
    let constraint = |one: &TaskDefinitionPlacementConstraint| match &one.r#type {
        Some(kind @ TaskDefinitionPlacementConstraintType::MemberOf) => {
            Ok(TaskDefinitionPlacementConstraint {
                r#type: Some(kind.clone()),
                expression: Some(expression(one.expression.as_ref(), wrong)?),
            })
        }
        _ => Err(Error::client("The type of a placement constraint must be specified.")),
    };
    given.iter().map(constraint).collect()
}

/// Strategies, as they are kept: ECS answers `instanceId` for `host`, and what is packed in capitals.
pub(crate) fn strategy(given: &[PlacementStrategy]) -> Result<Vec<PlacementStrategy>> {
    length::items("placementStrategy", given, STRATEGIES)?;
    let one = |one: &PlacementStrategy| {
        let kind = one.r#type.as_ref();
        let kind =
            kind.ok_or_else(|| Error::invalid("The type of a placement strategy must be specified."))?;
        let field = one.field.as_deref().unwrap_or_default();
        if trireme_state::object::PlacementStrategy::named(&kind.to_string(), field).is_none() {
            return Err(Error::invalid(format!("Invalid field for placement strategy {kind}: {field}")));
        }
        let field = match kind {
            PlacementStrategyType::Binpack => Some(field.to_ascii_uppercase()),
            PlacementStrategyType::Spread if field == "host" => Some("instanceId".to_owned()),
            PlacementStrategyType::Spread => Some(field.to_owned()),
            _ => None,
        };
        Ok(PlacementStrategy { r#type: Some(kind.clone()), field })
    };
    given.iter().map(one).collect()
}

/// What the placer reads of them.
pub(crate) fn rules(constraints: &[PlacementConstraint], strategy: &[PlacementStrategy]) -> PlacementRules {
    let mut kept = Described::new();
    described::keep(&mut kept, PLACEMENT_CONSTRAINTS, Some(&constraints));
    described::keep(&mut kept, PLACEMENT_STRATEGY, Some(&strategy));
    PlacementRules::of_service(&kept)
}
