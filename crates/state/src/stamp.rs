//! Time and ids for one decision. The decider mints both; replay never needs either.

use sha2::{Digest, Sha256};
use trireme_types::{ContainerInstanceId, DeploymentId, TaskId, Timestamp};

/// What a decision may use that is not in the state.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The decider's time.
    pub now: Timestamp,
    /// Where new ids come from.
    pub ids: IdSource,
}

/// A stream of ids from a seed: the same seed gives the same ids. The decider seeds it from the system's randomness, a
/// simulation from its own.
#[derive(Debug, Clone)]
pub struct IdSource {
    seed: [u8; 32],
    drawn: u64,
}

impl IdSource {
    /// A stream from `seed`.
    pub const fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// 128 bits that no other draw gives.
    pub fn bits(&mut self) -> u128 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.drawn.to_be_bytes());
        let digest = hash.finalize();
        let mut bits = [0u8; 16];
        bits.copy_from_slice(&digest[..16]);
        u128::from_be_bytes(bits)
    }

    /// A new task's id.
    pub fn task(&mut self) -> TaskId {
        TaskId::from_bits(self.bits())
    }

    /// A new container instance's id.
    pub fn container_instance(&mut self) -> ContainerInstanceId {
        ContainerInstanceId::from_bits(self.bits())
    }

    /// A new deployment's id.
    pub fn deployment(&mut self) -> DeploymentId {
        DeploymentId::from_random((self.bits() >> 64) as u64)
    }
}
