//! AWS's service model of ECS as Rust types: shapes, errors, the table of operations and what the model demands of requests.
//!
//! Everything under `generated` comes from `model/ecs-2014-11-13.json`, which holds the facts of AWS's service model
//! (taken from botocore, Apache-2.0) without any of its text. `cargo xtask codegen` regenerates it, and
//! `cargo xtask codegen --check` fails when what is committed differs.
//!
//! In reading order:
//! - [`shapes`] has one struct for each structure, one enum for each named set of values. Every member is an `Option`, so
//!   absent and empty are distinct; `null` reads as absent; members that the model does not name are ignored.
//! - [`operation_table`] has [`Operation`] with the 88 operations, and [`Request`], which ties a request to its response.
//! - [`error_code`] has [`ErrorCode`] with the 31 errors.
//! - [`validate`] has [`Validate`], which finds what the model forbids. A wrong type fails in serde instead; a value that an
//!   enum does not name is read as its `Other` and found here.
//! - [`scalar`] has [`EpochSeconds`].
//!
//! Nothing here knows Trireme.

mod error_table;
mod generated;
pub mod operation_table;
pub mod pattern;
pub mod scalar;
mod shape;
mod string_enum;
pub mod validate;

pub use error_code::ErrorCode;
pub use generated::operation::Operation;
pub use generated::{MODEL_SOURCE, SHAPE_COUNT, SIGNING_NAME, TARGET_PREFIX, error_code};
pub use operation_table::{Pagination, Request};
pub use scalar::EpochSeconds;
pub use shape::Shape;
pub use string_enum::{StringEnum, UnknownValue};
pub use validate::{Path, Validate, Violation, ViolationKind};

/// Every structure and enum of the model, under the model's name.
pub mod shapes {
    pub use crate::generated::enums::*;
    pub use crate::generated::exceptions::*;
    pub use crate::generated::requests::*;
    pub use crate::generated::responses::*;
    pub use crate::generated::structures_a_to_d::*;
    pub use crate::generated::structures_e_to_r::*;
    pub use crate::generated::structures_s_to_z::*;
}
