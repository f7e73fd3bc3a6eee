//! Finding what the model forbids in a request.
//!
//! [`Validate`] is generated for every request and for the structures below it that have constraints. It reports all
//! violations with their paths and decides nothing about the answer: which error and which words ECS uses is
//! ecs-api's to know.

use std::fmt;

use crate::pattern::Pattern;

/// A request, or a structure inside one.
pub trait Validate {
    /// Adds everything that the model forbids in `self`, which is at `at`, to `found`.
    fn validate(&self, at: &Path<'_>, found: &mut Vec<Violation>);

    /// Everything that the model forbids in a request.
    fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        self.validate(&Path::Root, &mut found);
        found
    }
}

/// Where in a request a value is. It lives on the stack, so a valid request costs no allocation.
#[derive(Debug, Clone, Copy)]
pub enum Path<'a> {
    /// The request itself.
    Root,
    /// A structure's member, by wire name.
    Member(&'a Path<'a>, &'static str),
    /// A list's element.
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(above, name) => write!(f, "{above}.{name}"),
            Self::Index(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

/// Something that the model forbids.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Where, as in `containerDefinitions[0].portMappings[2].containerPort`. Empty for the request itself.
    pub path: String,
    /// What.
    pub kind: ViolationKind,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq)]
pub enum ViolationKind {
    /// A required member is absent.
    Required,
    /// A value that its enum does not name.
    NotNamed {
        /// The value.
        value: String,
        /// The values that the model names.
        allowed: &'static [&'static str],
    },
    /// A string (in characters) or a list is too short or too long.
    Length {
        /// The length it has.
        length: usize,
        /// The smallest that is allowed.
        min: Option<usize>,
        /// The largest that is allowed.
        max: Option<usize>,
    },
    /// A number is too small or too large.
    Range {
        /// The number.
        value: f64,
        /// The smallest that is allowed.
        min: Option<f64>,
        /// The largest that is allowed.
        max: Option<f64>,
    },
    /// A string does not fit its pattern.
    Pattern {
        /// The string.
        value: String,
        /// The pattern that it must fit.
        pattern: Pattern,
    },
    /// A union with no member, or with more than one.
    Union {
        /// How many are set.
        set: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.path.is_empty() { "the request" } else { self.path.as_str() };
        match &self.kind {
            ViolationKind::Required => write!(f, "{at}: must not be null"),
            ViolationKind::NotNamed { value, allowed } => {
                write!(f, "{at}: {value:?} is not one of [{}]", allowed.join(", "))
            }
            ViolationKind::Length { length, min, max } => {
                write!(f, "{at}: has length {length}, must have {}", Bounds(*min, *max))
            }
            ViolationKind::Range { value, min, max } => {
                write!(f, "{at}: is {value}, must be {}", Bounds(*min, *max))
            }
            ViolationKind::Pattern { value, pattern } => {
                write!(f, "{at}: {value:?} does not match {}", pattern.as_str())
            }
            ViolationKind::Union { set } => write!(f, "{at}: exactly one member must be set, {set} are"),
        }
    }
}

/// Bounds in words.
struct Bounds<T>(Option<T>, Option<T>);

impl<T: fmt::Display> fmt::Display for Bounds<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0, &self.1) {
            (Some(min), Some(max)) => write!(f, "between {min} and {max}"),
            (Some(min), None) => write!(f, "at least {min}"),
            (None, Some(max)) => write!(f, "at most {max}"),
            (None, None) => f.write_str("anything"),
        }
    }
}

/// Implements [`Validate`] for requests in which the model forbids nothing.
macro_rules! unconstrained {
    ($( $name:ident ),* $(,)?) => {
        $( impl Validate for $name {
            fn validate(&self, _at: &Path<'_>, _found: &mut Vec<Violation>) {}
        } )*
    };
}

pub(crate) use unconstrained;

/// The checks that generated code is made of.
pub(crate) mod check {
    use super::{Path, Violation, ViolationKind};
    use crate::pattern::Pattern;
    use crate::string_enum::StringEnum;

    type Found<'a> = &'a mut Vec<Violation>;

    fn add(at: &Path<'_>, found: Found<'_>, kind: ViolationKind) {
        found.push(Violation { path: at.to_string(), kind });
    }

    pub(crate) fn required<T>(value: &Option<T>, name: &'static str, at: &Path<'_>, found: Found<'_>) {
        if value.is_none() {
            add(&Path::Member(at, name), found, ViolationKind::Required);
        }
    }

    pub(crate) fn optional<T>(
        value: &Option<T>,
        name: &'static str,
        at: &Path<'_>,
        found: Found<'_>,
        inner: impl FnOnce(&T, &Path<'_>, Found<'_>),
    ) {
        if let Some(value) = value {
            inner(value, &Path::Member(at, name), found);
        }
    }

    pub(crate) fn required_with<T>(
        value: &Option<T>,
        name: &'static str,
        at: &Path<'_>,
        found: Found<'_>,
        inner: impl FnOnce(&T, &Path<'_>, Found<'_>),
    ) {
        required(value, name, at, found);
        optional(value, name, at, found, inner);
    }

    pub(crate) fn each<T>(
        values: &[T],
        at: &Path<'_>,
        found: Found<'_>,
        mut inner: impl FnMut(&T, &Path<'_>, Found<'_>),
    ) {
        for (index, value) in values.iter().enumerate() {
            inner(value, &Path::Index(at, index), found);
        }
    }

    pub(crate) fn named<T: StringEnum>(value: &T, at: &Path<'_>, found: Found<'_>) {
        if !value.is_known() {
            let value = value.as_str().to_owned();
            add(at, found, ViolationKind::NotNamed { value, allowed: T::NAMES });
        }
    }

    pub(crate) fn length(
        length: usize,
        min: Option<usize>,
        max: Option<usize>,
        at: &Path<'_>,
        found: Found<'_>,
    ) {
        if min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max) {
            add(at, found, ViolationKind::Length { length, min, max });
        }
    }

    pub(crate) fn range(value: f64, min: Option<f64>, max: Option<f64>, at: &Path<'_>, found: Found<'_>) {
        if min.is_some_and(|min| value < min) || max.is_some_and(|max| value > max) {
            add(at, found, ViolationKind::Range { value, min, max });
        }
    }

    pub(crate) fn pattern(value: &str, pattern: Pattern, at: &Path<'_>, found: Found<'_>) {
        if !pattern.matches(value) {
            add(at, found, ViolationKind::Pattern { value: value.to_owned(), pattern });
        }
    }

    pub(crate) fn union(members: &[bool], at: &Path<'_>, found: Found<'_>) {
        let set = members.iter().filter(|set| **set).count();
        if set != 1 {
            add(at, found, ViolationKind::Union { set });
        }
    }
}
