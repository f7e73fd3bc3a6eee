//! The cluster query language (ECS developer guide): which container instances an expression means. ListContainerInstances
//! filters with it, `memberOf` constraints bind with it.
//!
//! `subject operator [argument]`, joined with `and`/`&&`, `or`/`||`, `not`/`!` and parentheses. Reading order: this file (what an
//! expression is, and what it says of an instance) · [`parse`](self) · `token`.

mod parse;
mod token;

use regex::bytes::Regex;
use trireme_state::State;
use trireme_state::object::ContainerInstance;
use trireme_types::Timestamp;

/// ECS API: PlacementConstraint.expression, in characters.
pub const LENGTH_MAX: usize = 2_000;

/// Why an expression cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at character {at}")]
pub struct ExpressionError {
    /// What is wrong.
    pub message: String,
    /// Where, from 1.
    pub at: usize,
}

/// An expression of the cluster query language.
#[derive(Debug, Clone)]
pub struct Expression(Node);

#[derive(Debug, Clone)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Test(Subject, Test),
}

/// What of an instance is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    AgentConnected,
    AgentVersion,
    Ec2InstanceId,
    RegisteredAt,
    RunningTasksCount,
    /// The groups of its tasks: one that fits is enough.
    TaskGroup,
    Attribute(String),
}

/// What it is held against.
#[derive(Debug, Clone)]
enum Test {
    Exists,
    Equals(String),
    Less(String),
    LessOrEqual(String),
    Greater(String),
    GreaterOrEqual(String),
    OneOf(Vec<String>),
    Matches(Regex),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        parse::parse(text).map(Self)
    }

    /// Whether it holds for an instance. `now` is for `registeredAt`, which may be relative to it.
    pub fn holds(&self, state: &State, instance: &ContainerInstance, now: Timestamp) -> bool {
        holds(&self.0, &Looked { state, instance, now })
    }
}

/// An instance as it is looked at.
struct Looked<'a> {
    state: &'a State,
    instance: &'a ContainerInstance,
    now: Timestamp,
}

fn holds(node: &Node, looked: &Looked<'_>) -> bool {
    match node {
        Node::And(left, right) => holds(left, looked) && holds(right, looked),
        Node::Or(left, right) => holds(left, looked) || holds(right, looked),
        Node::Not(inner) => !holds(inner, looked),
        Node::Test(subject, test) => looked.any(subject, |value| fits(subject, value, test, looked.now)),
    }
}

impl Looked<'_> {
    /// Whether something that a subject has passes: nothing for what is not there, several for task groups.
    fn any(&self, subject: &Subject, passes: impl Fn(&str) -> bool) -> bool {
        let registration = &self.instance.registration;
        match subject {
            Subject::AgentConnected => {
                passes(if self.state.is_present(self.instance) { "true" } else { "false" })
            }
            Subject::AgentVersion => passes(&registration.agent_version),
            Subject::Ec2InstanceId => passes(&registration.name),
            Subject::RegisteredAt => passes(&self.instance.registered_at.millis().to_string()),
            Subject::RunningTasksCount => {
                passes(&self.state.index().instance_load(self.instance.id).running.to_string())
            }
            Subject::TaskGroup => {
                let load = self.state.index().instance_load(self.instance.id);
                load.tasks.iter().filter_map(|id| self.state.task(*id)).any(|task| passes(&task.group))
            }
            Subject::Attribute(name) => self.state.attribute(self.instance, name).is_some_and(passes),
        }
    }
}

fn fits(subject: &Subject, value: &str, test: &Test, now: Timestamp) -> bool {
    use std::cmp::Ordering;
    let against = |argument: &str| order(subject, value, argument, now);
    let equals = |argument: &str| match subject {
        Subject::RegisteredAt | Subject::RunningTasksCount => against(argument) == Ordering::Equal,
        // A version, an id and an attribute are what they are as text: 1.10 is not 1.1.
        _ => value == argument,
    };
    match test {
        Test::Exists => true,
        Test::Equals(argument) => equals(argument),
        Test::Less(argument) => against(argument) == Ordering::Less,
        Test::LessOrEqual(argument) => against(argument) != Ordering::Greater,
        Test::Greater(argument) => against(argument) == Ordering::Greater,
        Test::GreaterOrEqual(argument) => against(argument) != Ordering::Less,
        Test::OneOf(arguments) => arguments.iter().any(|argument| equals(argument)),
        // Java's `matches` wants all of the text; `parse` has anchored it.
        Test::Matches(regex) => regex.is_match(value.as_bytes()),
    }
}

/// Times as times, versions part by part, numbers as numbers, all else as text.
fn order(subject: &Subject, value: &str, argument: &str, now: Timestamp) -> std::cmp::Ordering {
    if *subject == Subject::RegisteredAt {
        let value = value.parse::<u64>().unwrap_or_default();
        // `parse` has read it before.
        return value.cmp(&parse::time(argument, now).map_or(0, Timestamp::millis));
    }
    if *subject == Subject::AgentVersion {
        let parts = |text: &str| -> Vec<u64> {
            text.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
        };
        return parts(value).cmp(&parts(argument)).then_with(|| value.cmp(argument));
    }
    match (value.parse::<f64>(), argument.parse::<f64>()) {
        (Ok(value), Ok(argument)) if value.is_finite() && argument.is_finite() => value.total_cmp(&argument),
        _ => value.cmp(argument),
    }
}

#[cfg(test)]
mod tests;
