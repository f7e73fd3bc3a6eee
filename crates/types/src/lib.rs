//! Ids, ARNs, quantities and time: the words that every other room uses. No I/O.
//!
//! Reading order: [`name`] (names people choose) · [`id`] (ids that Trireme mints) · [`scope`] (account and region) ·
//! [`arn`] · [`digest`] (of images) · [`network`] (ranges of addresses) · [`quantity`] (cpu units, mebibytes, ports) · [`real`] (numbers) · [`time`] ·
//! [`capability`] (what machines are and can do) · [`gpu`] · [`log_pattern`] · [`planted`]
//! (defects on purpose).

pub mod arn;
pub mod capability;
pub mod digest;
pub mod gpu;
pub mod id;
pub mod log_pattern;
pub mod name;
pub mod network;
pub mod object_path;
pub mod planted;
pub mod quantity;
pub mod real;
pub mod scope;
pub mod time;

pub use arn::{Arn, ArnError};
pub use digest::{ContentDigest, DigestError};
pub use id::{
    ClusterUuid, ContainerInstanceId, DeploymentId, IdError, NodeId, RequestId, Sequence, ServiceRevisionId,
    SessionEpoch, TaskId,
};
pub use log_pattern::{LogPattern, LogPatternError};
pub use name::{
    CapacityProviderName, ClusterName, ContainerName, Family, GpuId, NameError, ServiceName, Zone,
};
pub use network::{Cidr, CidrError, SubnetId};
pub use quantity::{CpuUnits, Mebibytes, Port, Protocol};
pub use real::Real;
pub use scope::{AccountId, Region, Scope};
pub use time::Timestamp;
