//! The cluster query language (ECS developer guide): which container instances an expression means. ListContainerInstances
//! filters with it, `memberOf` constraints bind with it.
//!
//! `subject operator [argument]`, joined with `and`/`&&`, `or`/`||`, `not`/`!` and parentheses. Reading order: this file (what an
//! expression is, and what it says of an instance) · [`parse`](self) · `token`.

mod parse;
mod token;

use regex::bytes::Regex;
use trireme_state::State;
use trireme_state::object::{ContainerInstance, Task, TaskStatus};
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
    Leaf(Leaf),
}

/// What of an instance is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
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

/// A subject and what it is held against.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub subject: Subject,
    test: Test,
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
        self.holds_where(now, |subject, has| subject_values(state, instance, subject, has))
    }

    /// Whether it would hold for an instance if tasks were there only that are `seen`.
    pub fn holds_of(
        &self,
        seen: impl Fn(&Task) -> bool,
        state: &State,
        instance: &ContainerInstance,
        now: Timestamp,
    ) -> bool {
        let load = state.index().instance_load(instance.id);
        let tasks = || load.tasks.iter().filter_map(|id| state.task(*id)).filter(|task| seen(task));
        self.holds_where(now, |subject, has| match subject {
            Subject::TaskGroup => tasks().for_each(|task| has(&task.group)),
            Subject::RunningTasksCount => {
                let running = tasks().filter(|task| task.last_status == TaskStatus::Running);
                has(&running.count().to_string());
            }
            _ => subject_values(state, instance, subject, has),
        })
    }

    /// Whether it holds where its subjects have these values.
    fn holds_where(&self, now: Timestamp, values: impl Fn(&Subject, &mut dyn FnMut(&str))) -> bool {
        let any = &mut |leaf: &Leaf| {
            let mut any = false;
            values(&leaf.subject, &mut |value| any = any || leaf.passes(value, now));
            any
        };
        self.fold(any, &|holds: bool| !holds, &|left, right, both| {
            if both { left && right } else { left || right }
        })
    }

    /// Whether what it means changes as tasks are placed.
    pub(crate) fn looks_at_groups(&self) -> bool {
        self.looks_at(&[Subject::TaskGroup])
    }

    /// Whether any of its subjects is one of these.
    pub(crate) fn looks_at(&self, subjects: &[Subject]) -> bool {
        self.fold(&mut |leaf| subjects.contains(&leaf.subject), &|looks| looks, &|left, right, _| {
            left || right
        })
    }

    /// What it comes to: of its leaves, turned round, and of two of which both or one is to hold.
    pub(crate) fn fold<T>(
        &self,
        leaf: &mut impl FnMut(&Leaf) -> T,
        not: &impl Fn(T) -> T,
        join: &impl Fn(T, T, bool) -> T,
    ) -> T {
        fold(&self.0, leaf, not, join)
    }
}

fn fold<T>(
    node: &Node,
    leaf: &mut impl FnMut(&Leaf) -> T,
    not: &impl Fn(T) -> T,
    join: &impl Fn(T, T, bool) -> T,
) -> T {
    match node {
        Node::Leaf(one) => leaf(one),
        Node::Not(inner) => not(fold(inner, leaf, not, join)),
        Node::And(left, right) => {
            let left = fold(left, leaf, not, join);
            join(left, fold(right, leaf, not, join), true)
        }
        Node::Or(left, right) => {
            let left = fold(left, leaf, not, join);
            join(left, fold(right, leaf, not, join), false)
        }
    }
}

/// What a subject has of an instance: nothing for what is not there, several for task groups.
pub(crate) fn subject_values(
    state: &State,
    instance: &ContainerInstance,
    subject: &Subject,
    mut has: impl FnMut(&str),
) {
    let registration = &instance.registration;
    let load = || state.index().instance_load(instance.id);
    match subject {
        Subject::AgentConnected => has(if state.is_present(instance) { "true" } else { "false" }),
        Subject::AgentVersion => has(&registration.agent_version),
        Subject::Ec2InstanceId => has(&registration.name),
        Subject::RegisteredAt => has(&instance.registered_at.millis().to_string()),
        Subject::RunningTasksCount => has(&load().running.to_string()),
        Subject::TaskGroup => {
            load().tasks.iter().filter_map(|id| state.task(*id)).for_each(|task| has(&task.group));
        }
        Subject::Attribute(name) => state.attribute(instance, name).into_iter().for_each(has),
    }
}

impl Leaf {
    /// Whether a value of its subject passes.
    pub fn passes(&self, value: &str, now: Timestamp) -> bool {
        use std::cmp::Ordering;
        let against = |argument: &str| order(&self.subject, value, argument, now);
        let equals = |argument: &str| match self.subject {
            Subject::RegisteredAt | Subject::RunningTasksCount => against(argument) == Ordering::Equal,
            // A version, an id and an attribute are what they are as text: 1.10 is not 1.1.
            _ => value == argument,
        };
        match &self.test {
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

    /// The only values that can pass, if the test names them.
    pub fn names(&self) -> Option<Vec<&str>> {
        match &self.test {
            Test::Equals(name) => Some(vec![name]),
            Test::OneOf(names) => Some(names.iter().map(String::as_str).collect()),
            _ => None,
        }
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
